//! The one task that appends to the log, and the only committer of what the log speaks of.
//!
//! It takes what waits (up to 1,000 mutations or 1 MiB), gives every entry its place and time, and makes mutations, entries,
//! encrypted statements and the new head durable in one store batch. Only then do the waiters get their paths. While one batch is
//! made durable the next gathers.
//!
//! What a crash leaves: before the commit, nothing; after it, everything of the batch, and callers that never heard of it find it
//! by their request id. The fence is told after the commit and may lag behind the head, never lead it.
use super::head::Head;
use crate::clock::Clock;
use crate::failure::{Failure, Reason};
use crate::library::record::Stamp;
use crate::limits::{PUBLIC_EVENT_BYTES_MAX, STORE_BATCH_BYTES_MAX, STORE_MUTATIONS_MAX, STORE_VALUE_BYTES_MAX};
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::statement_entry;
use crate::log::merkle::leaf_hash;
use crate::log::tiles::RightEdge;
use crate::log::{Entry, Frontier, Hash, LogKey, Origin, Suite, SuiteName, VerifierKey};
use crate::store::fence::{BEHIND_MS_MAX, FenceHandle, FenceThread, Head as FenceHead};
use crate::store::key_space::Prefix;
use crate::store::space::{For, Space};
use crate::store::{Batch, BatchId, BatchOutcome, Check, CommitError, Key, Snapshot, Store, StoreError, key_space};
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use bytes::Bytes;
use prost::Message;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Units that may wait; beyond it callers are told that the hub is busy.
const WAITING_MAX: usize = 4_096;
/// A batch gathers for at most so long after its first unit.
const GATHERING_MAX: Duration = Duration::from_millis(1);
/// The clock may stand this far behind the newest entry, and a statement this far ahead of the clock.
const CLOCK_SLACK_MS: u64 = 1_000;
/// A clock that was put ahead by more than this while the hub runs is not believed: entries of a time to come would keep recording
/// paused until that time, once the clock is corrected.
const PUT_AHEAD_MS_MAX: u64 = 3_600_000;
/// How long recording waits for the fence before it says so.
const FENCE_WAIT: Duration = Duration::from_secs(2);
/// Mutations and bytes kept free for head, tiles and the wrapper's own row.
const RESERVE_MUTATIONS: usize = 16;
const RESERVE_BYTES: usize = 64 << 10;
/// A public entry is `kind u8 ‖ time u64 ‖ event`.
const EVENT_BYTES_MAX: usize = PUBLIC_EVENT_BYTES_MAX - 9;

/// One entry about to be placed.
#[derive(Debug)]
pub enum Draft {
    /// A statement: its commitment, its encrypted row, whom it is about, when it was decided.
    Statement {
        /// `C`.
        commitment: Hash,
        /// Statement, salt, question and blind, sealed under `C`.
        sealed: Bytes,
        /// For the ledger of who looked at whom.
        subject_ref: Option<[u8; 16]>,
        /// Unix milliseconds.
        decided_ms: u64,
    },
    /// A public event, canonical.
    Public(Bytes),
}

/// Entries and mutations that go into one batch together or not at all.
#[derive(Debug, Default)]
pub struct Unit {
    /// What it is written for: decides who goes first when the disk gets full.
    pub occasion: For,
    /// The entries, in order; none for housekeeping.
    pub drafts: Vec<Draft>,
    /// What must hold at the commit.
    pub checks: Vec<Check>,
    /// Rows to write.
    pub puts: Vec<(Key, Bytes)>,
    /// Rows written once.
    pub fresh: Vec<(Key, Bytes)>,
    /// Rows to remove.
    pub deletes: Vec<Key>,
    /// Rows that get `index u64 ‖ time_s u64` of the unit's first entry in front.
    pub stamped: Vec<(Key, Bytes)>,
}

/// Where the entries of a unit were placed.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Index of the first entry; the others follow.
    pub first_index: u64,
    /// Time of all of them, Unix seconds.
    pub time_s: u64,
    /// Inclusion paths, 32 bytes a hash, leaf to root.
    pub paths: Vec<Bytes>,
    /// The signed checkpoint they lead to.
    pub checkpoint: Bytes,
}

