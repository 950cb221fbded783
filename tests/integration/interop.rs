//! A client and a verifier that are not ours: Python, from the contract and the written formats alone.
use crate::harness::Hub;
use crate::world::{ITEM, WINDOW, draft};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wuku::log::{LogKey, SuiteName};

/// The interpreter with `cryptography`, `gmalg`, `protobuf`, `grpcio` and `grpcio-tools`; `make test` makes it and names it here.
fn python() -> Option<PathBuf> {
    std::env::var_os("WUKU_INTEROP_PYTHON").map(PathBuf::from)
}

fn run(python: &Path, script: &str, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script);
    Command::new(python).arg(script).args(arguments).output().unwrap()
}

#[tokio::test]
async fn a_python_client_fetches_an_answer_and_a_python_verifier_finds_it_good() {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "WUKU_INTEROP_PYTHON is not set: run `make test`");
        return eprintln!("not run: WUKU_INTEROP_PYTHON names no interpreter; `make test` makes one");
    };
    for suite in SuiteName::ALL {
        python_fetches_and_verifies(&python, Hub::of(suite).await).await;
    }
}

async fn python_fetches_and_verifies(python: &Path, hub: Hub) {
    hub.grant_food().await;
    let licence_id = hub.issue(draft()).await;
    let client = hub.endpoint(hub.certs.system(WINDOW.0, WINDOW.1));
    let address = client.endpoint.trim_start_matches("https://").to_owned();
    let (evidence, trust) = (hub.path("python-evidence.json"), hub.path("trust.note"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (ca, certificate, key) = (text(&client.ca), text(&client.certificate), text(&client.key));
    let evidence_name = text(&evidence);

    let asked = run(python, "client.py", &[&address, &ca, &certificate, &key, &licence_id, ITEM, &evidence_name]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let nonce = String::from_utf8(asked.stdout).unwrap().trim().to_owned();

    let root = LogKey::parse(&std::fs::read_to_string(hub.path("root.key")).unwrap()).unwrap();
    let vkey = root.verifier().to_string();
    let check =
        |nonce: &str| run(python, "verify_receipt.py", &["evidence", &evidence_name, &text(&trust), &vkey, nonce]);
    let good = check(&nonce);
    assert!(
        good.status.success(),
        "{}{}",
        String::from_utf8_lossy(&good.stdout),
        String::from_utf8_lossy(&good.stderr)
    );
    assert!(!check(&"00".repeat(16)).status.success(), "another's nonce is not mine");

    let mut bytes = std::fs::read(&evidence).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(&evidence, &bytes).unwrap();
    assert!(!check(&nonce).status.success(), "one byte changed");
    hub.end().await;
}
