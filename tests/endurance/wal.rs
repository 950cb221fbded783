//! The engine's log: a torn tail recovers, damage inside is refused and named, and the engine's own default would have kept silent.
use crate::chance::Rng;
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::draft;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wuku::clock::Clock;
use wuku::store::fence::{Fence, Head};
use wuku::store::rocks::{Rocks, RocksError, RocksSettings};
use wuku::store::{Batch, BatchId, Direction, Store, key_space};

const RUNS: u32 = 150;
const RUNS_LONG: u32 = 1_000;
const BATCHES: u64 = 120;

/// A folder as a crash leaves it after so many acknowledged batches, all of them in the log.
struct Image {
    folder: TempDir,
    wal: PathBuf,
    bytes: Vec<u8>,
    /// Where the log ended after each batch.
    ends: Vec<usize>,
}

/// A folder in memory, where there is such a place: hundreds of stores are opened here, and each syncs.
pub fn folder_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn settings() -> RocksSettings {
    RocksSettings { block_cache_bytes: 1 << 20, ..RocksSettings::default() }
}

fn open(path: &Path) -> Result<impl Store + use<>, RocksError> {
    Rocks::open(path, &settings(), Clock::system())
}

fn newest_wal(path: &Path) -> PathBuf {
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "log")).max().unwrap()
}

async fn image(rng: &mut Rng) -> Image {
    let made = folder_in_memory();
    let path = made.path().join("data");
    let store = Rocks::create(&path, &settings(), Clock::system()).unwrap();
    let wal = newest_wal(&path);
    let mut ends = vec![usize::try_from(std::fs::metadata(&wal).unwrap().len()).unwrap()];
    for n in 0..BATCHES {
        let mut batch = Batch::new(BatchId::random().unwrap());
        // One in eight goes over a block's end.
        let bytes = if rng.below(8) == 0 { rng.below(40_000) } else { rng.below(600) };
        batch.put_fresh(key_space::entry(n), vec![u8::try_from(n).unwrap() + 1; bytes]);
        store.commit(batch).await.unwrap();
        ends.push(usize::try_from(std::fs::metadata(&wal).unwrap().len()).unwrap());
    }
    let folder = copy(&path);
    let wal = folder.path().join(wal.file_name().unwrap());
    let bytes = std::fs::read(&wal).unwrap();
    Image { folder, wal, bytes, ends }
}

fn copy(path: &Path) -> TempDir {
    let image = folder_in_memory();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
    }
    image
}

impl Image {
    /// A copy whose log is this.
    fn with(&self, log: &[u8]) -> TempDir {
        let copy = copy(self.folder.path());
        std::fs::write(copy.path().join(self.wal.file_name().unwrap()), log).unwrap();
        copy
    }
}

/// Which entries a store has.
async fn entries(store: &dyn Store) -> Vec<u64> {
    let page = store.snapshot().await.unwrap().scan(key_space::entries(0, BATCHES), Direction::Forward, 1_000).await;
    page.unwrap().rows.iter().map(|(key, _)| key_space::parse_entry(key).unwrap()).collect()
}

#[tokio::test]
async fn a_torn_tail_costs_the_unfinished_write_and_nothing_else() {
    let mut rng = Rng::seeded();
    let image = image(&mut rng).await;
    let runs = if figure::long() { RUNS_LONG } else { RUNS };
    for _ in 0..runs {
        let length = image.ends[0] + rng.below(image.bytes.len() - image.ends[0]);
        let whole = image.ends.iter().filter(|end| **end <= length).count() as u64 - 1;
        let copy = image.with(&image.bytes[..length]);
        let store = open(copy.path()).unwrap_or_else(|why| panic!("cut at {length}: {why}"));
        assert_eq!(entries(&store).await, (0..whole).collect::<Vec<_>>(), "cut at {length}");
    }
    figure::note("wal", "torn tails recovered", f64::from(runs), "tails", Target::AtLeast(f64::from(runs)));
}

