//! Judging a seal, and a signature: every step of GM/T 0031-2025 and GB/T 38540-2020 taken, none left out because another failed.
use super::asn1::show_time;
use super::certificate::{Certificate, SM2_WITH_SM3};
use super::chain::{Anchors, Fault, Path, Use};
use super::envelope::{Envelope, TimeStamp, is_envelope};
use super::owner::{self, Ownership};
use super::ses::{Generation, Seal, SealSignature, Signers};
use super::step::{Finding, Outcome, Step};
use crate::gm::{self, Encoding, Signature};

/// How far a signer's clock may be ahead of ours, in seconds.
const AHEAD_S_MAX: u64 = 300;

/// What a signature value is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A seal's signature.
    Ses(Generation),
    /// GB/T 35275 SignedData.
    Gbt35275 {
        /// Whether attributes are signed rather than the content.
        attributes: bool,
    },
    /// A bare SM2 signature, DER or r ‖ s.
    RawSm2,
    /// Nothing that could be read.
    Unknown,
}

/// What came of checking one signature value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It verifies.
    Ok,
    /// It does not.
    Bad,
    /// There is none.
    Absent,
    /// Nobody known could have made it.
    UnknownKey,
}

/// What was found out about a seal.
#[derive(Clone, Debug)]
pub struct SealReport {
    /// The seal.
    pub seal: Seal,
    /// The maker's signature.
    pub signature: Check,
    /// Who made it, for a person.
    pub maker: Option<String>,
    /// Within its dates when used.
    pub valid_when_used: bool,
    /// The maker's certificate within its dates when the seal was made; `None`: the certificate cannot be read.
    pub maker_valid_at_creation: Option<bool>,
    /// The same when it was used.
    pub maker_valid_when_used: Option<bool>,
    /// Every step.
    pub findings: Vec<Finding>,
}

/// What was found out about a signature.
#[derive(Clone, Debug)]
pub struct SignatureReport {
    /// What it came in.
    pub container: Container,
    /// How the numbers are written; `None` where they are no signature.
    pub encoding: Option<Encoding>,
    /// Whether the hash inside is the document's.
    pub data_hash: Check,
    /// Whether the signature verifies.
    pub signature: Check,
    /// Its seal.
    pub seal: Option<SealReport>,
    /// Whether the signer is on the seal's list.
    pub signer_in_list: Option<bool>,
    /// Whether the signer's certificate was within its dates when signing.
    pub signer_valid_at_signing: Option<bool>,
    /// When, Unix seconds; never from the XML around it.
    pub signed_at_s: Option<u64>,
    /// The signer's certificate.
    pub signer: Option<Certificate>,
    /// Something inside is under no signature that was checked: an unanchored certificate in a plain envelope, a time stamp of an
    /// unanchored authority. Whoever alters it is not found out.
    pub unprotected: Option<&'static str>,
    /// Every step.
    pub findings: Vec<Finding>,
}

/// What a judgement rests on.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// Whom to believe.
    pub anchors: &'a Anchors,
    /// Now, Unix seconds.
    pub now_s: u64,
    /// The authority the paper should be from (USCC).
    pub issuer: Option<&'a str>,
}

