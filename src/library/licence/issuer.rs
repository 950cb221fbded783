//! Who signed: a department's certificate, its chain to a CA listed for issuers, and the signature itself.
//!
//! Chains are judged by webpki (basic constraints, path, validity, revocation), those of SM2 by [`crate::seal::chain`] under the same
//! rules; this file adds what is the hub's own rule: the certificate's O begins with the authority's USCC (as government signer
//! certificates have it), and it is no key of the hub.
use crate::failure::{Failure, Reason};
use crate::gm;
use crate::seal::certificate::{Certificate as Sm2Certificate, SM2_WITH_SM3};
use crate::seal::chain::{Anchors, Fault, Path, RevocationList, Use};
use crate::wire::proto::library::v1::DepartmentSignature;
use crate::wire::proto::receipt::v1::CallerSignature;
use arc_swap::ArcSwap;
use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, UnixTime};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::time::Duration;
use webpki::{BorrowedCertRevocationList, CertRevocationList, EndEntityCert, RevocationOptionsBuilder};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode, Encode};

/// What a department signs: the label in front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedThing {
    /// A licence's content.
    Licence,
    /// A change order.
    Order,
    /// An import's manifest.
    Manifest,
    /// A caller's question.
    Question,
}

impl SignedThing {
    /// `"wuku/<thing>/v1" ‖ 0x00 ‖ bytes`.
    #[must_use]
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        let label: &[u8] = match self {
            Self::Licence => b"wuku/licence/v1\0",
            Self::Order => b"wuku/order/v1\0",
            Self::Manifest => b"wuku/manifest/v1\0",
            Self::Question => b"wuku/question/v1\0",
        };
        [label, bytes].concat()
    }
}

/// The name of SM2 with SM3 in a signature: DER of r and s (GM/T 0009), default user id (GM/T 0009, 10).
pub const SM2_SM3: &str = "sm2-sm3";

/// The CAs listed for issuers, their revocation lists, and the hub's own keys, read from files.
#[derive(Default)]
pub struct IssuerTrust {
    /// DER certificates of the listed CAs that webpki judges by.
    anchors: Vec<CertificateDer<'static>>,
    /// DER revocation lists of these.
    crls: Vec<CertificateRevocationListDer<'static>>,
    /// The listed SM2 CAs and their revocation lists.
    sm2: Anchors,
    /// SHA-256 of the public key (SPKI DER, or the raw key) of everything the hub itself holds a key for.
    hub_keys: HashSet<[u8; 32]>,
}

/// The same, replaceable while the hub runs.
pub type Issuers = ArcSwap<IssuerTrust>;

/// A signer whose chain and signature hold.
#[derive(Clone, Debug)]
pub struct Signer {
    /// USCC of the authority, from the certificate's O.
    pub uscc: String,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: [u8; 32],
}

/// A signer's certificate whose chain held when it was judged.
#[derive(Clone, Debug)]
pub struct Certified {
    uscc: Option<String>,
    fingerprint: [u8; 32],
    key: SignerKey,
    leaf: CertificateDer<'static>,
    chain: Vec<Bytes>,
}

/// How a signer's signatures are verified.
#[derive(Clone, Debug)]
enum SignerKey {
    /// What webpki's own verifier needs three times as long for.
    Ed25519(VerifyingKey),
    /// SM2, of the default user id.
    Sm2(gm::PublicKey),
    /// By webpki, over the certificate.
    Webpki,
}

