//! Where an answer's time goes, room by room, without network.
//!
//! Question: what do policy and library cost by themselves, what does recording add, and how dear are the pieces recording is made of?
//! Expected on one core: a row opened or sealed 1 to 2 µs (AES-256-GCM-SIV over some 500 bytes), 200 leaves with their paths about
//! 200 µs (400 hashes, 200 paths of 20), a receipt verified 60 µs (one Ed25519 verification), the unrecorded road 30 to 60 µs (four
//! reads, four rows opened), the recorded road alone one fsync more, and 64 at once not much more than the unrecorded road each.
//! What should worry us: the recorded road at 64 at once costing three times the unrecorded one.
//!
//! The *unrecorded road* is composed here of policy and library. Nothing in `src/` can leave recording out: `Recorded` is what the edge
//! answers with, and only the recorder makes one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up has nothing to say"
)]
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use prost::Message;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::runtime::Runtime;
use wuku::cli::hub;
use wuku::clock::Clock;
use wuku::config::Config;
use wuku::demo::city::City;
use wuku::demo::organisation::system_of;
use wuku::exchange::{Exchange, Request};
use wuku::library::codes::CalendarDate;
use wuku::library::look_up;
use wuku::library::question::Asked;
use wuku::log::merkle::leaf_hash;
use wuku::log::{Ed25519, Frontier, SuiteName};
use wuku::policy::{Caller, Decision};
use wuku::receipt::trust::Root;
use wuku::receipt::{Kind, Options, Trust, verify};
use wuku::store::memory::Memory;
use wuku::store::vault::{Class, Kek, Vault};
use wuku::telemetry::Metrics;
use wuku::wire::proto::exchange::v1::{Context, LookUpQuestion};
use wuku::wire::proto::library::v1::{HolderCode, RecordKey, record_key::Key};
use wuku::wire::proto::receipt::v1::{Operator, Purpose, PurposeKind};

/// Residents of the city beneath the two roads: more than a cache line, less than a coffee.
const PEOPLE: u64 = 5_000;
/// Answers under way at once, as with 8 connections of 8.
const AT_ONCE: usize = 64;

criterion_group!(rooms, log, vault, receipt, roads);
criterion_main!(rooms);

fn log(c: &mut Criterion) {
    let leaves: Vec<_> = (0_u64..1_000_200).map(|n| leaf_hash::<Ed25519>(&n.to_be_bytes())).collect();
    let (old, fresh) = leaves.split_at(1_000_000);
    let frontier = Frontier::<Ed25519>::new().append(old).into_frontier();
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(fresh.len() as u64));
    group.bench_function("append 200 to a million, with their paths", |b| {
        b.iter(|| {
            let appended = frontier.append(black_box(fresh));
            let paths: Vec<_> = (frontier.size()..frontier.size() + 200).map(|at| appended.path(at)).collect();
            black_box((appended.frontier().root(), paths))
        });
    });
    group.finish();
}

fn vault(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let kek = Kek::create(&folder.path().join("keys/kek"), &folder.path().join("data")).unwrap();
    let mut group = c.benchmark_group("vault");
    for suite in SuiteName::ALL {
        let store = Memory::store(Clock::system());
        let vault = Runtime::new().unwrap().block_on(Vault::create(&kek, &store, suite)).unwrap();
        let (row, place) = (vec![0x5a; 500], [7; 40]);
        let sealed = vault.seal_row(Class::Library(1), 1, &place, &row).unwrap();
        group.bench_function(format!("{suite}: seal a row of 500 bytes"), |b| {
            b.iter(|| vault.seal_row(Class::Library(1), 1, black_box(&place), black_box(&row)));
        });
        group.bench_function(format!("{suite}: open a row of 500 bytes"), |b| {
            b.iter(|| vault.open_row(Class::Library(1), 1, black_box(&place), black_box(&sealed)));
        });
    }
    group.finish();
}

fn receipt(c: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/receipt.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let case = vectors["cases"].as_array().unwrap().iter().find(|case| case["good"] == true).unwrap();
    let trust = Trust::open(case["trustNote"].as_str().unwrap().as_bytes(), Root::ByHand).unwrap();
    let evidence = case["evidence"].as_str().unwrap().as_bytes();
    assert!(verify(evidence, &trust, &Options::default()).good);
    c.bench_function("receipt: verify evidence", |b| {
        b.iter(|| verify(black_box(evidence), &trust, &Options::default()));
    });
}

