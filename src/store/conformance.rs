//! The suite that every engine runs: what the contract promises, asked of a real store.
//!
//! A new engine is done when `run` passes on it unchanged.
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::contract::*;
use super::key_space::{self, IndexKey, Prefix};
use crate::clock::Clock;
use crate::limits::{STORE_BATCH_BYTES_MAX, STORE_KEY_BYTES_MAX, STORE_MUTATIONS_MAX, STORE_VALUE_BYTES_MAX};

/// A fresh, empty store, and whatever must live as long as it (a folder, a server).
pub struct Made {
    /// The store to be asked.
    pub store: Arc<dyn Store>,
    /// Dropped after the store.
    pub keep: Box<dyn Any + Send>,
}

/// Asks every promise of the contract, each of a store of its own.
pub async fn run(make: impl AsyncFn(Clock) -> Made) {
    let still = || Clock::from_fn(|| 1_700_000_000_000);
    keys_sort_as_bytes(&make(still()).await).await;
    scans_stay_inside_their_range(&make(still()).await).await;
    pages_join_without_gap_or_overlap(&make(still()).await).await;
    a_page_is_bounded_in_bytes(&make(still()).await).await;
    limits_are_refused(&make(still()).await).await;
    what_is_inside_the_limits_is_taken(&make(still()).await).await;
    a_failed_check_leaves_nothing(&make(still()).await).await;
    versions_count_writes(&make(still()).await).await;
    a_snapshot_stays_as_it_was(&make(still()).await).await;
    concurrent_transfers_keep_the_sum(&make(still()).await).await;
    the_outcome_of_a_batch_can_be_asked(&make(still()).await).await;
    old_ids_and_snapshots_expire(&make).await;
    the_newest_version_of_a_record_is_one_step_away(&make(still()).await).await;
}

fn key(bytes: impl AsRef<[u8]>) -> Key {
    Key::from_bytes([&[0xf0], bytes.as_ref()].concat()).unwrap() // a prefix that was never given
}

fn all() -> KeyRange {
    KeyRange::prefix(vec![0xf0])
}

fn batch() -> Batch {
    Batch::new(BatchId::random().unwrap())
}

fn puts<'a>(rows: impl IntoIterator<Item = (&'a Key, &'a [u8])>) -> Batch {
    let mut batch = batch();
    for (key, body) in rows {
        batch.put(key.clone(), body.to_vec());
    }
    batch
}

async fn fill(made: &Made, keys: &[Key]) {
    for some in keys.chunks(STORE_MUTATIONS_MAX) {
        made.store.commit(puts(some.iter().map(|key| (key, key.as_bytes())))).await.unwrap();
    }
}

async fn stored(made: &Made, key: &Key) -> Option<Versioned> {
    made.store.snapshot().await.unwrap().get(key).await.unwrap()
}

async fn scan(made: &Made, range: KeyRange, direction: Direction, limit: usize) -> Page {
    made.store.snapshot().await.unwrap().scan(range, direction, limit).await.unwrap()
}

fn keys_of(page: &Page) -> Vec<Key> {
    page.rows.iter().map(|(key, _)| key.clone()).collect()
}

fn reversed(mut keys: Vec<Key>) -> Vec<Key> {
    keys.reverse();
    keys
}

async fn keys_sort_as_bytes(made: &Made) {
    let sorted: Vec<Key> = [
        &b""[..],
        b"\0",
        b"\0\0",
        b"\x01",
        b"A",
        b"a",
        b"a\0",
        b"aa",
        b"\x7f",
        b"\x80",
        b"\xc3\xa9",
        b"\xff",
        b"\xff\xff",
    ]
    .map(key)
    .to_vec();
    let mut shuffled = sorted.clone();
    shuffled.rotate_left(5);
    shuffled.swap(0, 7);
    fill(made, &shuffled).await;
    assert_eq!(keys_of(&scan(made, all(), Direction::Forward, 100).await), sorted);
    assert_eq!(keys_of(&scan(made, all(), Direction::Reverse, 100).await), reversed(sorted.clone()));
    for key in &sorted {
        assert_eq!(stored(made, key).await.unwrap().body, key.as_bytes());
    }
}

