//! Every key and certificate of a hub changes under load: no call fails, and what was proved before stays proved.
use crate::client::{Caller, Proved, context, failed, licence};
use crate::desk::{Desk, Worked};
use crate::figure::{self, Target};
use crate::harness::{HUB, Hub};
use crate::world::{DESK, REGISTRY, WINDOW, draft};
use prost::bytes::Bytes;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use wuku::cli::dev_certs::{Authority, DevCerts, Validity};
use wuku::clock::Clock;
use wuku::failure::Reason;
use wuku::log::checkpoint::SignedCheckpoint;
use wuku::log::{Checkpoint, LogKey, Origin, SuiteName};
use wuku::receipt::trust::{Root, Trust};
use wuku::receipt::verify::{Options, verify_message};
use wuku::wire::proto::exchange::v1::Context;

const CLERKS: usize = 3;

/// How long the load goes on before and after each change.
fn while_ms() -> u64 {
    if figure::long() { 20_000 } else { 600 }
}

async fn city() -> Hub {
    let hub = Hub::tuned_in(SuiteName::Sm2, |config| config.listen.reload_check_ms = 100).await;
    hub.grant_food().await;
    hub
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_log_goes_on_under_another_key_and_no_call_fails() {
    let mut hub = city().await;
    let first_trust = hub.trust.clone();
    let old = first_trust.logs[0].keys[0].key.clone();
    let desk = Desk::open(&hub, CLERKS);
    desk.work(while_ms()).await;
    let window = hub.caller(WINDOW);
    let id = hub.issue(draft()).await;
    let before = window.look_up(&licence(&id, &[])).await.unwrap();

    let draft = hub.path("trust.json");
    let draft = draft.to_str().unwrap();
    let words = ["rotate", "log-key", "prepare", "--json", "--draft", draft];
    let prepared = json(&hub.command(&words));
    let again = json(&hub.command(&words));
    assert_eq!(prepared["vkey"], again["vkey"], "run again, it goes on with the key it made");
    let refused = hub.command(&["rotate", "log-key", "switch"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("does not list the new key"), "{why}");

    trust(&hub, &["sign", "--draft", draft]);
    let both = held(&hub);
    desk.hand_out(|papers| papers.trust = both.clone());
    desk.work(while_ms()).await;
    let switched = json(&hub.command(&["rotate", "log-key", "switch", "--json"]));
    let (old_id, size) = (switched["old"].as_str().unwrap().to_owned(), switched["oldToSize"].as_u64().unwrap());
    assert_eq!(old_id, old.id_hex());
    desk.work(while_ms()).await;

    // Old and new evidence are good together; the first issue of the trust file does not know the new key.
    hub.trust = both;
    let window = hub.caller(WINDOW);
    let after = window.look_up(&licence(&id, &[])).await.unwrap();
    assert!(signed(&after).1.id != signed(&before).1.id, "another key signs");
    assert!(
        !verify_message(&after.evidence, &first_trust, &Options::default()).good,
        "the control: a key must be trusted"
    );
    for seen in [&before, &after] {
        asking(&window, &id, &seen.receipt().checkpoint).await.unwrap();
    }

    let retire = format!("{old_id}@{size}");
    let path = hub.config.trust.file.to_str().unwrap().to_owned();
    run(&["trust", "retire", "--trust", &path, "--key", &retire, "--draft", draft]);
    trust(&hub, &["sign", "--draft", draft]);
    hub.trust = held(&hub);
    desk.hand_out(|papers| papers.trust = hub.trust.clone());
    shown(&hub, 3).await;
    desk.work(while_ms()).await;
    let window = hub.caller(WINDOW);
    asking(&window, &id, &before.receipt().checkpoint).await.unwrap();
    // Who finds the old key can no longer stop the hub with a history it never had.
    let found = std::fs::read_to_string(hub.path(&format!("keys/log.key.old-{old_id}"))).unwrap();
    let forged = Checkpoint { origin: Origin::parse(old.name()).unwrap(), size: 1_000_000, root: [9; 32] };
    let forged = forged.sign(&LogKey::parse(&found).unwrap()).unwrap();
    assert_eq!(failed(asking(&window, &id, &forged.into()).await), Reason::CheckpointUnknown);
    asking(&window, &id, &after.receipt().checkpoint).await.unwrap();

    let worked = desk.close().await;
    none_failed("log key", &worked);
    let keys: std::collections::BTreeSet<_> = hub.proofs.lock().unwrap().iter().map(key_of).collect();
    assert_eq!(keys.len(), 2, "the load saw both keys");
    hub.stop().await;
    hub.start();
    let restarted = hub.caller(WINDOW).look_up(&licence(&id, &[])).await.unwrap();
    assert_eq!(signed(&restarted).1.id, signed(&after).1.id, "a restart goes on under the new key");
    hub.end().await; // every evidence of both keys, once more
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_keys_are_wrapped_by_another_key_and_no_call_fails() {
    let mut hub = city().await;
    let id = hub.issue(draft()).await;
    let kek = hub.config.keys.kek_file.clone();
    let then = std::fs::read(&kek).unwrap();
    let desk = Desk::open(&hub, CLERKS);
    desk.work(while_ms()).await;
    let said = json(&hub.command(&["rotate", "kek", "--json"]));
    assert_eq!(said["keys"], 4);
    desk.work(while_ms()).await;
    none_failed("key-encryption key", &desk.close().await);
    let now = std::fs::read(&kek).unwrap();
    assert_ne!(now, then);
    let kept = std::path::PathBuf::from(said["oldKekFile"].as_str().unwrap());
    assert_eq!(std::fs::read(&kept).unwrap(), then, "backups of before need it");
    hub.stop().await;

    // The control: the old key opens nothing any more.
    std::fs::write(&kek, &then).unwrap();
    let refused = hub.command(&["serve"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("not the key-encryption key"), "{why}");
    // A run cut before its last step: the hub opens with the next file, and the command finishes, running hub or not.
    let next = hub.path("keys/kek.next");
    std::fs::write(&next, &now).unwrap();
    std::process::Command::new("chmod").arg("600").arg(&next).status().unwrap();
    hub.start();
    hub.caller(WINDOW).look_up(&licence(&id, &[])).await.unwrap();
    assert!(hub.log().contains("wuku rotate kek"));
    assert_eq!(json(&hub.command(&["rotate", "kek", "--json"]))["keys"], 0);
    assert_eq!(std::fs::read(&kek).unwrap(), now);
    hub.stop().await;
    // At rest it works on the folder itself.
    assert_eq!(json(&hub.command(&["rotate", "kek", "--json"]))["keys"], 4);
    hub.start();
    hub.caller(WINDOW).look_up(&licence(&id, &[])).await.unwrap();
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn certificates_authorities_and_revocation_lists_change_and_no_call_fails() {
    let hub = city().await;
    let id = hub.issue(draft()).await;
    let desk = Desk::open(&hub, CLERKS);
    desk.work(while_ms()).await;

    // The server's certificate and key, under the same authority.
    hub.certs.make_server(HUB, Validity::days(&Clock::system(), 5)).unwrap();
    served_until(&hub, 5).await;
    desk.work(while_ms()).await;

    // Another authority beside the first: its list first, then itself.
    let clock = Clock::system();
    let second = DevCerts::make(&hub.path("second"), "second.hub.test", &[], &[], &clock).unwrap();
    for system in [WINDOW, REGISTRY, DESK] {
        second.make_system(HUB, system.0, system.1, Validity::days(&clock, 4)).unwrap();
    }
    let (ca, crl) = (&hub.config.listen.client_ca_file, &hub.config.listen.client_crl_files[0]);
    let read = |path: &Path| std::fs::read(path).unwrap();
    let (first_ca, second_ca) = (read(ca), read(&second.authority(Authority::Client).certificate));
    let second_crl = second.crl(Authority::Client);
    let bundle = hub.path("both.pem");
    replace(&bundle, &[first_ca.as_slice(), &second_ca].concat());
    desk.hand_out(|papers| papers.ca = bundle.clone()); // as callers would be told before
    desk.settled().await;
    replace(crl, &[read(crl).as_slice(), &read(&second_crl)].concat());
    replace(ca, &[first_ca.as_slice(), &second_ca].concat());
    let newcomer = || with(&hub, &bundle, second.clone(), DESK);
    welcomed(&hub, newcomer, &id).await;
    desk.hand_out(|papers| papers.certs = second.clone());
    desk.settled().await; // nobody is on a connection of before
    desk.work(while_ms()).await;

    // The server's certificate by the other authority, then the first one goes.
    let server = second.make_server(HUB, Validity::days(&clock, 3)).unwrap();
    replace(&hub.config.listen.tls_key_file, &read(&server.key));
    replace(&hub.config.listen.tls_certificate_file, &read(&server.certificate));
    served_until(&hub, 3).await;
    desk.work(while_ms()).await;
    let late = with(&hub, &bundle, hub.certs.clone(), DESK);
    late.look_up(&licence(&id, &[])).await.unwrap_err(); // no grant, and answered: the connection is open
    replace(ca, &second_ca);
    replace(crl, &read(&second_crl));
    hub.signal("HUP");
    until("the first authority is gone", async || failed_with(&late, &id).await == Some(Reason::CallerUnknown)).await;
    desk.work(while_ms()).await;

    // One certificate revoked: nothing more on its open connection, and nobody else notices.
    let revoked = newcomer();
    assert_ne!(failed_with(&revoked, &id).await, Some(Reason::CertificateRevoked));
    let serial = DevCerts::serial(&second.system(DESK.0, DESK.1).certificate).unwrap();
    second.revoke(Authority::Client, &serial).unwrap();
    let begun = std::time::Instant::now();
    replace(crl, &read(&second_crl));
    until("it is revoked", async || failed_with(&revoked, &id).await == Some(Reason::CertificateRevoked)).await;
    figure::note(
        "rotation",
        "revocation in force on open connections after",
        begun.elapsed().as_secs_f64(),
        "s",
        Target::AtMost(5.0),
    );
    desk.work(while_ms()).await;
    // A file that does not read changes nothing.
    let whole = read(ca);
    replace(ca, b"rubbish");
    hub.signal("HUP");
    until("the fault is said", async || hub.log().contains("the old ones stay in force")).await;
    desk.work(while_ms()).await;
    replace(ca, &whole);
    none_failed("certificates", &desk.close().await);
    hub.end().await;
}

fn none_failed(what: &str, worked: &Worked) {
    assert!(worked.failed.is_empty(), "{} of {} failed: {:#?}", worked.failed.len(), worked.calls, worked.failed);
    assert!(worked.calls > 30, "the load does not load: {}", worked.calls);
    figure::note("rotation", &format!("{what}: calls answered meanwhile"), worked.calls as f64, "calls", Target::None);
    figure::note(
        "rotation",
        &format!("{what}: calls failed"),
        worked.failed.len() as f64,
        "calls",
        Target::Exactly(0.0),
    );
    figure::note("rotation", &format!("{what}: slowest call"), worked.slowest_ms as f64, "ms", Target::None);
}

/// A command that is given no configuration.
fn run(words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_wuku")).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Signs a draft into the trust file, as an operator with the root key at hand.
fn trust(hub: &Hub, words: &[&str]) {
    let (root, out) = (hub.path("root.key"), &hub.config.trust.file);
    let rest = ["--root-key", root.to_str().unwrap(), "--out", out.to_str().unwrap()];
    run(&[&["trust"], words, &rest].concat());
}

fn held(hub: &Hub) -> Arc<Trust> {
    Arc::new(Trust::open(&std::fs::read(&hub.config.trust.file).unwrap(), Root::ByHand).unwrap())
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signed(proved: &Proved) -> (Checkpoint, wuku::log::note::SignatureLine) {
    let SignedCheckpoint { checkpoint, line } = SignedCheckpoint::parse(&proved.receipt().checkpoint).unwrap();
    (checkpoint, line)
}

fn key_of(evidence: &wuku::receipt::Evidence) -> [u8; 4] {
    SignedCheckpoint::parse(&evidence.receipt.as_ref().unwrap().checkpoint).unwrap().line.id
}

async fn asking(window: &Caller, id: &str, seen: &Bytes) -> Result<Proved, tonic::Status> {
    let mut question = licence(id, &[]);
    question.context = Some(Context { seen: seen.clone(), ..context() });
    window.look_up(&question).await
}

/// Waits until the hub shows a trust file of this epoch to callers.
async fn shown(hub: &Hub, epoch: u64) {
    let caller = hub.caller(DESK);
    until("the trust file is shown", async || {
        let ask = wuku::wire::proto::receipt::v1::GetTrustRequest {};
        let note = caller.receipt().get_trust(ask).await.unwrap().into_inner().trust_note;
        Trust::open(&note, Root::ByHand).unwrap().epoch == epoch
    })
    .await;
}

fn with(hub: &Hub, ca: &Path, certs: DevCerts, system: crate::world::Name) -> Caller {
    let mut client = hub.endpoint(certs.system(system.0, system.1));
    client.ca = ca.to_owned();
    Caller { channel: client.endpoint().unwrap().connect_lazy(), ..hub.caller(system) }
}

/// Waits until a caller with this certificate is let in.
async fn welcomed(hub: &Hub, caller: impl Fn() -> Caller, id: &str) {
    let _ = hub;
    until("the new authority is believed", async || failed_with(&caller(), id).await.is_some()).await;
}

/// The hub's reason for not answering; `None` where the connection itself failed.
async fn failed_with(caller: &Caller, id: &str) -> Option<Reason> {
    use tonic_types::StatusExt;
    let status = caller.look_up(&licence(id, &[])).await.expect_err("who has no grant gets no answer");
    status.get_details_error_info().and_then(|info| Reason::from_name(&info.reason))
}

/// Waits until the hub presents a certificate that is good for so many days.
async fn served_until(hub: &Hub, days: u64) {
    let about = Clock::system().now_ms() / 1_000 + days * 86_400;
    until("the new certificate is presented", async || {
        let page = hub.admin("/metrics").await;
        let line = page.lines().find(|line| line.contains("server_certificate_not_after") && !line.starts_with('#'));
        let seconds = line.and_then(|line| line.rsplit_once(' ')).and_then(|(_, value)| value.parse::<f64>().ok());
        seconds.is_some_and(|seconds| (seconds - about as f64).abs() < 3_600.0)
    })
    .await;
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within ten seconds: {what}");
}

fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(&beside, path).unwrap();
}
