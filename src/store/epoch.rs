//! What stands still between two snapshots: the reference rows, changed seldom and read by every question.
//!
//! Who has read and decoded reference rows under a snapshot may use them again under any snapshot of an equal [`Epoch`], and under no
//! other. Nothing is invalidated and nothing can be forgotten: the epoch is counted where every commit passes.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::contract::Batch;
use super::key_space;

/// Two snapshots with equal epochs show the same reference rows ([`key_space::is_reference`]), byte for byte.
#[derive(Debug, Clone)]
pub struct Epoch {
    store: Arc<()>,
    moves: u64,
}

impl PartialEq for Epoch {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && self.moves == other.moves
    }
}

impl Epoch {
    /// Whether this one began before the other, in the same store.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && self.moves < other.moves
    }
}

/// Counts the commits that touch reference rows, at their beginning and at their end.
///
/// A snapshot has an epoch if every such commit that had begun when it was there had ended before it was taken: then each of them is
/// wholly in it or wholly refused, and whoever else sees the same count sees the same rows. While one is under way, and for ever after
/// one whose end nobody knows, snapshots have none.
#[derive(Debug, Default)]
pub(super) struct Moves {
    store: Arc<()>,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Moves {
    /// To be called before a commit: whether it moves reference rows.
    pub(super) fn begin(&self, batch: &Batch) -> bool {
        let written = batch.puts.iter().chain(&batch.fresh).map(|(key, _)| key);
        let moves = written.chain(&batch.deletes).any(key_space::is_reference);
        if moves {
            self.begun.fetch_add(1, Ordering::SeqCst);
        }
        moves
    }

    /// To be called when it is certain what became of a commit that moves, before anybody is told.
    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    /// To be called before a snapshot is taken; the answer goes to [`Moves::epoch`] afterwards.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    /// The epoch of a snapshot that was taken after `ended` was read.
    pub(super) fn epoch(&self, ended: u64) -> Option<Epoch> {
        let still = self.begun.load(Ordering::SeqCst) == ended;
        still.then(|| Epoch { store: self.store.clone(), moves: ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::contract::{BatchId, Store};
    use crate::store::key_space::IndexKey;
    use crate::store::memory::Memory;

    const SYSTEMS: u16 = 17;
    const PERSONS: u16 = 1;

    fn batch(library: u16, version: u64) -> Batch {
        let mut batch = Batch::new(BatchId::random().unwrap());
        batch.put(key_space::record_row(library, &IndexKey([1; 16]), version), vec![1]);
        batch
    }

    #[tokio::test]
    async fn an_epoch_lasts_until_a_reference_row_moves_and_is_of_one_store() {
        let stores = [0, 1].map(|_| Memory::store(Clock::from_fn(|| 0)));
        let [store, other] = &stores;
        async fn epoch(store: &dyn Store) -> Epoch {
            let snapshot = store.snapshot().await.unwrap();
            snapshot.epoch().cloned().unwrap()
        }
        let first = epoch(store).await;
        store.commit(batch(PERSONS, 1)).await.unwrap();
        assert_eq!(epoch(store).await, first, "a person's record is no reference row");
        store.commit(batch(SYSTEMS, 1)).await.unwrap();
        let second = epoch(store).await;
        assert_ne!(second, first);
        assert!(first.is_before(&second) && !second.is_before(&first));
        assert_ne!(epoch(other).await, first);
    }

    #[test]
    fn while_a_move_is_under_way_there_is_no_epoch() {
        let moves = Moves::default();
        let before = moves.ended();
        assert!(moves.begin(&batch(SYSTEMS, 1)));
        assert_eq!(moves.epoch(before), None, "it may show in the snapshot or not");
        moves.end();
        assert_eq!(moves.epoch(before), None, "the snapshot was taken before the end was known");
        assert!(moves.epoch(moves.ended()).is_some());
        assert!(!moves.begin(&batch(PERSONS, 1)));
    }
}