async fn scans_stay_inside_their_range(made: &Made) {
    let keys = [&b"a"[..], b"a\xff", b"a\xff\xff", b"b", b"b1", b"b2", b"c"].map(key);
    fill(made, &keys).await;
    let check = async |range: KeyRange, expected: &[Key]| {
        assert_eq!(keys_of(&scan(made, range.clone(), Direction::Forward, 100).await), expected, "{range:?}");
        let backwards = keys_of(&scan(made, range.clone(), Direction::Reverse, 100).await);
        assert_eq!(backwards, reversed(expected.to_vec()), "{range:?} backwards");
    };
    let prefix = |bytes: &[u8]| KeyRange::prefix(key(bytes).as_bytes().to_vec());
    check(prefix(b"a"), &keys[..3]).await;
    check(prefix(b"a\xff"), &keys[1..3]).await;
    check(prefix(b"b"), &keys[3..6]).await;
    check(prefix(b"d"), &[]).await;
    check(KeyRange::between(&keys[1], &keys[4]), &keys[1..4]).await; // start inside, end not
    check(KeyRange::between(&key(b"a\0"), &key(b"b11")), &keys[1..5]).await; // bounds that are no keys
    check(KeyRange::between(&keys[4], &keys[4]), &[]).await;
    check(KeyRange::between(&keys[5], &keys[2]), &[]).await;
    check(KeyRange { start: Bytes::copy_from_slice(keys[3].as_bytes()), end: None }, &keys[3..]).await;
    let many = made.store.snapshot().await.unwrap();
    let found = many.multi_get(&[keys[6].clone(), key(b"no"), keys[0].clone()]).await.unwrap();
    let bodies: Vec<Option<Bytes>> = found.into_iter().map(|row| row.map(|row| row.body)).collect();
    let body = |n: usize| Some(Bytes::copy_from_slice(keys[n].as_bytes()));
    assert_eq!(bodies, [body(6), None, body(0)]);
}

async fn pages_join_without_gap_or_overlap(made: &Made) {
    let keys: Vec<Key> = (0..25_u8).map(|n| key([n / 5, n % 5])).collect();
    fill(made, &keys).await;
    for (direction, expected) in [(Direction::Forward, keys.clone()), (Direction::Reverse, reversed(keys.clone()))] {
        for limit in [1, 2, 7, 24, 25, 26] {
            let (mut seen, mut rest) = (Vec::new(), Some(all()));
            while let Some(range) = rest {
                let page = scan(made, range, direction, limit).await;
                assert!(page.rows.len() == limit || page.next.is_none(), "a short page is the last");
                assert!(!page.rows.is_empty(), "`next` is given only when something is left");
                seen.extend(keys_of(&page));
                rest = page.next;
            }
            assert_eq!(seen, expected, "{direction:?} by {limit}");
        }
        let none = scan(made, all(), direction, 0).await;
        assert!(none.rows.is_empty() && none.next.is_some());
    }
    let many: Vec<Key> = (0..=u16::try_from(PAGE_ROWS_MAX).unwrap()).map(|n| key(n.to_be_bytes())).collect();
    fill(made, &many).await;
    assert_eq!(scan(made, all(), Direction::Forward, usize::MAX).await.rows.len(), PAGE_ROWS_MAX);
    let keys = vec![key(b"x"); PAGE_ROWS_MAX + 1];
    let refused = made.store.snapshot().await.unwrap().multi_get(&keys).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}

async fn a_page_is_bounded_in_bytes(made: &Made) {
    let body = vec![7; STORE_VALUE_BYTES_MAX];
    let keys: Vec<Key> = (0..20_u8).map(|n| key([n])).collect();
    for some in keys.chunks(10) {
        made.store.commit(puts(some.iter().map(|key| (key, body.as_slice())))).await.unwrap();
    }
    for (direction, rest) in [(Direction::Forward, 4), (Direction::Reverse, 4)] {
        let page = scan(made, all(), direction, 100).await;
        assert_eq!(page.rows.len(), 16, "closed by the row that takes it to 1 MiB");
        assert_eq!(scan(made, page.next.unwrap(), direction, 100).await.rows.len(), rest);
    }
}

