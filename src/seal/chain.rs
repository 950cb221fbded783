//! Paths from a certificate to a configured anchor, as they stood at a moment: RFC 5280 for SM2, the part government CAs use.
//!
//! Promise: an anchor vouches only for the use it is listed under; nothing is fetched, least of all what a file says to fetch.
//! Name constraints and policies are not evaluated: a certificate with a *critical* one is refused.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode as _, Encode as _};
use x509_cert::certificate::Raw;
use x509_cert::crl::CertificateList;

use super::asn1::{self, Malformed, Read};
use super::certificate::{Certificate, PathLength, SM2_WITH_SM3};
use crate::gm::{PublicKey, Signature};

/// Certificates between an anchor and the one judged, at most.
const DEPTH_MAX: usize = 6;
/// Signatures tried while looking for one path: many issuers of one name must not cost more.
const TRIES_MAX: usize = 64;

/// What a certificate is needed for. Each has its own list of anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Makes seals (制章者).
    SealMaker,
    /// Signs documents (签章者).
    Signer,
    /// Signs time stamps.
    TimeStamp,
    /// Signs licences.
    LicenceIssuer,
}

/// Whom to believe, for what.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// For makers of seals.
    pub seal_makers: Vec<Certificate>,
    /// For signers of documents. One that is no CA vouches for itself only.
    pub signers: Vec<Certificate>,
    /// For time stamps.
    pub time_stamps: Vec<Certificate>,
    /// For issuers of licences.
    pub licence_issuers: Vec<Certificate>,
    /// Certificates that may stand between; believed in nothing.
    pub intermediates: Vec<Certificate>,
    /// Revocation lists.
    pub revocation_lists: Vec<RevocationList>,
}

/// What became of the search for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// There is a good one.
    Good {
        /// Whether every certificate on it was looked up in a revocation list that covers the moment.
        revocation_checked: bool,
    },
    /// No anchors are configured for this use.
    NoAnchors,
    /// There is none, with the reason nearest to success.
    None(Fault),
}

/// Why there is no good path; the later, the nearer to success.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The search grew too wide.
    TooWide,
    /// No anchor of this use leads to it.
    Unanchored,
    /// An issuer that may not issue.
    NotAnIssuer(String),
    /// A critical extension nobody here understands.
    UnknownCritical(String),
    /// A key usage that does not allow this use.
    WrongUsage(String),
    /// A certificate outside its dates at the moment.
    OutsideDates(String),
    /// A certificate revoked before the moment.
    Revoked(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooWide => f.write_str("too many certificates of one name to try"),
            Self::Unanchored => f.write_str("no configured anchor leads to it"),
            Self::NotAnIssuer(who) => write!(f, "may not issue certificates: {who}"),
            Self::UnknownCritical(id) => write!(f, "a critical extension that is not understood: {id}"),
            Self::WrongUsage(who) => write!(f, "its key usage does not allow this: {who}"),
            Self::OutsideDates(who) => write!(f, "outside its dates at that moment: {who}"),
            Self::Revoked(who) => write!(f, "revoked by that moment: {who}"),
        }
    }
}

/// A revocation list that an issuer signed.
#[derive(Clone, Debug)]
pub struct RevocationList {
    tbs: Vec<u8>,
    issuer: Vec<u8>,
    read: CertificateList<Raw>,
}

impl RevocationList {
    /// Reads a DER list.
    ///
    /// # Errors
    /// What is wrong with its structure.
    pub fn from_der(bytes: &[u8]) -> Read<Self> {
        let outer = asn1::pieces(bytes)?;
        let [tbs, ..] = outer.as_slice() else { return Err(Malformed::new("an empty revocation list")) };
        let read = CertificateList::<Raw>::from_der(bytes)?;
        Ok(Self { tbs: tbs.to_vec(), issuer: read.tbs_cert_list.issuer.to_der()?, read })
    }

    /// Reads every list of a PEM file.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub fn from_pem_file(text: &str) -> Read<Vec<Self>> {
        pem_blocks(text, "X509 CRL")?.iter().map(|block| Self::from_der(block)).collect()
    }

    /// `None`: this list says nothing about the moment. Otherwise whether the certificate was revoked by then.
    fn revoked(&self, certificate: &Certificate, issuer: &PublicKey, at_s: u64) -> Option<bool> {
        let list = &self.read.tbs_cert_list;
        let critical = list.crl_extensions.iter().flatten().any(|extension| extension.critical);
        let signature = self.read.signature.as_bytes().and_then(|bytes| Signature::from_either(bytes).ok());
        let signed = self.issuer == certificate.issuer()
            && self.read.signature_algorithm.oid == SM2_WITH_SM3
            && signature.is_some_and(|(signature, _)| issuer.verify(&[&self.tbs], &signature).is_ok());
        if critical || !signed {
            return None;
        }
        let entry =
            list.revoked_certificates.iter().flatten().find(|e| e.serial_number.as_bytes() == certificate.serial());
        match entry {
            Some(entry) if entry.revocation_date.to_unix_duration().as_secs() <= at_s => Some(true),
            // Not revoked by then: true of every moment up to this list, and until the next one was due.
            _ => {
                let until = list.next_update.unwrap_or(list.this_update).to_unix_duration().as_secs();
                (at_s <= until).then_some(false)
            }
        }
    }
}