/// Judges a seal as it would be used at `used_s` (Unix seconds).
#[must_use]
pub fn seal(seal: Seal, used_s: u64, grounds: Grounds<'_>) -> SealReport {
    let mut findings = Findings::default();
    let maker = Certificate::from_der(&seal.maker_certificate);
    findings.add(Step::Algorithm, seal.algorithm == SM2_WITH_SM3, || format!("the seal names {}", seal.algorithm));
    let verified = maker.as_ref().map_err(ToString::to_string).and_then(|maker| {
        let key = maker.key().map_err(|e| e.to_string())?;
        let (signature, _) = Signature::from_either(&seal.signature).map_err(|e| e.to_string())?;
        key.verify(&[&seal.signed], &signature).map_err(|e| e.to_string())
    });
    findings.result(Step::SealSignature, &verified);
    let valid_when_used = (seal.valid_from_s..=seal.valid_until_s).contains(&used_s);
    findings.add(Step::SealDates, valid_when_used, || {
        let (from, until) = (show_time(seal.valid_from_s), show_time(seal.valid_until_s));
        format!("good from {from} to {until}, used {}", show_time(used_s))
    });
    let stamp = seal.time_stamp.as_deref().map(|token| TimeStamp::verify(token, &seal.signature));
    let stamped_s = stamp.as_ref().and_then(|stamp| stamp.as_ref().ok()).map(|stamp| stamp.at_s);
    let in_order = seal.created_s <= used_s && stamped_s.is_none_or(|stamped| seal.created_s <= stamped);
    findings.add(Step::SealCreated, in_order, || format!("made {}", show_time(seal.created_s)));
    findings.time_stamp(Step::SealTimeStamp, stamp, grounds);
    findings.extensions(&seal.extensions.iter().filter(|e| e.critical).map(|e| e.id.to_string()).collect::<Vec<_>>());
    let (mut at_creation, mut when_used) = (None, None);
    match &maker {
        Err(error) => findings.push(Step::MakerCertificate, Outcome::Bad, error.to_string()),
        Ok(maker) => {
            at_creation = Some(maker.valid_at(seal.created_s));
            when_used = Some(maker.valid_at(used_s));
            findings.maker(maker, seal.created_s, used_s, grounds);
        }
    }
    SealReport {
        signature: if verified.is_ok() { Check::Ok } else { Check::Bad },
        maker: maker.ok().map(|maker| maker.shown()),
        valid_when_used,
        maker_valid_at_creation: at_creation,
        maker_valid_when_used: when_used,
        findings: findings.0,
        seal,
    }
}

/// Judges the value of a signature over `document` (in OFD: the bytes of `Signature.xml`). `property` is what a seal's signature
/// must say it protects, where that is known.
#[must_use]
pub fn signature(value: &[u8], document: &[u8], property: Option<&str>, grounds: Grounds<'_>) -> SignatureReport {
    if Signature::from_either(value).is_ok() {
        return raw(value, document, grounds);
    }
    if is_envelope(value) {
        return match Envelope::parse(value) {
            Ok(envelope) => plain(&envelope, document, grounds),
            Err(error) => unreadable(Container::Gbt35275 { attributes: false }, error.to_string()),
        };
    }
    match SealSignature::parse(value) {
        Ok(parsed) => sealed(parsed, document, property, grounds),
        Err(error) => unreadable(Container::Unknown, error.to_string()),
    }
}

fn sealed(parsed: SealSignature, document: &[u8], property: Option<&str>, grounds: Grounds<'_>) -> SignatureReport {
    let mut findings = Findings::default();
    findings.push(Step::Format, Outcome::Ok, String::new());
    findings.add(Step::Version, parsed.version == parsed.seal.version, || {
        format!("signature {}, seal {}", parsed.version, parsed.seal.version)
    });
    findings.add(Step::Algorithm, parsed.algorithm == SM2_WITH_SM3, || format!("it names {}", parsed.algorithm));
    let hash_fits = parsed.data_hash == gm::sm3(&[document]);
    findings.add(Step::DataHash, hash_fits, || "the hash inside is not that of the list of parts".to_owned());
    match property {
        None => findings.push(Step::Property, Outcome::NotChecked, parsed.property.clone()),
        Some(expected) => {
            let same = parsed.property.trim_start_matches('/') == expected.trim_start_matches('/');
            findings.add(Step::Property, same, || format!("it protects {}", parsed.property));
        }
    }
    let signer = Certificate::from_der(&parsed.certificate);
    let read = Signature::from_either(&parsed.signature);
    let verified = signer.as_ref().map_err(ToString::to_string).and_then(|signer| {
        let key = signer.key().map_err(|e| e.to_string())?;
        let (signature, _) = read.map_err(|e| e.to_string())?;
        key.verify(&[&parsed.signed], &signature).map_err(|e| e.to_string())
    });
    findings.result(Step::Signature, &verified);
    let in_list = match &parsed.seal.signers {
        Signers::Certificates(list) => list.contains(&parsed.certificate),
        Signers::Digests(list) => list.iter().any(|(_, digest)| *digest == gm::sm3(&[&parsed.certificate])),
    };
    findings.add(Step::SignerInList, in_list, String::new);
    findings.extensions(&parsed.extensions.iter().filter(|e| e.critical).map(|e| e.id.to_string()).collect::<Vec<_>>());
    let stamp = parsed.time_stamp.as_deref().map(|token| TimeStamp::verify(token, &parsed.signature));
    let stamped_s = stamp.as_ref().and_then(|stamp| stamp.as_ref().ok()).map(|stamp| stamp.at_s);
    // V1 may give a token instead of a time: its word counts once it verifies.
    let signed_at_s = parsed.at_s.or(stamped_s);
    let unprotected = findings.time_stamp(Step::TimeStamp, stamp, grounds);
    let signer = signer.ok();
    let valid = findings.signer(signer.as_ref(), signed_at_s, &[], grounds);
    findings.signed_at(signed_at_s, grounds.now_s);
    let report = seal(parsed.seal, signed_at_s.unwrap_or(grounds.now_s), grounds);
    let stamp_of_seal =
        report.findings.iter().any(|f| f.step == Step::SealTimeStamp && f.outcome == Outcome::NotChecked);
    findings.merge(&report.findings);
    SignatureReport {
        container: Container::Ses(report.seal.generation),
        encoding: read.ok().map(|(_, encoding)| encoding),
        data_hash: if hash_fits { Check::Ok } else { Check::Bad },
        signature: if verified.is_ok() { Check::Ok } else { Check::Bad },
        seal: Some(report),
        signer_in_list: Some(in_list),
        signer_valid_at_signing: valid,
        signed_at_s,
        signer,
        unprotected: unprotected.or(stamp_of_seal.then_some(LOOSE_STAMP)),
        findings: findings.0,
    }
}