impl Certified {
    /// Verifies a signature of this signer.
    ///
    /// # Errors
    /// [`Reason::SignatureInvalid`]; [`Reason::IssuerMismatch`] where O names no USCC.
    pub fn verify(
        &self,
        thing: SignedThing,
        bytes: &[u8],
        algorithm_name: &str,
        value: &[u8],
    ) -> Result<Signer, Failure> {
        let invalid = |why: String| Failure::new(Reason::SignatureInvalid).because(why);
        let message = thing.message(bytes);
        match (&self.key, algorithm_name) {
            (SignerKey::Sm2(key), SM2_SM3) => {
                // One signature, one encoding: raw r and s, or DER with anything about it, is another thing.
                let signature = gm::Signature::from_der(value).map_err(|e| invalid(e.to_string()))?;
                key.verify(&[&message], &signature).map_err(|e| invalid(e.to_string()))?;
            }
            (SignerKey::Sm2(_), other) | (_, other @ SM2_SM3) => {
                return Err(invalid(format!("{other:?} is not an algorithm of the certificate's key")));
            }
            (SignerKey::Ed25519(key), "ed25519") => {
                // Strict: no key and no R of small order, S reduced (RFC 8032 5.1.7, and what most libraries leave out).
                let signature = Signature::from_slice(value).map_err(|e| invalid(e.to_string()))?;
                key.verify_strict(&message, &signature).map_err(|e| invalid(e.to_string()))?;
            }
            (SignerKey::Ed25519(_) | SignerKey::Webpki, name) => {
                let end = EndEntityCert::try_from(&self.leaf).map_err(|e| invalid(e.to_string()))?;
                end.verify_signature(algorithm(name)?, &message, value).map_err(|e| invalid(e.to_string()))?;
            }
        }
        self.signer()
    }

    /// Who it is the certificate of.
    ///
    /// # Errors
    /// [`Reason::IssuerMismatch`] where O names no USCC.
    pub fn signer(&self) -> Result<Signer, Failure> {
        let uscc = self.uscc.clone();
        let uscc = uscc.ok_or_else(|| Failure::new(Reason::IssuerMismatch).because("O names no USCC"))?;
        Ok(Signer { uscc, fingerprint: self.fingerprint })
    }

    /// SHA-256 of the certificate's DER.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The chain as it was sent.
    #[must_use]
    pub fn chain(&self) -> &[Bytes] {
        &self.chain
    }
}

/// Verifies a caller's signature over its question by the very certificate it connected with, so that no chain is needed; `None`
/// where it is signed with another certificate.
///
/// # Errors
/// [`Reason::SignatureInvalid`].
pub fn verify_question(
    bytes: &[u8],
    signature: &CallerSignature,
    fingerprint: &[u8; 32],
) -> Result<Option<()>, Failure> {
    let invalid = |why: String| Failure::new(Reason::SignatureInvalid).because(why);
    let leaf = signature.chain.first().ok_or_else(|| invalid("no certificate was sent".into()))?;
    if Sha256::digest(leaf).as_slice() != fingerprint {
        return Ok(None);
    }
    let leaf = CertificateDer::from(leaf.to_vec());
    let end = EndEntityCert::try_from(&leaf).map_err(|e| invalid(e.to_string()))?;
    let message = SignedThing::Question.message(bytes);
    end.verify_signature(algorithm(&signature.algorithm)?, &message, &signature.value)
        .map(Some)
        .map_err(|e| invalid(e.to_string()))
}

fn algorithm(name: &str) -> Result<&'static dyn SignatureVerificationAlgorithm, Failure> {
    match name {
        "ecdsa-p256-sha256" => Ok(webpki::ring::ECDSA_P256_SHA256),
        "ed25519" => Ok(webpki::ring::ED25519),
        other => Err(Failure::new(Reason::SignatureInvalid).because(format!("unknown algorithm {other:?}"))),
    }
}

impl IssuerTrust {
    /// From what the files hold: DER certificates of the listed CAs, DER revocation lists, SHA-256 of the public keys (SPKI DER, or raw)
    /// of everything the hub itself holds a key for. What is SM2 is set apart, because webpki knows no SM2.
    ///
    /// # Errors
    /// Which SM2 certificate or revocation list does not read, or is not of a CA.
    pub fn new(
        anchors: Vec<CertificateDer<'static>>,
        crls: Vec<CertificateRevocationListDer<'static>>,
        hub_keys: HashSet<[u8; 32]>,
    ) -> Result<Self, String> {
        let mut trust = Self { hub_keys, ..Self::default() };
        for anchor in anchors {
            match Sm2Certificate::from_der(&anchor).ok().filter(|certificate| certificate.key().is_ok()) {
                Some(certificate) if certificate.calls_itself_ca() => trust.sm2.licence_issuers.push(certificate),
                Some(certificate) => return Err(format!("{} is no CA", certificate.shown())),
                None => trust.anchors.push(anchor),
            }
        }
        for crl in crls {
            let by_sm2 =
                CertificateList::<Raw>::from_der(&crl).is_ok_and(|list| list.signature_algorithm.oid == SM2_WITH_SM3);
            if by_sm2 {
                let list = RevocationList::from_der(&crl).map_err(|e| format!("an SM2 revocation list: {e}"))?;
                trust.sm2.revocation_lists.push(list);
            } else {
                trust.crls.push(crl);
            }
        }
        Ok(trust)
    }