/// Why a unit was not recorded.
#[derive(Debug, Clone)]
pub enum NotRecorded {
    /// A condition does not hold; nothing of the unit was written.
    CheckFailed(Key),
    /// Recording did not happen, for this reason.
    Failed(Failure),
}

impl From<NotRecorded> for Failure {
    fn from(error: NotRecorded) -> Self {
        match error {
            NotRecorded::CheckFailed(_) => Failure::new(Reason::StateChangedMeanwhile),
            NotRecorded::Failed(failure) => failure,
        }
    }
}

type Reply = oneshot::Sender<Result<Placed, NotRecorded>>;

/// The newest durable head with its signed checkpoint.
#[derive(Clone, Debug)]
pub struct Latest {
    /// Size, root, time.
    pub head: Head,
    /// The signed note.
    pub checkpoint: Bytes,
}

/// Handle to the sequencer.
#[derive(Clone)]
pub struct Ledger {
    units: mpsc::Sender<(Unit, Reply)>,
    latest: watch::Receiver<Latest>,
    stop: Arc<watch::Sender<Option<String>>>,
    space: Space,
    clock: Clock,
    fence: FenceHandle,
    key: SigningKey,
    suite: SuiteName,
}

/// The key that signs, changed between two batches ([`Ledger::sign_with`]).
pub type SigningKey = Arc<ArcSwap<LogKey>>;

impl Ledger {
    /// The same ledger, taking nothing that this space has no room for.
    #[must_use]
    pub fn within(self, space: Space) -> Self {
        Self { space, ..self }
    }

    /// The room it writes into.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Hands in a unit and waits until it is durable.
    ///
    /// # Errors
    /// [`NotRecorded`]: then nothing of the unit is in the log.
    pub async fn record(&self, unit: Unit) -> Result<Placed, NotRecorded> {
        if let Some(why) = self.stop.borrow().as_ref() {
            return Err(NotRecorded::Failed(Failure::new(Reason::RecordingStopped).because(why)));
        }
        self.space.admit(unit.occasion, size_of(&unit).1).map_err(NotRecorded::Failed)?;
        let (reply, placed) = oneshot::channel();
        self.units.try_send((unit, reply)).map_err(|_| {
            NotRecorded::Failed(Failure::new(Reason::HubOverloaded).because("the sequencer's queue is full"))
        })?;
        let gone = || NotRecorded::Failed(Failure::new(Reason::RecordingStopped).because("the sequencer has ended"));
        placed.await.map_err(|_| gone())?
    }

    /// The newest durable head.
    #[must_use]
    pub fn latest(&self) -> Latest {
        self.latest.borrow().clone()
    }

    /// Follows the newest durable head.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Latest> {
        self.latest.clone()
    }

    /// Stops recording for good: two histories were seen, or the disk failed. The process is to end.
    pub fn stop(&self, why: &str) {
        self.stop.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(why.to_owned());
            }
            first
        });
    }

    /// Stops recording for good because of a checkpoint of ours that the log does not go on from. It is kept beside the fence, so that
    /// the next start refuses too.
    pub fn convict(&self, why: &str, seen: &[u8]) {
        if let Err(error) = self.fence.keep_note(seen) {
            tracing::error!(%error, "the checkpoint could not be kept beside the fence: save it from this log");
        }
        self.stop(why);
    }

    /// Why nothing would be recorded now, asked anew each time; `None` where something would.
    #[must_use]
    pub fn paused(&self) -> Option<String> {
        let behind = self.fence.behind_ms() > BEHIND_MS_MAX.saturating_add(FENCE_WAIT.as_millis() as u64);
        let fence = || behind.then(|| FENCE_SLOW.to_owned());
        clock_fault(&self.clock, self.latest.borrow().head.time_s).or_else(fence)
    }

    /// The suite of the log: whoever computes something of it asks here.
    #[must_use]
    pub fn suite(&self) -> SuiteName {
        self.suite
    }

    /// The key that signs at present.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.key.load().verifier().clone()
    }

    /// Signs with another key of the same log from the next batch on. What waits for the batch under way is signed with the old
    /// one; both must be trusted meanwhile. A crash forgets this: the next start reads the key file.
    ///
    /// # Errors
    /// [`Reason::Internal`] for the key of another log; nothing changed.
    pub fn sign_with(&self, key: LogKey) -> Result<(), Failure> {
        let (old, new) = (self.verifier(), key.verifier());
        if (old.name(), old.suite()) != (new.name(), new.suite()) {
            return Err(Failure::new(Reason::Internal).because("the key of another log"));
        }
        self.key.store(Arc::new(key));
        Ok(())
    }

    /// Becomes `Some(reason)` once recording has stopped for good.
    #[must_use]
    pub fn stopped(&self) -> watch::Receiver<Option<String>> {
        self.stop.subscribe()
    }
}

