//! A hub small enough to lie: fixed keys, fixed salts, a log made from whatever it is told.

use std::cell::Cell;

use prost::Message;
use wuku::log::entry::{Entry, commitment, statement_entry};
use wuku::log::merkle::leaf_hash as leaf_hash_in;
use wuku::log::{Checkpoint, Frontier, Hash, HubName, LogKey, Origin, SuiteName, in_suite};
use wuku::receipt::statement::{PAYLOAD_NAME, payload_digest};
use wuku::receipt::trust::{KeyState, Trust, TrustedKey, TrustedLog};
use wuku::receipt::{Evidence, Kind, Outcome, PublicEvent, Receipt, Statement};
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::exchange::v1::{self as exchange, Context, LookUpQuestion, Payload};
use wuku::wire::proto::library::v1 as library;
use wuku::wire::proto::receipt::v1 as receipt;

pub const HUB: &str = "hub.example";
pub const ROOT_SEED: [u8; 32] = [0x11; 32];
pub const LOG_SEED: [u8; 32] = [0x22; 32];
/// When the fixed log was written, Unix seconds.
pub const TIME_S: u64 = 1_700_000_000;
/// Where the drafted statement stands in the log, and how long the log is.
pub const INDEX: usize = 5;
pub const SIZE: usize = 13;

thread_local! {
    static SUITE: Cell<SuiteName> = const { Cell::new(SuiteName::Ed25519) };
}

/// The suite of the hub that lies.
pub fn suite() -> SuiteName {
    SUITE.get()
}

/// Runs a test on a hub of each suite. What it calls runs on the same thread.
pub fn in_each_suite(test: impl Fn(SuiteName)) {
    for suite in SuiteName::ALL {
        in_one_suite(suite, || test(suite));
    }
}

/// Runs it on a hub of that suite.
pub fn in_one_suite<T>(suite: SuiteName, run: impl FnOnce() -> T) -> T {
    SUITE.set(suite);
    let done = run();
    SUITE.set(SuiteName::Ed25519);
    done
}

pub fn leaf_hash(entry: &[u8]) -> Hash {
    in_suite!(suite(), S => leaf_hash_in::<S>(entry))
}

pub fn key(name: &str, seed: [u8; 32]) -> LogKey {
    LogKey::from_seed(name, suite(), &seed).unwrap()
}

pub fn root_key() -> LogKey {
    key(&format!("{HUB}/root"), ROOT_SEED)
}

pub fn origin(number: u64) -> Origin {
    Origin::parse(&format!("{HUB}/wuku/{number}")).unwrap()
}

pub fn log_key() -> LogKey {
    key(&origin(1).to_string(), LOG_SEED)
}

/// One log, one key, open.
pub fn trust() -> Trust {
    let trusted =
        TrustedKey { key: log_key().verifier().clone(), from_size: 0, to_size: None, state: KeyState::Active };
    let log = TrustedLog { origin: origin(1), suite: suite(), keys: vec![trusted], closed_at_s: None };
    Trust { hub: HubName::parse(HUB).unwrap(), epoch: 1, logs: vec![log] }
}

/// What is about to be said: everything a lie may change before it is logged.
#[derive(Clone)]
pub struct Draft {
    pub statement: Statement,
    pub payload: Payload,
    /// Appended to the canonical bytes.
    pub statement_tail: Vec<u8>,
    pub payload_tail: Vec<u8>,
    pub payload_name: String,
    pub salt: [u8; 32],
    pub time_s: u64,
}

pub fn nonce() -> Vec<u8> {
    (0..16).collect()
}

fn purpose() -> receipt::Purpose {
    receipt::Purpose {
        kind: receipt::PurposeKind::Handling.into(),
        item: "331099-000101".into(),
        reference: "BJ-2023-0001".into(),
        use_cause: "办理食品经营许可".into(),
    }
}

fn operator() -> receipt::Operator {
    receipt::Operator { id: "clerk-07".into(), window: "3号窗口".into() }
}

pub fn context() -> Context {
    Context { nonce: nonce().into(), purpose: Some(purpose()), operator: Some(operator()), ..Default::default() }
}

