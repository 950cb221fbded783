//! Data folders made by earlier builds open in this one: their evidence stays good, their store is clean, their questions have the
//! same answers. An older build refuses a newer folder.
//!
//! `tests/data/hub-format-1.tar.gz` was made by commit 3881c46, the last before "nothing lost", `hub-format-2.tar.gz` by 956653d, with
//! [`make_the_kept_hub`]: the test binary of that commit run as `FAKETIME_DONT_FAKE_MONOTONIC=1 faketime '2026-02-01 08:00:00'` (the
//! second in March), so that no later clock stands behind its log. They are never made again: a new format gets a file of its own
//! beside them. RocksDB's own message log is left out of them. Their keys are in them, for they hold nobody.
use crate::audit;
use crate::client::{licence, person};
use crate::harness::Hub;
use crate::world::{CONSOLE, DESK, PEOPLE, REGISTRY, WINDOW, draft, full_grant, people, people_resource, resident};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wuku::receipt::evidence;
use wuku::receipt::verify::{Options, verify};
use wuku::store::key_space::{self, FORMAT_VERSION, MetaRow};
use wuku::store::{Batch, BatchId};
use wuku::wire::proto::exchange::v1::AsOf;
use wuku::wire::proto::intake::v1::ImportScope;
use wuku::wire::proto::library::v1::LicenceState;
use wuku::wire::proto::licence::v1::{OrderAction, PrepareLicenceRequest};

/// Makes what is kept. Run by hand, once for each format: `WUKU_KEEP=FILE endurance --ignored make_the_kept_hub`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes the file of a format, once"]
async fn make_the_kept_hub() {
    let file = PathBuf::from(std::env::var("WUKU_KEEP").expect("WUKU_KEEP says where to"));
    let mut hub = Hub::new().await;
    hub.grant_food().await;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name", "sex", "address"])).await;
    let (window, desk) = (hub.caller(WINDOW), hub.caller(DESK));
    let (ids, mut rows): (Vec<_>, Vec<_>) = (1..=40).map(|n| resident(n, "演示样本")).unzip();
    rows.push("111,331099199003070000,坏行,male,1990-03-07,某处,331023,alive\n".into());
    hub.import(&people(ImportScope::Snapshot, &rows, "first")).await.unwrap();
    let mut licences = Vec::new();
    for n in 0..6 {
        let number = format!("JY133109900001{n:02}");
        licences.push(hub.issue(PrepareLicenceRequest { number, ..draft() }).await);
    }
    hub.order(&licences[1], OrderAction::Revoke).await;
    // A second life, so that there are table files as well as a log of writes.
    hub.stop().await;
    hub.start();
    let (_, changed) = resident(2, "演示样本改名");
    hub.import(&people(ImportScope::Increment, &[changed], "second")).await.unwrap();
    hub.order(&licences[2], OrderAction::Suspend).await;
    let (window_again, desk_again) = (hub.caller(WINDOW), hub.caller(DESK));
    drop((window, desk));
    for id in licences.iter().take(3) {
        window_again.look_up(&licence(id, &[])).await.unwrap();
    }
    for id in ids.iter().take(3) {
        window_again.look_up(&person(id, &["name", "sex"])).await.unwrap();
    }
    let refusal = desk_again.look_up(&person(&ids[0], &["name"])).await.unwrap_err();
    desk_again.refused(&refusal);
    let _ = hub.caller(REGISTRY);
    hub.stop().await;
    let kept: Vec<_> = hub.proofs.lock().unwrap().clone();
    std::fs::create_dir(hub.path("evidence")).unwrap();
    for (n, item) in kept.iter().enumerate() {
        std::fs::write(hub.path("evidence").join(format!("{n:03}.json")), evidence::to_json(item)).unwrap();
    }
    let said = json!({ "people": ids, "licences": licences });
    std::fs::write(hub.path("said.json"), format!("{said:#}\n")).unwrap();
    let parts = [
        "data",
        "fence",
        "keys",
        "root.key",
        "trust.note",
        "evidence",
        "said.json",
        "certs/issuer-ca.pem",
        "certs/issuer-ca.crl",
    ];
    let packed = Command::new("tar").arg("-czf").arg(&file).arg("-C").arg(hub.path("")).args(parts).status().unwrap();
    assert!(packed.success());
    hub.audit().await;
}

