//! One connection of the load generator: HTTP/2 over mutual TLS, spoken directly.
//!
//! The generator must never be the bottleneck, so nothing stands between it and the frames: requests are bytes made ahead, replies
//! are counted and not decoded. The few replies that are looked at are looked at afterwards.
use super::super::{CliError, CliResult};
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::uri::Uri;
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes the server may send ahead on one stream: a batch of 200 fits.
const STREAM_WINDOW: u32 = 4 << 20;
/// And on one connection.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Before every gRPC message: not compressed, and its length.
pub(super) const FRAME_HEAD: usize = 5;

/// Whose certificate is shown, and where.
#[derive(Clone)]
pub(super) struct Target {
    address: String,
    name: ServerName<'static>,
    authority: String,
    tls: Arc<ClientConfig>,
}

impl Target {
    /// A hub at `https://host:port`, called with this certificate.
    ///
    /// # Errors
    /// Files that cannot be read, or an address that is none.
    pub(super) fn new(hub: &str, ca: &Path, certificate: &Path, key: &Path) -> CliResult<Self> {
        let of = |path: &Path, error: &dyn std::fmt::Display| CliError(format!("{}: {error}", path.display()));
        let uri: Uri = hub.parse().map_err(|e| CliError(format!("{hub}: {e}")))?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or_else(|| CliError(format!("{hub}: not https://host:port")))?;
        let mut roots = RootCertStore::empty();
        for one in CertificateDer::pem_file_iter(ca).map_err(|e| of(ca, &e))? {
            roots.add(one.map_err(|e| of(ca, &e))?).map_err(|e| of(ca, &e))?;
        }
        let chain = CertificateDer::pem_file_iter(certificate).map_err(|e| of(certificate, &e))?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|e| of(certificate, &e))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| of(key, &e))?;
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(443)),
            name: ServerName::try_from(authority.host().to_owned())?,
            authority: authority.to_string(),
            tls: Arc::new(tls),
        })
    }

    async fn open(&self) -> CliResult<SendRequest<Bytes>> {
        let tcp = TcpStream::connect(&self.address).await.map_err(|e| CliError(format!("{}: {e}", self.address)))?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(self.tls.clone()).connect(self.name.clone(), tcp).await?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .handshake(tls)
            .await?;
        // It ends when the last sender is dropped; a loss is seen by whoever sends next.
        tokio::spawn(async { _ = connection.await });
        Ok(send)
    }
}

/// A call, but for its body: the path with everything that never changes, made once.
#[derive(Clone, Debug)]
pub(super) struct Head(Request<()>);

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    /// The gRPC status; 0 is good.
    pub(super) code: u8,
    /// Bytes of the message, without its head of five.
    pub(super) bytes: usize,
    /// The message, where it was asked for.
    pub(super) message: Option<Bytes>,
    /// When the server, busy, wants to be asked again (gRFC A6, `grpc-retry-pushback-ms`).
    pub(super) come_back_after: Option<Duration>,
}

/// A connection that opens itself again when it is lost.
pub(super) struct Link {
    target: Target,
    send: Mutex<SendRequest<Bytes>>,
    under_way: AtomicUsize,
    reopened: AtomicUsize,
    reopening: tokio::sync::Mutex<()>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// What the network or TLS says.
    pub(super) async fn open(target: &Target) -> CliResult<Self> {
        let send = Mutex::new(target.open().await?);
        let (under_way, reopened) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { target: target.clone(), send, under_way, reopened, reopening: tokio::sync::Mutex::new(()) })
    }

    /// The head of calls to this path on this connection.
    ///
    /// # Errors
    /// A path that is none.
    pub(super) fn head(&self, path: &str) -> CliResult<Head> {
        let uri = format!("https://{}{path}", self.target.authority);
        let mut request = Request::builder().method(Method::POST).version(Version::HTTP_2).uri(uri).body(())?;
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        Ok(Head(request))
    }

    /// Has the server room for another call on this connection?
    pub(super) fn has_room(&self) -> bool {
        let most = self.sender().current_max_send_streams();
        self.under_way.load(Ordering::Relaxed) < most
    }

    /// How often it had to be opened again.
    pub(super) fn reopened(&self) -> usize {
        self.reopened.load(Ordering::Relaxed)
    }

    /// Makes one call; a connection that was lost before it is opened again once.
    ///
    /// # Errors
    /// The connection was lost under the call.
    pub(super) async fn call(&self, head: &Head, framed: Bytes, keep: bool) -> CliResult<Reply> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let replied = self.call_counted(head, framed, keep).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        replied
    }

    async fn call_counted(&self, head: &Head, framed: Bytes, keep: bool) -> CliResult<Reply> {
        let generation = self.reopened();
        let ready = match self.sender().ready().await {
            Ok(ready) => Ok(ready),
            Err(lost) => self.again(generation, &lost).await,
        };
        let (response, mut body) = ready?.send_request(head.0.clone(), false)?;
        body.send_data(framed, true)?;
        let (parts, mut body) = response.await?.into_parts();
        // A call that fails at once has its status in the headers.
        let mut code = grpc_status(&parts.headers);
        let mut come_back_after = pushback(&parts.headers);
        let (mut bytes, mut kept) = (0_usize, BytesMut::new());
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            bytes = bytes.saturating_add(chunk.len());
            body.flow_control().release_capacity(chunk.len())?;
            if keep {
                kept.extend_from_slice(&chunk);
            }
        }
        if let Some(trailers) = body.trailers().await? {
            code = code.or(grpc_status(&trailers));
            come_back_after = come_back_after.or(pushback(&trailers));
        }
        let message = (keep && kept.len() >= FRAME_HEAD).then(|| kept.freeze().slice(FRAME_HEAD..));
        let bytes = bytes.saturating_sub(FRAME_HEAD);
        Ok(Reply { code: code.unwrap_or(2), bytes, message, come_back_after })
    }

    /// One of those who noticed opens it; the others find it open.
    async fn again(&self, generation: usize, lost: &h2::Error) -> CliResult<SendRequest<Bytes>> {
        let _turn = self.reopening.lock().await;
        if self.reopened() == generation {
            let opened = self.target.open().await;
            let opened =
                opened.map_err(|CliError(why)| CliError(format!("connection lost ({lost}), and then {why}")))?;
            *self.send.lock().unwrap_or_else(PoisonError::into_inner) = opened;
            self.reopened.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.sender().ready().await?)
    }

    fn sender(&self) -> SendRequest<Bytes> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn pushback(headers: &HeaderMap) -> Option<Duration> {
    headers.get("grpc-retry-pushback-ms")?.to_str().ok()?.parse().ok().map(Duration::from_millis)
}

/// A message with its head of five, as it goes onto the wire.
pub(super) fn framed(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length.saturating_add(FRAME_HEAD));
    bytes.extend_from_slice(&[0]);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    // A `BytesMut` grows, so this cannot fail.
    let _grows = message.encode(&mut bytes);
    bytes.freeze()
}
