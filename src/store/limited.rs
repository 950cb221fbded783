//! The wrapper that makes engines alike: limits, shape of a batch, life of a snapshot, batch ids.
//!
//! An [`Engine`] is not a [`Store`]; [`Limited`] is the only thing that turns one into the other. Versions are counted
//! by [`settle`] for engines that keep them in the value, and by a column where an engine has one.
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::contract::{
    Admitted, Batch, BatchId, BatchOutcome, Check, CommitError, Direction, Engine, Key, KeyRange, OUTCOME_KEPT_MS,
    PAGE_ROWS_MAX, Page, SNAPSHOT_MS_MAX, Snapshot, Store, StoreError, Versioned,
};
use super::epoch::{Epoch, Moves};
use super::key_space::{self, Prefix};
use crate::clock::Clock;
use crate::limits::{STORE_BATCH_BYTES_MAX, STORE_MUTATIONS_MAX, STORE_VALUE_BYTES_MAX};

/// Old batch ids are looked for with every so many commits …
const PURGE_EVERY: u64 = 16;
/// … among this many rows, going round. Four rows looked at for each one written: the whole is walked while it grows
/// by a quarter.
const PURGE_ROWS: usize = 64;

/// How long one moment of the engine is handed out again. Each who gets it may read it for the whole [`SNAPSHOT_MS_MAX`].
const SHARED_MS_MAX: u64 = 100;

/// An engine behind the limits of the contract.
pub struct Limited<E> {
    engine: E,
    clock: Clock,
    purge: Mutex<Purge>,
    moves: Moves,
    /// How many commits have come back, whatever they said.
    returned: AtomicU64,
    newest: Mutex<Option<Shared>>,
}

/// A moment of the engine that questions share: none of them can tell it from one of its own.
#[derive(Clone)]
struct Shared {
    moment: Arc<EngineMoment>,
    taken_ms: u64,
    /// [`Limited::returned`] before it was taken: while that stands, it shows every commit that came back with `Ok`.
    returned: u64,
}

struct EngineMoment {
    snapshot: Arc<dyn Snapshot>,
    epoch: Option<Epoch>,
    /// The head row, which everyone reads who takes a snapshot.
    head: OnceLock<Option<Versioned>>,
}

/// Where the search for old batch ids stands. Lost in a crash, which costs nothing: it starts again at the first row.
#[derive(Default)]
struct Purge {
    commits: u64,
    rest: Option<KeyRange>,
}

impl<E: Engine> Limited<E> {
    /// Puts the limits before an engine. The clock decides when a snapshot has expired and when a batch id is old.
    #[must_use]
    pub fn new(engine: E, clock: Clock) -> Self {
        Self {
            engine,
            clock,
            purge: Mutex::default(),
            moves: Moves::default(),
            returned: AtomicU64::new(0),
            newest: Mutex::default(),
        }
    }

    /// The engine itself, for what the contract does not have (its own statistics, its backup).
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The newest moment of the engine: the one that is there, unless a commit has come back since.
    async fn moment(&self, now_ms: u64) -> Result<Arc<EngineMoment>, StoreError> {
        if !self.engine.is_alone() {
            let snapshot = self.engine.snapshot().await?;
            return Ok(Arc::new(EngineMoment { snapshot, epoch: None, head: OnceLock::new() }));
        }
        let returned = self.returned.load(Ordering::SeqCst);
        let shared = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(shared) = shared
            && shared.returned == returned
            && shared.taken_ms.abs_diff(now_ms) <= SHARED_MS_MAX
        {
            return Ok(shared.moment);
        }
        let ended = self.moves.ended();
        let snapshot = self.engine.snapshot().await?;
        let epoch = self.moves.epoch(ended);
        let moment = Arc::new(EngineMoment { snapshot, epoch, head: OnceLock::new() });
        let shared = Shared { moment: moment.clone(), taken_ms: now_ms, returned };
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest.returned <= returned) {
            *newest = Some(shared);
        }
        Ok(moment)
    }

    /// Batch ids older than 24 hours, a few at a time. A failure to look is no failure to commit.
    async fn old_batch_ids(&self, now_ms: u64) -> Vec<Key> {
        let range = {
            let mut purge = self.purge.lock().unwrap_or_else(PoisonError::into_inner);
            purge.commits = purge.commits.wrapping_add(1);
            if !purge.commits.is_multiple_of(PURGE_EVERY) {
                return Vec::new();
            }
            purge.rest.take().unwrap_or_else(|| Prefix::BatchId.range())
        };
        let Ok(view) = self.engine.snapshot().await else { return Vec::new() };
        let Ok(page) = view.scan(range, Direction::Forward, PURGE_ROWS).await else { return Vec::new() };
        self.purge.lock().unwrap_or_else(PoisonError::into_inner).rest = page.next;
        let old = |value: &Versioned| {
            committed_ms(&value.body).is_some_and(|then| then.saturating_add(OUTCOME_KEPT_MS) < now_ms)
        };
        page.rows.into_iter().filter(|(_, value)| old(value)).map(|(key, _)| key).collect()
    }
}

