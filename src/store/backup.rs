//! A backup: a folder with a copy of the data folder, and a manifest that says what it holds and by which hashes it is known.
//!
//! The manifest is written last and synced: a folder without one is an unfinished backup. It is signed by nobody; what it is
//! believed for is that the bytes are those that were copied. That they are the hub's history shows in the data itself, against
//! the signed checkpoint kept in the manifest. Neither the key-encryption key nor the log key is ever in it.
//!
//! This room copies and hashes files; what is in them it does not know.
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// The copy of the data folder inside a backup.
pub const DATA: &str = "data";
/// The manifest inside a backup.
pub const MANIFEST: &str = "manifest.json";
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
const CHUNK: usize = 1 << 20;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// The hub's name.
    pub hub: String,
    /// Version of the program that made it.
    pub program: String,
    /// The newest layout of a data folder that this program knew; that of the copy is in it, and not above this.
    pub store_format: u32,
    /// When it was made, Unix seconds.
    pub made_s: u64,
    /// A signed checkpoint: everything up to its size is in the copy.
    pub checkpoint: String,
    /// Every file, by path.
    pub files: Vec<Listed>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listed {
    /// Path inside the backup, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 over it, lower-case hex.
    pub sha256: String,
}

/// Why a backup cannot be made or used. Each says what to do, in Chinese and English.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Making it was interrupted, or it is no backup.
    #[error(
        "{0} 中没有 {MANIFEST}：备份未完成，或不是备份，请换一份。\
         There is no {MANIFEST} in {0}: the backup was never finished, or is none; take another."
    )]
    Unfinished(String),
    /// The manifest does not read, or names what it may not.
    #[error("备份清单损坏（{0}），请换一份备份。The backup's manifest is damaged ({0}); take another backup.")]
    Manifest(String),
    /// A later program made it.
    #[error(
        "备份的格式为 {found}，本程序只认到 {known}：请用较新的程序恢复。\
         The backup has format {found}, this program knows up to {known}: restore it with a newer program."
    )]
    TooNew {
        /// Its format.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// A file is not what was copied.
    #[error(
        "备份中的 {path} 已损坏（{what}），未恢复任何内容，请换一份备份。\
         {path} in the backup is damaged ({what}); nothing was restored, take another backup."
    )]
    Damaged {
        /// Which file.
        path: String,
        /// In what way.
        what: &'static str,
    },
    /// Something is where the copy is to go.
    #[error(
        "{0} 已有内容，备份和恢复都不覆盖：请换一个目录，或先移开。\
         There is something in {0}; neither backup nor restore overwrites: name another folder, or move it away first."
    )]
    InTheWay(String),
    /// The disk refused.
    #[error(
        "{path}：{source}。检查磁盘空间与权限后再试。{path}: {source}. Check space and permissions, then try again."
    )]
    Io {
        /// Where.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Manifest {
    /// Reads a backup's manifest.
    ///
    /// # Errors
    /// [`BackupError::Unfinished`], [`BackupError::Manifest`], [`BackupError::TooNew`].
    pub fn read(backup: &Path) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = backup.join(MANIFEST);
        let file = File::open(&path).map_err(|_| BackupError::Unfinished(backup.display().to_string()))?;
        let mut bytes = Vec::new();
        file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes).map_err(|source| failed(&path, source))?;
        let Format { format } = serde_json::from_slice(&bytes).map_err(|e| BackupError::Manifest(e.to_string()))?;
        if format > 1 {
            return Err(BackupError::TooNew { found: format, known: 1 });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|e| BackupError::Manifest(e.to_string()))?;
        for Listed { path, .. } in &manifest.files {
            let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
            if path.is_empty() || !Path::new(path).components().all(plain) {
                return Err(BackupError::Manifest(format!("it names {path:?}")));
            }
        }
        Ok(manifest)
    }

    /// Writes the manifest, durably: the last step of a backup.
    ///
    /// # Errors
    /// [`BackupError::Io`]. A crash leaves an unfinished backup.
    pub fn write(&self, backup: &Path) -> Result<(), BackupError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| BackupError::Manifest(e.to_string()))?;
        let (path, beside) = (backup.join(MANIFEST), backup.join("manifest.json.new"));
        write_synced(&beside, &text).and_then(|()| fs::rename(&beside, &path)).map_err(|e| failed(&path, e))?;
        sync_folder(backup)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// A folder for a backup or a restored copy: made, with mode 0700, where nothing is.
///
/// # Errors
/// [`BackupError::InTheWay`], [`BackupError::Io`].
pub fn make_folder(path: &Path) -> Result<(), BackupError> {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::InTheWay(path.display().to_string())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| failed(path, source))
        }
        Err(source) => Err(failed(path, source)),
    }
}

/// Hashes every file of a finished copy, makes each durable, and lists them by path. `tell` hears of bytes done.
///
/// # Errors
/// [`BackupError::Io`].
pub fn list(backup: &Path, tell: &mut dyn FnMut(u64)) -> Result<Vec<Listed>, BackupError> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let whole = backup.join(&folder);
        for entry in fs::read_dir(&whole).map_err(|source| failed(&whole, source))? {
            let entry = entry.map_err(|source| failed(&whole, source))?;
            let path = folder.join(entry.file_name());
            if entry.file_type().map_err(|source| failed(&entry.path(), source))?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
        sync_folder(&whole)?;
    }
    files.sort();
    let mut listed = Vec::with_capacity(files.len());
    for path in files {
        let whole = backup.join(&path);
        let mut file = File::open(&whole).map_err(|source| failed(&whole, source))?;
        let (bytes, sha256) = pass(&mut file, &mut io::sink(), tell).map_err(|source| failed(&whole, source))?;
        file.sync_all().map_err(|source| failed(&whole, source))?;
        let path = path.to_str().ok_or_else(|| BackupError::Manifest(format!("it would name {path:?}")))?;
        listed.push(Listed { path: path.to_owned(), bytes, sha256 });
    }
    Ok(listed)
}

