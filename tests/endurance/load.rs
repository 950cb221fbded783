//! A load with a clock of its own: requests leave when they are due, whether or not earlier ones were answered.
//!
//! Latency counts from the intended start. What could not leave in time is *missed*, reported, and part of no figure: a generator that
//! waits for the hub would hide just what is looked for.
use crate::client::Caller;
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use wuku::wire::proto::exchange::v1::{LookUpQuestion, LookUpRequest};

/// So late, and it did not leave.
const LATE: Duration = Duration::from_millis(100);
/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 8;

/// What came of a load.
#[derive(Clone, Default)]
pub struct Report {
    pub offered: u64,
    pub sent: u64,
    pub missed: u64,
    /// Of each good answer: when it should have left and how long it took from there.
    pub good: Vec<(Duration, Duration)>,
    /// Told to come back.
    pub refused: u64,
    /// Whatever else.
    pub failed: BTreeMap<String, u64>,
    pub took: Duration,
}

impl Report {
    pub fn good_per_s(&self) -> f64 {
        self.good.len() as f64 / self.took.as_secs_f64()
    }

    pub fn missed_share(&self) -> f64 {
        self.missed as f64 / self.offered.max(1) as f64
    }

    /// A percentile of the good answers' latency, in milliseconds.
    pub fn ms_at(&self, percentile: f64) -> f64 {
        let mut all: Vec<Duration> = self.good.iter().map(|(_, took)| *took).collect();
        all.sort_unstable();
        let at = (all.len() as f64 * percentile / 100.0).ceil() as usize;
        all.get(at.saturating_sub(1)).map_or(f64::INFINITY, |took| took.as_secs_f64() * 1_000.0)
    }

    /// The part that should have left between two moments.
    pub fn between(&self, from: Duration, until: Duration) -> Self {
        let good = self.good.iter().filter(|(at, _)| (from..until).contains(at)).copied().collect();
        Self { good, took: until - from, ..Self::default() }
    }

    pub fn say(&self, of: &str) {
        eprintln!(
            "{of}: offered {} sent {} missed {} ({:.2} %), good {} ({:.0}/s), refused {}, failed {:?}, p50 {:.1} p99 {:.1} ms",
            self.offered,
            self.sent,
            self.missed,
            self.missed_share() * 100.0,
            self.good.len(),
            self.good_per_s(),
            self.refused,
            self.failed,
            self.ms_at(50.0),
            self.ms_at(99.0)
        );
    }
}

/// Where loads wait for each other, twice: when they are connected, and before they begin. In between an attack may be got under way.
#[derive(Clone)]
pub struct Gate(Arc<tokio::sync::Barrier>);

impl Gate {
    /// A gate for so many.
    pub fn of(many: usize) -> Self {
        Self(Arc::new(tokio::sync::Barrier::new(many)))
    }

    /// Waits for the others.
    pub async fn pass(&self) {
        self.0.wait().await;
    }
}

/// Who asks, and what: one request, encoded once.
#[derive(Clone)]
pub struct Asker {
    endpoint: Endpoint,
    request: Bytes,
}

impl Asker {
    /// Asks one question over and over.
    pub fn new(endpoint: Endpoint, question: &LookUpQuestion) -> Self {
        let request = LookUpRequest { question: question.encode_to_vec().into(), ..LookUpRequest::default() };
        Self { endpoint, request: request.encode_to_vec().into() }
    }

    /// So many requests a second, from a thread of their own.
    pub fn open(&self, per_s: f64, lasts: Duration) -> std::thread::JoinHandle<Report> {
        self.open_at(per_s, lasts, &Gate::of(1))
    }

    /// The same, begun when everybody is at the gate: connected, and with nothing else to do.
    pub fn open_at(&self, per_s: f64, lasts: Duration, gate: &Gate) -> std::thread::JoinHandle<Report> {
        let gate = gate.clone();
        self.on_a_thread(move |asker| open(asker, per_s, lasts, gate))
    }

    /// So many requests in progress, each followed by the next.
    pub fn closed(&self, in_flight: usize, lasts: Duration) -> std::thread::JoinHandle<Report> {
        self.on_a_thread(move |asker| closed(asker, in_flight, lasts))
    }

