//! The second pass: rows into the libraries, chunk by chunk, each chunk one change with the state that says how far it goes.
//!
//! What a crash leaves: everything up to the last chunk that was made durable, and a state that says so. The next pass begins
//! at the row after it; nothing takes effect twice, because the state's version is a condition of every chunk.
use super::desk::Tell;
use super::join::Join;
use super::manifest::resource_of;
use super::pipeline::{Pipeline, Stopped};
use super::quarantine::{self, Numbers};
use super::settle::Row;
use super::state::{Import, Stored};
use super::step::{Chunk, Kind, Planned, Step};
use super::validate::{self, Plan, Refused};
use crate::exchange::{Exchange, Order, Request};
use crate::failure::{Failure, Reason};
use crate::library::transition::Ordered;
use crate::limits::{IMPORT_CHUNK_BYTES_MAX, IMPORT_CHUNK_MUTATIONS_MAX, IMPORT_CHUNK_ROWS_MAX};
use crate::policy::Operation;
use crate::receipt::recorder::Recorded;
use crate::store::Key;
use crate::telemetry::ResultLabels;
use crate::wire::order::{self, Repeatable};
use crate::wire::proto::intake::v1::{ImportPhase, ImportScope};
use crate::wire::proto::receipt::v1::{Kind as StatementKind, Outcome};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Applies a checked import to its end; gives what the log took last.
pub(super) async fn apply(exchange: &Arc<Exchange>, import: &mut Import, tell: &Tell) -> Result<Recorded, Failure> {
    let view = exchange.view().await?;
    let resource = resource_of(&view, &import.manifest.resource).await?;
    let plan = Arc::new(Plan::open(exchange, &view, import, resource, validate::Pass::Applying).await?);
    drop(view);
    let mut pipeline = Pipeline::start(exchange, import, &plan, import.stored.rows_done);
    let mut pass = Pass::new(exchange, plan.clone(), import, tell);
    let ended = through(&mut pass, &mut pipeline).await;
    // Whatever stopped it: nothing of this pass is still on its way when the next one reads the state.
    let last = pass.settle(0).await;
    ended?;
    last?.ok_or_else(|| Failure::new(Reason::Internal).because("an import without a last chunk"))
}

async fn through(pass: &mut Pass<'_>, pipeline: &mut Pipeline) -> Result<(), Failure> {
    let mut refused = Numbers::new();
    loop {
        match pipeline.next().await {
            Ok(Some(batch)) => pass.take(batch, &mut refused).await?,
            Ok(None) => break,
            Err(Stopped::Hub(failure)) => return Err(failure),
            // It was read to its end when it was checked.
            Err(Stopped::File(why)) => return Err(Failure::new(Reason::RecordDamaged).because(why.en)),
        }
    }
    if pass.import.manifest.scope() == ImportScope::Snapshot {
        pass.remove_missing().await?;
    }
    pass.flush(true).await
}

/// The change that a chunk of an import is recorded as: its digest is the manifest's, which names the file.
///
/// # Errors
/// [`Reason::RequestMalformed`] for an operator that no statement may hold.
pub(super) fn ordered(exchange: &Exchange, stored: &Stored, request_id: &str) -> Result<Ordered, Failure> {
    let (kind, operator) = (StatementKind::Import, stored.operator.as_ref());
    order::ordered(exchange.suite(), kind, request_id, Repeatable::Required, None, operator, &[&stored.manifest])
}

