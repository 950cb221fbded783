//! Evidence as files: every byte, the command, the Python verifier.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wuku::receipt::trust::fingerprint;
use wuku::receipt::verify::Options;
use wuku::receipt::{Evidence, evidence, verify};

use crate::hub::{Draft, TIME_S, in_each_suite, in_one_suite, other_kinds, root_key, trust};
use crate::vectors;
use wuku::log::SuiteName;

fn good_file() -> Vec<u8> {
    evidence::to_json(&Draft::found().evidence())
}

/// Each byte of each kind of evidence: its eight bits flipped, taken out, doubled.
#[test]
fn evidence_with_any_byte_changed_is_not_good() {
    let drafts = std::iter::once(Draft::found()).chain(other_kinds().into_iter().map(|(_, draft)| draft));
    no_byte_may_change(drafts.collect());
    // SM2 takes three times as long, and what kind of answer it is makes no difference to it.
    in_one_suite(SuiteName::Sm2, || no_byte_may_change(vec![Draft::found()]));
}

fn no_byte_may_change(drafts: Vec<Draft>) {
    let trust = trust();
    for draft in drafts {
        let file = evidence::to_json(&draft.evidence());
        assert!(verify(&file, &trust, &Options::default()).good);
        for at in 0..file.len() {
            let (before, rest) = file.split_at(at);
            let bent = (0..8).map(|bit| [before, &[rest[0] ^ (1 << bit)], &rest[1..]].concat());
            let moved = [[before, &rest[1..]].concat(), [before, &rest[..1], rest].concat()];
            for other in bent.chain(moved) {
                // Taking one of two equal bytes out is the same change as taking the other; no change leaves the file as it was.
                assert_ne!(other, file);
                assert!(!verify(&other, &trust, &Options::default()).good, "byte {at}");
            }
        }
    }
}

/// Every value of every byte of what the receipt covers, past the form of the file.
#[test]
fn a_receipt_with_any_byte_changed_inside_is_not_good() {
    no_byte_inside_may_change(&(1..=255).collect::<Vec<u8>>());
    in_one_suite(SuiteName::Sm2, || no_byte_inside_may_change(&[1, 0x80, 0xff]));
}

fn no_byte_inside_may_change(changes: &[u8]) {
    let trust = trust();
    let good = Draft::found().evidence();
    let receipt = good.receipt.clone().unwrap();
    type Put = fn(&mut Evidence, Vec<u8>);
    let parts: [(&[u8], Put); 5] = [
        (&good.payload, |e, b| e.payload = b.into()),
        (&receipt.statement, |e, b| e.receipt.as_mut().unwrap().statement = b.into()),
        (&receipt.salt, |e, b| e.receipt.as_mut().unwrap().salt = b.into()),
        (&receipt.path, |e, b| e.receipt.as_mut().unwrap().path = b.into()),
        (&receipt.checkpoint, |e, b| e.receipt.as_mut().unwrap().checkpoint = b.into()),
    ];
    for (part, put) in parts {
        for at in 0..part.len() {
            for change in changes {
                let mut bytes = part.to_vec();
                bytes[at] ^= change;
                let mut other = good.clone();
                put(&mut other, bytes);
                let verdict = wuku::receipt::verify::verify_message(&other, &trust, &Options::default());
                assert!(!verdict.good, "byte {at} ^ {change}");
            }
        }
    }
}

