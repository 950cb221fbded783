//! Does this configuration make sense as a whole, with the files it names, now?
//!
//! Everything is looked at and every fault reported, because an operator with five faults wants one list, not five runs.
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use tracing_subscriber::EnvFilter;

use super::{CHECK_PATH, Config, ConfigFault, fault};
use crate::clock::Clock;
use crate::edge::seal_system;
use crate::edge::trust::{TrustError, cover, parse_certificates, parse_crls, read_file};

/// What the configuration is to be used for next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// `wuku init`: keys, data folder, fence and trust file are still to be made.
    Init,
    /// `wuku serve` and `wuku check`: everything must be there.
    Serve,
}

type Faults = Vec<ConfigFault>;

const PRIVATE: (&str, &str) = ("chmod 600 该文件", "chmod 600 the file");
const RENEW: (&str, &str) = (
    "换成新签发的文件；若本未到期，请校正本机时钟",
    "replace it with a newly issued one; if it is not due yet, set this machine's clock",
);
const FENCE: (&str, &str) = (
    "挂上原来的磁盘；确已丢失的，运行 wuku recover --new-log --fence-lost；新建枢纽先运行 wuku init",
    "mount the disk it was on; if it is lost, run wuku recover --new-log --fence-lost; for a new hub run wuku init first",
);
const INIT: (&str, &str) = ("先运行 wuku init，或改正路径", "run wuku init first, or correct the path");
const LOWER: (&str, &str) = ("取说明中允许的值", "use a value its comment allows");

