//! The private key that signs checkpoints (and, offline, the root key that signs trust files). No other file of this room holds
//! one; it is wiped from memory when dropped.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::note::{NoteError, VerifierKey, is_key_name};
use super::suite::SuiteName;
use crate::gm;

const PREFIX: &str = "PRIVATE+KEY+";
const DEVICE_PREFIX: &str = "DEVICE+KEY+";

/// A signing key of a log or of a hub's root, with its name.
pub struct LogKey {
    verifier: VerifierKey,
    secret: Secret,
}

/// A private key that a device holds and never gives out.
pub trait Signer: Send + Sync {
    /// A signature over the message, 64 bytes, as the key's suite writes it. May take long and block.
    ///
    /// # Errors
    /// What the device says.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
    /// Where the device keeps it.
    fn label(&self) -> &str;
}

enum Secret {
    /// Wipes itself on drop.
    Ed25519(SigningKey),
    /// Wipes itself on drop.
    Sm2(gm::PrivateKey),
    /// Not in this process.
    Held(Box<dyn Signer>),
}

impl LogKey {
    /// A new key of that name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] for a name a key cannot have, [`NoteError::NoRandomness`] when the system gives none.
    pub fn generate(name: &str, suite: SuiteName) -> Result<Self, NoteError> {
        let mut seed = Zeroizing::new([0; 32]);
        loop {
            getrandom::fill(seed.as_mut_slice()).map_err(|_| NoteError::NoRandomness)?;
            match Self::from_seed(name, suite, &seed) {
                // One seed in 2^32 is no private key of the SM2 curve.
                Err(NoteError::Key) => {}
                made => return made,
            }
        }
    }

    /// The key of that name made from 32 secret bytes: the seed of RFC 8032, or the private number of SM2, big endian.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] for a name a key cannot have, [`NoteError::Key`] for bytes that are no private key of the suite.
    pub fn from_seed(name: &str, suite: SuiteName, seed: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        let (secret, public) = match suite {
            SuiteName::Ed25519 => {
                let secret = SigningKey::from_bytes(seed);
                let public = secret.verifying_key().to_bytes().to_vec();
                (Secret::Ed25519(secret), public)
            }
            SuiteName::Sm2 => {
                let secret = gm::PrivateKey::from_bytes(seed).map_err(|_| NoteError::Key)?;
                let public = secret.public_key().map_err(|_| NoteError::Key)?.point();
                (Secret::Sm2(secret), public)
            }
        };
        Ok(Self { verifier: VerifierKey::new(name, suite, public)?, secret })
    }

    /// Reads a key as [`Self::to_text`] writes it: `PRIVATE+KEY+<name>+<key id>+<base64 of type and seed>`, the form of Go's
    /// `sumdb/note`, with or without a final newline.
    ///
    /// # Errors
    /// [`NoteError::Key`] for anything else, a key id that does not fit included.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut parts = text.strip_prefix(PREFIX).ok_or(NoteError::Key)?.splitn(3, '+');
        let (Some(name), Some(id), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = Zeroizing::new(BASE64.decode(secret).map_err(|_| NoteError::Key)?);
        for suite in SuiteName::ALL {
            if let Some(Ok(seed)) = bytes.strip_prefix(suite.key_type()).map(<&[u8; 32]>::try_from) {
                let key = Self::from_seed(name, suite, seed)?;
                return if key.verifier.id_hex() == id { Ok(key) } else { Err(NoteError::Key) };
            }
        }
        Err(NoteError::Key)
    }

    /// A key that a device holds.
    #[must_use]
    pub fn held(verifier: VerifierKey, signer: Box<dyn Signer>) -> Self {
        Self { verifier, secret: Secret::Held(signer) }
    }

