use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;

fn head(size: u64) -> Head {
    Head { origin: "hub.example/wuku/1".into(), size, root: [u8::try_from(size).unwrap(); 32] }
}

fn made(sizes: impl IntoIterator<Item = u64>) -> (TempDir, Fence) {
    let folder = tempfile::tempdir().unwrap();
    let mut fence = Fence::create(folder.path()).unwrap();
    sizes.into_iter().for_each(|size| fence.advance(head(size)).unwrap());
    (folder, fence)
}

fn tear(folder: &TempDir, slot: usize, at: usize) {
    let path = folder.path().join(SLOT_NAMES[slot]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_newest_head_is_read_back() {
    let (folder, _fence) = made([]);
    assert_eq!(Fence::read(folder.path()).unwrap(), None);
    for last in 1..6 {
        let (folder, _fence) = made(1..=last);
        assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(last)));
        Fence::open(folder.path()).unwrap().advance(head(last + 1)).unwrap();
        assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(last + 1)));
    }
}

#[test]
fn a_torn_slot_falls_back_to_the_other_wherever_it_is_torn() {
    let (folder, fence) = made(1..=4); // create takes turns 1 and 2, so size 4 is in slot-1 and 3 in slot-0
    assert_eq!(fence.next_file, 0);
    for at in 0..SLOT_BYTES {
        tear(&folder, 1, at);
        assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(3)), "byte {at}");
        tear(&folder, 1, at);
    }
    tear(&folder, 0, 40);
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(4)));
    fs::write(folder.path().join("slot-0"), b"short").unwrap();
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(4)));
    fs::remove_file(folder.path().join("slot-0")).unwrap();
    let mut fence = Fence::open(folder.path()).unwrap();
    fence.advance(head(5)).unwrap();
    tear(&folder, 1, 40);
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(5)), "the lost slot was the one written");
}

#[test]
fn a_fence_of_which_nothing_reads_is_an_error_not_an_empty_fence() {
    let (folder, _fence) = made(1..=4);
    tear(&folder, 0, 100);
    tear(&folder, 1, 100);
    assert!(matches!(Fence::read(folder.path()), Err(FenceError::Unreadable { .. })));
    assert!(matches!(Fence::create(folder.path()), Err(FenceError::Exists(_))));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Fence::read(empty.path()), Err(FenceError::Unreadable { .. })));
    assert!(matches!(Fence::read(&empty.path().join("no")), Err(FenceError::Unreadable { .. })));
}

#[test]
fn the_fence_never_goes_back_forks_or_changes_its_log() {
    let (folder, mut fence) = made([5]);
    assert!(matches!(fence.advance(head(4)), Err(FenceError::Backwards { kept: 5, offered: 4 })));
    assert!(matches!(fence.advance(Head { root: [0; 32], ..head(5) }), Err(FenceError::Forked(5))));
    let other = Head { origin: "hub.example/wuku/2".into(), ..head(1) };
    assert!(matches!(fence.advance(other.clone()), Err(FenceError::OtherOrigin { .. })));
    assert!(matches!(fence.begin_origin(head(9)), Err(FenceError::SameOrigin(_))));
    fence.advance(head(5)).unwrap();
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(5)));
    fence.begin_origin(other.clone()).unwrap();
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(other));
    for origin in [String::new(), "o".repeat(256)] {
        let bad = Head { origin, ..head(1) };
        assert!(matches!(fence.begin_origin(bad), Err(FenceError::OriginLength)));
    }
}

#[test]
fn the_thread_writes_what_it_was_given_last() {
    let (folder, fence) = made([1]);
    let thread = FenceThread::start(fence, Clock::from_fn(|| 0)).unwrap();
    assert_eq!(thread.synced_size(), 1);
    (2..=100).for_each(|size| thread.offer(head(size)));
    thread.close().unwrap();
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(100)));
}

#[tokio::test]
async fn who_pauses_can_wait_for_the_fence() {
    let (_folder, fence) = made([]);
    let thread = FenceThread::start(fence, Clock::from_fn(|| 0)).unwrap();
    let mut synced = thread.synced();
    thread.offer(head(7));
    assert_eq!(*synced.wait_for(|size| *size == 7).await.unwrap(), 7);
    assert_eq!((thread.synced_size(), thread.behind_ms()), (7, 0));
}

#[test]
fn a_disk_that_says_no_shows_as_falling_behind_and_heals() {
    let (folder, fence) = made([1]);
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = now.clone();
    let thread = FenceThread::start(fence, Clock::from_fn(move || clock.load(Ordering::SeqCst))).unwrap();
    let (home, away) = (folder.path().join("slot-1"), folder.path().join("away"));
    fs::rename(&home, &away).unwrap();
    fs::create_dir(&home).unwrap(); // slot-1 is next and cannot be written
    thread.offer(head(2));
    let wait = |wanted: &dyn Fn() -> bool| {
        while !wanted() {
            std::thread::yield_now()
        }
    };
    wait(&|| thread.failure().is_some());
    now.store(1_300, Ordering::SeqCst);
    thread.offer(head(3));
    assert_eq!((thread.behind_ms(), thread.synced_size()), (300, 1));
    fs::remove_dir(&home).unwrap();
    wait(&|| thread.synced_size() == 3);
    assert_eq!((thread.behind_ms(), thread.failure()), (0, None));
}

#[test]
fn a_head_that_goes_back_stops_recording_for_good() {
    let (folder, fence) = made([5]);
    let thread = FenceThread::start(fence, Clock::from_fn(|| 0)).unwrap();
    thread.offer(head(4));
    while thread.behind_ms() != u64::MAX {
        std::thread::yield_now();
    }
    thread.offer(head(6));
    assert_eq!(thread.behind_ms(), u64::MAX);
    assert!(thread.close().unwrap_err().contains("had 5 entries and now has 4"));
    assert_eq!(Fence::read(folder.path()).unwrap(), Some(head(5)));
}