/// What the log took last of an import that is done, for as long as the hub remembers it.
pub(super) async fn recall(exchange: &Exchange, import: &Import) -> Result<Option<Recorded>, Failure> {
    let last = import.stored.next_chunk.saturating_sub(1);
    let (id, message) = request(import, last);
    let ordered = ordered(exchange, &import.stored, &id)?;
    let step = Step(Kind::Recall);
    // Only a system that may import is let so far as to be refused by the step: asking must not leave an entry.
    let view = exchange.view().await?;
    if exchange.admit(&view, &import.caller()?, Operation::Import).await.is_err() {
        return Ok(None);
    }
    let request = Request { id: &id, message: &message };
    let asked = exchange.change(&import.caller()?, Operation::Import, Order::Import(&step), &ordered, request).await;
    match asked {
        Ok(recorded) => Ok(Some(recorded)),
        Err(failure) if failure.reason == Reason::TransitionNotAllowed => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Request id and message of a chunk: the same after a restart, whatever the rows are.
fn request(import: &Import, chunk: u64) -> (String, Vec<u8>) {
    let id = format!("import:{}:{chunk}", import.id);
    let message = id.clone().into_bytes();
    (id, message)
}

/// Chunks handed to the log and not yet known to be durable: while one is committed the next is gathered. Not more than one: each is
/// conditioned on the state the one before it leaves, and of two on their way the later may be looked at first, and refused.
const CHUNKS_AHEAD: usize = 1;

/// An applying pass under way, with the chunk being filled.
struct Pass<'a> {
    exchange: &'a Arc<Exchange>,
    plan: Arc<Plan>,
    /// As it is once every chunk under way is in effect.
    import: &'a mut Import,
    tell: &'a Tell,
    rows: Vec<Planned>,
    aside: Vec<(Key, Bytes)>,
    bytes: usize,
    mutations: usize,
    /// The state once what is gathered is in effect.
    after: Stored,
    under_way: VecDeque<JoinHandle<Result<Recorded, Failure>>>,
}

impl<'a> Pass<'a> {
    fn new(exchange: &'a Arc<Exchange>, plan: Arc<Plan>, import: &'a mut Import, tell: &'a Tell) -> Self {
        let after = import.stored.clone();
        let (rows, aside, under_way) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { exchange, plan, import, tell, rows, aside, bytes: 0, mutations: 0, after, under_way }
    }

    /// Takes the rows of a batch that were not refused when the file was checked. A key stands once among the rows taken, so no chunk
    /// of ours outdates what a row was decided on.
    async fn take(&mut self, batch: Vec<Row>, refused: &mut Numbers) -> Result<(), Failure> {
        for (number, outcome) in batch {
            if refused.holds(self.exchange, self.import, number).await? {
                self.after.rows_done = number;
                continue;
            }
            match outcome.map(|settled| settled.planned) {
                Err(unfit) => self.set_aside(number, unfit).await?,
                Ok(None) => self.after.rows_unchanged = self.after.rows_unchanged.saturating_add(1),
                Ok(Some(planned)) => {
                    self.make_room(planned.mutations(), planned.bytes()).await?;
                    self.put(planned);
                    self.after.rows_applied = self.after.rows_applied.saturating_add(1);
                }
            }
            self.after.rows_done = number;
        }
        self.tell.applied(&self.after);
        Ok(())
    }

    /// Puts a row aside that was fit when the file was checked and no longer is.
    async fn set_aside(&mut self, number: u64, refused: Refused) -> Result<(), Failure> {
        let (key, body) = quarantine::sealed(self.exchange, self.import, number, refused)?;
        self.make_room(1, body.len()).await?;
        (self.bytes, self.mutations) = (self.bytes + body.len(), self.mutations + 1);
        self.aside.push((key, body));
        self.after.rows_quarantined = self.after.rows_quarantined.saturating_add(1);
        Ok(())
    }

    /// Removes what the resource holds and the snapshot does not have, in the order of keys. Links of what is removed go with it:
    /// begun again after a crash, this finds only the rest.
    async fn remove_missing(&mut self) -> Result<(), Failure> {
        // What the file brought is to be seen among what is held.
        self.settle(0).await?;
        let (exchange, read) = (self.exchange.clone(), self.import.clone());
        let library = self.plan.library;
        let mut join = Join::open(&exchange, &read, &read.stored.runs, library, true).await?;
        let mut view = exchange.view().await?;
        let mut in_view = 0;
        while let Some(joined) = join.next().await? {
            if !joined.rows.is_empty() {
                continue;
            }
            if in_view == IMPORT_CHUNK_ROWS_MAX {
                (view, in_view) = (exchange.view().await?, 0);
            }
            in_view += 1;
            let newest = view.newest(library, &joined.key).await?;
            let newest = newest.ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a link to no record"))?;
            if newest.row.removed || newest.row.resource != self.plan.resource.code {
                continue; // no longer this resource's to remove
            }
            let row = self.plan.removed(&newest.row, view.today());
            let planned = Planned::of(&self.plan, joined.key, row, newest.version, &[], &[], None)?;
            self.make_room(planned.mutations(), planned.bytes()).await?;
            self.put(planned);
            self.after.rows_removed = self.after.rows_removed.saturating_add(1);
            self.tell.applied(&self.after);
        }
        Ok(())
    }

    fn put(&mut self, planned: Planned) {
        self.bytes = self.bytes.saturating_add(planned.bytes());
        self.mutations = self.mutations.saturating_add(planned.mutations());
        self.rows.push(planned);
    }

    /// Closes the chunk where one more row would be over a limit.
    async fn make_room(&mut self, mutations: usize, bytes: usize) -> Result<(), Failure> {
        let full = self.rows.len() >= IMPORT_CHUNK_ROWS_MAX
            || self.bytes.saturating_add(bytes) > IMPORT_CHUNK_BYTES_MAX
            || self.mutations.saturating_add(mutations) > IMPORT_CHUNK_MUTATIONS_MAX;
        if full && self.mutations > 0 { self.flush(false).await } else { Ok(()) }
    }

    /// Hands the chunk to the log, to be a change of its own, after at most [`CHUNKS_AHEAD`] others. Each is conditioned on the state the
    /// one before it leaves, so where one is not taken none after it is. From here a crash loses the acknowledgement, not the chunk: the
    /// state says that it is in.
    async fn flush(&mut self, last: bool) -> Result<(), Failure> {
        self.settle(CHUNKS_AHEAD.saturating_sub(1)).await?;
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by_key(|planned| planned.index_key);
        let aside = std::mem::take(&mut self.aside);
        (self.bytes, self.mutations) = (0, 0);
        self.after.next_chunk = self.import.stored.next_chunk.saturating_add(1);
        if last {
            self.after.set_phase(ImportPhase::Done);
        }
        let sent = Sent {
            exchange: self.exchange.clone(),
            plan: self.plan.clone(),
            import: self.import.clone(),
            rows,
            aside,
            after: self.after.clone(),
        };
        self.under_way.push_back(tokio::spawn(sent.record()));
        self.import.version = self.import.version.saturating_add(1);
        self.import.stored = self.after.clone();
        Ok(())
    }

    /// Waits until at most so many chunks are under way; gives what the log took last. Where one was not taken, waits for all.
    async fn settle(&mut self, left: usize) -> Result<Option<Recorded>, Failure> {
        let (mut recorded, mut failed) = (None, None);
        while self.under_way.len() > if failed.is_some() { 0 } else { left } {
            let Some(chunk) = self.under_way.pop_front() else { break };
            match chunk.await.map_err(|e| Failure::new(Reason::Internal).because(e)).flatten() {
                Ok(taken) => recorded = Some(taken),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        failed.map_or(Ok(recorded), Err)
    }
}

/// A chunk on its way to the log.
struct Sent {
    exchange: Arc<Exchange>,
    plan: Arc<Plan>,
    import: Import,
    rows: Vec<Planned>,
    aside: Vec<(Key, Bytes)>,
    after: Stored,
}

impl Sent {
    async fn record(self) -> Result<Recorded, Failure> {
        let Self { exchange, plan, import, rows, aside, after } = &self;
        let caller = import.caller()?;
        // A refusal here would be recorded under the chunk's request id and stand in its way for a day.
        let _permit = exchange.admit(&exchange.view().await?, &caller, Operation::Import).await?;
        let (id, message) = request(import, import.stored.next_chunk);
        let ordered = ordered(exchange, &import.stored, &id)?;
        let issuers = exchange.issuers.load_full();
        let step = Step(Kind::Chunk(Chunk { import, plan, rows, aside, after, issuers }));
        let request = Request { id: &id, message: &message };
        let recorded = exchange.change(&caller, Operation::Import, Order::Import(&step), &ordered, request).await?;
        if recorded.single()?.outcome() != Outcome::Done {
            return Err(Failure::new(Reason::RoleNotAllowed).because("the system was shut out during its import"));
        }
        self.count();
        Ok(recorded)
    }

    /// Tells the operator's counters what a chunk has brought.
    fn count(&self) {
        let (before, after) = (&self.import.stored, &self.after);
        let rows = &self.exchange.recorder.metrics().import_rows;
        for (result, before, after) in [
            ("applied", before.rows_applied, after.rows_applied),
            ("unchanged", before.rows_unchanged, after.rows_unchanged),
            ("quarantined", before.rows_quarantined, after.rows_quarantined),
            ("removed", before.rows_removed, after.rows_removed),
        ] {
            rows.get_or_create(&ResultLabels { result }).inc_by(after.saturating_sub(before));
        }
    }
}