#[tokio::test]
async fn damage_inside_the_log_is_refused_and_named() {
    let mut rng = Rng::seeded();
    let image = image(&mut rng).await;
    let runs = if figure::long() { RUNS_LONG } else { RUNS };
    let last = image.ends[image.ends.len() - 2];
    for run in 0..runs {
        let mut log = image.bytes.clone();
        let at = rng.below(last);
        match run % 3 {
            0 | 1 => log[at] ^= 1 << rng.below(8),
            _ => {
                let end = (at / 512 * 512 + 512).min(last);
                log[at / 512 * 512..end].fill(0);
            }
        }
        if log == image.bytes {
            continue; // the sector was of zeroes before
        }
        let copy = image.with(&log);
        match open(copy.path()).err() {
            Some(RocksError::LogDamaged { file, at: from, next }) => {
                assert_eq!(file.file_name(), image.wal.file_name());
                assert!(
                    usize::try_from(from).unwrap() <= at && from < next,
                    "run {run}: byte {at}, named {from} to {next}"
                );
            }
            Some(other) => panic!("run {run}, byte {at}: {other}"),
            None => panic!("run {run}: damage at byte {at} was passed over"),
        }
        let kept = std::fs::read(copy.path().join(image.wal.file_name().unwrap())).unwrap();
        assert_eq!(kept, log, "refusing has changed nothing");
    }
    figure::note("wal", "damage inside refused and named", f64::from(runs), "logs", Target::AtLeast(f64::from(runs)));
}

/// The whole way an operator goes, on a real hub.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recover_tail_cuts_off_what_was_never_acknowledged_and_nothing_that_was() {
    let mut hub = Hub::new().await;
    hub.grant_food().await;
    hub.issue(draft()).await;
    let Head { size, .. } = settled(&hub).await;
    hub.kill();
    let wal = newest_wal(&hub.config.data.path);
    let whole = std::fs::read(&wal).unwrap();

    // The last acknowledged batch, damaged: it reads no more than a cut-off write would, but the fence has seen it.
    let mut damaged = whole.clone();
    let last = damaged.len() - 20;
    damaged[last] ^= 1;
    std::fs::write(&wal, &damaged).unwrap();
    let why = hub.try_start().unwrap_err();
    assert!(why.contains("wuku recover --tail") && why.contains(wal.file_name().unwrap().to_str().unwrap()), "{why}");
    let refused = hub.wuku(&["recover", "--tail"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("it would lose what was recorded"), "{said}");
    assert_eq!(std::fs::read(&wal).unwrap(), damaged, "a refusal changes nothing");

    // A write that the power cut off: its length was on the disk, its bytes were not.
    let length = 500.min(32_768 - whole.len() % 32_768 - 7); // within its block
    let [low, high] = u16::try_from(length).unwrap().to_le_bytes();
    let torn = [whole.as_slice(), &[7, 7, 7, 7, low, high, 1], &vec![0; length]].concat();
    std::fs::write(&wal, &torn).unwrap();
    assert!(hub.try_start().unwrap_err().contains("wuku recover --tail"));
    let done = hub.wuku(&["recover", "--tail", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (said["size"].as_u64(), said["cuts"][0]["cutBytes"].as_u64()),
        (Some(size), Some(7 + length as u64)),
        "{said}"
    );
    hub.start();
    let again = hub.wuku(&["recover", "--tail"]);
    assert!(!again.status.success(), "a hub that runs has nothing to cut");
    hub.end().await;
}

/// The fence, once it has caught up with the hub: nothing is being asked.
async fn settled(hub: &Hub) -> Head {
    let mut seen = None;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let now = Fence::read(&hub.config.fence.path).unwrap();
        match now {
            Some(head) if seen.as_ref() == Some(&head) => return head,
            now => seen = now,
        }
    }
}

/// The control: the same damaged copies, opened by the engine as it is by default.
#[tokio::test]
async fn the_engines_default_drops_acknowledged_writes_in_silence_where_ours_refuses() {
    let mut rng = Rng::seeded();
    let image = image(&mut rng).await;
    let (mut silent, mut dropped) = (0, 0);
    for _ in 0..20 {
        let mut log = image.bytes.clone();
        log[image.ends[0] + rng.below(image.bytes.len() / 2)] ^= 1;
        let copy = image.with(&log);
        assert!(open(copy.path()).is_err());
        let options = rocksdb::Options::default();
        let families = rocksdb::DB::list_cf(&options, copy.path()).unwrap();
        let db = rocksdb::DB::open_cf(&options, copy.path(), families).expect("the default opens it");
        let entries = db.cf_handle("entries").unwrap();
        let there =
            (0..BATCHES).filter(|n| db.get_cf(&entries, key_space::entry(*n)).unwrap().is_some()).count() as u64;
        silent += u32::from(there < BATCHES);
        dropped += BATCHES - there;
    }
    eprintln!("by default {silent} of 20 damaged logs open and have lost {dropped} acknowledged batches");
    assert!(silent >= 19, "the default has become careful: {silent}");
}
