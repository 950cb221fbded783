//! The edge over real TLS on the loopback, with the health service standing in for ours.
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Request;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::HealthReporter;
use tonic_types::StatusExt;

use super::listener::{Door, Listener};
use super::trust::{TrustFiles, TrustStore};
use crate::cli::client::Client;
use crate::cli::dev_certs::{Authority, DevCerts, Pair, Validity};
use crate::clock::Clock;
use crate::config::{Config, Limits, Listen};
use crate::telemetry::Metrics;

const HUB: &str = "hub.test";

/// A running edge. Everything ends when it is dropped.
struct Edge {
    certs: DevCerts,
    trust: Arc<TrustStore>,
    metrics: Metrics,
    address: SocketAddr,
    health: HealthReporter,
    /// Milliseconds the hub's clock is ahead of the real one.
    ahead_ms: Arc<AtomicU64>,
    server: tokio::task::JoinHandle<()>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    _folder: tempfile::TempDir,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn limits() -> Limits {
    Config::parse("[hub]\nname = \"hub.test\"").unwrap().limits
}

async fn edge(limits: Limits, change: impl FnOnce(&mut Listen)) -> Edge {
    let folder = tempfile::tempdir().unwrap();
    let certs =
        DevCerts::make(folder.path(), HUB, &[("civil", "window"), ("tax", "desk")], &[], &Clock::system()).unwrap();
    let mut listen = Listen {
        tls_certificate_file: certs.server().certificate,
        tls_key_file: certs.server().key,
        client_ca_file: certs.authority(Authority::Client).certificate,
        client_crl_files: vec![certs.crl(Authority::Client)],
        ..Listen::default()
    };
    change(&mut listen);
    let ahead_ms = Arc::new(AtomicU64::new(0));
    let (ahead, real) = (Arc::clone(&ahead_ms), Clock::system());
    let clock = Clock::from_fn(move || real.now_ms() + ahead.load(Ordering::Relaxed));
    let trust = TrustStore::open(TrustFiles::from(&listen), clock).unwrap();
    let metrics = Metrics::new();
    let port = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(port, HUB, Arc::clone(&trust), Door::from(&listen), metrics.clone()).await.unwrap();
    let address = listener.local_address().unwrap();
    let (health, service) = tonic_health::server::health_reporter();
    let routes = tonic::service::Routes::new(service).add_service(Broken);
    let (counts, (stop, stopped)) = (metrics.clone(), tokio::sync::oneshot::channel::<()>());
    let server = tokio::spawn(async move {
        super::serve(listener, routes, (&listen, &limits, &counts), async { drop(stopped.await) }).await.unwrap();
    });
    Edge { certs, trust, metrics, address, health, ahead_ms, server, stop: Some(stop), _folder: folder }
}

impl Edge {
    fn client(&self, pair: Pair) -> Client {
        Client {
            endpoint: format!("https://localhost:{}", self.address.port()),
            ca: self.certs.authority(Authority::Client).certificate,
            certificate: pair.certificate,
            key: pair.key,
        }
    }

    async fn connected(&self) -> HealthClient<Channel> {
        HealthClient::new(self.client(self.certs.system("civil", "window")).connect().await.unwrap())
    }

    fn revoke_window(&self) {
        let serial = DevCerts::serial(&self.certs.system("civil", "window").certificate).unwrap();
        self.certs.revoke(Authority::Client, &serial).unwrap();
    }