fn plain(envelope: &Envelope, document: &[u8], grounds: Grounds<'_>) -> SignatureReport {
    let mut findings = Findings::default();
    findings.push(Step::Format, Outcome::Ok, String::new());
    findings.push(Step::Algorithm, Outcome::Ok, String::new());
    let names = envelope.names(document);
    findings.add(Step::DataHash, names, || "the digest inside is not that of the list of parts".to_owned());
    let verified = envelope.verify(document).map_err(|error| error.to_string());
    findings.result(Step::Signature, &verified);
    let signed_at_s = envelope.attributes.as_ref().and_then(|attributes| attributes.signed_at_s);
    let valid = findings.signer(Some(&envelope.signer), signed_at_s, &envelope.carried, grounds);
    findings.signed_at(signed_at_s, grounds.now_s);
    let anchored = findings.0.iter().any(|f| f.step == Step::SignerCertificate && f.outcome == Outcome::Ok);
    let vouched = |certificate: &Certificate| {
        let anchors = grounds.anchors.signers.iter().chain(&grounds.anchors.intermediates).chain(&envelope.carried);
        anchors
            .filter(|a| a.subject() == certificate.issuer())
            .any(|a| a.key().is_ok_and(|key| certificate.is_signed_by(&key)))
    };
    // Asked only of an anchored signer's message: sixteen certificates held against sixteen is dear, and a stranger's costs nothing then.
    let loose = anchored && (envelope.loose || !envelope.carried.iter().all(vouched));
    SignatureReport {
        container: Container::Gbt35275 { attributes: envelope.attributes.is_some() },
        encoding: verified.as_ref().ok().copied(),
        data_hash: if names { Check::Ok } else { Check::Bad },
        signature: if verified.is_ok() { Check::Ok } else { Check::Bad },
        seal: None,
        signer_in_list: None,
        signer_valid_at_signing: valid,
        signed_at_s,
        signer: Some(envelope.signer.clone()),
        unprotected: match (anchored, loose) {
            (false, _) => Some("the signer's certificate: no configured anchor vouches for what it says"),
            (true, true) => Some("parts of the signed message that its signature does not cover"),
            (true, false) => None,
        },
        findings: findings.0,
    }
}

