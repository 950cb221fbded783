//! Signed messages: GB/T 35275 SignedData as OFD's plain signatures carry it, and the same shape around time stamps (GB/T 20520).
use der::asn1::{AnyRef, ObjectIdentifier};

use super::asn1::{self, Malformed, Read};
use super::certificate::{Certificate, SM2_WITH_SM3};
use crate::gm::{self, Encoding, Signature};

/// Certificates one envelope may bring along.
const CERTIFICATES_MAX: usize = 16;

const GB_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.6.1.4.2.2");
const GB_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.6.1.4.2.1");
const CMS_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CMS_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const SM3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.401");
const SM3_UNKEYED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.401.1");
const SM2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.301");
const SM2_SIGN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.301.1");

/// A signed message of one signer.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The content it carries, if it does.
    pub content: Option<Vec<u8>>,
    content_type: ObjectIdentifier,
    /// The signer's certificate.
    pub signer: Certificate,
    /// Other certificates it carries.
    pub carried: Vec<Certificate>,
    /// Parts that no signature of the envelope covers and that are not read (revocation lists, unsigned attributes).
    pub loose: bool,
    /// Signed attributes.
    pub attributes: Option<Attributes>,
    signature: Vec<u8>,
}

/// The signed attributes.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// As signed: re-tagged as a SET.
    signed: Vec<u8>,
    /// messageDigest.
    pub digest: Vec<u8>,
    /// signingTime, Unix seconds.
    pub signed_at_s: Option<u64>,
}

/// Whether these bytes call themselves a signed message.
#[must_use]
pub fn is_envelope(bytes: &[u8]) -> bool {
    let outer = asn1::pieces(bytes).unwrap_or_default();
    outer.first().is_some_and(|first| asn1::decode::<ObjectIdentifier>(first).is_ok())
}

impl Envelope {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with its structure; algorithms other than SM2 and SM3; not exactly one signer.
    pub fn parse(bytes: &[u8]) -> Read<Self> {
        let outer = asn1::pieces(bytes)?;
        let [kind, tagged] = outer.as_slice() else { return Err(Malformed::new("not a signed message")) };
        if ![GB_SIGNED_DATA, CMS_SIGNED_DATA].contains(&asn1::decode(kind)?) {
            return Err(Malformed::new("not a signed message"));
        }
        let inner = asn1::pieces(only(tagged, 0xa0)?)?;
        let ([version, digests, info], rest) =
            inner.split_first_chunk::<3>().ok_or_else(|| Malformed::new("a signed message has at least four parts"))?;
        let (signers, optional) = rest.split_last().ok_or_else(|| Malformed::new("a signed message has signers"))?;
        if !matches!(asn1::decode::<u8>(version)?, 1 | 3) {
            return Err(Malformed::new("a signed message of another version"));
        }
        for algorithm in asn1::set(digests)? {
            expect(algorithm, &[SM3, SM3_UNKEYED])?;
        }
        let (content_type, content) = content(info)?;
        let (mut certificates, mut loose) = (Vec::new(), false);
        for (at, part) in optional.iter().enumerate() {
            match part.first() {
                Some(0xa0) if at == 0 => certificates = read_certificates(part)?,
                Some(0xa1) if at + 1 == optional.len() => loose = true,
                _ => return Err(Malformed::new("an unexpected part of a signed message")),
            }
        }
        match asn1::set(signers)?.as_slice() {
            [signer] => Self::signer(signer, content_type, content, certificates, loose),
            _ => Err(Malformed::new("not exactly one signer")),
        }
    }

