//! What a department does on its own side: look at what the hub prepared, sign it with its own key, put the request together.
//!
//! Nothing here talks to a hub, and the hub never runs any of it. A key is read, used and dropped; it is never written.
use crate::gm;
use crate::library::codes::{CalendarDate, Division, HolderCode};
use crate::library::licence::{SM2_SM3, SignedThing};
use crate::receipt::canonical;
use crate::wire::proto::exchange::v1::{Payload, PreparedLicence, payload::Answer};
use crate::wire::proto::library::v1::DepartmentSignature;
use crate::wire::proto::licence::v1::{
    ChangeLicenceRequest, Holder, IssueLicenceRequest, LicenceContent, LicenceOrder, PrepareLicenceRequest,
};
use crate::wire::proto::receipt::v1::{Operator, Purpose};
use bytes::Bytes;
use prost::Message;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// What keys of ECDSA P-256 sign with.
pub const ALGORITHM: &str = "ecdsa-p256-sha256";
/// What Ed25519 keys sign with.
pub const ALGORITHM_ED25519: &str = "ed25519";

/// Why there is nothing signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key is no unencrypted PKCS#8 key in PEM, ECDSA P-256, Ed25519 or SM2.
    #[error("the key is no PKCS#8 PEM of an ECDSA P-256, Ed25519 or SM2 key: {0}")]
    Key(String),
    /// The file holds no certificate.
    #[error("no certificate in the chain file: {0}")]
    Certificate(String),
    /// Key and certificate are not a pair.
    #[error("the certificate is not for this key")]
    NotAPair,
    /// The signing itself failed.
    #[error("signing failed")]
    Signing,
    /// The payload holds no prepared licence.
    #[error("the answer holds no prepared licence")]
    NotPrepared,
    /// The hub prepared something else than was asked for; nothing is signed.
    #[error("the hub prepared another {0} than was asked for; nothing was signed")]
    Differs(&'static str),
}

/// A department's signing key with its certificate chain.
pub struct DepartmentKey {
    pair: Pair,
    random: SystemRandom,
    chain: Vec<Bytes>,
}

/// The kinds of keys a department may have.
enum Pair {
    Sm2(gm::PrivateKey, Vec<u8>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    fn parse(pkcs8: &[u8], random: &SystemRandom) -> Result<Self, SignError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Ok(Self::Ed25519(pair));
        }
        if let Ok(key) = gm::PrivateKey::from_pkcs8_der(pkcs8) {
            let point = key.public_key().map_err(|e| SignError::Key(e.to_string()))?.point();
            return Ok(Self::Sm2(key, point));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, random);
        pair.map(Self::P256).map_err(|e| SignError::Key(e.to_string()))
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::P256(pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
            Self::Sm2(_, point) => point,
        }
    }
}

