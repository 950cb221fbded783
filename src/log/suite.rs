//! Suites: which hash and which signature a log uses, chosen once at `wuku init`.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::gm;

/// A hash of any suite; both SHA-256 and SM3 give 32 bytes.
pub type Hash = [u8; 32];

/// Hash and signature of one log. Everything in the tree goes through these two; note key ids are SHA-256 in every suite.
pub trait Suite: Clone + Copy + fmt::Debug + Default + PartialEq + Eq + Send + Sync + 'static {
    /// Its name in trust files.
    const NAME: SuiteName;
    /// Hash of the parts, one after the other.
    fn hash(parts: &[&[u8]]) -> Hash;
    /// Whether `signature` by `public` over `message` is good, in the strictest reading of the algorithm.
    fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool;
}

/// SHA-256 and Ed25519 (RFC 8032), as C2SP logs use them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ed25519;

impl Suite for Ed25519 {
    const NAME: SuiteName = SuiteName::Ed25519;

    fn hash(parts: &[&[u8]]) -> Hash {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// `verify_strict`: no small-order keys, no second encoding of the same signature.
    fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let (Ok(public), Ok(signature)) = (<&[u8; 32]>::try_from(public), <&[u8; 64]>::try_from(signature)) else {
            return false;
        };
        VerifyingKey::from_bytes(public)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }
}

/// SM3 and SM2 (GB/T 32905, GB/T 32918): a public key is `04 ‖ x ‖ y`, a signature `r ‖ s`, the signer's identity
/// [`gm::DEFAULT_USER_ID`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sm2;

impl Suite for Sm2 {
    const NAME: SuiteName = SuiteName::Sm2;

    fn hash(parts: &[&[u8]]) -> Hash {
        gm::sm3(parts)
    }

    /// Uncompressed points and 64 bytes only: no second encoding of the same key or signature.
    fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let (Ok(public), Ok(signature)) = (gm::PublicKey::from_point(public), gm::Signature::from_raw(signature))
        else {
            return false;
        };
        public.verify(&[message], &signature).is_ok()
    }
}

/// A suite known to this build, as named in a trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuiteName {
    /// SHA-256, Ed25519.
    Ed25519,
    /// SM3, SM2.
    Sm2,
}

/// The one place where the name of a suite becomes its type: `in_suite!(name, S => expression that names S)`.
#[macro_export]
macro_rules! in_suite {
    ($name:expr, $suite:ident => $body:expr) => {
        match $name {
            $crate::log::SuiteName::Ed25519 => {
                type $suite = $crate::log::Ed25519;
                $body
            }
            $crate::log::SuiteName::Sm2 => {
                type $suite = $crate::log::Sm2;
                $body
            }
        }
    };
}
pub use in_suite;

impl SuiteName {
    /// Every suite of this build.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::Sm2];

    /// The suite of that name, if this build knows it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.as_str() == name)
    }

    /// Its name in trust files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Sm2 => "sm2",
        }
    }

    /// The signature type of its notes: what stands before the public key in a vkey and in the hash of the key id.
    #[must_use]
    pub const fn key_type(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => &[0x01],
            // C2SP has given SM2 no number of its own: 0xff, then a text that is nobody else's.
            Self::Sm2 => b"\xffwuku/sm2-sm3/v1",
        }
    }

    /// Bytes of a public key.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::Sm2 => 65,
        }
    }

    /// Whether `signature` by `public` over `message` is good under this suite.
    #[must_use]
    pub fn verify(self, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        in_suite!(self, S => S::verify(public, message, signature))
    }

    /// The suite's hash of the parts, one after the other.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Hash {
        in_suite!(self, S => S::hash(parts))
    }
}

impl fmt::Display for SuiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