    /// A TLS client of our own making; `pair` is what it shows.
    fn tls(&self, versions: &[&'static rustls::SupportedProtocolVersion], pair: Option<Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.certs.authority(Authority::Client).certificate)).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            Some(pair) => builder
                .with_client_auth_cert(
                    vec![certificate(&pair.certificate)],
                    PrivateKeyDer::from_pem_file(pair.key).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// Shakes hands and reads the server's first HTTP/2 frame; the error holds the server's TLS alert.
    async fn greet(&self, config: Arc<ClientConfig>) -> Result<TlsStream<tokio::net::TcpStream>, String> {
        let tcp = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.map_err(|e| e.to_string())?;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        tls.write_all(preface).await.map_err(|e| e.to_string())?;
        match tls.read_u8().await {
            Ok(_) => Ok(tls),
            Err(e) => Err(e.to_string()),
        }
    }

    async fn alert(&self, pair: Option<Pair>) -> String {
        self.greet(self.tls(&[&rustls::version::TLS13], pair)).await.err().unwrap_or_else(|| "let in".to_owned())
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

async fn ask(client: &mut HealthClient<Channel>) -> Result<(), Status> {
    client.check(HealthCheckRequest::default()).await.map(drop)
}

/// The next message of a stream; a stream that says nothing at all is a failure, not a test that hangs.
async fn next(stream: &mut tonic::Streaming<HealthCheckResponse>) -> Result<Option<HealthCheckResponse>, Status> {
    tokio::time::timeout(Duration::from_secs(10), stream.message()).await.expect("the stream says nothing")
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "wuku");
    info.reason
}

#[tokio::test]
async fn a_system_with_a_good_certificate_is_let_in_and_named() {
    let edge = edge(limits(), |_| {}).await;
    ask(&mut edge.connected().await).await.unwrap();
    assert!(edge.metrics.text().contains("wuku_handshakes_total{result=\"ok\"} 1"));
}

#[tokio::test]
async fn without_a_certificate_nobody_comes_in() {
    let edge = edge(limits(), |_| {}).await;
    assert!(edge.alert(None).await.contains("CertificateRequired"));
    assert!(edge.metrics.text().contains("wuku_handshakes_total{result=\"tls\"} 1"));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let edge = edge(limits(), |_| {}).await;
    let other = tempfile::tempdir().unwrap();
    let others = DevCerts::make(other.path(), HUB, &[("civil", "window")], &[], &Clock::system()).unwrap();
    let alert = edge.alert(Some(others.system("civil", "window"))).await;
    // Same name, other key: the signature is what does not fit.
    assert!(alert.contains("DecryptError") || alert.contains("UnknownCA"), "{alert}");
    let foreign = DevCerts::make(&other.path().join("f"), "other.test", &[("a", "b")], &[], &Clock::system()).unwrap();
    let alert = edge.alert(Some(foreign.system("a", "b"))).await;
    assert!(alert.contains("UnknownCA"), "{alert}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_the_handshake_and_on_a_live_connection() {
    let edge = edge(limits(), |_| {}).await;
    let now_s = Clock::system().now_ms() / 1_000;
    let past = Validity { from_s: now_s - 7_200, to_s: now_s - 3_600 };
    let expired = edge.certs.make_system(HUB, "civil", "old", past).unwrap();
    let alert = edge.alert(Some(expired)).await;
    assert!(alert.contains("CertificateExpired"), "{alert}");

    let mut live = edge.connected().await;
    ask(&mut live).await.unwrap();
    edge.ahead_ms.store(15 * 86_400_000, Ordering::Relaxed);
    let status = ask(&mut live).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "CALLER_UNKNOWN"));
}

#[tokio::test]
async fn an_overdue_revocation_list_lets_nobody_in_and_ends_live_connections() {
    let edge = edge(limits(), |_| {}).await;
    let pair = edge.certs.make_system(HUB, "civil", "long", Validity::days(&Clock::system(), 60)).unwrap();
    let mut live = HealthClient::new(edge.client(pair.clone()).connect().await.unwrap());
    ask(&mut live).await.unwrap();
    edge.ahead_ms.store(31 * 86_400_000, Ordering::Relaxed);
    assert_ne!(edge.alert(Some(pair)).await, "let in");
    assert_eq!(reason(&ask(&mut live).await.unwrap_err()), "CALLER_UNKNOWN");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_at_the_handshake() {
    let edge = edge(limits(), |_| {}).await;
    edge.revoke_window();
    assert!(edge.trust.reload().unwrap());
    let alert = edge.alert(Some(edge.certs.system("civil", "window"))).await;
    assert!(alert.contains("CertificateRevoked"), "{alert}");
}

#[tokio::test]
async fn a_certificate_revoked_on_a_live_connection_gets_nothing_more_streams_included() {
    let edge = edge(limits(), |_| {}).await;
    let mut live = edge.connected().await;
    let mut stream = live.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    next(&mut stream).await.unwrap().unwrap();
    edge.revoke_window();
    assert!(edge.trust.reload().unwrap());
    let status = ask(&mut live).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "CERTIFICATE_REVOKED"));
    assert_eq!(reason(&ask(&mut live).await.unwrap_err()), "CERTIFICATE_REVOKED", "and again");
    edge.health.set_service_status("", ServingStatus::NotServing).await;
    assert_eq!(reason(&next(&mut stream).await.unwrap_err()), "CERTIFICATE_REVOKED", "the open stream too");
}

#[tokio::test]
async fn a_revocation_is_found_within_five_seconds_without_being_told() {
    let edge = edge(limits(), |_| {}).await;
    let every = Duration::from_millis(Listen::default().reload_check_ms);
    let fresh = tokio::spawn(Arc::clone(&edge.trust).keep_fresh(every, edge.metrics.clone()));
    let mut live = edge.connected().await;
    ask(&mut live).await.unwrap();
    edge.revoke_window();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(reason(&ask(&mut live).await.unwrap_err()), "CERTIFICATE_REVOKED");
    fresh.abort();
}

#[tokio::test]
async fn another_systems_revocation_leaves_a_live_connection_alone() {
    let edge = edge(limits(), |_| {}).await;
    let mut live = edge.connected().await;
    ask(&mut live).await.unwrap();
    edge.certs.revoke(Authority::Client, "0badcafe").unwrap();
    assert!(edge.trust.reload().unwrap());
    assert!(!edge.trust.reload().unwrap(), "unchanged files change nothing");
    ask(&mut live).await.unwrap();
}

#[tokio::test]
async fn files_that_do_not_parse_leave_the_old_trust_in_force() {
    let edge = edge(limits(), |_| {}).await;
    std::fs::write(edge.certs.crl(Authority::Client), "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
        .unwrap();
    assert!(edge.trust.reload().is_err());
    ask(&mut edge.connected().await).await.unwrap();
    std::fs::write(edge.certs.crl(Authority::Client), "").unwrap();
    assert!(edge.trust.reload().is_err(), "no list is not the same as an empty list");
}

#[tokio::test]
async fn a_new_server_certificate_is_served_without_a_restart() {
    let edge = edge(limits(), |_| {}).await;
    let config = edge.tls(&[&rustls::version::TLS13], Some(edge.certs.system("civil", "window")));
    let shown = |tls: &TlsStream<_>| tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    let before = shown(&edge.greet(Arc::clone(&config)).await.unwrap());
    edge.certs.make_server(HUB, Validity::days(&Clock::system(), 1)).unwrap();
    assert!(edge.trust.reload().unwrap());
    let after = shown(&edge.greet(config).await.unwrap());
    assert_ne!(before, after);
    assert_eq!(after, certificate(&edge.certs.server().certificate));
}

#[tokio::test]
async fn tls_1_2_is_refused_unless_configured_and_then_needs_a_certificate_too() {
    let strict = edge(limits(), |_| {}).await;
    let window = Some(strict.certs.system("civil", "window"));
    let refused = strict.greet(strict.tls(&[&rustls::version::TLS12], window)).await.unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");

    let lenient = edge(limits(), |listen| listen.tls12 = true).await;
    let window = Some(lenient.certs.system("civil", "window"));
    lenient.greet(lenient.tls(&[&rustls::version::TLS12], window)).await.unwrap();
    lenient.greet(lenient.tls(&[&rustls::version::TLS12], None)).await.unwrap_err();
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let edge = edge(limits(), |listen| listen.tls12 = true).await;
        let config = edge.tls(&[version], Some(edge.certs.system("civil", "window")));
        for _ in 0..3 {
            let tls = edge.greet(Arc::clone(&config)).await.unwrap();
            assert_ne!(tls.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_offer_http2_is_closed() {
    let edge = edge(limits(), |_| {}).await;
    let mut config = (*edge.tls(&[&rustls::version::TLS13], Some(edge.certs.system("civil", "window")))).clone();
    config.alpn_protocols = vec![];
    edge.greet(Arc::new(config.clone())).await.unwrap_err();
    assert!(edge.metrics.text().contains("wuku_handshakes_total{result=\"no_h2\"} 1"));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let refused = edge.greet(Arc::new(config)).await.unwrap_err();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

#[tokio::test]
async fn a_good_certificate_for_another_hub_names_nobody_here() {
    let edge = edge(limits(), |_| {}).await;
    let pair = edge.certs.make_system("other.test", "civil", "w", Validity::days(&Clock::system(), 1)).unwrap();
    assert_ne!(edge.alert(Some(pair)).await, "let in");
    assert!(edge.metrics.text().contains("wuku_handshakes_total{result=\"no_identity\"} 1"));
}

#[tokio::test]
async fn a_stalled_handshake_is_ended_and_gives_back_its_place() {
    let edge = edge(limits(), |listen| {
        listen.handshake_ms_max = 300;
        listen.handshakes_max = 1;
    })
    .await;
    let mut stalled = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    let mut refused = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0, "closed on arrival");
    assert_eq!(stalled.read(&mut [0]).await.unwrap_or(0), 0, "closed after its time");
    ask(&mut edge.connected().await).await.unwrap();
    let text = edge.metrics.text();
    assert!(text.contains("{result=\"timeout\"} 1") && text.contains("{result=\"full\"} 1"), "{text}");
}

#[tokio::test]
async fn the_connection_cap_holds_and_a_closed_connection_makes_room() {
    let edge = edge(limits(), |listen| listen.connections_max = 1).await;
    let config = edge.tls(&[&rustls::version::TLS13], Some(edge.certs.system("civil", "window")));
    let first = edge.greet(Arc::clone(&config)).await.unwrap();
    edge.greet(Arc::clone(&config)).await.unwrap_err();
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    edge.greet(config).await.unwrap();
}

#[tokio::test]
async fn the_limit_of_calls_in_progress_holds_over_all_connections_and_says_when_to_return() {
    let edge = edge(Limits { in_flight_max: 1, ..limits() }, |_| {}).await;
    let stream = edge.connected().await.watch(HealthCheckRequest::default()).await.unwrap();
    let mut other = edge.connected().await;
    let status = ask(&mut other).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "HUB_OVERLOADED"));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "500");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(500)));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(200)).await;
    ask(&mut other).await.unwrap();
}

#[tokio::test]
async fn who_floods_while_others_are_there_is_refused_late_and_who_is_alone_at_once() {
    let edge = edge(Limits { in_flight_max: 8, ..limits() }, |_| {}).await;
    let mut flood = edge.connected().await;
    let mut streams = Vec::new();
    let status = loop {
        match flood.watch(HealthCheckRequest::default()).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!((streams.len(), reason(&status).as_str()), (6, "HUB_OVERLOADED"));
    // How long each of many calls at once waits for its refusal.
    let refusals = async || {
        let calls = (0..60).map(|_| {
            let mut flood = flood.clone();
            async move {
                let begun = std::time::Instant::now();
                assert_eq!(reason(&ask(&mut flood).await.unwrap_err()), "HUB_OVERLOADED");
                begun.elapsed()
            }
        });
        futures_util::future::join_all(calls).await
    };
    let late = |waited: &[Duration]| waited.iter().filter(|waited| **waited >= Duration::from_secs(1)).count();
    assert_eq!(late(&refusals().await), 0, "alone");
    let mut other = HealthClient::new(edge.client(edge.certs.system("tax", "desk")).connect().await.unwrap());
    let watching = other.watch(HealthCheckRequest::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await; // refusals before do not count any more
    let waited = refusals().await;
    let late = late(&waited);
    assert!((1..=60 - 8).contains(&late), "as often as there are places it is told at once, then late: {waited:?}");
    let begun = std::time::Instant::now();
    ask(&mut other).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "the other is answered at once");
    drop(watching);
}

#[tokio::test]
async fn a_panic_ends_its_own_call_and_nothing_else() {
    let edge = edge(limits(), |_| {}).await;
    let response = call(&edge, "/broken/Call", &[]).await;
    assert_eq!(response.headers()["grpc-status"], "13");
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(reason(&status), "INTERNAL");
    ask(&mut edge.connected().await).await.unwrap();
    let metrics = edge.metrics.text();
    assert!(metrics.contains("wuku_panics_total 1") && metrics.contains("wuku_in_flight 0"), "{metrics}");
}

/// A service with a bug.
#[derive(Clone)]
struct Broken;

impl tonic::server::NamedService for Broken {
    const NAME: &'static str = "broken";
}

impl tower::Service<Request<tonic::body::Body>> for Broken {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async { panic!("a bug") })
    }
}