impl DepartmentKey {
    /// Reads a PKCS#8 PEM key (ECDSA P-256, Ed25519 or SM2) and a PEM chain, the signer's certificate first.
    ///
    /// # Errors
    /// A [`SignError`]: unreadable files, another kind of key, a certificate that is not for the key.
    pub fn load(key_pem: &Path, chain_pem: &Path) -> Result<Self, SignError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| SignError::File { path: path.to_owned(), source });
        Self::parse(&Zeroizing::new(read(key_pem)?), &read(chain_pem)?)
    }

    /// As [`load`](Self::load), from the files' bytes.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(key_pem: &[u8], chain_pem: &[u8]) -> Result<Self, SignError> {
        let random = SystemRandom::new();
        let der = PrivatePkcs8KeyDer::from_pem_slice(key_pem).map_err(|e| SignError::Key(e.to_string()))?;
        let pair = Pair::parse(der.secret_pkcs8_der(), &random)?;
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(chain_pem) {
            let der = certificate.map_err(|e| SignError::Certificate(e.to_string()))?;
            let parsed =
                CertificateInner::<Raw>::from_der(der.as_ref()).map_err(|e| SignError::Certificate(e.to_string()))?;
            let tbs = parsed.tbs_certificate();
            if chain.is_empty() {
                let public = tbs.subject_public_key_info().subject_public_key.raw_bytes();
                if public != pair.public() {
                    return Err(SignError::NotAPair);
                }
            } else if tbs.issuer() == tbs.subject() {
                continue; // the root: whoever verifies has it
            }
            chain.push(Bytes::copy_from_slice(der.as_ref()));
        }
        if chain.is_empty() {
            return Err(SignError::Certificate("the file is empty".into()));
        }
        Ok(Self { pair, random, chain })
    }

    /// SHA-256 of the signer's certificate, as `DistrustIssuerKey` names it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.chain.first().map(Sha256::digest).unwrap_or_default().into()
    }

    /// Signs `"wuku/<thing>/v1" ‖ 0x00 ‖ bytes`.
    ///
    /// # Errors
    /// [`SignError::Signing`] where the system gives no randomness.
    pub fn sign(&self, thing: SignedThing, bytes: &[u8]) -> Result<DepartmentSignature, SignError> {
        let message = thing.message(bytes);
        let (algorithm, value) = match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&self.random, &message).map_err(|_| SignError::Signing)?;
                (ALGORITHM, Bytes::copy_from_slice(signature.as_ref()))
            }
            Pair::Ed25519(pair) => (ALGORITHM_ED25519, Bytes::copy_from_slice(pair.sign(&message).as_ref())),
            Pair::Sm2(key, _) => (SM2_SM3, key.sign(&[&message]).map_err(|_| SignError::Signing)?.to_der().into()),
        };
        Ok(DepartmentSignature { algorithm: algorithm.to_owned(), chain: self.chain.clone(), value })
    }

    /// Signs a prepared licence, after a look whether it says what was asked for, and puts the request together.
    ///
    /// # Errors
    /// [`SignError::Differs`] where the hub changed something: a department signs only what it meant.
    pub fn issue(
        &self,
        asked: &PrepareLicenceRequest,
        prepared: &PreparedLicence,
        request_id: &str,
    ) -> Result<IssueLicenceRequest, SignError> {
        look(asked, prepared)?;
        Ok(IssueLicenceRequest {
            request_id: request_id.to_owned(),
            content: prepared.content.clone(),
            ticket: prepared.ticket.clone(),
            signature: Some(self.sign(SignedThing::Licence, &prepared.content)?),
            purpose: asked.purpose.clone(),
            operator: asked.operator.clone(),
            file_sm3: Bytes::new(), // the caller adds it, where there is a file
        })
    }

    /// Signs an order and puts the request together. Its `format` is set here.
    ///
    /// # Errors
    /// [`SignError::Signing`].
    pub fn change(
        &self,
        order: &LicenceOrder,
        request_id: &str,
        purpose: Option<Purpose>,
        operator: Option<Operator>,
    ) -> Result<ChangeLicenceRequest, SignError> {
        let order = Bytes::from(LicenceOrder { format: 1, ..order.clone() }.encode_to_vec());
        let signature = Some(self.sign(SignedThing::Order, &order)?);
        let request_id = request_id.to_owned();
        Ok(ChangeLicenceRequest { request_id, order, signature, purpose, operator, ..Default::default() })
    }

    /// As [`change`](Self::change) for an amending or renewing order: the new version is looked at, signed and named by it.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn replace(
        &self,
        order: &LicenceOrder,
        asked: &PrepareLicenceRequest,
        prepared: &PreparedLicence,
        request_id: &str,
    ) -> Result<ChangeLicenceRequest, SignError> {
        look(asked, prepared)?;
        let new_content_sha256 = Bytes::copy_from_slice(&Sha256::digest(&prepared.content));
        let order = LicenceOrder { new_content_sha256, ..order.clone() };
        let request = self.change(&order, request_id, asked.purpose.clone(), asked.operator.clone())?;
        Ok(ChangeLicenceRequest {
            new_content: prepared.content.clone(),
            new_ticket: prepared.ticket.clone(),
            new_signature: Some(self.sign(SignedThing::Licence, &prepared.content)?),
            ..request
        })
    }
}

