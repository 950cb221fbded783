//! The engine for tests: a sorted map. It promises what the contract promises, except that nothing outlives the process.
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::contract::{
    Admitted, CommitError, Direction, Engine, Key, KeyRange, Page, PageBuilder, Snapshot, StoreError, Versioned,
};
use super::limited::{Limited, settle};
use crate::clock::Clock;

/// Rows by key, framed as on disk.
type Rows = BTreeMap<Key, Bytes>;

/// An engine without a disk.
#[derive(Default)]
pub struct Memory {
    rows: Mutex<Arc<Rows>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn store(clock: Clock) -> Limited<Self> {
        Limited::new(Self::default(), clock)
    }

    /// A poisoned lock is no half-made state: the map is replaced or changed only after everything that can fail.
    fn rows(&self) -> MutexGuard<'_, Arc<Rows>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Engine for Memory {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(Arc::new(MemorySnapshot(self.rows().clone())))
    }

    async fn commit(&self, batch: Admitted) -> Result<(), CommitError> {
        let mut rows = self.rows();
        let settled = settle(batch, |key| rows.get(key).map(|value| Versioned::parse_version(value)).transpose())?;
        let rows = Arc::make_mut(&mut *rows); // copies the map only while a snapshot still looks at it
        for (key, value) in settled.puts {
            rows.insert(key, Bytes::from(value));
        }
        for key in settled.deletes {
            rows.remove(&key);
        }
        Ok(())
    }

    fn is_alone(&self) -> bool {
        true
    }
}

/// The map as it was.
struct MemorySnapshot(Arc<Rows>);

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.0.get(key).map(Versioned::parse).transpose()
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        keys.iter().map(|key| self.0.get(key).map(Versioned::parse).transpose()).collect()
    }

    async fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError> {
        let start = Bound::Included(range.start.as_ref());
        let end = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_ref()));
        let rows = self.0.range::<[u8], _>((start, end));
        let mut page = PageBuilder::new(range.clone(), direction, limit);
        let mut push = |(key, value): (&Key, &Bytes)| Ok(page.push(key.clone(), Versioned::parse(value)?));
        match direction {
            Direction::Forward => each_while(rows, &mut push)?,
            Direction::Reverse => each_while(rows.rev(), &mut push)?,
        }
        Ok(page.finish())
    }
}

fn each_while<T>(
    mut items: impl Iterator<Item = T>,
    take: &mut impl FnMut(T) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    items
        .try_for_each(|item| match take(item) {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        })
        .or_else(|stopped| stopped.map_or(Ok(()), Err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{self, Made};

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        conformance::run(async |clock| Made { store: Arc::new(Memory::store(clock)), keep: Box::new(()) }).await;
    }
}