/// What the sequencer needs.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The log's signing key; its name is the origin.
    pub key: SigningKey,
    /// The second place the head is kept.
    pub fence: FenceThread,
    /// The only clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
}

struct Sequencer<S: Suite> {
    parts: Parts,
    origin: Origin,
    frontier: Frontier<S>,
    edge: RightEdge<S>,
    time_s: u64,
    head_version: u64,
    latest: watch::Sender<Latest>,
    stop: Arc<watch::Sender<Option<String>>>,
    waiting: VecDeque<(Unit, Reply)>,
}

/// Starts the sequencer of a log on its stored head.
///
/// # Errors
/// Whatever the store refuses; a head that does not fit the stored leaves.
pub async fn start<S: Suite>(parts: Parts, origin: Origin) -> Result<Ledger, Failure> {
    let stored = super::head::load::<S>(parts.store.as_ref(), &origin).await?;
    let checkpoint = sign::<S>(&parts.key.load(), &origin, &stored.frontier)?;
    let head = Head::of(&origin, &stored.frontier, stored.time_s);
    let (latest_tx, latest) = watch::channel(Latest { head, checkpoint });
    let (units, mut incoming) = mpsc::channel(WAITING_MAX);
    let (clock, fence) = (parts.clock.clone(), parts.fence.handle());
    let stop = Arc::new(watch::channel(None).0);
    let key = parts.key.clone();
    let mut sequencer = Sequencer {
        parts,
        origin,
        frontier: stored.frontier,
        edge: stored.edge,
        time_s: stored.time_s,
        head_version: stored.head_version,
        latest: latest_tx,
        stop: stop.clone(),
        waiting: VecDeque::new(),
    };
    tokio::spawn(async move {
        while sequencer.gather(&mut incoming).await {
            if let Err(why) = sequencer.append().await {
                tracing::error!(reason = %why, "recording has stopped");
                sequencer.stop.send_replace(Some(why.to_string()));
                break;
            }
        }
    });
    Ok(Ledger { units, latest, stop, space: Space::boundless(), clock, fence, key, suite: S::NAME })
}

fn sign<S: Suite>(key: &LogKey, origin: &Origin, frontier: &Frontier<S>) -> Result<Bytes, Failure> {
    let checkpoint = Checkpoint { origin: origin.clone(), size: frontier.size(), root: frontier.root() };
    // A device may be slow: what else this thread had to do goes to another one.
    let signed =
        if key.is_held() { tokio::task::block_in_place(|| checkpoint.sign(key)) } else { checkpoint.sign(key) };
    signed.map(Bytes::from).map_err(|e| Failure::new(Reason::Internal).because(e))
}

