//! The contract between the hub and whatever keeps its rows.
//!
//! What a caller may rely on, whichever engine runs below:
//!
//! - **Order.** Keys compare as bytes, never as text.
//! - **Snapshot.** [`Store::snapshot`] sees every batch whose commit returned `Ok` before it was taken, each wholly or
//!   not at all, and nothing committed later. It lives for [`SNAPSHOT_MS_MAX`]; longer work pages over rows that are
//!   never changed.
//! - **Commit.** All or nothing; durable when `Ok` is returned. Checks and writes are one step: no other batch gets
//!   between them.
//! - **Version.** Every stored value carries a version: 1 when the key was absent, the old one + 1 otherwise. Deleting
//!   a key forgets its version. On disk: `version u64 BE ‖ body`.
//! - **Limits** are the same for every engine and refused before the engine is asked (`crate::limits`).
//!
//! Deliberately absent, because some engine cannot honour it: engine timestamps, locks, sequences, notifications.
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::epoch::Epoch;
use crate::limits::STORE_KEY_BYTES_MAX;

/// How long a snapshot may be read, in milliseconds. Some engines forget older views.
pub const SNAPSHOT_MS_MAX: u64 = 5_000;
/// Rows of one page at most; a scan asking for more gets this many and a `next`.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// A page is closed with the row that takes it to this many bytes.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// How long the outcome of a batch can be asked for, in milliseconds.
pub const OUTCOME_KEPT_MS: u64 = 24 * 3_600 * 1_000;

/// Rows that survive a crash.
#[async_trait]
pub trait Store: Send + Sync {
    /// A consistent view of everything committed so far.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the engine cannot be reached.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Applies a batch: all of it, durably, or nothing. Dropping the future does not undo what has begun.
    ///
    /// # Errors
    /// Each variant of [`CommitError`] says what to do. Only after [`CommitError::Unknown`] may the batch have been applied.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// Whether the batch of this id was applied, for 24 hours after its commit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the engine itself does not know: ask again, and build on neither answer.
    /// [`StoreError::Stopped`] where it never will: the process must end.
    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome, StoreError>;

    /// Bytes of local disk that the engine may need beyond what it holds now to finish what it has begun; 0 for one that has no
    /// local disk.
    fn headroom_bytes(&self) -> u64 {
        0
    }
}

/// One moment of the store.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The value under a key, or `None`.
    ///
    /// # Errors
    /// [`StoreError`]; a row that cannot be read is never reported as absent.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// The values under up to 1,000 keys, in the order of the keys.
    ///
    /// # Errors
    /// As [`Snapshot::get`]; [`StoreError::TooLarge`] for more keys.
    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError>;

    /// The rows of a range in byte order, or against it, at most `limit` (and at most [`PAGE_ROWS_MAX`] rows or
    /// [`PAGE_BYTES_MAX`] bytes). `Page::next` is the rest of the range, `None` at its end.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    async fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError>;

    /// Which state of the reference rows it shows; `None` where nothing is promised about them.
    fn epoch(&self) -> Option<&Epoch> {
        None
    }
}

/// What an engine implements. It is not a [`Store`]: only [`Limited`](super::Limited) makes one of it, so no engine
/// can be used with other limits, versions or batch ids than the rest.
#[async_trait]
pub trait Engine: Send + Sync {
    /// As [`Store::snapshot`].
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// As [`Store::commit`], for a batch whose limits and shape have been tested.
    async fn commit(&self, batch: Admitted) -> Result<(), CommitError>;

    /// Fails while this engine cannot tell what became of an earlier batch (a failed disk write, a lost connection).
    ///
    /// # Errors
    /// [`StoreError::Stopped`] with the reason where that will not change while the process lives; else
    /// [`StoreError::Unavailable`].
    async fn certain(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// As [`Store::headroom_bytes`].
    fn headroom_bytes(&self) -> u64 {
        0
    }

    /// Whether nobody but this process can commit to its rows while it is open. Only then may what one commit left be taken for what
    /// the next reader sees.
    fn is_alone(&self) -> bool {
        false
    }
}

/// A batch inside the limits, each key written at most once. Made by [`Limited`](super::Limited) only.
#[derive(Debug, Clone)]
pub struct Admitted(pub(super) Batch);

impl Admitted {
    /// The batch, for the engine to apply.
    #[must_use]
    pub fn into_inner(self) -> Batch {
        self.0
    }
}

/// Names a batch; 16 random bytes, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub [u8; 16]);

impl BatchId {
    /// A new random id.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchId({})", Hex(&self.0))
    }
}