async fn limits_are_refused(made: &Made) {
    let refused = async |batch: Batch| {
        let error = made.store.commit(batch.clone()).await.unwrap_err();
        assert_eq!(made.store.outcome(batch.id).await, Ok(BatchOutcome::Absent));
        assert!(scan(made, all(), Direction::Forward, 10).await.rows.is_empty(), "nothing was written");
        error
    };
    let value = vec![1; STORE_VALUE_BYTES_MAX + 1];
    let error = refused(puts([(&key(b"a"), &b"1"[..]), (&key(b"b"), &value)])).await;
    assert_eq!(error, CommitError::TooLarge { what: "bytes of one value", max: 65_536 });

    let mut many = batch();
    for n in 0..=u16::try_from(STORE_MUTATIONS_MAX).unwrap() {
        many.put_fresh(key(n.to_be_bytes()), Bytes::new());
    }
    assert_eq!(refused(many).await, CommitError::TooLarge { what: "mutations of one batch", max: 1_000 });

    let mut heavy = batch();
    for n in 0..17_u8 {
        heavy.put(key([n]), vec![1; 62_000]);
    }
    assert_eq!(refused(heavy).await, CommitError::TooLarge { what: "bytes of one batch", max: STORE_BATCH_BYTES_MAX });

    let mut twice = batch();
    twice.put(key(b"a"), Bytes::new()).delete(key(b"a"));
    assert!(matches!(refused(twice).await, CommitError::Malformed(_)));
    let mut twice = batch();
    twice.put(key(b"a"), Bytes::new()).put_fresh(key(b"a"), Bytes::new());
    assert!(matches!(refused(twice).await, CommitError::Malformed(_)));
    let mut forged = batch();
    forged.put(key_space::batch_id(BatchId([1; 16])), Bytes::new());
    assert!(matches!(refused(forged).await, CommitError::Malformed(_)));
}

async fn what_is_inside_the_limits_is_taken(made: &Made) {
    let longest = key(vec![0xff; STORE_KEY_BYTES_MAX - 1]);
    let largest = vec![0xab; STORE_VALUE_BYTES_MAX];
    made.store.commit(puts([(&longest, largest.as_slice())])).await.unwrap();
    assert_eq!(stored(made, &longest).await.unwrap().body, largest);
    let keys: Vec<Key> = (0..u16::try_from(STORE_MUTATIONS_MAX).unwrap()).map(|n| key(n.to_be_bytes())).collect();
    fill(made, &keys).await;
    let mut gone = batch();
    gone.deletes = keys;
    made.store.commit(gone).await.unwrap();
    assert_eq!(keys_of(&scan(made, all(), Direction::Forward, 10).await), [longest]);
    let empty = key(b"empty");
    made.store.commit(puts([(&empty, &b""[..])])).await.unwrap();
    assert_eq!(stored(made, &empty).await, Some(Versioned { version: 1, body: Bytes::new() }));
    made.store.commit(batch()).await.unwrap();
}

async fn a_failed_check_leaves_nothing(made: &Made) {
    let (held, other) = (key(b"held"), key(b"other"));
    made.store.commit(puts([(&held, &b"1"[..])])).await.unwrap();
    let failing = [
        Check::Absent(held.clone()),
        Check::Version(held.clone(), 2),
        Check::Version(held.clone(), 0),
        Check::Version(key(b"nobody"), 0),
        Check::Version(key(b"nobody"), 1),
    ];
    for check in failing {
        let mut batch = puts([(&held, &b"2"[..]), (&other, &b"2"[..])]);
        batch.check(Check::Version(held.clone(), 1)).check(check.clone()); // the first holds, the second does not
        assert_eq!(made.store.commit(batch.clone()).await, Err(CommitError::CheckFailed(check.key().clone())));
        assert_eq!(made.store.outcome(batch.id).await, Ok(BatchOutcome::Absent));
        assert_eq!(stored(made, &held).await.unwrap().body, "1");
        assert_eq!(stored(made, &other).await, None);
    }
    let mut batch = puts([(&held, &b"2"[..]), (&other, &b"2"[..])]);
    batch.check(Check::Version(held.clone(), 1)).check(Check::Absent(other.clone()));
    assert_eq!(made.store.commit(batch).await, Ok(()));
    assert_eq!(stored(made, &held).await.unwrap(), Versioned { version: 2, body: Bytes::from_static(b"2") });
    // A check on a key of the same batch speaks of the moment before it.
    let mut delete = batch_of_delete(&other);
    delete.check(Check::Version(other.clone(), 1));
    assert_eq!(made.store.commit(delete).await, Ok(()));
}