/// The prepared licence in the payload of a `PrepareLicenceResponse`.
///
/// # Errors
/// [`SignError::NotPrepared`] for any other payload.
pub fn prepared(payload: &[u8]) -> Result<PreparedLicence, SignError> {
    match canonical::decode::<Payload>(payload).ok().and_then(|payload| payload.answer) {
        Some(Answer::PreparedLicence(prepared)) => Ok(prepared),
        _ => Err(SignError::NotPrepared),
    }
}

/// Whether the prepared bytes say what was asked for; the identifier, the names of type and issuer are the hub's to fill.
fn look(asked: &PrepareLicenceRequest, prepared: &PreparedLicence) -> Result<LicenceContent, SignError> {
    let content: LicenceContent = canonical::decode(&prepared.content).map_err(|_| SignError::NotPrepared)?;
    // The hub may bring these into their canonical form (spaces, a 15-digit number), never make them others.
    let holder = |h: &Holder| {
        let code = h.code.clone().unwrap_or_default();
        let code =
            HolderCode::parse(&code.code_type, &code.code).map(|code| (code.code_type(), code.code().to_owned()));
        (code.ok(), h.name.clone())
    };
    let holders = |all: &[Holder]| all.iter().map(holder).collect::<Vec<_>>();
    let filled = asked.face_fields.iter().filter(|f| !f.value.trim().is_empty());
    let face = filled.clone().count() == content.face_fields.len()
        && filled.into_iter().all(|f| {
            content.face_fields.iter().any(|g| g.name == f.name && same_value(f.value.trim(), g.value.trim()))
        });
    let same = [
        ("identifier", content.licence_id == prepared.licence_id),
        ("licence type", content.type_code == asked.type_code),
        ("number", content.number == asked.number.trim()),
        ("holder", holders(&content.holders) == holders(&asked.holders)),
        ("day of issue", content.issued_on == asked.issued_on),
        ("first valid day", content.valid_from == asked.valid_from),
        ("last valid day", content.valid_until == asked.valid_until),
        ("division", content.division == asked.division),
        ("previous version", content.previous_licence_id == asked.previous_licence_id),
        ("face", face),
        ("item", content.item_code == asked.item_code),
    ];
    match same.iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(SignError::Differs(what)),
        None => Ok(content),
    }
}

/// One value in two spellings: the hub writes dates, numbers and codes in their canonical form.
fn same_value(asked: &str, given: &str) -> bool {
    let date = |text: &str| CalendarDate::parse(text).ok();
    let number = |text: &str| text.parse::<i64>().ok();
    let division = |text: &str| Division::parse(text).ok();
    let holder = |kind: &'static str| move |text: &str| HolderCode::parse(kind, text).ok();
    asked == given
        || same(date, asked, given)
        || same(number, asked, given)
        || same(division, asked, given)
        || same(holder("111"), asked, given)
        || same(holder("001"), asked, given)
}

