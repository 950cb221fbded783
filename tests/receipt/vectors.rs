//! `tests/vectors/receipt.json` and, for the suite `sm2`, `receipt-sm2.json`: from fixed keys, salts and payloads through to the
//! checkpoint, with the cases that must fail. Signatures are deterministic in both suites: SM2's nonce is derived from key and message
//! by RFC 6979 with HMAC-SM3.
//!
//! Every verifier runs them. After a deliberate change of the formats: `cargo test --test receipt -- --ignored regenerate`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use wuku::log::checkpoint::SignedCheckpoint;
use wuku::log::entry::{Entry, commitment};
use wuku::log::merkle::root_from_inclusion;
use wuku::log::{Frontier, LogKey, SuiteName, in_suite};
use wuku::receipt::evidence;
use wuku::receipt::statement::{PAYLOAD_NAME, payload_digest};
use wuku::receipt::trust::{Root, Trust};
use wuku::receipt::verify::{Options, verify};

use crate::cases::{self, Case};
use crate::hub::{
    Draft, INDEX, LOG_SEED, ROOT_SEED, SIZE, entries, in_each_suite, leaf_hash, log_key, root_key, suite,
};

pub fn path() -> PathBuf {
    let name = match suite() {
        SuiteName::Ed25519 => "receipt.json",
        SuiteName::Sm2 => "receipt-sm2.json",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
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
        "payloadDigest": hex(&in_suite!(suite(), S => payload_digest::<S>(PAYLOAD_NAME, &evidence.payload))),
        "statement": hex(&receipt.statement),
        "salt": hex(&receipt.salt),
        "commitment": hex(&in_suite!(suite(), S => commitment::<S>(&draft.salt, &receipt.statement))),
        "timeS": receipt.time_s,
        "entry": hex(&draft.entry()),
        "leaf": hex(&leaf_hash(&draft.entry())),
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
    let leaves: Vec<_> = log.iter().map(|entry| leaf_hash(entry)).collect();
    let root = |n: usize| in_suite!(suite(), S => Frontier::<S>::new().append(&leaves[..n]).into_frontier().root());
    let roots: Vec<String> = (1..=SIZE).map(|n| hex(&root(n))).collect();
    json!({
        "about": format!("Receipts of suite {} from fixed keys and salts; bytes in hex, files as text. Seeds are for tests only.", suite()),
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
    in_each_suite(|_| std::fs::write(path(), format!("{:#}\n", generate())).unwrap());
}

#[test]
fn the_vectors_are_what_this_code_makes() {
    in_each_suite(|suite| assert_eq!(read(), generate(), "{suite}"));
}

#[test]
fn the_steps_of_the_vectors_follow_from_one_another() {
    in_each_suite(|_| {
        let vectors = read();
        let seed: [u8; 32] = unhex(&vectors["keys"]["logSeed"]).try_into().unwrap();
        let key = LogKey::from_seed("hub.example/wuku/1", suite(), &seed).unwrap();
        assert_eq!(key.verifier().to_string(), vectors["keys"]["logVkey"]);
        let steps = &vectors["steps"];
        let (name, payload) = (steps["payloadName"].as_str().unwrap(), unhex(&steps["payload"]));
        let digest = in_suite!(suite(), S => payload_digest::<S>(name, &payload));
        assert_eq!(hex(&digest), steps["payloadDigest"]);
        assert!(steps["statement"].as_str().unwrap().contains(&hex(&digest)));
        let salt = unhex(&steps["salt"]).try_into().unwrap();
        let c = in_suite!(suite(), S => commitment::<S>(&salt, &unhex(&steps["statement"])));
        assert_eq!(hex(&c), steps["commitment"]);
        let entry = Entry::parse(&unhex(&steps["entry"])).unwrap();
        assert_eq!(entry, Entry::Statement { time_s: steps["timeS"].as_u64().unwrap(), commitment: c });
        let leaf = leaf_hash(&entry.to_bytes().unwrap());
        let path: Vec<u8> = steps["path"].as_array().unwrap().iter().flat_map(unhex).collect();
        let (index, size) = (steps["leafIndex"].as_u64().unwrap(), steps["size"].as_u64().unwrap());
        let root = in_suite!(suite(), S => root_from_inclusion::<S>(&leaf, index, size, &path).unwrap());
        assert_eq!(hex(&root), steps["root"]);
        let signed = SignedCheckpoint::parse(steps["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(signed.checkpoint.sign(&key).unwrap(), steps["checkpoint"].as_str().unwrap().as_bytes());
        assert_eq!(hex(&signed.checkpoint.root), steps["root"]);
    });
}

#[test]
fn every_case_of_the_vectors_is_judged_as_it_says() {
    in_each_suite(|_| {
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
    });
}