fn batch_of_delete(key: &Key) -> Batch {
    let mut batch = batch();
    batch.delete(key.clone());
    batch
}

async fn versions_count_writes(made: &Made) {
    let (counted, fresh) = (key(b"counted"), key(b"fresh"));
    for version in 1..=3 {
        made.store.commit(puts([(&counted, &b"same"[..])])).await.unwrap();
        assert_eq!(stored(made, &counted).await.unwrap().version, version);
    }
    made.store.commit(batch_of_delete(&counted)).await.unwrap();
    assert_eq!(stored(made, &counted).await, None);
    made.store.commit(batch_of_delete(&counted)).await.unwrap(); // removing what is absent is no error
    made.store.commit(puts([(&counted, &b"again"[..])])).await.unwrap();
    assert_eq!(stored(made, &counted).await.unwrap().version, 1, "deleting forgets the version");
    let mut once = batch();
    once.put_fresh(fresh.clone(), &b"once"[..]);
    made.store.commit(once).await.unwrap();
    assert_eq!(stored(made, &fresh).await, Some(Versioned { version: 1, body: Bytes::from_static(b"once") }));
    made.store.commit(puts([(&fresh, &b"twice"[..])])).await.unwrap();
    assert_eq!(stored(made, &fresh).await.unwrap().version, 2, "a fresh row is counted on by a put");
}

async fn a_snapshot_stays_as_it_was(made: &Made) {
    let (changed, removed, added) = (key(b"changed"), key(b"removed"), key(b"added"));
    made.store.commit(puts([(&changed, &b"old"[..]), (&removed, &b"old"[..])])).await.unwrap();
    let before = made.store.snapshot().await.unwrap();
    let mut after = puts([(&changed, &b"new"[..]), (&added, &b"new"[..])]);
    after.delete(removed.clone());
    made.store.commit(after).await.unwrap();
    assert_eq!(before.get(&changed).await.unwrap().unwrap().body, "old");
    assert_eq!(before.get(&removed).await.unwrap().unwrap().body, "old");
    assert_eq!(before.get(&added).await.unwrap(), None);
    let page = before.scan(all(), Direction::Forward, 10).await.unwrap();
    assert_eq!(keys_of(&page), [changed.clone(), removed.clone()]);
    let many = before.multi_get(&[added.clone(), changed.clone()]).await.unwrap();
    assert!(many[0].is_none() && many[1].as_ref().unwrap().body == "old");
    assert_eq!(keys_of(&scan(made, all(), Direction::Forward, 10).await), [added, changed]);
}

