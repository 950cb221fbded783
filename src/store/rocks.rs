//! RocksDB, the engine of one machine, set for evidence: a damaged file is an error, never a quiet loss.
//!
//! RocksDB's own defaults drop what follows a bad record of the write-ahead log and carry on after a disk error. Here
//! an acknowledged batch has been synced, a log damaged anywhere but in an unfinished tail refuses to open, and after a
//! failed write nothing more is written: the process is to end, and the next start learns from the disk what is true.
//!
//! Rows that come with every answer stand apart from the records (`families`), so that what was written once is not merged into
//! tables again. A folder of format 1 has them all in one family and goes on so.
//!
//! Blocking is decided here: a point read runs on the calling worker (a few microseconds when cached), long scans and
//! commits on a blocking thread.
mod error; // why a folder is not opened
mod families; // which rows stand apart
mod tuning; // how the engine is set
mod view; // reading

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DBWithThreadMode, ErrorKind, SingleThreaded, WriteBatch, WriteOptions};

pub use error::RocksError;
use families::Family;
use tuning::Tuning;
use view::{RocksSnapshot, View};

use super::contract::{Admitted, CommitError, Engine, Key, Snapshot, StoreError, Versioned};
use super::key_space::{self, FORMAT_VERSION, MetaRow};
use super::limited::{Limited, settle};
use super::wal::{self, Damage};
use crate::clock::Clock;

/// Table files that one compaction reads, and so writes anew before the old ones go. One compaction runs at a time.
const COMPACTION_BYTES_MAX: u64 = 1 << 30;
/// Memory for rows not yet in a table file, as so many buffers.
const WRITE_BUFFERS: u8 = 3;

/// Nobody makes a family while a hub runs, so a handle is found without a lock.
type Db = DBWithThreadMode<SingleThreaded>;

/// What an operator may set. More memory makes it faster, never safer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RocksSettings {
    /// Memory for blocks read from disk, filters and indexes included. Default 128 MiB.
    pub block_cache_bytes: usize,
    /// Memory for rows not yet in a table file; up to three times this. Default 32 MiB.
    pub write_buffer_bytes: usize,
    /// Disk for the write-ahead log; bounds what a start must replay. Default 128 MiB.
    pub wal_bytes_max: u64,
}

impl Default for RocksSettings {
    fn default() -> Self {
        Self { block_cache_bytes: 128 << 20, write_buffer_bytes: 32 << 20, wal_bytes_max: 128 << 20 }
    }
}

/// A data folder, opened by this process alone.
pub struct Rocks {
    shared: Arc<Shared>,
}

struct Shared {
    db: Db,
    /// Whether the families stand apart: since format 2.
    apart: bool,
    /// What write-ahead log and flushes may grow by.
    growing_bytes: u64,
    /// Held from the first check of a batch until its write is durable.
    commit_lock: Mutex<()>,
    /// Why nothing more is written.
    broken: OnceLock<String>,
}