fn roads(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let (config, city) = made_city(folder.path());
    let runtime = Runtime::new().unwrap();
    let exchange = runtime.block_on(async {
        let (clock, metrics) = (Clock::system(), Metrics::new());
        let store = hub::open_store(&config, &clock).unwrap();
        hub::open(&config, store, &clock, &metrics).await.unwrap()
    });
    let caller = system_of("marriage").map(|system| system.uri("tiantai")).unwrap();
    let caller = Caller::from_certificate(&caller, "01", [0; 32]).unwrap();
    let mut n = 0;
    let mut question = || {
        n += 1;
        ask(&city, n)
    };
    // A benchmark of refusals would look splendid.
    assert!(runtime.block_on(unrecorded(&exchange, &caller, question())), "the road must lead to a record");

    let mut group = c.benchmark_group("roads");
    group.bench_function("unrecorded: policy and library", |b| {
        b.iter_batched(
            &mut question,
            |asked| runtime.block_on(unrecorded(&exchange, &caller, asked)),
            BatchSize::SmallInput,
        );
    });
    group.sample_size(20);
    group.bench_function("recorded, alone", |b| {
        b.iter_batched(
            &mut question,
            |asked| runtime.block_on(recorded(&exchange, &caller, asked)),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    group.bench_function("recorded, 64 at once", |b| {
        b.iter_batched(
            || (0..AT_ONCE).map(|_| question()).collect::<Vec<_>>(),
            |all| runtime.block_on(join_all(all.into_iter().map(|asked| recorded(&exchange, &caller, asked)))),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// What a question costs before it is recorded: one moment, one decision, one lookup. Says whether a record was found.
async fn unrecorded(exchange: &Arc<Exchange>, caller: &Caller, asked: Asked) -> bool {
    let view = exchange.view().await.unwrap();
    let Decision::Permitted(permit) = exchange.policy.decide(&view, caller, &asked).await.unwrap() else {
        return false;
    };
    let moment = look_up::moment(&view, None, None);
    let answered = look_up::answer(&view, &permit, &asked, moment).await.unwrap();
    !black_box(answered.findings.into_inner()).is_empty()
}

async fn recorded(exchange: &Arc<Exchange>, caller: &Caller, asked: Asked) {
    let request = Request { id: "", message: &[] };
    let _released = black_box(exchange.answer(caller, &[asked], request).await.unwrap().recorded);
}

fn ask(city: &City, n: u64) -> Asked {
    let resident = city.resident(16 + n % (PEOPLE - 16)).unwrap();
    let code = HolderCode { code_type: "111".into(), code: resident.code.code().into() };
    let purpose = Purpose {
        kind: PurposeKind::Handling as i32,
        item: "330711001001".into(),
        reference: "TT-2026-000001".into(),
        use_cause: "办件核验".into(),
    };
    let context = Context {
        nonce: u128::from(n).to_be_bytes().to_vec().into(),
        purpose: Some(purpose),
        operator: Some(Operator { id: "clerk-07".into(), window: "A12".into() }),
        ..Context::default()
    };
    let question = LookUpQuestion {
        context: Some(context),
        key: Some(RecordKey { key: Some(Key::Person(code)) }),
        fields: ["name", "sex", "birth_date", "marital_status"].map(String::from).to_vec(),
        ..LookUpQuestion::default()
    };
    wuku::wire::question::look_up(question.encode_to_vec().into(), Kind::LookUp, None).unwrap()
}

/// A hub with a city, made by the command itself and at rest.
fn made_city(folder: &Path) -> (Config, City) {
    let folder: PathBuf = folder.join("city");
    let made = Command::new(env!("CARGO_BIN_EXE_wuku"))
        .args(["bench", "prepare", "--people-only", "--people", &PEOPLE.to_string(), "--folder"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let about: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("bench.json")).unwrap()).unwrap();
    let today = CalendarDate::parse(about["day"].as_str().unwrap()).unwrap();
    let config = Config::load(&folder.join("wuku.toml")).unwrap();
    (config, City::new(about["seed"].as_u64().unwrap(), PEOPLE, today).unwrap())
}