impl Config {
    /// Checks every field against every other and against the files named. Opens no port and writes nothing.
    ///
    /// # Errors
    /// All faults found, each with field, what is wrong and what to do, in Chinese and English.
    pub fn check(&self, clock: &Clock, stage: Stage) -> Result<(), Vec<ConfigFault>> {
        let now_s = clock.now_ms() / 1_000;
        let mut faults = vec![];
        self.check_names(&mut faults);
        self.check_addresses(&mut faults);
        self.check_places(stage, &mut faults);
        self.check_log_key(stage, &mut faults);
        self.check_tls(now_s, &mut faults);
        self.check_issuers(now_s, &mut faults);
        self.check_seals(&mut faults);
        self.check_papers(&mut faults);
        self.check_numbers(&mut faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn check_names(&self, faults: &mut Faults) {
        let name = &self.hub.name;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        if !(1..=63).contains(&name.len()) || !name.bytes().all(allowed) {
            let remedy = ("用 1 至 63 个小写字母、数字、点、连字符", "use 1 to 63 of a-z, 0-9, dot and hyphen");
            faults.push(fault("hub.name", "枢纽名称不合规则", "the hub's name breaks its rule", remedy));
        }
        for (field, number) in [("hub.node", self.hub.node), ("hub.origin_number", self.hub.origin_number)] {
            if number == 0 {
                faults.push(fault(field, "编号从 1 开始", "numbers start at 1", LOWER));
            }
        }
        if let Err(e) = EnvFilter::try_new(&self.logging.filter) {
            let en = format!("the filter does not parse: {e}");
            faults.push(fault("logging.filter", "日志过滤式有误", en, ("例如 info", "for example info")));
        }
    }

    fn check_addresses(&self, faults: &mut Faults) {
        let mut parse = |field, text: &str| match SocketAddr::from_str(text) {
            Ok(address) => Some(address),
            Err(_) => {
                let remedy = ("写成 127.0.0.1:7443 的形式", "write it like 127.0.0.1:7443");
                let (zh, en) = (format!("{text} 不是地址:端口"), format!("{text} is not address:port"));
                faults.push(fault(field, zh, en, remedy));
                None
            }
        };
        let address = parse("listen.address", &self.listen.address);
        let admin = parse("listen.admin_address", &self.listen.admin_address);
        if let (Some(a), Some(b)) = (address, admin)
            && a.port() == b.port()
            && a.port() != 0
            && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        {
            let remedy = ("换一个端口", "use another port");
            faults.push(fault("listen.admin_address", "与 listen.address 冲突", "clashes with listen.address", remedy));
        }
    }

    /// Passphrase, token and key are tried before anything starts.
    fn check_log_key(&self, stage: Stage, faults: &mut Faults) {
        let keys = &self.keys;
        let remedy = ("按所述更正后再运行 wuku check", "put right what it says, then run `wuku check` again");
        if let Some(token) = &keys.pkcs11 {
            let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if token.key_label.is_empty() || token.key_label.len() > 32 || !token.key_label.chars().all(sane) {
                let (zh, en) = ("密钥标签不合规则", "the label breaks its rule");
                let remedy = ("用 1 至 32 个字母、数字、点、下划线、连字符", "use 1 to 32 letters, digits, . _ -");
                return faults.push(fault("keys.pkcs11.key_label", zh, en, remedy));
            }
            if keys.log_key_passphrase_file.is_some() {
                let (zh, en) = ("与 keys.pkcs11 不能并用", "cannot be used together with keys.pkcs11");
                return faults.push(fault("keys.log_key_passphrase_file", zh, en, ("二者取一", "choose one")));
            }
        }
        let path = (stage == Stage::Serve).then_some(keys.log_key_file.as_path());
        if path.is_some_and(|path| path.metadata().is_err()) {
            return; // said already
        }
        if let Err(wrong) = crate::device::look(keys, path) {
            let field = if keys.pkcs11.is_some() { "keys.pkcs11" } else { "keys.log_key_file" };
            faults.push(fault(field, wrong.to_string(), wrong.to_string(), remedy));
        }
    }

    fn check_places(&self, stage: Stage, faults: &mut Faults) {
        let data = absolute(&self.data.path);
        let must_be_outside = [
            ("keys.kek_file", &self.keys.kek_file, "密钥加密密钥", "the key-encryption key"),
            ("keys.log_key_file", &self.keys.log_key_file, "日志签名私钥", "the log's private key"),
            ("fence.path", &self.fence.path, "围栏", "the fence"),
            ("listen.tls_key_file", &self.listen.tls_key_file, "TLS 私钥", "the TLS private key"),
        ];
        for (field, path, zh, en) in must_be_outside {
            if absolute(path).starts_with(&data) {
                let remedy = ("放到数据目录之外", "put it outside the data folder");
                faults.push(fault(
                    field,
                    format!("{zh}在数据目录里"),
                    format!("{en} is inside the data folder"),
                    remedy,
                ));
            }
        }
        let secrets = [("keys.kek_file", &self.keys.kek_file), ("keys.log_key_file", &self.keys.log_key_file)];
        for (field, path) in secrets {
            match path.metadata() {
                Ok(_) => check_private(field, path, faults),
                Err(_) if stage == Stage::Init => {}
                Err(e) => faults.push(unreadable(field, path, &e, INIT)),
            }
        }
        if stage == Stage::Serve {
            if !self.data.path.is_dir() {
                let shown = self.data.path.display();
                let (zh, en) = (format!("没有数据目录 {shown}"), format!("there is no data folder {shown}"));
                faults.push(fault("data.path", zh, en, INIT));
            }
            for (field, path, remedy) in
                [("fence.path", &self.fence.path, FENCE), ("trust.file", &self.trust.file, INIT)]
            {
                if let Err(e) = path.metadata() {
                    faults.push(unreadable(field, path, &e, remedy));
                }
            }
        }
    }

    fn check_seals(&self, faults: &mut Faults) {
        let Some(seals) = &self.seals else { return };
        let mut wrong = |field: &str, zh: &str, why: String, remedy| {
            faults.push(fault(&format!("seals.{field}"), format!("{zh}：{why}"), why, remedy));
        };
        match seal_system::anchors(seals) {
            Ok(anchors) if anchors.seal_makers.is_empty() => {
                let why = "no seal-maker.pem: every seal would be refused".to_owned();
                wrong(
                    "anchors",
                    "没有制章者信任锚",
                    why,
                    ("放入制章者根证书", "put the seal makers' root certificate there"),
                );
            }
            Ok(_) => {}
            Err(why) => wrong("anchors", "信任锚无法读取", why, CHECK_PATH),
        }
        if let Err(why) = crate::seal::step::Profile::parse(&seals.profile) {
            wrong("profile", "没有这一核验规则", why, LOWER);
        }
        if !(100..=30_000).contains(&seals.sign_ms_max) {
            wrong("sign_ms_max", "超出 100 至 30000", "outside 100 to 30000".into(), LOWER);
        }
        if seals.service.is_some() && seals.software_keys.is_some() {
            let remedy = ("只留一种", "keep one of them");
            wrong("software_keys", "与 seals.service 不能并用", "not together with seals.service".into(), remedy);
        }
        if let Some(service) = &seals.service {
            check_private("seals.service.key_file", &service.key_file, faults);
        }
        if let Err(why) = seal_system::signer(seals) {
            let zh = format!("用印方式无法启用：{why}");
            faults.push(fault("seals", zh, why, CHECK_PATH));
        }
    }

    fn check_tls(&self, now_s: u64, faults: &mut Faults) {
        let listen = &self.listen;
        let chain = certificates("listen.tls_certificate_file", &listen.tls_certificate_file, now_s, faults);
        let key = match std::fs::read(&listen.tls_key_file) {
            Ok(bytes) => {
                check_private("listen.tls_key_file", &listen.tls_key_file, faults);
                PrivateKeyDer::from_pem_slice(&bytes)
                    .map_err(|_| ("不是 PEM 私钥".to_owned(), "holds no private key in PEM".to_owned()))
            }
            Err(e) => Err((format!("读不到：{e}"), format!("cannot be read: {e}"))),
        };
        match (chain, key) {
            (_, Err((zh, en))) => faults.push(fault("listen.tls_key_file", zh, en, CHECK_PATH)),
            (Some(chain), Ok(key)) => {
                if let Err(e) = CertifiedKey::from_der(chain, key, &ring::default_provider()) {
                    let remedy = ("换成与证书配对的私钥", "use the key that belongs to the certificate");
                    let en = format!("does not fit the certificate: {e}");
                    faults.push(fault("listen.tls_key_file", "私钥与证书不配对", en, remedy));
                }
            }
            (None, Ok(_)) => {}
        }
        let fields = ["listen.client_ca_file", "listen.client_crl_files"];
        check_authorities(fields, &listen.client_ca_file, &listen.client_crl_files, now_s, faults);
    }

    fn check_issuers(&self, now_s: u64, faults: &mut Faults) {
        let fields = ["issuers.ca_file", "issuers.crl_files"];
        check_authorities(fields, &self.issuers.ca_file, &self.issuers.crl_files, now_s, faults);
    }

    fn check_papers(&self, faults: &mut Faults) {
        if let Err(why) = self.papers.anchors() {
            let remedy = (
                "每个目录放 signer.pem、seal-maker.pem 等",
                "put signer.pem, seal-maker.pem and the like into each folder",
            );
            faults.push(fault(
                "papers.anchor_folders",
                format!("读不到：{why}"),
                format!("cannot be read: {why}"),
                remedy,
            ));
        }
        if let Err(names) = self.papers.usual_profile() {
            let remedy = ("改为 gbt-2020", "use gbt-2020");
            faults.push(fault("papers.profile", "没有这种核验规则", format!("must be {names}"), remedy));
        }
    }

    fn check_numbers(&self, faults: &mut Faults) {
        let (listen, limits) = (&self.listen, &self.limits);
        let at_least_one = [
            ("listen.connections_max", listen.connections_max as u64),
            ("listen.handshakes_max", listen.handshakes_max as u64),
            ("listen.handshake_ms_max", listen.handshake_ms_max),
            ("listen.reload_check_ms", listen.reload_check_ms),
            ("listen.connection_age_ms_max", listen.connection_age_ms_max),
            ("limits.in_flight_max", limits.in_flight_max as u64),
            ("limits.deadline_ms_max", limits.deadline_ms_max),
            ("limits.import_deadline_ms_max", limits.import_deadline_ms_max),
            ("limits.message_bytes_max", limits.message_bytes_max as u64),
            ("limits.reply_bytes_max", limits.reply_bytes_max as u64),
            ("limits.header_bytes_max", u64::from(limits.header_bytes_max)),
            ("limits.streams_per_connection_max", u64::from(limits.streams_per_connection_max)),
            ("quota.questions_per_day", u64::from(self.quota.questions_per_day)),
            ("store.rocks_cache_mib", self.store.rocks_cache_mib as u64),
            ("store.write_buffer_mib", self.store.write_buffer_mib as u64),
            ("store.wal_mib_max", self.store.wal_mib_max),
            ("store.question_reserve_mib_min", self.store.question_reserve_mib_min),
            ("store.space_check_ms", self.store.space_check_ms),
        ];
        for (field, _) in at_least_one.iter().filter(|(_, n)| *n == 0) {
            faults.push(fault(field, "不能为 0", "must not be 0", LOWER));
        }
        if listen.reload_check_ms > 4_000 {
            let (zh, en) = ("吊销须在 5 秒内生效", "a revocation must take effect within 5 s");
            faults.push(fault("listen.reload_check_ms", zh, en, ("不超过 4000", "at most 4000")));
        }
        let store = &self.store;
        if store.question_reserve_mib_max < store.question_reserve_mib_min {
            let (zh, en) = ("上限小于下限", "is less than question_reserve_mib_min");
            faults.push(fault("store.question_reserve_mib_max", zh, en, LOWER));
        }
        if store.space_check_ms > 10_000 {
            let (zh, en) =
                ("超过 10 秒：磁盘可能在此期间写满", "is more than 10 s: the disk may be full before it is looked at");
            faults.push(fault("store.space_check_ms", zh, en, ("不超过 10000", "at most 10000")));
        }
        if store.wal_mib_max < store.write_buffer_mib as u64 {
            let (zh, en) = ("小于 write_buffer_mib", "is less than write_buffer_mib");
            faults.push(fault("store.wal_mib_max", zh, en, LOWER));
        }
        if limits.deadline_reserve_ms.saturating_mul(2) > limits.deadline_ms_max {
            let (zh, en) = ("预留超过时限的一半", "takes more than half of the deadline");
            faults.push(fault("limits.deadline_reserve_ms", zh, en, LOWER));
        }
        if limits.deadline_ms_max > 60_000 {
            let (zh, en) = ("超过 60 秒", "is more than 60 s");
            faults.push(fault("limits.deadline_ms_max", zh, en, ("不超过 60000", "at most 60000")));
        }
    }
}

fn check_authorities(fields: [&str; 2], ca: &Path, crls: &[PathBuf], now_s: u64, faults: &mut Faults) {
    let [ca_field, crl_field] = fields;
    let read = read_file(ca).and_then(|bytes| parse_certificates(ca, &bytes));
    let authorities = match read {
        Ok(authorities) => authorities,
        Err(e) => return faults.push(trust_fault(ca_field, &e)),
    };
    if authorities.iter().all(|a| a.not_after_s < now_s) {
        faults.push(fault(ca_field, "发证机构证书已过期", "the authority's certificate has expired", RENEW));
    }
    let mut lists = vec![];
    for path in crls {
        match read_file(path).and_then(|bytes| parse_crls(path, &bytes)) {
            Ok(found) => lists.extend(found),
            Err(e) => return faults.push(trust_fault(crl_field, &e)),
        }
    }
    match cover(ca, &authorities, &mut lists) {
        Err(e) => faults.push(trust_fault(crl_field, &e)),
        Ok(next_update_s) if next_update_s < now_s => {
            faults.push(fault(crl_field, "吊销列表已过期", "a revocation list has expired", RENEW));
        }
        Ok(_) => {}
    }
}

fn certificates(
    field: &str,
    path: &Path,
    now_s: u64,
    faults: &mut Faults,
) -> Option<Vec<rustls::pki_types::CertificateDer<'static>>> {
    match read_file(path).and_then(|bytes| parse_certificates(path, &bytes)) {
        Ok(found) => {
            if found.first().is_some_and(|c| c.not_after_s < now_s) {
                faults.push(fault(field, "证书已过期", "the certificate has expired", RENEW));
            }
            Some(found.into_iter().map(|c| c.der).collect())
        }
        Err(e) => {
            faults.push(trust_fault(field, &e));
            None
        }
    }
}

fn check_private(field: &str, path: &Path, faults: &mut Faults) {
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let (zh, en) = (format!("任何用户都可访问（{mode:03o}）"), format!("every user may touch it ({mode:03o})"));
        faults.push(fault(field, zh, en, PRIVATE));
    }
}