/// Copies what the manifest lists under `data/` into a folder, each file hashed on its way, durable on Ok. What the manifest does
/// not list is not taken.
///
/// # Errors
/// [`BackupError::Damaged`] naming the first file that is not what was copied; [`BackupError::Io`].
pub fn copy_data(manifest: &Manifest, backup: &Path, to: &Path, tell: &mut dyn FnMut(u64)) -> Result<(), BackupError> {
    for Listed { path, bytes, sha256 } in &manifest.files {
        let damaged = |what| BackupError::Damaged { path: path.clone(), what };
        let source = backup.join(path);
        let mut from = match File::open(&source) {
            Ok(from) => from,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("missing")),
            Err(source_error) => return Err(failed(&source, source_error)),
        };
        // What is not data (a configuration, a trust file) is checked and left where it is.
        let target = Path::new(path).strip_prefix(DATA).ok().map(|inside| to.join(inside));
        let (copied, digest) = match &target {
            None => pass(&mut from, &mut io::sink(), tell).map_err(|e| failed(&source, e))?,
            Some(target) => {
                if let Some(folder) = target.parent() {
                    fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
                }
                let mut options = fs::OpenOptions::new();
                let mut file =
                    options.write(true).create_new(true).mode(0o600).open(target).map_err(|e| failed(target, e))?;
                let done = pass(&mut from, &mut file, tell).map_err(|e| failed(target, e))?;
                file.sync_all().map_err(|e| failed(target, e))?;
                done
            }
        };
        if copied != *bytes {
            return Err(damaged("another length"));
        }
        if digest != *sha256 {
            return Err(damaged("another hash"));
        }
    }
    sync_folder(to)
}

/// Writes a new file, durably.
///
/// # Errors
/// What the system says.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the names in a folder durable.
///
/// # Errors
/// [`BackupError::Io`].
pub fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(folder, source))
}

fn pass(from: &mut impl Read, to: &mut impl Write, tell: &mut dyn FnMut(u64)) -> io::Result<(u64, String)> {
    let (mut digest, mut total, mut chunk) = (Sha256::new(), 0_u64, vec![0; CHUNK]);
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = chunk.get(..read).unwrap_or_default();
        digest.update(part);
        to.write_all(part)?;
        total = total.saturating_add(part.len() as u64);
        tell(part.len() as u64);
    }
    Ok((total, digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn failed(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(DATA)).unwrap();
        for (name, bytes) in
            [("data/a.sst", vec![7; 3 << 20]), ("data/CURRENT", b"x".to_vec()), ("trust.note", b"t".to_vec())]
        {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let files = list(folder.path(), &mut |_| ()).unwrap();
        let manifest = Manifest {
            format: 1,
            hub: "hub.test".into(),
            program: "0".into(),
            store_format: 1,
            made_s: 1,
            checkpoint: "c".into(),
            files,
        };
        manifest.write(folder.path()).unwrap();
        (folder, manifest)
    }

    fn copy(folder: &Path, manifest: &Manifest) -> Result<tempfile::TempDir, BackupError> {
        let to = tempfile::tempdir().unwrap();
        copy_data(manifest, folder, to.path(), &mut |_| ()).map(|()| to)
    }

    #[test]
    fn what_was_listed_is_copied_back_and_nothing_else() {
        let (folder, manifest) = backup();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        let names: Vec<_> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["data/CURRENT", "data/a.sst", "trust.note"]);
        fs::write(folder.path().join("data/stray"), b"s").unwrap();
        let to = copy(folder.path(), &manifest).unwrap();
        assert_eq!(fs::read(to.path().join("a.sst")).unwrap(), vec![7; 3 << 20]);
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 2);
        let mut done = 0;
        let _ = list(folder.path(), &mut |bytes| done += bytes).unwrap();
        assert!(done > manifest.bytes(), "the manifest and the stray file too");
    }

    #[test]
    fn a_changed_shortened_or_missing_file_is_named() {
        let (folder, manifest) = backup();
        let path = folder.path().join("data/a.sst");
        let good = fs::read(&path).unwrap();
        let mut bent = good.clone();
        bent[2 << 20] ^= 1;
        for (bytes, said) in
            [(Some(bent), "another hash"), (Some(good[1..].to_vec()), "another length"), (None, "missing")]
        {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            match copy(folder.path(), &manifest) {
                Err(BackupError::Damaged { path, what }) => assert_eq!((path.as_str(), what), ("data/a.sst", said)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_unfinished_a_damaged_and_a_later_manifest_are_told_apart() {
        let (folder, manifest) = backup();
        let path = folder.path().join(MANIFEST);
        let refused = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            Manifest::read(folder.path()).unwrap_err()
        };
        assert!(matches!(refused(b"{"), BackupError::Manifest(_)));
        assert!(matches!(refused(br#"{"format":2,"new":1}"#), BackupError::TooNew { found: 2, known: 1 }));
        for escape in ["../kek", "/etc/passwd", "data/../../x", ""] {
            let mut bad = manifest.clone();
            bad.files[0].path = escape.into();
            assert!(matches!(refused(&serde_json::to_vec(&bad).unwrap()), BackupError::Manifest(_)), "{escape}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(Manifest::read(folder.path()), Err(BackupError::Unfinished(_))));
    }

    #[test]
    fn a_copy_is_made_only_where_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        make_folder(&path).unwrap();
        make_folder(&path).unwrap();
        fs::write(path.join("x"), b"").unwrap();
        assert!(matches!(make_folder(&path), Err(BackupError::InTheWay(_))));
    }
}
