//! From a finding to a recorded answer: payload, statement, commitment, and the unit that makes them durable.
use super::head;
use super::sequencer::{Draft, Ledger, NotRecorded, Unit};
use super::statement::{PAYLOAD_NAME, payload_digest};
use super::tally::Tally;
use crate::clock::Clock;
use crate::failure::{Failure, Reason};
use crate::library::question::Subject;
use crate::library::record::{Stamp, View, from_store};
use crate::log::entry::commitment;
use crate::log::proof::Plan;
use crate::log::{Hash, in_suite};
use crate::policy::Caller;
use crate::store::space::For;
use crate::store::vault::Class;
use crate::store::vault::Vault;
use crate::store::{Check, Key, Snapshot, Store, key_space};
use crate::telemetry::Metrics;
use crate::wire::proto::exchange::v1::{Payload, payload::Answer};
use crate::wire::proto::receipt::v1::{
    CallerSignature, GrantRef, Kind, Operator, Outcome, Purpose, Receipt, RecordVersion, Statement,
};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// How long a request id is remembered.
const REQUEST_KEPT_S: u64 = 24 * 3_600;
/// Further rows a kept request may have: one batch of 1 MiB in rows of 48 KiB is far below.
const FURTHER_ROWS_MAX: u64 = 64;

/// How long a repeat waits for the release of entries that it can see already.
const RELEASE_WAIT: Duration = Duration::from_secs(2);
/// Tags and lengths of one kept item, at most.
const ITEM_HEAD_BYTES: usize = 16;

/// What is to be said about one subject: everything of a statement that the road itself does not know.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was asked or done.
    pub kind: Kind,
    /// The question as sent.
    pub question: Bytes,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer.
    pub answer: Answer,
    /// Whom it is about.
    pub subject: Option<Subject>,
    /// The record versions it rests on.
    pub records: Vec<RecordVersion>,
    /// The grant it was decided under.
    pub grant: Option<GrantRef>,
    /// Why it was asked.
    pub purpose: Purpose,
    /// Who sat behind the system.
    pub operator: Operator,
    /// The caller's signature over the question.
    pub caller_signature: Option<CallerSignature>,
}

/// One answer that the log has durably taken. Only this room makes one.
#[derive(Clone, Debug)]
pub struct RecordedItem {
    payload: Bytes,
    receipt: Receipt,
    outcome: Outcome,
    seal_use: Option<Box<RecordedItem>>,
}

impl RecordedItem {
    /// Exactly the bytes the receipt covers.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The receipt, with its checkpoint.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The use of a seal that was recorded with it; refused ones too.
    #[must_use]
    pub fn seal_use(&self) -> Option<&Self> {
        self.seal_use.as_deref()
    }
}

/// A reply that the log has durably taken, with its receipts. The edge turns nothing else into a response.
#[must_use]
#[derive(Clone, Debug)]
pub struct Recorded {
    items: Vec<RecordedItem>,
}

impl Recorded {
    /// Items in the order of their entries; the use of a seal goes with the answer before it.
    fn folded(entries: impl IntoIterator<Item = (Kind, RecordedItem)>) -> Self {
        let mut items: Vec<RecordedItem> = Vec::new();
        for (kind, item) in entries {
            match items.last_mut() {
                Some(answer) if kind == Kind::SealUse => answer.seal_use = Some(Box::new(item)),
                _ => items.push(item),
            }
        }
        Self { items }
    }

    /// The entries of the reply; at least one.
    #[must_use]
    pub fn items(&self) -> &[RecordedItem] {
        &self.items
    }

    /// The first entry.
    ///
    /// # Errors
    /// Never in fact: a reply without entries is not made.
    pub fn single(&self) -> Result<&RecordedItem, Failure> {
        self.items.first().ok_or_else(|| Failure::new(Reason::Internal).because("a recorded reply without entries"))
    }
}

/// The rows that go with a change.
#[derive(Debug, Default)]
pub struct Mutations {
    /// What must hold.
    pub checks: Vec<Check>,
    /// Rows to write.
    pub puts: Vec<(Key, Bytes)>,
    /// Rows written once.
    pub fresh: Vec<(Key, Bytes)>,
    /// Rows to remove.
    pub deletes: Vec<Key>,
    /// Rows stamped with index and time.
    pub stamped: Vec<(Key, Bytes)>,
}

impl Mutations {
    /// Without rows of its own it is a question, or a refusal: both are entries alone.
    fn occasion(&self) -> For {
        let rows = self.puts.len() + self.fresh.len() + self.deletes.len() + self.stamped.len();
        if rows == 0 { For::Question } else { For::Change }
    }
}