/// A batch being put together.
struct Building {
    batch: Batch,
    /// Keys that units of the batch write or remove: nobody else in it may write them or condition on them.
    written: HashSet<Key>,
    /// Keys that units condition on: others may too, but not write them.
    checked: HashSet<Key>,
    entries: Vec<Bytes>,
    /// Rows of one kind stand together in the batch: the engine's memory table takes ascending keys in one stride.
    statements: Vec<(Key, Bytes)>,
    ledger: Vec<(Key, Bytes)>,
    /// Units that go into this batch.
    chosen: Vec<(Unit, Reply)>,
    /// Who waits for which entries: offset and count.
    accepted: Vec<(Reply, usize, usize)>,
    /// One time for the whole batch.
    time_s: u64,
    /// Index of the next entry.
    next_index: u64,
    mutations: usize,
    checks: usize,
    bytes: usize,
}

impl<S: Suite> Sequencer<S> {
    /// Waits for work and takes all there is; false when nobody can hand in any more.
    async fn gather(&mut self, incoming: &mut mpsc::Receiver<(Unit, Reply)>) -> bool {
        if self.waiting.is_empty() {
            match incoming.recv().await {
                Some(unit) => self.waiting.push_back(unit),
                None => return false,
            }
        }
        // Answers that are nearly ready share one durable write: as long as letting the others run brings more, they run first.
        let begun = tokio::time::Instant::now();
        loop {
            let before = self.waiting.len();
            tokio::task::yield_now().await;
            while self.waiting.len() < WAITING_MAX {
                match incoming.try_recv() {
                    Ok(unit) => self.waiting.push_back(unit),
                    Err(_) => break,
                }
            }
            if self.waiting.len() == before || begun.elapsed() >= GATHERING_MAX {
                return true;
            }
        }
    }

    /// One batch: choose, place, sign, commit, release. An error ends recording.
    async fn append(&mut self) -> Result<(), Failure> {
        let now_ms = self.parts.clock.now_ms();
        if let Some(why) = clock_fault(&self.parts.clock, self.time_s) {
            self.refuse_all(&Failure::new(Reason::RecordingPaused).because(why));
            return Ok(());
        }
        if let Err(paused) = self.wait_for_fence().await {
            self.refuse_all(&paused);
            return Ok(());
        }
        let snapshot = self.parts.store.snapshot().await.map_err(crate::library::record::from_store)?;
        let mut building = Building {
            batch: Batch::new(BatchId::random().map_err(|e| Failure::new(Reason::Internal).because(e))?),
            written: HashSet::new(),
            checked: HashSet::new(),
            entries: Vec::new(),
            statements: Vec::new(),
            ledger: Vec::new(),
            chosen: Vec::new(),
            accepted: Vec::new(),
            time_s: self.time_s.max(now_ms / 1_000),
            next_index: self.frontier.size(),
            mutations: 0,
            checks: 0,
            bytes: 0,
        };
        self.choose(&mut building, snapshot.as_ref(), now_ms).await?;
        drop(snapshot);
        if building.chosen.is_empty() {
            return Ok(());
        }
        for (unit, reply) in std::mem::take(&mut building.chosen) {
            place(&mut building, unit, reply);
        }
        if building.entries.is_empty() {
            building.time_s = self.time_s; // rows without an entry: the head's time stays that of its newest entry
        }
        building.batch.fresh.append(&mut building.statements);
        building.batch.fresh.append(&mut building.ledger);
        let leaves: Vec<Hash> = building.entries.iter().map(|entry| leaf_hash::<S>(entry)).collect();
        let appended = self.frontier.append(&leaves);
        for (tile, hashes) in self.edge.append(&leaves) {
            building.batch.put_fresh(key_space::tile(tile.level, tile.index), hashes.as_flattened().to_vec());
        }
        let head = Head::of(&self.origin, appended.frontier(), building.time_s);
        building.batch.put(key_space::head(), head.encode_to_vec());
        building.batch.check(match self.head_version {
            0 => Check::Absent(key_space::head()),
            version => Check::Version(key_space::head(), version),
        });
        // The signature is made before the commit and stays inside until it says Ok.
        let checkpoint = sign::<S>(&self.parts.key.load(), &self.origin, appended.frontier())?;
        let begun = tokio::time::Instant::now();
        self.commit(building.batch).await?;
        self.parts.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
        self.parts.metrics.recording_paused.set(0);
        self.parts.metrics.batch_entries.observe(building.entries.len() as f64);
        self.parts.metrics.log_size.set(i64::try_from(head.size).unwrap_or(i64::MAX));
        self.head_version += 1;
        self.time_s = building.time_s;
        let first = self.frontier.size();
        for (reply, offset, count) in building.accepted {
            let first_index = first + offset as u64;
            let paths = (0..count as u64)
                .map(|n| appended.path(first_index + n).map(Bytes::from).unwrap_or_default())
                .collect();
            // A waiter that has gone away finds its answer by request id.
            let _ = reply.send(Ok(Placed { first_index, time_s: self.time_s, paths, checkpoint: checkpoint.clone() }));
        }
        self.frontier = appended.into_frontier();
        self.parts.metrics.fence_lag_ms.set(self.parts.fence.behind_ms() as f64);
        self.parts.fence.offer(FenceHead {
            origin: self.origin.to_string(),
            size: head.size,
            root: self.frontier.root(),
        });
        self.latest.send_replace(Latest { head, checkpoint });
        Ok(())
    }

