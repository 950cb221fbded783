//! `kill -9` under a mixed load: nothing acknowledged is lost, nothing is done twice, the log is one, every evidence stays good.
//!
//! Thirty kills, 500 in the long form, `WUKU_KILLS` for as many as one likes. `WUKU_SEED` repeats a run's choices, though never its timing.
use crate::chance::Rng;
use crate::client::{Caller, Proved, administration, licence, person, request_id};
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{
    CONSOLE, Chunk, FOOD, FOOD_FIELDS, PEOPLE, POLICE, POPULATION, REGISTRY, WINDOW, draft, full_grant, issuing,
    opening, order, ordering, people, people_resource, resident,
};
use futures_util::StreamExt;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tonic::Status;
use tonic_types::StatusExt;
use wuku::cli::dev_certs::DevCerts;
use wuku::config::Config;
use wuku::failure::{Fault, Reason};
use wuku::receipt::Outcome;
use wuku::wire::proto::catalogue::v1::{
    ApplyGrantRequest, DecideGrantRequest, Grant, GrantState, ListGrantsRequest, WithdrawGrantRequest,
};
use wuku::wire::proto::exchange::v1::LookUpRequest;
use wuku::wire::proto::intake::v1::{ImportOpening, ImportPhase, ImportScope};
use wuku::wire::proto::library::v1::LicenceState;
use wuku::wire::proto::licence::v1::{ChangeLicenceRequest, IssueLicenceRequest, OrderAction};

const KILLS: u32 = 30;
const KILLS_LONG: u32 = 500;
const CLERKS: u64 = 4;
const REPEATED_AT_ONCE: usize = 16;

/// When a clerk tells the oracle that a change was acknowledged.
#[derive(Clone, Copy, PartialEq)]
pub enum Told {
    /// As a caller may: when the acknowledgement is there.
    WhenAcknowledged,
    /// What a hub would do that acknowledges before it commits.
    WhenSent,
}

/// A change as it was sent, to be sent again.
#[derive(Clone)]
pub enum Sent {
    Issue(IssueLicenceRequest),
    Order(ChangeLicenceRequest),
    Apply(ApplyGrantRequest),
    Decide(DecideGrantRequest),
    Withdraw(WithdrawGrantRequest),
    Import(ImportOpening, Vec<u8>),
    Ask(LookUpRequest),
}

/// What must be so of a licence or grant: what was acknowledged, unless what was sent after it took effect too.
#[derive(Clone, Copy)]
pub struct Expected<T> {
    acknowledged: Option<T>,
    sent: Option<T>,
}

