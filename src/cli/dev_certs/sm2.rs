//! SM2 certificates and revocation lists for trying the hub: what rcgen cannot make.
//!
//! Written with `der` and x509-cert's parts, signed with [`crate::gm`]; as GM/T 0015 has them: SM2 with SM3, the default user id.
use std::path::Path;

use der::asn1::{Any, BitString, GeneralizedTime, ObjectIdentifier, OctetString, UtcTime};
use der::oid::AssociatedOid;
use der::{Encode, Sequence, Tag};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Raw;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity as Dates};

use super::{
    AUTHORITY_DAYS, Authority, DAY_S, DevCerts, DevCertsError, DevDepartment, Pair, Result, Validity, fault, read,
    write,
};
use crate::gm::{PrivateKey, sm3};
use crate::seal::certificate::{EC_PUBLIC_KEY, SM2_CURVE, SM2_WITH_SM3};

/// 2.5.4.6, countryName.
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
/// 2.5.4.10, organizationName.
const ORGANISATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// 2.5.4.11, organizationalUnitName.
const UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
/// 2.5.4.3, commonName.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

impl DevCerts {
    /// Makes the SM2 authority for departments' signatures with an empty revocation list, beside the other authorities, and puts its
    /// certificate into the file of the CAs listed for issuers as well: one file lists them all.
    ///
    /// # Errors
    /// What failed; [`DevCertsError::NotEmpty`] where there is one already.
    pub fn make_sm2_authority(&self, hub: &str) -> Result<()> {
        let pair = self.authority(Authority::IssuerSm2);
        if pair.certificate.exists() {
            return Err(DevCertsError::NotEmpty(pair.certificate));
        }
        let key = PrivateKey::generate().map_err(|e| fault(&pair.key, e))?;
        let subject = [(COMMON_NAME, format!("DEV SM2 licence issuer authority of {hub} - not for production"))];
        let made = Subject {
            name: &subject,
            validity: Validity::days(&self.clock, AUTHORITY_DAYS),
            key: &key,
            authority: true,
        }
        .signed_by(None);
        let pem = made.and_then(|der| pem_of("CERTIFICATE", &der)).map_err(|e| fault(&pair.certificate, e))?;
        write(&pair.key, &private_pem(&key, &pair.key)?, 0o600)?;
        write(&pair.certificate, &pem, 0o644)?;
        self.write_sm2_crl(vec![])?;
        let listed = self.authority(Authority::Issuer).certificate;
        let others = String::from_utf8(read(&listed)?).map_err(|e| fault(&listed, e))?;
        write(&listed, &format!("{}\n{pem}", others.trim_end()), 0o644)
    }

    /// A department's SM2 signing certificate and key; there once it was made.
    #[must_use]
    pub fn issuer_sm2(&self, uscc: &str) -> Pair {
        self.pair(&format!("issuers/{uscc}-sm2"))
    }

    /// As [`make_issuer`](DevCerts::make_issuer), beside it, with an SM2 key, by the SM2 authority.
    ///
    /// # Errors
    /// What failed, a missing SM2 authority too.
    pub fn make_issuer_sm2(&self, department: &DevDepartment, validity: Validity) -> Result<Pair> {
        let into = self.issuer_sm2(&department.uscc);
        let DevDepartment { uscc, name } = department;
        let subject = [
            (COUNTRY, "CN".to_owned()),
            (ORGANISATION, format!("{uscc}{name}")),
            (UNIT, "DEV".to_owned()),
            (COMMON_NAME, name.clone()),
        ];
        let key = PrivateKey::generate().map_err(|e| fault(&into.key, e))?;
        let (authority, authority_name) = self.sm2_signer()?;
        let made = Subject { name: &subject, validity, key: &key, authority: false };
        let made = made.signed_by(Some((&authority, &authority_name)));
        let pem = made.and_then(|der| pem_of("CERTIFICATE", &der)).map_err(|e| fault(&into.certificate, e))?;
        write(&into.key, &private_pem(&key, &into.key)?, 0o600)?;
        write(&into.certificate, &pem, 0o644)?;
        Ok(into)
    }

