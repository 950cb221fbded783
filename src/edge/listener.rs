//! The door: TCP in, mutually authenticated HTTP/2 connections out.
//!
//! TLS is ended here rather than in the gRPC library, because certificates and revocation lists must change without a
//! restart and the library offers neither lists nor reloading. Handshakes run on tasks of their own, few at a time and
//! against the clock; whoever fails one has cost us a socket and never reaches a service.
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::gather::Gathering;
use super::identity::Peer;
use super::share::{Place, Share};
use super::trust::{Standing, TrustStore};
use crate::config::{Limits, Listen};
use crate::policy::Caller;
use crate::telemetry::Metrics;

const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// After `accept` failed (usually: out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A handshake that has taken this long makes room for another where room is wanting: an honest one takes far less.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(250);

/// How many may come in, and how fast they must be.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Connections open at once.
    pub connections_max: usize,
    /// Handshakes under way at once.
    pub handshakes_max: usize,
    /// Time for one handshake.
    pub handshake: Duration,
}

impl From<&Listen> for Door {
    fn from(listen: &Listen) -> Self {
        Self {
            connections_max: listen.connections_max.min(Semaphore::MAX_PERMITS),
            handshakes_max: listen.handshakes_max.min(Semaphore::MAX_PERMITS),
            handshake: Duration::from_millis(listen.handshake_ms_max),
        }
    }
}

/// A bound port that lets in who proves to be a system of `hub`.
pub struct Listener {
    tcp: TcpListener,
    hub: Arc<str>,
    trust: Arc<TrustStore>,
    door: Door,
    /// Connections of callers that are known, by department.
    known: Arc<Share>,
    metrics: Metrics,
}

impl Listener {
    /// Binds the port; nobody is let in before [`Listener::incoming`].
    ///
    /// # Errors
    /// What the system says about the address.
    pub async fn bind(
        address: SocketAddr,
        hub: &str,
        trust: Arc<TrustStore>,
        door: Door,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let known = Share::fixed(door.connections_max);
        Ok(Self { tcp: TcpListener::bind(address).await?, hub: hub.into(), trust, door, known, metrics })
    }

    /// Where it listens; tells the port when 0 was asked for.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Lets callers in, for as long as the stream lives: for `serve_with_incoming_shutdown`. Dropping it closes the port.
    pub fn incoming(self) -> impl Stream<Item = io::Result<PeerStream>> + use<> {
        let (to_server, incoming) = mpsc::channel(64);
        tokio::spawn(self.accept(to_server));
        ReceiverStream::new(incoming)
    }

    async fn accept(self, to_server: mpsc::Sender<io::Result<PeerStream>>) {
        let connections = Arc::new(Semaphore::new(self.door.connections_max));
        let handshakes = Arc::new(Semaphore::new(self.door.handshakes_max));
        let mut under_way = UnderWay::default();
        let listener = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listener.tcp.accept() => accepted,
                () = to_server.closed() => return,
            };
            let Ok((tcp, remote)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            if handshakes.available_permits() == 0 {
                under_way.make_room(&handshakes, &listener.metrics).await;
            }
            // Refuse rather than queue: a caller that hears no at once tries another node.
            let (Ok(place), Ok(turn)) =
                (Arc::clone(&connections).try_acquire_owned(), Arc::clone(&handshakes).try_acquire_owned())
            else {
                listener.metrics.handshake("full");
                continue;
            };
            let (listener, to_server) = (Arc::clone(&listener), to_server.clone());
            let task = tokio::spawn(async move {
                let welcomed =
                    tokio::time::timeout(listener.door.handshake, listener.welcome(tcp, remote, place)).await;
                drop(turn);
                let result = match welcomed {
                    Ok(Ok(stream)) => to_server.send(Ok(stream)).await.map_or("stopping", |()| "ok"),
                    Ok(Err(refused)) => {
                        tracing::info!(%remote, reason = refused.result, error = %refused.error, "connection refused");
                        refused.result
                    }
                    Err(_) => "timeout",
                };
                listener.metrics.handshake(result);
            });
            under_way.begun(task.abort_handle());
        }
    }

    async fn welcome(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> Result<PeerStream, Refused> {
        prepare(&tcp).map_err(|e| Refused::new("tls", &e))?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.trust.current().server));
        let tls = acceptor.accept(tcp).await.map_err(|e| Refused::new("tls", &e))?;
        let session = tls.get_ref().1;
        // A client that offers no protocol at all passes the handshake; it is not one of ours.
        if session.alpn_protocol() != Some(b"h2") {
            return Err(Refused::new("no_h2", &"the client did not offer HTTP/2"));
        }
        let chain: Vec<_> =
            session.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
        let end_entity = chain.first().ok_or_else(|| Refused::new("no_identity", &"no certificate"))?;
        let peer = Peer::parse(end_entity, &self.hub).map_err(|e| Refused::new("no_identity", &e))?;
        let department: Arc<str> = peer.department.as_str().into();
        let share = self.known.enter(&department, false);
        let share = share.map_err(|_| Refused::new("full", &"the department holds its share of connections"))?;
        let trust = Arc::clone(&self.trust);
        let caller = Caller::from_certificate(&peer.uri, &peer.serial, peer.fingerprint)
            .ok_or_else(|| Refused::new("no_identity", &"the name is none of a system"))?;
        let inside =
            Inside { peer, caller: Arc::new(caller), department, chain, remote, judged: AtomicU64::new(0), trust };
        let connection = Connection(Arc::new(inside));
        self.metrics.connections.inc();
        Ok(PeerStream { tls: Gathering::new(tls), connection, _places: (place, share), metrics: self.metrics.clone() })
    }
}