/// Everything the clerks were told, held against the hub after each kill.
#[derive(Default)]
pub struct Oracle {
    licences: BTreeMap<String, Expected<LicenceState>>,
    grants: BTreeMap<String, Expected<GrantState>>,
    /// By identity number, the version of the record: each row takes effect once, so it is never more than 1.
    people: BTreeMap<String, Expected<u64>>,
    imported: u32,
    /// Of earlier rounds, to be looked at once more at the end.
    filed: (BTreeMap<String, Expected<LicenceState>>, BTreeMap<String, Expected<u64>>),
    /// Of this round: what was sent, by whom, and the acknowledgement if it came.
    changes: Vec<(Sent, Option<Proved>)>,
    /// How many acknowledgements there were, and when the newest was there.
    pub acknowledged: usize,
    pub newest: Option<SystemTime>,
    /// Reasons that a hub under this load does not give.
    pub surprises: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_change_is_lost_or_doubled_however_often_the_hub_is_killed() {
    let usual = if figure::long() { KILLS_LONG } else { KILLS };
    let kills = std::env::var("WUKU_KILLS").map_or(usual, |n| n.parse().unwrap());
    let mut rng = Rng::seeded();
    let mut hub = city(|_| {}).await;
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    for kill in 0..kills {
        let ms = rng.between(20, 500);
        round(&mut hub, &oracle, Told::WhenAcknowledged, &mut rng, ms).await;
        let problems = held(&hub, &oracle).await;
        assert!(problems.is_empty(), "kill {kill} after {ms} ms: {problems:#?}");
        oracle.lock().unwrap().file();
    }
    // What earlier rounds left stands after all the later kills too.
    oracle.lock().unwrap().unfile();
    let problems = lost(&hub, &oracle).await;
    assert!(problems.is_empty(), "after the last kill: {problems:#?}");
    let acknowledged = oracle.lock().unwrap().acknowledged;
    eprintln!(
        "{kills} kills, {acknowledged} changes acknowledged, {} pieces of evidence",
        hub.proofs.lock().unwrap().len()
    );
    assert!(acknowledged as u64 > u64::from(kills), "the load does not load");
    figure::note("kills", "kills survived", f64::from(kills), "kills", Target::AtLeast(f64::from(usual)));
    hub.end().await; // every entry once, every evidence of every round still good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_catches_a_hub_that_acknowledges_before_it_commits() {
    let mut rng = Rng::seeded();
    let mut hub = city(|_| {}).await;
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    for _ in 0..50 {
        let ms = rng.between(20, 120);
        round(&mut hub, &oracle, Told::WhenSent, &mut rng, ms).await;
        let problems = lost(&hub, &oracle).await;
        if !problems.is_empty() {
            return hub.end().await;
        }
    }
    panic!("fifty kills, and no change that was only sent was missed: the oracle does not look");
}

/// A hub whose window may ask for what the clerks change.
pub async fn city(tune: impl FnOnce(&mut Config)) -> Hub {
    let hub = Hub::tuned(tune).await;
    hub.grant_food().await;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name"])).await;
    hub
}

/// Load, a kill after so many milliseconds, and the hub started again.
async fn round(hub: &mut Hub, oracle: &Arc<Mutex<Oracle>>, told: Told, rng: &mut Rng, ms: u64) {
    let clerks = load(hub, oracle, told, rng);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    hub.kill();
    for clerk in clerks {
        clerk.await.unwrap();
    }
    hub.start();
}

/// Sets clerks to work, each until its connection is gone; what they are told goes to the oracle.
pub fn load(hub: &Hub, oracle: &Arc<Mutex<Oracle>>, told: Told, rng: &mut Rng) -> Vec<tokio::task::JoinHandle<()>> {
    oracle.lock().unwrap().changes.clear();
    let clerk = |_| Clerk {
        registry: hub.caller(REGISTRY),
        window: hub.caller(WINDOW),
        console: hub.caller(CONSOLE),
        police: hub.caller(POPULATION),
        certs: hub.certs.clone(),
        oracle: oracle.clone(),
        told,
        rng: rng.fork(),
        mine: Vec::new(),
    };
    (0..CLERKS).map(clerk).map(|clerk| tokio::spawn(clerk.work())).collect()
}

/// Everything the oracle holds against the hub.
pub async fn held(hub: &Hub, oracle: &Arc<Mutex<Oracle>>) -> Vec<String> {
    let mut problems = lost(hub, oracle).await;
    problems.append(&mut oracle.lock().unwrap().surprises);
    let changes = oracle.lock().unwrap().changes.clone();
    let (registry, window, console) = (hub.caller(REGISTRY), hub.caller(WINDOW), hub.caller(CONSOLE));
    let police = hub.caller(POPULATION);
    let callers = [&registry, &window, &console, &police];
    // Of one clerk at most the last was not acknowledged, so their order no longer matters.
    let repeated = changes.into_iter().map(|(sent, acknowledged)| async move {
        let (first, again) = (sent.send_patiently(callers).await, sent.send_patiently(callers).await);
        (sent, acknowledged, first, again)
    });
    let repeated: Vec<_> = futures_util::stream::iter(repeated).buffer_unordered(REPEATED_AT_ONCE).collect().await;
    for (sent, acknowledged, first, again) in repeated {
        let (first, again) = match (first, again) {
            (Ok(first), Ok(again)) => (first, again),
            (Err(status), _) | (_, Err(status)) => {
                problems.push(format!("{} cannot be sent again: {}", sent.name(), status.message()));
                continue;
            }
        };
        let same = |a: &Proved, b: &Proved| {
            (a.receipt().leaf_index, &a.evidence.payload) == (b.receipt().leaf_index, &b.evidence.payload)
        };
        if !same(&first, &again) || acknowledged.as_ref().is_some_and(|told| !same(told, &first)) {
            problems.push(format!("{} was done twice", sent.name()));
        }
    }
    // What was sent and not acknowledged has been sent again: now it is so.
    let mut oracle = oracle.lock().unwrap();
    oracle.licences.values_mut().for_each(Expected::settle);
    oracle.grants.values_mut().for_each(Expected::settle);
    oracle.people.values_mut().for_each(Expected::settle);
    problems
}

/// What was acknowledged and is not there, looked at before anything is sent again.
pub async fn lost(hub: &Hub, oracle: &Arc<Mutex<Oracle>>) -> Vec<String> {
    let (licences, grants, residents) = {
        let oracle = oracle.lock().unwrap();
        (oracle.licences.clone(), oracle.grants.clone(), oracle.people.clone())
    };
    let mut problems = Vec::new();
    let window = hub.caller(WINDOW);
    let ids: Vec<&String> = licences.keys().collect();
    for some in ids.chunks(200) {
        let questions: Vec<_> = some.iter().map(|id| licence(id, &[])).collect();
        for (id, answer) in some.iter().zip(window.batch(&questions).await.unwrap()) {
            let seen = match answer.outcome() {
                Outcome::Found => Some(answer.record().licence.as_ref().unwrap().state()),
                Outcome::Absent => None,
                other => panic!("{other:?}"),
            };
            problems.extend(licences[*id].judge(seen, id));
        }
    }
    let ids: Vec<&String> = residents.keys().collect();
    for some in ids.chunks(200) {
        let questions: Vec<_> = some.iter().map(|id| person(id, &[])).collect();
        for (id, answer) in some.iter().zip(window.batch(&questions).await.unwrap()) {
            let seen = (answer.outcome() == Outcome::Found).then(|| answer.record().version);
            problems.extend(residents[*id].judge(seen, id));
        }
    }
    let mut page = ListGrantsRequest { resource: FOOD.into(), page_size: 200, ..ListGrantsRequest::default() };
    let mut states = BTreeMap::new();
    loop {
        let response = hub.caller(CONSOLE).catalogue().list_grants(page.clone()).await.unwrap().into_inner();
        states.extend(response.grants.iter().map(|g| (g.id.clone(), g.state())));
        if response.next_page_token.is_empty() {
            break;
        }
        page.page_token = response.next_page_token;
    }
    for (id, expected) in &grants {
        problems.extend(expected.judge(states.get(id).copied(), id));
    }
    problems
}

impl Oracle {
    /// Puts aside what no later round touches; looking at all of it after each kill would take longer than the kills.
    pub fn file(&mut self) {
        self.filed.0.append(&mut self.licences);
        self.filed.1.append(&mut self.people);
    }

