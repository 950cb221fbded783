//! A hub small enough for the tests of this room: memory store, vault, fence in a temporary folder, sequencer, recorder.
use super::recorder::{Finding, Mutations, Recorded, Recorder};
use super::sequencer::Ledger;
use super::start::{StartFault, open_log};
use crate::clock::Clock;
use crate::library::question::Subject;
use crate::library::record::{LinkKind, Row, View, Write};
use crate::library::schema::Library;
use crate::log::{LogKey, Origin, SuiteName};
use crate::policy::Caller;
use crate::receipt::head;
use crate::store::fence::Fence;
use crate::store::memory::Memory;
use crate::store::vault::{Kek, Vault};
use crate::store::{Batch, BatchId, Direction, Key, KeyRange, Store};
use crate::telemetry::Metrics;
use crate::wire::proto::exchange::v1::{Absence, Change, ChangeQuestion, Context, LookUpQuestion, payload::Answer};
use crate::wire::proto::receipt::v1::{Kind, Operator, Outcome, Purpose, PurposeKind};
use bytes::Bytes;
use prost::Message;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) const HUB: &str = "hub.test";
/// Tuesday, 14 November 2023.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
pub(crate) const PERSON: &str = "331099199003070013";

pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) fence: PathBuf,
    pub(crate) origin: Origin,
    pub(crate) key_seed: [u8; 32],
    pub(crate) key_name: String,
    pub(crate) running: Option<(Ledger, Recorder)>,
    pub(crate) _folder: Arc<TempDir>,
}

impl House {
    /// A hub that records, of the suite `ed25519`.
    pub(crate) async fn new() -> Self {
        Self::of(SuiteName::Ed25519).await
    }

    /// A hub that records, of that suite.
    pub(crate) async fn of(suite: SuiteName) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let store: Arc<dyn Store> = Arc::new(Memory::store(clock()));
        let kek = Kek::create(&folder.path().join("kek"), &folder.path().join("data")).unwrap();
        let vault = Arc::new(Vault::create(&kek, store.as_ref(), suite).await.unwrap());
        let fence = folder.path().join("fence");
        Fence::create(&fence).unwrap();
        let origin = Origin::parse(&format!("{HUB}/wuku/1")).unwrap();
        let key_name = origin.to_string();
        let mut house =
            Self { store, vault, fence, origin, key_seed: [7; 32], key_name, running: None, _folder: folder };
        house.start().await;
        house
    }

    pub(crate) fn key(&self) -> LogKey {
        LogKey::from_seed(&self.key_name, self.vault.suite(), &self.key_seed).unwrap()
    }

    /// A key for the present origin.
    pub(crate) fn seed_key(&mut self) {
        self.key_name = self.origin.to_string();
    }

    pub(crate) async fn open(&self) -> Result<Ledger, StartFault> {
        open_log(self.store.clone(), &self.fence, self.key(), self.origin.clone(), clock(), Metrics::new()).await
    }

    pub(crate) async fn start(&mut self) {
        let ledger = self.open().await.unwrap();
        let recorder = Recorder::new(HUB, "1", self.vault.clone(), ledger.clone(), clock());
        self.running = Some((ledger, recorder));
    }

    /// Lets the sequencer end and the fence be written.
    pub(crate) async fn stop(&mut self) {
        let Some((ledger, recorder)) = self.running.take() else { return };
        let mut follow = ledger.follow();
        drop((ledger, recorder));
        while follow.changed().await.is_ok() {}
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.running.as_ref().unwrap().0
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.running.as_ref().unwrap().1
    }

    pub(crate) async fn view(&self) -> View {
        let snapshot = self.store.snapshot().await.unwrap();
        let (position, time_s) =
            head::read(snapshot.as_ref()).await.unwrap().map_or((0, 0), |(head, _)| (head.size, head.time_s));
        View::new(snapshot, self.vault.clone(), position, time_s, &clock())
    }

    /// Records so many questions about [`PERSON`], one batch each.
    pub(crate) async fn record(&self, count: usize) {
        for _ in 0..count {
            let _ = self.look_up().await;
        }
    }

    pub(crate) async fn look_up(&self) -> Recorded {
        let context = Context {
            nonce: Bytes::from_static(&[5; 16]),
            purpose: Some(purpose()),
            operator: Some(operator()),
            ..Context::default()
        };
        let question = LookUpQuestion { context: Some(context), ..LookUpQuestion::default() };
        let finding = Finding {
            kind: Kind::LookUp,
            question: question.encode_to_vec().into(),
            outcome: Outcome::Absent,
            answer: Answer::Absence(Absence::default()),
            subject: Some(Subject::new("111", PERSON)),
            records: Vec::new(),
            grant: None,
            purpose: purpose(),
            operator: operator(),
            caller_signature: None,
        };
        let view = self.view().await;
        self.recorder().record(&view, &caller(), vec![finding], Mutations::default(), None).await.unwrap()
    }

    /// Puts the next version of a department, filed in its table, as one change.
    pub(crate) async fn put(&self, code: &str, previous: u64, request: Option<&str>) -> Recorded {
        let view = self.view().await;
        let row = department(code, previous);
        let links = [(LinkKind::Table, view.index_key(Library::Department, "table", ""))];
        let write = view.write(Library::Department, &row, previous, &links).unwrap();
        let (finding, mutations) = change(Kind::DepartmentChange, vec![write]);
        let id = match request {
            Some(id) => Some(self.recorder().request(&view, &caller(), id, b"message").await.unwrap().unwrap()),
            None => None,
        };
        self.recorder().record(&view, &caller(), vec![finding], mutations, id).await.unwrap()
    }

    pub(crate) async fn commit(&self, change: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new(BatchId::random().unwrap());
        change(&mut batch);
        self.store.commit(batch).await.unwrap();
    }

    pub(crate) async fn delete(&self, key: Key) {
        self.commit(|batch| _ = batch.delete(key)).await;
    }

    pub(crate) async fn body(&self, key: &Key) -> Bytes {
        self.store.snapshot().await.unwrap().get(key).await.unwrap().expect("is there").body
    }

    /// Changes one byte of a stored row.
    pub(crate) async fn flip(&self, key: Key, at: usize) {
        let mut body = self.body(&key).await.to_vec();
        body[at] ^= 1;
        self.commit(|batch| _ = batch.put_fresh(key, body)).await;
    }

    /// Another store with the same rows, as a backup would be.
    pub(crate) async fn copy_of_store(&self) -> Arc<dyn Store> {
        let copy: Arc<dyn Store> = Arc::new(Memory::store(clock()));
        let mut rest = Some(KeyRange::prefix(Vec::new()));
        while let Some(range) = rest {
            let page = self.store.snapshot().await.unwrap().scan(range, Direction::Forward, 500).await.unwrap();
            let mut batch = Batch::new(BatchId::random().unwrap());
            for (key, value) in page.rows {
                if key.as_bytes()[0] != crate::store::key_space::Prefix::BatchId.byte() {
                    batch.put_fresh(key, value.body);
                }
            }
            copy.commit(batch).await.unwrap();
            rest = page.next;
        }
        copy
    }
}

