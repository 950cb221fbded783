//! One SM2 certificate: what it says, over its own bytes.
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use der::{Decode, Encode as _};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::DirectoryString;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::asn1::{self, Malformed, Read};
use crate::gm::{PublicKey, Signature};

/// SM2 with SM3 (signature), 1.2.156.10197.1.501.
pub const SM2_WITH_SM3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.501");
/// Keys on elliptic curves, 1.2.840.10045.2.1.
pub const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The SM2 curve, 1.2.156.10197.1.301.
pub const SM2_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.301");
const ANY_EXTENDED_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// Extensions whose meaning for a path is either enforced here or is about finding things, which we never do.
const KNOWN: [ObjectIdentifier; 9] = [
    ObjectIdentifier::new_unwrap("2.5.29.14"), // subject key identifier
    ObjectIdentifier::new_unwrap("2.5.29.15"), // key usage: enforced
    ObjectIdentifier::new_unwrap("2.5.29.17"), // subject's other names
    ObjectIdentifier::new_unwrap("2.5.29.19"), // basic constraints: enforced
    ObjectIdentifier::new_unwrap("2.5.29.31"), // where revocation lists are
    ObjectIdentifier::new_unwrap("2.5.29.32"), // policies: any
    ObjectIdentifier::new_unwrap("2.5.29.35"), // issuer's key identifier
    ObjectIdentifier::new_unwrap("2.5.29.37"), // extended key usage: enforced for time stamps
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1"),
];

/// A certificate as it stands in the file.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    tbs: Vec<u8>,
    read: CertificateInner<Raw>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
}

/// The organisation a government signer's certificate names: USCC directly followed by the name, in O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Unified social credit code (统一社会信用代码), where O begins with one.
    pub uscc: Option<String>,
    /// The rest of O.
    pub name: String,
}

