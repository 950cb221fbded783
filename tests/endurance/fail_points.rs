//! Every step of both roads fails once with its write lost and once with its write kept (the shape of Sunlight's tests).
//!
//! A whole hub in this process: the real services, sequencer, fence and RocksDB of a real folder, with a store in between that trips.
//! No step can be left out by a flag, so the points lie where the steps touch the world: check and commit are calls of the store; the
//! signature is made between them; release comes when the commit returns, the fence after it. A hub that dies is a runtime dropped in
//! the middle of that call. After each: opened again, the request repeated by its id, the whole log verified.
use crate::audit;
use crate::client::{Caller as Client, Proved, licence, person, request_id};
use crate::fence::replace;
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{
    CONSOLE, Delivery, Name, PEOPLE, POLICE, POPULATION, REGISTRY, WINDOW, draft, full_grant, opening, people,
    people_resource, resident, uri,
};
use async_trait::async_trait;
use prost::Message;
use prost::bytes::Bytes;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tonic::{Request, Status};
use wuku::cli::hub;
use wuku::clock::Clock;
use wuku::edge::exchange_service::ExchangeRpc;
use wuku::edge::licence_service::LicenceRpc;
use wuku::exchange::Exchange;
use wuku::failure::{Failure, Reason};
use wuku::intake::{Intake, read_id};
use wuku::policy::Caller;
use wuku::receipt::head;
use wuku::store::{
    Batch, BatchId, BatchOutcome, CommitError, Direction, Key, KeyRange, Page, Snapshot, Store, StoreError, Versioned,
};
use wuku::telemetry::Metrics;
use wuku::wire::proto::exchange::v1::exchange_service_server::ExchangeService;
use wuku::wire::proto::exchange::v1::{BatchLookUpRequest, LookUpRequest};
use wuku::wire::proto::intake::v1::{ImportOpening, ImportPart, ImportPhase, ImportResponse, ImportScope};
use wuku::wire::proto::licence::v1::IssueLicenceRequest;
use wuku::wire::proto::licence::v1::licence_service_server::LicenceService;

/// What goes wrong, at the n-th call from when it is armed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trip {
    /// Dies when the sequencer asks for the moment it checks against.
    BeforeCheck,
    /// Dies reading the first row a condition is about.
    InCheck,
    /// Dies with the batch signed and handed over: nothing of it is written.
    DieLost,
    /// Dies with the batch durable and nobody told.
    DieKept,
    /// The engine does not know, and the batch is lost.
    UnknownLost,
    /// The engine does not know, and the batch is kept.
    UnknownKept,
    /// The engine asks for another try.
    Conflict,
    /// The disk fails: nothing is written, and nothing will be.
    DiskFails,
    /// The control: an engine that says yes and writes nothing.
    Lie,
}

/// A store that trips.
struct Tripping {
    inner: Arc<dyn Store>,
    trip: Trip,
    snapshots: AtomicI64,
    commits: AtomicI64,
    /// Times that an outcome cannot be told.
    silent: AtomicI64,
    died: Notify,
}

const NEVER: i64 = i64::MAX;

impl Tripping {
    fn new(inner: Arc<dyn Store>, trip: Trip) -> Self {
        let (snapshots, commits) = (AtomicI64::new(NEVER), AtomicI64::new(NEVER));
        Self { inner, trip, snapshots, commits, silent: AtomicI64::new(2), died: Notify::new() }
    }

    /// Arms it: the n-th commit from now trips, or the second snapshot (the first is the view the request is decided on).
    fn arm(&self, n: i64) {
        match self.trip {
            Trip::BeforeCheck | Trip::InCheck => self.snapshots.store(2, Ordering::SeqCst),
            _ => self.commits.store(n, Ordering::SeqCst),
        }
    }