/// A bare signature names nobody: it is good if one of the known signers made it.
fn raw(value: &[u8], document: &[u8], grounds: Grounds<'_>) -> SignatureReport {
    let mut findings = Findings::default();
    findings.push(Step::Format, Outcome::Ok, String::new());
    let read = Signature::from_either(value).ok();
    let known: Vec<&Certificate> = grounds.anchors.signers.iter().filter(|c| !c.calls_itself_ca()).collect();
    let made_it = |certificate: &&&Certificate| {
        let key = certificate.key().ok();
        key.zip(read).is_some_and(|(key, (signature, _))| key.verify(&[document], &signature).is_ok())
    };
    let signer = known.iter().find(made_it).copied().cloned();
    let check = match (&signer, known.is_empty()) {
        (Some(_), _) => Check::Ok,
        (None, true) => Check::UnknownKey,
        (None, false) => Check::Bad,
    };
    match check {
        Check::Ok => findings.push(Step::Signature, Outcome::Ok, String::new()),
        Check::UnknownKey => {
            findings.push(Step::Signature, Outcome::NotChecked, "no known signer is configured".to_owned())
        }
        _ => findings.push(Step::Signature, Outcome::Bad, "no configured signer made it".to_owned()),
    }
    let valid = findings.signer(signer.as_ref(), None, &[], grounds);
    findings.signed_at(None, grounds.now_s);
    SignatureReport {
        container: Container::RawSm2,
        encoding: read.map(|(_, encoding)| encoding),
        data_hash: Check::Absent,
        signature: check,
        seal: None,
        signer_in_list: None,
        signer_valid_at_signing: valid,
        signed_at_s: None,
        signer,
        unprotected: None,
        findings: findings.0,
    }
}

fn unreadable(container: Container, why: String) -> SignatureReport {
    let mut findings = Findings::default();
    findings.push(Step::Format, Outcome::Bad, why);
    SignatureReport {
        container,
        encoding: None,
        data_hash: Check::Absent,
        signature: Check::Bad,
        seal: None,
        signer_in_list: None,
        signer_valid_at_signing: None,
        signed_at_s: None,
        signer: None,
        unprotected: None,
        findings: findings.0,
    }
}

