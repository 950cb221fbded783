//! The published checkpoint: once a second, after reading back and hashing again what came since.
//!
//! What a receipt rests on was hashed from memory. Here the disk is asked: one flipped bit between the two would make every
//! later proof fail, and ended a production log once. So nothing is published that was not read back, and a log that reads back
//! differently stops recording.
//!
//! A crash here leaves nothing: the next start begins at the head it loads, whose right edge it hashes anew.
use super::head::{self, Head};
use super::sequencer::{Latest, Ledger};
use crate::failure::{Failure, Reason};
use crate::library::record::from_store;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::merkle::leaf_hash;
use crate::log::{Frontier, Hash, Origin, Suite};
use crate::store::{Direction, Store, key_space};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How often a checkpoint is published.
const PERIOD: Duration = Duration::from_secs(1);
/// Entries read back at a time, some tenth of a millisecond of work: between two pages answers go on.
const PAGE: u64 = 64;

/// A checkpoint that was read back before it was published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The signed note.
    pub checkpoint: Bytes,
}

/// Holds the newest published checkpoint and keeps it new until dropped.
pub struct Publisher {
    newest: watch::Receiver<Published>,
    task: AbortHandle,
}

impl Publisher {
    /// Publishes the present head of the ledger after checking it against the stored tree, and goes on every second.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`] where the stored tree has another root; store faults.
    pub async fn start<S: Suite>(store: Arc<dyn Store>, ledger: Ledger) -> Result<Self, Failure> {
        Self::start_every::<S>(store, ledger, PERIOD).await
    }

    async fn start_every<S: Suite>(store: Arc<dyn Store>, ledger: Ledger, period: Duration) -> Result<Self, Failure> {
        let latest = ledger.latest();
        let origin = Origin::parse(&latest.head.origin).ok_or_else(|| damaged("the head names no origin"))?;
        let loaded = head::load::<S>(store.as_ref(), &origin).await?;
        // The stored head may be a batch newer than what the ledger has told; then the next second publishes.
        let (mut reader, first) = if loaded.frontier.size() == latest.head.size {
            let first = published(&latest, &loaded.frontier)?;
            (Reader { store, frontier: loaded.frontier }, first)
        } else {
            let mut reader = Reader::<S> { store, frontier: Frontier::new() };
            let first = reader.read_back(&latest).await?;
            (reader, first)
        };
        let (sender, newest) = watch::channel(first);
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(period);
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let stopped = ledger.stopped();
            loop {
                beat.tick().await;
                if stopped.borrow().is_some() {
                    return; // what is published stays; nothing is added to it
                }
                let latest = ledger.latest();
                if latest.head.size <= reader.frontier.size() {
                    continue;
                }
                match reader.read_back(&latest).await {
                    Ok(published) => {
                        sender.send_replace(published);
                    }
                    Err(failure) if failure.reason == Reason::RecordDamaged => {
                        tracing::error!(%failure, "the log does not read back as it was written");
                        ledger.stop(&format!("the log does not read back as it was written: {failure}"));
                        return;
                    }
                    Err(failure) => tracing::warn!(%failure, "nothing published: the store does not answer"),
                }
            }
        });
        Ok(Self { newest, task: task.abort_handle() })
    }

    /// The newest published checkpoint.
    #[must_use]
    pub fn published(&self) -> Published {
        self.newest.borrow().clone()
    }

    /// Follows what is published.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Published> {
        self.newest.clone()
    }
}

