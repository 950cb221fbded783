//! Whom the edge believes, and for how long.
//!
//! The server's own certificate, the authorities of clients and their revocation lists are one value, read together and
//! swapped together, so that a half-changed set is never in force. The same verifier judges a certificate at the
//! handshake and again, on the live connection, after each change of the files: who lost trust gets nothing more.
//!
//! A crash here leaves nothing behind: the files are only read.
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode, Encode};

use crate::clock::Clock;
use crate::config::Listen;
use crate::telemetry::Metrics;

/// The files that trust is made of.
#[derive(Clone, Debug)]
pub struct TrustFiles {
    /// Server certificate chain, PEM.
    pub certificate: PathBuf,
    /// Server private key, PEM.
    pub key: PathBuf,
    /// Authorities of clients, PEM.
    pub client_ca: PathBuf,
    /// Their revocation lists, PEM or DER.
    pub client_crls: Vec<PathBuf>,
    /// Accept TLS 1.2 too.
    pub tls12: bool,
}

impl From<&Listen> for TrustFiles {
    fn from(listen: &Listen) -> Self {
        Self {
            certificate: listen.tls_certificate_file.clone(),
            key: listen.tls_key_file.clone(),
            client_ca: listen.client_ca_file.clone(),
            client_crls: listen.client_crl_files.clone(),
            tls12: listen.tls12,
        }
    }
}

/// Why a set of files cannot be trusted. The text never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file is not there or not readable.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {what}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// One consistent set of trust, in force until the next.
pub struct Trust {
    generation: u64,
    digest: [u8; 32],
    verifier: Arc<dyn ClientCertVerifier>,
    /// What the acceptor uses for new connections.
    pub server: Arc<ServerConfig>,
    /// The last second of the server's own certificate, Unix seconds.
    pub server_not_after_s: u64,
    /// The earliest `nextUpdate` of the revocation lists, Unix seconds.
    pub crl_next_update_s: u64,
}

/// How a certificate stands now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Chain, dates and revocation status are all good.
    Good,
    /// Its authority has revoked it, or one above it.
    Revoked,
    /// Past its last second.
    Expired,
    /// Not to be decided or no longer believed: authority removed, revocation list overdue or missing.
    Unknown,
}

/// The trust in force, and the way to change it without a restart.
pub struct TrustStore {
    files: TrustFiles,
    clock: Clock,
    current: ArcSwap<Trust>,
    reloading: Mutex<()>,
}

impl TrustStore {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// A [`TrustError`] naming the file; nothing listens without a complete set.
    pub fn open(files: TrustFiles, clock: Clock) -> Result<Arc<Self>, TrustError> {
        let trust = Trust::read(&files, &clock, 1)?;
        Ok(Arc::new(Self { files, clock, current: ArcSwap::from_pointee(trust), reloading: Mutex::new(()) }))
    }

    /// The set in force.
    #[must_use]
    pub fn current(&self) -> Arc<Trust> {
        self.current.load_full()
    }

    /// Reads the files again; true if they had changed and the new set is now in force.
    ///
    /// # Errors
    /// A [`TrustError`]; the old set then stays in force, until its own dates end it.
    pub fn reload(&self) -> Result<bool, TrustError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let current = self.current.load();
        let next = Trust::read(&self.files, &self.clock, current.generation.saturating_add(1))?;
        if next.digest == current.digest {
            return Ok(false);
        }
        self.current.store(Arc::new(next));
        Ok(true)
    }

    /// Reloads every `every`, and at once on SIGHUP, for as long as the future is polled.
    pub async fn keep_fresh(self: Arc<Self>, every: Duration, metrics: Metrics) {
        let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = async { match &mut hangup { Some(h) => { h.recv().await; } None => std::future::pending().await } } => {}
            }
            let store = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || store.reload()).await {
                Ok(Ok(true)) => tracing::info!("certificates and revocation lists changed; the new ones are in force"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    metrics.trust_reload_failures.inc();
                    tracing::error!(%error, "certificates or revocation lists cannot be read; the old ones stay in force");
                }
                Err(error) => tracing::error!(%error, "reloading certificates stopped"),
            }
            let trust = self.current();
            metrics.server_certificate_not_after.set(i64::try_from(trust.server_not_after_s).unwrap_or(i64::MAX));
            metrics.client_crl_next_update.set(i64::try_from(trust.crl_next_update_s).unwrap_or(i64::MAX));
        }
    }

    /// Judges a chain, end entity first. `judged` belongs to the connection and remembers the last verdict, so that a
    /// live connection pays for a signature check only when the files have changed.
    #[must_use]
    pub fn standing(&self, chain: &[CertificateDer<'_>], not_after_s: u64, judged: &AtomicU64) -> Standing {
        let trust = self.current.load();
        let now_s = self.clock.now_ms() / 1_000;
        if now_s > not_after_s {
            return Standing::Expired;
        }
        let lists_in_date = now_s <= trust.crl_next_update_s;
        if let Some(standing) = recall(judged.load(Ordering::Relaxed), trust.generation).filter(|_| lists_in_date) {
            return standing;
        }
        let Some((end_entity, intermediates)) = chain.split_first() else { return Standing::Unknown };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
        let standing = match trust.verifier.verify_client_cert(end_entity, intermediates, now) {
            Ok(_) => Standing::Good,
            Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => Standing::Revoked,
            Err(_) => Standing::Unknown,
        };
        judged.store(remember(standing, trust.generation), Ordering::Relaxed);
        standing
    }
}

