//! The baseline: a tonic unary echo over mutual TLS, with as many bytes each way as the hub's answers have; no layer, no policy, no
//! record, no receipt. What the hub's rate is of its rate says what being an exchange hub costs over being a server at all.
//!
//! Two of them, in the same binary with the same allocator: *bare*, with tonic's own listener and TLS and nothing set; and behind the
//! hub's own door, with its listener, its limits and its gathering of writes, which makes an echo quicker than tonic alone is.
use super::super::{CliError, CliResult};
use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::edge::listener::{Listener, http2};
use crate::edge::trust::TrustStore;
use crate::telemetry::Metrics;
use bytes::Bytes;
use clap::Args;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// Arguments of `wuku bench echo-server`.
#[derive(Args, Debug)]
pub(super) struct EchoServerArgs {
    /// The hub's configuration, for its certificates and limits (配置文件)
    #[arg(long)]
    config: PathBuf,
    /// Bytes of each reply's message (答复字节数)
    #[arg(long, default_value_t = 1_400)]
    reply_bytes: usize,
    /// Tonic's own listener and TLS instead of the hub's (不经本枢纽的监听器)
    #[arg(long)]
    bare: bool,
    /// Print the address as one JSON line on standard output once it answers
    #[arg(long)]
    json: bool,
}

/// A message of one field of bytes, both ways.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Echoed {
    /// Anything.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) payload: Bytes,
}

impl Echoed {
    /// A message of so many bytes when encoded, as far as lengths of lengths allow.
    pub(super) fn of(bytes: usize) -> Self {
        let head = 1 + prost::encoding::encoded_len_varint(bytes as u64);
        Self { payload: Bytes::from(vec![0x5a; bytes.saturating_sub(head)]) }
    }
}

/// Where it answers.
pub(super) const PATH: &str = "/wuku.bench.Echo/Echo";

/// Answers until it is killed or told to stop.
///
/// # Errors
/// A configuration or certificates that cannot be used.
pub(super) async fn serve(args: &EchoServerArgs, clock: &Clock) -> CliResult {
    let config = Config::load(&args.config)?;
    let address = config.address().ok_or_else(|| CliError("listen.address".into()))?;
    let service = Echo(Echoed::of(args.reply_bytes));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stop = async move { _ = terminate.recv().await };
    if args.bare {
        let tls = own_tls(&config.listen)?;
        let listener = tokio::net::TcpListener::bind(address).await?;
        args.tell(listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = Server::builder().tls_config(tls)?.add_service(service);
        return Ok(server.serve_with_incoming_shutdown(incoming, stop).await?);
    }
    let trust = TrustStore::open((&config.listen).into(), clock.clone())?;
    let listener = Listener::bind(address, &config.hub.name, trust, (&config.listen).into(), Metrics::new()).await?;
    args.tell(listener.local_address()?);
    let server = http2(&config.listen, &config.limits).add_service(service);
    Ok(server.serve_with_incoming_shutdown(listener.incoming(), stop).await?)
}

impl EchoServerArgs {
    fn tell(&self, address: SocketAddr) {
        if self.json {
            println!("{}", serde_json::json!({ "address": address.to_string() }));
        } else {
            eprintln!("wuku: echo on {address}");
        }
    }
}

fn own_tls(listen: &Listen) -> CliResult<ServerTlsConfig> {
    let read = std::fs::read;
    let identity = Identity::from_pem(read(&listen.tls_certificate_file)?, read(&listen.tls_key_file)?);
    let callers = Certificate::from_pem(read(&listen.client_ca_file)?);
    Ok(ServerTlsConfig::new().identity(identity).client_ca_root(callers))
}

/// What the code generator would write for a service of one method.
#[derive(Clone)]
struct Echo(Echoed);

impl NamedService for Echo {
    const NAME: &'static str = "wuku.bench.Echo";
}

impl tower::Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move { Ok(Grpc::new(tonic_prost::ProstCodec::default()).unary(method, request).await) })
    }
}

impl UnaryService<Echoed> for Echo {
    type Response = Echoed;
    type Future = Ready<Result<Response<Echoed>, Status>>;

    fn call(&mut self, _: Request<Echoed>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn an_echo_has_as_many_bytes_as_the_answers_it_stands_for() {
        for bytes in [10, 127, 128, 129, 200, 1_400, 16_383, 20_000, 300_000] {
            assert!(Echoed::of(bytes).encoded_len().abs_diff(bytes) <= 1, "{bytes}");
        }
    }
}
