//! A log key in a token behind PKCS#11: made there, never leaving it, found again by its label.
//!
//! The device's driver is a shared library the operator names; loading it is cryptoki's. The numbers of mechanisms are configured, because
//! those of SM2 are each vendor's own. What the token signs is verified before it is believed: a wrong mechanism shows at the start.
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};

use super::{KeyFault, passphrase};
use crate::config::Pkcs11;
use crate::gm;
use crate::log::key::Signer;
use crate::log::{LogKey, SuiteName, VerifierKey};

/// CKM_EDDSA (PKCS#11 3.0).
const EDDSA: u64 = 0x1057;
/// CKM_EC_EDWARDS_KEY_PAIR_GEN (PKCS#11 3.0).
const EDWARDS_KEY_PAIR: u64 = 0x1055;
/// The name of the curve, as PrintableString (PKCS#11 3.0, 2.3.5).
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";
/// The SM2 curve, 1.2.156.10197.1.301.
const SM2_CURVE: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

/// Why a token does not sign; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// The driver cannot be loaded.
    #[error(
        "无法加载密码设备驱动 {0}，请检查 keys.pkcs11.module。The PKCS#11 module {0} does not load, see keys.pkcs11.module: {1}"
    )]
    Module(PathBuf, String),
    /// No token of that label.
    #[error(
        "没有标签为 {0} 的密码设备，请插入或检查 keys.pkcs11.token_label。No token is labelled {0}: insert it, or see keys.pkcs11.token_label."
    )]
    NoSuchToken(String),
    /// The PIN's file.
    #[error("keys.pkcs11.pin_file: {0}")]
    PinFile(String),
    /// A wrong PIN.
    #[error(
        "密码设备口令（PIN）不正确；勿反复尝试，以免锁定。The PIN is wrong, see keys.pkcs11.pin_file: do not try on, the token locks itself."
    )]
    WrongPin,
    /// Too many wrong ones.
    #[error(
        "密码设备口令（PIN）已锁定，请由管理员解锁。The PIN is locked: have the token's security officer unlock it."
    )]
    PinLocked,
    /// No key of that label.
    #[error(
        "密码设备内没有标签为 {0} 的密钥。The token holds no key labelled {0}: it is another token, or the key was removed."
    )]
    NoSuchKey(String),
    /// The token's key is another one than the file says.
    #[error(
        "密码设备内标签为 {0} 的密钥与密钥文件不符。The token's key labelled {0} is not the one the key file names."
    )]
    OtherKey(String),
    /// A mechanism the token does not know.
    #[error(
        "密码设备不支持机制 {0:#x}，请按厂商手册设置 {1}。The token does not know mechanism {0:#x}: set {1} as its vendor's manual says."
    )]
    Mechanism(u64, &'static str),
    /// SM2 has no common number.
    #[error("SM2 的机制号由厂商定义，请设置 {0}。SM2 mechanisms are vendor-defined: set {0}.")]
    MechanismUnset(&'static str),
    /// What came back is no signature of this key.
    #[error(
        "密码设备给出的签名无法验证，请检查 keys.pkcs11.sign_mechanism。The token's signature does not verify: is keys.pkcs11.sign_mechanism right?"
    )]
    NotItsSignature,
    /// Anything else the driver says, a token taken away too.
    #[error("密码设备出错（可能已拔出）。The token failed, or was taken away: {0}")]
    Failed(String),
}

impl From<Error> for TokenFault {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _) => Self::WrongPin,
            Error::Pkcs11(RvError::PinLocked, _) => Self::PinLocked,
            other => Self::Failed(other.to_string()),
        }
    }
}

type Done<T> = Result<T, TokenFault>;

/// Makes a key in the token, under a label of its own.
///
/// # Errors
/// A [`TokenFault`].
pub fn generate(token: &Pkcs11, name: &str, suite: SuiteName) -> Done<LogKey> {
    let failed = |why: &dyn std::fmt::Display| TokenFault::Failed(why.to_string());
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| failed(&e))?;
    let label = format!("{}-{:08x}", token.key_label, u32::from_be_bytes(random));
    let session = log_in(token, true)?;
    let number = match (token.generate_mechanism, suite) {
        (Some(number), _) => number,
        (None, SuiteName::Ed25519) => EDWARDS_KEY_PAIR,
        (None, SuiteName::Sm2) => return Err(TokenFault::MechanismUnset("keys.pkcs11.generate_mechanism")),
    };
    sign_mechanism(token, suite)?;
    let curve = match suite {
        SuiteName::Ed25519 => EDWARDS25519,
        SuiteName::Sm2 => SM2_CURVE,
    };
    let id = random.to_vec();
    let named = [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id)];
    let public = [&named[..], &[Attribute::EcParams(curve.to_vec()), Attribute::Verify(true)]].concat();
    let private = [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
    let private = [&named[..], &private, &[Attribute::Sign(true)]].concat();
    let made = session.generate_key_pair(&mechanism(number)?, &public, &private);
    let (public, _) = made.map_err(|e| of_mechanism(e, number, "keys.pkcs11.generate_mechanism"))?;
    let point = point_of(&session, public, suite)?;
    let verifier = VerifierKey::new(name, suite, point).map_err(|e| failed(&e))?;
    drop(session);
    open(token, &label, &verifier)
}

/// The key of that label, held against the public key its file names, and tried once.
///
/// # Errors
/// A [`TokenFault`].
pub fn open(token: &Pkcs11, label: &str, verifier: &VerifierKey) -> Done<LogKey> {
    let held =
        Held { token: token.clone(), label: label.to_owned(), verifier: verifier.clone(), open: Mutex::new(None) };
    held.signed(b"wuku: is this the key")?;
    Ok(LogKey::held(verifier.clone(), Box::new(held)))
}