impl Certificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// What is wrong with its structure.
    pub fn from_der(bytes: &[u8]) -> Read<Self> {
        let outer = asn1::pieces(bytes)?;
        let [tbs, ..] = outer.as_slice() else { return Err(Malformed::new("an empty certificate")) };
        let read = CertificateInner::<Raw>::from_der(bytes)?;
        let (issuer, subject) = (read.tbs_certificate().issuer().to_der()?, read.tbs_certificate().subject().to_der()?);
        Ok(Self { der: bytes.to_vec(), tbs: tbs.to_vec(), read, issuer, subject })
    }

    /// Reads every certificate of a PEM file; text between them is passed over.
    ///
    /// # Errors
    /// What is wrong with the first bad one, or that there is none.
    pub fn from_pem_file(text: &str) -> Read<Vec<Self>> {
        let blocks = super::chain::pem_blocks(text, "CERTIFICATE")?;
        let found = blocks.iter().map(|block| Self::from_der(block)).collect::<Read<Vec<_>>>()?;
        if found.is_empty() { Err(Malformed::new("no certificate in the file")) } else { Ok(found) }
    }

    /// The subject's key.
    ///
    /// # Errors
    /// Where it is no SM2 key on the curve.
    pub fn key(&self) -> Read<PublicKey> {
        let spki = self.read.tbs_certificate().subject_public_key_info();
        let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
        if spki.algorithm.oid != EC_PUBLIC_KEY || curve != Some(SM2_CURVE) {
            return Err(Malformed::new("not an SM2 certificate"));
        }
        let point = spki.subject_public_key.as_bytes().ok_or_else(|| Malformed::new("a key with unused bits"))?;
        PublicKey::from_point(point).map_err(|error| Malformed::new(error.to_string()))
    }

    /// Whether this certificate's own key, or another's, made its signature.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> bool {
        let named = self.read.signature_algorithm().oid == SM2_WITH_SM3
            && self.read.tbs_certificate().signature().oid == SM2_WITH_SM3;
        let signature = self.read.signature().as_bytes().and_then(|bytes| Signature::from_either(bytes).ok());
        named && signature.is_some_and(|(signature, _)| issuer.verify(&[&self.tbs], &signature).is_ok())
    }

    /// From when to when it is good, Unix seconds.
    #[must_use]
    pub fn validity(&self) -> (u64, u64) {
        let validity = self.read.tbs_certificate().validity();
        (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
    }

    /// Whether it is within its dates at this moment.
    #[must_use]
    pub fn valid_at(&self, at_s: u64) -> bool {
        let (from, until) = self.validity();
        (from..=until).contains(&at_s)
    }

    /// The issuer's name, DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject's name, DER.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The serial number's bytes.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.read.tbs_certificate().serial_number().as_bytes()
    }

    /// The subject for a person, `CN=…,O=…`.
    #[must_use]
    pub fn shown(&self) -> String {
        self.read.tbs_certificate().subject().to_string()
    }

    /// Common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let name = self.read.tbs_certificate().subject().common_name().ok().flatten();
        name.map(|name| name.value().into_owned())
    }

    /// What O names.
    #[must_use]
    pub fn organisation(&self) -> Option<Organisation> {
        let name: DirectoryString = self.read.tbs_certificate().subject().organization().ok().flatten()?;
        let whole = name.value().into_owned();
        let code: String = whole.chars().take(18).collect();
        let is_code = code.len() == 18
            && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            && code.bytes().any(|b| b.is_ascii_digit());
        Some(if is_code {
            Organisation { name: whole.chars().skip(18).collect(), uscc: Some(code) }
        } else {
            Organisation { uscc: None, name: whole }
        })
    }

    /// Whether it may issue certificates, and how many further issuers may stand below it.
    #[must_use]
    pub fn may_issue(&self) -> Option<PathLength> {
        let basic: BasicConstraints = self.extension()?;
        let usage = self.raw_extension(KeyUsage::OID).map(|raw| KeyUsage::from_der(raw.extn_value.as_bytes()));
        let allowed = basic.ca && usage.is_none_or(|usage| usage.is_ok_and(|usage| usage.key_cert_sign()));
        allowed.then_some(PathLength(basic.path_len_constraint))
    }

    /// Whether it says of itself that it is a CA, whatever its key usage.
    #[must_use]
    pub fn calls_itself_ca(&self) -> bool {
        self.extension::<BasicConstraints>().is_some_and(|basic| basic.ca)
    }

    /// Whether its key may sign documents or seals: no key usage, or digital signature or non-repudiation in it.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        match self.raw_extension(KeyUsage::OID) {
            None => true,
            Some(raw) => KeyUsage::from_der(raw.extn_value.as_bytes())
                .is_ok_and(|usage| usage.digital_signature() || usage.non_repudiation()),
        }
    }

    /// Whether it may sign time stamps: that must be said.
    #[must_use]
    pub fn may_time_stamp(&self) -> bool {
        self.extension::<ExtendedKeyUsage>().is_some_and(|usage| usage.0.contains(&TIME_STAMPING))
    }

    /// Whether an extended key usage keeps its key to other uses, such as signing in: there is one, and any use is not on it.
    #[must_use]
    pub fn kept_to_other_uses(&self) -> bool {
        let stands = self.raw_extension(ExtendedKeyUsage::OID).is_some();
        stands && !self.extension::<ExtendedKeyUsage>().is_some_and(|usage| usage.0.contains(&ANY_EXTENDED_USAGE))
    }

    /// A critical extension nobody here understands, or one that stands twice: such a certificate vouches for nothing
    /// (RFC 5280, 4.2).
    #[must_use]
    pub fn unknown_critical(&self) -> Option<String> {
        let extensions = self.read.tbs_certificate().extensions()?;
        let twice = |id| extensions.iter().filter(|e| e.extn_id == id).count() > 1;
        let unknown = extensions.iter().find(|e| (e.critical && !KNOWN.contains(&e.extn_id)) || twice(e.extn_id))?;
        Some(unknown.extn_id.to_string())
    }

    fn raw_extension(&self, id: ObjectIdentifier) -> Option<&Extension> {
        let mut found = self.read.tbs_certificate().extensions()?.iter().filter(|e| e.extn_id == id);
        // Twice the same extension is no extension: two readers could each see another one.
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }

    fn extension<'a, T: Decode<'a> + AssociatedOid>(&'a self) -> Option<T> {
        T::from_der(self.raw_extension(T::OID)?.extn_value.as_bytes()).ok()
    }
}

/// How many issuers may stand between this one and the last certificate; `None`: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLength(pub Option<u8>);