    /// Verifies a department's signature over a thing: chain, standing now, no key of the hub, signature.
    ///
    /// # Errors
    /// Those of [`IssuerTrust::certify`] and [`Certified::verify`].
    pub fn verify(
        &self,
        thing: SignedThing,
        bytes: &[u8],
        signature: &DepartmentSignature,
        now_ms: u64,
    ) -> Result<Signer, Failure> {
        self.certify(&signature.chain, now_ms)?.verify(thing, bytes, &signature.algorithm, &signature.value)
    }

    /// Judges a certificate chain, the signer's own first: listed CA, standing now, no key of the hub. What many things are signed
    /// with is so judged once for all of them.
    ///
    /// # Errors
    /// [`Reason::HubKeyNotAllowed`], [`Reason::IssuerCertificateUntrusted`], [`Reason::IssuerCertificateExpired`],
    /// [`Reason::IssuerCertificateRevoked`].
    pub fn certify(&self, chain: &[Bytes], now_ms: u64) -> Result<Certified, Failure> {
        let untrusted = |why: String| Failure::new(Reason::IssuerCertificateUntrusted).because(why);
        let mut ders = chain.iter().map(|der| CertificateDer::from(der.to_vec()));
        let leaf = ders.next().ok_or_else(|| untrusted("no certificate was sent".into()))?;
        let intermediates: Vec<CertificateDer<'_>> = ders.collect();
        let parsed = CertificateInner::<Raw>::from_der(leaf.as_ref())
            .map_err(|e| untrusted(format!("not a certificate: {e}")))?;
        let spki = parsed.tbs_certificate().subject_public_key_info();
        let spki_der = spki.to_der().map_err(|e| untrusted(e.to_string()))?;
        let raw = spki.subject_public_key.raw_bytes();
        if [spki_der.as_slice(), raw].iter().any(|key| self.hub_keys.contains::<[u8; 32]>(&Sha256::digest(key).into()))
        {
            return Err(Failure::new(Reason::HubKeyNotAllowed));
        }
        let sm2 =
            Sm2Certificate::from_der(&leaf).ok().and_then(|certificate| Some((certificate.key().ok()?, certificate)));
        let key = if let Some((key, certificate)) = sm2 {
            self.verify_sm2_chain(&certificate, chain, now_ms)?;
            SignerKey::Sm2(key)
        } else {
            let end = EndEntityCert::try_from(&leaf).map_err(|e| untrusted(e.to_string()))?;
            self.verify_chain(&end, &intermediates, now_ms)?;
            let key = (spki.algorithm.oid == ID_ED25519).then(|| raw.try_into().ok()).flatten();
            let key = key.and_then(|key: [u8; 32]| VerifyingKey::from_bytes(&key).ok());
            key.map_or(SignerKey::Webpki, SignerKey::Ed25519)
        };
        let fingerprint = Sha256::digest(leaf.as_ref()).into();
        Ok(Certified { uscc: organisation_uscc(&parsed), fingerprint, key, leaf, chain: chain.to_vec() })
    }