#[async_trait]
impl<E: Engine> Store for Limited<E> {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let taken_ms = self.clock.now_ms();
        let moment = self.moment(taken_ms).await?;
        Ok(Arc::new(LimitedSnapshot { moment, clock: self.clock.clone(), taken_ms }))
    }

    async fn commit(&self, mut batch: Batch) -> Result<(), CommitError> {
        admit(&batch)?;
        let now_ms = self.clock.now_ms();
        // The row that answers `outcome` stands or falls with the batch, and a batch id is spent only once.
        let id_row = key_space::batch_id(batch.id);
        batch.checks.insert(0, Check::Absent(id_row.clone()));
        batch.fresh.push((id_row.clone(), Bytes::copy_from_slice(&now_ms.to_be_bytes())));
        batch.deletes.extend(self.old_batch_ids(now_ms).await.into_iter().filter(|key| *key != id_row));
        let moves = self.moves.begin(&batch);
        // Whoever drops this future here leaves a move without an end: reference rows are then read anew for every question.
        let done = self.engine.commit(Admitted(batch)).await;
        if moves && done != Err(CommitError::Unknown) {
            self.moves.end();
        }
        self.returned.fetch_add(1, Ordering::SeqCst);
        match done {
            Err(CommitError::CheckFailed(key)) if key == id_row => Err(CommitError::AlreadyCommitted),
            done => done,
        }
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome, StoreError> {
        self.engine.certain().await?;
        let row = self.engine.snapshot().await?.get(&key_space::batch_id(id)).await?;
        self.returned.fetch_add(1, Ordering::SeqCst); // whoever now knows of the batch sees it
        Ok(if row.is_some() { BatchOutcome::Committed } else { BatchOutcome::Absent })
    }

    fn headroom_bytes(&self) -> u64 {
        self.engine.headroom_bytes()
    }
}

/// A snapshot that refuses to be read after its time and bounds what is asked at once.
struct LimitedSnapshot {
    moment: Arc<EngineMoment>,
    clock: Clock,
    taken_ms: u64,
}

impl LimitedSnapshot {
    fn alive(&self) -> Result<(), StoreError> {
        let age = self.clock.now_ms().saturating_sub(self.taken_ms);
        if age > SNAPSHOT_MS_MAX { Err(StoreError::SnapshotExpired) } else { Ok(()) }
    }
}

#[async_trait]
impl Snapshot for LimitedSnapshot {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.alive()?;
        if *key.as_bytes() != [Prefix::Head.byte()] {
            return self.moment.snapshot.get(key).await;
        }
        if let Some(head) = self.moment.head.get() {
            return Ok(head.clone());
        }
        let head = self.moment.snapshot.get(key).await?;
        Ok(self.moment.head.get_or_init(|| head).clone())
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        self.alive()?;
        if keys.len() > PAGE_ROWS_MAX {
            return Err(StoreError::TooLarge { what: "keys of one read", max: PAGE_ROWS_MAX });
        }
        self.moment.snapshot.multi_get(keys).await
    }

    async fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError> {
        self.alive()?;
        if range.is_empty() {
            return Ok(Page::default());
        }
        self.moment.snapshot.scan(range, direction, limit.min(PAGE_ROWS_MAX)).await
    }

    fn epoch(&self) -> Option<&Epoch> {
        self.moment.epoch.as_ref()
    }
}

/// Refuses what is over a limit or contradicts itself, before any engine sees it.
fn admit(batch: &Batch) -> Result<(), CommitError> {
    let too_large = |what, max| Err(CommitError::TooLarge { what, max });
    if batch.mutations() > STORE_MUTATIONS_MAX {
        return too_large("mutations of one batch", STORE_MUTATIONS_MAX);
    }
    if batch.checks.len() > STORE_MUTATIONS_MAX {
        return too_large("checks of one batch", STORE_MUTATIONS_MAX);
    }
    if batch.puts.iter().chain(&batch.fresh).any(|(_, body)| body.len() > STORE_VALUE_BYTES_MAX) {
        return too_large("bytes of one value", STORE_VALUE_BYTES_MAX);
    }
    if batch.bytes() > STORE_BATCH_BYTES_MAX {
        return too_large("bytes of one batch", STORE_BATCH_BYTES_MAX);
    }
    let mut seen = HashSet::with_capacity(batch.mutations());
    for key in batch.puts.iter().chain(&batch.fresh).map(|(key, _)| key).chain(&batch.deletes) {
        if Prefix::of(key) == Some(Prefix::BatchId) {
            return Err(CommitError::Malformed("batch ids are written by the store itself"));
        }
        if !seen.insert(key) {
            return Err(CommitError::Malformed("one key is written twice"));
        }
    }
    Ok(())
}

fn committed_ms(body: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(body.try_into().ok()?))
}

/// What an engine that keeps versions in its values has to write, checks tested and versions counted.
pub(super) struct Settled {
    /// Key and framed value.
    pub(super) puts: Vec<(Key, Vec<u8>)>,
    /// Keys to remove.
    pub(super) deletes: Vec<Key>,
}

/// Tests the checks of a batch and counts its versions. The engine holds its commit lock from before this until the
/// write is done; that is what makes check and write one step.
pub(super) fn settle(
    batch: Admitted,
    mut stored_version: impl FnMut(&Key) -> Result<Option<u64>, StoreError>,
) -> Result<Settled, CommitError> {
    let mut version_of = |key: &Key| stored_version(key).map_err(|error| CommitError::Unavailable(error.to_string()));
    let batch = batch.into_inner();
    for check in batch.checks {
        if !check.holds(version_of(check.key())?) {
            return Err(CommitError::CheckFailed(check.key().clone()));
        }
    }
    let mut puts = Vec::with_capacity(batch.puts.len().saturating_add(batch.fresh.len()));
    for (key, body) in batch.puts {
        let version = version_of(&key)?.unwrap_or(0).saturating_add(1);
        puts.push((key, Versioned::frame(version, &body)));
    }
    puts.extend(batch.fresh.into_iter().map(|(key, body)| (key, Versioned::frame(1, &body))));
    Ok(Settled { puts, deletes: batch.deletes })
}
