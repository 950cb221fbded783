//! A hub put together from its configuration: store, vault, log, policy, issuers. Both `init` and `serve` begin here.
use super::operator::{next_to, read_log_key};
use super::{CliError, CliResult};
use crate::clock::Clock;
use crate::config::{Config, Seals};
use crate::edge::seal_system;
use crate::edge::trust::{parse_certificates, parse_crls, read_file};
use crate::exchange::Exchange;
use crate::library::licence::{IssuerTrust, Issuers};
use crate::log::{Origin, SuiteName};
use crate::policy::Policy;
use crate::receipt::recorder::Recorder;
use crate::receipt::start::open_log;
use crate::receipt::trust::{Root, Trust, TrustedKey, known_keys};
use crate::seal::office::Office;
use crate::seal::step::Profile;
use crate::store::rocks::{Rocks, RocksSettings};
use crate::store::space::{Space, SpaceSettings};
use crate::store::vault::{Kek, Vault, VaultError};
use crate::store::{Limited, Store};
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use x509_cert::der::{Decode, Encode};

/// The store of a configured data folder, opened.
///
/// # Errors
/// What RocksDB says: absent, in use, too new, damaged.
pub fn open_store(config: &Config, clock: &Clock) -> CliResult<Arc<dyn Store>> {
    Ok(open_rocks(config, clock)?)
}

/// The same with its engine at hand.
///
/// # Errors
/// As [`open_store`].
pub fn open_rocks(config: &Config, clock: &Clock) -> CliResult<Arc<Limited<Rocks>>> {
    let unfinished = super::init::mark(config);
    if unfinished.exists() {
        let shown = unfinished.display();
        return Err(CliError(format!(
            "`wuku init` was interrupted ({shown}): run it again, it says what to remove (wuku init 曾中断：请重新运行，按提示删除)"
        )));
    }
    Ok(Arc::new(Rocks::open(&config.data.path, &settings(config), clock.clone())?))
}

/// The engine's settings as configured.
#[must_use]
pub fn settings(config: &Config) -> RocksSettings {
    RocksSettings {
        block_cache_bytes: config.store.rocks_cache_mib << 20,
        write_buffer_bytes: config.store.write_buffer_mib << 20,
        wal_bytes_max: config.store.wal_mib_max << 20,
    }
}

/// Puts the hub together over an open store and starts its sequencer.
///
/// # Errors
/// A wrong key, a log that does not continue what the fence has seen, unreadable issuer files: each in words.
pub async fn open(
    config: &Config,
    store: Arc<dyn Store>,
    clock: &Clock,
    metrics: &Metrics,
) -> CliResult<Arc<Exchange>> {
    let vault = Arc::new(open_vault(config, store.as_ref()).await?);
    let key = read_log_key(&config.keys, &config.keys.log_key_file)?;
    tracing::info!(id = key.verifier().id_hex(), keeping = crate::device::keeping(&key), "the log key");
    of_one_suite(key.verifier().suite(), vault.suite())?;
    let origin = Origin::parse(&config.origin()).ok_or_else(|| CliError("hub.name makes no origin".into()))?;
    let trust = read_file(&config.trust.file).ok().and_then(|note| Trust::open(&note, Root::ByHand).ok());
    let log_keys = known_keys(key.verifier(), trust.as_ref());
    let issuers = Issuers::from_pointee(issuer_trust(config, &log_keys)?);
    let ledger = open_log(store.clone(), &config.fence.path, key, origin, clock.clone(), metrics.clone()).await?;
    let margin = store.clone();
    let reserve = SpaceSettings {
        reserve_bytes_min: config.store.question_reserve_mib_min << 20,
        reserve_bytes_max: config.store.question_reserve_mib_max << 20,
    };
    let ledger = ledger.within(Space::of(&config.data.path, move || margin.headroom_bytes(), reserve));
    let node = config.hub.node.to_string();
    let recorder =
        Recorder::new(&config.hub.name, &node, vault.clone(), ledger, clock.clone()).counting(metrics.clone());
    let seals = config.seals.as_ref().map(seal_office).transpose()?;
    Ok(Arc::new(Exchange {
        hub: config.hub.name.clone(),
        store,
        vault,
        policy: Policy::new(config.quota.questions_per_day),
        issuers,
        recorder,
        log_keys: ArcSwap::from_pointee(log_keys),
        seals,
        clock: clock.clone(),
    }))
}

/// A hub has one suite, chosen by `wuku init`; the store says which.
fn of_one_suite(key: SuiteName, store: SuiteName) -> CliResult {
    if key == store {
        return Ok(());
    }
    Err(CliError(format!(
        "日志密钥属 {key} 套件，数据目录属 {store} 套件：请核对 keys.log_key_file 与 data.path。\n\
         The log key is of suite {key}, the data folder of suite {store}: compare keys.log_key_file and data.path."
    )))
}

/// The seals desk as configured.
fn seal_office(seals: &Seals) -> CliResult<Arc<Office>> {
    let profile = Profile::parse(&seals.profile).map_err(CliError)?;
    let signer = seal_system::signer(seals).map_err(CliError)?;
    if seals.software_keys.is_some() {
        tracing::warn!(
            "seals are applied with software keys, not a certified device: for demos only (软件密钥，仅供演示)"
        );
    }
    let anchors = seal_system::anchors(seals).map_err(CliError)?;
    Ok(Arc::new(Office::new(anchors, profile, signer, Duration::from_millis(seals.sign_ms_max))))
}

/// The keys of a hub, opened by the configured key-encryption key; by the next one where a rotation was cut after the keys were
/// wrapped anew and before its file was put in place.
///
/// # Errors
/// A key file that cannot be read, or is of another hub.
pub async fn open_vault(config: &Config, store: &dyn Store) -> CliResult<Vault> {
    let (path, data) = (&config.keys.kek_file, &config.data.path);
    let next = next_to(path);
    match Vault::open(&Kek::load(path, data)?, store).await {
        Err(VaultError::WrongKek) if next.exists() => {
            let vault = Vault::open(&Kek::load(&next, data)?, store).await?;
            tracing::warn!("the key-encryption key is {}: run `wuku rotate kek` to finish", next.display());
            Ok(vault)
        }
        opened => Ok(opened?),
    }
}

/// The CAs listed for issuers, their revocation lists, and the public keys of everything the hub itself signs with.
///
/// # Errors
/// A file that cannot be read.
pub fn issuer_trust(config: &Config, log_keys: &[TrustedKey]) -> CliResult<IssuerTrust> {
    let ca = &config.issuers.ca_file;
    let anchors = parse_certificates(ca, &read_file(ca)?)?.into_iter().map(|c| c.der).collect();
    let mut crls = Vec::new();
    for path in &config.issuers.crl_files {
        crls.extend(parse_crls(path, &read_file(path)?)?.into_iter().map(|crl| crl.der));
    }
    let mut hub_keys: std::collections::HashSet<[u8; 32]> =
        log_keys.iter().map(|trusted| Sha256::digest(trusted.key.public()).into()).collect();
    let server = &config.listen.tls_certificate_file;
    for certificate in parse_certificates(server, &read_file(server)?)?.into_iter().take(1) {
        let parsed = x509_cert::Certificate::from_der(certificate.der.as_ref())?;
        hub_keys.insert(Sha256::digest(parsed.tbs_certificate().subject_public_key_info().to_der()?).into());
    }
    IssuerTrust::new(anchors, crls, hub_keys).map_err(|why| CliError(format!("{}: {why}", ca.display())))
}
