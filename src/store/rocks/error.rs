//! Why a data folder is not opened, in words that say what to do.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;

use super::super::key_space::FORMAT_VERSION;
use super::super::wal::Tail;

/// So many tables are named where one of them is damaged and the engine does not say which.
const TABLES_NAMED_MAX: usize = 64;

/// Why a data folder was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RocksError {
    /// Nothing is there to open.
    #[error("there is no store in {}: `wuku init` makes one", .0.display())]
    Absent(PathBuf),
    /// Something is there already.
    #[error("{} is not empty: a store is made only where nothing is", .0.display())]
    NotEmpty(PathBuf),
    /// Making it was interrupted.
    #[error("the store in {} was never finished: remove the folder and make it again", .0.display())]
    Unfinished(PathBuf),
    /// Another process has it.
    #[error("the store in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error("the store in {} has format {found}, this program knows up to {FORMAT_VERSION}: use a newer program", path.display())]
    TooNew {
        /// Which folder.
        path: PathBuf,
        /// Its format version.
        found: u32,
    },
    /// Bytes on disk are not what was written. Restore, or hand the folder to somebody who can look; never delete parts.
    #[error("the store in {} is damaged: {reason}", path.display())]
    Damaged {
        /// Which folder.
        path: PathBuf,
        /// What the engine says.
        reason: String,
    },
    /// A log file of the engine does not read in its middle: what was acknowledged would be forgotten. Nothing was changed.
    #[error(
        "{} is damaged at byte {at}, and the record at byte {next} still reads: this is no unfinished write, and opening would \
             lose what was acknowledged. Keep everything and restore from a backup. \
             （预写日志第 {at} 字节处损坏，其后仍有完整记录；请保留现场，从备份恢复。）",
        file.display()
    )]
    LogDamaged {
        /// Which file.
        file: PathBuf,
        /// Where the record begins that does not read.
        at: u64,
        /// Where the next begins that does.
        next: u64,
    },
    /// A log file of the engine ends in something that does not read.
    #[error(
        "the engine's log does not read to its end ({}): a write that was cut off, or a damaged one. `wuku recover --tail` cuts it \
             off if nothing recorded is lost by it. （预写日志末尾无法读取，请运行 wuku recover --tail。） {reason}",
        tails.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    LogTail {
        /// Which files, and from where on.
        tails: Vec<Tail>,
        /// What the engine says.
        reason: String,
    },
    /// The folder cannot be made or read.
    #[error("data folder {}: {source}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine refused for another reason.
    #[error("the store in {} cannot be opened: {reason}", path.display())]
    Engine {
        /// Which folder.
        path: PathBuf,
        /// What the engine says.
        reason: String,
    },
}

impl RocksError {
    pub(super) fn of(path: &Path, error: &rocksdb::Error) -> Self {
        let (path, reason) = (path.to_path_buf(), error.to_string());
        match error.kind() {
            ErrorKind::IOError if reason.contains("lock file") || reason.contains("lock hold") => Self::InUse(path),
            ErrorKind::Corruption if reason.contains("MANIFEST") => {
                let reason = format!(
                    "{reason} It is the manifest or, where the engine speaks of properties, {}.",
                    tables_in(&path)
                );
                Self::Damaged { path, reason }
            }
            ErrorKind::Corruption => Self::Damaged { path, reason },
            _ => Self::Engine { path, reason },
        }
    }
}

/// The tables of a folder, for a message: of a table whose properties do not read the engine names only the manifest that lists it.
fn tables_in(path: &Path) -> String {
    let names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut tables: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(|n| n.ends_with(".sst")).collect();
    tables.sort();
    match tables.len() {
        0 => "no table".into(),
        few if few <= TABLES_NAMED_MAX => format!("one of the tables {}", tables.join(", ")),
        many => format!("one of its {many} tables"),
    }
}
