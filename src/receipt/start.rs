//! What happens before a hub answers: is the stored log the one history, and all of it?
//!
//! A data folder restored from yesterday looks whole. The fence, kept on another path, knows better (design 7, "Across a
//! crash"). A hub that starts in spite of a [`StartFault`] would sign a second history.
//!
//! Nothing is written here: a crash leaves what was there.
use super::head;
use super::sequencer::{self, Ledger, Parts};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::library::record::from_store;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::{LogKey, Origin, Suite, in_suite};
use crate::store::Store;
use crate::store::fence::{Fence, FenceError, FenceThread, Head as FenceHead};
use crate::telemetry::Metrics;
use arc_swap::ArcSwap;
use std::path::Path;
use std::sync::Arc;

/// Why the hub does not start. Each says what it means and which command helps, in Chinese and English.
#[derive(Debug)]
pub enum StartFault {
    /// No slot of the fence reads, so nobody can say how far the log had come.
    FenceUnreadable(FenceError),
    /// The fence has seen entries that the store does not have.
    FenceAhead {
        /// Size in the fence.
        fence: u64,
        /// Size of the stored log.
        head: u64,
    },
    /// Fence, stored log and configuration do not name one log.
    OtherOrigin {
        /// `fence` or `store`.
        place: &'static str,
        /// The origin there.
        found: String,
        /// The configured origin.
        configured: String,
    },
    /// The stored log had another root at a size the fence has seen.
    OtherRoot {
        /// That size.
        size: u64,
    },
    /// Somebody holds a checkpoint of our signature that the stored log does not go on from; it was kept beside the fence.
    SeenElsewhere {
        /// Its size.
        seen: u64,
        /// Size of the stored log.
        head: u64,
    },
    /// The key file holds the key of another log.
    KeyOfOtherLog {
        /// The key's name.
        key: String,
        /// The configured origin.
        configured: String,
    },
    /// Head, tiles and entries do not fit together, or cannot be read.
    LogDamaged(Failure),
    /// The operating system gives no thread for the fence.
    Thread(std::io::Error),
}

impl std::fmt::Display for StartFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (en, zh) = ((self.text_en(), self.remedy_en()), (self.text_zh(), self.remedy_zh()));
        write!(f, "{} {}\n{}{}", en.0, en.1, zh.0, zh.1)
    }
}

impl std::error::Error for StartFault {}

impl StartFault {
    /// What it means, in Chinese.
    #[must_use]
    pub fn text_zh(&self) -> String {
        match self {
            Self::FenceUnreadable(error) => format!("防回退文件无法读取，无从得知日志曾写到何处（{error}）。"),
            Self::FenceAhead { fence, head } => {
                format!("防回退文件曾见到 {fence} 条，库中只有 {head} 条：数据被换成了较早的副本，或有条目丢失。")
            }
            Self::OtherOrigin { place, found, configured } => {
                let place = if *place == "fence" { "防回退文件" } else { "库中" };
                format!("{place}的日志是 {found}，配置的是 {configured}。")
            }
            Self::OtherRoot { size } => format!("规模为 {size} 时，库中日志的根与防回退文件所记不同：历史被改动过。"),
            Self::SeenElsewhere { seen, head } => {
                format!(
                    "有调用方持本枢纽签名的检查点（{seen} 条），库中日志（{head} 条）不是它的延续：数据与防回退文件一同被换成了较早的副本。"
                )
            }
            Self::KeyOfOtherLog { key, configured } => {
                format!("日志密钥属于 {key}，配置的日志是 {configured}。")
            }
            Self::LogDamaged(failure) => format!("库中的日志前后不符：{failure}。"),
            Self::Thread(error) => format!("系统未能提供线程：{error}。"),
        }
    }