impl Drop for Publisher {
    /// Ends the task, which holds a ledger: the sequencer ends when the last one is gone.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The tree as read back so far.
struct Reader<S> {
    store: Arc<dyn Store>,
    frontier: Frontier<S>,
}

impl<S: Suite> Reader<S> {
    /// Hashes what came since and compares with the signed head. Pages take fresh snapshots: entries never change.
    async fn read_back(&mut self, latest: &Latest) -> Result<Published, Failure> {
        let mut frontier = self.frontier.clone();
        while frontier.size() < latest.head.size {
            let start = frontier.size();
            let end = latest.head.size.min(start.saturating_add(PAGE));
            let snapshot = self.store.snapshot().await.map_err(from_store)?;
            let limit = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
            let range = key_space::entries(start, end);
            let page = snapshot.scan(range, Direction::Forward, limit).await.map_err(from_store)?;
            let mut leaves = Vec::with_capacity(page.rows.len());
            for ((key, value), expected) in page.rows.iter().zip(start..) {
                if key_space::parse_entry(key) != Some(expected) {
                    return Err(damaged(format!("entry {expected} is missing")));
                }
                leaves.push(leaf_hash::<S>(&value.body));
            }
            if leaves.is_empty() {
                return Err(damaged(format!("entry {start} is missing")));
            }
            frontier = frontier.append(&leaves).into_frontier();
            tokio::task::yield_now().await;
        }
        let published = published(latest, &frontier)?;
        self.frontier = frontier;
        Ok(published)
    }
}

/// The signed checkpoint of a head, if note, head and the tree that was read back agree.
fn published<S: Suite>(latest: &Latest, frontier: &Frontier<S>) -> Result<Published, Failure> {
    let Head { origin, size, root, .. } = &latest.head;
    let signed = SignedCheckpoint::parse(&latest.checkpoint).map_err(damaged)?.checkpoint;
    let read = (frontier.size(), frontier.root());
    if read != (*size, signed.root) || signed.size != *size || signed.root != root.as_ref() {
        return Err(damaged(format!("the entries up to {size} hash to another root than was signed")));
    }
    if signed.origin.to_string() != *origin {
        return Err(damaged("the checkpoint names another log"));
    }
    Ok(Published { size: read.0, root: read.1, checkpoint: latest.checkpoint.clone() })
}

fn damaged(why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::RecordDamaged).because(format!("log: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Ed25519, Sm2};
    use crate::receipt::house::House;
    use crate::receipt::recorder::Mutations;

    const SOON: Duration = Duration::from_millis(5);
    const LATER: Duration = Duration::from_millis(150);

    #[tokio::test]
    async fn what_is_published_is_the_head_that_was_signed() {
        publishes::<Ed25519>().await;
        publishes::<Sm2>().await;
    }

    async fn publishes<S: Suite>() {
        let house = House::of(S::NAME).await;
        let publisher = Publisher::start_every::<S>(house.store.clone(), house.ledger().clone(), SOON);
        let publisher = publisher.await.unwrap();
        assert_eq!(publisher.published().size, 0);
        let mut follow = publisher.follow();
        for size in [3, 7] {
            house.record(size - publisher.published().size as usize).await;
            while follow.borrow_and_update().size < size as u64 {
                follow.changed().await.unwrap();
            }
            assert_eq!(publisher.published().checkpoint, house.ledger().latest().checkpoint);
        }
        let again = Publisher::start::<S>(house.store.clone(), house.ledger().clone()).await.unwrap();
        assert_eq!(again.published().checkpoint, publisher.published().checkpoint, "a restart publishes the same");
    }

    #[tokio::test]
    async fn while_much_is_read_back_other_tasks_run() {
        const ENTRIES: usize = 640;
        let house = House::new().await;
        let mut reader = Reader::<Ed25519> { store: house.store.clone(), frontier: Frontier::new() };
        house.record(ENTRIES).await;
        let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = turns.clone();
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(reader.read_back(&house.ledger().latest()).await.unwrap().size, ENTRIES as u64);
        other.abort();
        let turns = turns.load(std::sync::atomic::Ordering::Relaxed);
        assert!(turns >= ENTRIES / usize::try_from(PAGE).unwrap() - 1, "{turns}");
    }

    #[tokio::test]
    async fn a_flipped_or_lost_entry_is_never_published_and_stops_recording() {
        for lost in [false, true] {
            let house = House::new().await;
            house.record(2).await;
            let publisher = Publisher::start_every::<Ed25519>(house.store.clone(), house.ledger().clone(), LATER);
            let publisher = publisher.await.unwrap();
            let mut stopped = house.ledger().stopped();
            house.record(1).await;
            let key = key_space::entry(2);
            if lost {
                house.delete(key).await
            } else {
                house.flip(key, 12).await
            } // before the next beat
            while stopped.borrow_and_update().is_none() {
                stopped.changed().await.unwrap();
            }
            assert_eq!(publisher.published().size, 2);
            let view = house.view().await;
            let caller = crate::receipt::house::caller();
            let refused = house.recorder().record(&view, &caller, Vec::new(), Mutations::default(), None).await;
            let refused = Failure::from(refused.unwrap_err());
            assert_eq!(refused.reason, Reason::RecordingStopped);
        }
    }
}
