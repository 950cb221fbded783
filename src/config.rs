//! One TOML file, read and cross-checked completely before anything starts.
//!
//! A tree of plain structs: what a field means stands beside it, its unit is in its name, an unknown field is an error, and
//! a secret is always the *path* of a file, never its content. Relative paths are taken from the folder of the configuration
//! file, so that a folder with a hub in it can be moved as a whole. `deploy/config/wuku.toml` shows every field.
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod check;
pub use check::Stage;

/// Everything an operator can set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this hub is.
    pub hub: Hub,
    /// Where the records and the log live.
    #[serde(default)]
    pub data: Data,
    /// The keys the hub itself uses.
    #[serde(default)]
    pub keys: Keys,
    /// The second memory of the newest durable log head.
    #[serde(default)]
    pub fence: Fence,
    /// Where callers connect and how they prove who they are.
    #[serde(default)]
    pub listen: Listen,
    /// Which certificates may sign licences, orders and manifests.
    #[serde(default)]
    pub issuers: Issuers,
    /// The published list of log keys.
    #[serde(default)]
    pub trust: Trust,
    /// Electronic seals; absent: the hub holds and applies none.
    #[serde(default)]
    pub seals: Option<Seals>,
    /// How papers that people bring are judged.
    #[serde(default)]
    pub papers: Papers,
    /// How much the hub takes on at once.
    #[serde(default)]
    pub limits: Limits,
    /// What a grant gets that names no quota of its own.
    #[serde(default)]
    pub quota: Quota,
    /// The embedded engine.
    #[serde(default)]
    pub store: Store,
    /// What is written to standard error.
    #[serde(default)]
    pub logging: Logging,
}

/// Who this hub is. The only section without defaults: a hub that does not know its name must not answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// The hub's name, `[a-z0-9.-]{1,63}`: stands in every receipt, in client certificates and in the log's origin.
    pub name: String,
    /// Which of several nodes of one hub this is; stands in every statement. From 1.
    #[serde(default = "one")]
    pub node: u32,
    /// n of the log origin `<hub>/wuku/<n>`. From 1, one more for each new log after a restore that could not continue.
    #[serde(default = "one")]
    pub origin_number: u32,
}

/// Where the records and the log live.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The data folder. Made by `wuku init` and by nothing else, so that a typing error never becomes an empty hub.
    pub path: PathBuf,
}

/// The keys the hub itself uses, as paths.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The key-encryption key that wraps every data key. Never inside the data folder: a stolen disk must not open itself.
    pub kek_file: PathBuf,
    /// The private key that signs checkpoints of the log; or where a token keeps it.
    pub log_key_file: PathBuf,
    /// With it, log keys are made and read under the passphrase in this file (its first line; a systemd credential will do).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_key_passphrase_file: Option<PathBuf>,
    /// With it, log keys are made and used in this token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<Pkcs11>,
}

/// A token behind PKCS#11.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The vendor's driver, a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token_label: String,
    /// The user's PIN, on the file's first line.
    pub pin_file: PathBuf,
    /// What the labels of log keys begin with: letters, digits, `.`, `_`, `-`.
    pub key_label: String,
    /// The mechanism that signs a whole message; absent: CKM_EDDSA, for SM2 it must be set (SM2 with SM3, as the vendor numbers it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_mechanism: Option<u64>,
    /// The mechanism that makes a key pair; absent: CKM_EC_EDWARDS_KEY_PAIR_GEN, for SM2 it must be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate_mechanism: Option<u64>,
}

/// The second memory of the newest durable log head.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fence {
    /// The fence file, on another path (better: another disk) than the data, so that a restored data folder is noticed.
    pub path: PathBuf,
}

/// Where callers connect and how they prove who they are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port for gRPC over mutual TLS.
    pub address: String,
    /// Address and port for metrics and health, plain HTTP: keep it on a loopback or management network.
    pub admin_address: String,
    /// The server's certificate chain, PEM, its own certificate first.
    pub tls_certificate_file: PathBuf,
    /// The server's private key, PEM; readable by the hub's user only.
    pub tls_key_file: PathBuf,
    /// The authorities whose client certificates are accepted, PEM.
    pub client_ca_file: PathBuf,
    /// Revocation lists of those authorities, PEM or DER; at least one for each of them. An expired list lets nobody in.
    pub client_crl_files: Vec<PathBuf>,
    /// Also accept TLS 1.2, for clients that cannot do 1.3.
    pub tls12: bool,
    /// Connections open at once; further ones are closed on arrival.
    pub connections_max: usize,
    /// Handshakes under way at once; further connections are closed on arrival.
    pub handshakes_max: usize,
    /// Milliseconds a client has to finish its handshake.
    pub handshake_ms_max: u64,
    /// Milliseconds between two looks at the certificate, key, authority and revocation files.
    pub reload_check_ms: u64,
    /// Milliseconds after which a connection is asked to reconnect, so that load spreads again over several nodes.
    pub connection_age_ms_max: u64,
    /// Milliseconds that open calls get to finish when the hub stops.
    pub drain_ms_max: u64,
}