impl Rocks {
    /// Makes a new data folder (mode 0700) where nothing is. A crash in between leaves a folder that
    /// [`Rocks::open`] refuses as unfinished; remove it and begin again.
    ///
    /// # Errors
    /// [`RocksError::NotEmpty`]; [`RocksError::Folder`]; [`RocksError::Engine`].
    pub fn create(path: &Path, settings: &RocksSettings, clock: Clock) -> Result<Limited<Self>, RocksError> {
        let failed = |source| RocksError::Folder { path: path.into(), source };
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(RocksError::NotEmpty(path.into()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        let refused = |error| RocksError::of(path, &error);
        let mut tuning = Tuning::new(settings).map_err(refused)?;
        tuning.whole.create_if_missing(true);
        tuning.whole.create_missing_column_families(true);
        tuning.whole.set_error_if_exists(true);
        let names = Family::APART.map(|family| family.name().to_owned());
        let db = Db::open_cf_descriptors(&tuning.whole, path, tuning.families(&names)).map_err(refused)?;
        // The last step: with this row the folder is a store.
        let version = Versioned::frame(1, &FORMAT_VERSION.to_be_bytes());
        db.put_opt(key_space::meta(MetaRow::FormatVersion), version, &synced()).map_err(refused)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
        Ok(Self::limited(db, FORMAT_VERSION, settings, clock))
    }

    /// Opens a data folder that is there.
    ///
    /// # Errors
    /// [`RocksError::Absent`], [`RocksError::InUse`], [`RocksError::Unfinished`], [`RocksError::TooNew`],
    /// [`RocksError::Damaged`], [`RocksError::LogDamaged`], [`RocksError::LogTail`], [`RocksError::Engine`].
    pub fn open(path: &Path, settings: &RocksSettings, clock: Clock) -> Result<Limited<Self>, RocksError> {
        if !path.join("CURRENT").is_file() {
            return Err(RocksError::Absent(path.into())); // a typo in a path must not become an empty hub
        }
        let failed = |source| RocksError::Folder { path: path.into(), source };
        // Before the engine looks: what it recovers it rewrites, without what it passed over.
        let look = wal::look(path).map_err(failed)?;
        if let Some(Damage { file, at, next }) = look.damage {
            return Err(RocksError::LogDamaged { file, at, next });
        }
        if let Some(place) = look.endless {
            return Err(tail_or_damaged(path, never_written(&place)));
        }
        let opened = Tuning::new(settings).and_then(|tuning| {
            // Families of a later format are opened too, so that its folder can be told from a damaged one.
            let names = Db::list_cf(&tuning.whole, path)?;
            Db::open_cf_descriptors(&tuning.whole, path, tuning.families(&names))
        });
        let db = opened.map_err(|error| match RocksError::of(path, &error) {
            RocksError::Damaged { path, reason } => tail_or_damaged(&path, reason),
            other => other,
        })?;
        Self::of_format(db, path, settings, clock)
    }

    /// Opens a data folder without writing anything: to judge it. Every commit is refused.
    ///
    /// # Errors
    /// As [`Rocks::open`]; another process that has it open is not noticed.
    pub fn open_to_read(path: &Path, settings: &RocksSettings, clock: Clock) -> Result<Limited<Self>, RocksError> {
        let failed = |source| RocksError::Folder { path: path.into(), source };
        if let Some(place) = wal::look(path).map_err(failed)?.endless {
            return Err(RocksError::Damaged { path: path.into(), reason: never_written(&place) });
        }
        let opened = Tuning::new(settings).and_then(|tuning| {
            let names = Db::list_cf(&tuning.whole, path)?;
            Db::open_cf_descriptors_read_only(&tuning.whole, path, tuning.families(&names), false)
        });
        let db = opened.map_err(|error| RocksError::of(path, &error))?;
        Self::of_format(db, path, settings, clock)
    }

    fn of_format(db: Db, path: &Path, settings: &RocksSettings, clock: Clock) -> Result<Limited<Self>, RocksError> {
        let row = db.get(key_space::meta(MetaRow::FormatVersion)).map_err(|error| RocksError::of(path, &error))?;
        let row = row.ok_or_else(|| RocksError::Unfinished(path.into()))?;
        let found = Versioned::parse(&Bytes::from(row)).ok().and_then(|row| row.body.as_ref().try_into().ok());
        let damaged = |reason: &str| Err(RocksError::Damaged { path: path.into(), reason: reason.into() });
        match found.map(u32::from_be_bytes) {
            Some(found) if found > FORMAT_VERSION => Err(RocksError::TooNew { path: path.into(), found }),
            Some(1) => Ok(Self::limited(db, 1, settings, clock)),
            Some(FORMAT_VERSION) if Family::APART.iter().all(|family| db.cf_handle(family.name()).is_some()) => {
                Ok(Self::limited(db, FORMAT_VERSION, settings, clock))
            }
            Some(FORMAT_VERSION) => damaged("a family of rows is missing"),
            _ => damaged("its format version is none"),
        }
    }

    /// The layout of this folder: that of the program that made it.
    #[must_use]
    pub fn format(&self) -> u32 {
        if self.shared.apart { FORMAT_VERSION } else { 1 }
    }

    /// Copies the store as it stands at one moment into a folder that is not there yet, while it is read and written on. Files that
    /// never change again are linked where the disk is the same one, and copied where not. Blocks; durable on Ok. A crash leaves a
    /// folder to be removed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with what the engine or the disk says, or because a write has failed before.
    pub fn copy_to(&self, folder: &Path) -> Result<(), StoreError> {
        if let Some(reason) = self.shared.broken.get() {
            return Err(StoreError::Unavailable(reason.clone()));
        }
        let copy = Checkpoint::new(&self.shared.db).and_then(|checkpoint| checkpoint.create_checkpoint(folder));
        copy.map_err(read_failed)
    }

    fn limited(db: Db, format: u32, settings: &RocksSettings, clock: Clock) -> Limited<Self> {
        let buffers = u64::from(WRITE_BUFFERS).saturating_mul(settings.write_buffer_bytes as u64);
        let growing_bytes = settings.wal_bytes_max.saturating_add(buffers);
        let apart = format >= 2;
        let shared = Shared { db, apart, growing_bytes, commit_lock: Mutex::new(()), broken: OnceLock::new() };
        Limited::new(Self { shared: Arc::new(shared) }, clock)
    }
}

#[async_trait]
impl Engine for Rocks {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let view = View::new(self.shared.clone(), |shared| shared.db.snapshot());
        Ok(Arc::new(RocksSnapshot(Arc::new(view))))
    }

    async fn commit(&self, batch: Admitted) -> Result<(), CommitError> {
        let shared = self.shared.clone();
        // A task that does not come back (a panic, a runtime going down) may have written or not.
        tokio::task::spawn_blocking(move || shared.commit(batch)).await.unwrap_or(Err(CommitError::Unknown))
    }

    async fn certain(&self) -> Result<(), StoreError> {
        match self.shared.broken.get() {
            Some(reason) => Err(StoreError::Stopped(reason.clone())),
            None if self.shared.commit_lock.is_poisoned() => Err(StoreError::Stopped(POISONED.into())),
            None => Ok(()),
        }
    }

    /// A full write-ahead log, every buffer flushed, and the largest compaction, which writes at most all there is once more.
    fn headroom_bytes(&self) -> u64 {
        // What stands apart is moved, hardly ever written anew, but a table of the ledger is.
        let families = [Family::Rest, Family::Ledger].map(|family| self.shared.family(family));
        let tables = families.into_iter().filter_map(|family| {
            self.shared.db.property_int_value_cf(family?, rocksdb::properties::TOTAL_SST_FILES_SIZE).ok().flatten()
        });
        let compaction = tables.fold(0, u64::saturating_add).min(COMPACTION_BYTES_MAX);
        self.shared.growing_bytes.saturating_add(compaction)
    }

    /// RocksDB locks its folder.
    fn is_alone(&self) -> bool {
        true
    }
}

fn never_written(place: &wal::Tail) -> String {
    format!("{place} is no record that was ever written.")
}

/// What does not read is the tail of a log, which can be cut off, or something else.
fn tail_or_damaged(path: &Path, reason: String) -> RocksError {
    match wal::unfinished_tails(path) {
        Ok(tails) if !tails.is_empty() => RocksError::LogTail { tails, reason },
        _ => RocksError::Damaged { path: path.into(), reason },
    }
}

const POISONED: &str = "a commit ended in a panic; restart";

impl Shared {
    /// The engine's handle of a family; of a folder of format 1 there is one only.
    fn family(&self, family: Family) -> Option<&ColumnFamily> {
        self.db.cf_handle(if self.apart { family.name() } else { Family::Rest.name() })
    }