    pub fn unfile(&mut self) {
        self.licences.append(&mut self.filed.0);
        self.people.append(&mut self.filed.1);
    }
}

impl<T: Copy + PartialEq + std::fmt::Debug> Expected<T> {
    fn judge(&self, seen: Option<T>, id: &str) -> Option<String> {
        let good = seen == self.acknowledged || (self.sent.is_some() && seen == self.sent);
        (!good).then(|| format!("lost: {id} was acknowledged as {:?} and is {seen:?}", self.acknowledged))
    }

    fn settle(&mut self) {
        self.acknowledged = self.sent.take().or(self.acknowledged);
    }
}

impl Sent {
    fn name(&self) -> &'static str {
        match self {
            Self::Issue(_) => "an issue",
            Self::Order(_) => "an order",
            Self::Apply(_) => "an application",
            Self::Decide(_) => "a decision",
            Self::Withdraw(_) => "a withdrawal",
            Self::Import(..) => "an import",
            Self::Ask(_) => "a question",
        }
    }

    /// Again while the hub is only busy: the machine runs other tests meanwhile.
    async fn send_patiently(&self, callers: [&Caller; 4]) -> Result<Proved, Status> {
        for _ in 0..50 {
            let status = match self.send(callers).await {
                Ok(proved) => return Ok(proved),
                Err(status) => status,
            };
            let info = status.get_details_error_info();
            let reason = info.and_then(|info| Reason::from_name(&info.reason));
            if reason.is_none_or(|reason| reason.fault() != Fault::Busy) {
                return Err(status);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.send(callers).await
    }

    async fn send(&self, [registry, window, console, police]: [&Caller; 4]) -> Result<Proved, Status> {
        match self.clone() {
            Self::Issue(request) => registry.issue(request).await,
            Self::Order(request) => registry.change(request).await,
            Self::Apply(request) => window.catalogue().apply_grant(request).await.map(|r| window.got(r.into_inner())),
            Self::Decide(request) => {
                console.catalogue().decide_grant(request).await.map(|r| console.got(r.into_inner()))
            }
            Self::Withdraw(request) => {
                window.catalogue().withdraw_grant(request).await.map(|r| window.got(r.into_inner()))
            }
            Self::Import(opening, file) => {
                let report = police.import(opening, &file).await?;
                match report.phase() {
                    ImportPhase::Done => Ok(police.got(Chunk(report))),
                    phase => Err(Status::aborted(format!("the import is {phase:?}: {}", report.reason))),
                }
            }
            Self::Ask(request) => window.exchange().look_up(request).await.map(|r| window.got(r.into_inner())),
        }
    }
}

/// One source of load: works until the connection is gone.
struct Clerk {
    registry: Caller,
    window: Caller,
    console: Caller,
    police: Caller,
    certs: DevCerts,
    oracle: Arc<Mutex<Oracle>>,
    told: Told,
    rng: Rng,
    mine: Vec<String>,
}

impl Clerk {
    async fn work(mut self) {
        loop {
            let done = match self.rng.between(0, 8) {
                7 => self.import().await,
                0 | 1 => self.issue().await,
                2 => self.revoke().await,
                3 => self.grants().await,
                _ => self.ask().await,
            };
            let Err(status) = done else { continue };
            match status.get_details_error_info().and_then(|info| Reason::from_name(&info.reason)) {
                None => return, // the connection is gone, and the hub with it
                Some(reason) if reason.fault() == Fault::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
                Some(reason) => return self.oracle.lock().unwrap().surprises.push(format!("{reason:?}")),
            }
        }
    }

    /// Sends a change; `note` tells the oracle of the state it leads to.
    async fn change<T: Copy>(
        &self,
        sent: Sent,
        id: &str,
        state: T,
        table: impl Fn(&mut Oracle) -> &mut BTreeMap<String, Expected<T>>,
    ) -> Result<(), Status> {
        let at = {
            let mut oracle = self.oracle.lock().unwrap();
            let expected =
                table(&mut oracle).entry(id.to_owned()).or_insert(Expected { acknowledged: None, sent: None });
            match self.told {
                Told::WhenAcknowledged => expected.sent = Some(state),
                Told::WhenSent => expected.acknowledged = Some(state),
            }
            oracle.changes.push((sent.clone(), None));
            oracle.changes.len() - 1
        };
        let proved = sent.send([&self.registry, &self.window, &self.console, &self.police]).await?;
        let mut oracle = self.oracle.lock().unwrap();
        table(&mut oracle).insert(id.to_owned(), Expected { acknowledged: Some(state), sent: None });
        oracle.changes[at].1 = Some(proved);
        oracle.acknowledged += 1;
        oracle.newest = Some(SystemTime::now());
        Ok(())
    }

    async fn issue(&mut self) -> Result<(), Status> {
        let prepared = self.registry.prepare(draft()).await?;
        let sent = Sent::Issue(issuing(&self.certs, &prepared));
        self.change(sent, &prepared.licence_id, LicenceState::Valid, |oracle| &mut oracle.licences).await?;
        self.mine.push(prepared.licence_id);
        Ok(())
    }

    async fn revoke(&mut self) -> Result<(), Status> {
        let Some(id) = self.mine.pop() else { return self.issue().await };
        let sent = Sent::Order(ordering(&self.certs, &order(&id, OrderAction::Revoke)));
        self.change(sent, &id, LicenceState::Revoked, |oracle| &mut oracle.licences).await
    }

    async fn grants(&mut self) -> Result<(), Status> {
        // The id is the hub's, so the application itself is held by its request id alone.
        let grant: Grant = full_grant(FOOD, &FOOD_FIELDS);
        let request =
            ApplyGrantRequest { request_id: request_id(), grant: Some(grant), purpose: Some(administration()) };
        let id = self.note(Sent::Apply(request)).await?.change().records[0].name.clone();
        let applied = Expected { acknowledged: Some(GrantState::Applied), sent: None };
        self.oracle.lock().unwrap().grants.insert(id.clone(), applied);
        let request = DecideGrantRequest {
            request_id: request_id(),
            grant_id: id.clone(),
            agree: true,
            purpose: Some(administration()),
            ..DecideGrantRequest::default()
        };
        self.change(Sent::Decide(request), &id, GrantState::Granted, |oracle| &mut oracle.grants).await?;
        let request = WithdrawGrantRequest {
            request_id: request_id(),
            grant_id: id.clone(),
            reason: "用毕".into(),
            purpose: Some(administration()),
        };
        self.change(Sent::Withdraw(request), &id, GrantState::Withdrawn, |oracle| &mut oracle.grants).await
    }

    /// A file of sixty new residents.
    async fn import(&mut self) -> Result<(), Status> {
        let first = {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.imported += 60;
            oracle.imported
        };
        let (ids, rows): (Vec<String>, Vec<String>) = (first..first + 60).map(|n| resident(n, "演示样本甲")).unzip();
        let delivery = people(ImportScope::Increment, &rows, "kills");
        let sent = Sent::Import(opening(&self.certs, &POLICE, &delivery.manifest()), delivery.file);
        let tell = |expected: Expected<u64>| {
            let mut oracle = self.oracle.lock().unwrap();
            ids.iter().for_each(|id| _ = oracle.people.insert(id.clone(), expected));
        };
        match self.told {
            Told::WhenAcknowledged => tell(Expected { acknowledged: None, sent: Some(1) }),
            Told::WhenSent => tell(Expected { acknowledged: Some(1), sent: None }),
        }
        self.note(sent).await?;
        tell(Expected { acknowledged: Some(1), sent: None });
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), Status> {
        let Some(id) = self.mine.last() else { return self.issue().await };
        let question = licence(id, &["number", "holder_name"]).encode_to_vec().into();
        let request = LookUpRequest { question, request_id: request_id(), ..LookUpRequest::default() };
        self.note(Sent::Ask(request)).await.map(|_| ())
    }

    /// Sends what changes nothing the oracle could look at, to be repeated later.
    async fn note(&self, sent: Sent) -> Result<Proved, Status> {
        let at = {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.changes.push((sent.clone(), None));
            oracle.changes.len() - 1
        };
        let proved = sent.send([&self.registry, &self.window, &self.console, &self.police]).await?;
        let mut oracle = self.oracle.lock().unwrap();
        oracle.changes[at].1 = Some(proved.clone());
        oracle.newest = Some(SystemTime::now());
        drop(oracle);
        Ok(proved)
    }
}