impl Anchors {
    /// The anchors of a use.
    #[must_use]
    pub fn of(&self, purpose: Use) -> &[Certificate] {
        match purpose {
            Use::SealMaker => &self.seal_makers,
            Use::Signer => &self.signers,
            Use::TimeStamp => &self.time_stamps,
            Use::LicenceIssuer => &self.licence_issuers,
        }
    }

    /// Looks for a path from `certificate` to an anchor of this use, as it stood at `at_s` (Unix seconds). `carried` are
    /// certificates the file brought along.
    #[must_use]
    pub fn path(&self, certificate: &Certificate, purpose: Use, at_s: u64, carried: &[Certificate]) -> Path {
        if self.of(purpose).is_empty() {
            return Path::NoAnchors;
        }
        let fits = match purpose {
            Use::TimeStamp => certificate.may_time_stamp() && certificate.may_sign(),
            _ => certificate.may_sign(),
        };
        if !fits {
            return Path::None(Fault::WrongUsage(certificate.shown()));
        }
        let mut search = Search { anchors: self, purpose, at_s, carried, tries: 0 };
        match search.climb(certificate, 0) {
            Ok(revocation_checked) => Path::Good { revocation_checked },
            Err(fault) => Path::None(fault),
        }
    }
}

struct Search<'a> {
    anchors: &'a Anchors,
    purpose: Use,
    at_s: u64,
    carried: &'a [Certificate],
    tries: usize,
}

impl Search<'_> {
    /// From a certificate upwards, with so many issuers already below it. Gives whether revocation was checked all the way.
    fn climb(&mut self, certificate: &Certificate, below: usize) -> Result<bool, Fault> {
        if let Some(id) = certificate.unknown_critical() {
            return Err(Fault::UnknownCritical(id));
        }
        if !certificate.valid_at(self.at_s) {
            return Err(Fault::OutsideDates(certificate.shown()));
        }
        let anchors = self.anchors.of(self.purpose);
        if anchors.iter().any(|anchor| anchor.der == certificate.der) {
            return Ok(true);
        }
        let mut nearest = Fault::Unanchored;
        let anchored = anchors.iter().map(|issuer| (issuer, true));
        let others = self.anchors.intermediates.iter().chain(self.carried).map(|issuer| (issuer, false));
        for (issuer, is_anchor) in anchored.chain(others) {
            if issuer.subject() != certificate.issuer() {
                continue;
            }
            self.tries += 1;
            if self.tries > TRIES_MAX || below == DEPTH_MAX {
                return Err(nearest.max(Fault::TooWide));
            }
            match self.step(certificate, issuer, is_anchor, below) {
                Ok(checked) => return Ok(checked),
                Err(fault) => nearest = nearest.max(fault),
            }
        }
        Err(nearest)
    }

    fn step(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        anchor: bool,
        below: usize,
    ) -> Result<bool, Fault> {
        let Ok(key) = issuer.key() else { return Err(Fault::Unanchored) };
        if !certificate.is_signed_by(&key) {
            return Err(Fault::Unanchored);
        }
        // An anchor is believed because it is listed: its own key usage is not asked (RFC 5280, 6.1.1 d), being a CA is.
        let allowed = if anchor { issuer.calls_itself_ca() } else { issuer.may_issue().is_some() };
        let length = issuer.may_issue().and_then(|PathLength(length)| length);
        if !allowed || length.is_some_and(|length| usize::from(length) < below) {
            return Err(Fault::NotAnIssuer(issuer.shown()));
        }
        let said: Vec<bool> = self
            .anchors
            .revocation_lists
            .iter()
            .filter_map(|list| list.revoked(certificate, &key, self.at_s))
            .collect();
        if said.contains(&true) {
            return Err(Fault::Revoked(certificate.shown()));
        }
        let above = self.climb(issuer, below + 1)?;
        Ok(above && !said.is_empty())
    }
}

/// The contents of a PEM file's blocks with this label. Lines may be of any length, as tools of all kinds write them.
pub(super) fn pem_blocks(text: &str, label: &str) -> Read<Vec<Vec<u8>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let block = |rest: &str| {
        let body = rest.split_once(end.as_str()).ok_or_else(|| Malformed::new("a PEM block without an end"))?.0;
        let digits: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        STANDARD.decode(digits).map_err(|error| Malformed::new(format!("not PEM: {error}")))
    };
    text.split(begin.as_str()).skip(1).map(block).collect()
}