fn trust_fault(field: &str, error: &TrustError) -> ConfigFault {
    fault(field, format!("文件不可用：{error}"), error.to_string(), CHECK_PATH)
}

fn unreadable(field: &str, path: &Path, error: &std::io::Error, remedy: (&str, &str)) -> ConfigFault {
    let shown = path.display();
    fault(field, format!("读不到 {shown}：{error}"), format!("cannot read {shown}: {error}"), remedy)
}

/// The path with links followed as far as it exists, so that a link cannot hide that it lies inside another folder.
fn absolute(path: &Path) -> PathBuf {
    let mut missing = vec![];
    let mut existing = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    loop {
        if let Ok(real) = existing.canonicalize() {
            return missing.iter().rev().fold(real, |p: PathBuf, part| p.join(part));
        }
        match (existing.file_name().map(ToOwned::to_owned), existing.parent().map(Path::to_owned)) {
            (Some(name), Some(parent)) => {
                missing.push(name);
                existing = parent;
            }
            _ => return existing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev_certs::{Authority, DevCerts, DevDepartment, Validity};
    use crate::cli::dev_seals::{DevSeal, DevSeals};
    use std::fs;

    /// A folder with everything a hub needs, and its configuration.
    fn sound() -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let at = |p: &str| folder.path().join(p);
        let department = DevDepartment { uscc: "11331099MB0000000X".into(), name: "演示局".into() };
        let certs = DevCerts::make(&at("certs"), "hub.test", &[("a", "b")], &[department], &Clock::system()).unwrap();
        fs::create_dir(at("data")).unwrap();
        for file in ["kek", "log.key", "fence", "trust.note"] {
            fs::write(at(file), "x").unwrap();
            fs::set_permissions(at(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let mut config = Config::parse("[hub]\nname = \"hub.test\"").unwrap();
        config.data.path = at("data");
        config.keys.kek_file = at("kek");
        config.keys.log_key_file = at("log.key");
        config.fence.path = at("fence");
        config.trust.file = at("trust.note");
        config.listen.tls_certificate_file = certs.server().certificate;
        config.listen.tls_key_file = certs.server().key;
        config.listen.client_ca_file = certs.authority(Authority::Client).certificate;
        config.listen.client_crl_files = vec![certs.crl(Authority::Client)];
        config.issuers.ca_file = certs.authority(Authority::Issuer).certificate;
        config.issuers.crl_files = vec![certs.crl(Authority::Issuer)];
        (folder, config)
    }

    fn faulty(config: &Config) -> Vec<String> {
        let faults = config.check(&Clock::system(), Stage::Serve).err().unwrap_or_default();
        for f in &faults {
            assert!(!f.wrong.zh.is_ascii() && !f.remedy.zh.is_ascii(), "{f}");
            assert!(!f.wrong.en.is_empty() && !f.remedy.en.is_empty(), "{f}");
        }
        faults.into_iter().map(|f| f.field).collect()
    }

    fn check(field: &str, spoil: impl FnOnce(&mut Config, &Path)) {
        let (folder, mut config) = sound();
        spoil(&mut config, folder.path());
        assert_eq!(faulty(&config), [field]);
    }

    #[test]
    fn a_sound_configuration_has_no_fault() {
        let (_folder, config) = sound();
        assert_eq!(faulty(&config), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_with_the_seals_section_is_named() {
        let with = |spoil: fn(&mut super::super::Seals)| {
            let (folder, mut config) = sound();
            let wanted = DevSeal { id: "33109900000001".into(), uscc: "11331099MB0000000X".into(), name: "局".into() };
            let seals = DevSeals::make(&folder.path().join("seals"), &[wanted], &Clock::system()).unwrap();
            let (anchors, software_keys) = (seals.anchors(), Some(seals.signers()));
            let mut section = super::super::Seals { anchors, software_keys, ..Default::default() };
            spoil(&mut section);
            config.seals = Some(section);
            faulty(&config)
        };
        assert_eq!(with(|_| {}), Vec::<String>::new());
        assert_eq!(with(|seals| seals.anchors = "/nonexistent".into()), ["seals.anchors"]);
        assert_eq!(with(|seals| seals.profile = "strict".into()), ["seals.profile"]);
        assert_eq!(with(|seals| seals.sign_ms_max = 1), ["seals.sign_ms_max"]);
        assert_eq!(with(|seals| seals.software_keys = Some("/nonexistent".into())), ["seals"]);
        assert_eq!(with(|seals| seals.service = Some(Default::default())), ["seals.software_keys", "seals"]);
    }

    #[test]
    fn before_init_only_what_init_does_not_make_must_be_there() {
        let (folder, mut config) = sound();
        for missing in ["kek", "log.key", "fence", "trust.note"] {
            fs::remove_file(folder.path().join(missing)).unwrap();
        }
        fs::remove_dir(&config.data.path).unwrap();
        assert_eq!(config.check(&Clock::system(), Stage::Init), Ok(()));
        assert_eq!(faulty(&config), ["keys.kek_file", "keys.log_key_file", "data.path", "fence.path", "trust.file"]);
        config.keys.kek_file = config.data.path.join("kek");
        assert!(config.check(&Clock::system(), Stage::Init).is_err(), "where the key goes matters before it is made");
    }

    #[test]
    fn each_fault_is_found_and_names_its_field() {
        check("hub.name", |c, _| c.hub.name = "Hub Test".into());
        check("hub.origin_number", |c, _| c.hub.origin_number = 0);
        check("listen.address", |c, _| c.listen.address = "everywhere".into());
        check("listen.admin_address", |c, _| c.listen.admin_address = "127.0.0.1:7443".into());
        check("listen.reload_check_ms", |c, _| c.listen.reload_check_ms = 60_000);
        check("limits.in_flight_max", |c, _| c.limits.in_flight_max = 0);
        check("limits.deadline_ms_max", |c, _| c.limits.deadline_ms_max = 61_000);
        check("limits.deadline_reserve_ms", |c, _| c.limits.deadline_reserve_ms = 50_000);
        check("store.question_reserve_mib_max", |c, _| c.store.question_reserve_mib_max = 255);
        check("store.space_check_ms", |c, _| c.store.space_check_ms = 60_000);
        check("store.wal_mib_max", |c, _| c.store.wal_mib_max = 8);
        check("logging.filter", |c, _| c.logging.filter = "info,=,=".into());
        check("data.path", |c, at| c.data.path = at.join("elsewhere"));
        check("trust.file", |c, at| c.trust.file = at.join("elsewhere"));
    }

    #[test]
    fn a_key_or_fence_inside_the_data_folder_is_found_behind_links_and_dots_too() {
        let inside = |c: &Config, name: &str| {
            let path = c.data.path.join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        check("keys.kek_file", |c, _| c.keys.kek_file = inside(c, "kek"));
        check("fence.path", |c, _| c.fence.path = inside(c, "fence"));
        check("keys.kek_file", |c, at| {
            inside(c, "kek");
            c.keys.kek_file = at.join("certs/../data/kek");
        });
        check("keys.kek_file", |c, at| {
            inside(c, "kek");
            std::os::unix::fs::symlink(&c.data.path, at.join("link")).unwrap();
            c.keys.kek_file = at.join("link/kek");
        });
    }

    #[test]
    fn a_secret_every_user_may_read_is_a_fault() {
        let open = |p: &Path| fs::set_permissions(p, fs::Permissions::from_mode(0o644)).unwrap();
        check("keys.kek_file", |c, _| open(&c.keys.kek_file));
        check("keys.log_key_file", |c, _| open(&c.keys.log_key_file));
        check("listen.tls_key_file", |c, _| open(&c.listen.tls_key_file));
    }

    #[test]
    fn certificates_must_parse_be_in_date_and_fit_their_keys() {
        check("listen.tls_key_file", |c, at| c.listen.tls_key_file = at.join("certs/client-ca.key"));
        check("listen.tls_certificate_file", |c, at| c.listen.tls_certificate_file = at.join("kek"));
        check("listen.tls_certificate_file", |_, at| {
            let past = Validity { from_s: 1_000, to_s: 2_000 };
            DevCerts::open(&at.join("certs"), &Clock::system()).make_server("hub.test", past).unwrap();
        });
        check("listen.client_ca_file", |c, at| c.listen.client_ca_file = at.join("certs/client-ca.crl"));
        check("listen.client_crl_files", |c, _| c.listen.client_crl_files.clear());
        check("listen.client_crl_files", |c, at| c.listen.client_crl_files = vec![at.join("certs/issuer-ca.crl")]);
        check("issuers.ca_file", |c, at| c.issuers.ca_file = at.join("nothing"));
        check("papers.anchor_folders", |c, at| c.papers.anchor_folders = vec![at.join("nothing")]);
        check("papers.profile", |c, _| c.papers.profile = "any".into());
        let (_folder, config) = sound();
        let later = Clock::from_fn(|| Clock::system().now_ms() + 31 * 86_400_000);
        let fields: Vec<_> = config.check(&later, Stage::Serve).unwrap_err().into_iter().map(|f| f.field).collect();
        let all = [
            "listen.tls_certificate_file",
            "listen.client_ca_file",
            "listen.client_crl_files",
            "issuers.ca_file",
            "issuers.crl_files",
        ];
        assert_eq!(fields, all);
    }
}