#[tokio::test]
async fn a_call_whose_message_does_not_come_gives_back_its_place() {
    let edge = edge(Limits { in_flight_max: 1, ..limits() }, |_| {}).await;
    let channel = edge.client(edge.certs.system("civil", "window")).connect().await.unwrap();
    let (sender, body) = tokio::sync::mpsc::channel::<Result<hyper::body::Frame<bytes::Bytes>, Status>>(1);
    let body =
        tonic::body::Body::new(http_body_util::StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(body)));
    let request = Request::post(CHECK).header("content-type", "application/grpc").header("te", "trailers");
    let call = tokio::spawn(tower::ServiceExt::oneshot(channel, request.body(body).unwrap()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut other = edge.connected().await;
    assert_eq!(reason(&ask(&mut other).await.unwrap_err()), "HUB_OVERLOADED");
    let response =
        tokio::time::timeout(Duration::from_secs(12), call).await.expect("it waits for ever").unwrap().unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
    ask(&mut other).await.unwrap();
    drop(sender);
}

#[tokio::test]
async fn stalled_handshakes_make_room_for_an_honest_one() {
    let edge = edge(limits(), |listen| listen.handshakes_max = 2).await;
    let stall = || tokio::net::TcpStream::connect(edge.address);
    let stalled = (stall().await.unwrap(), stall().await.unwrap());
    tokio::time::sleep(Duration::from_millis(700)).await;
    ask(&mut edge.connected().await).await.unwrap();
    drop(stalled);
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline_and_says_so() {
    let edge = edge(Limits { deadline_ms_max: 400, ..limits() }, |_| {}).await;
    let mut stream = edge.connected().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    next(&mut stream).await.unwrap().unwrap();
    let status = next(&mut stream).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_TOO_SHORT"));
}

#[tokio::test]
async fn a_stopping_hub_takes_no_new_caller_and_waits_for_open_calls_only_so_long() {
    let mut edge = edge(limits(), |listen| listen.drain_ms_max = 600).await;
    let mut stream = edge.connected().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    next(&mut stream).await.unwrap().unwrap();
    edge.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(tokio::net::TcpStream::connect(edge.address).await.is_err(), "the port is closed");
    edge.health.set_service_status("", ServingStatus::NotServing).await;
    next(&mut stream).await.unwrap().unwrap(); // an open call still gets its answer
    assert!(!edge.server.is_finished());
    tokio::time::timeout(Duration::from_secs(5), &mut edge.server).await.unwrap().unwrap();
}

/// A call made by hand, so that headers can be anything.
async fn call(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> http::Response<tonic::body::Body> {
    let mut channel = edge.client(edge.certs.system("civil", "window")).connect().await.unwrap();
    std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx)).await.unwrap();
    let mut request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = tonic::body::Body::new(http_body_util::Full::new(hyper::body::Bytes::from_static(&[0; 5])));
    tower::Service::call(&mut channel, request.body(body).unwrap()).await.unwrap()
}

const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tokio::test]
async fn a_deadline_shorter_than_the_reserve_is_refused_at_once() {
    let edge = edge(Limits { deadline_reserve_ms: 20_000, ..limits() }, |_| {}).await;
    let response = call(&edge, CHECK, &[("grpc-timeout", "10S")]).await;
    assert_eq!(response.headers()["grpc-status"], "4");
    assert!(!call(&edge, CHECK, &[("grpc-timeout", "30S")]).await.headers().contains_key("grpc-status"));
    assert!(!call(&edge, CHECK, &[("grpc-timeout", "nonsense")]).await.headers().contains_key("grpc-status"));
}