    async fn die<T>(&self) -> T {
        self.died.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl Store for Tripping {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        if self.snapshots.fetch_sub(1, Ordering::SeqCst) != 1 {
            return self.inner.snapshot().await;
        }
        match self.trip {
            Trip::BeforeCheck => self.die().await,
            _ => {
                self.died.notify_one(); // as good as dead: whoever reads from it waits for ever
                Ok(Arc::new(Mute))
            }
        }
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if self.commits.fetch_sub(1, Ordering::SeqCst) != 1 {
            return self.inner.commit(batch).await;
        }
        match self.trip {
            Trip::DieLost => self.die().await,
            Trip::DieKept => {
                self.inner.commit(batch).await?;
                self.die().await
            }
            Trip::UnknownLost => Err(CommitError::Unknown),
            Trip::UnknownKept => self.inner.commit(batch).await.and(Err(CommitError::Unknown)),
            Trip::Conflict => Err(CommitError::Conflict),
            Trip::DiskFails => Err(CommitError::Unavailable("a disk of this test".into())),
            Trip::Lie => Ok(()),
            Trip::BeforeCheck | Trip::InCheck => unreachable!(),
        }
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome, StoreError> {
        if self.silent.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(StoreError::Unavailable("not yet".into()));
        }
        self.inner.outcome(id).await
    }

    fn headroom_bytes(&self) -> u64 {
        self.inner.headroom_bytes()
    }
}

/// A moment that never answers.
struct Mute;

#[async_trait]
impl Snapshot for Mute {
    async fn get(&self, _: &Key) -> Result<Option<Versioned>, StoreError> {
        std::future::pending().await
    }

    async fn multi_get(&self, _: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        std::future::pending().await
    }

    async fn scan(&self, _: KeyRange, _: Direction, _: usize) -> Result<Page, StoreError> {
        std::future::pending().await
    }
}

/// What a caller asks for, once on each road.
enum Asked {
    Question(LookUpRequest),
    Change(Box<IssueLicenceRequest>),
}

/// A stopped hub, with a copy of its folders to begin each case from.
struct Ground {
    hub: Hub,
    clients: [Client; 2],
    id: String,
    size: u64,
    proofs: usize,
}

impl Ground {
    /// A city at rest, with a licence prepared to be issued.
    async fn new() -> (Self, IssueLicenceRequest) {
        let mut hub = Hub::new().await;
        hub.grant_food().await;
        hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
        hub.grant(WINDOW, full_grant(PEOPLE, &["name"])).await;
        let id = hub.issue(draft()).await;
        let prepared = hub.caller(REGISTRY).prepare(draft()).await.unwrap();
        let issue = hub.issuing(&prepared);
        let clients = [hub.caller(WINDOW), hub.caller(REGISTRY)];
        assert!(hub.stop().await.success());
        replace(&hub.config.data.path, &hub.path("kept-data"));
        replace(&hub.config.fence.path, &hub.path("kept-fence"));
        let opened = audit::open(&hub).await;
        let size = head::read(opened.snapshot.as_ref()).await.unwrap().unwrap().0.size;
        drop(opened);
        let proofs = hub.proofs.lock().unwrap().len();
        (Self { hub, clients, id, size, proofs }, issue)
    }

    fn put_back(&self) {
        replace(&self.hub.path("kept-data"), &self.hub.config.data.path);
        self.put_fence_back();
        self.hub.proofs.lock().unwrap().truncate(self.proofs);
    }

    fn put_fence_back(&self) {
        replace(&self.hub.path("kept-fence"), &self.hub.config.fence.path);
    }

    fn tear_newest_slot(&self) {
        let slots = ["slot-0", "slot-1"].map(|slot| self.hub.config.fence.path.join(slot));
        let turn = |path: &std::path::PathBuf| std::fs::read(path).unwrap()[14..22].to_vec(); // `"wuku/fence/v1" ‖ 0x00 ‖ turn`
        let newest = slots.iter().max_by_key(|path| turn(path)).unwrap();
        let mut bytes = std::fs::read(newest).unwrap();
        bytes[256..].fill(0);
        std::fs::write(newest, bytes).unwrap();
    }

