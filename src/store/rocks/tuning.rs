//! How the engine is set: for evidence first, then for rows of each kind.
use std::collections::BTreeMap;

use rocksdb::{
    BlockBasedOptions, BlockBasedTablePinningTier, Cache, ChecksumType, ColumnFamilyDescriptor, DBCompressionType,
    DBRecoveryMode, DataBlockIndexType, Env, Options, SliceTransform,
};

use super::super::key_space::RECORD_PREFIX_BYTES;
use super::families::Family;
use super::{COMPACTION_BYTES_MAX, RocksSettings, WRITE_BUFFERS};

/// RocksDB's own message log, in the data folder: so many files …
const MESSAGE_FILES: usize = 4;
/// … of this size.
const MESSAGE_FILE_BYTES: usize = 8 << 20;
/// Table files held open at once.
const OPEN_FILES_MAX: i32 = 1_024;
/// Keys of an index that are kept as what they differ by.
const INDEX_KEYS_TOGETHER: i32 = 16;
/// Protects rows in memory against flipped bits, and does not carry on after a disk error. Tables at the lowest level are written once
/// more, to forget what their rows replaced, when a day old and not at once.
const STRING_OPTIONS: &str = "memtable_protection_bytes_per_key=8;block_protection_bytes_per_key=8;\
    max_bgerror_resume_count=0;file_checksum_gen_factory=FileChecksumGenCrc32cFactory;\
    bottommost_file_compaction_delay=86400";
/// Where rows are only added nothing was replaced: such a table is never written again.
const APPENDED_OPTIONS: &str = "bottommost_file_compaction_delay=4294967295";

/// How the engine is set, as a whole and by family.
pub(super) struct Tuning {
    pub(super) whole: Options,
    /// The same, for families that are only added to.
    appended: Options,
    cache: Cache,
    settings: RocksSettings,
}

impl Tuning {
    pub(super) fn new(settings: &RocksSettings) -> Result<Self, rocksdb::Error> {
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
        // Writing and merging tables is never urgent, answers are: on a machine with few cores it takes what they leave. Where they leave
        // too little, buffers fill up, writes wait, and it is at its turn.
        let mut threads = Env::new()?;
        threads.lower_thread_pool_cpu_priority();
        threads.lower_high_priority_thread_pool_cpu_priority();
        whole.set_env(&threads);
        Ok(Self {
            appended: whole.get_options_from_string(APPENDED_OPTIONS)?,
            whole,
            cache: Cache::new_hyper_clock_cache(settings.block_cache_bytes, 0),
            settings: settings.clone(),
        })
    }

    /// The default family and those named, each set for what is in it.
    pub(super) fn families(&self, names: &[String]) -> Vec<ColumnFamilyDescriptor> {
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
        if family.is_appended() {
            // Keys that follow one another share most of their bytes. Every table written stays open and its index in the cache.
            tables.set_index_block_restart_interval(INDEX_KEYS_TOGETHER);
        } else {
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
