//! How far the log had come, kept on another path than the log.
//!
//! A data folder restored from yesterday looks whole. The fence knows a later head, and the hub refuses to start. Two
//! slots of one length are written in turn, each with its own checksum: a crash in the middle of a write damages one, and
//! the other still says the head before. The fence is never ahead of what is durable in the store, so a head ahead of
//! the fence is normal and a fence ahead of the head is proof of loss.
//!
//! Slot, 512 bytes, zero-padded: `"wuku/fence/v1" ‖ 0x00 ‖ turn u64 ‖ size u64 ‖ root[32] ‖ origin length u8 ‖ origin`,
//! and in the last 32 bytes SHA-256 of all before them. An empty origin says that the fence was made and no head seen.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::clock::Clock;

/// Recording pauses when the fence is more than this behind, in milliseconds (design 7).
pub const BEHIND_MS_MAX: u64 = 200;

const SLOT_NAMES: [&str; 2] = ["slot-0", "slot-1"];
const SLOT_BYTES: usize = 512;
const SUM_BYTES: usize = 32;
const MAGIC: &[u8; 14] = b"wuku/fence/v1\0";
const ORIGIN_BYTES_MAX: usize = u8::MAX as usize;
/// After a failed write the newest head is tried again in this time.
const RETRY: Duration = Duration::from_millis(50);
/// A checkpoint kept beside the slots: `seen-<first 8 bytes of its SHA-256>.note`.
const NOTE_PREFIX: &str = "seen-";
/// A signed note is far shorter.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// A durable state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log: `<hub>/wuku/<n>`, 1 to 255 bytes.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: [u8; 32],
}

/// The two slots, open for writing by one process.
#[derive(Debug)]
pub struct Fence {
    folder: PathBuf,
    newest: Slot,
    /// Which file is written next: the one that does not hold `newest`.
    next_file: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    turn: u64,
    head: Option<Head>,
}

impl Fence {
    /// Makes a fence (folder mode 0700) where none is. It has seen no head yet.
    ///
    /// # Errors
    /// [`FenceError::Exists`] when a slot is there; [`FenceError::Io`].
    pub fn create(folder: &Path) -> Result<Self, FenceError> {
        let failed = |source| FenceError::Io { path: folder.into(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        if SLOT_NAMES.iter().any(|name| folder.join(name).exists()) {
            return Err(FenceError::Exists(folder.into()));
        }
        let mut fence = Self { folder: folder.into(), newest: Slot { turn: 0, head: None }, next_file: 0 };
        // A crash between the two leaves one good slot, which is a fence.
        fence.write(Slot { turn: 1, head: None })?;
        fence.write(Slot { turn: 2, head: None })?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(parent).map_err(failed)?;
        Ok(fence)
    }

    /// Opens a fence that is there, to move it on.
    ///
    /// # Errors
    /// As [`Fence::read`].
    pub fn open(folder: &Path) -> Result<Self, FenceError> {
        let [first, second] = SLOT_NAMES.map(|name| read_slot(&folder.join(name)));
        let (newest, next_file) = match (first, second) {
            (Ok(first), Ok(second)) if first.turn > second.turn => (first, 1),
            (Ok(_) | Err(_), Ok(second)) => (second, 0),
            (Ok(first), Err(_)) => (first, 1),
            (Err(first), Err(second)) => {
                return Err(FenceError::Unreadable { folder: folder.into(), first, second });
            }
        };
        Ok(Self { folder: folder.into(), newest, next_file })
    }

    /// The newest head the fence holds; `None` when it was made and has seen none yet.
    ///
    /// # Errors
    /// [`FenceError::Unreadable`] when neither slot reads (a folder that is not there included): the hub must not start.
    pub fn read(folder: &Path) -> Result<Option<Head>, FenceError> {
        Ok(Self::open(folder)?.newest.head)
    }

    /// Signed checkpoints kept beside the slots because the log that ran did not go on from them; see [`FenceHandle::keep_note`].
    ///
    /// # Errors
    /// [`FenceError::Io`]; a folder that is not there holds none.
    pub fn kept_notes(folder: &Path) -> Result<Vec<Vec<u8>>, FenceError> {
        let failed = |source| FenceError::Io { path: folder.into(), source };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut notes = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(NOTE_PREFIX) && name.ends_with(".note")) {
                let mut note = Vec::new();
                let file = File::open(entry.path()).map_err(failed)?;
                file.take(NOTE_BYTES_MAX).read_to_end(&mut note).map_err(failed)?;
                notes.push(note);
            }
        }
        Ok(notes)
    }