/// Eight tasks move money between five accounts, each transfer checked against the versions it read, while a reader
/// adds up every snapshot it takes.
async fn concurrent_transfers_keep_the_sum(made: &Made) {
    let accounts: Vec<Key> = (0..5_u8).map(|n| key([n])).collect();
    let amount = |row: &Versioned| u64::from_be_bytes(row.body.as_ref().try_into().unwrap());
    made.store.commit(puts(accounts.iter().map(|key| (key, &[0, 0, 0, 0, 0, 0, 0, 100][..])))).await.unwrap();
    let transfer = async |store: &dyn Store, from: usize, to: usize| loop {
        let view = store.snapshot().await.unwrap();
        let (payer, payee) =
            (view.get(&accounts[from]).await.unwrap().unwrap(), view.get(&accounts[to]).await.unwrap().unwrap());
        if amount(&payer) == 0 {
            return;
        }
        let mut batch = batch();
        batch.put(accounts[from].clone(), (amount(&payer) - 1).to_be_bytes().to_vec());
        batch.put(accounts[to].clone(), (amount(&payee) + 1).to_be_bytes().to_vec());
        batch.check(Check::Version(accounts[from].clone(), payer.version));
        batch.check(Check::Version(accounts[to].clone(), payee.version));
        match store.commit(batch).await {
            Ok(()) => return,
            Err(CommitError::CheckFailed(_) | CommitError::Conflict) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    let sum = async |store: &dyn Store| {
        let rows = store.snapshot().await.unwrap().multi_get(&accounts).await.unwrap();
        rows.iter().flatten().map(amount).sum::<u64>()
    };
    let movers = futures_util::future::join_all((0..8_usize).map(|task| {
        let transfer = &transfer;
        async move {
            for step in 0..20_usize {
                transfer(&*made.store, (task + step) % 5, (task + step + 1 + step % 4) % 5).await;
            }
        }
    }));
    let watcher = async {
        for _ in 0..40 {
            assert_eq!(sum(&*made.store).await, 500, "a snapshot shows each transfer wholly or not at all");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(movers, watcher);
    assert_eq!(sum(&*made.store).await, 500);
}

async fn the_outcome_of_a_batch_can_be_asked(made: &Made) {
    let row = key(b"row");
    let done = puts([(&row, &b"1"[..])]);
    assert_eq!(made.store.outcome(done.id).await, Ok(BatchOutcome::Absent));
    made.store.commit(done.clone()).await.unwrap();
    assert_eq!(made.store.outcome(done.id).await, Ok(BatchOutcome::Committed));
    let mut repeated = puts([(&row, &b"2"[..])]);
    repeated.id = done.id;
    assert_eq!(made.store.commit(repeated).await, Err(CommitError::AlreadyCommitted));
    assert_eq!(stored(made, &row).await, Some(Versioned { version: 1, body: Bytes::from_static(b"1") }));
}

async fn old_ids_and_snapshots_expire(make: &impl AsyncFn(Clock) -> Made) {
    let now = Arc::new(AtomicU64::new(1_700_000_000_000));
    let clock = Clock::from_fn({
        let now = now.clone();
        move || now.load(Ordering::SeqCst)
    });
    let made = make(clock).await;
    let view = made.store.snapshot().await.unwrap();
    now.fetch_add(SNAPSHOT_MS_MAX, Ordering::SeqCst);
    assert_eq!(view.get(&key(b"a")).await, Ok(None));
    now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(view.get(&key(b"a")).await, Err(StoreError::SnapshotExpired));
    assert_eq!(view.multi_get(&[]).await, Err(StoreError::SnapshotExpired));
    assert_eq!(view.scan(all(), Direction::Forward, 1).await, Err(StoreError::SnapshotExpired));

    let ids = async || {
        let view = made.store.snapshot().await.unwrap();
        view.scan(Prefix::BatchId.range(), Direction::Forward, PAGE_ROWS_MAX).await.unwrap().rows.len()
    };
    let start = ids().await; // an engine may have committed when it was made
    for _ in 0..100 {
        made.store.commit(batch()).await.unwrap();
    }
    assert_eq!(ids().await, start + 100, "ids of the last 24 hours are kept");
    let young = batch();
    now.fetch_add(OUTCOME_KEPT_MS + 1, Ordering::SeqCst);
    made.store.commit(young.clone()).await.unwrap();
    for _ in 0..100 {
        made.store.commit(batch()).await.unwrap();
    }
    assert_eq!(ids().await, 101, "older ones are gone");
    assert_eq!(made.store.outcome(young.id).await, Ok(BatchOutcome::Committed));
}

async fn the_newest_version_of_a_record_is_one_step_away(made: &Made) {
    let subjects: Vec<IndexKey> = (0..3_u8).map(|n| IndexKey([n; 16])).collect();
    let mut batch = batch();
    for version in 1..=3_u64 {
        batch.put_fresh(key_space::record_row(1, &subjects[0], version), vec![u8::try_from(version).unwrap()]);
    }
    batch.put_fresh(key_space::record_row(1, &subjects[2], 1), &b"other"[..]);
    made.store.commit(batch).await.unwrap();
    let first = async |range| scan(made, range, Direction::Forward, 1).await.rows.first().map(|(_, row)| row.body[0]);
    assert_eq!(first(key_space::record_rows(1, &subjects[0])).await, Some(3));
    assert_eq!(first(key_space::record_rows_up_to(1, &subjects[0], 2)).await, Some(2));
    assert_eq!(first(key_space::record_rows(1, &subjects[1])).await, None);
    assert_eq!(first(key_space::record_rows(2, &subjects[0])).await, None);
    let all = scan(made, key_space::library_rows(1), Direction::Forward, 10).await;
    assert_eq!(all.rows.len(), 4);
    let oldest = scan(made, key_space::record_rows(1, &subjects[0]), Direction::Reverse, 1).await;
    assert_eq!(oldest.rows[0].1.body[0], 1);
}