/// Whether driver, token and PIN are right.
///
/// # Errors
/// A [`TokenFault`].
pub fn look(token: &Pkcs11) -> Done<()> {
    log_in(token, false).map(|_| ())
}

/// A key in a token; one session, used by one signature at a time.
struct Held {
    token: Pkcs11,
    label: String,
    verifier: VerifierKey,
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

impl Held {
    fn signed(&self, message: &[u8]) -> Done<Vec<u8>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let had_session = open.is_some();
        match self.try_sign(&mut open, message) {
            // A session that ended (the token restarted, a timeout of the device) is opened anew, once.
            Err(TokenFault::Failed(_)) if had_session => {
                *open = None;
                self.try_sign(&mut open, message)
            }
            done => done,
        }
    }

    fn try_sign(&self, open: &mut Option<(Session, ObjectHandle)>, message: &[u8]) -> Done<Vec<u8>> {
        if open.is_none() {
            *open = Some(self.find()?);
        }
        let Some((session, key)) = open.as_ref() else { return Err(TokenFault::NoSuchKey(self.label.clone())) };
        let suite = self.verifier.suite();
        let number = sign_mechanism(&self.token, suite)?;
        let made = session.sign(&mechanism(number)?, *key, message);
        let mut signature = made.map_err(|e| of_mechanism(e, number, "keys.pkcs11.sign_mechanism"))?;
        if suite == SuiteName::Sm2 {
            // Vendors give r ‖ s or DER.
            let read = gm::Signature::from_either(&signature).map_err(|_| TokenFault::NotItsSignature)?;
            signature = read.0.to_raw().to_vec();
        }
        if self.verifier.verify(message, &signature) { Ok(signature) } else { Err(TokenFault::NotItsSignature) }
    }

    fn find(&self) -> Done<(Session, ObjectHandle)> {
        let session = log_in(&self.token, false)?;
        let of = |class| {
            let wanted = [Attribute::Class(class), Attribute::Label(self.label.as_bytes().to_vec())];
            let found = session.find_objects(&wanted)?.first().copied();
            found.ok_or_else(|| TokenFault::NoSuchKey(self.label.clone()))
        };
        let key = of(ObjectClass::PRIVATE_KEY)?;
        // Where the token keeps the public half, it must be the one the file names; the signature is held against that in any case.
        if let Ok(public) = of(ObjectClass::PUBLIC_KEY)
            && point_of(&session, public, self.verifier.suite())? != self.verifier.public()
        {
            return Err(TokenFault::OtherKey(self.label.clone()));
        }
        Ok((session, key))
    }
}

impl Signer for Held {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.signed(message).map_err(|fault| fault.to_string())
    }

    fn label(&self) -> &str {
        &self.label
    }
}

fn log_in(token: &Pkcs11, writing: bool) -> Done<Session> {
    let not_loaded = |e: Error| TokenFault::Module(token.module.clone(), e.to_string());
    let module = Module::new(&token.module).map_err(not_loaded)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // A driver is initialised once in a process, and may have been by an earlier key.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(other) => return Err(not_loaded(other)),
    }
    let mut slot = None;
    for candidate in module.get_slots_with_token()? {
        if module.get_token_info(candidate)?.label().trim_end() == token.token_label {
            slot = Some(candidate);
        }
    }
    let slot = slot.ok_or_else(|| TokenFault::NoSuchToken(token.token_label.clone()))?;
    let session = if writing { module.open_rw_session(slot)? } else { module.open_ro_session(slot)? };
    let pin = passphrase(&token.pin_file).map_err(|fault: KeyFault| TokenFault::PinFile(fault.to_string()))?;
    match session.login(UserType::User, Some(&pin.as_str().into())) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(other) => Err(other.into()),
    }
}

fn sign_mechanism(token: &Pkcs11, suite: SuiteName) -> Done<u64> {
    match (token.sign_mechanism, suite) {
        (Some(number), _) => Ok(number),
        (None, SuiteName::Ed25519) => Ok(EDDSA),
        (None, SuiteName::Sm2) => Err(TokenFault::MechanismUnset("keys.pkcs11.sign_mechanism")),
    }
}

fn mechanism(number: u64) -> Done<Mechanism<'static>> {
    let kind = MechanismType::try_from(number).map_err(|_| TokenFault::Mechanism(number, "its number"))?;
    Ok(Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(kind, None)))
}

fn of_mechanism(error: Error, number: u64, field: &'static str) -> TokenFault {
    match error {
        Error::Pkcs11(RvError::MechanismInvalid | RvError::MechanismParamInvalid | RvError::KeyTypeInconsistent, _) => {
            TokenFault::Mechanism(number, field)
        }
        other => other.into(),
    }
}

/// CKA_EC_POINT: an OCTET STRING around the point by the standard, the bare point with some drivers.
fn point_of(session: &Session, key: ObjectHandle, suite: SuiteName) -> Done<Vec<u8>> {
    let wanted = suite.public_key_len();
    for attribute in session.get_attributes(key, &[AttributeType::EcPoint])? {
        if let Attribute::EcPoint(bytes) = attribute {
            let bare = match bytes.as_slice() {
                [4, length, rest @ ..] if usize::from(*length) == wanted && rest.len() == wanted => rest,
                whole => whole,
            };
            if bare.len() == wanted {
                return Ok(bare.to_vec());
            }
        }
    }
    Err(TokenFault::Failed("it gives no public key of the suite".into()))
}