/// Verdict and generation in one word, so that they are read and written together.
fn remember(standing: Standing, generation: u64) -> u64 {
    (generation << 2)
        | match standing {
            Standing::Good => 1,
            Standing::Revoked => 2,
            // Time alone can end these (a clock put right, a list renewed), so they are judged afresh.
            Standing::Expired | Standing::Unknown => 0,
        }
}

fn recall(word: u64, generation: u64) -> Option<Standing> {
    match (word >> 2 == generation, word & 3) {
        (true, 1) => Some(Standing::Good),
        (true, 2) => Some(Standing::Revoked),
        _ => None,
    }
}

impl Trust {
    fn read(files: &TrustFiles, clock: &Clock, generation: u64) -> Result<Self, TrustError> {
        let mut digest = Sha256::new();
        let mut load = |path: &Path| -> Result<Vec<u8>, TrustError> {
            let bytes = read_file(path)?;
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(&bytes);
            Ok(bytes)
        };
        let chain = parse_certificates(&files.certificate, &load(&files.certificate)?)?;
        let key = PrivateKeyDer::from_pem_slice(&load(&files.key)?)
            .map_err(|_| malformed(&files.key, "holds no private key in PEM"))?;
        let authorities = parse_certificates(&files.client_ca, &load(&files.client_ca)?)?;
        let mut lists = vec![];
        for path in &files.client_crls {
            lists.extend(parse_crls(path, &load(path)?)?);
        }
        let crl_next_update_s = cover(&files.client_ca, &authorities, &mut lists)?;
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(files, &provider, authorities, lists)?;
        let server_not_after_s = chain.first().map_or(0, |c| c.not_after_s);
        let server = server_config(files, clock, provider, Arc::clone(&verifier), chain, key)?;
        let digest = digest.finalize().into();
        Ok(Self { generation, digest, verifier, server: Arc::new(server), server_not_after_s, crl_next_update_s })
    }
}

fn verifier(
    files: &TrustFiles,
    provider: &Arc<CryptoProvider>,
    authorities: Vec<ReadCertificate>,
    lists: Vec<ReadCrl>,
) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.der).map_err(|e| malformed(&files.client_ca, e))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(lists.into_iter().map(|l| l.der))
        .enforce_revocation_expiration() // off by default: an old list would hide every later revocation
        .build()
        .map_err(|e| malformed(&files.client_ca, e))
}

fn server_config(
    files: &TrustFiles,
    clock: &Clock,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<ReadCertificate>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TrustError> {
    let versions: &[&rustls::SupportedProtocolVersion] =
        if files.tls12 { &[&rustls::version::TLS13, &rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let chain = chain.into_iter().map(|c| c.der).collect();
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(TlsTime(clock.clone())))
        .with_protocol_versions(versions)
        .map_err(|e| malformed(&files.certificate, e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| malformed(&files.key, format!("does not fit the certificate: {e}")))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session is not asked for its certificate again (RFC 8446, 2.2), so there are none.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// rustls asks us for the time, not the operating system.
struct TlsTime(Clock);

impl TimeProvider for TlsTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now_ms())))
    }
}

