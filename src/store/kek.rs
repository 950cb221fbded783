//! The key-encryption key: a file that is never where the data is.
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::aead::Cipher;
use super::contract::Key;
use super::vault::{NONCE_BYTES, Secret, VaultError, random_nonce, random_secret};
use crate::log::SuiteName;

const KEY_LABEL: &[u8] = b"wuku/key/v1\0";

/// The key-encryption key. It leaves this type only as a file made by [`Kek::create`].
pub struct Kek(Secret);

impl Kek {
    /// Makes a new key in a new file, readable by its owner only (mode 0600), synced. `data_folder` is where the store
    /// is or will be: who copies that folder must not get the key with it.
    ///
    /// # Errors
    /// [`VaultError::KekInsideData`]; [`VaultError::KekFile`] (also when the file is there).
    pub fn create(path: &Path, data_folder: &Path) -> Result<Self, VaultError> {
        refuse_inside(path, data_folder)?;
        let secret = random_secret()?;
        let failed = |source| VaultError::KekFile { path: path.into(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(secret.as_slice()).and_then(|()| file.sync_all()).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The name must survive too: a hub whose key file vanished with the power is lost.
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self(secret))
    }

    /// Reads the key from its file: exactly 32 bytes, not accessible to all users. (A systemd credential shows a group
    /// permission for its access-control list, so that one is not refused.)
    ///
    /// # Errors
    /// [`VaultError::KekInsideData`], [`VaultError::KekExposed`], [`VaultError::KekMalformed`], [`VaultError::KekFile`].
    pub fn load(path: &Path, data_folder: &Path) -> Result<Self, VaultError> {
        refuse_inside(path, data_folder)?;
        let failed = |source| VaultError::KekFile { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o007 != 0 {
            return Err(VaultError::KekExposed(path.into()));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        file.take(33).read_to_end(&mut bytes).map_err(failed)?;
        let secret = bytes.as_slice().try_into().map_err(|_| VaultError::KekMalformed(path.into()))?;
        Ok(Self(Zeroizing::new(secret)))
    }

    #[cfg(test)]
    pub(super) fn for_test(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// `format u8 ‖ kind u8 ‖ nonce[12] ‖ ciphertext[48]`, bound to its row key and both bytes. The format says the suite, and
    /// with it how this row and everything under the wrapped key is sealed.
    pub(super) fn wrap(
        &self,
        suite: SuiteName,
        row: &Key,
        kind: KeyKind,
        secret: &Secret,
    ) -> Result<Vec<u8>, VaultError> {
        let head = [format_of(suite), kind as u8];
        let nonce = random_nonce()?;
        let aad = [KEY_LABEL, row.as_bytes(), &head].concat();
        let mut body = Zeroizing::new(**secret);
        let tag = Cipher::new(suite, &self.0).seal(&nonce, &aad, body.as_mut_slice()).ok_or(VaultError::TooLarge)?;
        Ok([&head, nonce.as_slice(), body.as_slice(), &tag].concat())
    }

    /// `None`: not wrapped by this key, or damaged; one row alone cannot tell which.
    pub(super) fn unwrap(&self, row: &Key, body: &[u8]) -> Option<(SuiteName, KeyKind, Secret)> {
        let (head, rest) = body.split_first_chunk::<2>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let [format, kind] = *head;
        let (suite, kind) = (suite_of(format)?, KeyKind::of(kind)?);
        let aad = [KEY_LABEL, row.as_bytes(), head].concat();
        let opened = Zeroizing::new(Cipher::new(suite, &self.0).open(nonce, &aad, sealed)?);
        Some((suite, kind, Zeroizing::new(opened.as_slice().try_into().ok()?)))
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(…)")
    }
}

/// What a wrapped key is for. On disk: never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum KeyKind {
    Data = 1,
    Index = 2,
    Ledger = 3,
    Mac = 4,
}

impl KeyKind {
    fn of(kind: u8) -> Option<Self> {
        match kind {
            1 => Some(Self::Data),
            2 => Some(Self::Index),
            3 => Some(Self::Ledger),
            4 => Some(Self::Mac),
            _ => None,
        }
    }
}

/// The first byte of a wrapped key's row. On disk: never changed.
fn format_of(suite: SuiteName) -> u8 {
    match suite {
        SuiteName::Ed25519 => 1,
        SuiteName::Sm2 => 2,
    }
}

/// The suite that the first byte of a wrapped key's row says.
pub(super) fn suite_of(format: u8) -> Option<SuiteName> {
    SuiteName::ALL.into_iter().find(|suite| format_of(*suite) == format)
}

fn refuse_inside(path: &Path, data_folder: &Path) -> Result<(), VaultError> {
    let real = |path: &Path| real_path(path).map_err(|source| VaultError::KekFile { path: path.into(), source });
    if real(path)?.starts_with(real(data_folder)?) { Err(VaultError::KekInsideData(path.into())) } else { Ok(()) }
}

/// The path with every symbolic link resolved, as far as it exists.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), absolute.strip_prefix(ancestor)) {
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(absolute)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_file_is_private_outside_the_data_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let (data, path) = (folder.path().join("data"), folder.path().join("kek"));
        let made = Kek::create(&path, &data).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*Kek::load(&path, &data).unwrap().0, *made.0);
        assert!(matches!(Kek::create(&path, &data), Err(VaultError::KekFile { .. })), "never overwritten");
        assert!(matches!(Kek::create(&data.join("kek"), &data), Err(VaultError::KekInsideData(_))));
        std::fs::create_dir(&data).unwrap();
        assert!(matches!(Kek::create(&data.join("../data/kek"), &data), Err(VaultError::KekInsideData(_))));
        std::os::unix::fs::symlink(&data, folder.path().join("link")).unwrap();
        assert!(matches!(Kek::create(&folder.path().join("link/kek"), &data), Err(VaultError::KekInsideData(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Kek::load(&path, &data), Err(VaultError::KekExposed(_))));
        for bad in [31, 33] {
            let path = folder.path().join(format!("kek{bad}"));
            std::fs::write(&path, vec![1; bad]).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(Kek::load(&path, &data), Err(VaultError::KekMalformed(_))));
        }
    }
}