    fn on_a_thread<F: Future<Output = Report>>(
        &self,
        work: impl FnOnce(Self) -> F + Send + 'static,
    ) -> std::thread::JoinHandle<Report> {
        let asker = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work(asker))
        })
    }

    async fn channels(&self) -> Vec<Channel> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            let channel = self.endpoint.connect_lazy();
            ask(channel.clone(), self.request.clone()).await.ok(); // connected when the clock starts
            channels.push(channel);
        }
        channels
    }
}

async fn open(asker: Asker, per_s: f64, lasts: Duration, gate: Gate) -> Report {
    let channels = asker.channels().await;
    gate.pass().await; // connected
    gate.pass().await; // off
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let begun = Instant::now();
    let mut report = Report { took: lasts, ..Report::default() };
    let all = (per_s * lasts.as_secs_f64()) as u64;
    while report.offered < all {
        let due = Duration::from_secs_f64(report.offered as f64 / per_s);
        let now = begun.elapsed();
        if now < due {
            tokio::time::sleep(due - now).await;
            continue;
        }
        let channel = &channels[report.offered as usize % channels.len()];
        report.offered += 1;
        if now - due > LATE {
            report.missed += 1;
            continue;
        }
        report.sent += 1;
        let (tell, asked) = (tell.clone(), ask(channel.clone(), asker.request.clone()));
        tokio::spawn(async move {
            let result = asked.await;
            let _ = tell.send((due, begun.elapsed() - due, result));
        });
        // What is due at once leaves at once, but answers are read in between.
        if report.sent.is_multiple_of(8) {
            tokio::task::yield_now().await;
        }
    }
    drop(tell);
    while let Some((due, took, result)) = told.recv().await {
        report.count(due, took, result);
    }
    report
}

async fn closed(asker: Asker, in_flight: usize, lasts: Duration) -> Report {
    let channels = asker.channels().await;
    let begun = Instant::now();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..in_flight {
        let (tell, channel, request) = (tell.clone(), channels[n % channels.len()].clone(), asker.request.clone());
        tokio::spawn(async move {
            while begun.elapsed() < lasts {
                let due = begun.elapsed();
                let result = ask(channel.clone(), request.clone()).await;
                if result.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let _ = tell.send((due, begun.elapsed() - due, result));
            }
        });
    }
    drop(tell);
    let mut report = Report { took: lasts, ..Report::default() };
    while let Some((due, took, result)) = told.recv().await {
        report.offered += 1;
        report.sent += 1;
        report.count(due, took, result);
    }
    report
}

impl Report {
    fn count(&mut self, due: Duration, took: Duration, result: Result<(), Status>) {
        match result {
            Ok(()) => self.good.push((due, took)),
            Err(status) if status.code() == Code::Unavailable => self.refused += 1,
            Err(status) => *self.failed.entry(format!("{:?}", status.code())).or_default() += 1,
        }
    }
}

async fn ask(channel: Channel, request: Bytes) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
    let path = http::uri::PathAndQuery::from_static("/wuku.exchange.v1.ExchangeService/LookUp");
    let mut request = tonic::Request::new(request);
    request.set_timeout(PATIENCE);
    let answer = tokio::time::timeout(PATIENCE, grpc.unary(request, path, Raw));
    answer.await.map_err(|_| Status::deadline_exceeded("late"))?.map(|_| ())
}

/// Bytes that were encoded before, and answers nobody reads.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = usize;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let bytes = from.remaining();
        from.advance(bytes);
        Ok(Some(bytes))
    }
}

/// A process held to part of one CPU; let go when dropped.
pub enum Quota {
    /// A control group, and the one its members go back to.
    Group { folder: PathBuf, back: PathBuf },
    /// The program of that name.
    Cpulimit(Child),
}

