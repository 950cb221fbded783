//! The end of one of the engine's log files does not read: was it a write that the power cut off, or was it acknowledged?
//!
//! What was never acknowledged may go; nothing else. Two things say which it is. In the file: an acknowledged record is followed by
//! readable ones unless it was the last, so a tail is cut only where nothing after it reads (`store::wal`). Beside it: the fence has
//! seen every durable head within moments, so the head that is left must not be behind it. The cut is judged on the folder opened to
//! read, and undone where it would lose something.
use super::super::start::{StartFault, compare};
use crate::log::{Origin, in_suite};
use crate::store::Store;
use crate::store::fence::{Fence, Head};
use crate::store::vault::suite_of;
use crate::store::wal::{Cut, Tail};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What was cut off, and what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortened {
    /// Each tail.
    pub cuts: Vec<Cut>,
    /// How many entries the log has.
    pub size: u64,
}

/// Why nothing was cut off.
#[derive(Debug, thiserror::Error)]
pub enum TailFault {
    /// The fence has seen more than would be left, or something else than a write is damaged.
    #[error("nothing was cut off, it would lose what was recorded: {0} (未截断：截去后会丢失已记录的内容)")]
    WouldLose(StartFault),
    /// The folder does not open without the tail either.
    #[error("nothing was cut off, the store does not open without the tail either: {0} (未截断：截去后仍无法打开)")]
    StillDamaged(String),
    /// No slot of the fence reads: nobody can say whether something would be lost.
    #[error("nothing was cut off: {0} (未截断：防回退文件无法读取，无从判断是否会丢失已记录的内容)")]
    FenceUnreadable(#[from] crate::store::fence::FenceError),
    /// The disk refused; where bytes were cut off already, they are in the `.cut-` file beside the log file.
    #[error("the log file could not be cut: {0} (日志文件未能截断)")]
    Io(#[from] io::Error),
}

/// Cuts off tails from where nothing in their files reads, unless that would lose what the fence has seen. `open_to_read` opens the
/// folder without writing to it.
///
/// # Errors
/// A [`TailFault`]; the files are as they were then, but for [`TailFault::Io`].
pub async fn cut_tails(
    tails: Vec<Tail>,
    fence: &Path,
    origin: &Origin,
    open_to_read: impl FnOnce() -> Result<Arc<dyn Store>, String>,
) -> Result<Shortened, TailFault> {
    let fence = Fence::read(fence)?;
    let mut cuts = Vec::new();
    for tail in tails {
        cuts.push(Cut::make(tail)?);
    }
    // A crash here leaves files cut and not judged: the next start judges them in the same way, and the bytes are kept.
    let left = match open_to_read() {
        Err(why) => Err(TailFault::StillDamaged(why)),
        Ok(store) => judge(store.as_ref(), fence.as_ref(), origin).await,
    };
    match left {
        Ok(head) => Ok(Shortened { cuts, size: head.map_or(0, |head| head.size) }),
        Err(fault) => {
            cuts.into_iter().try_for_each(Cut::undo)?;
            Err(fault)
        }
    }
}

/// The head of what opens without the tails, unless the fence has seen more.
async fn judge(store: &dyn Store, fence: Option<&Head>, origin: &Origin) -> Result<Option<Head>, TailFault> {
    let suite = suite_of(store).await.map_err(|error| TailFault::StillDamaged(error.to_string()))?;
    in_suite!(suite, S => compare::<S>(store, fence, origin).await.map_err(TailFault::WouldLose))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::house::House;

    async fn cut(house: &House, store: Arc<dyn Store>) -> (Result<Shortened, TailFault>, Vec<u8>) {
        let file = house.fence.with_file_name("000001.log");
        std::fs::write(&file, b"whole and torn").unwrap();
        let tail = Tail { file: file.clone(), at: 6 };
        let done = cut_tails(vec![tail], &house.fence, &house.origin, || Ok(store)).await;
        (done, std::fs::read(&file).unwrap())
    }

    #[tokio::test]
    async fn a_tail_is_cut_where_the_fence_has_seen_no_more() {
        let mut house = House::new().await;
        house.record(2).await;
        house.stop().await;
        let (done, file) = cut(&house, house.store.clone()).await;
        let done = done.unwrap();
        assert_eq!((done.size, done.cuts[0].bytes, file.as_slice()), (2, 8, b"whole ".as_slice()));
        assert_eq!(std::fs::read(&done.cuts[0].kept).unwrap(), b"and torn");
    }

    #[tokio::test]
    async fn a_cut_that_would_lose_what_the_fence_has_seen_is_undone() {
        let mut house = House::new().await;
        house.record(1).await;
        let older = house.copy_of_store().await;
        house.record(1).await;
        house.stop().await;
        let (done, file) = cut(&house, older).await;
        assert!(matches!(done, Err(TailFault::WouldLose(StartFault::FenceAhead { fence: 2, head: 1 }))), "{done:?}");
        assert_eq!(file, b"whole and torn");
        for slot in ["slot-0", "slot-1"] {
            std::fs::write(house.fence.join(slot), b"torn").unwrap();
        }
        let (done, file) = cut(&house, house.store.clone()).await;
        assert!(matches!(done, Err(TailFault::FenceUnreadable(_))), "{done:?}");
        assert_eq!(file, b"whole and torn");
    }
}
