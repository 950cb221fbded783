//! Certificates to try the hub with: ECDSA P-256 (SM2 on request), valid for days, every name saying DEV.
//!
//! Two authorities, because signing in is not signing: one for clients of the TLS port, one for the departments' licence
//! signatures (and one more for those with SM2 keys). In production both are lawful certification authorities outside the hub; nothing here is used then. Private
//! keys are written with mode 0600, into the output folder and nowhere else.
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_cert::Certificate;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use crate::clock::Clock;
use crate::edge::identity::hex;

mod sm2; // what rcgen cannot make

const DAY_S: u64 = 86_400;
const AUTHORITY_DAYS: u64 = 30;
const CERTIFICATE_DAYS: u64 = 14;
/// A clock a little behind ours shall not find the certificates not yet valid.
const BACKDATE_S: u64 = 3_600;

/// What can go wrong; the text names the file.
#[derive(Debug, thiserror::Error)]
pub enum DevCertsError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are certificates already: a hub may be running on them.
    #[error("{0} holds certificates already; choose an empty folder")]
    NotEmpty(PathBuf),
    /// A certificate or list could not be made or read.
    #[error("{path}: {what}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Arguments of `wuku dev-certs`.
#[derive(clap::Args, Debug)]
pub struct DevCertsArgs {
    /// An empty folder to write to (输出目录)
    #[arg(long)]
    folder: PathBuf,
    /// The hub's name (枢纽名称)
    #[arg(long)]
    hub: String,
    /// A system that connects, as department/system; may be given several times (接入系统)
    #[arg(long = "system", value_name = "DEPARTMENT/SYSTEM")]
    systems: Vec<String>,
    /// A department that signs, as USCC=name; may be given several times (签发部门)
    #[arg(long = "issuer", value_name = "USCC=NAME")]
    issuers: Vec<String>,
    /// An SM2 authority too, and an SM2 certificate for each department that signs (另生成国密 SM2 证书)
    #[arg(long)]
    sm2: bool,
}

/// Runs `wuku dev-certs`.
///
/// # Errors
/// A folder that is in use, an argument of another form, what the system says.
pub fn run(args: &DevCertsArgs, clock: &Clock) -> super::CliResult {
    let form = |text: &str, form: &str| super::CliError(format!("{text:?} is not {form}"));
    let mut systems = Vec::new();
    for text in &args.systems {
        systems.push(text.split_once('/').ok_or_else(|| form(text, "DEPARTMENT/SYSTEM"))?);
    }
    let mut departments = Vec::new();
    for text in &args.issuers {
        let (uscc, name) = text.split_once('=').ok_or_else(|| form(text, "USCC=NAME"))?;
        departments.push(DevDepartment { uscc: uscc.to_owned(), name: name.to_owned() });
    }
    let certs = DevCerts::make(&args.folder, &args.hub, &systems, &departments, clock)?;
    if args.sm2 {
        certs.make_sm2_authority(&args.hub)?;
        for department in &departments {
            certs.make_issuer_sm2(department, Validity::days(clock, CERTIFICATE_DAYS))?;
        }
    }
    eprintln!("wuku: development certificates in {}; never for production (仅供开发)", args.folder.display());
    Ok(())
}

type Result<T> = std::result::Result<T, DevCertsError>;

/// A department that signs licences.
#[derive(Clone, Debug)]
pub struct DevDepartment {
    /// Its unified social credit code, 18 characters; also the name of its files.
    pub uscc: String,
    /// Its full name.
    pub name: String,
}

/// A certificate file and its private key file, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8, mode 0600.
    pub key: PathBuf,
}

/// Which of the authorities.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Authority {
    /// Vouches for systems that connect.
    Client,
    /// Vouches for departments that sign licences.
    Issuer,
    /// The same for SM2 keys; there once it was made.
    IssuerSm2,
}

/// From when to when, Unix seconds, both inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// First second.
    pub from_s: u64,
    /// Last second.
    pub to_s: u64,
}

impl Validity {
    /// The given number of days from now on.
    #[must_use]
    pub fn days(clock: &Clock, days: u64) -> Self {
        let now_s = clock.now_ms() / 1_000;
        Self { from_s: now_s.saturating_sub(BACKDATE_S), to_s: now_s.saturating_add(days.saturating_mul(DAY_S)) }
    }
}

/// A folder of development certificates.
#[derive(Clone, Debug)]
pub struct DevCerts {
    folder: PathBuf,
    clock: Clock,
}