    fn sm2_signer(&self) -> Result<(PrivateKey, Name)> {
        let Pair { certificate, key } = self.authority(Authority::IssuerSm2);
        let private = PrivatePkcs8KeyDer::from_pem_slice(&read(&key)?).map_err(|e| fault(&key, e))?;
        let private = PrivateKey::from_pkcs8_der(private.secret_pkcs8_der()).map_err(|e| fault(&key, e))?;
        let der = CertificateDer::from_pem_slice(&read(&certificate)?);
        let der = der.map_err(|e| fault(&certificate, e))?;
        let parsed = x509_cert::Certificate::from_der(&der).map_err(|e| fault(&certificate, e))?;
        Ok((private, parsed.tbs_certificate().subject().clone()))
    }

    pub(super) fn write_sm2_crl(&self, revoked: Vec<(Vec<u8>, u64)>) -> Result<()> {
        let path = self.crl(Authority::IssuerSm2);
        let (key, issuer) = self.sm2_signer()?;
        let list = revocation_list(&key, issuer, self.clock.now_ms(), &revoked);
        let pem = list.and_then(|der| pem_of("X509 CRL", &der)).map_err(|e| fault(&path, e))?;
        write(&path, &pem, 0o644)
    }
}

/// What a certificate is made for.
struct Subject<'a> {
    name: &'a [(ObjectIdentifier, String)],
    validity: Validity,
    key: &'a PrivateKey,
    authority: bool,
}

/// RFC 5280, 4.1: x509-cert makes this structure only with its builder, which cannot sign with a key that is wiped.
#[derive(Sequence)]
struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: SerialNumber<Raw>,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Dates,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Extensions,
}

#[derive(Sequence)]
struct Signed {
    tbs: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

impl Subject<'_> {
    /// The certificate, DER; its own issuer where none is given.
    fn signed_by(&self, issuer: Option<(&PrivateKey, &Name)>) -> std::result::Result<Vec<u8>, der::Error> {
        let point = point_of(self.key)?;
        let subject = name_of(self.name)?;
        let (key, issuer) = issuer.unwrap_or((self.key, &subject));
        let usage = if self.authority {
            KeyUsages::KeyCertSign | KeyUsages::CRLSign
        } else {
            KeyUsages::DigitalSignature.into()
        };
        let mut extensions = vec![
            extension(&KeyUsage(usage), true)?,
            extension(&SubjectKeyIdentifier(key_id(&point)?), false)?,
            extension(&authority_key(key)?, false)?,
        ];
        if self.authority {
            extensions.push(extension(&BasicConstraints { ca: true, path_len_constraint: Some(0) }, true)?);
        }
        let tbs = Tbs {
            version: 2,
            serial_number: serial_number()?,
            signature: sm2_with_sm3(),
            issuer: issuer.clone(),
            validity: Dates::new(time_of(self.validity.from_s)?, time_of(self.validity.to_s)?),
            subject: subject.clone(),
            subject_public_key_info: SubjectPublicKeyInfoOwned {
                algorithm: AlgorithmIdentifierOwned { oid: EC_PUBLIC_KEY, parameters: Some(Any::from(SM2_CURVE)) },
                subject_public_key: BitString::from_bytes(&point)?,
            },
            extensions,
        };
        signed(&tbs.to_der()?, key)
    }
}

fn revocation_list(
    key: &PrivateKey,
    issuer: Name,
    now_ms: u64,
    revoked: &[(Vec<u8>, u64)],
) -> std::result::Result<Vec<u8>, der::Error> {
    let entry = |(serial, at_s): &(Vec<u8>, u64)| {
        let serial_number = SerialNumber::<Raw>::new(serial)?;
        Ok(RevokedCert { serial_number, revocation_date: time_of(*at_s)?, crl_entry_extensions: None })
    };
    let entries = revoked.iter().map(entry).collect::<std::result::Result<Vec<_>, der::Error>>()?;
    let number = CrlNumber(der::asn1::Uint::new(&now_ms.to_be_bytes())?);
    let list = TbsCertList::<Raw> {
        version: x509_cert::Version::V2,
        signature: sm2_with_sm3(),
        issuer,
        this_update: time_of(now_ms / 1_000)?,
        next_update: Some(time_of(now_ms / 1_000 + AUTHORITY_DAYS * DAY_S)?),
        revoked_certificates: (!entries.is_empty()).then_some(entries),
        crl_extensions: Some(vec![extension(&number, false)?, extension(&authority_key(key)?, false)?]),
    };
    let der = signed(&list.to_der()?, key)?;
    // Read once before it is written: a list nobody can read would stop every start.
    CertificateList::<Raw>::from_der(&der)?;
    Ok(der)
}