pub(crate) fn department(code: &str, previous: u64) -> Row {
    Row {
        format: 1,
        code_type: "department".into(),
        code: code.into(),
        body: Bytes::from(format!("{code} {previous}")),
        ..Row::default()
    }
}

/// The finding and mutations of a change that makes these writes.
pub(crate) fn change(kind: Kind, writes: Vec<Write>) -> (Finding, Mutations) {
    let mut mutations = Mutations::default();
    let mut records = Vec::new();
    for write in writes {
        records.push(write.record);
        mutations.checks.extend(write.checks);
        mutations.puts.extend(write.puts);
        mutations.fresh.extend(write.fresh);
        mutations.stamped.extend(write.stamped);
    }
    let question = ChangeQuestion {
        request_id: "r".into(),
        purpose: Some(purpose()),
        operator: Some(operator()),
        ..ChangeQuestion::default()
    };
    let finding = Finding {
        kind,
        question: question.encode_to_vec().into(),
        outcome: Outcome::Done,
        answer: Answer::Change(Change::default()),
        subject: None,
        records,
        grant: None,
        purpose: purpose(),
        operator: operator(),
        caller_signature: None,
    };
    (finding, mutations)
}

pub(crate) fn clock() -> Clock {
    Clock::from_fn(|| NOW_MS)
}

pub(crate) fn caller() -> Caller {
    Caller::from_certificate("wuku://hub.test/police/population", "01", [0; 32]).unwrap()
}

pub(crate) fn purpose() -> Purpose {
    Purpose { kind: PurposeKind::Handling.into(), item: "item".into(), ..Purpose::default() }
}

pub(crate) fn operator() -> Operator {
    Operator { id: "op".into(), ..Operator::default() }
}