impl DevCerts {
    /// Makes both authorities with empty revocation lists, a server certificate for localhost, 127.0.0.1 and `hub`, one
    /// client certificate for each (department, system) and one signing certificate for each department.
    ///
    /// # Errors
    /// [`DevCertsError::NotEmpty`] if the folder holds certificates; else what failed. A crash half-way leaves a folder
    /// that this refuses to touch again: delete it.
    pub fn make(
        folder: &Path,
        hub: &str,
        systems: &[(&str, &str)],
        departments: &[DevDepartment],
        clock: &Clock,
    ) -> Result<Self> {
        let certs = Self::open(folder, clock);
        if certs.authority(Authority::Client).certificate.exists() {
            return Err(DevCertsError::NotEmpty(folder.to_owned()));
        }
        for part in [folder.to_owned(), folder.join("systems"), folder.join("issuers")] {
            fs::create_dir_all(&part).map_err(|source| DevCertsError::File { path: part, source })?;
        }
        for authority in [Authority::Client, Authority::Issuer] {
            certs.make_authority(authority, hub)?;
        }
        let validity = Validity::days(clock, CERTIFICATE_DAYS);
        certs.make_server(hub, validity)?;
        for (department, system) in systems {
            certs.make_system(hub, department, system, validity)?;
        }
        for department in departments {
            certs.make_issuer(department, validity)?;
        }
        Ok(certs)
    }

    /// A folder made before.
    #[must_use]
    pub fn open(folder: &Path, clock: &Clock) -> Self {
        Self { folder: folder.to_owned(), clock: clock.clone() }
    }

    /// The server's certificate and key.
    #[must_use]
    pub fn server(&self) -> Pair {
        self.pair("server")
    }

    /// A system's client certificate and key.
    #[must_use]
    pub fn system(&self, department: &str, system: &str) -> Pair {
        self.pair(&format!("systems/{department}.{system}"))
    }

    /// A department's signing certificate and key.
    #[must_use]
    pub fn issuer(&self, uscc: &str) -> Pair {
        self.pair(&format!("issuers/{uscc}"))
    }

    /// A department's second signing certificate and key, Ed25519; there once it was made.
    #[must_use]
    pub fn issuer_ed25519(&self, uscc: &str) -> Pair {
        self.pair(&format!("issuers/{uscc}-ed25519"))
    }

    /// An authority's own certificate and key.
    #[must_use]
    pub fn authority(&self, authority: Authority) -> Pair {
        self.pair(stem(authority))
    }

    /// An authority's revocation list, PEM.
    #[must_use]
    pub fn crl(&self, authority: Authority) -> PathBuf {
        self.folder.join(format!("{}.crl", stem(authority)))
    }

    /// Makes a client certificate with the SAN URI `wuku://<hub>/<department>/<system>`, replacing an earlier one.
    ///
    /// # Errors
    /// What failed.
    pub fn make_system(&self, hub: &str, department: &str, system: &str, validity: Validity) -> Result<Pair> {
        let pair = self.system(department, system);
        let uri = format!("wuku://{hub}/{department}/{system}");
        let mut params = params(&[(DnType::CommonName, format!("DEV {department}/{system}"))], validity);
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(|e| fault(&pair.certificate, e))?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(Authority::Client, params, pair)
    }

    /// Makes a department's signing certificate, replacing an earlier one: CN the department's name, O its credit code
    /// directly followed by its name (as government signing certificates in the field have it), OU DEV.
    ///
    /// # Errors
    /// What failed.
    pub fn make_issuer(&self, department: &DevDepartment, validity: Validity) -> Result<Pair> {
        let into = self.issuer(&department.uscc);
        let key = KeyPair::generate().map_err(|e| fault(&into.key, e))?;
        self.sign_issuer(department, validity, into, &key)
    }

    /// As [`make_issuer`](Self::make_issuer), beside it, with an Ed25519 key: its signatures over the same bytes are the same.
    ///
    /// # Errors
    /// What failed.
    pub fn make_issuer_ed25519(&self, department: &DevDepartment, validity: Validity) -> Result<Pair> {
        let into = self.issuer_ed25519(&department.uscc);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(|e| fault(&into.key, e))?;
        self.sign_issuer(department, validity, into, &key)
    }

    fn sign_issuer(&self, department: &DevDepartment, validity: Validity, into: Pair, key: &KeyPair) -> Result<Pair> {
        let DevDepartment { uscc, name } = department;
        let subject = [
            (DnType::CountryName, "CN".to_owned()),
            (DnType::OrganizationName, format!("{uscc}{name}")),
            (DnType::OrganizationalUnitName, "DEV".to_owned()),
            (DnType::CommonName, name.clone()),
        ];
        self.sign_for(Authority::Issuer, params(&subject, validity), into, key)
    }