impl Draft {
    /// A statement and payload of that kind that keep every rule.
    pub fn new(kind: Kind, outcome: Outcome, question: Vec<u8>, answer: Answer) -> Self {
        let payload = Payload {
            format: 1,
            question: question.into(),
            outcome: outcome.into(),
            valid_at_ms: TIME_S * 1000 + 400,
            blind: vec![0xb1; 16].into(),
            answer: Some(answer),
        };
        let statement = Statement {
            format: 1,
            hub: HUB.into(),
            node: "n1".into(),
            kind: kind.into(),
            decided_ms: TIME_S * 1000 + 500,
            caller: format!("wuku://{HUB}/market-supervision/permits"),
            operator: Some(operator()),
            purpose: Some(purpose()),
            outcome: outcome.into(),
            grant: Some(receipt::GrantRef { id: "G-0001".into(), version: 2 }),
            position: 4,
            subject_ref: vec![0x5b; 16].into(),
            ..Default::default()
        };
        Self {
            statement,
            payload,
            statement_tail: Vec::new(),
            payload_tail: Vec::new(),
            payload_name: PAYLOAD_NAME.into(),
            salt: [0x5a; 32],
            time_s: TIME_S,
        }
    }

    /// A licence was asked for by its identifier and found.
    pub fn found() -> Self {
        let key = library::record_key::Key::LicenceId("1.2.156.3005.2.演示样本.1".into());
        let question = LookUpQuestion {
            context: Some(context()),
            key: Some(library::RecordKey { key: Some(key) }),
            fields: vec!["holder_name".into(), "valid_to".into()],
            ..Default::default()
        };
        let field = |name: &str, value: &str| library::Field { name: name.into(), value: value.into(), masked: false };
        let record = library::Record {
            fields: vec![field("holder_name", "𠮷·演示样本"), field("valid_to", "2029-12-31")],
            ..Default::default()
        };
        let mut draft = Self::new(Kind::LookUp, Outcome::Found, question.encode_to_vec(), Answer::Record(record));
        draft.statement.records = vec![receipt::RecordVersion {
            library: 5,
            index_key: vec![0x1d; 16].into(),
            version: 3,
            digest: vec![0xd1; 32].into(),
        }];
        draft
    }

    pub fn statement_bytes(&self) -> Vec<u8> {
        let mut statement = self.statement.clone();
        statement.payload_name = self.payload_name.clone();
        if statement.payload_digest.is_empty() {
            let (name, payload) = (&self.payload_name, self.payload_bytes());
            let digest = in_suite!(suite(), S => payload_digest::<S>(name, &payload));
            statement.payload_digest = digest.to_vec().into();
        }
        [statement.encode_to_vec(), self.statement_tail.clone()].concat()
    }

    pub fn payload_bytes(&self) -> Vec<u8> {
        [self.payload.encode_to_vec(), self.payload_tail.clone()].concat()
    }

    pub fn entry(&self) -> Vec<u8> {
        let commitment = in_suite!(suite(), S => commitment::<S>(&self.salt, &self.statement_bytes()));
        statement_entry(self.time_s, &commitment).to_vec()
    }

    /// The evidence of this draft, logged among others by an honest log.
    pub fn evidence(&self) -> Evidence {
        self.logged(INDEX, SIZE, &log_key(), leaf_hash(&self.entry()))
    }

    /// The evidence of this draft with the leaf at that index of a log of that size, signed by that key.
    pub fn logged(&self, index: usize, size: usize, key: &LogKey, leaf: Hash) -> Evidence {
        let mut leaves: Vec<Hash> = entries(size).iter().map(|entry| leaf_hash(entry)).collect();
        leaves[index] = leaf;
        let (before, batch) = leaves.split_at(index);
        let (root, path) = in_suite!(suite(), S => {
            let before = Frontier::<S>::new().append(before).into_frontier();
            let appended = before.append(batch);
            (appended.frontier().root(), appended.path(index as u64).unwrap())
        });
        let origin = Origin::parse(key.verifier().name()).unwrap();
        let checkpoint = Checkpoint { origin, size: size as u64, root };
        Evidence {
            payload_name: self.payload_name.clone(),
            payload: self.payload_bytes().into(),
            receipt: Some(Receipt {
                statement: self.statement_bytes().into(),
                salt: self.salt.to_vec().into(),
                time_s: self.time_s,
                leaf_index: index as u64,
                path: path.into(),
                checkpoint: checkpoint.sign(key).unwrap().into(),
            }),
        }
    }
}