    /// Takes waiting units into the batch until it is full. Units that write a key of the batch, or
    /// condition on one it writes, wait for the next one; a unit
    /// whose condition does not hold is refused alone.
    async fn choose(&mut self, building: &mut Building, snapshot: &dyn Snapshot, now_ms: u64) -> Result<(), Failure> {
        let mut later = VecDeque::new();
        while let Some((unit, reply)) = self.waiting.pop_front() {
            // What no store takes would take the whole batch, and with it all recording, down.
            if let Some(why) = malformed(&unit) {
                tracing::error!(reason = why, "a unit was refused alone");
                let _ = reply.send(Err(NotRecorded::Failed(Failure::new(Reason::Internal).because(why))));
                continue;
            }
            let (mutations, bytes) = size_of(&unit);
            let full = building.mutations + mutations > STORE_MUTATIONS_MAX - RESERVE_MUTATIONS
                || building.checks + unit.checks.len() > STORE_MUTATIONS_MAX - RESERVE_MUTATIONS
                || building.bytes + bytes > STORE_BATCH_BYTES_MAX - RESERVE_BYTES;
            if full && !building.chosen.is_empty() {
                self.waiting.push_front((unit, reply));
                break;
            }
            if full {
                let _ = reply.send(Err(NotRecorded::Failed(
                    Failure::new(Reason::Internal).because("a unit too large to record"),
                )));
                continue;
            }
            let overwritten = unit.checks.iter().map(Check::key).any(|key| building.written.contains(key));
            let overwrites = |key| building.written.contains(key) || building.checked.contains(key);
            if overwritten || written_by(&unit).any(overwrites) {
                later.push_back((unit, reply));
                continue;
            }
            if let Some(refused) = refusal(&unit, snapshot, now_ms).await? {
                let _ = reply.send(Err(refused));
                continue;
            }
            building.bytes += bytes;
            building.mutations += mutations;
            building.checks += unit.checks.len();
            building.written.extend(written_by(&unit).cloned());
            building.checked.extend(unit.checks.iter().map(|check| check.key().clone()));
            let newest = unit.drafts.iter().filter_map(decided_ms).max().unwrap_or(0);
            building.time_s = building.time_s.max(newest / 1_000);
            building.chosen.push((unit, reply));
        }
        while let Some(unit) = later.pop_back() {
            self.waiting.push_front(unit);
        }
        Ok(())
    }

