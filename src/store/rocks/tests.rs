use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use rocksdb::Options;
use tempfile::TempDir;

use super::view::inside_one_prefix;
use super::*;
use crate::store::conformance::{self, Made};
use crate::store::contract::{Batch, BatchId, Direction, KeyRange, Store};

fn clock() -> Clock {
    Clock::from_fn(|| 1_700_000_000_000)
}

fn small() -> RocksSettings {
    RocksSettings { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, wal_bytes_max: 4 << 20 }
}

fn made() -> (TempDir, PathBuf, Limited<Rocks>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let store = Rocks::create(&path, &small(), clock()).unwrap();
    (folder, path, store)
}

fn open(path: &Path) -> Result<Limited<Rocks>, RocksError> {
    Rocks::open(path, &small(), clock())
}

/// What a power cut would leave if everything written so far had reached the disk: the files, copied while in use.
fn crash_image(path: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
    }
    image
}

fn newest_wal(path: &Path) -> PathBuf {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == "log")).max().unwrap()
}

async fn write(store: &dyn Store, n: u64) {
    let mut batch = Batch::new(BatchId::random().unwrap());
    batch.put_fresh(key_space::entry(n), n.to_be_bytes().to_vec());
    store.commit(batch).await.unwrap();
}

async fn entries(store: &dyn Store) -> Vec<u64> {
    let page = store.snapshot().await.unwrap().scan(key_space::entries(0, 1_000), Direction::Forward, 1_000).await;
    page.unwrap().rows.iter().map(|(key, _)| key_space::parse_entry(key).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocksdb_keeps_the_contract() {
    let make = async |clock| {
        let folder = tempfile::tempdir().unwrap();
        let store = Rocks::create(&folder.path().join("data"), &small(), clock).unwrap();
        Made { store: Arc::new(store), keep: Box::new(folder) }
    };
    conformance::run(make).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let (_folder, path, store) = made();
    for n in 0..50 {
        write(&store, n).await;
    }
    let image = crash_image(&path);
    let reopened = open(image.path()).unwrap();
    assert_eq!(entries(&reopened).await, (0..50).collect::<Vec<_>>());
}

/// What a crash leaves after fifty writes, and the log they are in.
async fn image_of_fifty() -> (TempDir, PathBuf) {
    let (_folder, path, store) = made();
    for n in 0..50 {
        write(&store, n).await;
    }
    let image = crash_image(&path);
    let wal = newest_wal(image.path());
    (image, wal)
}

#[tokio::test]
async fn a_torn_tail_costs_the_unfinished_record_only() {
    let (image, wal) = image_of_fifty().await;
    let whole = fs::read(&wal).unwrap();
    fs::write(&wal, &whole[..whole.len() - 5]).unwrap();
    assert_eq!(entries(&open(image.path()).unwrap()).await, (0..49).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_log_refuses_to_open_instead_of_forgetting() {
    let (image, wal) = image_of_fifty().await;
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&wal, bytes).unwrap();
    assert!(matches!(open(image.path()), Err(RocksError::LogDamaged { .. })));
}

#[tokio::test]
async fn a_last_record_that_does_not_read_is_named_and_a_folder_cut_at_it_opens() {
    let (image, wal) = image_of_fifty().await;
    let mut bytes = fs::read(&wal).unwrap();
    let length = bytes.len();
    bytes[length - 20..].fill(0);
    fs::write(&wal, &bytes).unwrap();
    let Err(RocksError::LogTail { tails, .. }) = open(image.path()) else { panic!("it must name the tail") };
    let [tail] = tails.as_slice() else { panic!("{tails:?}") };
    assert_eq!(tail.file, wal);
    let cut = wal::Cut::make(tail.clone()).unwrap();
    let judged = Rocks::open_to_read(image.path(), &small(), clock()).unwrap();
    assert_eq!(entries(&judged).await, (0..49).collect::<Vec<_>>());
    write_refused(&judged).await;
    drop(judged);
    cut.undo().unwrap();
    assert_eq!(fs::read(&wal).unwrap(), bytes, "judging has changed nothing");
    wal::Cut::make(tail.clone()).unwrap();
    assert_eq!(entries(&open(image.path()).unwrap()).await, (0..49).collect::<Vec<_>>());
}

/// RocksDB itself would read for ever here.
#[tokio::test]
async fn a_last_record_that_one_bit_made_one_of_a_recycled_file_is_refused_and_named_at_once() {
    let (image, log) = image_of_fifty().await;
    let current = fs::read_to_string(image.path().join("CURRENT")).unwrap();
    for file in [log, image.path().join(current.trim_end())] {
        let whole = fs::read(&file).unwrap();
        let wal::Reading::Torn { at } = wal::examine(&whole[..whole.len() - 1]).unwrap() else { panic!("no record") };
        let mut bytes = whole.clone();
        bytes[usize::try_from(at).unwrap() + 6] ^= 1 << 2;
        fs::write(&file, &bytes).unwrap();
        let (told, refusal) = mpsc::channel();
        let path = image.path().to_path_buf();
        std::thread::spawn(move || told.send(open(&path).map(|_| ())));
        match refusal.recv_timeout(Duration::from_secs(20)).expect("it must not read for ever") {
            Err(RocksError::LogTail { tails, reason }) => {
                assert_eq!(tails, [wal::Tail { file: file.clone(), at }]);
                assert!(reason.contains(file.to_str().unwrap()), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        fs::write(&file, &whole).unwrap();
    }
}

async fn write_refused(store: &dyn Store) {
    let mut batch = Batch::new(BatchId([1; 16]));
    batch.put(key_space::head(), vec![1]);
    assert!(store.commit(batch).await.is_err(), "it was opened to read");
}

#[tokio::test]
async fn a_store_outlives_its_process_and_a_snapshot_its_store() {
    let (_folder, path, store) = made();
    write(&store, 1).await;
    let view = store.snapshot().await.unwrap();
    drop(store);
    assert!(view.get(&key_space::entry(1)).await.unwrap().is_some());
    assert!(matches!(open(&path), Err(RocksError::InUse(_))), "the snapshot still holds the folder");
    drop(view);
    let store = open(&path).unwrap();
    write(&store, 2).await;
    assert_eq!(entries(&store).await, [1, 2]);
}

#[test]
fn a_store_is_made_only_where_nothing_is_and_opened_only_where_one_is() {
    let (folder, path, store) = made();
    assert!(matches!(open(&path), Err(RocksError::InUse(_))));
    assert!(matches!(Rocks::create(&path, &small(), clock()), Err(RocksError::NotEmpty(_))));
    drop(store);
    assert!(matches!(open(&folder.path().join("typo")), Err(RocksError::Absent(_))));
    assert!(!folder.path().join("typo").exists());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(open(&empty), Err(RocksError::Absent(_))));
}

#[test]
fn an_unfinished_and_a_newer_folder_are_refused() {
    let (_folder, path, store) = made();
    let row = key_space::meta(MetaRow::FormatVersion);
    store.engine().shared.db.put(&row, Versioned::frame(1, &(FORMAT_VERSION + 1).to_be_bytes())).unwrap();
    drop(store);
    let refused = open(&path).err().unwrap();
    assert!(refused.to_string().contains("has format 3, this program knows up to 2"), "{refused}");
    let tuning = Tuning::new(&small()).unwrap();
    let names = Db::list_cf(&tuning.whole, &path).unwrap();
    let db = Db::open_cf_descriptors(&tuning.whole, &path, tuning.families(&names)).unwrap();
    db.delete(&row).unwrap();
    drop(db);
    assert!(matches!(open(&path), Err(RocksError::Unfinished(_))));
}

/// A folder as programs of format 1 made it: one family.
fn of_format_1(path: &Path) {
    let mut tuning = Tuning::new(&small()).unwrap();
    tuning.whole.create_if_missing(true);
    let db = Db::open_cf_descriptors(&tuning.whole, path, tuning.families(&[])).unwrap();
    db.put(key_space::meta(MetaRow::FormatVersion), Versioned::frame(1, &1_u32.to_be_bytes())).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_format_1_goes_on_in_one_family_and_keeps_the_contract() {
    let make = async |clock| {
        let folder = tempfile::tempdir().unwrap();
        of_format_1(folder.path());
        let store = Rocks::open(folder.path(), &small(), clock).unwrap();
        Made { store: Arc::new(store), keep: Box::new(folder) }
    };
    conformance::run(make).await;
    let folder = tempfile::tempdir().unwrap();
    of_format_1(folder.path());
    let store = open(folder.path()).unwrap();
    for n in 0..3 {
        write(&store, n).await;
    }
    assert_eq!((store.engine().format(), entries(&store).await), (1, vec![0, 1, 2]));
    drop(store);
    assert_eq!(
        Db::list_cf(&Options::default(), folder.path()).unwrap(),
        ["default"],
        "an older program opens it still"
    );
}

#[tokio::test]
async fn a_page_goes_on_from_one_family_to_the_next_both_ways() {
    let (_folder, _path, store) = made();
    let keys = [
        key_space::head(),
        key_space::entry(1),
        key_space::tile(0, 0),
        key_space::statement_row(1),
        key_space::ledger(&[7; 16], 1),
        key_space::request(&[7; 16]),
    ];
    let mut batch = Batch::new(BatchId::random().unwrap());
    for key in keys.iter().rev() {
        batch.put_fresh(key.clone(), vec![1]);
    }
    store.commit(batch).await.unwrap();
    let view = store.snapshot().await.unwrap();
    for (direction, expected) in
        [(Direction::Forward, keys.to_vec()), (Direction::Reverse, keys.iter().rev().cloned().collect::<Vec<_>>())]
    {
        let (mut found, mut rest) = (Vec::new(), Some(KeyRange { start: Bytes::from_static(&[0x10]), end: None }));
        while let Some(range) = rest {
            let page = view.scan(range, direction, 2).await.unwrap();
            found.extend(page.rows.into_iter().map(|(key, _)| key));
            rest = page.next;
        }
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn rows_of_several_families_are_read_together_in_the_order_asked_for() {
    let (_folder, _path, store) = made();
    let [entry, head, statement] = [key_space::entry(1), key_space::head(), key_space::statement_row(1)];
    let mut batch = Batch::new(BatchId::random().unwrap());
    for (key, body) in [(&entry, b"entry".as_slice()), (&head, b"head"), (&statement, b"statement")] {
        batch.put_fresh(key.clone(), body.to_vec());
    }
    store.commit(batch).await.unwrap();
    let view = store.snapshot().await.unwrap();
    for keys in
        [[statement, head.clone(), key_space::entry(2), entry.clone()], [head.clone(), head, entry.clone(), entry]]
    {
        let together: Vec<_> = view.multi_get(&keys).await.unwrap();
        for (key, found) in keys.iter().zip(together) {
            assert_eq!(found, view.get(key).await.unwrap(), "{key:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_statements_is_written_once_and_never_again() {
    let (_folder, _path, store) = made();
    let tables = || -> Vec<String> {
        let live = store.engine().shared.db.live_files().unwrap();
        live.into_iter().filter(|file| file.column_family_name == "statements").map(|file| file.name).collect()
    };
    let mut written = Vec::new();
    for n in 0..400 {
        let _seen = store.snapshot().await.unwrap(); // somebody always looks at what was
        let mut batch = Batch::new(BatchId::random().unwrap());
        batch.put_fresh(key_space::statement_row(n), vec![7; 32 << 10]);
        store.commit(batch).await.unwrap();
        written.extend(tables().into_iter().filter(|table| !written.contains(table)).collect::<Vec<_>>());
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // what the engine wants to merge, it has begun to
    let left = tables();
    assert!(written.len() >= 8, "{written:?}");
    let gone: Vec<_> = written.iter().filter(|table| !left.contains(table)).collect();
    assert!(gone.is_empty(), "written again: {gone:?} of {}", written.len());
}

#[test]
fn a_folder_that_lost_a_family_is_damaged() {
    let (_folder, path, store) = made();
    drop(store);
    let tuning = Tuning::new(&small()).unwrap();
    let names = Db::list_cf(&tuning.whole, &path).unwrap();
    let mut db = Db::open_cf_descriptors(&tuning.whole, &path, tuning.families(&names)).unwrap();
    db.drop_cf("ledger").unwrap();
    drop(db);
    assert!(matches!(open(&path), Err(RocksError::Damaged { .. })));
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_built_on_what_is_not_known() {
    let (_folder, _path, store) = made();
    store.engine().shared.broken.set("the disk said no".into()).unwrap();
    let batch = Batch::new(BatchId([1; 16]));
    assert!(matches!(store.outcome(batch.id).await, Err(StoreError::Stopped(_))), "waiting would never end");
    assert!(matches!(store.commit(batch).await, Err(CommitError::Unavailable(_))));
}

/// The other process of the next test: commits until it is killed, saying so after each acknowledgement.
#[tokio::test]
#[ignore = "run by the test that kills it"]
async fn commits_until_killed() {
    let Ok(path) = std::env::var("WUKU_TEST_FOLDER") else { return };
    let store = open(Path::new(&path)).unwrap();
    for n in entries(&store).await.len() as u64.. {
        write(&store, n).await;
        println!("\nacknowledged {n}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_batch_and_kept_others_out() {
    use std::io::{BufRead, BufReader};
    let (_folder, path, store) = made();
    drop(store);
    for _ in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::rocks::tests::commits_until_killed", "--ignored", "--nocapture"])
            .env("WUKU_TEST_FOLDER", &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acknowledged = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok());
        acknowledged.nth(20).unwrap();
        assert!(matches!(open(&path), Err(RocksError::InUse(_))));
        child.kill().unwrap();
        let last = acknowledged.last().unwrap_or(0);
        child.wait().unwrap();
        let kept = entries(&open(&path).unwrap()).await;
        assert!(kept.len() as u64 > last, "{last} was acknowledged, {} rows are there", kept.len());
        assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn only_ranges_within_one_record_use_its_filter() {
    let record = key_space::IndexKey([0xff; 16]);
    assert!(inside_one_prefix(&key_space::record_rows(1, &record)));
    assert!(inside_one_prefix(&key_space::record_rows_up_to(1, &record, 3)));
    assert!(!inside_one_prefix(&key_space::library_rows(1)));
    assert!(!inside_one_prefix(&key_space::entries(1, 2)));
    let (first, other) = (key_space::record_row(1, &record, 1), key_space::record_row(2, &record, 1));
    assert!(!inside_one_prefix(&KeyRange::between(&first, &other)));
}
