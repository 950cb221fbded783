//! Suites: which hash and which signature a log uses, chosen once at `wuku init`.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

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

/// A suite known to this build, as named in a trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuiteName {
    /// SHA-256, Ed25519.
    Ed25519,
}

impl SuiteName {
    /// Every suite of this build.
    pub const ALL: [Self; 1] = [Self::Ed25519];

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
        }
    }

    /// The signature type of its notes: what stands before the public key in a vkey and in the hash of the key id.
    #[must_use]
    pub const fn key_type(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => &[0x01],
        }
    }

    /// Bytes of a public key.
    #[must_use]
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::Ed25519 => 32,
        }
    }

    /// Whether `signature` by `public` over `message` is good under this suite.
    #[must_use]
    pub fn verify(self, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519 => Ed25519::verify(public, message, signature),
        }
    }
}

impl fmt::Display for SuiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