    /// A hub on the folders as they are, for as long as `work` takes or until it dies. `None` where it died.
    fn run<T, F: Future<Output = T>>(
        &self,
        trip: Option<(Trip, i64)>,
        work: impl FnOnce(Arc<Exchange>) -> F,
    ) -> Option<T> {
        let runtime = Runtime::new().unwrap();
        let done = runtime.block_on(async {
            let config = &self.hub.config;
            let inner = hub::open_store(config, &Clock::system()).unwrap();
            let store = Arc::new(Tripping::new(inner, trip.map_or(Trip::Lie, |(trip, _)| trip)));
            let exchange = hub::open(config, store.clone(), &Clock::system(), &Metrics::new()).await.unwrap();
            if let Some((_, n)) = trip {
                store.arm(n);
            }
            let work = pin!(work(exchange));
            tokio::select! {
                done = work => Some(done),
                () = store.died.notified() => None,
            }
        });
        // A hub that lives ends with its last handle; a dead one with whatever it was waiting for.
        runtime.shutdown_timeout(Duration::from_secs(10));
        done
    }

    async fn send(&self, exchange: Arc<Exchange>, asked: &Asked) -> Result<Proved, Status> {
        match asked {
            Asked::Question(request) => {
                let answered = ExchangeRpc::new(exchange).look_up(from(WINDOW, request.clone())).await?;
                Ok(self.clients[0].got(answered.into_inner()))
            }
            Asked::Change(request) => {
                let answered = LicenceRpc::new(exchange).issue_licence(from(REGISTRY, *request.clone())).await?;
                Ok(self.clients[1].got(answered.into_inner()))
            }
        }
    }

    fn size_now(&self) -> u64 {
        self.run(None, async |exchange| exchange.recorder.ledger().latest().head.size).unwrap()
    }
}

/// A request as the stack hands it on: with who calls beside it.
fn from<T>(name: Name, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let caller = Caller::from_certificate(&uri(name), "01", [1; 32]).unwrap();
    request.extensions_mut().insert(Arc::new(caller));
    request
}

/// What becomes of a request whose step failed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Nobody was told, nothing is there: the retry is the first.
    Lost,
    /// Nobody was told, all of it is there: the retry finds it.
    Kept,
    /// It was answered all the same.
    Answered,
    /// It was refused, and the hub is to end.
    Stopped,
}

/// What is done to the fence once the hub is dead.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FenceThen {
    /// It got as far as it got.
    Stays,
    /// It was never told.
    Untold,
    /// It was being written.
    Torn,
}

const POINTS: [(&str, Trip, FenceThen, Then); 11] = [
    ("before the check", Trip::BeforeCheck, FenceThen::Stays, Then::Lost),
    ("in the check", Trip::InCheck, FenceThen::Stays, Then::Lost),
    ("checked and signed, before the commit", Trip::DieLost, FenceThen::Stays, Then::Lost),
    ("after the commit, before the release", Trip::DieKept, FenceThen::Stays, Then::Kept),
    ("after the commit, before fence and release", Trip::DieKept, FenceThen::Untold, Then::Kept),
    ("the commit's word is lost, and its write", Trip::UnknownLost, FenceThen::Stays, Then::Answered),
    ("the commit's word is lost, its write kept", Trip::UnknownKept, FenceThen::Stays, Then::Answered),
    ("the commit is to be tried again", Trip::Conflict, FenceThen::Stays, Then::Answered),
    ("after the release, before the fence", Trip::Conflict, FenceThen::Untold, Then::Answered),
    ("after the release, in the fence", Trip::Conflict, FenceThen::Torn, Then::Answered),
    ("the disk fails in the commit", Trip::DiskFails, FenceThen::Stays, Then::Stopped),
];

