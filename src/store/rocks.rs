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
mod families; // which rows stand apart

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, BlockBasedTablePinningTier, Cache, ChecksumType, ColumnFamily, ColumnFamilyDescriptor,
    DBCompressionType, DBPinnableSlice, DBRecoveryMode, DBWithThreadMode, DataBlockIndexType, Env, ErrorKind, Options,
    ReadOptions, SingleThreaded, SliceTransform, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};
use self_cell::self_cell;

use families::{Family, stretches};

use super::contract::{
    Admitted, CommitError, Direction, Engine, Key, KeyRange, Page, PageBuilder, Snapshot, StoreError, Versioned,
};
use super::key_space::{self, FORMAT_VERSION, MetaRow, RECORD_PREFIX_BYTES};
use super::limited::{Limited, settle};
use super::wal::{self, Damage, Tail};
use crate::clock::Clock;

/// Reads of more rows than this leave the worker.
const ROWS_ON_WORKER_MAX: usize = 64;
/// RocksDB's own message log, in the data folder: so many files …
const MESSAGE_FILES: usize = 4;
/// … of this size.
const MESSAGE_FILE_BYTES: usize = 8 << 20;
/// Table files that one compaction reads, and so writes anew before the old ones go. One compaction runs at a time.
const COMPACTION_BYTES_MAX: u64 = 1 << 30;
/// Memory for rows not yet in a table file, as so many buffers.
const WRITE_BUFFERS: u8 = 3;
/// Table files held open at once.
const OPEN_FILES_MAX: i32 = 1_024;
/// So many tables are named where one of them is damaged and the engine does not say which.
const TABLES_NAMED_MAX: usize = 64;
/// Protects rows in memory against flipped bits, and does not carry on after a disk error. Tables at the lowest level are written once
/// more, to forget what their rows replaced, when a day old and not at once.
const STRING_OPTIONS: &str = "memtable_protection_bytes_per_key=8;block_protection_bytes_per_key=8;\
    max_bgerror_resume_count=0;file_checksum_gen_factory=FileChecksumGenCrc32cFactory;\
    bottommost_file_compaction_delay=86400";
/// Where rows are only added nothing was replaced: such a table is never written again.
const APPENDED_OPTIONS: &str = "bottommost_file_compaction_delay=4294967295";

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
        if let Some(Damage { file, at, next }) = wal::damaged_inside(path).map_err(failed)? {
            return Err(RocksError::LogDamaged { file, at, next });
        }
        let opened = Tuning::new(settings).and_then(|tuning| {
            // Families of a later format are opened too, so that its folder can be told from a damaged one.
            let names = Db::list_cf(&tuning.whole, path)?;
            Db::open_cf_descriptors(&tuning.whole, path, tuning.families(&names))
        });
        let db = opened.map_err(|error| match RocksError::of(path, &error) {
            RocksError::Damaged { path, reason } => match wal::unfinished_tails(&path) {
                Ok(tails) if !tails.is_empty() => RocksError::LogTail { tails, reason },
                _ => RocksError::Damaged { path, reason },
            },
            other => other,
        })?;
        Self::of_format(db, path, settings, clock)
    }

    /// Opens a data folder without writing anything: to judge it. Every commit is refused.
    ///
    /// # Errors
    /// As [`Rocks::open`]; another process that has it open is not noticed.
    pub fn open_to_read(path: &Path, settings: &RocksSettings, clock: Clock) -> Result<Limited<Self>, RocksError> {
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

type DbSnapshot<'a> = SnapshotWithThreadMode<'a, Db>;

self_cell!(
    /// A snapshot that keeps its database open.
    struct View {
        owner: Arc<Shared>,
        #[covariant]
        dependent: DbSnapshot,
    }
);

struct RocksSnapshot(Arc<View>);

#[async_trait]
impl Snapshot for RocksSnapshot {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.0.get(key)
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        if keys.len() <= ROWS_ON_WORKER_MAX {
            return self.0.multi_get(keys);
        }
        let (view, keys) = (self.0.clone(), keys.to_vec());
        blocking(move || view.multi_get(&keys)).await
    }

    async fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError> {
        if limit <= ROWS_ON_WORKER_MAX {
            return self.0.scan(range, direction, limit);
        }
        let view = self.0.clone();
        blocking(move || view.scan(range, direction, limit)).await
    }
}