    fn signer(
        info: &[u8],
        content_type: ObjectIdentifier,
        content: Option<Vec<u8>>,
        mut certificates: Vec<Certificate>,
        mut loose: bool,
    ) -> Read<Self> {
        let parts = asn1::pieces(info)?;
        let ([version, identity, digest], rest) =
            parts.split_first_chunk::<3>().ok_or_else(|| Malformed::new("a signer has at least five parts"))?;
        if asn1::decode::<u8>(version)? != 1 {
            return Err(Malformed::new("a signer of another version"));
        }
        expect(digest, &[SM3, SM3_UNKEYED])?;
        let (attributes, rest) = match rest.split_first() {
            Some((part, rest)) if part.first() == Some(&0xa0) => (Some(Attributes::read(part, content_type)?), rest),
            _ => (None, rest),
        };
        let (algorithm, signature) = match rest {
            [algorithm, signature] => (algorithm, signature),
            [algorithm, signature, unsigned] if unsigned.first() == Some(&0xa1) => {
                loose = true;
                (algorithm, signature)
            }
            _ => return Err(Malformed::new("an unexpected part of a signer")),
        };
        expect(algorithm, &[SM2_SIGN, SM2_WITH_SM3, SM2])?;
        let identity = asn1::pieces(identity)?;
        let [issuer, serial] = identity.as_slice() else { return Err(Malformed::new("a signer is issuer and serial")) };
        let serial = asn1::any(serial)?;
        let at = certificates.iter().position(|c| c.issuer() == *issuer && c.serial() == serial.value());
        let signer =
            certificates.swap_remove(at.ok_or_else(|| Malformed::new("the signer's certificate is not there"))?);
        let signature = asn1::octets(asn1::any(signature)?)?.to_vec();
        Ok(Self { content, content_type, signer, carried: certificates, loose, attributes, signature })
    }

    /// Whether it says that `document` was signed: the digest it names, or the content it carries, is the document's.
    #[must_use]
    pub fn names(&self, document: &[u8]) -> bool {
        let digest = gm::sm3(&[document]);
        let content_fits = self.content.as_deref().is_none_or(|content| content == document || content == digest);
        let digest_fits = self.attributes.as_ref().is_none_or(|attributes| match &self.content {
            None => attributes.digest == digest,
            Some(content) => {
                attributes.digest == gm::sm3(&[content]) || (attributes.digest == digest && *content == digest)
            }
        });
        content_fits && digest_fits
    }

    /// Verifies the signer's signature with the signer's certificate, over attributes, content or the detached `document`.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, document: &[u8]) -> Read<Encoding> {
        let message = match (&self.attributes, &self.content) {
            (Some(attributes), _) => attributes.signed.as_slice(),
            (None, Some(content)) => content,
            (None, None) => document,
        };
        let not = |error: gm::GmError| Malformed::new(error.to_string());
        let (signature, encoding) = Signature::from_either(&self.signature).map_err(not)?;
        self.signer.key()?.verify(&[message], &signature).map_err(not)?;
        Ok(encoding)
    }
}

/// A time stamp token, verified but for its path: when, and who says so.
#[derive(Clone, Debug)]
pub struct TimeStamp {
    /// Unix seconds.
    pub at_s: u64,
    /// The envelope, with the authority's certificate.
    pub envelope: Envelope,
}

impl TimeStamp {
    /// Reads a token and verifies that it is over `stamped`, signed by the certificate it carries.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(token: &[u8], stamped: &[u8]) -> Read<Self> {
        let envelope = Envelope::parse(token)?;
        let (Some(content), Some(attributes)) = (&envelope.content, &envelope.attributes) else {
            return Err(Malformed::new("a time stamp carries its content and signed attributes"));
        };
        if envelope.content_type != TST_INFO || attributes.digest != gm::sm3(&[content]) {
            return Err(Malformed::new("not a time stamp"));
        }
        let info = asn1::pieces(content)?;
        let [_, _, imprint, _, at, ..] = info.as_slice() else { return Err(Malformed::new("not a time stamp")) };
        let imprint = asn1::pieces(imprint)?;
        let [algorithm, hash] = imprint.as_slice() else { return Err(Malformed::new("not a time stamp")) };
        expect(algorithm, &[SM3, SM3_UNKEYED])?;
        if asn1::octets(asn1::any(hash)?)? != gm::sm3(&[stamped]) {
            return Err(Malformed::new("a time stamp over something else"));
        }
        let at_s = asn1::time(asn1::any(at)?)?;
        envelope.verify(&[])?;
        Ok(Self { at_s, envelope })
    }
}