    /// The slot that does not read, and why, where the other one does: what a crash in the middle of a write leaves, until the next
    /// head is written over it; or a changed bit.
    #[must_use]
    pub fn torn(folder: &Path) -> Option<String> {
        let [first, second] = SLOT_NAMES.map(|name| (name, read_slot(&folder.join(name))));
        match (first, second) {
            ((name, Err(why)), (_, Ok(_))) | ((_, Ok(_)), (name, Err(why))) => Some(format!("{name}: {why}")),
            _ => None,
        }
    }

    /// The newest head this fence holds.
    #[must_use]
    pub fn newest(&self) -> Option<&Head> {
        self.newest.head.as_ref()
    }

    /// Moves on to a head that is durable in the store; durable itself when this returns. The same head again is no
    /// write.
    ///
    /// # Errors
    /// [`FenceError::Backwards`], [`FenceError::Forked`], [`FenceError::OtherOrigin`]: the caller must stop, nothing was
    /// written. [`FenceError::Io`]: try again.
    pub fn advance(&mut self, head: Head) -> Result<(), FenceError> {
        if let Some(newest) = &self.newest.head {
            if head.origin != newest.origin {
                return Err(FenceError::OtherOrigin { kept: newest.origin.clone(), offered: head.origin });
            }
            if head.size < newest.size {
                return Err(FenceError::Backwards { kept: newest.size, offered: head.size });
            }
            if head.size == newest.size {
                return if head.root == newest.root { Ok(()) } else { Err(FenceError::Forked(head.size)) };
            }
        }
        self.write(Slot { turn: self.newest.turn.saturating_add(1), head: Some(head) })
    }

    /// Begins the fence of a new log, which may be shorter; for `wuku recover --new-log` only.
    ///
    /// # Errors
    /// [`FenceError::SameOrigin`]: an old log never starts again. [`FenceError::Io`].
    pub fn begin_origin(&mut self, head: Head) -> Result<(), FenceError> {
        if self.newest.head.as_ref().is_some_and(|newest| newest.origin == head.origin) {
            return Err(FenceError::SameOrigin(head.origin));
        }
        self.write(Slot { turn: self.newest.turn.saturating_add(1), head: Some(head) })
    }

    /// Overwrites the older slot. A crash in here leaves that slot torn and the newer one whole.
    fn write(&mut self, slot: Slot) -> Result<(), FenceError> {
        let name = SLOT_NAMES.get(self.next_file).copied().unwrap_or(SLOT_NAMES[0]);
        let path = self.folder.join(name);
        let bytes = slot.to_bytes()?;
        write_slot(&self.folder, &path, &bytes).map_err(|source| FenceError::Io { path, source })?;
        self.newest = slot;
        self.next_file = 1_usize.saturating_sub(self.next_file);
        Ok(())
    }
}

impl Slot {
    fn to_bytes(&self) -> Result<[u8; SLOT_BYTES], FenceError> {
        let (origin, size, root) =
            self.head.as_ref().map_or(("", 0, [0; 32]), |head| (head.origin.as_str(), head.size, head.root));
        let length = match u8::try_from(origin.len()) {
            Ok(length) if length > 0 || self.head.is_none() => length,
            _ => return Err(FenceError::OriginLength),
        };
        let parts: [&[u8]; 6] =
            [MAGIC, &self.turn.to_be_bytes(), &size.to_be_bytes(), &root, &[length], origin.as_bytes()];
        let mut body = parts.concat();
        body.resize(SLOT_BYTES - SUM_BYTES, 0);
        let sum = Sha256::digest(&body);
        body.extend_from_slice(&sum);
        body.try_into().map_err(|_| FenceError::OriginLength)
    }

