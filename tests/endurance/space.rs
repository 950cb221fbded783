//! A disk that gets full: a small tmpfs, the real hub on it, and a ballast file for whoever else writes there.
//!
//! Changes and imports stop first, questions go on within their reserve, then they stop too; health says why; everything goes on by
//! itself when the ballast goes. The engine itself must never meet the end of the disk: it would stop for good, as the control shows.
use crate::client::{Caller, failed, licence, person, reason};
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{PEOPLE, POLICE, POPULATION, WINDOW, draft, full_grant, opening, people, people_resource, resident};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tonic::Status;
use tonic_types::StatusExt;
use wuku::config::Config;
use wuku::failure::Reason;
use wuku::wire::proto::catalogue::v1::Resource;
use wuku::wire::proto::exchange::v1::LookUpQuestion;
use wuku::wire::proto::intake::v1::{GetImportRequest, ImportPhase, ImportScope};

const MIB: u64 = 1 << 20;
/// Room for a round, and for what each further one of the long form imports and never takes back.
const DISK_MIB: u64 = 128;
const DISK_MIB_LONG: u64 = 1_024;
/// What the small hub of these tests keeps for questions.
const RESERVE_MIB: u64 = 8;

/// A file system of its own, gone when dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mib = if figure::long() { DISK_MIB_LONG } else { DISK_MIB };
        let size = format!("size={mib}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "wuku-test"]).arg(folder.path()).output();
        let mounted = mounted.expect("mount(8) is missing");
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(
            mounted.status.success(),
            "a tmpfs cannot be mounted here; this test needs root or CAP_SYS_ADMIN: {why}"
        );
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn free(&self) -> u64 {
        let seen = rustix::fs::statvfs(self.folder.path()).unwrap();
        seen.f_bavail * seen.f_frsize
    }

    /// Makes the ballast such that so much is free; 0 bytes of it are written, all of it is taken.
    fn leave(&self, free: u64) {
        let path = self.folder.path().join("ballast");
        let now = path.metadata().map_or(0, |file| file.len());
        let wanted = (now + self.free()).saturating_sub(free);
        if wanted < now {
            File::options().write(true).open(&path).unwrap().set_len(wanted).unwrap();
        } else {
            let file = File::options().create(true).truncate(false).write(true).open(&path).unwrap();
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, wanted).unwrap();
        }
    }

    fn relieve(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("ballast"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// A hub whose data lies on the small disk, with buffers to match.
async fn small(disk: &Disk, tune: impl FnOnce(&mut Config)) -> Hub {
    let hub = Hub::tuned(|config| {
        config.data.path = disk.data();
        config.store.write_buffer_mib = 1;
        config.store.wal_mib_max = 4;
        config.store.question_reserve_mib_min = RESERVE_MIB;
        config.store.question_reserve_mib_max = RESERVE_MIB;
        config.store.space_check_ms = 50;
        tune(config);
    })
    .await;
    hub.grant_food().await;
    hub.caller(crate::world::CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name"])).await;
    hub
}

async fn metric(hub: &Hub, name: &str) -> u64 {
    let page = hub.admin("/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(name)).expect("the metric is there");
    line.trim().parse().unwrap()
}

/// Waits until the gauge says so: the hub has looked.
async fn level(hub: &Hub, wanted: u64) {
    let until = Instant::now() + Duration::from_secs(5);
    while metric(hub, "wuku_storage_level").await != wanted {
        assert!(Instant::now() < until, "the level does not become {wanted}: {}", hub.admin("/readyz").await);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Imports so many residents from this number on; the reason it stopped, if it did.
async fn import(hub: &Hub, from: u32, count: u32) -> Result<(), Reason> {
    let rows: Vec<String> = (from..from + count).map(|n| resident(n, "演示样本甲").1).collect();
    let delivery = people(ImportScope::Increment, &rows, "space");
    let opening = opening(&hub.certs, &POLICE, &delivery.manifest());
    let done = hub.caller(POPULATION).import(opening, &delivery.file).await;
    done.map(|report| assert_eq!(report.phase(), ImportPhase::Done)).map_err(|status| reason(&status))
}

/// Leaves a MiB less than what is kept for changes (`wanted` 1), or for questions once the reserve is taken off (2), until the hub says
/// so: what it keeps changes while its engine merges tables.
async fn keep_below(hub: &Hub, disk: &Disk, wanted: u64) {
    let reserve = if wanted == 2 { RESERVE_MIB * MIB } else { 0 };
    let until = Instant::now() + Duration::from_secs(10);
    let mut settled = 0;
    while settled < 3 {
        assert!(Instant::now() < until, "the level does not become {wanted}: {}", hub.admin("/readyz").await);
        match metric(hub, "wuku_storage_kept_bytes").await {
            0 => {} // just started: it has not looked yet
            kept => disk.leave(kept - reserve - MIB),
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
        settled = if metric(hub, "wuku_storage_level").await == wanted { settled + 1 } else { 0 };
    }
}

async fn ask(window: &Caller, question: &LookUpQuestion) -> Result<usize, Status> {
    let questions = vec![question.clone(); 100];
    window.batch(&questions).await.map(|answers| answers.len())
}

fn without_a_word_of_enospc(hub: &Hub, folder: &Path) {
    let engine = std::fs::read_to_string(folder.join("LOG")).unwrap();
    for (whose, log) in [("hub", hub.log()), ("engine", engine)] {
        for word in ["No space left", "NoSpace", "recording has stopped"] {
            assert!(!log.contains(word), "the {whose} met the end of the disk: {word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_stop_before_questions_both_before_the_engine_and_all_go_on_when_space_returns() {
    let disk = Disk::mount();
    let mut hub = small(&disk, |_| {}).await;
    let id = hub.issue(draft()).await;
    let question = licence(&id, &["number", "holder_name"]);
    let rounds = if figure::long() { 20 } else { 1 };
    let (mut imported, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds {
        // The hub's own imports fill what the ballast leaves, up to the watermark and not beyond.
        let kept = metric(&hub, "wuku_storage_kept_bytes").await;
        disk.leave(kept + 6 * MIB);
        let refused = loop {
            match import(&hub, imported, 2_000).await {
                Ok(()) => imported += 2_000,
                Err(reason) => break reason,
            }
            assert!(imported < 1_000_000, "the disk does not get full");
        };
        assert_eq!(refused, Reason::StorageLow);
        // What the engine compacts away comes back; from here the ballast holds the line.
        keep_below(&hub, &disk, 1).await;
        let health = hub.admin("/readyz").await;
        assert!(health.starts_with("HTTP/1.1 200"), "questions are answered: {health}");
        assert!(health.contains("storage is low") && health.contains("存储空间不足"), "{health}");
        let console = hub.caller(crate::world::CONSOLE);
        let other = Resource { code: format!("population-{round}"), ..people_resource() };
        assert_eq!(failed(console.put_resource(other.clone()).await), Reason::StorageLow, "a change");
        // Questions go on inside the reserve, and end there.
        let window = hub.caller(WINDOW);
        let (from, mut answered) = (disk.free(), 0);
        let status = loop {
            match ask(&window, &question).await {
                Ok(answers) => answered += answers,
                Err(status) => break status,
            }
            assert!(answered < 100_000, "the reserve has no end");
        };
        assert_eq!(reason(&status), Reason::StorageLow);
        let used = from.saturating_sub(disk.free());
        keep_below(&hub, &disk, 2).await;
        let health = hub.admin("/readyz").await;
        assert!(health.starts_with("HTTP/1.1 503") && health.contains("questions too are refused"), "{health}");
        assert!(answered > 500, "{answered} answers inside {RESERVE_MIB} MiB");
        if round == 0 {
            figure::note(
                "space",
                "questions answered inside the reserve",
                answered as f64,
                "questions",
                Target::AtLeast(500.0),
            );
            let each = used as f64 / answered as f64;
            figure::note("space", "disk for one question", each, "bytes", Target::None);
        }
        // However often it is asked, nothing more is written; a restart fits into the margin too.
        for _ in 0..20 {
            assert_eq!(failed(ask(&window, &question).await), Reason::StorageLow);
        }
        assert!(hub.stop().await.success());
        hub.start();
        keep_below(&hub, &disk, 2).await; // a start writes out what its log held, and gives the log's room back
        assert_eq!(failed(ask(&hub.caller(WINDOW), &question).await), Reason::StorageLow);
        // Space returns: no restart, no word from an operator.
        disk.relieve();
        let begun = Instant::now();
        let window = hub.caller(WINDOW);
        while ask(&window, &question).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "questions do not go on");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        level(&hub, 0).await;
        slowest = slowest.max(begun.elapsed());
        hub.caller(crate::world::CONSOLE).put_resource(other).await.unwrap();
        import(&hub, imported, 2_000).await.unwrap();
        imported += 2_000;
    }
    figure::note("space", "goes on after space returns", slowest.as_secs_f64(), "s", Target::AtMost(5.0));
    let found = hub.caller(WINDOW).look_up(&person(&resident(imported - 1, "演示样本甲").0, &["name"])).await.unwrap();
    assert_eq!(found.field("name"), Some("演示样本甲"));
    without_a_word_of_enospc(&hub, &disk.data());
    hub.end().await; // the whole log, and everything that was said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_met_the_watermark_goes_on_by_itself() {
    let disk = Disk::mount();
    let hub = small(&disk, |_| {}).await;
    let kept = metric(&hub, "wuku_storage_kept_bytes").await;
    let rows: Vec<String> = (0..6_000).map(|n| resident(n, "演示样本乙").1).collect();
    let delivery = people(ImportScope::Increment, &rows, "space");
    let opening = opening(&hub.certs, &POLICE, &delivery.manifest());
    let police = hub.caller(POPULATION);
    // Room for the file and its check, not for all of its rows.
    disk.leave(kept + 3 * MIB);
    let stopped = police.import(opening.clone(), &delivery.file).await;
    assert_eq!(failed(stopped), Reason::StorageLow);
    keep_below(&hub, &disk, 1).await; // what the engine gives back meanwhile is not to end it before it was seen
    let id_of = |line: &str| Some(line.split("\"import\":\"").nth(1)?.get(..32)?.to_owned());
    let Some(id) = hub.log().lines().find_map(id_of) else {
        panic!("the log does not name the import that stopped: {}", hub.log())
    };
    disk.relieve();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let request = GetImportRequest { import_id: id.clone() };
        let progress = police.intake().get_import(request).await.unwrap().into_inner().progress.unwrap();
        if progress.phase() == ImportPhase::Done {
            assert_eq!(progress.rows_applied, 6_000, "each row once");
            break;
        }
        assert!(Instant::now() < until, "the import does not go on: {progress:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    without_a_word_of_enospc(&hub, &disk.data());
    hub.end().await;
}

/// The control: a disk that fills faster than the hub looks. What the harness looks for must then be there, and even so nothing that
/// was acknowledged may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_does_not_look_meets_the_end_of_the_disk_and_even_then_loses_nothing() {
    let disk = Disk::mount();
    let mut hub = small(&disk, |config| config.store.space_check_ms = 10_000).await;
    let id = hub.issue(draft()).await;
    let window = hub.caller(WINDOW);
    let question = licence(&id, &["number"]);
    // On a slow machine the hub may look in time after all, and refuse: then once more, right after a look.
    let mut met = false;
    for _ in 0..5 {
        while ask(&window, &question).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        disk.leave(0);
        let refused = loop {
            match tokio::time::timeout(Duration::from_secs(5), ask(&window, &question)).await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => break status.get_details_error_info().map(|info| info.reason),
                Err(_) => break None,
            }
        };
        if refused.as_deref() != Some(Reason::StorageLow.name()) {
            met = true;
            break;
        }
        disk.relieve();
    }
    let engine = std::fs::read_to_string(disk.data().join("LOG")).unwrap_or_default();
    assert!(
        met && (hub.log() + &engine).contains("No space left"),
        "the harness cannot tell a full disk from a roomy one"
    );
    hub.kill();
    disk.relieve();
    hub.start();
    hub.caller(WINDOW).look_up(&question).await.unwrap();
    hub.end().await; // every answer that was given stands in the log
}
