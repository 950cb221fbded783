//! Where a seal's signatures are made: the key of its signer is in the city's seal system, in a device, or, for demos, in a file.
//!
//! Whatever a signer gives back is held against the seal before it counts ([`office`](super::office)); no signer is believed.
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::certificate::Certificate;
use super::chain::pem_blocks;
use crate::gm::PrivateKey;
use crate::wire::proto::receipt::v1::Purpose;

/// What is to be signed, for whom, and why.
#[derive(Clone, Debug)]
pub struct SignOrder {
    /// The seal's identifier.
    pub seal_id: String,
    /// DER of TBS_Sign: exactly these bytes are signed.
    pub to_sign: Vec<u8>,
    /// The calling system, `wuku://hub/department/system`.
    pub caller: String,
    /// Why it asks.
    pub purpose: Purpose,
}

/// What a signer gives back; not yet held against anything.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    /// The signature, DER or r ‖ s.
    pub signature: Vec<u8>,
}

/// Why there is no signature; the text is for the operator and holds no person's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSigned(pub String);

/// What kind of signer it is, as recorded with each use and shown in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerKind {
    /// The city's seal system, over mutual TLS.
    Service,
    /// A certified device by its PKCS#11 module.
    Pkcs11,
    /// A software key, not a certified device: for demos only.
    Software,
}

impl SignerKind {
    /// `service`, `pkcs11`, `software`: never renamed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Pkcs11 => "pkcs11",
            Self::Software => "software",
        }
    }
}

/// Signs for seals. Takes as long as it likes: who calls it limits the time. Must not block the thread it is polled on.
#[async_trait::async_trait]
pub trait SealSigner: Send + Sync {
    /// What it is.
    fn kind(&self) -> SignerKind;

    /// Signs.
    ///
    /// # Errors
    /// [`NotSigned`]: no key for this seal, nobody answers, the device refuses.
    async fn sign(&self, order: SignOrder) -> Result<Signed, NotSigned>;
}

/// Keys in files: `<seal id>.pem` (the signer's certificate) and `<seal id>.key` (PKCS#8, PEM) in one folder. **Software keys, not certified
/// devices: for demos only.** Read once, at the start.
pub struct SoftwareSigner(Arc<HashMap<String, (Vec<u8>, PrivateKey)>>);

impl SoftwareSigner {
    /// Reads every pair in a folder.
    ///
    /// # Errors
    /// The first file that cannot be read, or a folder without any pair.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let failed = |path: &Path, why: String| format!("{}: {why}", path.display());
        let mut keys = HashMap::new();
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, error.to_string()))? {
            let path = entry.map_err(|error| failed(folder, error.to_string()))?.path();
            let Some(id) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
            if path.extension().and_then(|e| e.to_str()) != Some("key") {
                continue;
            }
            let text = |path: &Path| fs::read_to_string(path).map_err(|error| failed(path, error.to_string()));
            let private = zeroize::Zeroizing::new(text(&path)?);
            let blocks = pem_blocks(&private, "PRIVATE KEY").map_err(|error| failed(&path, error.to_string()))?;
            let block = blocks.into_iter().next().map(zeroize::Zeroizing::new);
            let block = block.ok_or_else(|| failed(&path, "holds no PRIVATE KEY".into()))?;
            let key = PrivateKey::from_pkcs8_der(&block).map_err(|error| failed(&path, error.to_string()))?;
            let beside = path.with_extension("pem");
            let listed =
                Certificate::from_pem_file(&text(&beside)?).map_err(|error| failed(&beside, error.to_string()))?;
            let certificate = listed.into_iter().next().ok_or_else(|| failed(&beside, "empty".into()))?;
            keys.insert(id, (certificate.der, key));
        }
        if keys.is_empty() { Err(failed(folder, "no *.key".into())) } else { Ok(Self(Arc::new(keys))) }
    }
}

#[async_trait::async_trait]
impl SealSigner for SoftwareSigner {
    fn kind(&self) -> SignerKind {
        SignerKind::Software
    }

    async fn sign(&self, order: SignOrder) -> Result<Signed, NotSigned> {
        let keys = self.0.clone();
        let signing = tokio::task::spawn_blocking(move || {
            let (certificate, key) =
                keys.get(&order.seal_id).ok_or_else(|| NotSigned("no key file for this seal".into()))?;
            let signature = key.sign(&[&order.to_sign]).map_err(|error| NotSigned(error.to_string()))?;
            Ok(Signed { certificate: certificate.clone(), signature: signature.to_der() })
        });
        signing.await.map_err(|error| NotSigned(error.to_string()))?
    }
}
