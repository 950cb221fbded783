//! A backup made under load, on a machine that is lost afterwards: restored it answers as the hub did, and the fence decides how it
//! goes on. A backup that is not what was copied is never put in place.
use crate::client::{Caller, Proved, licence, person};
use crate::desk::Desk;
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{CONSOLE, PEOPLE, WINDOW, draft, full_grant, people, people_resource, resident};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;
use wuku::log::SuiteName;
use wuku::receipt::trust::{Root, Trust};
use wuku::receipt::verify::{Options, verify_message};
use wuku::wire::proto::exchange::v1::{AsOf, LookUpQuestion};
use wuku::wire::proto::intake::v1::{ImportPhase, ImportScope};
use wuku::wire::proto::library::v1::Record;
use wuku::wire::proto::licence::v1::OrderAction;

const CLERKS: usize = 2;
/// Rows of one import: one file may hold so many.
const FILE_ROWS: u32 = 250_000;

fn residents() -> u32 {
    let usual = if figure::long() { 1_000_000 } else { 50_000 };
    std::env::var("WUKU_RESIDENTS").map_or(usual, |n| n.parse().unwrap())
}

/// A hub with so many residents.
async fn city(count: u32) -> Hub {
    let hub = Hub::of(SuiteName::Sm2).await; // the suite `wuku init` gives; the other is in upgrade.rs
    hub.grant_food().await;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name", "sex", "address"])).await;
    let mut first = 0;
    while first < count {
        let end = count.min(first + FILE_ROWS);
        let rows: Vec<String> = (first..end).map(|n| resident(n, "演示样本").1).collect();
        let report = hub.import(&people(ImportScope::Increment, &rows, &format!("from-{first}"))).await.unwrap();
        assert_eq!(
            (report.phase(), report.rows_applied),
            (ImportPhase::Done, u64::from(end - first)),
            "{}",
            report.reason
        );
        first = end;
    }
    hub
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_backup_under_load_is_the_hub_at_one_moment() {
    let count = residents();
    let mut hub = city(count).await;
    let mut licences = Vec::new();
    for _ in 0..5 {
        licences.push(hub.issue(draft()).await);
    }
    hub.order(&licences[0], OrderAction::Revoke).await;
    let desk = Desk::open(&hub, CLERKS);
    desk.work(500).await;
    let backup = hub.path("backup");
    let begun = Instant::now();
    let made = json(&hub.command(&["backup", "--json", "--to", backup.to_str().unwrap()]));
    let backup_s = begun.elapsed().as_secs_f64();
    let position = made["size"].as_u64().unwrap();
    desk.work(500).await;
    let worked = desk.close().await;
    assert!(worked.failed.is_empty(), "{:#?}", worked.failed);
    no_key_is_in(&hub, &backup);

    // The world goes on, and then the machine is gone.
    let rows: Vec<String> = (0..40).map(|n| resident(n, "演示样本改名").1).collect();
    hub.import(&people(ImportScope::Increment, &rows, "after the backup")).await.unwrap();
    hub.order(&licences[1], OrderAction::Revoke).await;
    let questions = questions(count, position, &licences);
    let then = answers(&hub.caller(WINDOW), &questions).await;
    hub.kill();
    std::fs::rename(&hub.config.data.path, hub.path("lost")).unwrap();

    let begun = Instant::now();
    let restored = json(&hub.command(&["restore", "--json", "--from", backup.to_str().unwrap()]));
    let restore_s = begun.elapsed().as_secs_f64();
    let size = restored["size"].as_u64().unwrap();
    assert!(size >= position && restored["recordVersions"].as_u64().unwrap() >= u64::from(count));
    assert_eq!(restored["next"], "recover", "{restored}");
    let refused = hub.command(&["serve"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && why.contains("The fence has seen") && why.contains("wuku recover --new-log"),
        "{why}"
    );

    new_log(&mut hub, &[]);
    hub.start();
    let now = answers(&hub.caller(WINDOW), &questions).await;
    assert_eq!(then.len(), now.len());
    for (n, (then, now)) in then.iter().zip(&now).enumerate() {
        assert_eq!(then, now, "question {n}: the same at the checkpoint");
    }
    let name = |answer: &Proved| answer.field("name").map(str::to_owned);
    let window = hub.caller(WINDOW);
    let renamed = window.look_up(&person(&resident(3, "").0, &["name"])).await.unwrap();
    assert_eq!(
        name(&renamed).as_deref(),
        Some("演示样本"),
        "what came after the backup is lost, and nobody says otherwise"
    );

    // All evidence of before is good, that of lost entries too; it is found in the log where it was not lost.
    let all = hub.proofs.lock().unwrap().clone();
    for evidence in &all {
        let verdict = verify_message(evidence, &hub.trust, &Options::default());
        assert!(verdict.good, "{:?} {}", verdict.failed_step, verdict.detail);
    }
    // What the hub said in its new log lies behind the entry that opened it; what it said before, up to where it was restored.
    hub.proofs.lock().unwrap().retain(|evidence| {
        let receipt = evidence.receipt.as_ref().unwrap();
        receipt.leaf_index < size && still_in(&receipt.checkpoint, size) || of_new_log(&receipt.checkpoint)
    });
    assert!(hub.proofs.lock().unwrap().len() > 100);
    hub.end().await;
    for (name, value, unit, target) in [
        (
            "records restored",
            restored["recordVersions"].as_f64().unwrap(),
            "records",
            Target::AtLeast(f64::from(count)),
        ),
        ("restored and verified in", restore_s, "s", Target::AtMost(300.0)),
        ("of it verifying", restored["verifyS"].as_f64().unwrap(), "s", Target::None),
        ("backup under load made in", backup_s, "s", Target::None),
        ("calls failed during the backup", worked.failed.len() as f64, "calls", Target::Exactly(0.0)),
        ("slowest call during the backup", worked.slowest_ms as f64, "ms", Target::None),
    ] {
        figure::note("backup", name, value, unit, target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_fence_knows_decides_how_a_restored_hub_goes_on() {
    let mut hub = city(30).await;
    hub.stop().await;
    let backup = hub.path("backup");
    hub.command(&["backup", "--to", hub.config.data.path.join("inside").to_str().unwrap()]);
    assert!(!hub.config.data.path.join("inside").exists(), "no backup inside the data");
    let made = json(&hub.command(&["backup", "--json", "--to", backup.to_str().unwrap()]));
    let restore = |hub: &Hub| hub.command(&["restore", "--json", "--from", backup.to_str().unwrap()]);
    assert_says(&restore(&hub), "neither backup nor restore overwrites");

    // Nothing was recorded since: it simply starts.
    std::fs::rename(&hub.config.data.path, hub.path("first")).unwrap();
    let restored = json(&restore(&hub));
    assert_eq!((&restored["next"], &restored["size"]), (&"start".into(), &made["size"]));
    hub.start();
    hub.caller(WINDOW).look_up(&person(&resident(3, "").0, &["name"])).await.unwrap();
    hub.stop().await;

    // The fence is lost with the machine: said so, and a new log is opened only when the operator says so too.
    hub.proofs.lock().unwrap().pop(); // the one look-up since the backup
    std::fs::rename(&hub.config.data.path, hub.path("second")).unwrap();
    std::fs::remove_dir_all(&hub.config.fence.path).unwrap();
    assert_eq!(json(&restore(&hub))["next"], "recover_fence_lost");
    assert_says(&hub.command(&["serve"]), "--fence-lost");
    assert_says(&hub.command(&["recover", "--new-log"]), "--fence-lost");
    new_log(&mut hub, &["--fence-lost"]);
    hub.start();
    hub.caller(WINDOW).look_up(&person(&resident(3, "").0, &["name"])).await.unwrap();
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_not_what_was_copied_is_never_put_in_place() {
    let mut hub = city(30).await;
    let backup = hub.path("backup");
    json(&hub.command(&["backup", "--json", "--to", backup.to_str().unwrap()]));
    assert_says(&hub.command(&["backup", "--to", backup.to_str().unwrap()]), "neither backup nor restore overwrites");
    hub.stop().await;
    let data = hub.config.data.path.clone();
    std::fs::rename(&data, hub.path("kept")).unwrap();
    let refused = |hub: &Hub, why: &str| {
        assert_says(&hub.command(&["restore", "--from", backup.to_str().unwrap()]), why);
        assert!(!data.exists() && !data.with_extension("restoring").exists(), "nothing is put in place: {why}");
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(backup.join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(backup.join("trust.note"));
    let mut bent = 0;
    for path in files {
        let good = std::fs::read(&path).unwrap();
        let Some(at) = good.len().checked_sub(1).map(|last| last / 2) else { continue };
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        refused(&hub, path.file_name().unwrap().to_str().unwrap());
        std::fs::write(&path, &good).unwrap();
        bent += 1;
    }
    assert!(bent >= 4, "{bent} files");
    // Hashes that fit do not make a history: the control swaps the checkpoint for one of another size.
    let manifest = backup.join("manifest.json");
    let good = std::fs::read_to_string(&manifest).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&good).unwrap();
    let note = parsed["checkpoint"].as_str().unwrap();
    let size = note.lines().nth(1).unwrap();
    let forged = good.replacen(&format!("\\n{size}\\n"), "\\n1\\n", 1);
    assert_ne!(forged, good);
    std::fs::write(&manifest, forged).unwrap();
    refused(&hub, "another root at its size");
    std::fs::remove_file(&manifest).unwrap();
    refused(&hub, "was never finished");
    std::fs::write(&manifest, &good).unwrap();
    // Another hub's key-encryption key.
    let kek = std::fs::read(&hub.config.keys.kek_file).unwrap();
    std::fs::write(&hub.config.keys.kek_file, [7; 32]).unwrap();
    refused(&hub, "does not open this backup");
    std::fs::write(&hub.config.keys.kek_file, kek).unwrap();
    // And whole again it is restored, over what an interrupted run left.
    std::fs::create_dir(hub.path("data.restoring")).unwrap();
    std::fs::write(hub.path("data.restoring/half"), b"x").unwrap();
    let restored = json(&hub.command(&["restore", "--json", "--from", backup.to_str().unwrap()]));
    assert_eq!(restored["next"], "start");
    assert!(!data.join("half").exists());
    hub.start();
    hub.end().await;
}

/// The command fails and its words say this.
fn assert_says(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(why), "wanted {why:?}: {said}");
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Opens a new log as the operator is told to: recover, configure, sign the trust file.
fn new_log(hub: &mut Hub, more: &[&str]) {
    let new = json(&hub.command(&[&["recover", "--new-log", "--json"], more].concat()));
    let word = |name: &str| new[name].as_str().map_or_else(|| new[name].to_string(), str::to_owned);
    hub.config.hub.origin_number = 2;
    hub.config.keys.log_key_file = word("keyFile").into();
    std::fs::write(hub.path("wuku.toml"), toml::to_string(&hub.config).unwrap()).unwrap();
    let trust = hub.config.trust.file.clone();
    let close = format!("{}@{}", word("oldOrigin"), word("oldLogClosedAt"));
    let (key, from_size, root) = (word("vkey"), word("fromSize"), hub.path("root.key"));
    let file = trust.to_str().unwrap();
    let signed = Command::new(env!("CARGO_BIN_EXE_wuku"))
        .args(["trust", "add-key", "--trust", file, "--key", &key, "--from-size", &from_size, "--close", &close])
        .args(["--root-key", root.to_str().unwrap(), "--out", file])
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    hub.trust = Arc::new(Trust::open(&std::fs::read(&trust).unwrap(), Root::ByHand).unwrap());
}

/// People and licences as the hub knew them at one position.
fn questions(count: u32, position: u64, licences: &[String]) -> Vec<LookUpQuestion> {
    let step = (count / 150).max(1);
    let mut questions: Vec<_> = (0..60.min(count))
        .chain((0..count).step_by(step as usize))
        .map(|n| person(&resident(n, "").0, &["name", "sex", "address"]))
        .chain(licences.iter().map(|id| licence(id, &[])))
        .collect();
    for question in &mut questions {
        let as_of = AsOf { recorded_position: position, ..AsOf::default() };
        question.context.as_mut().unwrap().as_of = Some(as_of);
    }
    questions
}

/// What was answered, without its age.
async fn answers(window: &Caller, questions: &[LookUpQuestion]) -> Vec<Record> {
    let mut found = Vec::new();
    for some in questions.chunks(100) {
        for answer in window.batch(some).await.unwrap() {
            let mut record = answer.record().clone();
            if let Some(provenance) = record.provenance.as_mut() {
                provenance.age_s = 0;
            }
            found.push(record);
        }
    }
    found
}

/// Whether a checkpoint is of the first log and of what was restored.
fn still_in(note: &[u8], size: u64) -> bool {
    let signed = wuku::log::checkpoint::SignedCheckpoint::parse(note).unwrap();
    signed.checkpoint.size <= size
}

fn of_new_log(note: &[u8]) -> bool {
    wuku::log::checkpoint::SignedCheckpoint::parse(note).unwrap().checkpoint.origin.number() == 2
}

fn no_key_is_in(hub: &Hub, backup: &Path) {
    let keys: Vec<Vec<u8>> = [&hub.config.keys.kek_file, &hub.config.keys.log_key_file, &hub.path("root.key")]
        .map(|path| std::fs::read(path).unwrap().trim_ascii_end().to_vec())
        .into();
    let mut folders = vec![backup.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            if entry.metadata().unwrap().len() > 1 << 20 {
                continue; // a table: rows, looked through whole by the privacy tests
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            for key in &keys {
                let there = bytes.windows(key.len()).any(|window| window == key);
                assert!(!there, "a key is in {}", entry.path().display());
            }
        }
    }
}
