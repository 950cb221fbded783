//! Reading: what a snapshot of the engine shows, row by row and page by page.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::{DBPinnableSlice, ReadOptions, SnapshotWithThreadMode};
use self_cell::self_cell;

use super::super::contract::{Direction, Key, KeyRange, Page, PageBuilder, Snapshot, StoreError, Versioned};
use super::super::key_space::RECORD_PREFIX_BYTES;
use super::families::{Family, stretches};
use super::{Db, Shared, no_family, read_failed};

/// Reads of more rows than this leave the worker.
const ROWS_ON_WORKER_MAX: usize = 64;

type DbSnapshot<'a> = SnapshotWithThreadMode<'a, Db>;

self_cell!(
    /// A snapshot that keeps its database open.
    pub(super) struct View {
        owner: Arc<Shared>,
        #[covariant]
        dependent: DbSnapshot,
    }
);

pub(super) struct RocksSnapshot(pub(super) Arc<View>);

#[async_trait]
impl Snapshot for RocksSnapshot {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.0.get(key)
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        if keys.len() <= ROWS_ON_WORKER_MAX {
            return self.0.multi_get(keys);
        }
        let (view, keys) = (self.0.clone(), keys.to_vec());
        blocking(move || view.multi_get(&keys)).await
    }

    async fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError> {
        if limit <= ROWS_ON_WORKER_MAX {
            return self.0.scan(range, direction, limit);
        }
        let view = self.0.clone();
        blocking(move || view.scan(range, direction, limit)).await
    }
}

impl View {
    fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let family = self.borrow_owner().family_of(key.as_bytes())?;
        let value = self.borrow_dependent().get_pinned_cf(family, key).map_err(read_failed)?;
        value.map(|value| versioned(&value)).transpose()
    }

    /// Rows of one family together: looking for several at once costs the engine less than for each by itself.
    fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, StoreError> {
        let one = |family| keys.iter().all(|key| Family::of(key.as_bytes()) == family);
        let Some(family) = keys.first().map(|key| Family::of(key.as_bytes())).filter(|family| one(*family)) else {
            return keys.iter().map(|key| self.get(key)).collect();
        };
        let family = self.borrow_owner().family(family).ok_or_else(no_family)?;
        let mut options = ReadOptions::default();
        options.set_snapshot(self.borrow_dependent());
        let values = self.borrow_owner().db.batched_multi_get_cf_opt(family, keys, false, &options);
        let parsed = |value: Option<DBPinnableSlice<'_>>| value.map(|value| versioned(&value)).transpose();
        values.into_iter().map(|value| value.map_err(read_failed).and_then(parsed)).collect()
    }

    fn scan(&self, range: KeyRange, direction: Direction, limit: usize) -> Result<Page, StoreError> {
        let mut stretches: Vec<(Family, KeyRange)> = match self.borrow_owner().apart {
            true => stretches(&range).collect(),
            false => vec![(Family::Rest, range.clone())],
        };
        if direction == Direction::Reverse {
            stretches.reverse();
        }
        let mut page = PageBuilder::new(range, direction, limit);
        for (family, stretch) in stretches {
            if !self.scan_stretch(family, &stretch, direction, &mut page)? {
                break;
            }
        }
        Ok(page.finish())
    }

    /// Puts the rows of one family into a page; false once it is full.
    fn scan_stretch(
        &self,
        family: Family,
        range: &KeyRange,
        direction: Direction,
        page: &mut PageBuilder,
    ) -> Result<bool, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start.as_ref());
        if let Some(end) = &range.end {
            options.set_iterate_upper_bound(end.as_ref());
        }
        let of_one_record = direction == Direction::Forward && inside_one_prefix(range);
        options.set_prefix_same_as_start(of_one_record); // lets filters skip files that cannot hold the record
        options.set_total_order_seek(!of_one_record);
        let family = self.borrow_owner().family(family).ok_or_else(no_family)?;
        let mut rows = self.borrow_dependent().raw_iterator_cf_opt(family, options);
        match direction {
            Direction::Forward => rows.seek(&range.start),
            Direction::Reverse => rows.seek_to_last(),
        }
        while let Some((key, value)) = rows.item() {
            let key = Key::from_bytes(Bytes::copy_from_slice(key));
            let key = key.ok_or_else(|| StoreError::Damaged("a key of a forbidden length".into()))?;
            if !page.push(key, versioned(value)?) {
                return Ok(false);
            }
            match direction {
                Direction::Forward => rows.next(),
                Direction::Reverse => rows.prev(),
            }
        }
        rows.status().map_err(read_failed)?; // an iterator also stops at what it cannot read
        Ok(true)
    }
}

/// Whether every key of the range begins with the same [`RECORD_PREFIX_BYTES`].
pub(super) fn inside_one_prefix(range: &KeyRange) -> bool {
    let Some(prefix) = range.start.get(..RECORD_PREFIX_BYTES) else { return false };
    let whole = KeyRange::prefix(Bytes::copy_from_slice(prefix));
    range.end.as_ref().zip(whole.end).is_some_and(|(end, last)| *end <= last)
}

fn versioned(value: &[u8]) -> Result<Versioned, StoreError> {
    Versioned::parse(&Bytes::copy_from_slice(value))
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = |error: tokio::task::JoinError| Err(StoreError::Unavailable(error.to_string()));
    tokio::task::spawn_blocking(read).await.unwrap_or_else(ended)
}