    /// What it means, in English.
    #[must_use]
    pub fn text_en(&self) -> String {
        match self {
            Self::FenceUnreadable(error) => {
                format!("The fence cannot be read, so nobody can say how far the log had come ({error}).")
            }
            Self::FenceAhead { fence, head } => format!(
                "The fence has seen {fence} entries, the store has {head}: the data was replaced by an older copy, or entries were lost."
            ),
            Self::OtherOrigin { place, found, configured } => {
                format!("The {place} names the log {found}, the configuration {configured}.")
            }
            Self::OtherRoot { size } => {
                format!("At size {size} the stored log has another root than the fence has seen: history was changed.")
            }
            Self::SeenElsewhere { seen, head } => format!(
                "A caller holds a checkpoint of our signature over {seen} entries, and the stored log of {head} does not go on from it: data and fence were both replaced by an older copy."
            ),
            Self::KeyOfOtherLog { key, configured } => {
                format!("The log key belongs to {key}, the configured log is {configured}.")
            }
            Self::LogDamaged(failure) => format!("The stored log does not fit together: {failure}."),
            Self::Thread(error) => format!("The system gives no thread: {error}."),
        }
    }

    /// What to do, in Chinese.
    #[must_use]
    pub const fn remedy_zh(&self) -> &'static str {
        match self {
            Self::FenceUnreadable(_) => {
                "核对 fence.path，挂上原来的磁盘；确已丢失的，运行 wuku recover --new-log --fence-lost。新建枢纽先运行 wuku init。"
            }
            Self::FenceAhead { .. } | Self::SeenElsewhere { .. } => {
                "恢复较新的备份；没有的，运行 wuku recover --new-log 另立新日志。"
            }
            Self::OtherOrigin { .. } => {
                "核对 hub.origin_number、data.path、fence.path；wuku recover --new-log 曾中断，或备份早于新日志的，运行 wuku recover --new-log。"
            }
            Self::OtherRoot { .. } => "保留现场，运行 wuku fsck；不能恢复的，运行 wuku recover --new-log。",
            Self::KeyOfOtherLog { .. } => "核对 keys.log_key_file 与 hub.origin_number。",
            Self::LogDamaged(_) => "保留现场，运行 wuku fsck，然后从备份恢复。",
            Self::Thread(_) => "检查系统的线程和内存限额后重新启动。",
        }
    }

    /// What to do, in English.
    #[must_use]
    pub const fn remedy_en(&self) -> &'static str {
        match self {
            Self::FenceUnreadable(_) => {
                "Check fence.path and mount the disk it was on; if it is lost, run `wuku recover --new-log --fence-lost`. For a new hub run `wuku init` first."
            }
            Self::FenceAhead { .. } | Self::SeenElsewhere { .. } => {
                "Restore a newer backup; if there is none, `wuku recover --new-log` opens a new log."
            }
            Self::OtherOrigin { .. } => {
                "Compare hub.origin_number, data.path and fence.path; if `wuku recover --new-log` was interrupted, or the backup is older than the new log, run it (again)."
            }
            Self::OtherRoot { .. } => {
                "Keep everything and run `wuku fsck`; if nothing can be restored, run `wuku recover --new-log`."
            }
            Self::KeyOfOtherLog { .. } => "Compare keys.log_key_file and hub.origin_number.",
            Self::LogDamaged(_) => "Keep everything, run `wuku fsck`, then restore from a backup.",
            Self::Thread(_) => "Check the limits on threads and memory, then start again.",
        }
    }
}

/// Opens the log of `origin`: compares store, fence and key, then starts fence thread and sequencer.
///
/// An empty log with a fresh fence is fine, and a head ahead of the fence is normal: the fence is told after the commit.
///
/// # Errors
/// A [`StartFault`]; nothing was started or written then.
pub async fn open_log(
    store: Arc<dyn Store>,
    fence_dir: &Path,
    key: LogKey,
    origin: Origin,
    clock: Clock,
    metrics: Metrics,
) -> Result<Ledger, StartFault> {
    in_suite!(key.verifier().suite(), S => open::<S>(store, fence_dir, key, origin, clock, metrics).await)
}

async fn open<S: Suite>(
    store: Arc<dyn Store>,
    fence_dir: &Path,
    key: LogKey,
    origin: Origin,
    clock: Clock,
    metrics: Metrics,
) -> Result<Ledger, StartFault> {
    if key.verifier().name() != origin.to_string() {
        return Err(StartFault::KeyOfOtherLog { key: key.verifier().name().into(), configured: origin.to_string() });
    }
    let (fence, stored) = may_start::<S>(store.as_ref(), fence_dir, &origin).await?;
    let fence = FenceThread::start(fence, clock.clone()).map_err(StartFault::Thread)?;
    if let Some(head) = stored {
        fence.offer(head); // durable, so the fence may catch up before the first answer
    }
    let parts = Parts { store, key: Arc::new(ArcSwap::from_pointee(key)), fence, clock, metrics };
    sequencer::start::<S>(parts, origin).await.map_err(StartFault::LogDamaged)
}

