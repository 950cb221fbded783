//! HTTP/2 and TLS as an attacker with a good certificate speaks them, raw: a good client of another department keeps its rate, and
//! the hub does not grow.
//!
//! The frames are written by hand (RFC 9113, section 4.1): a client library would keep the rules that are broken here.
use crate::client::licence;
use crate::figure::{Target, long, note};
use crate::harness::Hub;
use crate::load::{Asker, Gate, Held, asker, joined, seconds, stall};
use crate::world::{DESK, WINDOW, draft};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wuku::cli::dev_certs::{Authority, Pair};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
/// Connections of one attack, unless it is about connections.
const CONNECTIONS: usize = 4;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attack {
    /// A call begun and cancelled at once, over and over (CVE-2023-44487).
    RapidReset,
    /// Pings that want answers.
    Pings,
    /// Settings that want acknowledgements.
    Settings,
    /// Headers that never end (CVE-2024-27316 and its like).
    Continuation,
    /// Data frames with nothing in them.
    EmptyData,
    /// Messages that come a byte a second.
    SlowBodies,
    /// Calls whose answers are never taken.
    ZeroWindow,
    /// Connections that say nothing.
    Idle,
    /// TCP without a handshake.
    StalledHandshakes,
}

const ATTACKS: [Attack; 9] = [
    Attack::RapidReset,
    Attack::Pings,
    Attack::Settings,
    Attack::Continuation,
    Attack::EmptyData,
    Attack::SlowBodies,
    Attack::ZeroWindow,
    Attack::Idle,
    Attack::StalledHandshakes,
];

/// Who attacks, with what, and how often it got anywhere.
#[derive(Clone)]
struct Attacker {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    stop: Arc<AtomicBool>,
    frames: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_client_keeps_its_rate_whatever_another_department_does_to_the_protocol() {
    let hub = Hub::tuned(|config| config.logging.filter = "warn".into()).await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let window = asker(&hub, WINDOW, &licence(&id, &["licence_id", "type_name", "valid_until"]));
    let lasts = seconds(2, 15);
    // Long enough in the long form for the buffers of what is recorded to fill: their growth is no attack's.
    let peak = joined(window.closed(16, seconds(2, 45))).await;
    peak.say("closed loop");
    let rate = peak.good_per_s() * 0.25;
    let alone = joined(window.open(rate, lasts)).await;
    alone.say("alone");
    assert!(alone.good_per_s() > 1.0);
    let before = Held::of(hub.pid());
    let mut growth = 0.0_f64;
    for attack in ATTACKS {
        let kept = beside(&hub, &window, rate, lasts, attack).await / alone.good_per_s();
        growth = growth.max(Held::of(hub.pid()).rss_mib - before.rss_mib);
        note("abuse", &format!("good client's rate beside {attack:?}"), kept, "of its own", Target::AtLeast(0.8));
        assert!(kept > 0.3, "{attack:?} leaves the good client {kept} of its rate");
    }
    note("abuse", "RSS growth over all attacks", growth, "MiB", Target::AtMost(64.0));
    assert!(growth < 256.0, "the attacks made the hub {growth} MiB larger");
    let page = hub.admin("/metrics").await;
    assert!(page.contains("wuku_panics_total 0"), "{page}");

    // The control: a hub that stands still does not keep the rate, and that is seen.
    let (pid, gate) = (hub.pid(), Gate::of(2));
    let open = window.open_at(rate, Duration::from_secs(6), &gate);
    gate.pass().await;
    gate.pass().await;
    tokio::task::spawn_blocking(move || stall(pid, Duration::from_secs(8))).await.unwrap();
    let stalled = joined(open).await;
    let kept = stalled.good_per_s() / alone.good_per_s();
    note("abuse", "control: beside a stall", kept, "of its own", Target::AtMost(0.8));
    assert!(kept < 0.8, "a hub that stands still all the while keeps {kept} of the rate");
    drop(window);
    hub.end_large().await;
}

/// The good client's rate while an attack is under way.
async fn beside(hub: &Hub, window: &Asker, rate: f64, lasts: Duration, attack: Attack) -> f64 {
    let attacker = Attacker {
        address: hub.address(),
        tls: client_config(hub, hub.certs.system(DESK.0, DESK.1)),
        stop: Arc::default(),
        frames: Arc::default(),
        connections: Arc::default(),
    };
    // The good client is connected before the attack begins, and its clock starts when the attack is under way.
    let gate = Gate::of(2);
    let report = window.open_at(rate, lasts, &gate);
    gate.pass().await;
    let on = attacker.clone();
    // A runtime of its own, so that the attack does not take the good client's time.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(on.attack(attack));
    });
    let ready = std::time::Instant::now();
    let wanted = attack.connections() as u64;
    while attacker.connections.load(Ordering::Relaxed) < wanted && ready.elapsed() < seconds(5, 60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate.pass().await;
    let report = joined(report).await;
    attacker.stop.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    let (frames, connections) = (attacker.frames.load(Ordering::Relaxed), attacker.connections.load(Ordering::Relaxed));
    report.say(&format!("beside {attack:?} ({connections} connections, {frames} frames)"));
    assert!(connections > 0, "{attack:?} never came through: nothing was tried");
    report.good_per_s()
}

impl Attack {
    /// Connections it keeps open at once.
    fn connections(self) -> usize {
        match self {
            Self::Idle if long() => 2_000,
            Self::Idle => 200,
            Self::StalledHandshakes => 600,
            _ => CONNECTIONS,
        }
    }
}