/// One request through one point; what is wrong afterwards.
fn held(ground: &Ground, asked: &Asked, trip: Trip, fence: FenceThen, then: Then) -> Vec<String> {
    ground.put_back();
    let mut problems = Vec::new();
    let told = ground.run(Some((trip, 1)), |exchange| ground.send(exchange, asked));
    match fence {
        FenceThen::Stays => {}
        FenceThen::Untold => ground.put_fence_back(),
        FenceThen::Torn => ground.tear_newest_slot(),
    }
    let seen = match &told {
        None if then == Then::Kept => Then::Kept, // told apart below, by what is there
        None => Then::Lost,
        Some(Ok(_)) => Then::Answered,
        Some(Err(status)) => {
            let reason = crate::client::reason(status);
            if reason != Reason::RecordingStopped {
                problems.push(format!("refused as {reason:?}"));
            }
            Then::Stopped
        }
    };
    if seen != then {
        problems.push(format!("it was {seen:?}, not {then:?}"));
    }
    let there = u64::from(matches!(then, Then::Kept | Then::Answered));
    let size = ground.size_now();
    if size != ground.size + there {
        problems.push(format!("the log has {size} entries, not {}", ground.size + there));
    }
    let again =
        || ground.run(None, |exchange| ground.send(exchange, asked)).unwrap().map_err(|status| format!("{status:?}"));
    let said = |proved: &Proved| (proved.receipt().leaf_index, proved.evidence.payload.clone());
    match (again(), again()) {
        (Ok(first), Ok(second)) => {
            if said(&first) != said(&second) || first.receipt().leaf_index != ground.size {
                problems.push("repeated, it is another entry".into());
            }
            if let Some(Ok(told)) = &told
                && said(told) != said(&first)
            {
                problems.push("what was acknowledged is not what is there".into());
            }
        }
        (first, second) => problems.push(format!("the retry fails: {first:?} {second:?}")),
    }
    let size = ground.size_now();
    if size != ground.size + 1 {
        problems.push(format!("recorded {} times", size - ground.size));
    }
    problems
}