/// Which certificates may sign licences, orders and manifests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Issuers {
    /// The authorities whose certificates departments sign with, PEM. Not the authorities for TLS.
    pub ca_file: PathBuf,
    /// Revocation lists of those authorities, PEM or DER.
    pub crl_files: Vec<PathBuf>,
}

/// The published list of log keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// The signed trust file that is handed to everybody who asks.
    pub file: PathBuf,
}

/// Electronic seals: whom to believe, and where they are applied.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seals {
    /// A folder of anchors: `seal-maker.pem` (required), `signer.pem`, `time-stamp.pem`, `intermediate.pem`, `*.crl`. Looked at again
    /// while the hub runs.
    pub anchors: PathBuf,
    /// The rules seals are judged by: `strict-2025`, `gbt-2020`, `lenient-history`.
    pub profile: String,
    /// Milliseconds one signature may take.
    pub sign_ms_max: u64,
    /// A folder of software keys, `<seal id>.pem` and `.key`. Not a certified device: for demos only, and not together with `service`.
    pub software_keys: Option<PathBuf>,
    /// The city's seal system.
    pub service: Option<SealService>,
}

/// The city's seal system, as `proto/wuku/sealsystem/v1` has it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SealService {
    /// `https://host:port`; the host must stand in its certificate.
    pub endpoint: String,
    /// The authority of its certificate, PEM.
    pub ca_file: PathBuf,
    /// The certificate the hub shows it, PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM; readable by the hub's user only.
    pub key_file: PathBuf,
}

/// How papers that people bring are judged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Papers {
    /// Folders of certificates to believe, each with any of `seal-maker.pem`, `signer.pem`, `time-stamp.pem`, `intermediate.pem`, `*.crl`.
    /// None: no paper is more than `valid-but-not-anchored`.
    pub anchor_folders: Vec<PathBuf>,
    /// `strict-2025`, `gbt-2020` or `lenient-history`, where a question names none.
    pub profile: String,
}

impl Papers {
    /// Reads the anchors.
    ///
    /// # Errors
    /// The first thing that cannot be read.
    pub fn anchors(&self) -> Result<crate::seal::chain::Anchors, String> {
        let named: Vec<String> = self.anchor_folders.iter().map(|folder| folder.display().to_string()).collect();
        crate::paper::anchors::read(&named)
    }

    /// The usual profile.
    ///
    /// # Errors
    /// The names there are.
    pub fn usual_profile(&self) -> Result<crate::seal::step::Profile, String> {
        crate::seal::step::Profile::parse(&self.profile)
    }
}

/// How much the hub takes on at once.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Calls in progress over all connections; further ones are told to come back.
    pub in_flight_max: usize,
    /// Milliseconds a call may take, whatever the caller asks for.
    pub deadline_ms_max: u64,
    /// Milliseconds kept back from each deadline, to say properly why it was missed.
    pub deadline_reserve_ms: u64,
    /// Milliseconds a streamed import may take.
    pub import_deadline_ms_max: u64,
    /// Milliseconds after which a caller refused for overload may come back.
    pub overload_retry_ms: u64,
    /// Bytes of one message to the hub.
    pub message_bytes_max: usize,
    /// Bytes of one message from the hub.
    pub reply_bytes_max: usize,
    /// Bytes of all headers of a call.
    pub header_bytes_max: u32,
    /// Calls in progress on one connection.
    pub streams_per_connection_max: u32,
}

/// What a grant gets that names no quota of its own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Questions a day (Asia/Shanghai).
    pub questions_per_day: u32,
}

