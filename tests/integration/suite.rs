//! One suite a hub, from the key of its log to the rows on its disk.
use crate::audit;
use crate::client::licence;
use crate::harness::Hub;
use crate::world::{DESK, WINDOW, draft};
use std::process::{Command, Output};
use wuku::log::{LogKey, SuiteName};
use wuku::receipt::evidence;
use wuku::store::Direction;
use wuku::store::key_space::Prefix;

/// A command of an outsider, with the desk's certificate.
fn outsider(hub: &Hub, words: &[&str]) -> Output {
    let desk = hub.endpoint(hub.certs.system(DESK.0, DESK.1));
    let trust = hub.path("trust.note");
    Command::new(env!("CARGO_BIN_EXE_wuku"))
        .args(words)
        .args(["--hub", &desk.endpoint.replace("127.0.0.1", "localhost")])
        .arg("--ca")
        .arg(&desk.ca)
        .arg("--cert")
        .arg(&desk.certificate)
        .arg("--key")
        .arg(&desk.key)
        .arg("--trust")
        .arg(&trust)
        .output()
        .unwrap()
}

#[tokio::test]
async fn an_sm2_hub_is_sm2_in_keys_log_and_rows_and_its_proofs_hold_on_the_command_line() {
    let mut hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let answer = hub.caller(WINDOW).look_up(&licence(&id, &[])).await.unwrap();
    crate::receipt::published(&hub.caller(DESK), answer.receipt().leaf_index + 1).await;
    let index = answer.receipt().leaf_index.to_string();
    let checkpoint = outsider(&hub, &["log", "checkpoint"]);
    assert!(checkpoint.status.success(), "{checkpoint:?}");
    std::fs::write(hub.path("then.note"), &checkpoint.stdout).unwrap();
    let then = hub.path("then.note");
    for words in [
        vec!["log", "inclusion", "0"],
        vec!["log", "inclusion", &index],
        vec!["log", "consistency", then.to_str().unwrap()],
    ] {
        let proved = outsider(&hub, &words);
        assert!(proved.status.success(), "{words:?}: {}", String::from_utf8_lossy(&proved.stderr));
    }
    std::fs::write(hub.path("evidence.json"), evidence::to_json(&answer.evidence)).unwrap();
    let (file, trust) = (hub.path("evidence.json"), hub.path("trust.note"));
    let words = ["verify", file.to_str().unwrap(), "--trust", trust.to_str().unwrap()];
    let verified = Command::new(env!("CARGO_BIN_EXE_wuku")).args(words).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");

    assert!(hub.stop().await.success());
    {
        let opened = audit::open(&hub).await;
        assert_eq!(opened.vault.suite(), SuiteName::Sm2);
        let keys = opened.snapshot.scan(Prefix::WrappedKey.range(), Direction::Forward, 10).await.unwrap();
        assert!(keys.rows.len() == 4 && keys.rows.iter().all(|(_, value)| value.body[0] == 2));
    }
    // The log key of another suite, of the right name, is not this hub's.
    let (key, kept) = (hub.config.keys.log_key_file.clone(), hub.path("log.key.kept"));
    std::fs::copy(&key, &kept).unwrap(); // and written over, so that nobody else may read it
    let other = LogKey::generate(&hub.config.origin(), SuiteName::Ed25519).unwrap();
    std::fs::write(&key, other.to_text().as_bytes()).unwrap();
    let why = hub.try_start().unwrap_err();
    assert!(why.contains("suite ed25519") && why.contains("套件"), "{why}");
    std::fs::copy(&kept, &key).unwrap();
    hub.start();
    hub.caller(WINDOW).look_up(&licence(&id, &[])).await.unwrap();
    hub.end().await;
}
