//! Which system a client certificate names.
//!
//! Identity is one subject-alternative-name URI, `wuku://<hub>/<department>/<system>`, and nothing else: not the common
//! name, not a header, not a field of a message. Whether the certificate is *good* is [`super::trust`]'s question.
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const SCHEME: &str = "wuku://";
const NAME_BYTES_MAX: usize = 64;

/// The system at the other end of a connection, as its certificate names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The whole identity, `wuku://<hub>/<department>/<system>`.
    pub uri: String,
    /// The department's name within the identity.
    pub department: String,
    /// The system's name within the identity.
    pub system: String,
    /// The certificate's serial number, lower-case hex without separators.
    pub serial: String,
    /// SHA-256 of the certificate's DER bytes.
    pub fingerprint: [u8; 32],
    /// The issuer's distinguished name (RFC 4514).
    pub issuer: String,
    /// The last second the certificate is valid, Unix seconds (RFC 5280, 4.1.2.5: inclusive).
    pub not_after_s: u64,
}

/// Why a certificate that verified names no caller of this hub.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityFault {
    /// Not a certificate at all.
    #[error("the certificate does not parse")]
    Unreadable,
    /// No `wuku://` URI among its names.
    #[error("the certificate holds no wuku:// name")]
    Missing,
    /// Two identities in one certificate: we would have to choose, so we do not.
    #[error("the certificate holds more than one wuku:// name")]
    Several,
    /// The URI is not `wuku://<hub>/<department>/<system>`.
    #[error("the certificate's wuku:// name is malformed")]
    Malformed,
    /// A certificate made for another hub.
    #[error("the certificate is for another hub")]
    OtherHub,
}

impl Peer {
    /// Reads the identity out of an end-entity certificate.
    ///
    /// # Errors
    /// An [`IdentityFault`] unless exactly one `wuku://` URI is there, well-formed and for `hub`.
    pub fn parse(der: &[u8], hub: &str) -> Result<Self, IdentityFault> {
        let certificate = Certificate::from_der(der).map_err(|_| IdentityFault::Unreadable)?;
        let tbs = certificate.tbs_certificate();
        let uri = only_identity(&certificate)?;
        let (department, system) = split(&uri, hub)?;
        Ok(Self {
            department: department.to_owned(),
            system: system.to_owned(),
            serial: hex(tbs.serial_number().as_bytes()),
            fingerprint: Sha256::digest(der).into(),
            issuer: tbs.issuer().to_string(),
            not_after_s: tbs.validity().not_after.to_unix_duration().as_secs(),
            uri,
        })
    }
}

/// The identity a certificate names, of whichever hub: what a client signs as before it has asked anybody.
///
/// # Errors
/// An [`IdentityFault`] unless exactly one `wuku://` URI is there.
pub fn named(der: &[u8]) -> Result<String, IdentityFault> {
    only_identity(&Certificate::from_der(der).map_err(|_| IdentityFault::Unreadable)?)
}

fn only_identity(certificate: &Certificate) -> Result<String, IdentityFault> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let Some((_, names)) = extension.map_err(|_| IdentityFault::Unreadable)? else {
        return Err(IdentityFault::Missing);
    };
    let mut found = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) if has_scheme(uri.as_str()) => Some(uri.as_str()),
        _ => None,
    });
    let first = found.next().ok_or(IdentityFault::Missing)?;
    if found.next().is_some() { Err(IdentityFault::Several) } else { Ok(first.to_owned()) }
}

/// `WUKU://` counts too, so that a second identity cannot hide behind capitals; it is then refused as malformed.
fn has_scheme(uri: &str) -> bool {
    uri.get(..SCHEME.len()).is_some_and(|s| s.eq_ignore_ascii_case(SCHEME))
}

fn split<'a>(uri: &'a str, hub: &str) -> Result<(&'a str, &'a str), IdentityFault> {
    let mut parts = uri.strip_prefix(SCHEME).ok_or(IdentityFault::Malformed)?.split('/');
    let (Some(authority), Some(department), Some(system), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(IdentityFault::Malformed);
    };
    if !is_name(department) || !is_name(system) {
        return Err(IdentityFault::Malformed);
    }
    if authority == hub { Ok((department, system)) } else { Err(IdentityFault::OtherHub) }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0'); // a half byte is a digit
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|u| SanType::URI((*u).try_into().unwrap())).collect();
        params.serial_number = Some(vec![0x0a, 0xff].into());
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_one_wuku_name_is_the_identity() {
        let der = certificate(&["spiffe://x/y", "wuku://hub.test/civil-affairs/window_1"]);
        let peer = Peer::parse(&der, "hub.test").unwrap();
        assert_eq!((peer.department.as_str(), peer.system.as_str()), ("civil-affairs", "window_1"));
        assert_eq!(peer.serial, "0aff");
        assert_eq!(peer.fingerprint, <[u8; 32]>::from(Sha256::digest(&der)));
    }

    #[test]
    fn no_name_two_names_other_hubs_and_malformed_names_are_nobody() {
        let check = |uris: &[&str]| Peer::parse(&certificate(uris), "hub.test").unwrap_err();
        assert_eq!(check(&[]), IdentityFault::Missing);
        assert_eq!(check(&["https://hub.test/a/b"]), IdentityFault::Missing);
        assert_eq!(check(&["wuku://hub.test/a/b", "wuku://hub.test/a/c"]), IdentityFault::Several);
        assert_eq!(check(&["wuku://hub.test/a/b", "WUKU://hub.test/a/c"]), IdentityFault::Several);
        assert_eq!(check(&["wuku://other.test/a/b"]), IdentityFault::OtherHub);
        assert_eq!(check(&["wuku://hub.test.evil/a/b"]), IdentityFault::OtherHub);
        for bad in ["wuku://hub.test/a", "wuku://hub.test/a/b/c", "wuku://hub.test//b", "wuku://hub.test/a/b?c"] {
            assert_eq!(check(&[bad]), IdentityFault::Malformed, "{bad}");
        }
        for bad in ["wuku://hub.test/../b", "wuku://hub.test/a%2f/b", "WUKU://hub.test/a/b"] {
            assert_eq!(check(&[bad]), IdentityFault::Malformed, "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        let der = certificate(&["wuku://hub.test/a/b"]);
        for end in 0..der.len() {
            assert_eq!(Peer::parse(&der[..end], "hub.test").unwrap_err(), IdentityFault::Unreadable);
        }
    }
}