impl View {
    fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let family = self.borrow_owner().family_of(key.as_bytes())?;
        let value = self.borrow_dependent().get_pinned_cf(family, key).map_err(read_failed)?;
        value.map(|value| versioned(&value)).transpose()
    }

    /// Rows of one family together: looking for several at once costs the engine less than for each by itself.
    fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        let one = |family| keys.iter().all(|key| Family::of(key.as_bytes()) == family);
        let Some(family) = keys.first().map(|key| Family::of(key.as_bytes())).filter(|family| one(*family)) else {
            return keys.iter().map(|key| self.get(key)).collect();
        };
        let family = self.borrow_owner().family(family).ok_or_else(no_family)?;
        let mut options = ReadOptions::default();
        options.set_snapshot(self.borrow_dependent());
        let values = self.borrow_owner().db.batched_multi_get_cf_opt(family, keys, false, &options);
        let parsed = |value: Option<DBPinnableSlice<'_>>| value.map(|value| versioned(&value)).transpose();
        values.into_iter().map(|value| value.map_err(read_failed).and_then(parsed)).collect()
    }

    fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError> {
        let mut stretches: Vec<(Family, KeyRange)> = match self.borrow_owner().apart {
            true => stretches(&range).collect(),
            false => vec![(Family::Rest, range.clone())],
        };
        if direction == Direction::Reverse {
            stretches.reverse();
        }
        let mut page = PageBuilder::new(range, direction, limit);
        for (family, stretch) in stretches {
            if !self.scan_stretch(family, &stretch, direction, &mut page)? {
                break;
            }
        }
        Ok(page.finish())
    }

    /// Puts the rows of one family into a page; false once it is full.
    fn scan_stretch(
        &self,
        family: Family,
        range: &KeyRange,
        direction: Direction,
        page: &mut PageBuilder,
    ) -> Result<bool, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start.as_ref());
        if let Some(end) = &range.end {
            options.set_iterate_upper_bound(end.as_ref());
        }
        let of_one_record = direction == Direction::Forward && inside_one_prefix(range);
        options.set_prefix_same_as_start(of_one_record); // lets filters skip files that cannot hold the record
        options.set_total_order_seek(!of_one_record);
        let family = self.borrow_owner().family(family).ok_or_else(no_family)?;
        let mut rows = self.borrow_dependent().raw_iterator_cf_opt(family, options);
        match direction {
            Direction::Forward => rows.seek(&range.start),
            Direction::Reverse => rows.seek_to_last(),
        }
        while let Some((key, value)) = rows.item() {
            let key = Key::from_bytes(Bytes::copy_from_slice(key));
            let key = key.ok_or_else(|| StoreError::Damaged("a key of a forbidden length".into()))?;
            if !page.push(key, versioned(value)?) {
                return Ok(false);
            }
            match direction {
                Direction::Forward => rows.next(),
                Direction::Reverse => rows.prev(),
            }
        }
        rows.status().map_err(read_failed)?; // an iterator also stops at what it cannot read
        Ok(true)
    }
}

/// Whether every key of the range begins with the same [`RECORD_PREFIX_BYTES`].
fn inside_one_prefix(range: &KeyRange) -> bool {
    let Some(prefix) = range.start.get(..RECORD_PREFIX_BYTES) else { return false };
    let whole = KeyRange::prefix(Bytes::copy_from_slice(prefix));
    range.end.as_ref().zip(whole.end).is_some_and(|(end, last)| *end <= last)
}