/// The embedded engine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// MiB of RocksDB's block cache.
    pub rocks_cache_mib: usize,
    /// MiB of rows held in memory before they become a table file; up to three times this.
    pub write_buffer_mib: usize,
    /// MiB of write-ahead log, which a start must replay.
    pub wal_mib_max: u64,
    /// MiB of free disk that only questions may use: not less than this, whatever their rate.
    pub question_reserve_mib_min: u64,
    /// And not more than this. In between it is an hour of questions at the present rate.
    pub question_reserve_mib_max: u64,
    /// Milliseconds between two looks at the free space.
    pub space_check_ms: u64,
}

/// What is written to standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// `json`, one object a line for machines, or `text` for people.
    pub format: LogFormat,
    /// Which lines: a level, or directives such as `info,wuku::edge=debug`.
    pub filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

const fn one() -> u32 {
    1
}

impl Default for Data {
    fn default() -> Self {
        Self { path: "/var/lib/wuku/data".into() }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            kek_file: "/etc/wuku/keys/kek".into(),
            log_key_file: "/etc/wuku/keys/log.key".into(),
            log_key_passphrase_file: None,
            pkcs11: None,
        }
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self { path: "/var/lib/wuku-fence/fence".into() }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: "0.0.0.0:7443".into(),
            admin_address: "127.0.0.1:7480".into(),
            tls_certificate_file: "/etc/wuku/tls/server.pem".into(),
            tls_key_file: "/etc/wuku/tls/server.key".into(),
            client_ca_file: "/etc/wuku/tls/client-ca.pem".into(),
            client_crl_files: vec!["/etc/wuku/tls/client-ca.crl".into()],
            tls12: false,
            connections_max: 4_096,
            handshakes_max: 256,
            handshake_ms_max: 5_000,
            reload_check_ms: 2_000,
            connection_age_ms_max: 15 * 60 * 1_000,
            drain_ms_max: 20_000,
        }
    }
}

impl Default for Issuers {
    fn default() -> Self {
        Self {
            ca_file: "/etc/wuku/issuers/issuer-ca.pem".into(),
            crl_files: vec!["/etc/wuku/issuers/issuer-ca.crl".into()],
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self { file: "/etc/wuku/trust.note".into() }
    }
}

impl Default for Seals {
    fn default() -> Self {
        Self {
            anchors: "/etc/wuku/seals".into(),
            profile: "gbt-2020".into(),
            sign_ms_max: 5_000,
            software_keys: None,
            service: None,
        }
    }
}

impl Default for Papers {
    fn default() -> Self {
        Self { anchor_folders: Vec::new(), profile: crate::seal::step::Profile::default().as_str().to_owned() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_max: 1_024,
            deadline_ms_max: 60_000,
            deadline_reserve_ms: 50,
            import_deadline_ms_max: 60 * 60 * 1_000,
            overload_retry_ms: 500,
            message_bytes_max: 4 << 20,
            reply_bytes_max: 4 << 20,
            header_bytes_max: 16 << 10,
            streams_per_connection_max: 200,
        }
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self { questions_per_day: 1_000_000 }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            rocks_cache_mib: 256,
            write_buffer_mib: 32,
            wal_mib_max: 128,
            question_reserve_mib_min: 256,
            question_reserve_mib_max: 8_192,
            space_check_ms: 1_000,
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Json, filter: "info".into() }
    }
}

/// One sentence in the two languages of the house.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    /// 中文.
    pub zh: String,
    /// English.
    pub en: String,
}

/// One thing wrong with a configuration: where, what, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigFault {
    /// The field's path in the file, e.g. `listen.tls_key_file`; empty for the file as a whole.
    pub field: String,
    /// What is wrong.
    pub wrong: Said,
    /// What to do.
    pub remedy: Said,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "wuku.toml" } else { &self.field };
        write!(f, "{field}: {} / {} -> {} / {}", self.wrong.zh, self.wrong.en, self.remedy.zh, self.remedy.en)
    }
}

impl std::error::Error for ConfigFault {}