    /// Puts a certificate on its authority's revocation list. `serial` in hex, as in [`crate::edge::identity::Peer`].
    ///
    /// # Errors
    /// What failed; the old list then stands.
    pub fn revoke(&self, authority: Authority, serial: &str) -> Result<()> {
        let path = self.crl(authority);
        let der = CertificateRevocationListDer::from_pem_slice(&read(&path)?).map_err(|e| fault(&path, e))?;
        let list = CertificateList::<Rfc5280>::from_der(&der).map_err(|e| fault(&path, e))?.tbs_cert_list;
        let mut revoked: Vec<_> = list
            .revoked_certificates
            .unwrap_or_default()
            .iter()
            .map(|r| (r.serial_number.as_bytes().to_vec(), r.revocation_date.to_unix_duration().as_secs()))
            .collect();
        let serial = unhex(serial).ok_or_else(|| fault(&path, "the serial number is not hex"))?;
        if !revoked.iter().any(|(known, _)| *known == serial) {
            revoked.push((serial, self.clock.now_ms() / 1_000));
        }
        match authority {
            Authority::Client | Authority::Issuer => self.write_crl(authority, revoked),
            Authority::IssuerSm2 => self.write_sm2_crl(revoked),
        }
    }

    /// The serial number of a certificate file, hex, as [`DevCerts::revoke`] takes it.
    ///
    /// # Errors
    /// If the file holds no certificate.
    pub fn serial(certificate: &Path) -> Result<String> {
        let der = CertificateDer::from_pem_slice(&read(certificate)?).map_err(|e| fault(certificate, e))?;
        let parsed = Certificate::from_der(&der).map_err(|e| fault(certificate, e))?;
        Ok(hex(parsed.tbs_certificate().serial_number().as_bytes()))
    }

    fn make_authority(&self, authority: Authority, hub: &str) -> Result<()> {
        let pair = self.authority(authority);
        let name = match authority {
            Authority::Client => format!("DEV client authority of {hub} - not for production"),
            Authority::Issuer | Authority::IssuerSm2 => {
                format!("DEV licence issuer authority of {hub} - not for production")
            }
        };
        let mut params = params(&[(DnType::CommonName, name)], Validity::days(&self.clock, AUTHORITY_DAYS));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(|e| fault(&pair.key, e))?;
        let certificate = params.self_signed(&key).map_err(|e| fault(&pair.certificate, e))?;
        write(&pair.key, &key.serialize_pem(), 0o600)?;
        write(&pair.certificate, &certificate.pem(), 0o644)?;
        self.write_crl(authority, vec![])
    }

    /// Makes a server certificate for localhost, 127.0.0.1, ::1 and `hub`, replacing an earlier one.
    ///
    /// # Errors
    /// What failed.
    pub fn make_server(&self, hub: &str, validity: Validity) -> Result<Pair> {
        let pair = self.server();
        let mut params = params(&[(DnType::CommonName, format!("DEV {hub}"))], validity);
        let dns = |name: &str| name.try_into().map(SanType::DnsName).map_err(|e| fault(&pair.certificate, e));
        let loopback = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
        params.subject_alt_names = vec![dns("localhost")?, dns(hub)?];
        params.subject_alt_names.extend(loopback.map(SanType::IpAddress));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Signed by the client authority too: one file less to hand to whoever tries the hub.
        self.sign(Authority::Client, params, pair)
    }

    fn sign(&self, authority: Authority, params: CertificateParams, pair: Pair) -> Result<Pair> {
        let key = KeyPair::generate().map_err(|e| fault(&pair.key, e))?;
        self.sign_for(authority, params, pair, &key)
    }

    fn sign_for(&self, authority: Authority, mut params: CertificateParams, pair: Pair, key: &KeyPair) -> Result<Pair> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(key, &self.signer(authority)?).map_err(|e| fault(&pair.certificate, e))?;
        write(&pair.key, &key.serialize_pem(), 0o600)?;
        write(&pair.certificate, &certificate.pem(), 0o644)?;
        Ok(pair)
    }

    fn signer(&self, authority: Authority) -> Result<Issuer<'static, KeyPair>> {
        let Pair { certificate, key } = self.authority(authority);
        let pem = |path: &Path| String::from_utf8(read(path)?).map_err(|e| fault(path, e));
        let pair = KeyPair::from_pem(&pem(&key)?).map_err(|e| fault(&key, e))?;
        Issuer::from_ca_cert_pem(&pem(&certificate)?, pair).map_err(|e| fault(&certificate, e))
    }

    fn write_crl(&self, authority: Authority, revoked: Vec<(Vec<u8>, u64)>) -> Result<()> {
        let path = self.crl(authority);
        let now_ms = self.clock.now_ms();
        let revoked_certs = revoked.into_iter().map(|(serial, at_s)| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: at(at_s),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: at(now_ms / 1_000),
            next_update: at(now_ms / 1_000 + AUTHORITY_DAYS * DAY_S),
            crl_number: SerialNumber::from(now_ms),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.signer(authority)?).map_err(|e| fault(&path, e))?;
        write(&path, &signed.pem().map_err(|e| fault(&path, e))?, 0o644)
    }

    fn pair(&self, stem: &str) -> Pair {
        let with = |ending: &str| self.folder.join(format!("{stem}.{ending}"));
        Pair { certificate: with("pem"), key: with("key") }
    }
}