impl fmt::Debug for TlsTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTime")
    }
}

/// A certificate with the two things we ask of it.
pub(crate) struct ReadCertificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) subject: x509_cert::name::Name,
    pub(crate) not_after_s: u64,
    /// Its public key, as it stands in it.
    key: Vec<u8>,
}

/// A revocation list with what decides its use.
pub(crate) struct ReadCrl {
    pub(crate) der: CertificateRevocationListDer<'static>,
    issuer: x509_cert::name::Name,
    this_update_s: u64,
    pub(crate) next_update_s: u64,
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, TrustError> {
    std::fs::read(path).map_err(|source| TrustError::Unreadable { path: path.to_owned(), source })
}

/// All certificates of a PEM file; at least one.
pub(crate) fn parse_certificates(path: &Path, bytes: &[u8]) -> Result<Vec<ReadCertificate>, TrustError> {
    let mut found = vec![];
    for der in CertificateDer::pem_slice_iter(bytes) {
        let der = der.map_err(|e| malformed(path, e))?;
        // Serial numbers as CAs write them, not as RFC 5280 wants them.
        let parsed = CertificateInner::<Raw>::from_der(&der).map_err(|e| malformed(path, e))?;
        let tbs = parsed.tbs_certificate();
        let not_after_s = tbs.validity().not_after.to_unix_duration().as_secs();
        let key = tbs.subject_public_key_info().to_der().map_err(|e| malformed(path, e))?;
        found.push(ReadCertificate { subject: tbs.subject().clone(), not_after_s, key, der });
    }
    if found.is_empty() { Err(malformed(path, "holds no certificate in PEM")) } else { Ok(found) }
}

/// All revocation lists of a PEM file, or the one of a DER file.
pub(crate) fn parse_crls(path: &Path, bytes: &[u8]) -> Result<Vec<ReadCrl>, TrustError> {
    let ders = if bytes.starts_with(&[0x30]) {
        vec![CertificateRevocationListDer::from(bytes.to_vec())]
    } else {
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
        found.map_err(|e| malformed(path, e))?
    };
    let lists: Result<Vec<_>, _> = ders.into_iter().map(|der| parse_crl(path, der)).collect();
    lists.and_then(|l| if l.is_empty() { Err(malformed(path, "holds no revocation list")) } else { Ok(l) })
}

fn parse_crl(path: &Path, der: CertificateRevocationListDer<'static>) -> Result<ReadCrl, TrustError> {
    let tbs = CertificateList::<Raw>::from_der(&der).map_err(|e| malformed(path, e))?.tbs_cert_list;
    // RFC 5280, 5.1.2.5: conforming lists always say when the next one comes.
    let next_update = tbs.next_update.ok_or_else(|| malformed(path, "the revocation list has no nextUpdate"))?;
    Ok(ReadCrl {
        issuer: tbs.issuer,
        this_update_s: tbs.this_update.to_unix_duration().as_secs(),
        next_update_s: next_update.to_unix_duration().as_secs(),
        der,
    })
}

/// Demands a list of each authority and that no two keys go by one name (a list is found by its issuer's name alone), puts the newest first (the verifier takes the first that fits) and returns the
/// earliest `nextUpdate`.
pub(crate) fn cover(path: &Path, authorities: &[ReadCertificate], lists: &mut [ReadCrl]) -> Result<u64, TrustError> {
    lists.sort_by_key(|l| std::cmp::Reverse(l.this_update_s));
    for authority in authorities {
        if !lists.iter().any(|l| l.issuer == authority.subject) {
            let what = format!("no revocation list of {} is configured", authority.subject);
            return Err(malformed(path, what));
        }
        if authorities.iter().any(|other| other.subject == authority.subject && other.key != authority.key) {
            let what = format!(
                "two authorities with different keys are named {}: a new one needs a name of its own",
                authority.subject
            );
            return Err(malformed(path, what));
        }
    }
    Ok(lists.iter().map(|l| l.next_update_s).min().unwrap_or(0))
}

fn malformed(path: &Path, what: impl ToString) -> TrustError {
    TrustError::Malformed { path: path.to_owned(), what: what.to_string() }
}
