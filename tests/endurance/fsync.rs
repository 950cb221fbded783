//! A disk that says no: a system call of the running hub on its log fails (strace injects the error), under load.
//!
//! After a failed sync nobody knows what is on the disk, and asking again is answered by a cache that has given up: so nothing may be
//! acknowledged any more, the process must end and say why, and what was acknowledged before must be there at the next start.
use crate::chance::Rng;
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::kills::{Oracle, Told, city, held, load};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const FAULTS: u32 = 6;
const FAULTS_LONG: u32 = 60;
/// From the failing call to the last acknowledgement that was already on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(400);

/// A call that fails from its n-th time on.
#[derive(Clone, Copy)]
struct Fault {
    call: &'static str,
    error: &'static str,
    when: u64,
}

/// strace, attached to a running hub; it ends with it.
struct Injection {
    strace: Child,
    trace: PathBuf,
}

impl Injection {
    /// Fails the call on these files only: not on sockets, not on the hub's messages.
    fn attach(hub: &Hub, files: &[PathBuf], fault: Fault) -> Self {
        let trace = hub.path("strace");
        let _ = std::fs::remove_file(&trace);
        let Fault { call, error, when } = fault;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-ttt", "-p", &hub.pid().to_string(), "-o", trace.to_str().unwrap()]);
        strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}:when={when}+")]);
        files.iter().for_each(|file| _ = strace.arg("-P").arg(file));
        let strace = strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut strace = strace.expect("this harness needs strace (deploy/install-build-deps.sh --test)");
        let mut said = std::io::BufReader::new(strace.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert!(line.contains("attached"), "this harness needs ptrace: {line}");
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { strace, trace }
    }

    /// When the first call failed, if one did.
    fn failed_at(&self) -> Option<SystemTime> {
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        let line = trace.lines().find(|line| line.contains("INJECTED"))?;
        let seconds: f64 = line.split_whitespace().nth(1)?.parse().unwrap();
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// The newest of the engine's log files: what commits are written to.
fn wal(hub: &Hub) -> PathBuf {
    let files = std::fs::read_dir(&hub.config.data.path).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "log")).max().unwrap()
}

/// Load under a fault until the hub has ended by itself; whether it kept to what is promised.
async fn stopped(hub: &mut Hub, oracle: &Arc<Mutex<Oracle>>, rng: &mut Rng, fault: Fault) -> Result<(), String> {
    let injection = Injection::attach(hub, &[wal(hub)], fault);
    oracle.lock().unwrap().newest = None;
    let clerks = load(hub, oracle, Told::WhenAcknowledged, rng);
    let status = hub.ends().await;
    for clerk in clerks {
        clerk.await.unwrap();
    }
    oracle.lock().unwrap().surprises.clear(); // told below, by the hub's end
    let failed = injection.failed_at().ok_or("nothing failed, and the hub ended")?;
    if status.success() {
        return Err("a hub whose disk failed ended as if all were well".into());
    }
    let log = hub.log();
    if !log.contains("recording has stopped") {
        return Err(format!("it does not say why it ended: {log}"));
    }
    match oracle.lock().unwrap().newest {
        Some(newest) if newest > failed + ON_ITS_WAY => Err("it acknowledged after the failure".into()),
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_and_the_hub_ends_saying_so() {
    let mut rng = Rng::seeded();
    let mut hub = city(|_| {}).await;
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    let faults = if figure::long() { FAULTS_LONG } else { FAULTS };
    for n in 0..faults {
        let fault = match n % 3 {
            0 | 1 => Fault { call: "fdatasync", error: "EIO", when: rng.between(1, 40) },
            _ => Fault { call: "write", error: "ENOSPC", when: rng.between(1, 40) },
        };
        let kept = stopped(&mut hub, &oracle, &mut rng, fault).await;
        assert_eq!(kept, Ok(()), "{} fails with {} from call {} on", fault.call, fault.error, fault.when);
        hub.start();
        let problems = held(&hub, &oracle).await;
        assert!(problems.is_empty(), "{} at {}: {problems:#?}", fault.call, fault.when);
        oracle.lock().unwrap().file();
    }
    let acknowledged = oracle.lock().unwrap().acknowledged;
    figure::note(
        "fsync",
        "failed syncs and writes survived",
        f64::from(faults),
        "faults",
        Target::AtLeast(f64::from(faults)),
    );
    figure::note("fsync", "acknowledged changes", acknowledged as f64, "changes", Target::None);
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_cannot_be_synced_for_a_moment_costs_nothing() {
    let mut rng = Rng::seeded();
    let mut hub = city(|_| {}).await;
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    let slots = ["slot-0", "slot-1"].map(|slot| hub.config.fence.path.join(slot));
    let fault = Fault { call: "fdatasync", error: "EIO", when: 2 };
    let injection = Injection::attach(&hub, &slots, fault);
    let clerks = load(&hub, &oracle, Told::WhenAcknowledged, &mut rng);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(injection.failed_at().is_some(), "the fence was never synced");
    drop(injection); // the disk is good again
    tokio::time::sleep(Duration::from_millis(500)).await;
    hub.kill();
    for clerk in clerks {
        clerk.await.unwrap();
    }
    hub.start();
    oracle.lock().unwrap().surprises.clear();
    let problems = held(&hub, &oracle).await;
    assert!(problems.is_empty(), "{problems:#?}");
    hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_harness_catches_a_hub_that_goes_on_after_a_failed_sync() {
    let mut rng = Rng::seeded();
    let mut hub = city(|_| {}).await;
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    // Held against a failure that the hub never heard of, it is a hub that went on acknowledging.
    let clerks = load(&hub, &oracle, Told::WhenAcknowledged, &mut rng);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let failed = SystemTime::now();
    tokio::time::sleep(ON_ITS_WAY + Duration::from_millis(600)).await;
    let newest = oracle.lock().unwrap().newest.expect("the load does not load");
    assert!(newest > failed + ON_ITS_WAY, "an acknowledgement after the failure would not be seen");
    hub.kill();
    for clerk in clerks {
        clerk.await.unwrap();
    }
    hub.start();
    hub.end().await;
}