/// `SEQUENCE { tbs, algorithm, signature }` over exactly these bytes.
fn signed(tbs: &[u8], key: &PrivateKey) -> std::result::Result<Vec<u8>, der::Error> {
    let signature = key.sign(&[tbs]).map_err(|_| der::ErrorKind::Failed)?;
    let signature = BitString::from_bytes(&signature.to_der())?;
    Signed { tbs: Any::from_der(tbs)?, algorithm: sm2_with_sm3(), signature }.to_der()
}

fn sm2_with_sm3() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SM2_WITH_SM3, parameters: None }
}

fn point_of(key: &PrivateKey) -> std::result::Result<Vec<u8>, der::Error> {
    key.public_key().map(|public| public.point()).map_err(|_| der::ErrorKind::Failed.into())
}

/// The first 20 bytes of the key's SM3 (RFC 5280, 4.2.1.2 leaves the method open).
fn key_id(point: &[u8]) -> std::result::Result<OctetString, der::Error> {
    OctetString::new(sm3(&[point]).get(..20).unwrap_or_default())
}

fn authority_key(key: &PrivateKey) -> std::result::Result<AuthorityKeyIdentifier, der::Error> {
    let key_identifier = Some(key_id(&point_of(key)?)?);
    Ok(AuthorityKeyIdentifier { key_identifier, ..AuthorityKeyIdentifier::default() })
}

fn extension<T: AssociatedOid + Encode>(value: &T, critical: bool) -> std::result::Result<Extension, der::Error> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

fn name_of(parts: &[(ObjectIdentifier, String)]) -> std::result::Result<Name, der::Error> {
    let mut sequence = RdnSequence::default();
    for (oid, text) in parts {
        // RFC 5280 appendix A: a country is a PrintableString; the rest is UTF-8.
        let tag = if *oid == COUNTRY { Tag::PrintableString } else { Tag::Utf8String };
        let one = AttributeTypeAndValue { oid: *oid, value: Any::new(tag, text.as_bytes())? };
        sequence.push(RelativeDistinguishedName::try_from(vec![one])?);
    }
    Ok(Name::hazmat_from_rdn_sequence(sequence))
}

fn serial_number() -> std::result::Result<SerialNumber<Raw>, der::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| der::ErrorKind::Failed)?;
    // Positive, and of one length: the first bit clear, the second set.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::new(&bytes)
}

/// UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5).
fn time_of(unix_s: u64) -> std::result::Result<Time, der::Error> {
    let since = std::time::Duration::from_secs(unix_s);
    match UtcTime::from_unix_duration(since) {
        Ok(time) => Ok(Time::UtcTime(time)),
        Err(_) => GeneralizedTime::from_unix_duration(since).map(Time::GeneralTime),
    }
}

fn pem_of(label: &'static str, der: &[u8]) -> std::result::Result<String, der::Error> {
    x509_cert::der::pem::encode_string(label, x509_cert::der::pem::LineEnding::LF, der)
        .map_err(|_| der::ErrorKind::Failed.into())
}