impl Attacker {
    async fn attack(self, attack: Attack) {
        let lanes = (0..attack.connections()).map(|_| {
            let on = self.clone();
            tokio::spawn(async move {
                while !on.stopped() {
                    // Thrown out is not given up.
                    if on.connection(attack).await.is_none() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One connection's attack, until it is cut or time is up.
    async fn connection(&self, attack: Attack) -> Option<()> {
        if attack == Attack::StalledHandshakes {
            let mut tcp = TcpStream::connect(self.address).await.ok()?;
            tcp.write_all(&[0x16, 3, 1]).await.ok()?; // the beginning of a ClientHello
            self.connections.fetch_add(1, Ordering::Relaxed);
            let mut rest = [0; 1];
            while !self.stopped() {
                let read = tokio::time::timeout(Duration::from_millis(200), tcp.read(&mut rest)).await;
                if read.is_ok() {
                    return None; // thrown out: another takes its place
                }
            }
            return Some(());
        }
        let tcp = TcpStream::connect(self.address).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let tls = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, tcp).await.ok()?;
        let (mut read, mut write) = tokio::io::split(tls);
        // Whatever the hub says is taken, or it would be the one that waits; with no window, its answers stay with it.
        let stop = self.stop.clone();
        let reader = tokio::spawn(async move {
            let mut some = [0; 16 << 10];
            while !stop.load(Ordering::Relaxed) {
                let waited = tokio::time::timeout(Duration::from_millis(200), read.read(&mut some)).await;
                if let Ok(Ok(0) | Err(_)) = waited {
                    return;
                }
            }
        });
        let window = if attack == Attack::ZeroWindow { vec![0, 4, 0, 0, 0, 0] } else { Vec::new() };
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &window)].concat();
        write.write_all(&preface).await.ok()?;
        write.flush().await.ok()?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut stream = 1;
        while !self.stopped() && !reader.is_finished() {
            let (burst, pause) = attack.burst(&mut stream);
            for bytes in &burst {
                let sent = tokio::time::timeout(Duration::from_secs(1), write.write_all(bytes)).await;
                match sent {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) if self.stopped() => return Some(()),
                    Err(_) => return None, // the hub reads no more of this connection
                }
            }
            let flushed = tokio::time::timeout(Duration::from_secs(1), write.flush()).await;
            flushed.ok()?.ok()?;
            self.frames.fetch_add(burst.len() as u64, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
        }
        let _ = reader.await;
        Some(())
    }
}

impl Attack {
    /// The next frames on a connection, and how long to wait after them.
    fn burst(self, stream: &mut u32) -> (Vec<Vec<u8>>, Duration) {
        let soon = Duration::from_micros(200);
        let first = *stream == 1;
        let mut next = || {
            let this = *stream;
            *stream += 2;
            this
        };
        match self {
            Self::RapidReset => {
                let both = (0..50).flat_map(|_| {
                    let id = next();
                    [frame(HEADERS, END_HEADERS, id, &headers()), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())]
                });
                (both.collect(), soon)
            }
            Self::Pings => ((0..100).map(|_| frame(PING, 0, 0, &[7; 8])).collect(), soon),
            Self::Settings => ((0..100).map(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 99])).collect(), soon),
            Self::Continuation => {
                let filler = literal("x-filler", &"a".repeat(100));
                if first {
                    let id = next();
                    return (vec![frame(HEADERS, 0, id, &headers())], soon);
                }
                ((0..20).map(|_| frame(CONTINUATION, 0, 1, &filler)).collect(), soon)
            }
            Self::EmptyData => {
                if first {
                    let id = next();
                    return (vec![frame(HEADERS, END_HEADERS, id, &headers())], soon);
                }
                ((0..100).map(|_| frame(DATA, 0, 1, &[])).collect(), soon)
            }
            Self::SlowBodies | Self::ZeroWindow if first => {
                let end = |id| match self {
                    // A message of no bytes: a question that says nothing, answered at once, if anybody took the answer.
                    Self::ZeroWindow => vec![frame(DATA, END_STREAM, id, &[0; 5])],
                    _ => Vec::new(),
                };
                let begun = (0..100).flat_map(|_| {
                    let id = next();
                    [vec![frame(HEADERS, END_HEADERS, id, &headers())], end(id)].concat()
                });
                (begun.collect(), soon)
            }
            Self::SlowBodies => {
                let byte = |n: u32| frame(DATA, 0, n * 2 + 1, &[0]);
                ((0..100).map(byte).collect(), Duration::from_secs(1))
            }
            Self::ZeroWindow | Self::Idle | Self::StalledHandshakes => (Vec::new(), Duration::from_millis(200)),
        }
    }
}

/// Length, type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a look-up: HPACK, nothing indexed that the static table does not hold (RFC 7541, appendix A).
fn headers() -> Vec<u8> {
    let path = b"/wuku.exchange.v1.ExchangeService/LookUp";
    let named = |index: u8, value: &[u8]| [&[index, u8::try_from(value.len()).unwrap()], value].concat();
    [
        vec![0x83, 0x87], // POST, https
        named(0x04, path),
        named(0x01, b"localhost"),
        literal("content-type", "application/grpc"),
        literal("te", "trailers"),
    ]
    .concat()
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

fn client_config(hub: &Hub, pair: Pair) -> Arc<ClientConfig> {
    let certificate = |path: &std::path::Path| CertificateDer::from_pem_file(path).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&hub.certs.authority(Authority::Client).certificate)).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&pair.certificate)], PrivateKeyDer::from_pem_file(pair.key).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