/// Handshakes under way, oldest first, with those that ended since and were not yet put out.
#[derive(Default)]
struct UnderWay(VecDeque<(Instant, AbortHandle)>);

impl UnderWay {
    /// Puts one in at the end, and out those at the beginning that ended.
    fn begun(&mut self, task: AbortHandle) {
        self.put_out_ended();
        self.0.push_back((Instant::now(), task));
    }

    fn put_out_ended(&mut self) {
        while self.0.front().is_some_and(|(_, task)| task.is_finished()) {
            self.0.pop_front();
        }
    }

    /// Ends the oldest handshake, if it has had its time: stalled ones must not keep honest callers out.
    async fn make_room(&mut self, handshakes: &Arc<Semaphore>, metrics: &Metrics) {
        self.put_out_ended();
        let old = self.0.front().is_some_and(|(since, _)| since.elapsed() > HANDSHAKE_PATIENCE);
        if old && let Some((_, task)) = self.0.pop_front() {
            task.abort();
            metrics.handshake("timeout");
            // Its turn comes back when the task is gone, which is at once; the timeout is for a runtime that is too busy for that.
            let _turn = tokio::time::timeout(ACCEPT_PAUSE, handshakes.acquire()).await;
        }
    }
}

struct Refused {
    result: &'static str,
    error: String,
}

impl Refused {
    fn new(result: &'static str, error: &dyn std::fmt::Display) -> Self {
        Self { result, error: error.to_string() }
    }
}

/// The gRPC library leaves these alone when connections come from outside it.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_ANSWER))
}

/// Who is at the other end, known to every request of the connection (tonic puts it into the request's extensions).
#[derive(Clone)]
pub struct Connection(Arc<Inside>);

struct Inside {
    peer: Peer,
    caller: Arc<Caller>,
    department: Arc<str>,
    chain: Vec<CertificateDer<'static>>,
    remote: SocketAddr,
    judged: AtomicU64,
    trust: Arc<TrustStore>,
}

impl Connection {
    /// The system named by the certificate.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The same, as policy and statements name it.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.0.caller
    }

    /// The department of that system.
    #[must_use]
    pub fn department(&self) -> &Arc<str> {
        &self.0.department
    }

    /// The other end's address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.0.remote
    }

    /// How the certificate stands *now*, not as it stood at the handshake.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.trust.standing(&self.0.chain, self.0.peer.not_after_s, &self.0.judged)
    }
}

/// A connection with a known caller. Gives back its place among the connections when dropped.
pub struct PeerStream {
    tls: Gathering<TlsStream<TcpStream>>,
    connection: Connection,
    metrics: Metrics,
    _places: (OwnedSemaphorePermit, Place),
}

impl Drop for PeerStream {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Connected for PeerStream {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// A gRPC server with every HTTP/2 limit stated, none left to a default that may change.
#[must_use]
pub fn http2(listen: &Listen, limits: &Limits) -> Server {
    Server::builder()
        .accept_http1(false)
        .max_concurrent_streams(limits.streams_per_connection_max)
        .http2_max_header_list_size(limits.header_bytes_max)
        .max_frame_size(16_384)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .http2_max_pending_accept_reset_streams(Some(20)) // rapid reset, CVE-2023-44487
        .http2_max_local_error_reset_streams(Some(1_024))
        // No grace beside it: with one, tonic 0.14.9 cuts the connection at age + grace without ever saying GOAWAY.
        // Calls are ended by their own deadlines.
        .max_connection_age(Duration::from_millis(listen.connection_age_ms_max))
}