    /// Reads a slot back; only exactly what [`Slot::to_bytes`] writes is a slot.
    fn parse(bytes: &[u8; SLOT_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (turn, rest) = rest.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (root, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first()?;
        let origin = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
        let head = Head { origin: origin.into(), size: u64::from_be_bytes(*size), root: *root };
        let slot = Self { turn: u64::from_be_bytes(*turn), head: (*length > 0).then_some(head) };
        (slot.to_bytes().ok()? == *bytes).then_some(slot)
    }
}

fn read_slot(path: &Path) -> Result<Slot, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let bytes = bytes.as_slice().try_into().map_err(|_| format!("{} bytes instead of {SLOT_BYTES}", bytes.len()))?;
    Slot::parse(bytes).ok_or_else(|| "the checksum does not fit".into())
}

fn write_slot(folder: &Path, path: &Path, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
    let new = !path.exists();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.len() != SLOT_BYTES as u64 {
        file.set_len(SLOT_BYTES as u64)?;
    }
    file.write_all_at(bytes, 0)?;
    file.sync_data()?; // with the length, where that has changed
    if new { sync_folder(folder) } else { Ok(()) }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Between two writes: a sync for every batch would cost a busy hub as much as its batches do.
const REST: Duration = Duration::from_millis(50);

/// Moves a fence on, on a thread of its own, always with the newest head it was given.
pub struct FenceThread {
    shared: Arc<Shared>,
    synced: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
    clock: Clock,
    folder: PathBuf,
}

/// A fence as seen by who does not move it on.
#[derive(Clone)]
pub struct FenceHandle {
    shared: Arc<Shared>,
    clock: Clock,
    folder: PathBuf,
}

impl FenceHandle {
    /// As [`FenceThread::behind_ms`].
    #[must_use]
    pub fn behind_ms(&self) -> u64 {
        self.shared.behind_ms(&self.clock)
    }

    /// Keeps a signed checkpoint that the running log does not go on from. The next start holds the log against it: without it, a
    /// machine set back as a whole would start again and sign a second history. A crash in here leaves a torn note, which is none.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn keep_note(&self, note: &[u8]) -> io::Result<()> {
        let mut name = NOTE_PREFIX.to_owned();
        Sha256::digest(note).iter().take(8).for_each(|byte| name.push_str(&format!("{byte:02x}")));
        let path = self.folder.join(name + ".note");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(note)?;
        file.sync_all()?;
        sync_folder(&self.folder)
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest head not yet handed to the disk, and when the first one since the last hand-over was offered.
    waiting: Option<(Head, u64)>,
    /// When the first head of what is being written now was offered.
    writing_since_ms: Option<u64>,
    /// Why the last write failed; cleared by one that succeeds.
    failed: Option<String>,
    /// The fence refused a head: nothing will be recorded any more.
    refused: bool,
    /// The thread has just written and sleeps; it needs no waking.
    resting: bool,
    closing: bool,
}

impl FenceThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(fence: Fence, clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let (sender, synced) = watch::channel(fence.newest().map_or(0, |head| head.size));
        let (worker, folder) = (shared.clone(), fence.folder.clone());
        let thread = std::thread::Builder::new().name("fence".into()).spawn(move || worker.run(fence, &sender))?;
        Ok(Self { shared, synced, thread: Some(thread), clock, folder })
    }

    /// Tells of a head that is durable in the store. Returns at once; of several only the newest is written.
    pub fn offer(&self, head: Head) {
        let now_ms = self.clock.now_ms();
        let mut state = self.shared.state();
        let since_ms = state.waiting.take().map_or(now_ms, |(_, since_ms)| since_ms);
        state.waiting = Some((head, since_ms));
        // A thread at rest looks by itself when the rest is over: waking it for each batch would cost more than most of what a batch does.
        if !state.resting {
            self.shared.changed.notify_all();
        }
    }

    /// How long the oldest head that is not yet on disk has been waiting, in milliseconds; 0 when none is. Recording
    /// pauses above [`BEHIND_MS_MAX`]. `u64::MAX`: the fence refused a head, and recording must stop for good.
    #[must_use]
    pub fn behind_ms(&self) -> u64 {
        self.shared.behind_ms(&self.clock)
    }

    /// For who does not own the thread.
    #[must_use]
    pub fn handle(&self) -> FenceHandle {
        FenceHandle { shared: self.shared.clone(), clock: self.clock.clone(), folder: self.folder.clone() }
    }

    /// The size of the head on disk.
    #[must_use]
    pub fn synced_size(&self) -> u64 {
        *self.synced.borrow()
    }

    /// Follows [`FenceThread::synced_size`], so that who pauses can wait for it. Closed when the fence refuses a head.
    #[must_use]
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.synced.clone()
    }