fn private_pem(key: &PrivateKey, path: &Path) -> Result<zeroize::Zeroizing<String>> {
    key.to_pkcs8_pem().map_err(|e| fault(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sign::DepartmentKey;
    use crate::clock::Clock;
    use crate::failure::Reason;
    use crate::library::licence::{IssuerTrust, SignedThing};
    use rustls::pki_types::CertificateRevocationListDer;
    use std::collections::HashSet;
    use std::process::Command;

    const USCC: &str = "11100000000013338W";

    fn made(folder: &Path) -> (DevCerts, Pair) {
        let clock = Clock::system();
        let certs = DevCerts::make(folder, "hub.test", &[], &[], &clock).unwrap();
        certs.make_sm2_authority("hub.test").unwrap();
        let department = DevDepartment { uscc: USCC.into(), name: "演示局".into() };
        let pair = certs.make_issuer_sm2(&department, Validity::days(&clock, 7)).unwrap();
        (certs, pair)
    }

    fn trust(certs: &DevCerts, lists: &[Authority]) -> IssuerTrust {
        let anchors = CertificateDer::pem_file_iter(certs.authority(Authority::Issuer).certificate).unwrap();
        let crls = lists.iter().map(|of| CertificateRevocationListDer::from_pem_file(certs.crl(*of)).unwrap());
        IssuerTrust::new(anchors.map(|der| der.unwrap()).collect(), crls.collect(), HashSet::new()).unwrap()
    }

    #[test]
    fn openssl_reads_and_verifies_what_is_made_here() {
        let folder = tempfile::tempdir().unwrap();
        let (certs, pair) = made(folder.path());
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let openssl = |words: &[&str]| {
            let said = Command::new("openssl").args(words).output().unwrap();
            let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
            assert!(said.status.success(), "{text}");
            text
        };
        let ca = path(&certs.authority(Authority::IssuerSm2).certificate);
        let id = "distid:1234567812345678";
        openssl(&["verify", "-x509_strict", "-vfyopt", id, "-CAfile", &ca, &path(&pair.certificate)]);
        // OpenSSL gives a list's SM2 signature no user id, so it reads lists and cannot verify them.
        let list = path(&certs.crl(Authority::IssuerSm2));
        let said = openssl(&["crl", "-noout", "-text", "-in", &list]);
        assert!(said.contains("SM2-with-SM3") && said.contains("No Revoked Certificates"), "{said}");
        let serial = DevCerts::serial(&pair.certificate).unwrap();
        certs.revoke(Authority::IssuerSm2, &serial).unwrap();
        let said = openssl(&["crl", "-noout", "-text", "-in", &list]);
        assert!(said.to_lowercase().contains(&serial), "{said}");
    }

    #[test]
    fn an_sm2_signer_stands_only_under_a_listed_ca_with_its_own_list_in_date() {
        let folder = tempfile::tempdir().unwrap();
        let (certs, pair) = made(folder.path());
        let key = DepartmentKey::load(&pair.key, &pair.certificate).unwrap();
        let signature = key.sign(SignedThing::Licence, b"bytes").unwrap();
        let judged = |trust: &IssuerTrust, now_ms| {
            trust.verify(SignedThing::Licence, b"bytes", &signature, now_ms).map_err(|failure| failure.reason)
        };
        let (now_ms, both) = (Clock::system().now_ms(), [Authority::Issuer, Authority::IssuerSm2]);
        assert_eq!(judged(&trust(&certs, &both), now_ms).unwrap().uscc, USCC);
        assert_eq!(judged(&trust(&certs, &[]), now_ms).unwrap().uscc, USCC, "no lists at all are configured");
        let one = judged(&trust(&certs, &[Authority::Issuer]), now_ms).unwrap_err();
        assert_eq!(one, Reason::IssuerCertificateUntrusted, "the list of another CA says nothing of it");
        let later = judged(&trust(&certs, &both), now_ms + 8 * DAY_S * 1_000).unwrap_err();
        assert_eq!(later, Reason::IssuerCertificateExpired);
        let leaf = CertificateDer::from_pem_file(&pair.certificate).unwrap();
        let pinned = IssuerTrust::new(vec![leaf], vec![], HashSet::new());
        assert!(pinned.is_err(), "what is listed as a CA must be one");
        certs.revoke(Authority::IssuerSm2, &DevCerts::serial(&pair.certificate).unwrap()).unwrap();
        assert_eq!(judged(&trust(&certs, &both), now_ms).unwrap_err(), Reason::IssuerCertificateRevoked);
    }
}