#[tokio::test]
async fn a_call_keeps_the_name_it_came_with_only_if_that_is_a_uuid() {
    let edge = edge(limits(), |_| {}).await;
    let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    assert_eq!(call(&edge, CHECK, &[("x-request-id", id)]).await.headers()["x-request-id"], id);
    for bad in [
        "331099199001011234",
        "a b",
        "",
        "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b0",
        "331099-199001011234-331099-19900101-",
    ] {
        let response = call(&edge, CHECK, &[("x-request-id", bad)]).await;
        let made = response.headers()["x-request-id"].to_str().unwrap();
        assert!(made != bad && made.len() == 32, "{bad} → {made}");
    }
}

#[derive(Clone, Default)]
struct Page(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_and_metrics_name_the_system_and_the_rpc_and_nothing_a_caller_typed() {
    let page = Page::default();
    let writer = page.clone();
    let logging = crate::config::Logging::default();
    // With one subscriber in the process, whether a line is wanted is asked of the thread that meets it first, and that may be another
    // test's; with two it is asked of both.
    let _second = tracing::Dispatch::new(crate::telemetry::subscriber(&logging, std::io::sink).unwrap());
    let subscriber = crate::telemetry::subscriber(&logging, move || writer.clone()).unwrap();
    let _here = tracing::subscriber::set_default(subscriber);
    // Other tests of this process have no subscriber and may have switched the line off before this one came.
    tracing::callsite::rebuild_interest_cache();
    let edge = edge(limits(), |_| {}).await;
    ask(&mut edge.connected().await).await.unwrap();
    let number = "331099199001011234";
    let headers = [("x-request-id", number), ("x-operator", number), ("user-agent", number)];
    drop(call(&edge, &format!("/wuku.exchange.v1.ExchangeService/{number}"), &headers).await);
    let written = || String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    for _ in 0..100 {
        if written().contains("\"code\":\"OK\"") && written().contains("UNIMPLEMENTED") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (log, metrics) = (written(), edge.metrics.text());
    let line: serde_json::Value =
        log.lines().map(|l| serde_json::from_str(l).unwrap()).find(|l: &serde_json::Value| l["code"] == "OK").unwrap();
    assert_eq!(line["caller"], "wuku://hub.test/civil/window");
    assert_eq!((&line["method"], &line["service"]), (&"Check".into(), &"grpc.health.v1.Health".into()));
    let counted =
        "grpc_server_handled_total{grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Check\",grpc_code=\"OK\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("grpc_method=\"unknown\",grpc_code=\"UNIMPLEMENTED\"} 1"), "{metrics}");
    assert!(metrics.contains("wuku_in_flight 0"), "{metrics}");
    assert!(!log.contains(number) && !metrics.contains(number) && !metrics.contains("civil"), "{log}");
}
