//! Where the private key of the log is: in a file, in an encrypted file, or in a device behind PKCS#11.
//!
//! Promise: a key file says by its first word where its key is, so that starting, rotating and recovering are the same for all three;
//! whatever keeps a key from being used has a message of its own; secrets are wiped when dropped. Deliberately absent: what is signed.
pub mod encrypted; // a key under a passphrase
pub mod pkcs11; // a key that never leaves its token

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::Keys;
use crate::log::note::NoteError;
use crate::log::{LogKey, SuiteName};

/// What is said wherever a key in this process's memory signs.
pub const SOFTWARE: &str = "software key, not a certified device (软件密钥，非认证密码设备)";
/// What is said of a key that stays in its token.
pub const IN_TOKEN: &str = "key in a PKCS#11 token (密钥在 PKCS#11 密码设备内)";

/// Why a key cannot be made or used; each says what to do. The text never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file holds no key.
    #[error("{0}: 不是密钥文件 is no key file: {1}")]
    NoKeyFile(PathBuf, NoteError),
    /// An encrypted key and no passphrase.
    #[error(
        "{0}: 密钥已加密，请设置 keys.log_key_passphrase_file。The key is encrypted: set keys.log_key_passphrase_file."
    )]
    NoPassphrase(PathBuf),
    /// An empty passphrase.
    #[error("{0}: 口令为空。The passphrase file is empty: put a passphrase into it.")]
    EmptyPassphrase(PathBuf),
    /// Another passphrase, or altered bytes.
    #[error(
        "口令不正确，或密钥文件已损坏。The passphrase is wrong, or the key file is damaged: try the passphrase it was made with."
    )]
    WrongPassphrase,
    /// A key in a token and no token configured.
    #[error("{0}: 密钥在密码设备内，请配置 [keys.pkcs11]。The key is in a token: configure [keys.pkcs11].")]
    NoToken(PathBuf),
    /// The token's own reasons.
    #[error(transparent)]
    Token(#[from] pkcs11::TokenFault),
    /// What the log says of a key.
    #[error(transparent)]
    Key(#[from] NoteError),
}

/// Makes a key of that name where the configuration says: in the token, else in memory.
///
/// # Errors
/// A [`KeyFault`].
pub fn generate(keys: &Keys, name: &str, suite: SuiteName) -> Result<LogKey, KeyFault> {
    match &keys.pkcs11 {
        Some(token) => Ok(pkcs11::generate(token, name, suite)?),
        None => Ok(LogKey::generate(name, suite)?),
    }
}

/// What stands in the key's file: the secret, the secret under the passphrase, or where the token keeps it.
///
/// # Errors
/// A [`KeyFault`] of the passphrase.
pub fn text(keys: &Keys, key: &LogKey) -> Result<Zeroizing<String>, KeyFault> {
    match &keys.log_key_passphrase_file {
        Some(file) if !key.is_held() => encrypted::seal(&key.to_text(), &passphrase(file)?),
        _ => Ok(key.to_text()),
    }
}

/// The key of a key file, ready to sign.
///
/// # Errors
/// A [`KeyFault`] naming what is wrong.
pub fn read(keys: &Keys, path: &Path) -> Result<LogKey, KeyFault> {
    let text = read_text(path)?;
    let wrong = |fault| KeyFault::NoKeyFile(path.to_owned(), fault);
    if text.starts_with(encrypted::PREFIX) {
        let file = keys.log_key_passphrase_file.as_ref().ok_or_else(|| KeyFault::NoPassphrase(path.to_owned()))?;
        return LogKey::parse(&encrypted::open(&text, &passphrase(file)?)?).map_err(wrong);
    }
    if let Some((label, verifier)) = LogKey::parse_reference(&text).map_err(wrong)? {
        let token = keys.pkcs11.as_ref().ok_or_else(|| KeyFault::NoToken(path.to_owned()))?;
        return Ok(pkcs11::open(token, label, &verifier)?);
    }
    LogKey::parse(&text).map_err(wrong)
}

/// Looks before anything starts whether the key can be made (`None`) or used (its file): token, passphrase, mechanism. A plain key
/// file is looked at by the start itself.
///
/// # Errors
/// A [`KeyFault`].
pub fn look(keys: &Keys, path: Option<&Path>) -> Result<(), KeyFault> {
    if let Some(file) = &keys.log_key_passphrase_file {
        passphrase(file)?;
    }
    match (path, &keys.pkcs11) {
        (None, Some(token)) => Ok(pkcs11::look(token)?),
        (Some(path), _) => {
            let text = read_text(path)?;
            let elsewhere = text.starts_with(encrypted::PREFIX) || !matches!(LogKey::parse_reference(&text), Ok(None));
            if elsewhere { read(keys, path).map(|_| ()) } else { Ok(()) }
        }
        (None, None) => Ok(()),
    }
}

/// In whose keeping a key is, in words.
#[must_use]
pub fn keeping(key: &LogKey) -> &'static str {
    if key.is_held() { IN_TOKEN } else { SOFTWARE }
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, KeyFault> {
    let bytes = Zeroizing::new(read_file(path)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyFault::NoKeyFile(path.to_owned(), NoteError::Key))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A passphrase or PIN: the file's first line.
fn passphrase(path: &Path) -> Result<Zeroizing<String>, KeyFault> {
    let text = read_text(path)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(KeyFault::EmptyPassphrase(path.to_owned())),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, KeyFault> {
    std::fs::read(path).map_err(|source| KeyFault::File { path: path.to_owned(), source })
}