    /// Why the fence does not move on, if it does not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.state().failed.clone()
    }

    /// Writes what was offered last and ends the thread. Dropping does the same, in silence.
    ///
    /// # Errors
    /// Why the last head could not be written: the next start sees an older fence, which is safe.
    pub fn close(mut self) -> Result<(), String> {
        self.end();
        self.shared.state().failed.take().map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FenceThread {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behind_ms(&self, clock: &Clock) -> u64 {
        let state = self.state();
        if state.refused {
            return u64::MAX;
        }
        let since_ms = state.writing_since_ms.or(state.waiting.as_ref().map(|(_, since_ms)| *since_ms));
        since_ms.map_or(0, |since_ms| clock.now_ms().saturating_sub(since_ms))
    }

    fn run(&self, mut fence: Fence, synced: &watch::Sender<u64>) {
        while let Some((head, since_ms)) = self.next() {
            let size = head.size;
            let done = fence.advance(head.clone());
            let mut state = self.state();
            match done {
                Ok(()) => {
                    state.writing_since_ms = None;
                    state.failed = None;
                    synced.send_replace(size);
                    // What comes meanwhile is written together; the head it names is never older than this rest.
                    state.resting = true;
                    let rested = self.changed.wait_timeout_while(state, REST, |state| !state.closing);
                    rested.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state).resting = false;
                }
                Err(error @ FenceError::Io { .. }) => {
                    state.writing_since_ms = None;
                    state.failed = Some(error.to_string());
                    if state.closing {
                        return;
                    }
                    // A newer head may have come meanwhile; the waiting began with this one.
                    let newest = state.waiting.take().map_or(head, |(newer, _)| newer);
                    state.waiting = Some((newest, since_ms));
                    drop(state);
                    std::thread::sleep(RETRY);
                }
                Err(refused) => {
                    state.failed = Some(refused.to_string());
                    state.refused = true;
                    return;
                }
            }
        }
    }

    /// Waits for a head to write; `None` at the end.
    fn next(&self) -> Option<(Head, u64)> {
        let mut state = self.state();
        loop {
            if let Some((head, since_ms)) = state.waiting.take() {
                state.writing_since_ms = Some(since_ms);
                return Some((head, since_ms));
            }
            if state.closing {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Why the fence was not read or moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// Neither slot says how far the log had come.
    #[error("no slot of the fence in {} reads (slot-0: {first}; slot-1: {second})", folder.display())]
    Unreadable {
        /// Which fence.
        folder: PathBuf,
        /// What is wrong with the first slot.
        first: String,
        /// What is wrong with the second.
        second: String,
    },
    /// A fence is there; overwriting it would forget how far the log had come.
    #[error("there is a fence in {} already", .0.display())]
    Exists(PathBuf),
    /// The log offered is shorter than what was durable before: something was lost.
    #[error("the log had {kept} entries and now has {offered}")]
    Backwards {
        /// Size in the fence.
        kept: u64,
        /// Size offered.
        offered: u64,
    },
    /// Two roots for one size: history was changed.
    #[error("the log has another root at size {0} than before")]
    Forked(u64),
    /// The head is of another log.
    #[error("the fence stands before log {kept}, not {offered}")]
    OtherOrigin {
        /// Origin in the fence.
        kept: String,
        /// Origin offered.
        offered: String,
    },
    /// A new log needs a new origin.
    #[error("log {0} was begun before")]
    SameOrigin(String),
    /// An origin has 1 to 255 bytes.
    #[error("an origin has 1 to {ORIGIN_BYTES_MAX} bytes")]
    OriginLength,
    /// The disk said no.
    #[error("fence {}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