fn versioned(value: &[u8]) -> Result<Versioned, StoreError> {
    Versioned::parse(&Bytes::copy_from_slice(value))
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = |error: tokio::task::JoinError| Err(StoreError::Unavailable(error.to_string()));
    tokio::task::spawn_blocking(read).await.unwrap_or_else(ended)
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

/// How the engine is set, as a whole and by family.
struct Tuning {
    whole: Options,
    /// The same, for families that are only added to.
    appended: Options,
    cache: Cache,
    settings: RocksSettings,
}

impl Tuning {
    fn new(settings: &RocksSettings) -> Result<Self, rocksdb::Error> {
        let mut whole = Options::default().get_options_from_string(STRING_OPTIONS)?;
        // What may be lost: an unfinished record at the very end, which was never acknowledged. Anything else refuses to open.
        whole.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        whole.set_track_and_verify_wals_in_manifest(true); // a log file that vanished is an error
        whole.set_paranoid_checks(true);
        whole.set_max_total_wal_size(settings.wal_bytes_max);
        whole.set_db_write_buffer_size(settings.write_buffer_bytes.saturating_mul(WRITE_BUFFERS.into()));
        whole.set_allow_concurrent_memtable_write(false); // there is one writer
        whole.set_max_open_files(OPEN_FILES_MAX);
        whole.set_keep_log_file_num(MESSAGE_FILES);
        whole.set_max_log_file_size(MESSAGE_FILE_BYTES);
        // Merging tables is never urgent, answers are: on a machine with few cores it takes what they leave.
        let mut threads = Env::new()?;
        threads.lower_thread_pool_cpu_priority();
        whole.set_env(&threads);
        Ok(Self {
            appended: whole.get_options_from_string(APPENDED_OPTIONS)?,
            whole,
            cache: Cache::new_hyper_clock_cache(settings.block_cache_bytes, 0),
            settings: settings.clone(),
        })
    }

    /// The default family and those named, each set for what is in it.
    fn families(&self, names: &[String]) -> Vec<ColumnFamilyDescriptor> {
        let known: BTreeMap<&str, Family> = Family::APART.iter().map(|family| (family.name(), *family)).collect();
        let named = names.iter().filter(|name| *name != Family::Rest.name());
        let named = named.map(|name| (name.as_str(), known.get(name.as_str()).copied().unwrap_or(Family::Rest)));
        let all = std::iter::once((Family::Rest.name(), Family::Rest)).chain(named);
        all.map(|(name, family)| ColumnFamilyDescriptor::new(name, self.family(family))).collect()
    }

    fn family(&self, family: Family) -> Options {
        let mut tables = BlockBasedOptions::default();
        tables.set_format_version(6); // 6: block checksums know their place in the file
        tables.set_checksum_type(ChecksumType::XXH3);
        tables.set_block_cache(&self.cache);
        tables.set_cache_index_and_filter_blocks(true); // so that the cache bounds them too
        tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = if family.is_appended() { self.appended.clone() } else { self.whole.clone() };
        if family == Family::Rest {
            // A point read asks no cache for them; they are some hundredth of the records.
            tables.set_unpartitioned_pinning_tier(BlockBasedTablePinningTier::All);
        }
        if !family.is_appended() {
            tables.set_bloom_filter(10.0, false); // about one needless disk read in a hundred questions about nobody
            tables.set_whole_key_filtering(true);
        }
        if family == Family::Rest {
            tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash); // records are read by their whole key
            tables.set_data_block_hash_ratio(0.75);
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(RECORD_PREFIX_BYTES));
            options.set_memtable_prefix_bloom_ratio(0.05);
            options.set_memtable_whole_key_filtering(true);
        }
        options.set_block_based_table_factory(&tables);
        options.set_compression_type(DBCompressionType::None); // bodies are ciphertext
        options.set_write_buffer_size(self.settings.write_buffer_bytes);
        options.set_max_write_buffer_number(WRITE_BUFFERS.into());
        options.set_max_compaction_bytes(COMPACTION_BYTES_MAX);
        options
    }
}

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
    fn of(path: &Path, error: &rocksdb::Error) -> Self {
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

#[cfg(test)]
mod tests;
