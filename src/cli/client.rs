//! How a command of ours reaches a hub: HTTP/2 over mutual TLS, with four files.
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const CONNECT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where the hub is, and what to show it.
#[derive(Clone, Debug)]
pub struct Client {
    /// `https://host:port`; the host must stand in the server's certificate.
    pub endpoint: String,
    /// The authority of the server's certificate, PEM.
    pub ca: PathBuf,
    /// Our client certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// One of the files cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The endpoint is not `https://host:port`, or a file is not what it should be.
    #[error("cannot use {endpoint} with these certificates: {source}")]
    Setup {
        /// As given.
        endpoint: String,
        /// What the library said.
        source: tonic::transport::Error,
    },
    /// Nobody answers there, or one side does not trust the other.
    #[error("cannot reach {endpoint}: {}", causes(.source))]
    Unreachable {
        /// As given.
        endpoint: String,
        /// What the library said.
        source: tonic::transport::Error,
    },
}

impl Client {
    /// Connects.
    ///
    /// A hub that refuses our certificate may let this succeed and fail the first call: in TLS 1.3 a client is done
    /// before the server has judged it.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn connect(&self) -> Result<Channel, ClientError> {
        let endpoint = self.endpoint.clone();
        self.endpoint()?.connect().await.map_err(|source| ClientError::Unreachable { endpoint, source })
    }

    /// The endpoint without connecting, for a channel that connects when first used and again after a loss.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let setup = |source| ClientError::Setup { endpoint: self.endpoint.clone(), source };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&self.ca)?))
            .identity(Identity::from_pem(read(&self.certificate)?, read(&self.key)?))
            .timeout(CONNECT);
        Ok(Endpoint::from_shared(self.endpoint.clone())
            .map_err(setup)?
            .tls_config(tls)
            .map_err(setup)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::File { path: path.to_owned(), source })
}

/// The library's own text is "transport error"; what happened stands in its causes.
fn causes(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
