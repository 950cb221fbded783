//! A seal maker to try things with: an SM2 authority that issues certificates for days and signs seals whose face says 演示.
//!
//! Used by `wuku dev-seals`, the demo and tests, and by nothing that serves. **Official seals are made by lawful makers, never here:** every
//! certificate and seal made here says DEV and 演示. Certificates have what GM/T 0015 and the field's signers have: CN the seal's
//! identifier, O the credit code directly followed by the name.
use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid as _;
use der::{DateTime, Encode as _};
use std::time::Duration;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::asn1::{self, Malformed};
use super::certificate::SM2_WITH_SM3;
use super::ses::Picture;
use super::write::{self, SealDraft, Written};
use crate::gm::PrivateKey;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SM2_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.301");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANISATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const ORGANISATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");
/// Key usage bits as their BIT STRING is written: digitalSignature and nonRepudiation; keyCertSign and cRLSign.
const MAY_SIGN: [u8; 2] = [6, 0b1100_0000];
const MAY_ISSUE: [u8; 2] = [1, 0b0000_0110];

/// Whom a certificate is of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// CN: of a seal's signer, the seal's identifier.
    pub common_name: &'a str,
    /// O: credit code directly followed by the name.
    pub organisation: &'a str,
}

/// A certificate with its private key.
pub struct Pair {
    /// DER.
    pub certificate: Vec<u8>,
    /// The key, in memory.
    pub key: PrivateKey,
}

/// An authority of SM2 certificates; its own certificate is an anchor.
pub struct Authority {
    name: Vec<u8>,
    own: Pair,
}

impl Authority {
    /// A new one, good between these moments (Unix seconds).
    ///
    /// # Errors
    /// No randomness; a moment that cannot be written.
    pub fn make(common_name: &str, from_s: u64, until_s: u64) -> Written<Self> {
        let subject = name(Subject { common_name, organisation: "DEV 演示" })?;
        let key = new_key()?;
        let certificate = certificate(&subject, &key, &subject, &key, (from_s, until_s), true)?;
        Ok(Self { name: subject, own: Pair { certificate, key } })
    }

    /// One whose certificate and key were kept.
    ///
    /// # Errors
    /// A certificate that cannot be read.
    pub fn again(own: Pair) -> Written<Self> {
        let name = super::certificate::Certificate::from_der(&own.certificate)?.subject().to_vec();
        Ok(Self { name, own })
    }

    /// Its certificate and key.
    #[must_use]
    pub fn own(&self) -> &Pair {
        &self.own
    }

    /// A new key pair that may sign, with its certificate.
    ///
    /// # Errors
    /// No randomness; a moment that cannot be written.
    pub fn issue(&self, subject: Subject<'_>, from_s: u64, until_s: u64) -> Written<Pair> {
        let key = new_key()?;
        let subject = name(subject)?;
        let certificate = certificate(&subject, &key, &self.name, &self.own.key, (from_s, until_s), false)?;
        Ok(Pair { certificate, key })
    }

