//! `tests/vectors/receipt.json`: from fixed keys, salts and payloads through to the checkpoint, with the cases that must fail.
//!
//! Every verifier runs it. After a deliberate change of the formats: `cargo test --test receipt -- --ignored regenerate`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use wuku::log::checkpoint::SignedCheckpoint;
use wuku::log::entry::{Entry, commitment};
use wuku::log::merkle::{leaf_hash, root_from_inclusion};
use wuku::log::{Ed25519, Frontier, LogKey, SuiteName};
use wuku::receipt::evidence;
use wuku::receipt::statement::{PAYLOAD_NAME, payload_digest};
use wuku::receipt::trust::{Root, Trust};
use wuku::receipt::verify::{Options, verify};

use crate::cases::{self, Case};
use crate::hub::{Draft, INDEX, LOG_SEED, ROOT_SEED, SIZE, entries, log_key, root_key};

pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/receipt.json")
}

pub fn read() -> Value {
    serde_json::from_slice(&std::fs::read(path()).unwrap()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// One answer, step by step.
fn steps(draft: &Draft) -> Value {
    let evidence = draft.evidence();
    let receipt = evidence.receipt.clone().unwrap();
    let checkpoint = SignedCheckpoint::parse(&receipt.checkpoint).unwrap().checkpoint;
    let path: Vec<String> = receipt.path.chunks(32).map(hex).collect();
    json!({
        "payloadName": evidence.payload_name,
        "payload": hex(&evidence.payload),
        "payloadDigest": hex(&payload_digest::<Ed25519>(PAYLOAD_NAME, &evidence.payload)),
        "statement": hex(&receipt.statement),
        "salt": hex(&receipt.salt),
        "commitment": hex(&commitment::<Ed25519>(&draft.salt, &receipt.statement)),
        "timeS": receipt.time_s,
        "entry": hex(&draft.entry()),
        "leaf": hex(&leaf_hash::<Ed25519>(&draft.entry())),
        "leafIndex": receipt.leaf_index,
        "path": path,
        "size": checkpoint.size,
        "root": hex(&checkpoint.root),
        "checkpoint": text(&receipt.checkpoint),
        "evidence": text(&evidence::to_json(&evidence)),
    })
}

fn case(case: &Case) -> Value {
    json!({
        "name": case.name,
        "evidence": text(&case.evidence),
        "trustNote": text(&case.trust.sign(&root_key()).unwrap()),
        "nowS": case.now_s,
        "maxAgeS": case.max_age_s,
        "nonce": case.nonce.as_deref().map(hex),
        "good": case.failed_step.is_none(),
        "failedStep": case.failed_step.map(|step| step.as_str()),
    })
}

fn generate() -> Value {
    let draft = Draft::found();
    let mut log = entries(SIZE);
    log[INDEX] = draft.entry();
    let leaves: Vec<_> = log.iter().map(|entry| leaf_hash::<Ed25519>(entry)).collect();
    let roots: Vec<String> =
        (1..=SIZE).map(|n| hex(&Frontier::<Ed25519>::new().append(&leaves[..n]).frontier().root())).collect();
    json!({
        "about": "Receipts of suite ed25519 from fixed keys and salts; bytes in hex, files as text. Seeds are for tests only.",
        "keys": {
            "rootSeed": hex(&ROOT_SEED), "rootVkey": root_key().verifier().to_string(),
            "logSeed": hex(&LOG_SEED), "logVkey": log_key().verifier().to_string(),
        },
        "tree": {
            "entries": log.iter().map(|entry| hex(entry)).collect::<Vec<_>>(),
            "leaves": leaves.iter().map(|leaf| hex(leaf)).collect::<Vec<_>>(),
            "roots": roots,
        },
        "steps": steps(&draft),
        "cases": cases::all().iter().map(case).collect::<Vec<_>>(),
    })
}

#[test]
#[ignore = "writes tests/vectors/receipt.json anew; only after a deliberate change of the formats"]
fn regenerate() {
    std::fs::write(path(), format!("{:#}\n", generate())).unwrap();
}

#[test]
fn the_vectors_are_what_this_code_makes() {
    assert_eq!(read(), generate());
}

#[test]
fn the_steps_of_the_vectors_follow_from_one_another() {
    let vectors = read();
    let seed: [u8; 32] = unhex(&vectors["keys"]["logSeed"]).try_into().unwrap();
    let key = LogKey::from_seed("hub.example/wuku/1", SuiteName::Ed25519, &seed).unwrap();
    assert_eq!(key.verifier().to_string(), vectors["keys"]["logVkey"]);
    let steps = &vectors["steps"];
    let digest = payload_digest::<Ed25519>(steps["payloadName"].as_str().unwrap(), &unhex(&steps["payload"]));
    assert_eq!(hex(&digest), steps["payloadDigest"]);
    assert!(steps["statement"].as_str().unwrap().contains(&hex(&digest)));
    let salt = unhex(&steps["salt"]).try_into().unwrap();
    let c = commitment::<Ed25519>(&salt, &unhex(&steps["statement"]));
    assert_eq!(hex(&c), steps["commitment"]);
    let entry = Entry::parse(&unhex(&steps["entry"])).unwrap();
    assert_eq!(entry, Entry::Statement { time_s: steps["timeS"].as_u64().unwrap(), commitment: c });
    let leaf = leaf_hash::<Ed25519>(&entry.to_bytes().unwrap());
    let path: Vec<u8> = steps["path"].as_array().unwrap().iter().flat_map(unhex).collect();
    let (index, size) = (steps["leafIndex"].as_u64().unwrap(), steps["size"].as_u64().unwrap());
    assert_eq!(hex(&root_from_inclusion::<Ed25519>(&leaf, index, size, &path).unwrap()), steps["root"]);
    let signed = SignedCheckpoint::parse(steps["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(signed.checkpoint.sign(&key).unwrap(), steps["checkpoint"].as_str().unwrap().as_bytes());
    assert_eq!(hex(&signed.checkpoint.root), steps["root"]);
}

#[test]
fn every_case_of_the_vectors_is_judged_as_it_says() {
    let vectors = read();
    let root = wuku::log::VerifierKey::parse(vectors["keys"]["rootVkey"].as_str().unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 80);
    for case in cases {
        let trust = Trust::open(case["trustNote"].as_str().unwrap().as_bytes(), Root::Key(&root)).unwrap();
        let nonce = (!case["nonce"].is_null()).then(|| unhex(&case["nonce"]));
        let options = Options {
            now_s: case["nowS"].as_u64(),
            max_age_s: case["maxAgeS"].as_u64(),
            nonce: nonce.as_deref(),
            question: None,
        };
        let verdict = verify(case["evidence"].as_str().unwrap().as_bytes(), &trust, &options);
        let step = verdict.failed_step.map(|step| step.as_str());
        assert_eq!(
            (verdict.good, step),
            (case["good"].as_bool().unwrap(), case["failedStep"].as_str()),
            "{}",
            case["name"]
        );
    }
}