/// The other entries of the log: first a public one, then commitments of others.
pub fn entries(size: usize) -> Vec<Vec<u8>> {
    let opened = receipt::LogOpened {
        origin: origin(1).to_string(),
        suite: suite().as_str().into(),
        vkey: log_key().verifier().to_string(),
        ..Default::default()
    };
    let event = receipt::public_event::Event::LogOpened(opened);
    let event = PublicEvent { format: 1, hub: HUB.into(), event: Some(event) }.encode_to_vec();
    let first = Entry::Public { time_s: TIME_S - 9, event }.to_bytes().unwrap();
    let other = |i: usize| {
        statement_entry(TIME_S - 1, &in_suite!(suite(), S => commitment::<S>(&[i as u8; 32], b"another"))).to_vec()
    };
    std::iter::once(first).chain((1..size).map(other)).collect()
}

/// Other kinds of question and answer, each keeping every rule.
pub fn other_kinds() -> Vec<(&'static str, Draft)> {
    use exchange::{AreaQuestion, ChangeQuestion, DeriveQuestion, HolderQuestion, MatchQuestion, Truth};
    let context = Some(context());
    let yes = |reason: &str| (i32::from(Truth::Yes), reason.to_owned());
    let (truth, reason) = yes("");
    let matched = MatchQuestion { context: context.clone(), name: "演示样本".into(), ..Default::default() };
    let derived = DeriveQuestion { context: context.clone(), ..Default::default() };
    let holder = HolderQuestion { context: context.clone(), ..Default::default() };
    let area = AreaQuestion { context: context.clone(), kind: "division".into(), ..Default::default() };
    let item = LookUpQuestion { context, ..Default::default() };
    let change = ChangeQuestion {
        request_id: "0191f0c4-7a7e-7000-8000-000000000001".into(),
        purpose: Some(purpose()),
        operator: Some(operator()),
        digests: vec![vec![7; 32].into()],
    };
    let access = receipt::AccessQuestion {
        nonce: nonce().into(),
        purpose: Some(purpose()),
        operator: Some(operator()),
        subject_type: "licence".into(),
        ..Default::default()
    };
    let absence = || Answer::Absence(exchange::Absence { resource: "331099-R01".into(), ..Default::default() });
    let refusal = exchange::Refusal { reason: "PURPOSE_NOT_GRANTED".into(), ..Default::default() };
    vec![
        (
            "match, yes",
            Draft::new(
                Kind::Match,
                Outcome::Found,
                matched.encode_to_vec(),
                Answer::Match(exchange::MatchAnswer { truth, reason: reason.clone() }),
            ),
        ),
        (
            "derive, yes",
            Draft::new(
                Kind::Derive,
                Outcome::Found,
                derived.encode_to_vec(),
                Answer::Derive(exchange::DeriveAnswer { truth, reason }),
            ),
        ),
        ("holder, absent", Draft::new(Kind::Holder, Outcome::Absent, holder.encode_to_vec(), absence())),
        ("area, not covered", Draft::new(Kind::Area, Outcome::NotCovered, area.encode_to_vec(), absence())),
        (
            "batch item, refused",
            Draft::new(Kind::BatchItem, Outcome::Refused, item.encode_to_vec(), Answer::Refusal(refusal)),
        ),
        (
            "issue licence, done",
            Draft::new(
                Kind::IssueLicence,
                Outcome::Done,
                change.encode_to_vec(),
                Answer::Change(exchange::Change::default()),
            ),
        ),
        (
            "access list, done",
            Draft::new(
                Kind::AccessList,
                Outcome::Done,
                access.encode_to_vec(),
                Answer::AccessList(exchange::AccessList::default()),
            ),
        ),
    ]
}