fn both_roads(issue: IssueLicenceRequest, id: &str) -> [(&'static str, Asked); 2] {
    let question = licence(id, &["number", "holder_name"]).encode_to_vec().into();
    let question = LookUpRequest { question, request_id: request_id(), ..LookUpRequest::default() };
    [("a question", Asked::Question(question)), ("a change", Asked::Change(Box::new(issue)))]
}

#[test]
fn a_step_that_fails_never_yields_an_answer_without_an_entry_and_a_retry_is_the_same_request() {
    let setup = Runtime::new().unwrap();
    let (ground, issue) = setup.block_on(Ground::new());
    let mut cases = 0;
    for (road, asked) in both_roads(issue, &ground.id) {
        for (point, trip, fence, then) in POINTS {
            let problems = held(&ground, &asked, trip, fence, then);
            assert!(problems.is_empty(), "{road}, {point}: {problems:#?}");
            setup.block_on(audit::whole(&ground.hub)); // every entry once, all that was said in it
            cases += 1;
        }
    }
    figure::note("fail points", "steps failed on both roads", f64::from(cases), "cases", Target::AtLeast(22.0));
    setup.block_on(ground.hub.audit());
}

#[test]
fn the_oracle_catches_an_engine_that_says_yes_and_writes_nothing() {
    let setup = Runtime::new().unwrap();
    let (ground, issue) = setup.block_on(Ground::new());
    for (road, asked) in both_roads(issue, &ground.id) {
        let problems = held(&ground, &asked, Trip::Lie, FenceThen::Untold, Then::Answered);
        assert!(problems.iter().any(|p| p.contains("is not what is there")), "{road}: {problems:?}");
    }
    ground.put_back();
    setup.block_on(ground.hub.audit());
}

const ROWS: u32 = 450;

/// Brings a file as far as the hub takes it: opened, staged from where it stands, followed to its end.
async fn bring(exchange: Arc<Exchange>, opening: ImportOpening, file: Bytes) -> Result<ImportResponse, Failure> {
    let police = Caller::from_certificate(&uri(POPULATION), "01", [1; 32]).unwrap();
    let intake = Intake::new(exchange);
    intake.resume_all().await?;
    let mut state = intake.open(&police, &opening).await?;
    let id = read_id(&state.import_id)?;
    while state.phase() == ImportPhase::Staging && state.staged_bytes < file.len() as u64 {
        let from = usize::try_from(state.staged_bytes).unwrap();
        let bytes = file.slice(from..file.len().min(from + 20_000));
        state = intake.stage(&police, id, &ImportPart { offset: state.staged_bytes, bytes }).await?;
    }
    let mut progress = intake.follow(id);
    let ended = progress.wait_for(|progress| progress.ended.is_some()).await.unwrap().clone();
    ended.ended.unwrap()?;
    Ok(ended.response)
}

#[test]
fn an_import_that_dies_at_any_of_its_commits_goes_on_and_each_row_takes_effect_once() {
    let setup = Runtime::new().unwrap();
    let (ground, _issue) = setup.block_on(Ground::new());
    let (ids, rows): (Vec<String>, Vec<String>) = (0..ROWS).map(|n| resident(n, "演示样本甲")).unzip();
    let delivery: Delivery<'_> = people(ImportScope::Increment, &rows, "fail points");
    let opening = opening(&ground.hub.certs, &POLICE, &delivery.manifest());
    let file = Bytes::from(delivery.file.clone());
    let bring = |exchange| bring(exchange, opening.clone(), file.clone());
    let trips: &[Trip] = if figure::long() {
        &[Trip::DieLost, Trip::DieKept, Trip::UnknownLost, Trip::UnknownKept, Trip::Conflict, Trip::DiskFails]
    } else {
        &[Trip::DieLost, Trip::DieKept]
    };
    let mut cases = 0;
    for trip in trips {
        let mut n = 0;
        loop {
            n += 1;
            ground.put_back();
            let told = ground.run(Some((*trip, n)), bring);
            let reached = match (trip, &told) {
                (Trip::DieLost | Trip::DieKept, None) => true,
                (Trip::DiskFails, Some(Err(failure))) => {
                    assert_eq!(failure.reason, Reason::RecordingStopped, "commit {n}");
                    true
                }
                (_, Some(Ok(report))) => {
                    assert_eq!(report.phase(), ImportPhase::Done, "commit {n}");
                    n <= 8 // what answers all the same does not say where its commits end
                }
                _ => panic!("{trip:?} at commit {n}: {told:?}"),
            };
            if matches!(trip, Trip::DieLost | Trip::DieKept) && told.is_some() {
                break; // it has fewer commits than that
            }
            let report = ground.run(None, bring).unwrap().unwrap();
            assert_eq!(report.phase(), ImportPhase::Done, "{trip:?} at commit {n}");
            assert_eq!((report.rows_applied, report.rows_quarantined), (u64::from(ROWS), 0), "{trip:?} at commit {n}");
            let some: Vec<Bytes> =
                ids.iter().rev().take(20).map(|id| person(id, &["name"]).encode_to_vec().into()).collect();
            let batch = BatchLookUpRequest { questions: some, ..BatchLookUpRequest::default() };
            let answered = ground.run(None, |exchange| async move {
                let rpc = ExchangeRpc::new(exchange);
                let mut said = None;
                for _ in 0..10 {
                    match rpc.batch_look_up(from(WINDOW, batch.clone())).await {
                        Ok(answered) => return answered.into_inner(),
                        Err(status) => said = Some(status),
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await; // a machine too busy for a moment's five seconds
                }
                panic!("the hub does not answer: {said:?}");
            });
            let answered = answered.unwrap();
            for item in ground.clients[0].items(answered.items, &answered.checkpoint) {
                assert_eq!(item.record().version, 1, "{trip:?} at commit {n}: a row took effect twice");
            }
            setup.block_on(audit::whole(&ground.hub));
            cases += 1;
            if !reached {
                break;
            }
        }
        assert!(n >= 8, "{trip:?}: an import has more commits than {n}");
    }
    figure::note("fail points", "import phases failed", f64::from(cases), "cases", Target::AtLeast(16.0));
    setup.block_on(ground.hub.audit());
}