impl Attributes {
    fn read(tagged: &[u8], content_type: ObjectIdentifier) -> Read<Self> {
        let mut signed = tagged.to_vec();
        if let Some(tag) = signed.first_mut() {
            *tag = 0x31; // signed as the SET it would be without its tag
        }
        let (mut digest, mut signed_at_s, mut kind) = (None, None, None);
        for attribute in asn1::elements(asn1::any(tagged)?.value())? {
            let parts = asn1::pieces(attribute)?;
            let [id, values] = parts.as_slice() else { return Err(Malformed::new("an attribute has two parts")) };
            let values = asn1::set(values)?;
            let [value] = values.as_slice() else { return Err(Malformed::new("an attribute of several values")) };
            let again = match asn1::decode::<ObjectIdentifier>(id)? {
                MESSAGE_DIGEST => digest.replace(asn1::octets(asn1::any(value)?)?.to_vec()).is_some(),
                SIGNING_TIME => signed_at_s.replace(asn1::time(asn1::any(value)?)?).is_some(),
                CONTENT_TYPE => kind.replace(asn1::decode::<ObjectIdentifier>(value)?).is_some(),
                _ => false,
            };
            if again {
                return Err(Malformed::new("an attribute stands twice"));
            }
        }
        // The field mixes the two names of "data" within one message; anything else must agree.
        let plain = [GB_DATA, CMS_DATA];
        if kind.is_some_and(|kind| kind != content_type && !(plain.contains(&kind) && plain.contains(&content_type))) {
            return Err(Malformed::new("the attributes name another kind of content"));
        }
        let digest = digest.ok_or_else(|| Malformed::new("signed attributes without a digest"))?;
        Ok(Self { signed, digest, signed_at_s })
    }
}

fn content(info: &[u8]) -> Read<(ObjectIdentifier, Option<Vec<u8>>)> {
    let parts = asn1::pieces(info)?;
    let (kind, content) = match parts.as_slice() {
        [kind] => (kind, None),
        [kind, tagged] => (kind, Some(asn1::octets(asn1::any(only(tagged, 0xa0)?)?)?.to_vec())),
        _ => return Err(Malformed::new("content has one or two parts")),
    };
    let kind = asn1::decode(kind)?;
    if ![GB_DATA, CMS_DATA, TST_INFO].contains(&kind) {
        return Err(Malformed::new("an unknown kind of content"));
    }
    Ok((kind, content))
}

fn read_certificates(tagged: &[u8]) -> Read<Vec<Certificate>> {
    let found = asn1::elements(asn1::any(tagged)?.value())?;
    if found.len() > CERTIFICATES_MAX {
        return Err(Malformed::new("too many certificates"));
    }
    found.into_iter().map(Certificate::from_der).collect()
}

/// An algorithm of this list, its parameters absent or NULL.
fn expect(algorithm: &[u8], allowed: &[ObjectIdentifier]) -> Read<()> {
    let parts = asn1::pieces(algorithm)?;
    let (id, fits) = match parts.as_slice() {
        [id] => (id, true),
        [id, parameters] => (id, asn1::any(parameters).is_ok_and(AnyRef::is_null)),
        _ => return Err(Malformed::new("not an algorithm")),
    };
    if fits && allowed.contains(&asn1::decode(id)?) {
        Ok(())
    } else {
        Err(Malformed::new("an algorithm other than SM2 and SM3"))
    }
}

fn only(tagged: &[u8], tag: u8) -> Read<&[u8]> {
    match (tagged.first() == Some(&tag), asn1::elements(asn1::any(tagged)?.value())?.as_slice()) {
        (true, [inner]) => Ok(inner),
        _ => Err(Malformed::new("a tagged part of one element was expected")),
    }
}