    /// A revocation list (X.509 v2, DER) of these serial numbers, all revoked at `at_s`, good until `until_s`.
    ///
    /// # Errors
    /// A moment that cannot be written.
    pub fn revocation_list(&self, revoked: &[&[u8]], at_s: u64, until_s: u64) -> Written<Vec<u8>> {
        let entry = |serial: &&[u8]| Ok(sequence(&[asn1::write(2, serial), time(at_s)?]));
        let entries = revoked.iter().map(entry).collect::<Written<Vec<_>>>()?;
        let mut parts = vec![asn1::write(2, &[1]), algorithm()?, self.name.clone(), time(at_s)?, time(until_s)?];
        if !entries.is_empty() {
            parts.push(sequence(&entries));
        }
        signed(&sequence(&parts), &self.own.key)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

/// A seal for trying: its name says 演示 whatever the draft says, and so does its face.
///
/// # Errors
/// What cannot be written.
pub fn demo_seal(draft: SealDraft, maker: &Pair) -> Written<Vec<u8>> {
    let name = if draft.name.contains("演示") { draft.name } else { format!("演示·{}", draft.name) };
    let face = super::face::png()?;
    let picture = Picture { kind: "png".into(), data: face, width_mm: 40, height_mm: 40 };
    let information = SealDraft { name, picture, ..draft }.to_sign()?;
    let signature = maker.key.sign(&[&information]).map_err(unsigned)?;
    write::seal(&information, &maker.certificate, &signature)
}

fn new_key() -> Written<PrivateKey> {
    PrivateKey::generate().map_err(unsigned)
}

fn unsigned(error: crate::gm::GmError) -> Malformed {
    Malformed::new(error.to_string())
}

fn certificate(
    subject: &[u8],
    subject_key: &PrivateKey,
    issuer: &[u8],
    issuer_key: &PrivateKey,
    (from_s, until_s): (u64, u64),
    authority: bool,
) -> Written<Vec<u8>> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| Malformed::new(error.to_string()))?;
    // Positive, and with no leading zero byte: exactly these sixteen bytes are the shortest encoding.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let point = subject_key.public_key().map_err(unsigned)?.point();
    let public = sequence(&[sequence(&[EC_PUBLIC_KEY.to_der()?, SM2_CURVE.to_der()?]), bits(&point)]);
    let usage = if authority { MAY_ISSUE } else { MAY_SIGN };
    let mut extensions = vec![extension(KeyUsage::OID, &asn1::write(3, &usage))?];
    if authority {
        let basic = BasicConstraints { ca: true, path_len_constraint: None };
        extensions.push(extension(BasicConstraints::OID, &basic.to_der()?)?);
    }
    let tbs = sequence(&[
        asn1::write(0xa0, &asn1::write(2, &[2])), // v3
        asn1::write(2, &serial),
        algorithm()?,
        issuer.to_vec(),
        sequence(&[time(from_s)?, time(until_s)?]),
        subject.to_vec(),
        public,
        asn1::write(0xa3, &sequence(&extensions)),
    ]);
    signed(&tbs, issuer_key)
}

/// `SEQUENCE { tbs, algorithm, signature }`, as certificates and revocation lists are.
fn signed(tbs: &[u8], key: &PrivateKey) -> Written<Vec<u8>> {
    let signature = key.sign(&[tbs]).map_err(unsigned)?.to_der();
    Ok(sequence(&[tbs.to_vec(), algorithm()?, bits(&signature)]))
}

fn name(subject: Subject<'_>) -> Written<Vec<u8>> {
    let attribute = |id: ObjectIdentifier, tag: u8, text: &str| -> Written<Vec<u8>> {
        let pair = sequence(&[id.to_der()?, asn1::write(tag, text.as_bytes())]);
        Ok(asn1::write(0x31, &pair))
    };
    Ok(sequence(&[
        attribute(COUNTRY, 0x13, "CN")?,
        attribute(ORGANISATION, 0x0c, subject.organisation)?,
        attribute(ORGANISATIONAL_UNIT, 0x0c, "DEV 演示，仅供测试")?,
        attribute(COMMON_NAME, 0x0c, subject.common_name)?,
    ]))
}

fn extension(id: ObjectIdentifier, value: &[u8]) -> Written<Vec<u8>> {
    Ok(sequence(&[id.to_der()?, asn1::write(1, &[0xff]), asn1::write(4, value)]))
}

fn algorithm() -> Written<Vec<u8>> {
    Ok(sequence(&[SM2_WITH_SM3.to_der()?]))
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    asn1::write(0x30, &parts.concat())
}

fn bits(value: &[u8]) -> Vec<u8> {
    asn1::write(3, &[&[0], value].concat())
}

/// UTCTime before 2050, GeneralizedTime after (RFC 5280, 4.1.2.5).
fn time(seconds: u64) -> Written<Vec<u8>> {
    let at = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).chain(['Z']).collect();
    Ok(match digits.get(2..) {
        Some(short) if at.year() < 2050 => asn1::write(23, short.as_bytes()),
        _ => asn1::write(24, digits.as_bytes()),
    })
}
