//! Files made to deceive: each is refused or reported, with the reason that is true of it. `forge.py` makes them, and honest ones beside them.
use serde::Deserialize;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use wuku::paper::{anchors, report};
use wuku::seal::judge::Grounds;
use wuku::seal::step::Profile;

/// How long one judgement may take, whatever the file: in the unoptimised build of the tests, on a busy machine.
const ELAPSED_MAX: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Case {
    name: String,
    file: String,
    code: u8,
    says: Option<String>,
    anchors: Option<String>,
    profile: Option<String>,
    issuer: Option<String>,
}

fn forge(folder: &Path, port: u16) -> Vec<Case> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/papers/forge.py");
    let made = Command::new("python3").arg(script).arg(folder).arg(port.to_string()).output().expect("python3 runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap()
}

fn judged(case: &Case, folder: &Path) -> report::Report {
    let named: Vec<String> =
        case.anchors.iter().map(|name| folder.join("anchors").join(name).display().to_string()).collect();
    let anchors = anchors::read(&named).unwrap();
    let profile = case.profile.as_deref().map_or(Profile::Gbt2020, |name| Profile::parse(name).unwrap());
    let grounds = Grounds { anchors: &anchors, now_s: crate::judged::NOW_S, issuer: case.issuer.as_deref() };
    report::of_file(&std::fs::read(folder.join(&case.file)).unwrap(), profile, grounds)
}

/// Everything a report gives as a reason.
fn reasons(report: &serde_json::Value) -> Vec<String> {
    let texts = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut found = texts(&report["uncovered"]);
    found.extend(report["reason"].as_str().map(str::to_owned));
    found.extend(report["verdict"].as_str().filter(|v| *v == "not-verified").map(str::to_owned));
    found.extend(
        report["faults"].as_array().into_iter().flatten().filter_map(|f| f["fault"].as_str().map(str::to_owned)),
    );
    for signature in report["signatures"].as_array().into_iter().flatten() {
        found.extend(texts(&signature["reasons"]));
    }
    found
}

#[test]
fn papers_made_to_deceive_are_found_out_for_what_they_are_and_honest_ones_pass() {
    let folder = tempfile::tempdir().unwrap();
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let cases = forge(folder.path(), canary.local_addr().unwrap().port());
    let mut wrong = Vec::new();
    let mut deceiving = 0;
    for case in &cases {
        let started = Instant::now();
        let report = judged(case, folder.path());
        let elapsed = started.elapsed();
        let said = reasons(&report.json);
        let named = case.says.as_ref().is_none_or(|says| said.iter().any(|reason| reason.contains(says)));
        if report.verdict.code() != case.code || !named || elapsed > ELAPSED_MAX {
            let detail = report.json["detail"].as_str().unwrap_or_default();
            wrong.push(format!(
                "{}: {} {said:?} {detail} in {elapsed:?}, expected {} {:?}",
                case.name,
                report.verdict.code(),
                case.code,
                case.says
            ));
        }
        deceiving += usize::from(case.code != 0);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(deceiving >= 150 && cases.len() - deceiving >= 20, "{deceiving} of {}", cases.len());
    assert!(canary.accept().is_err(), "nothing a paper or a certificate points to is ever called");
    // The control of this test: without anchors the same self-made signer passes, so it is the anchors that found it out.
    let self_made = cases.iter().find(|case| case.name == "signer-self-made").unwrap();
    let (name, file) = (self_made.name.clone(), self_made.file.clone());
    let unanchored = Case { name, file, code: 0, says: None, anchors: None, profile: None, issuer: None };
    assert_eq!(judged(&unanchored, folder.path()).verdict.code(), 0);
}