/// Files in a folder of its own: evidence and trust file.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new(evidence: &[u8]) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(files.evidence(), evidence).unwrap();
        std::fs::write(files.trust(), trust().sign(&root_key()).unwrap()).unwrap();
        files
    }

    fn evidence(&self) -> PathBuf {
        self.folder.path().join("evidence.json")
    }

    fn trust(&self) -> PathBuf {
        self.folder.path().join("trust.note")
    }

    fn verify(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_wuku-verify"))
            .env("LC_ALL", "C")
            .arg(self.evidence())
            .arg("--trust")
            .arg(self.trust())
            .args(more)
            .output()
            .unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn the_command_says_good_bad_or_unreadable() {
    in_each_suite(|_| {
        let files = Files::new(&good_file());
        let vkey = root_key().verifier().to_string();
        let nonce = "000102030405060708090a0b0c0d0e0f";
        let good = files.verify(&["--root-key", &vkey, "--max-age", "36500d", "--nonce", nonce]);
        assert_eq!(code(&good), 0, "{good:?}");
        let file = std::fs::read(files.trust()).unwrap();
        assert_eq!(code(&files.verify(&["--root-key", &fingerprint(&file)])), code(&good));
        assert_eq!(code(&files.verify(&["--nonce", "00"])), 1);
        assert_eq!(code(&files.verify(&["--root-key", "00 11"])), 2);
        assert_eq!(code(&files.verify(&["--root-key", &vkey.replace("/root", "/rOot")])), 2);

        let bent = good_file().iter().map(|b| if *b == b'T' { b't' } else { *b }).collect::<Vec<_>>();
        assert_ne!(code(&Files::new(&bent).verify(&[])), 0);
        assert_eq!(code(&Files::new(b"{}").verify(&[])), 2);
        std::fs::remove_file(files.evidence()).unwrap();
        assert_eq!(code(&files.verify(&[])), 2);
    });
}

#[test]
fn the_report_in_json_names_the_step_the_log_and_the_question() {
    use wuku::receipt::report::{Language, Nonce, VerifyArgs, check};
    let files = Files::new(&good_file());
    let args = |nonce: Option<Nonce>| VerifyArgs {
        file: files.evidence(),
        trust: files.trust(),
        root_key: Some(root_key().verifier().to_string()),
        max_age: Some(3600),
        nonce,
        json: true,
        ..VerifyArgs::default()
    };
    let report = check(&args(None), TIME_S + 60, Language::English);
    let json: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!((report.code(), report.err.as_str()), (0, ""));
    assert_eq!(json["verdict"], "good");
    assert_eq!((&json["failedStep"], &json["age"]), (&serde_json::Value::Null, &60.into()));
    assert_eq!((&json["index"], &json["size"], &json["origin"]), (&5.into(), &13.into(), &"hub.example/wuku/1".into()));
    assert_eq!(json["question"]["fields"][0], "holder_name");
    assert_eq!(json["question"]["context"]["purpose"]["kind"], "PURPOSE_KIND_HANDLING");
    assert_eq!(json["answer"]["record"]["fields"][0]["value"], "𠮷·演示样本");

    let late = check(&args(None), TIME_S + 3601, Language::Chinese);
    let json: serde_json::Value = serde_json::from_str(&late.out).unwrap();
    assert_eq!((late.code(), &json["verdict"], &json["failedStep"]), (1, &"bad".into(), &"MAX_AGE".into()));
    let unreadable = check(&VerifyArgs { file: "/nonexistent".into(), ..args(None) }, TIME_S, Language::English);
    let json: serde_json::Value = serde_json::from_str(&unreadable.out).unwrap();
    assert_eq!((unreadable.code(), &json["verdict"]), (2, &"unreadable".into()));

    let plain = VerifyArgs { json: false, root_key: None, ..args(None) };
    let chinese = check(&plain, TIME_S, Language::Chinese);
    assert!(chinese.out.starts_with("有效") && chinese.err.contains("根密钥"), "{chinese:?}");
}

/// Runs `tests/interop/verify_receipt.py` with the interpreter named in `WUKU_INTEROP_PYTHON` (one that has the packages
/// `cryptography`, `gmalg`, `protobuf` and `grpcio-tools`). Without it there is nothing to compare with, and the test says so.
#[test]
fn python_judges_the_vectors_and_evidence_files_alike() {
    let Ok(python) = std::env::var("WUKU_INTEROP_PYTHON") else {
        eprintln!("not run: WUKU_INTEROP_PYTHON names no interpreter");
        return;
    };
    in_each_suite(|_| python_agrees(&python));
}

fn python_agrees(python: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/verify_receipt.py");
    let run = |args: &[&Path]| Command::new(python).arg(&script).args(args).output().unwrap();
    let judged = run(&[Path::new("vectors"), &vectors::path()]);
    assert!(judged.status.success(), "{judged:?}");
    let files = Files::new(&good_file());
    let evidence = |files: &Files| {
        let nonce = Path::new("000102030405060708090a0b0c0d0e0f");
        let vkey = root_key().verifier().to_string();
        run(&[Path::new("evidence"), &files.evidence(), &files.trust(), Path::new(&vkey), nonce])
    };
    assert_eq!(code(&evidence(&files)), 0);
    let bent = Files::new(&good_file().iter().map(|b| if *b == b'T' { b't' } else { *b }).collect::<Vec<_>>());
    assert_ne!(code(&evidence(&bent)), 0);
}