    async fn commit(&self, batch: Batch) -> Result<(), Failure> {
        let id = batch.id;
        for _ in 0..50 {
            match self.parts.store.commit(batch.clone()).await {
                Ok(()) | Err(CommitError::AlreadyCommitted) => return Ok(()),
                Err(CommitError::Conflict) => tokio::time::sleep(Duration::from_millis(5)).await,
                // Nothing is built until it is known whether the batch is there.
                Err(CommitError::Unknown) => loop {
                    match self.parts.store.outcome(id).await {
                        Ok(BatchOutcome::Committed) => return Ok(()),
                        Ok(BatchOutcome::Absent) => break,
                        // The next start learns from the disk whether it is there; its callers find it by request id.
                        Err(error @ StoreError::Stopped(_)) => {
                            return Err(Failure::new(Reason::RecordingStopped).because(error));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "the outcome of a batch is not known yet");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                },
                // An I/O error, a second sequencer, a batch no engine takes: this process may not go on.
                Err(error) => return Err(Failure::new(Reason::RecordingStopped).because(error)),
            }
        }
        Err(Failure::new(Reason::RecordingStopped).because("the store kept refusing a batch"))
    }

    async fn wait_for_fence(&self) -> Result<(), Failure> {
        let mut waited = Duration::ZERO;
        while self.parts.fence.behind_ms() > BEHIND_MS_MAX {
            if waited >= FENCE_WAIT {
                return Err(Failure::new(Reason::RecordingPaused).because(FENCE_SLOW));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited += Duration::from_millis(5);
        }
        Ok(())
    }

    fn refuse_all(&mut self, failure: &Failure) {
        tracing::warn!(%failure, "recording is paused");
        self.parts.metrics.recording_paused.set(1);
        for (_, reply) in self.waiting.drain(..) {
            let _ = reply.send(Err(NotRecorded::Failed(failure.clone())));
        }
    }
}

const FENCE_SLOW: &str = "the fence cannot be written or is too slow (防回退文件无法写入或过慢)";

/// Why the clock is not believed, and what helps.
fn clock_fault(clock: &Clock, newest_s: u64) -> Option<String> {
    let now_ms = clock.now_ms();
    if now_ms.saturating_add(CLOCK_SLACK_MS) < newest_s.saturating_mul(1_000) {
        let behind_s = newest_s.saturating_sub(now_ms / 1_000);
        return Some(format!(
            "the clock stands {behind_s} s behind the newest entry: set it, or wait; recording goes on by itself when it has caught up. \
             If that entry was made while the clock was far ahead, restore the backup from before and run `wuku recover --new-log` \
             (时钟落后于最新条目 {behind_s} 秒：请校时或等待，追上后自动恢复；若该条目是时钟超前时写下的，恢复此前的备份并运行 wuku recover --new-log)"
        ));
    }
    let ahead_s = clock.put_ahead_ms() / 1_000;
    (ahead_s > PUT_AHEAD_MS_MAX / 1_000).then(|| {
        format!(
            "the clock was put ahead by {ahead_s} s while the hub ran: correct it, and recording goes on by itself; if it is right now, \
             restart the hub (运行期间时钟被拨快 {ahead_s} 秒：请校正，校正后自动恢复；若现在的时间才正确，请重启枢纽)"
        )
    })
}

/// What makes a unit such that a store refuses any batch with it, whatever is stored.
fn malformed(unit: &Unit) -> Option<&'static str> {
    let mut written = HashSet::new();
    if !written_by(unit).all(|key| written.insert(key)) {
        return Some("a unit writes one key twice");
    }
    if written.iter().any(|key| Prefix::of(key) == Some(Prefix::BatchId)) {
        return Some("a unit writes a row of the store's own");
    }
    let longest = unit.puts.iter().chain(&unit.fresh).map(|(_, body)| body.len());
    let stamped = unit.stamped.iter().map(|(_, body)| body.len().saturating_add(Stamp::BYTES));
    let drafted = unit.drafts.iter().map(|draft| match draft {
        Draft::Statement { sealed, .. } => sealed.len(),
        Draft::Public(_) => 0,
    });
    if longest.chain(stamped).chain(drafted).any(|len| len > STORE_VALUE_BYTES_MAX) {
        return Some("a value of a unit is too large to store");
    }
    let too_long = |draft: &Draft| matches!(draft, Draft::Public(event) if event.len() > EVENT_BYTES_MAX);
    if unit.drafts.iter().any(too_long) {
        return Some("a public event is too long for an entry");
    }
    None
}

/// Every key a unit writes or removes.
fn written_by(unit: &Unit) -> impl Iterator<Item = &Key> {
    unit.puts.iter().chain(&unit.fresh).chain(&unit.stamped).map(|(key, _)| key).chain(&unit.deletes)
}

/// Why a unit cannot be taken, if it cannot.
async fn refusal(unit: &Unit, snapshot: &dyn Snapshot, now_ms: u64) -> Result<Option<NotRecorded>, Failure> {
    let newest = unit.drafts.iter().filter_map(decided_ms).max().unwrap_or(0);
    if newest > now_ms.saturating_add(CLOCK_SLACK_MS) {
        let failure = Failure::new(Reason::RecordingPaused).because("a statement lies ahead of the sequencer's clock");
        return Ok(Some(NotRecorded::Failed(failure)));
    }
    for check in &unit.checks {
        let stored = snapshot.get(check.key()).await.map_err(crate::library::record::from_store)?;
        if !check.holds(stored.map(|value| value.version)) {
            return Ok(Some(NotRecorded::CheckFailed(check.key().clone())));
        }
    }
    Ok(None)
}

/// Puts a unit into the batch.
fn place(building: &mut Building, unit: Unit, reply: Reply) {
    let offset = building.entries.len();
    let count = unit.drafts.len();
    let stamp = Stamp { index: building.next_index, time_s: building.time_s };
    for draft in unit.drafts {
        let index = building.next_index;
        let entry = match draft {
            Draft::Statement { commitment, sealed, subject_ref, .. } => {
                building.statements.push((key_space::statement_row(index), sealed));
                if let Some(subject_ref) = subject_ref {
                    building.ledger.push((key_space::ledger(&subject_ref, index), Bytes::new()));
                }
                Bytes::copy_from_slice(&statement_entry(building.time_s, &commitment))
            }
            Draft::Public(event) => {
                // Over the limit it would not have been drafted; an empty entry would still be a truthful, useless leaf.
                Entry::Public { time_s: building.time_s, event: event.to_vec() }
                    .to_bytes()
                    .map(Bytes::from)
                    .unwrap_or_default()
            }
        };
        // The leaf is hashed from the very buffer that is stored.
        building.batch.put_fresh(key_space::entry(index), entry.clone());
        building.entries.push(entry);
        building.next_index += 1;
    }
    for (key, body) in unit.stamped {
        let stamped = [stamp.to_bytes().as_slice(), &body].concat();
        // The stamp of a record version is written once, with the version its key names; a request's row may be written again.
        match Prefix::of(&key) {
            Some(Prefix::RecordStamp) => building.batch.put_fresh(key, stamped),
            _ => building.batch.put(key, stamped),
        };
    }
    for (key, body) in unit.puts {
        building.batch.put(key, body);
    }
    for (key, body) in unit.fresh {
        building.batch.put_fresh(key, body);
    }
    for key in unit.deletes {
        building.batch.delete(key);
    }
    building.batch.checks.extend(unit.checks);
    building.accepted.push((reply, offset, count));
}

fn decided_ms(draft: &Draft) -> Option<u64> {
    match draft {
        Draft::Statement { decided_ms, .. } => Some(*decided_ms),
        Draft::Public(_) => None,
    }
}

fn size_of(unit: &Unit) -> (usize, usize) {
    let rows = unit.puts.len() + unit.fresh.len() + unit.stamped.len() + unit.deletes.len();
    let row_bytes: usize =
        unit.puts.iter().chain(&unit.fresh).chain(&unit.stamped).map(|(key, body)| key.len() + body.len() + 16).sum();
    let entry_bytes: usize = unit
        .drafts
        .iter()
        .map(|draft| match draft {
            Draft::Statement { sealed, .. } => sealed.len() + 160,
            Draft::Public(event) => event.len() + 64,
        })
        .sum();
    let key_bytes: usize = unit.deletes.iter().chain(unit.checks.iter().map(Check::key)).map(Key::len).sum();
    (rows + unit.drafts.len() * 3, row_bytes + entry_bytes + key_bytes)
}

#[cfg(test)]
mod tests;