impl Config {
    /// Reads a file. Paths in it that are relative are taken from the file's own folder.
    ///
    /// # Errors
    /// One [`ConfigFault`] if the file cannot be read, is not TOML, or holds a field that is unknown or of the wrong type.
    /// Whether the values make sense together is [`Config::check`]'s question.
    pub fn load(path: &Path) -> Result<Self, ConfigFault> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let shown = path.display();
            fault("", format!("读不到 {shown}：{e}"), format!("cannot read {shown}: {e}"), CHECK_PATH)
        })?;
        let mut config = Self::parse(&text)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Parses the text of a configuration file; relative paths stay relative.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str) -> Result<Self, ConfigFault> {
        toml::from_str(text).map_err(|e| {
            let remedy = ("对照 deploy/config/wuku.toml 改正", "compare with deploy/config/wuku.toml");
            fault("", format!("配置文件格式有误：{}", e.message()), format!("the file is malformed: {e}"), remedy)
        })
    }

    /// The log's origin, `<hub>/wuku/<n>`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}/wuku/{}", self.hub.name, self.hub.origin_number)
    }

    /// Where to listen for gRPC, if it parses.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.address.parse().ok()
    }

    /// Where to serve metrics and health, if it parses.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.listen.admin_address.parse().ok()
    }

    fn resolve(&mut self, folder: &Path) {
        let single = [
            &mut self.data.path,
            &mut self.keys.kek_file,
            &mut self.keys.log_key_file,
            &mut self.fence.path,
            &mut self.listen.tls_certificate_file,
            &mut self.listen.tls_key_file,
            &mut self.listen.client_ca_file,
            &mut self.issuers.ca_file,
            &mut self.trust.file,
        ];
        let seals = self.seals.iter_mut().flat_map(|seals| {
            let Seals { anchors, software_keys, service, .. } = seals;
            let files = service.iter_mut().flat_map(|s| [&mut s.ca_file, &mut s.certificate_file, &mut s.key_file]);
            std::iter::once(anchors).chain(software_keys).chain(files)
        });
        let lists = self.listen.client_crl_files.iter_mut().chain(&mut self.issuers.crl_files);
        let papers = &mut self.papers.anchor_folders;
        let token = self.keys.pkcs11.iter_mut().flat_map(|token| [&mut token.module, &mut token.pin_file]);
        let secrets = self.keys.log_key_passphrase_file.iter_mut().chain(token);
        for path in single.into_iter().chain(lists).chain(papers).chain(seals).chain(secrets) {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        }
    }
}

const CHECK_PATH: (&str, &str) = ("检查路径和权限", "check the path and its permissions");

fn fault(field: &str, zh: impl Into<String>, en: impl Into<String>, remedy: (&str, &str)) -> ConfigFault {
    ConfigFault {
        field: field.into(),
        wrong: Said { zh: zh.into(), en: en.into() },
        remedy: Said { zh: remedy.0.into(), en: remedy.1.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../deploy/config/wuku.toml");

    fn leaves(value: &toml::Value, path: &str, found: &mut Vec<(String, toml::Value)>) {
        match value.as_table() {
            Some(table) => table.iter().for_each(|(k, v)| leaves(v, &format!("{path}.{k}"), found)),
            None => found.push((path.trim_start_matches('.').to_owned(), value.clone())),
        }
    }

    #[test]
    fn the_shipped_file_shows_every_field_with_its_default() {
        let shipped = Config::parse(SHIPPED).unwrap();
        let shown: toml::Value = toml::from_str(SHIPPED).unwrap();
        let bare = Config::parse("[hub]\nname = \"hub.example\"").unwrap();
        let (mut in_struct, mut in_file) = (vec![], vec![]);
        leaves(&toml::Value::try_from(&bare).unwrap(), "", &mut in_struct);
        leaves(&shown, "", &mut in_file);
        for (field, default) in &in_struct {
            let Some((_, shown)) = in_file.iter().find(|(f, _)| f == field) else { panic!("{field} is not shown") };
            assert!(field == "hub.name" || shown == default, "{field}: shown {shown}, default {default}");
        }
        assert_eq!(in_struct.len(), in_file.len());
        assert_eq!(shipped.origin(), format!("{}/wuku/1", shipped.hub.name));
    }

    #[test]
    fn every_shown_field_has_a_reason_above_it() {
        let lines: Vec<&str> = SHIPPED.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, l)| l.contains(" = ") && !l.starts_with('#')) {
            assert!(lines[number - 1].starts_with("# "), "line {}: {line}", number + 1);
        }
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_it() {
        let fault = Config::parse("[hub]\nname = \"a\"\n[listen]\ntls13 = true").unwrap_err();
        assert!(fault.wrong.en.contains("tls13"), "{fault}");
        assert!(Config::parse("[hub]\n").is_err(), "a hub without a name");
    }

    #[test]
    fn relative_paths_are_taken_from_the_files_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wuku.toml");
        std::fs::write(&file, "[hub]\nname = \"a\"\n[data]\npath = \"data\"").unwrap();
        let config = Config::load(&file).unwrap();
        assert_eq!(config.data.path, folder.path().join("data"));
        assert_eq!(config.fence.path, Fence::default().path);
    }
}