    fn family_of(&self, key: &[u8]) -> Result<&ColumnFamily, StoreError> {
        self.family(Family::of(key)).ok_or_else(no_family)
    }

    fn commit(&self, batch: Admitted) -> Result<(), CommitError> {
        let _one_at_a_time = self.commit_lock.lock().map_err(|_| CommitError::Unavailable(POISONED.into()))?;
        if let Some(reason) = self.broken.get() {
            return Err(CommitError::Unavailable(reason.clone()));
        }
        let settled = settle(batch, |key| {
            let stored = self.db.get_pinned_cf(self.family_of(key.as_bytes())?, key).map_err(read_failed)?;
            stored.map(|value| Versioned::parse_version(&value)).transpose()
        })?;
        let mut writes = WriteBatch::default();
        let family_of =
            |key: &Key| self.family_of(key.as_bytes()).map_err(|error| CommitError::Unavailable(error.to_string()));
        for (key, value) in &settled.puts {
            writes.put_cf(family_of(key)?, key, value);
        }
        for key in &settled.deletes {
            writes.delete_cf(family_of(key)?, key);
        }
        // A crash before the sync leaves nothing of the batch, after it all of it.
        self.db.write_opt(writes, &synced()).map_err(|error| {
            // The log may hold the batch or not, whatever memory shows: only a fresh start can tell.
            let _ = self.broken.set(format!("a write failed, restart to learn what was kept: {error}"));
            CommitError::Unknown
        })
    }
}

fn no_family() -> StoreError {
    StoreError::Unavailable("a family of rows is not open".into())
}

fn read_failed(error: rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Damaged(error.into_string()),
        _ => StoreError::Unavailable(error.into_string()),
    }
}

/// Durable means synced: the acknowledgement may leave the house when the write returns.
fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options.set_memtable_insert_hint_per_batch(true); // rows of one kind stand together in a batch, in ascending order
    options
}

#[cfg(test)]
mod tests;
