//! A key file under a passphrase: `ENCRYPTED+KEY+` and base64 of `salt[16] ‖ nonce[12] ‖ ciphertext`.
//!
//! scrypt (RFC 7914; N = 2^15, r = 8, p = 1: 32 MiB and about a tenth of a second) and AES-256-GCM-SIV (RFC 8452).
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::KeyFault;
use crate::log::note::NoteError;

/// How such a file begins.
pub const PREFIX: &str = "ENCRYPTED+KEY+";
const LABEL: &[u8] = b"wuku/encrypted-key/v1\0";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const LOG_N: u8 = 15;

/// Puts a key's text under a passphrase.
///
/// # Errors
/// No randomness.
pub fn seal(text: &str, passphrase: &str) -> Result<Zeroizing<String>, KeyFault> {
    let mut head = [0; SALT_BYTES + NONCE_BYTES];
    getrandom::fill(&mut head).map_err(|_| NoteError::NoRandomness)?;
    let (salt, nonce) = head.split_at(SALT_BYTES);
    let nonce = Nonce::try_from(nonce).map_err(|_| NoteError::Key)?;
    let payload = Payload { msg: text.as_bytes(), aad: LABEL };
    let sealed = cipher(passphrase, salt)?.encrypt(&nonce, payload).map_err(|_| NoteError::Key)?;
    Ok(Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode([&head[..], &sealed].concat()))))
}

/// The text of a key that [`seal`] put under this passphrase.
///
/// # Errors
/// [`KeyFault::WrongPassphrase`] also for altered bytes: nobody can tell one from the other.
pub fn open(text: &str, passphrase: &str) -> Result<Zeroizing<String>, KeyFault> {
    let wrong = || KeyFault::WrongPassphrase;
    let bytes = STANDARD.decode(text.trim_end().strip_prefix(PREFIX).ok_or_else(wrong)?).map_err(|_| wrong())?;
    let (salt, rest) = bytes.split_at_checked(SALT_BYTES).ok_or_else(wrong)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or_else(wrong)?;
    let nonce = Nonce::try_from(nonce).map_err(|_| wrong())?;
    let payload = Payload { msg: sealed, aad: LABEL };
    let opened = Zeroizing::new(cipher(passphrase, salt)?.decrypt(&nonce, payload).map_err(|_| wrong())?);
    Ok(Zeroizing::new(std::str::from_utf8(&opened).map_err(|_| wrong())?.to_owned()))
}

fn cipher(passphrase: &str, salt: &[u8]) -> Result<Aes256GcmSiv, KeyFault> {
    let params = scrypt::Params::new(LOG_N, 8, 1).map_err(|_| NoteError::Key)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), salt, &params, key.as_mut_slice()).map_err(|_| NoteError::Key)?;
    Ok(Aes256GcmSiv::new_from_slice(key.as_slice()).map_err(|_| NoteError::Key)?)
}

#[cfg(test)]
mod tests {
    use super::super::{generate, look, read, text};
    use super::*;
    use crate::config::Keys;
    use crate::log::SuiteName;

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_alone_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, phrase) = (folder.path().join("log.key"), folder.path().join("phrase"));
        std::fs::write(&phrase, "correct horse\nsecond line\n").unwrap();
        let keys = Keys { log_key_passphrase_file: Some(phrase.clone()), ..Keys::default() };
        for suite in SuiteName::ALL {
            let key = generate(&keys, "hub.test/wuku/1", suite).unwrap();
            let kept = text(&keys, &key).unwrap();
            assert!(kept.starts_with(PREFIX) && !kept.contains("PRIVATE"));
            assert_ne!(*kept, *text(&keys, &key).unwrap(), "another salt each time");
            std::fs::write(&path, kept.as_bytes()).unwrap();
            assert_eq!(read(&keys, &path).unwrap().verifier(), key.verifier());
            look(&keys, Some(&path)).unwrap();
            let without = read(&Keys::default(), &path).unwrap_err().to_string();
            assert!(without.contains("log_key_passphrase_file"), "{without}");
            std::fs::write(&phrase, "another\n").unwrap();
            assert!(matches!(read(&keys, &path), Err(KeyFault::WrongPassphrase)));
            std::fs::write(&phrase, "\n").unwrap();
            assert!(matches!(look(&keys, None), Err(KeyFault::EmptyPassphrase(_))));
            std::fs::write(&phrase, "correct horse\n").unwrap();
            let mut altered = STANDARD.decode(kept.trim_end().strip_prefix(PREFIX).unwrap()).unwrap();
            for at in (0..altered.len()).step_by(29) {
                altered[at] ^= 1;
                let bad = format!("{PREFIX}{}\n", STANDARD.encode(&altered));
                assert!(matches!(open(&bad, "correct horse"), Err(KeyFault::WrongPassphrase)), "byte {at}");
                altered[at] ^= 1;
            }
        }
    }
}