/// A request id with what it stands for.
#[derive(Clone, Debug)]
pub struct RequestId {
    key: Key,
    place: [u8; 16],
    message_hash: [u8; 32],
    kept_version: Option<u64>,
    next: Option<[u8; 16]>,
}

/// A request that was answered before: what is kept of its reply.
#[derive(Clone, Debug)]
pub struct Answered {
    stamp: Stamp,
    items: Vec<KeptItem>,
    next: Option<[u8; 16]>,
}

/// What the hub keeps of an answered request, encrypted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeptRequest {
    #[prost(bytes = "bytes", tag = "1")]
    message_hash: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<KeptItem>,
    /// Further rows that hold the rest of the items, where one row was too small.
    #[prost(uint32, tag = "3")]
    pub(super) more_rows: u32,
    /// The last key of a page that has more behind it; empty for none.
    #[prost(bytes = "bytes", tag = "4")]
    next: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeptItem {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) payload: Bytes,
    /// The payload is longer than a row holds: the next item goes on with it.
    #[prost(bool, tag = "2")]
    pub(super) goes_on: bool,
}

impl KeptItem {
    /// Puts payloads together that were kept in parts.
    pub(super) fn whole(items: Vec<Self>) -> Vec<Self> {
        let mut whole: Vec<Self> = Vec::with_capacity(items.len());
        for item in items {
            match whole.last_mut().filter(|last| last.goes_on) {
                Some(last) => {
                    last.payload = [last.payload.as_ref(), item.payload.as_ref()].concat().into();
                    last.goes_on = item.goes_on;
                }
                None => whole.push(item),
            }
        }
        whole
    }
}

/// What the hub keeps of a statement, encrypted: an auditor sees what was asked, and the payload can be rebuilt.
#[derive(Clone, PartialEq, Message)]
pub struct KeptStatement {
    /// The statement's bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub statement: Bytes,
    /// Its salt.
    #[prost(bytes = "bytes", tag = "2")]
    pub salt: Bytes,
    /// The question as sent.
    #[prost(bytes = "bytes", tag = "3")]
    pub question: Bytes,
    /// The payload's blind.
    #[prost(bytes = "bytes", tag = "4")]
    pub blind: Bytes,
    /// The instant judged at, Unix milliseconds: it stands in the payload only.
    #[prost(uint64, tag = "5")]
    pub valid_at_ms: u64,
}

impl KeptStatement {
    /// Opens the statement row of an entry under the entry's commitment.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`] for a row that was changed or belongs to another entry.
    pub fn open(vault: &Vault, commitment: &Hash, body: &[u8]) -> Result<Self, Failure> {
        let plain = vault.open_row(Class::Statements, 1, commitment, body).map_err(damaged)?;
        Self::decode(plain.as_slice()).map_err(damaged)
    }
}

impl KeptRequest {
    /// Opens row `row` of the request at `place`; row 0 is the request's own.
    pub(super) fn open(vault: &Vault, place: &[u8; 16], row: u32, body: &[u8]) -> Result<Self, Failure> {
        let place = Self::row_place(vault, place, row);
        let plain = vault.open_row(Class::Requests, u64::from(row), &place, body).map_err(damaged)?;
        Self::decode(plain.as_slice()).map_err(damaged)
    }

    /// Whether this is a further row of some request, sealed for this place.
    pub(super) fn is_further(vault: &Vault, place: &[u8; 16], body: &[u8]) -> bool {
        (1..=FURTHER_ROWS_MAX).any(|row| vault.open_row(Class::Requests, row, place, body).is_ok())
    }

    /// The place of row `row` of a request.
    pub(super) fn row_place(vault: &Vault, place: &[u8; 16], row: u32) -> [u8; 16] {
        if row == 0 {
            return *place;
        }
        first_16(&vault.mac("request-row", &[place.as_slice(), &row.to_be_bytes()].concat()))
    }
}

/// Writes findings into the log.
#[derive(Clone)]
pub struct Recorder {
    hub: String,
    node: String,
    vault: Arc<Vault>,
    ledger: Ledger,
    clock: Clock,
    metrics: Metrics,
    tally: Tally,
}

/// A finding as it will stand in the log: its payload has its last byte, nothing is recorded yet, nothing may leave.
#[must_use]
pub struct Drafted {
    digest: Hash,
    kind: Kind,
    payload: Bytes,
    statement: Bytes,
    salt: [u8; 32],
    outcome: Outcome,
    draft: Draft,
}