const LOOSE_STAMP: &str = "the time stamp: no configured anchor vouches for its authority";

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn push(&mut self, step: Step, outcome: Outcome, detail: String) {
        self.0.push(Finding { step, outcome, detail });
    }

    fn add(&mut self, step: Step, holds: bool, why_not: impl FnOnce() -> String) {
        let detail = if holds { String::new() } else { why_not() };
        self.push(step, if holds { Outcome::Ok } else { Outcome::Bad }, detail);
    }

    fn result<T>(&mut self, step: Step, result: &Result<T, String>) {
        match result {
            Ok(_) => self.push(step, Outcome::Ok, String::new()),
            Err(why) => self.push(step, Outcome::Bad, why.clone()),
        }
    }

    fn extensions(&mut self, critical: &[String]) {
        // None is understood here, so a critical one must be reported; it is the profile that decides.
        if !critical.is_empty() {
            self.push(Step::Extensions, Outcome::Bad, critical.join(", "));
        }
    }

    /// Steps taken for the signature and for its seal are one step in the report: the worse outcome counts.
    fn merge(&mut self, others: &[Finding]) {
        for other in others {
            match self.0.iter_mut().find(|f| f.step == other.step) {
                Some(known) if known.outcome == Outcome::Bad || other.outcome == Outcome::Ok => {}
                Some(known) => *known = other.clone(),
                None => self.0.push(other.clone()),
            }
        }
    }

    /// Gives what stays unprotected when the authority is not anchored.
    fn time_stamp(
        &mut self,
        step: Step,
        stamp: Option<Result<TimeStamp, super::asn1::Malformed>>,
        grounds: Grounds<'_>,
    ) -> Option<&'static str> {
        let (outcome, detail) = match stamp {
            None => (Outcome::Absent, String::new()),
            Some(Err(error)) => (Outcome::Bad, error.to_string()),
            Some(Ok(stamp)) if stamp.at_s > grounds.now_s.saturating_add(AHEAD_S_MAX) => {
                (Outcome::Bad, format!("stamped in the future: {}", show_time(stamp.at_s)))
            }
            Some(Ok(stamp)) => {
                let envelope = &stamp.envelope;
                match grounds.anchors.path(&envelope.signer, Use::TimeStamp, stamp.at_s, &envelope.carried) {
                    Path::Good { .. } => (Outcome::Ok, show_time(stamp.at_s)),
                    Path::NoAnchors => (Outcome::NotChecked, "no anchors for time stamps are configured".to_owned()),
                    Path::None(fault) => (Outcome::Bad, fault.to_string()),
                }
            }
        };
        self.push(step, outcome, detail);
        (outcome == Outcome::NotChecked).then_some(LOOSE_STAMP)
    }

    fn maker(&mut self, maker: &Certificate, created_s: u64, used_s: u64, grounds: Grounds<'_>) {
        let (from, until) = maker.validity();
        let dates = || format!("{}: good from {} to {}", maker.shown(), show_time(from), show_time(until));
        self.add(Step::MakerDatesAtCreation, maker.valid_at(created_s), dates);
        // Chain and key usage are judged at a moment the certificate itself was good: its own dates are steps of their own.
        let then_s = if from <= until { created_s.clamp(from, until) } else { created_s };
        let path = grounds.anchors.path(maker, Use::SealMaker, then_s, &[]);
        self.path(Step::MakerCertificate, Step::MakerRevocation, &path, "no anchors for seal makers are configured");
        let later = grounds.anchors.path(maker, Use::SealMaker, used_s, &[]);
        let revoked = matches!(later, Path::None(Fault::Revoked(_)));
        self.add(Step::MakerDatesAtSigning, maker.valid_at(used_s) && !revoked, || {
            if revoked { "revoked by then".to_owned() } else { dates() }
        });
    }

    /// Gives whether the certificate was within its dates.
    fn signer(
        &mut self,
        signer: Option<&Certificate>,
        at_s: Option<u64>,
        carried: &[Certificate],
        grounds: Grounds<'_>,
    ) -> Option<bool> {
        let Some(signer) = signer else {
            self.push(Step::SignerCertificate, Outcome::NotChecked, "the signer is not known".to_owned());
            return None;
        };
        let (from, until) = signer.validity();
        let moment = match at_s {
            // No time of signing: the path is judged at a moment the certificate was good, and the dates stay open.
            None => grounds.now_s.clamp(from.min(until), until),
            Some(at_s) => at_s,
        };
        let path = grounds.anchors.path(signer, Use::Signer, moment, carried);
        self.path(Step::SignerCertificate, Step::SignerRevocation, &path, "no anchors for signers are configured");
        self.authority(signer, grounds.issuer);
        match at_s {
            None => {
                self.push(Step::SignerDates, Outcome::NotChecked, "no time of signing is signed".to_owned());
                None
            }
            Some(at_s) => {
                let valid = signer.valid_at(at_s);
                self.add(Step::SignerDates, valid, || {
                    format!("{}: good from {} to {}", signer.shown(), show_time(from), show_time(until))
                });
                Some(valid)
            }
        }
    }

    fn path(&mut self, step: Step, revocation: Step, path: &Path, no_anchors: &str) {
        match path {
            Path::Good { revocation_checked } => {
                self.push(step, Outcome::Ok, String::new());
                match revocation_checked {
                    true => self.push(revocation, Outcome::Ok, String::new()),
                    false => {
                        self.push(revocation, Outcome::NotChecked, "no revocation list covers that moment".to_owned())
                    }
                }
            }
            Path::NoAnchors => {
                self.push(step, Outcome::NotChecked, no_anchors.to_owned());
                self.push(revocation, Outcome::NotChecked, no_anchors.to_owned());
            }
            Path::None(fault @ Fault::Revoked(_)) => {
                self.push(step, Outcome::Ok, String::new());
                self.push(revocation, Outcome::Bad, fault.to_string());
            }
            Path::None(fault) => self.push(step, Outcome::Bad, fault.to_string()),
        }
    }

    /// Government signers' certificates: O is the USCC directly followed by the name.
    fn authority(&mut self, signer: &Certificate, issuer: Option<&str>) {
        let Some(issuer) = issuer else { return };
        match owner::of_certificate(signer, issuer) {
            Ownership::Matched => self.push(Step::IssuingAuthority, Outcome::Ok, String::new()),
            Ownership::NotStated => {
                let why = "the certificate does not state a USCC".to_owned();
                self.push(Step::IssuingAuthority, Outcome::NotChecked, why);
            }
            Ownership::Differs { stated } => {
                self.push(Step::IssuingAuthority, Outcome::Bad, format!("the certificate states {stated}"));
            }
        }
    }

    fn signed_at(&mut self, at_s: Option<u64>, now_s: u64) {
        match at_s {
            None => self.push(Step::SignedAt, Outcome::NotChecked, "no time of signing is signed".to_owned()),
            Some(at_s) => self.add(Step::SignedAt, at_s <= now_s.saturating_add(AHEAD_S_MAX), || show_time(at_s)),
        }
    }
}