    /// Whether a device holds it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.secret, Secret::Held(_))
    }

    /// Where a device keeps the key and which key it is, from `DEVICE+KEY+<label>+<vkey>`; `None` for any other text.
    ///
    /// # Errors
    /// [`NoteError::Key`] for such a text that names no key.
    pub fn parse_reference(text: &str) -> Result<Option<(&str, VerifierKey)>, NoteError> {
        let Some(rest) = text.trim_end().strip_prefix(DEVICE_PREFIX) else { return Ok(None) };
        let (label, vkey) = rest.split_once('+').ok_or(NoteError::Key)?;
        Ok(Some((label, VerifierKey::parse(vkey)?)))
    }

    /// The key as text, with a final newline, for a file only its owner may read; of a key that a device holds, where it is.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let seed = match &self.secret {
            Secret::Held(signer) => {
                return Zeroizing::new(format!("{DEVICE_PREFIX}{}+{}\n", signer.label(), self.verifier));
            }
            Secret::Ed25519(secret) => Zeroizing::new(secret.to_bytes()),
            Secret::Sm2(secret) => secret.to_bytes(),
        };
        let key_type = self.verifier.suite().key_type();
        let mut bytes = Zeroizing::new(Vec::with_capacity(key_type.len() + seed.len())); // never moved while it grows
        bytes.extend_from_slice(key_type);
        bytes.extend_from_slice(seed.as_slice());
        let secret = Zeroizing::new(BASE64.encode(&*bytes));
        Zeroizing::new(format!("{PREFIX}{}+{}+{}\n", self.verifier.name(), self.verifier.id_hex(), *secret))
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs the message. The same key and message give the same signature in both suites (SM2: RFC 6979 with SM3).
    ///
    /// # Errors
    /// [`NoteError::NotSigned`]: with SM2 in one of 2^256 cases; [`NoteError::Device`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoteError> {
        match &self.secret {
            Secret::Held(signer) => signer.sign(message).map_err(NoteError::Device),
            Secret::Ed25519(secret) => Ok(secret.sign(message).to_bytes().to_vec()),
            Secret::Sm2(secret) => {
                let signature = secret.sign(&[message]).map_err(|_| NoteError::NotSigned)?;
                Ok(signature.to_raw().to_vec())
            }
        }
    }
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogKey({})", self.verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_either_suite_is_read_back_from_its_text_and_from_no_other() {
        for suite in SuiteName::ALL {
            let key = LogKey::generate("hub.test/wuku/1", suite).unwrap();
            let text = key.to_text();
            let again = LogKey::parse(&text).unwrap();
            assert_eq!(again.verifier(), key.verifier());
            assert_eq!(again.verifier().suite(), suite);
            assert_eq!(again.sign(b"x"), key.sign(b"x"));
            assert!(again.verifier().verify(b"x", &key.sign(b"x").unwrap()));
            assert!(LogKey::parse(&text.replace("hub.test", "hub.tesT")).is_err(), "the id binds the name");
            assert!(LogKey::parse(&text[..text.len() - 3]).is_err());
            assert!(!format!("{key:?}").contains(&text[text.len() - 20..text.len() - 1]));
            assert!(LogKey::generate("a b", suite).is_err() && LogKey::generate("a+b", suite).is_err());
        }
    }

    #[test]
    fn one_seed_is_another_key_in_each_suite_and_no_signature_passes_for_the_others() {
        let [one, two] = SuiteName::ALL.map(|suite| LogKey::from_seed("hub.test/wuku/1", suite, &[7; 32]).unwrap());
        assert_ne!(one.verifier().id(), two.verifier().id());
        assert_eq!(two.verifier().public().len(), 65);
        let (by_one, by_two) = (one.sign(b"x").unwrap(), two.sign(b"x").unwrap());
        assert_eq!((by_one.len(), by_two.len()), (64, 64));
        assert!(!one.verifier().verify(b"x", &by_two) && !two.verifier().verify(b"x", &by_one));
        assert!(!two.verifier().verify(b"y", &by_two));
        // A text whose type and secret are of different suites is of neither.
        let [one, two] = [one, two].map(|key| key.to_text().rsplit_once('+').unwrap().1.trim_end().to_owned());
        let name = "PRIVATE+KEY+hub.test/wuku/1+";
        for id in ["00000000", "ffffffff"] {
            assert!(
                LogKey::parse(&format!("{name}{id}+{one}")).is_err()
                    && LogKey::parse(&format!("{name}{id}+{two}")).is_err()
            );
        }
    }

    #[test]
    fn numbers_that_cannot_sign_are_no_sm2_key() {
        for bad in [[0; 32], [0xff; 32]] {
            assert_eq!(LogKey::from_seed("hub.test/wuku/1", SuiteName::Sm2, &bad).err(), Some(NoteError::Key));
        }
    }

    #[test]
    fn the_key_of_go_is_read() {
        let text = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let key = LogKey::parse(text).unwrap();
        assert_eq!(key.verifier().to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
        assert_eq!(key.to_text().trim_end(), text);
    }
}
