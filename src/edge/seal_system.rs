//! The city's seal system, reached over mutual TLS: where the keys of seals are.
//!
//! Its contract is `wuku/sealsystem/v1`. One channel, connected when first needed and again after a loss; who calls limits the time.
use crate::config::{SealService, Seals};
use crate::edge::trust::read_file;
use crate::seal::chain::Anchors;
use crate::seal::signer::{NotSigned, SealSigner, SignOrder, Signed, SignerKind, SoftwareSigner};
use crate::wire::proto::sealsystem::v1::SignRequest;
use crate::wire::proto::sealsystem::v1::seal_system_service_client::SealSystemServiceClient;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const CONNECT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Whom to believe about seals, as the folder says now.
///
/// # Errors
/// The first file that cannot be read.
pub fn anchors(seals: &Seals) -> Result<Anchors, String> {
    crate::paper::anchors::read(&[seals.anchors.to_string_lossy().into_owned()])
}

/// Where signatures are made, as configured; `None`: nowhere.
///
/// # Errors
/// A file that cannot be read, an endpoint that is none.
pub fn signer(seals: &Seals) -> Result<Option<Arc<dyn SealSigner>>, String> {
    match (&seals.service, &seals.software_keys) {
        (Some(service), _) => Ok(Some(Arc::new(SealSystem::open(service)?))),
        (None, Some(folder)) => Ok(Some(Arc::new(SoftwareSigner::open(folder)?))),
        (None, None) => Ok(None),
    }
}

/// The seal system's client.
pub struct SealSystem {
    endpoint: Endpoint,
    // Made inside the runtime, when first needed: a configuration is also checked outside of one.
    channel: OnceLock<Channel>,
}

impl SealSystem {
    /// A client of the configured seal system; connects when first asked.
    ///
    /// # Errors
    /// A file that cannot be read, an endpoint that is none.
    pub fn open(service: &SealService) -> Result<Self, String> {
        let setup = |error: tonic::transport::Error| format!("{}: {error}", service.endpoint);
        if !service.endpoint.starts_with("https://") {
            return Err(format!("{}: only https:// is spoken", service.endpoint));
        }
        let read = |path: &std::path::Path| read_file(path).map_err(|error| error.to_string());
        let identity = Identity::from_pem(read(&service.certificate_file)?, read(&service.key_file)?);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&service.ca_file)?))
            .identity(identity)
            .timeout(CONNECT);
        let endpoint = Endpoint::from_shared(service.endpoint.clone()).map_err(setup)?;
        let endpoint = endpoint.tls_config(tls).map_err(setup)?.connect_timeout(CONNECT);
        let endpoint = endpoint.tcp_nodelay(true).http2_keep_alive_interval(KEEPALIVE);
        Ok(Self { endpoint, channel: OnceLock::new() })
    }
}

#[async_trait::async_trait]
impl SealSigner for SealSystem {
    fn kind(&self) -> SignerKind {
        SignerKind::Service
    }

    async fn sign(&self, order: SignOrder) -> Result<Signed, NotSigned> {
        let SignOrder { seal_id, to_sign, caller, purpose } = order;
        let request = SignRequest { seal_id, to_sign: to_sign.into(), caller, purpose: Some(purpose) };
        let mut client =
            SealSystemServiceClient::new(self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone());
        let signed = client.sign(request).await.map_err(|status| {
            NotSigned(format!("the seal system answered {:?}: {}", status.code(), status.message()))
        })?;
        let signed = signed.into_inner();
        Ok(Signed { certificate: signed.certificate.to_vec(), signature: signed.signature.to_vec() })
    }
}