/// Writes that belong together, and what must be true for them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Under which [`Store::outcome`] is asked.
    pub id: BatchId,
    /// All must hold, or nothing is written.
    pub checks: Vec<Check>,
    /// Written with the old version + 1 (the old version is read for each).
    pub puts: Vec<(Key, Bytes)>,
    /// Written with version 1 *without looking*. The caller promises that the key has never been written and never
    /// will be again (log entries, tiles, record rows whose key holds their version): a second write would replace
    /// the first in silence. Costs no read.
    pub fresh: Vec<(Key, Bytes)>,
    /// Removed if there; removing what is absent is no error.
    pub deletes: Vec<Key>,
}

impl Batch {
    /// An empty batch of this id.
    #[must_use]
    pub fn new(id: BatchId) -> Self {
        Self { id, checks: Vec::new(), puts: Vec::new(), fresh: Vec::new(), deletes: Vec::new() }
    }

    /// Adds a counted write.
    pub fn put(&mut self, key: Key, body: impl Into<Bytes>) -> &mut Self {
        self.puts.push((key, body.into()));
        self
    }

    /// Adds a write-once row; see [`Batch::fresh`] for what is promised.
    pub fn put_fresh(&mut self, key: Key, body: impl Into<Bytes>) -> &mut Self {
        self.fresh.push((key, body.into()));
        self
    }

    /// Adds a removal.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.deletes.push(key);
        self
    }

    /// Adds a condition.
    pub fn check(&mut self, check: Check) -> &mut Self {
        self.checks.push(check);
        self
    }

    /// How many rows the batch writes or removes.
    #[must_use]
    pub fn mutations(&self) -> usize {
        self.puts.len().saturating_add(self.fresh.len()).saturating_add(self.deletes.len())
    }

    /// Bytes of all keys and bodies written or removed; what [`crate::limits::STORE_BATCH_BYTES_MAX`] bounds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let written: usize = self.puts.iter().chain(&self.fresh).map(|(key, body)| key.len() + body.len()).sum();
        written + self.deletes.iter().map(Key::len).sum::<usize>()
    }
}

/// A condition on the moment of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Nothing is stored under the key.
    Absent(Key),
    /// What is stored has exactly this version.
    Version(Key, u64),
}

impl Check {
    /// The key looked at.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Version(key, _) => key,
        }
    }

    /// Whether the condition holds for what is stored (`None`: nothing).
    #[must_use]
    pub fn holds(&self, stored: Option<u64>) -> bool {
        match self {
            Self::Absent(_) => stored.is_none(),
            Self::Version(_, wanted) => stored == Some(*wanted),
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It was applied, durably.
    Committed,
    /// It was not applied (or more than 24 hours ago).
    Absent,
}

/// Why a batch was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The caller's condition on this key is false. Nothing was written; do not repeat it blindly.
    #[error("the condition on {0:?} does not hold")]
    CheckFailed(Key),
    /// Another batch got in between. Nothing was written; repeat after a short pause.
    #[error("another batch got in between")]
    Conflict,
    /// The batch may or may not have been applied. Ask [`Store::outcome`] and build on nothing until it answers.
    #[error("it is not known whether the batch was applied")]
    Unknown,
    /// Over a limit. Nothing was written.
    #[error("{what}: at most {max}")]
    TooLarge {
        /// Which limit, in words.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The batch contradicts itself or reaches into rows of the wrapper: a fault of the program. Nothing was written.
    #[error("malformed batch: {0}")]
    Malformed(&'static str),
    /// A batch of this id was applied before, and nothing was written now. Who repeats after [`CommitError::Unknown`]
    /// reads it as `Ok`.
    #[error("a batch of this id was applied before")]
    AlreadyCommitted,
    /// The engine cannot be reached or has stopped. Nothing was written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine has stopped for good in the middle of a write: this process will never know. Only a fresh start can tell, so
    /// whoever waits for an outcome must end.
    #[error("the store has stopped: {0}")]
    Stopped(String),
    /// The engine cannot be reached or has stopped.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be read. Never treated as absent; always wakes somebody.
    #[error("stored bytes are damaged: {0}")]
    Damaged(String),
    /// The snapshot is older than [`SNAPSHOT_MS_MAX`]; take a new one.
    #[error("the snapshot is older than {SNAPSHOT_MS_MAX} ms")]
    SnapshotExpired,
    /// Over a limit of the contract.
    #[error("{what}: at most {max}")]
    TooLarge {
        /// Which limit, in words.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// A stored value and how often its key has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// 1 for a key that was absent before.
    pub version: u64,
    /// What the caller stored.
    pub body: Bytes,
}

impl Versioned {
    /// `version u64 BE ‖ body`, as engines without a version column keep it.
    #[must_use]
    pub fn frame(version: u64, body: &[u8]) -> Vec<u8> {
        let mut framed = Vec::with_capacity(8 + body.len());
        framed.extend_from_slice(&version.to_be_bytes());
        framed.extend_from_slice(body);
        framed
    }

    /// Reads what [`Versioned::frame`] wrote.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is too short to hold a version.
    pub fn parse(framed: &Bytes) -> Result<Self, StoreError> {
        let version = Self::parse_version(framed)?;
        Ok(Self { version, body: framed.slice(8..) })
    }

    /// The version alone.
    ///
    /// # Errors
    /// As [`Versioned::parse`].
    pub fn parse_version(framed: &[u8]) -> Result<u64, StoreError> {
        let version =
            framed.first_chunk::<8>().ok_or_else(|| StoreError::Damaged("a value without a version".into()))?;
        Ok(u64::from_be_bytes(*version))
    }
}

/// A key: 1 to 1,024 bytes. Made by [`key_space`](super::key_space), which names every prefix.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// Takes bytes as a key; `None` if there are none or more than 1,024.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        (1..=STORE_KEY_BYTES_MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// For parts that are short by construction.
    pub(super) fn from_parts(key: Vec<u8>) -> Self {
        debug_assert!((1..=STORE_KEY_BYTES_MAX).contains(&key.len()));
        Self(Bytes::from(key))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", Hex(&self.0))
    }
}

/// Keys from `start` (included) up to `end` (excluded; `None`: no end).
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that can be inside.
    pub start: Bytes,
    /// The first key that is no longer inside.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key that begins with these bytes.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = successor(&start);
        Self { start, end }
    }

    /// From one key (included) up to another (excluded).
    #[must_use]
    pub fn between(start: &Key, end: &Key) -> Self {
        Self { start: start.0.clone(), end: Some(end.0.clone()) }
    }

    /// The same end, beginning at this key (included).
    #[must_use]
    pub fn from_key(self, start: &Key) -> Self {
        Self { start: start.0.clone(), ..self }
    }

    /// The same start, ending before this key.
    #[must_use]
    pub fn before_key(self, end: &Key) -> Self {
        Self { end: Some(end.0.clone()), ..self }
    }

    /// Whether no key can be inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", Hex(&self.start), self.end.as_ref().map_or_else(String::new, |end| Hex(end).to_string()))
    }
}

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// In byte order.
    Forward,
    /// Against byte order, beginning at the last key of the range.
    Reverse,
}

