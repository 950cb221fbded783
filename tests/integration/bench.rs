//! `wuku bench` as an operator uses it: a small city, a real hub, a second of load in each mode.
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What each run says at least.
const KEYS: [&str; 20] = [
    "mode",
    "loop",
    "connections",
    "measured_s",
    "answers_per_s",
    "items_per_s",
    "p50_us",
    "p99_us",
    "p999_us",
    "answered",
    "refused",
    "shed",
    "failed",
    "lost",
    "request_bytes",
    "reply_bytes",
    "server_cpu_s",
    "server_rss_mib",
    "client_cpu_share",
    "machine",
];

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Served {
    fn start(words: &[&str], config: &Path) -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wuku"))
            .args(words)
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let served = Self(child);
        let said: Value = serde_json::from_str(&line).expect("it must say where it answers");
        let port = said["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        (served, format!("https://localhost:{port}"))
    }
}

fn wuku(words: &[&str]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_wuku")).args(words).output().unwrap();
    let (out, why) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{words:?}: {out} {why}");
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

fn prepared() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let city = folder.path().join("city");
    let said = wuku(&[
        "bench",
        "prepare",
        "--folder",
        city.to_str().unwrap(),
        "--people",
        "300",
        "--licences",
        "200",
        "--json",
    ]);
    assert_eq!((&said["residents"], &said["import_licence_rows"]), (&300.into(), &200.into()), "{said}");
    folder
}

#[test]
fn every_mode_measures_a_real_hub_and_its_receipts_verify() {
    let folder = prepared();
    let city = folder.path().join("city");
    let (hub, url) = Served::start(&["serve", "--json"], &city.join("wuku.toml"));
    let pid = hub.0.id().to_string();
    let common = ["--city", city.to_str().unwrap(), "--hub", &url, "--server-pid", &pid, "--json"];
    let short = ["--seconds", "2", "--warm-up", "0.2", "--questions", "400", "--samples", "20"];
    let run = |words: &[&str]| wuku(&[&["bench"], words, &common[..]].concat());

    for mode in ["single", "match", "holder", "batch", "mix"] {
        // Slow machines need longer for a batch of 200 than a second.
        let few: &[&str] = if mode == "batch" { &["--size", "20", "--in-flight", "1"] } else { &[] };
        let figures = run(&[&[mode], few, &short[..]].concat());
        for key in KEYS {
            assert!(figures.get(key).is_some(), "{mode} does not say {key}: {figures}");
        }
        let n = |key: &str| figures[key].as_u64().unwrap();
        assert!(n("answered") > 0 && n("receipts_good") > 0, "{mode}: {figures}");
        assert_eq!((n("receipts_bad"), n("failed"), n("lost")), (0, 0, 0), "{mode}: {figures}");
        let found = figures["found"].as_u64().unwrap();
        assert!(found > 0, "{mode} must ask about records that are there: {figures}");
    }

    let open = run(&[&["single", "--rate", "50"], &short[..]].concat());
    let n = |key: &str| open[key].as_u64().unwrap();
    assert!((80..=120).contains(&n("offered")) && n("offered") == n("sent") + n("missed"), "{open}");

    let replay = run(&["replay", "--calls", "300", "--connections", "40", "--in-flight", "2"]);
    let n = |key: &str| replay[key].as_u64().unwrap();
    assert_eq!(
        (n("answered"), n("shed"), n("failed"), n("lost")),
        (300, 0, 0, 0),
        "every call is answered once: {replay}"
    );
    assert!(replay["refused"].as_u64().unwrap() > 0, "systems without a grant are refused: {replay}");
    assert!(replay["connections"].as_u64().unwrap() >= 37, "each of 37 systems has its own: {replay}");

    let imported = wuku(&[&["bench", "import", "--rows", "300", "--seed", "2"], &common[..]].concat());
    assert_eq!(imported["rows"], 300, "every resident gets a new version: {imported}");
}

#[test]
fn the_baseline_answers_with_as_many_bytes_as_asked_for() {
    let folder = prepared();
    let city = folder.path().join("city");
    for bare in [&[][..], &["--bare"]] {
        let words = [&["bench", "echo-server", "--json", "--reply-bytes", "1400"], bare].concat();
        let (echo, url) = Served::start(&words, &city.join("wuku.toml"));
        let pid = echo.0.id().to_string();
        let words = ["bench", "echo", "--request-bytes", "190", "--seconds", "1", "--warm-up", "0.2", "--json"];
        let common = ["--city", city.to_str().unwrap(), "--hub", &url, "--server-pid", &pid];
        let figures = wuku(&[&words[..], &common[..]].concat());
        assert_eq!((&figures["request_bytes"], &figures["reply_bytes"]), (&190.into(), &1_400.into()), "{figures}");
        assert_eq!(figures["failed"], 0, "{figures}");
    }
}

#[test]
fn codes_of_a_file_are_asked_about_under_the_purpose_given() {
    let folder = prepared();
    let city = folder.path().join("city");
    let (_hub, url) = Served::start(&["serve", "--json"], &city.join("wuku.toml"));
    let at = |name: &str| city.join(name).to_str().unwrap().to_owned();
    let made = wuku::demo::city::City::new(20_260_101, 300, day_of(&city)).unwrap().resident(20).unwrap();
    std::fs::write(at("codes.csv"), format!("code,name\n{},{}\n", made.code.code(), made.name)).unwrap();
    let certs = wuku::cli::dev_certs::DevCerts::open(&city.join("certs"), &wuku::clock::Clock::system());
    let pair = certs.system("civil-affairs", "marriage");
    let (ca, codes, trust) = (at("certs/client-ca.pem"), at("codes.csv"), at("trust.note"));
    let (cert, key) = (pair.certificate.to_str().unwrap(), pair.key.to_str().unwrap());
    let words = [
        "bench", "single", "--hub", &url, "--ca", &ca, "--cert", cert, "--key", key, "--codes", &codes, "--trust",
        &trust,
    ];
    let why = ["--fields", "name", "--item", "330711001001", "--reference", "CASE-1", "--cause", "压测"];
    let short = ["--seconds", "2", "--warm-up", "0.2", "--questions", "50", "--json"];
    let figures = wuku(&[&words[..], &why[..], &short[..]].concat());
    assert!(figures["found"].as_u64().unwrap() > 0 && figures["refused"] == 0, "{figures}");
}

fn day_of(city: &Path) -> wuku::library::codes::CalendarDate {
    let about: Value = serde_json::from_slice(&std::fs::read(city.join("bench.json")).unwrap()).unwrap();
    wuku::library::codes::CalendarDate::parse(about["day"].as_str().unwrap()).unwrap()
}