fn same<T: PartialEq>(read: impl Fn(&str) -> Option<T>, asked: &str, given: &str) -> bool {
    read(asked).is_some_and(|asked| read(given) == Some(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev_certs::{DevCerts, DevDepartment};
    use crate::clock::Clock;
    use crate::failure::Reason;
    use crate::library::licence::IssuerTrust;
    use crate::wire::proto::library::v1::{Field, HolderCode as Code};
    use crate::wire::proto::licence::v1::OrderAction;
    use std::collections::HashSet;

    const USCC: &str = "11100000000013338W";
    const OTHER: &str = "11331023MB0T74698J";

    struct House {
        _folder: tempfile::TempDir,
        certs: DevCerts,
        trust: IssuerTrust,
    }

    fn house() -> House {
        let folder = tempfile::tempdir().unwrap();
        let department =
            |uscc: &str| DevDepartment { uscc: uscc.into(), name: "演示市市场监督管理局".into() };
        let departments = [department(USCC), department(OTHER)];
        let certs = DevCerts::make(folder.path(), "hub.test", &[], &departments, &Clock::system()).unwrap();
        let anchor = certs.authority(crate::cli::dev_certs::Authority::Issuer).certificate;
        let anchors = vec![CertificateDer::from_pem_slice(&std::fs::read(anchor).unwrap()).unwrap()];
        House { _folder: folder, certs, trust: IssuerTrust::new(anchors, vec![], HashSet::new()).unwrap() }
    }

    fn key(house: &House) -> DepartmentKey {
        let pair = house.certs.issuer(USCC);
        DepartmentKey::load(&pair.key, &pair.certificate).unwrap()
    }

    fn asked() -> PrepareLicenceRequest {
        let code = Code { code_type: "111".into(), code: "11010519491231002x".into() };
        PrepareLicenceRequest {
            type_code: "t".into(),
            number: " 1 ".into(),
            holders: vec![Holder { code: Some(code), name: "张·三".into() }],
            face_fields: vec![Field { name: "a".into(), value: "1".into(), masked: false }],
            ..Default::default()
        }
    }

    fn prepared_as(asked: &PrepareLicenceRequest, bend: impl Fn(&mut LicenceContent)) -> PreparedLicence {
        let code = Code { code_type: "111".into(), code: "11010519491231002X".into() };
        let mut content = LicenceContent {
            format: 1,
            licence_id: "id".into(),
            type_code: asked.type_code.clone(),
            number: "1".into(),
            holders: vec![Holder { code: Some(code), name: "张·三".into() }],
            face_fields: asked.face_fields.clone(),
            ..Default::default()
        };
        bend(&mut content);
        PreparedLicence { content: content.encode_to_vec().into(), ticket: "t".into(), licence_id: "id".into() }
    }

    #[test]
    fn what_a_department_signs_the_hub_accepts_under_its_label_only() {
        let house = house();
        let now_ms = Clock::system().now_ms();
        let signature = key(&house).sign(SignedThing::Licence, b"bytes").unwrap();
        let signer = house.trust.verify(SignedThing::Licence, b"bytes", &signature, now_ms).unwrap();
        assert_eq!((signer.uscc.as_str(), signer.fingerprint), (USCC, key(&house).fingerprint()));
        for (thing, bytes) in [(SignedThing::Order, &b"bytes"[..]), (SignedThing::Licence, b"byte")] {
            let refused = house.trust.verify(thing, bytes, &signature, now_ms).unwrap_err();
            assert_eq!(refused.reason, Reason::SignatureInvalid);
        }
    }

    #[test]
    fn an_ed25519_key_of_a_department_is_as_good_and_signs_the_same_twice() {
        let house = house();
        let department = DevDepartment { uscc: USCC.into(), name: "演示市市场监督管理局".into() };
        let validity = crate::cli::dev_certs::Validity::days(&Clock::system(), 2);
        let pair = house.certs.make_issuer_ed25519(&department, validity).unwrap();
        let key = DepartmentKey::load(&pair.key, &pair.certificate).unwrap();
        let signature = key.sign(SignedThing::Licence, b"bytes").unwrap();
        assert_eq!(signature, key.sign(SignedThing::Licence, b"bytes").unwrap());
        let now_ms = Clock::system().now_ms();
        let signer = house.trust.verify(SignedThing::Licence, b"bytes", &signature, now_ms).unwrap();
        assert_eq!((signer.uscc.as_str(), signer.fingerprint), (USCC, key.fingerprint()));
        assert!(house.trust.verify(SignedThing::Order, b"bytes", &signature, now_ms).is_err());
    }

    #[test]
    fn a_key_and_a_certificate_that_are_no_pair_are_refused() {
        let house = house();
        let (ours, theirs) = (house.certs.issuer(USCC), house.certs.issuer(OTHER));
        assert!(matches!(DepartmentKey::load(&ours.key, &theirs.certificate), Err(SignError::NotAPair)));
        assert!(matches!(DepartmentKey::load(&ours.certificate, &ours.certificate), Err(SignError::Key(_))));
        assert!(matches!(DepartmentKey::load(&ours.key, &ours.key), Err(SignError::Certificate(_))));
        let nowhere = DepartmentKey::load(Path::new("/nowhere"), &ours.certificate);
        assert!(matches!(nowhere, Err(SignError::File { .. })));
    }

    #[test]
    fn the_root_is_left_out_of_the_chain() {
        let house = house();
        let ours = house.certs.issuer(USCC);
        let root = house.certs.authority(crate::cli::dev_certs::Authority::Issuer).certificate;
        let both = [std::fs::read(&ours.certificate).unwrap(), std::fs::read(root).unwrap()].concat();
        let key = DepartmentKey::parse(&std::fs::read(&ours.key).unwrap(), &both).unwrap();
        assert_eq!(key.chain.len(), 1);
    }

    #[test]
    fn only_what_was_asked_for_is_signed() {
        let (house, asked) = (house(), asked());
        let key = key(&house);
        let request = key.issue(&asked, &prepared_as(&asked, |_| ()), "r").unwrap();
        let now_ms = Clock::system().now_ms();
        house.trust.verify(SignedThing::Licence, &request.content, &request.signature.unwrap(), now_ms).unwrap();
        #[expect(clippy::type_complexity, reason = "a table of a test")]
        let bends: [(&str, fn(&mut LicenceContent)); 6] = [
            ("holder", |c| c.holders[0].name = "李四".into()),
            ("face", |c| c.face_fields[0].value = "2".into()),
            ("face", |c| c.face_fields.push(Field { name: "b".into(), value: "1".into(), masked: false })),
            ("number", |c| c.number = "2".into()),
            ("identifier", |c| c.licence_id = "other".into()),
            ("last valid day", |c| c.valid_until = Some(Default::default())),
        ];
        for (what, bend) in bends {
            let refused = key.issue(&asked, &prepared_as(&asked, bend), "r");
            assert!(matches!(refused, Err(SignError::Differs(named)) if named == what), "{what}");
        }
    }

    #[test]
    fn another_spelling_is_the_same_value_and_another_value_is_not() {
        for (asked, given) in [("2024/1/2", "2024-01-02"), ("11010519491231002x", "11010519491231002X"), ("07", "7")] {
            assert!(same_value(asked, given), "{asked}");
        }
        for (asked, given) in [("2024-01-02", "2024-01-03"), ("张三", "张四"), ("7", "8"), ("x", "")] {
            assert!(!same_value(asked, given), "{asked}");
        }
    }

    #[test]
    fn a_replacing_order_names_the_bytes_of_the_new_version() {
        let (house, asked) = (house(), asked());
        let new = prepared_as(&asked, |_| ());
        let order = LicenceOrder { action: OrderAction::Amend.into(), licence_id: "old".into(), ..Default::default() };
        let request = key(&house).replace(&order, &asked, &new, "r").unwrap();
        let sent: LicenceOrder = canonical::decode(&request.order).unwrap();
        assert_eq!((sent.format, sent.licence_id.as_str()), (1, "old"));
        assert_eq!(sent.new_content_sha256.as_ref(), Sha256::digest(&request.new_content).as_slice());
        let now_ms = Clock::system().now_ms();
        house.trust.verify(SignedThing::Order, &request.order, &request.signature.unwrap(), now_ms).unwrap();
        let signed = request.new_signature.unwrap();
        house.trust.verify(SignedThing::Licence, &request.new_content, &signed, now_ms).unwrap();
    }
}
