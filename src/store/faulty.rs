//! A store that fails when told to, for tests of what stands on a store.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::contract::{Batch, BatchId, BatchOutcome, CommitError, Snapshot, Store, StoreError};

/// How a commit goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The batch is lost, and the caller cannot know: [`CommitError::Unknown`].
    Before,
    /// The batch is durable, and the caller cannot know: [`CommitError::Unknown`].
    After,
    /// The batch is refused with this error, nothing written.
    Refused(CommitError),
}

/// Passes everything on, except the commits it was told to spoil.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Mutex<BTreeMap<u64, Fault>>,
    commits: AtomicU64,
}

impl FaultyStore {
    /// A store that does not fail yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, faults: Mutex::default(), commits: AtomicU64::new(0) }
    }

    /// Spoils commit number `n`, the first being 1.
    #[must_use]
    pub fn failing(self, n: u64, fault: Fault) -> Self {
        self.fail(n, fault);
        self
    }

    /// As [`FaultyStore::failing`], on a store in use.
    pub fn fail(&self, n: u64, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(n, fault);
    }

    /// How many commits have been asked for.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let n = self.commits.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(&n);
        match fault {
            None => self.inner.commit(batch).await,
            Some(Fault::Before) => Err(CommitError::Unknown),
            Some(Fault::After) => self.inner.commit(batch).await.and(Err(CommitError::Unknown)),
            Some(Fault::Refused(error)) => Err(error),
        }
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome, StoreError> {
        self.inner.outcome(id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::key_space;
    use crate::store::memory::Memory;

    async fn spoiled(fault: Fault) -> (Result<(), CommitError>, BatchOutcome) {
        let store = FaultyStore::new(Arc::new(Memory::store(Clock::from_fn(|| 0)))).failing(2, fault);
        let commit = async |n: u8| {
            let mut batch = Batch::new(BatchId([n; 16]));
            batch.put(key_space::head(), vec![n]);
            store.commit(batch).await
        };
        assert_eq!(commit(1).await, Ok(()));
        let second = commit(2).await;
        let outcome = store.outcome(BatchId([2; 16])).await.unwrap();
        assert_eq!(commit(3).await, Ok(()));
        (second, outcome)
    }

    #[tokio::test]
    async fn only_the_named_commit_fails_and_outcome_tells_lost_from_kept() {
        assert_eq!(spoiled(Fault::Before).await, (Err(CommitError::Unknown), BatchOutcome::Absent));
        assert_eq!(spoiled(Fault::After).await, (Err(CommitError::Unknown), BatchOutcome::Committed));
        let refused = Fault::Refused(CommitError::Conflict);
        assert_eq!(spoiled(refused).await, (Err(CommitError::Conflict), BatchOutcome::Absent));
    }
}