/// Everything a start asks of store and fence. Gives the fence and the stored head.
///
/// # Errors
/// A [`StartFault`].
pub async fn may_start<S: Suite>(
    store: &dyn Store,
    fence_dir: &Path,
    origin: &Origin,
) -> Result<(Fence, Option<FenceHead>), StartFault> {
    let fence = Fence::open(fence_dir).map_err(StartFault::FenceUnreadable)?;
    let stored = compare::<S>(store, fence.newest(), origin).await?;
    hold_against_kept::<S>(store, fence_dir, origin, stored.as_ref().map_or(0, |head| head.size)).await?;
    Ok((fence, stored))
}

/// Whether the stored log continues what the fence has seen. Gives the stored head, `None` for an empty log.
///
/// # Errors
/// A [`StartFault`].
pub async fn compare<S: Suite>(
    store: &dyn Store,
    fence: Option<&FenceHead>,
    origin: &Origin,
) -> Result<Option<FenceHead>, StartFault> {
    let configured = origin.to_string();
    let other =
        |place, found: &str| StartFault::OtherOrigin { place, found: found.into(), configured: configured.clone() };
    let unread = |error| StartFault::LogDamaged(from_store(error));
    let snapshot = store.snapshot().await.map_err(unread)?;
    let head = head::read(snapshot.as_ref()).await.map_err(StartFault::LogDamaged)?.map(|(head, _)| head);
    if let Some(head) = head.as_ref().filter(|head| head.origin != configured) {
        return Err(other("store", &head.origin));
    }
    if let Some(fence) = fence {
        if fence.origin != configured {
            return Err(other("fence", &fence.origin));
        }
        let size = head.as_ref().map_or(0, |head| head.size);
        if fence.size > size {
            return Err(StartFault::FenceAhead { fence: fence.size, head: size });
        }
        let root = head::root_at::<S>(snapshot.as_ref(), fence.size).await.map_err(StartFault::LogDamaged)?;
        if root != fence.root {
            return Err(StartFault::OtherRoot { size: fence.size });
        }
    }
    let damaged = |why: &str| StartFault::LogDamaged(crate::failure::Reason::RecordDamaged.into()).because(why);
    head.map(|head| {
        let root = head.root.as_ref().try_into().map_err(|_| damaged("the head's root is not 32 bytes"))?;
        Ok(FenceHead { origin: head.origin, size: head.size, root })
    })
    .transpose()
}

/// Whether the stored log goes on from every checkpoint that was kept beside the fence. Those of earlier logs, and a torn one, say
/// nothing about this one.
///
/// Signatures were verified before it was kept, perhaps with a key that has been rotated out since.
async fn hold_against_kept<S: Suite>(
    store: &dyn Store,
    fence: &Path,
    origin: &Origin,
    head: u64,
) -> Result<(), StartFault> {
    for note in Fence::kept_notes(fence).map_err(StartFault::FenceUnreadable)? {
        let Ok(signed) = SignedCheckpoint::parse(&note) else { continue };
        let checkpoint = &signed.checkpoint;
        if checkpoint.origin != *origin {
            continue;
        }
        let elsewhere = StartFault::SeenElsewhere { seen: checkpoint.size, head };
        if checkpoint.size > head {
            return Err(elsewhere);
        }
        let snapshot = store.snapshot().await.map_err(|e| StartFault::LogDamaged(from_store(e)))?;
        let root = head::root_at::<S>(snapshot.as_ref(), checkpoint.size).await.map_err(StartFault::LogDamaged)?;
        if root != checkpoint.root {
            return Err(elsewhere);
        }
    }
    Ok(())
}