impl Drafted {
    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its digest, as the statement has it.
    #[must_use]
    pub fn digest(&self) -> &Hash {
        &self.digest
    }
}

impl Recorder {
    /// A recorder of this hub and node.
    #[must_use]
    pub fn new(hub: &str, node: &str, vault: Arc<Vault>, ledger: Ledger, clock: Clock) -> Self {
        Self {
            hub: hub.to_owned(),
            node: node.to_owned(),
            vault,
            ledger,
            clock,
            metrics: Metrics::new(),
            tally: Tally::default(),
        }
    }

    /// The same recorder, counting into these metrics.
    #[must_use]
    pub fn counting(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// What is summed up once a minute instead of being an entry by itself.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The log's handle.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Records findings, and the mutations that go with them, as one unit.
    ///
    /// # Errors
    /// Nothing was recorded: a condition did not hold, recording is paused or stopped, the hub is busy.
    pub async fn record(
        &self,
        view: &View,
        caller: &Caller,
        findings: Vec<Finding>,
        mutations: Mutations,
        request: Option<RequestId>,
    ) -> Result<Recorded, NotRecorded> {
        let drafted = findings.into_iter().map(|finding| self.draft(view, caller, finding)).collect::<Result<_, _>>();
        self.record_drafted(drafted.map_err(NotRecorded::Failed)?, mutations, request).await
    }

    /// Records what was drafted from one view; see [`Recorder::record`].
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub async fn record_drafted(
        &self,
        drafted: Vec<Drafted>,
        mutations: Mutations,
        request: Option<RequestId>,
    ) -> Result<Recorded, NotRecorded> {
        let occasion = mutations.occasion();
        let Mutations { checks, puts, fresh, deletes, stamped } = mutations;
        let drafts = Vec::with_capacity(drafted.len());
        let mut unit = Unit { occasion, drafts, checks, puts, fresh, deletes, stamped };
        if let Some(request) = &request {
            self.keep_request(request, &drafted, &mut unit).map_err(NotRecorded::Failed)?;
        }
        let mut kept = Vec::with_capacity(drafted.len());
        let mut counts = Vec::with_capacity(drafted.len());
        for Drafted { kind, payload, statement, salt, outcome, draft, .. } in drafted {
            unit.drafts.push(draft);
            counts.push((kind, outcome));
            kept.push((kind, payload, statement, salt, outcome));
        }
        let placed = self.ledger.record(unit).await?;
        for (kind, outcome) in counts {
            self.metrics.outcome(kind.as_str_name(), outcome.as_str_name());
        }
        let items = kept.into_iter().zip(placed.paths).zip(placed.first_index..).map(|((kept, path), leaf_index)| {
            let (kind, payload, statement, salt, outcome) = kept;
            let receipt = Receipt {
                statement,
                salt: Bytes::copy_from_slice(&salt),
                time_s: placed.time_s,
                leaf_index,
                path,
                checkpoint: placed.checkpoint.clone(),
            };
            (kind, RecordedItem { payload, receipt, outcome, seal_use: None })
        });
        Ok(Recorded::folded(items))
    }

    /// What a finding will be in the log, if it is recorded.
    ///
    /// # Errors
    /// [`Reason::Internal`] without randomness.
    pub fn draft(&self, view: &View, caller: &Caller, finding: Finding) -> Result<Drafted, Failure> {
        let no_randomness = |e: getrandom::Error| Failure::new(Reason::Internal).because(e);
        let salt: [u8; 32] = self.vault.random().map_err(no_randomness)?;
        let blind = Bytes::copy_from_slice(&self.vault.random::<16>().map_err(no_randomness)?);
        let payload = Payload {
            format: 1,
            question: finding.question.clone(),
            outcome: finding.outcome as i32,
            valid_at_ms: view.now_ms,
            blind: blind.clone(),
            answer: Some(finding.answer),
        };
        let payload = Bytes::from(payload.encode_to_vec());
        let suite = self.ledger.suite();
        let digest = in_suite!(suite, S => payload_digest::<S>(PAYLOAD_NAME, &payload));
        let subject_ref = finding.subject.as_ref().map(|s| self.vault.subject_ref(&s.code_type, &s.code));
        let decided_ms = self.clock.now_ms().max(view.now_ms);
        let statement = Statement {
            format: 1,
            hub: self.hub.clone(),
            node: self.node.clone(),
            kind: finding.kind as i32,
            decided_ms,
            caller: caller.uri.clone(),
            operator: Some(finding.operator).filter(|o| *o != Operator::default()),
            purpose: Some(finding.purpose).filter(|p| *p != Purpose::default()),
            outcome: finding.outcome as i32,
            grant: finding.grant,
            position: view.position,
            subject_ref: subject_ref.map(|r| Bytes::copy_from_slice(&r)).unwrap_or_default(),
            records: finding.records,
            payload_name: PAYLOAD_NAME.to_owned(),
            payload_digest: Bytes::copy_from_slice(&digest),
            caller_signature: finding.caller_signature,
        };
        let statement = Bytes::from(statement.encode_to_vec());
        let commitment: Hash = in_suite!(suite, S => commitment::<S>(&salt, &statement));
        let kept = KeptStatement {
            statement: statement.clone(),
            salt: Bytes::copy_from_slice(&salt),
            question: finding.question,
            blind,
            valid_at_ms: view.now_ms,
        };
        let sealed = self
            .vault
            .seal_row(Class::Statements, 1, &commitment, &kept.encode_to_vec())
            .map_err(|e| Failure::new(Reason::Internal).because(e))?;
        let draft = Draft::Statement { commitment, sealed, subject_ref, decided_ms };
        Ok(Drafted { digest, kind: finding.kind, payload, statement, salt, outcome: finding.outcome, draft })
    }

    /// Reads what a request id stands for. `Ok(Err(answered))` where it was answered before; see [`Recorder::repeat`].
    ///
    /// # Errors
    /// [`Reason::RequestIdReused`] where it was used for something else.
    pub async fn request(
        &self,
        view: &View,
        caller: &Caller,
        id: &str,
        message: &[u8],
    ) -> Result<Result<RequestId, Answered>, Failure> {
        let name = format!("{}\0{id}", caller.uri);
        let mac = self.vault.mac("request", name.as_bytes());
        let place: [u8; 16] = first_16(&mac);
        let key = key_space::request(&place);
        let message_hash = self.vault.mac("message", message);
        let mut request = RequestId { key, place, message_hash, kept_version: None, next: None };
        let snapshot = view.snapshot().as_ref();
        let Some(value) = snapshot.get(&request.key).await.map_err(from_store)? else { return Ok(Ok(request)) };
        let (stamp, body) = Stamp::split(&value.body).ok_or_else(|| damaged("a request row that is too short"))?;
        if stamp.time_s + REQUEST_KEPT_S < view.now_ms / 1_000 {
            request.kept_version = Some(value.version);
            return Ok(Ok(request));
        }
        let kept = self.open_request(&request, 0, &body)?;
        if kept.message_hash.as_ref() != request.message_hash {
            return Err(Failure::new(Reason::RequestIdReused));
        }
        let next = kept.next.first_chunk().copied();
        let mut items = kept.items;
        for row in 1..=kept.more_rows {
            let more_key = key_space::request(&KeptRequest::row_place(&self.vault, &request.place, row));
            let more = snapshot
                .get(&more_key)
                .await
                .map_err(from_store)?
                .ok_or_else(|| damaged("a request row is missing"))?;
            let (_, more_body) = Stamp::split(&more.body).ok_or_else(|| damaged("a request row that is too short"))?;
            items.extend(self.open_request(&request, row, &more_body)?.items);
        }
        let items = KeptItem::whole(items);
        if stamp.index.saturating_add(items.len() as u64) > view.position {
            return Err(damaged("a request row speaks of entries that the log does not have"));
        }
        Ok(Err(Answered { stamp, items, next }))
    }

    /// The reply of long ago, and where its page goes on: the same payload, statement and leaf, with a later checkpoint.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`]; [`Reason::HubOverloaded`] where its entries are durable but not released for long.
    pub async fn repeat(&self, store: &dyn Store, answered: Answered) -> Result<(Recorded, Option<[u8; 16]>), Failure> {
        let Answered { stamp, items, next } = answered;
        let end = stamp.index.saturating_add(items.len() as u64);
        // A row may be seen a moment before its batch's head is released.
        let mut follow = self.ledger.follow();
        let released = follow.wait_for(|latest| latest.head.size >= end);
        let late = |why: &str| Failure::new(Reason::HubOverloaded).because(why);
        let latest = tokio::time::timeout(RELEASE_WAIT, released)
            .await
            .map_err(|_| late("the entries of a reply are not released yet"))?
            .map_err(|_| late("the sequencer has ended"))?
            .clone();
        // The checkpoint first, then the snapshot: it holds all that the checkpoint speaks of, however fast the log grows.
        let snapshot = store.snapshot().await.map_err(from_store)?;
        let snapshot = snapshot.as_ref();
        let mut recorded = Vec::with_capacity(items.len());
        for (item, leaf_index) in items.into_iter().zip(stamp.index..) {
            let kept = self.kept_statement(snapshot, leaf_index).await?;
            let plan = Plan::inclusion(leaf_index, latest.head.size).map_err(damaged)?;
            let path = in_suite!(self.ledger.suite(), S => head::assemble::<S>(snapshot, &plan).await?);
            let statement = Statement::decode(kept.statement.clone()).map_err(damaged)?;
            let receipt = Receipt {
                statement: kept.statement,
                salt: kept.salt,
                time_s: stamp.time_s,
                leaf_index,
                path: Bytes::copy_from_slice(path.as_flattened()),
                checkpoint: latest.checkpoint.clone(),
            };
            let (kind, outcome) = (statement.kind(), statement.outcome());
            recorded.push((kind, RecordedItem { payload: item.payload, receipt, outcome, seal_use: None }));
        }
        Ok((Recorded::folded(recorded), next))
    }

    /// What the hub keeps of the statement at a leaf, opened under its commitment.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`] where row and entry do not belong together.
    pub async fn kept_statement(&self, snapshot: &dyn Snapshot, index: u64) -> Result<KeptStatement, Failure> {
        let crate::log::Entry::Statement { commitment, .. } = head::entry_at(snapshot, index).await? else {
            return Err(damaged(format!("entry {index} is no statement")));
        };
        let row = snapshot.get(&key_space::statement_row(index)).await.map_err(from_store)?;
        let row = row.ok_or_else(|| damaged(format!("statement {index} is missing")))?;
        KeptStatement::open(&self.vault, &commitment, &row.body)
    }

    fn keep_request(&self, request: &RequestId, drafted: &[Drafted], unit: &mut Unit) -> Result<(), Failure> {
        const ROW_BYTES: usize = 48 << 10;
        let mut rows: Vec<Vec<KeptItem>> = vec![Vec::new()];
        let mut room = ROW_BYTES;
        for item in drafted {
            let parts = item.payload.len().div_ceil(ROW_BYTES).max(1);
            for part in 0..parts {
                let begin = part * ROW_BYTES;
                let payload = item.payload.slice(begin..item.payload.len().min(begin + ROW_BYTES));
                // Tags and lengths count too: a thousand short payloads are not to outgrow a row.
                let bytes = payload.len() + ITEM_HEAD_BYTES;
                if bytes > room && room < ROW_BYTES {
                    rows.push(Vec::new());
                    room = ROW_BYTES;
                }
                room = room.saturating_sub(bytes);
                if let Some(row) = rows.last_mut() {
                    row.push(KeptItem { payload, goes_on: part + 1 < parts });
                }
            }
        }
        let more_rows = u32::try_from(rows.len().saturating_sub(1)).unwrap_or(u32::MAX);
        for (row, items) in (0_u32..).zip(rows) {
            let message_hash = Bytes::copy_from_slice(&request.message_hash);
            let next = request.next.filter(|_| row == 0).map(|next| Bytes::copy_from_slice(&next)).unwrap_or_default();
            let kept = KeptRequest { message_hash, items, more_rows: if row == 0 { more_rows } else { 0 }, next };
            let place = KeptRequest::row_place(&self.vault, &request.place, row);
            let sealed = self
                .vault
                .seal_row(Class::Requests, u64::from(row), &place, &kept.encode_to_vec())
                .map_err(|e| Failure::new(Reason::Internal).because(e))?;
            unit.stamped.push((key_space::request(&place), sealed));
        }
        unit.checks.push(match request.kept_version {
            None => Check::Absent(request.key.clone()),
            Some(version) => Check::Version(request.key.clone(), version),
        });
        Ok(())
    }

    fn open_request(&self, request: &RequestId, row: u32, body: &[u8]) -> Result<KeptRequest, Failure> {
        KeptRequest::open(&self.vault, &request.place, row, body)
    }
}

impl RequestId {
    /// Keeps with the reply where its page goes on.
    #[must_use]
    pub fn going_on_at(self, next: Option<[u8; 16]>) -> Self {
        Self { next, ..self }
    }

    /// Whether a refused condition was this request's own row: somebody answered the same request meanwhile.
    #[must_use]
    pub fn is_row(&self, key: &Key) -> bool {
        self.key == *key
    }
}

fn first_16(bytes: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

fn damaged(why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::RecordDamaged).because(why)
}