/// The kept hub of a format, unpacked.
fn unpacked(format: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/hub-format-{format}.tar.gz"));
    let packed = Command::new("tar").arg("-xzf").arg(kept).arg("-C").arg(folder.path()).status().unwrap();
    assert!(packed.success());
    // The certificates of that time have expired, as they would have at any hub: those of today are made afresh.
    std::fs::remove_dir_all(folder.path().join("certs")).unwrap();
    folder
}

fn adopted(format: u32) -> Hub {
    Hub::adopt(unpacked(format), &[CONSOLE, WINDOW, DESK, REGISTRY], &[], |_| {})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_an_earlier_build_opens_with_all_it_said_and_answers_as_it_did() {
    for format in 1..=FORMAT_VERSION {
        opens_and_answers(format).await;
    }
}

async fn opens_and_answers(format: u32) {
    let hub = adopted(format);
    let said: serde_json::Value = serde_json::from_slice(&std::fs::read(hub.path("said.json")).unwrap()).unwrap();
    let list = |name: &str| -> Vec<String> { serde_json::from_value(said[name].clone()).unwrap() };
    let (people, licences) = (list("people"), list("licences"));

    let mut kept = Vec::new();
    for entry in std::fs::read_dir(hub.path("evidence")).unwrap() {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        let verdict = verify(&file, &hub.trust, &Options::default());
        assert!(verdict.good, "{:?} {}", verdict.failed_step, verdict.detail);
        kept.push(evidence::from_json(&file).unwrap());
    }
    assert!(kept.len() > 40, "the evidence of that time: {}", kept.len());
    hub.proofs.lock().unwrap().extend(kept); // so that each is found in the log when the hub ends

    hub.grant_food().await;
    hub.grant(WINDOW, full_grant(PEOPLE, &["name", "sex", "address"])).await;
    let window = hub.caller(WINDOW);
    let now = window.look_up(&person(&people[1], &["name"])).await.unwrap();
    assert_eq!((now.field("name"), now.record().version), (Some("演示样本改名"), 2));
    let changed = now.record().provenance.as_ref().unwrap().recorded_index;
    let mut before = person(&people[1], &["name"]);
    before.context.as_mut().unwrap().as_of = Some(AsOf { recorded_position: changed, ..AsOf::default() });
    let before = window.look_up(&before).await.unwrap();
    assert_eq!((before.field("name"), before.record().version), (Some("演示样本"), 1));
    for id in people.iter().skip(2) {
        assert_eq!(window.look_up(&person(id, &["name"])).await.unwrap().field("name"), Some("演示样本"));
    }
    let expected = [LicenceState::Valid, LicenceState::Revoked, LicenceState::Suspended, LicenceState::Valid];
    for (id, expected) in licences.iter().zip(expected) {
        let found = window.look_up(&licence(id, &[])).await.unwrap();
        assert_eq!(found.record().licence.as_ref().unwrap().state(), expected, "{id}");
    }
    hub.end().await; // and fsck finds nothing
}

#[tokio::test]
async fn an_older_build_refuses_a_newer_folder_and_says_what_to_do() {
    let mut hub = adopted(FORMAT_VERSION);
    assert!(hub.stop().await.success());
    {
        let opened = audit::open(&hub).await;
        let mut newer = Batch::new(BatchId::random().unwrap());
        newer.put(key_space::meta(MetaRow::FormatVersion), (FORMAT_VERSION + 1).to_be_bytes().to_vec());
        opened.store.commit(newer).await.unwrap();
    }
    for words in [["serve"], ["fsck"]] {
        let refused = hub.command(&words);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{words:?}");
        let format = format!("format {}", FORMAT_VERSION + 1);
        assert!(why.contains(&format) && why.contains("use a newer program"), "{words:?}: {why}");
    }
    hub.end_damaged();
}