impl StartFault {
    fn because(self, why: &str) -> Self {
        match self {
            Self::LogDamaged(failure) => Self::LogDamaged(failure.because(why)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::SuiteName;
    use crate::receipt::house::House;
    use crate::store::key_space;

    /// A hub with some entries, stopped.
    async fn stopped(entries: usize) -> House {
        let mut house = House::new().await;
        house.record(entries).await;
        house.stop().await;
        house
    }

    async fn refused(house: &House) -> StartFault {
        let fault = house.open().await.err().expect("must refuse");
        for text in [fault.text_en(), fault.remedy_en().to_owned()] {
            assert!(text.ends_with('.') && text.len() > 20, "{text}");
        }
        for text in [fault.text_zh(), fault.remedy_zh().to_owned()] {
            assert!(text.ends_with('。'), "{text}");
        }
        fault
    }

    #[tokio::test]
    async fn an_empty_log_starts_on_a_fresh_fence_and_a_stopped_one_starts_again() {
        for suite in SuiteName::ALL {
            let mut house = House::of(suite).await;
            house.stop().await;
            let ledger = house.open().await.unwrap();
            assert_eq!((ledger.latest().head.size, ledger.suite()), (0, suite));
            drop(ledger);
            let mut house = House::of(suite).await;
            house.record(3).await;
            house.stop().await;
            let fence = Fence::read(&house.fence).unwrap().unwrap();
            assert_eq!(fence.size, 3, "the fence was closed with the newest head");
            assert_eq!(house.open().await.unwrap().latest().head.size, 3);
        }
    }

    #[tokio::test]
    async fn a_head_ahead_of_the_fence_is_normal() {
        let mut house = House::new().await;
        house.record(2).await;
        house.stop().await;
        let old: Vec<_> = ["slot-0", "slot-1"].map(|slot| std::fs::read(house.fence.join(slot)).unwrap()).into();
        house.start().await;
        house.record(2).await;
        house.stop().await;
        for (slot, bytes) in ["slot-0", "slot-1"].iter().zip(old) {
            std::fs::write(house.fence.join(slot), bytes).unwrap();
        }
        assert_eq!(Fence::read(&house.fence).unwrap().unwrap().size, 2);
        assert_eq!(house.open().await.unwrap().latest().head.size, 4);
    }

    #[tokio::test]
    async fn a_missing_or_torn_fence_refuses() {
        let house = stopped(2).await;
        for slot in ["slot-0", "slot-1"] {
            std::fs::write(house.fence.join(slot), b"torn").unwrap();
        }
        assert!(matches!(refused(&house).await, StartFault::FenceUnreadable(_)));
        std::fs::remove_dir_all(&house.fence).unwrap();
        assert!(matches!(refused(&house).await, StartFault::FenceUnreadable(_)));
    }

    #[tokio::test]
    async fn a_store_older_than_the_fence_refuses() {
        let mut house = House::new().await;
        house.record(2).await;
        let backup = house.copy_of_store().await;
        house.record(2).await;
        house.stop().await;
        house.store = backup;
        assert!(matches!(refused(&house).await, StartFault::FenceAhead { fence: 4, head: 2 }));
        house.store = House::new().await.store;
        assert!(matches!(refused(&house).await, StartFault::FenceAhead { fence: 4, head: 0 }), "an empty store too");
    }

    #[tokio::test]
    async fn another_log_in_fence_store_or_key_refuses() {
        let mut house = stopped(2).await;
        let first = house.origin.clone();
        house.origin = first.next().unwrap();
        assert!(matches!(refused(&house).await, StartFault::KeyOfOtherLog { .. }));
        house.seed_key();
        assert!(matches!(refused(&house).await, StartFault::OtherOrigin { place: "store", .. }));
        house.store = House::new().await.store;
        assert!(matches!(refused(&house).await, StartFault::OtherOrigin { place: "fence", .. }));
    }

    #[tokio::test]
    async fn another_root_at_the_size_of_the_fence_refuses() {
        let house = stopped(5).await;
        let mut other = House::new().await;
        other.record(6).await; // other salts, so another history
        other.stop().await;
        let house = House { store: other.store.clone(), ..house };
        assert!(matches!(refused(&house).await, StartFault::OtherRoot { size: 5 }));
    }

    #[tokio::test]
    async fn a_removed_entry_refuses() {
        let house = stopped(5).await;
        house.delete(key_space::entry(4)).await;
        assert!(matches!(refused(&house).await, StartFault::LogDamaged(_)));
    }
}