    /// What webpki does for the others: a listed CA, no CA as signer, dates, key usage, and a revocation list in date for each
    /// certificate of the path wherever lists are configured at all.
    fn verify_sm2_chain(&self, leaf: &Sm2Certificate, chain: &[Bytes], now_ms: u64) -> Result<(), Failure> {
        let untrusted = |why: String| Failure::new(Reason::IssuerCertificateUntrusted).because(why);
        if leaf.calls_itself_ca() {
            return Err(untrusted("a CA's own certificate signs certificates, not licences".into()));
        }
        if leaf.kept_to_other_uses() {
            return Err(untrusted("its extended key usage keeps it to other uses".into()));
        }
        let carried = chain.iter().skip(1).map(|der| Sm2Certificate::from_der(der));
        let carried = carried.collect::<Result<Vec<_>, _>>().map_err(|e| untrusted(e.to_string()))?;
        match self.sm2.path(leaf, Use::LicenceIssuer, now_ms / 1_000, &carried) {
            Path::Good { revocation_checked: true } => Ok(()),
            Path::Good { .. } if self.crls.is_empty() && self.sm2.revocation_lists.is_empty() => Ok(()),
            Path::Good { .. } => Err(untrusted("no revocation list in date covers it".into())),
            Path::NoAnchors => Err(untrusted("no SM2 CA is listed for issuers".into())),
            Path::None(fault) => Err(Failure::new(match fault {
                Fault::OutsideDates(_) => Reason::IssuerCertificateExpired,
                Fault::Revoked(_) => Reason::IssuerCertificateRevoked,
                _ => Reason::IssuerCertificateUntrusted,
            })
            .because(fault)),
        }
    }

    fn verify_chain(
        &self,
        end: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now_ms: u64,
    ) -> Result<(), Failure> {
        let failed = |reason| move |e: webpki::Error| Failure::new(reason).because(e);
        let anchors = self.anchors.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>();
        let anchors = anchors.map_err(failed(Reason::IssuerCertificateUntrusted))?;
        let crls = self
            .crls
            .iter()
            .map(|der| BorrowedCertRevocationList::from_der(der.as_ref()).map(CertRevocationList::from));
        let crls = crls.collect::<Result<Vec<_>, _>>().map_err(failed(Reason::IssuerCertificateUntrusted))?;
        let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&crls)
            .ok()
            .map(|b| b.with_expiration_policy(webpki::ExpirationPolicy::Enforce).build());
        // Issuer certificates carry no extended key usage of ours: any is taken, absent too.
        let usage = webpki::KeyUsage::required_if_present(ANY_EXTENDED_KEY_USAGE);
        end.verify_for_usage(
            &[webpki::ring::ECDSA_P256_SHA256, webpki::ring::ECDSA_P384_SHA384, webpki::ring::ED25519],
            &anchors,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_millis(now_ms)),
            usage,
            revocation,
            None,
        )
        .map(|_| ())
        .map_err(|error| {
            use webpki::Error as E;
            let reason = match &error {
                E::CertExpired { .. } | E::CertNotValidYet { .. } => Reason::IssuerCertificateExpired,
                E::CertRevoked => Reason::IssuerCertificateRevoked,
                _ => Reason::IssuerCertificateUntrusted,
            };
            Failure::new(reason).because(error)
        })
    }
}

/// 1.3.101.112, id-Ed25519 (RFC 8410).
const ID_ED25519: x509_cert::der::asn1::ObjectIdentifier =
    x509_cert::der::asn1::ObjectIdentifier::new_unwrap("1.3.101.112");
/// 2.5.29.37.0, anyExtendedKeyUsage.
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// The USCC at the head of the subject's O (seen so in government signer certificates: code, then name).
fn organisation_uscc(certificate: &CertificateInner<Raw>) -> Option<String> {
    // 2.5.4.10 organizationName
    let organisation = x509_cert::der::asn1::ObjectIdentifier::new_unwrap("2.5.4.10");
    let subject = certificate.tbs_certificate().subject();
    let attribute = subject.iter().find(|attribute| attribute.oid == organisation)?;
    let text = std::str::from_utf8(attribute.value.value()).ok()?;
    let uscc = text.get(0..18)?;
    crate::library::codes::Uscc::parse(uscc).ok().map(|code| code.as_str().to_owned())
}
