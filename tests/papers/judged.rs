//! How these tests ask for a verdict: the library as the command uses it, and the binary itself.
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use wuku::paper::{anchors, report};
use wuku::seal::judge::Grounds;
use wuku::seal::step::Profile;

/// 2026-11-22: tests do not grow old.
pub const NOW_S: u64 = 1_795_305_600;

/// A path among the samples.
pub fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(path)
}

/// The report on these bytes, with anchors as the command line names them.
pub fn bytes(bytes: &[u8], anchors_named: &[String]) -> report::Report {
    let anchors = anchors::read(anchors_named).unwrap();
    report::of_file(bytes, Profile::Gbt2020, Grounds { anchors: &anchors, now_s: NOW_S, issuer: None })
}

/// What the binary says and how it exits.
pub fn by_command(args: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_wuku-verify"))
        .args(["document", "verify", "--json"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}