/// Some rows of a range, in scan order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<(Key, Versioned)>,
    /// The rest of the range, to be scanned in the same direction; `None` when nothing is left.
    pub next: Option<KeyRange>,
}

/// Fills a page by the same rule in every engine.
pub(super) struct PageBuilder {
    page: Page,
    bytes: usize,
    limit: usize,
    range: KeyRange,
    direction: Direction,
}

impl PageBuilder {
    pub(super) fn new(range: KeyRange, direction: Direction, limit: usize) -> Self {
        Self { page: Page::default(), bytes: 0, limit, range, direction }
    }

    /// Takes the next row of the scan; `false` means that the page is full, this row is not in it, and the scan ends.
    pub(super) fn push(&mut self, key: Key, value: Versioned) -> bool {
        if self.page.rows.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX {
            self.page.next = Some(match (self.direction, self.page.rows.last()) {
                (Direction::Forward, _) => self.range.clone().from_key(&key),
                (Direction::Reverse, Some((last, _))) => self.range.clone().before_key(last),
                (Direction::Reverse, None) => self.range.clone(),
            });
            return false;
        }
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.body.len());
        self.page.rows.push((key, value));
        true
    }

    pub(super) fn finish(self) -> Page {
        self.page
    }
}

/// The first byte string after all that begin with `prefix`; `None` when there is no such string.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte = byte.wrapping_add(1); // not 0xff, so it does not wrap
    }
    Some(Bytes::from(end))
}

/// Bytes as lower-case hexadecimal digits, for messages.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_range_ends_right_after_the_last_key_of_the_prefix() {
        let end = |prefix: &'static [u8]| KeyRange::prefix(prefix).end;
        assert_eq!(end(b"a"), Some(Bytes::from_static(b"b")));
        assert_eq!(end(b"a\xff\xff"), Some(Bytes::from_static(b"b")));
        assert_eq!(end(b"\xff\xff"), None);
        assert_eq!(end(b""), None);
    }

    #[test]
    fn a_key_is_one_to_1024_bytes() {
        assert!(Key::from_bytes(Vec::new()).is_none());
        assert!(Key::from_bytes(vec![0; 1_024]).is_some());
        assert!(Key::from_bytes(vec![0; 1_025]).is_none());
    }

    #[test]
    fn a_value_too_short_for_a_version_is_damage_not_absence() {
        assert!(matches!(Versioned::parse(&Bytes::from_static(b"1234567")), Err(StoreError::Damaged(_))));
        let framed = Bytes::from(Versioned::frame(7, b"body"));
        assert_eq!(framed.as_ref(), b"\0\0\0\0\0\0\0\x07body");
        assert_eq!(Versioned::parse(&framed).unwrap(), Versioned { version: 7, body: Bytes::from_static(b"body") });
    }
}