fn stem(authority: Authority) -> &'static str {
    match authority {
        Authority::Client => "client-ca",
        Authority::Issuer => "issuer-ca",
        Authority::IssuerSm2 => "issuer-ca-sm2",
    }
}

fn params(subject: &[(DnType, String)], validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), value.as_str());
    }
    params.not_before = at(validity.from_s);
    params.not_after = at(validity.to_s);
    params
}

/// rcgen speaks calendar time; this is the one conversion.
fn at(unix_s: u64) -> time::OffsetDateTime {
    date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_s)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| DevCertsError::File { path: path.to_owned(), source })
}

/// Writes beside the file and renames, so that a hub that is looking sees the old file or the new, never half of one. A
/// crash leaves at most a `.tmp` file, with the same mode.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let beside = path.with_added_extension("tmp");
    let attempt = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| DevCertsError::File { path: path.to_owned(), source })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

fn fault(path: &Path, what: impl ToString) -> DevCertsError {
    DevCertsError::Certificate { path: path.to_owned(), what: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::identity::Peer;
    use std::os::unix::fs::PermissionsExt;

    fn made(folder: &Path) -> DevCerts {
        let department =
            DevDepartment { uscc: "11331099MB0000000X".into(), name: "演示市市场监督管理局".into() };
        DevCerts::make(folder, "hub.test", &[("civil", "window")], &[department], &Clock::system()).unwrap()
    }

    fn parsed(path: &Path) -> Certificate {
        Certificate::from_der(&CertificateDer::from_pem_slice(&fs::read(path).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn every_name_says_dev_and_every_private_key_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path());
        let (mut keys, mut certificates) = (0, 0);
        for part in ["", "systems", "issuers"] {
            for file in fs::read_dir(folder.path().join(part)).unwrap() {
                let path = file.unwrap().path();
                match path.extension().and_then(|e| e.to_str()) {
                    Some("key") => {
                        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
                        keys += 1;
                    }
                    Some("pem") => {
                        let certificate = parsed(&path);
                        assert!(certificate.tbs_certificate().subject().to_string().contains("DEV"), "{path:?}");
                        let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
                        assert!(end < Duration::from_millis(Clock::system().now_ms() + 31 * 86_400_000));
                        certificates += 1;
                    }
                    _ => {}
                }
            }
        }
        assert_eq!((keys, certificates), (5, 5));
    }

    #[test]
    fn a_systems_certificate_names_it_and_a_departments_holds_its_credit_code() {
        let folder = tempfile::tempdir().unwrap();
        let certs = made(folder.path());
        let der =
            CertificateDer::from_pem_slice(&fs::read(certs.system("civil", "window").certificate).unwrap()).unwrap();
        let peer = Peer::parse(&der, "hub.test").unwrap();
        assert_eq!(peer.uri, "wuku://hub.test/civil/window");
        assert_eq!(peer.serial, DevCerts::serial(&certs.system("civil", "window").certificate).unwrap());
        let subject = parsed(&certs.issuer("11331099MB0000000X").certificate).tbs_certificate().subject().to_string();
        assert!(subject.contains("CN=演示市市场监督管理局"), "{subject}");
        assert!(subject.contains("O=11331099MB0000000X演示市市场监督管理局"), "{subject}");
    }

    #[test]
    fn a_revoked_serial_stays_on_the_list_when_another_joins() {
        let folder = tempfile::tempdir().unwrap();
        let certs = made(folder.path());
        certs.revoke(Authority::Client, "0aff").unwrap();
        certs.revoke(Authority::Client, "0b").unwrap();
        certs.revoke(Authority::Client, "0b").unwrap();
        let der =
            CertificateRevocationListDer::from_pem_slice(&fs::read(certs.crl(Authority::Client)).unwrap()).unwrap();
        let list = CertificateList::<Rfc5280>::from_der(&der).unwrap().tbs_cert_list.revoked_certificates.unwrap();
        let serials: Vec<_> = list.iter().map(|r| hex(r.serial_number.as_bytes())).collect();
        assert_eq!(serials, ["0aff", "0b"]);
        assert!(certs.revoke(Authority::Client, "xyz").is_err());
    }

    #[test]
    fn certificates_in_use_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path());
        let again = DevCerts::make(folder.path(), "hub.test", &[], &[], &Clock::system());
        assert!(matches!(again, Err(DevCertsError::NotEmpty(_))));
    }
}