impl Quota {
    /// Holds a process to so many percent of one CPU, by cgroup v1 or v2 or `cpulimit`; red where none of them can be had.
    pub fn put(pid: u32, percent: u32) -> Self {
        let (period, quota) = (100_000, percent * 1_000);
        let name = format!("wuku-endurance-{pid}");
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let v2 = Path::new("/sys/fs/cgroup");
        let groups = [
            (v1, vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())], "cgroup v1"),
            (v2, vec![("cpu.max", format!("{quota} {period}"))], "cgroup v2"),
        ];
        for (root, settings, how) in groups {
            let folder = root.join(&name);
            if !root.join("cgroup.procs").exists() || std::fs::create_dir(&folder).is_err() {
                continue;
            }
            let set = settings.iter().all(|(file, value)| std::fs::write(folder.join(file), value).is_ok());
            if set && std::fs::write(folder.join("cgroup.procs"), pid.to_string()).is_ok() {
                eprintln!("the hub is held to {percent} % of one CPU by {how}");
                return Self::Group { folder, back: root.join("cgroup.procs") };
            }
            let _ = std::fs::remove_dir(&folder);
        }
        let words = ["-p", &pid.to_string(), "-l", &percent.to_string()].map(str::to_owned);
        let child = Command::new("cpulimit").args(words).spawn();
        eprintln!("the hub is held to {percent} % of one CPU by cpulimit");
        Self::Cpulimit(child.expect("neither cgroup v1 nor v2 can be written, and cpulimit is not installed"))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        match self {
            Self::Group { folder, back } => {
                for pid in std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
                    let _ = std::fs::write(&*back, pid);
                }
                let _ = std::fs::remove_dir(folder);
            }
            Self::Cpulimit(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// What a process holds, looked at all the while.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Vec<Held>>>,
}

/// Memory and handles at a moment.
#[derive(Clone, Copy)]
pub struct Held {
    pub rss_mib: f64,
    pub handles: f64,
    /// Those that are no tables of the engine: a table that is written is kept open, so these grow with what was recorded.
    pub handles_but_tables: f64,
}

impl Held {
    /// Of a process now.
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = rss.and_then(|rss| rss.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN);
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets: Vec<_> = open.map(|handle| std::fs::read_link(handle.path()).unwrap_or_default()).collect();
        let tables = targets.iter().filter(|target| target.extension().is_some_and(|end| end == "sst")).count();
        let handles_but_tables = (targets.len() - tables) as f64;
        Self { rss_mib: kib / 1_024.0, handles: targets.len() as f64, handles_but_tables }
    }
}

impl Watcher {
    /// Looks every so often until told to stop.
    pub fn start(pid: u32, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !told.load(Ordering::Relaxed) {
                seen.push(Held::of(pid));
                std::thread::sleep(every);
            }
            seen
        });
        Self { stop, thread: Some(thread) }
    }

    /// The means of the second and of the last third of what was seen.
    pub fn thirds(mut self) -> (Held, Held) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.take().unwrap().join().unwrap();
        let third = (seen.len() / 3).max(1);
        let mean = |some: &[Held]| {
            let of = |what: fn(&Held) -> f64| some.iter().map(what).sum::<f64>() / some.len() as f64;
            Held {
                rss_mib: of(|held| held.rss_mib),
                handles: of(|held| held.handles),
                handles_but_tables: of(|held| held.handles_but_tables),
            }
        };
        let last = &seen[seen.len() - third..];
        (mean(&seen[third..(2 * third).min(seen.len()).max(third + 1)]), mean(last))
    }
}

/// Stops a process for a while, as a machine that stalls would: what the controls are made of.
pub fn stall(pid: u32, lasts: Duration) {
    let signal = |name: &str| Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
    assert!(signal("STOP").success());
    std::thread::sleep(lasts);
    assert!(signal("CONT").success());
}

/// Seconds, of the short form or the long one.
pub fn seconds(short: u64, long: u64) -> Duration {
    Duration::from_secs(if crate::figure::long() { long } else { short })
}

/// The asker of a system of the catalogue.
pub fn asker(hub: &crate::harness::Hub, system: crate::world::Name, question: &LookUpQuestion) -> Asker {
    Asker::new(hub.endpoint(hub.certs.system(system.0, system.1)).endpoint().unwrap(), question)
}

/// One thread's report, waited for without stopping the test's own runtime.
pub async fn joined(thread: std::thread::JoinHandle<Report>) -> Report {
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

/// A caller with an own connection asks once and is answered.
pub async fn answers(caller: &Caller, question: &LookUpQuestion) -> bool {
    matches!(tokio::time::timeout(PATIENCE, caller.look_up(question)).await, Ok(Ok(_)))
}
