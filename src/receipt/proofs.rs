//! What outsiders fetch: entries as they were hashed, and proofs over what has been published.
//!
//! Nothing beyond the published size is shown, and each answer is bounded.
use super::head;
use crate::failure::{Failure, Reason};
use crate::library::record::from_store;
use crate::log::Suite;
use crate::log::proof::Plan;
use crate::store::{Direction, Snapshot, key_space};
use bytes::Bytes;

/// Entries of one page, at most.
pub const ENTRIES_MAX: u32 = 1_000;
/// Entries of one page where the caller does not say.
pub const ENTRIES_DEFAULT: u32 = 256;

/// The entries from `start` on, as they were hashed: at most `count` (0: [`ENTRIES_DEFAULT`]), fewer where they are long, none
/// at the end.
///
/// # Errors
/// [`Reason::RequestMalformed`] for a start beyond `published` or too large a count; [`Reason::RecordDamaged`].
pub async fn entries(snapshot: &dyn Snapshot, published: u64, start: u64, count: u32) -> Result<Vec<Bytes>, Failure> {
    if start > published {
        return Err(beyond("start", published));
    }
    if count > ENTRIES_MAX {
        let (zh, en) = (format!("不超过 {ENTRIES_MAX}。"), format!("At most {ENTRIES_MAX}."));
        return Err(Failure::field("count", zh, en));
    }
    let count = if count == 0 { ENTRIES_DEFAULT } else { count };
    let end = start.saturating_add(u64::from(count)).min(published);
    let limit = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    let page = snapshot.scan(key_space::entries(start, end), Direction::Forward, limit).await.map_err(from_store)?;
    let mut entries = Vec::with_capacity(page.rows.len());
    for ((key, value), expected) in page.rows.into_iter().zip(start..) {
        if key_space::parse_entry(&key) != Some(expected) {
            return Err(Failure::new(Reason::RecordDamaged).because(format!("entry {expected} is missing")));
        }
        entries.push(value.body);
    }
    if entries.is_empty() && start < end {
        return Err(Failure::new(Reason::RecordDamaged).because(format!("entry {start} is missing")));
    }
    Ok(entries)
}

/// The inclusion path of a leaf in the tree of `size` (RFC 9162, 2.1.3.1): 32 bytes a hash, leaf to root.
///
/// # Errors
/// [`Reason::RequestMalformed`] where there is no such leaf or size; [`Reason::RecordDamaged`].
pub async fn inclusion<S: Suite>(
    snapshot: &dyn Snapshot,
    published: u64,
    index: u64,
    size: u64,
) -> Result<Bytes, Failure> {
    if size > published {
        return Err(beyond("size", published));
    }
    let plan = Plan::inclusion(index, size)
        .map_err(|_| Failure::field("leaf_index", "必须小于 size。", "Must be less than size."))?;
    Ok(Bytes::copy_from_slice(head::assemble::<S>(snapshot, &plan).await?.as_flattened()))
}

/// The consistency proof between the trees of `old` and `new` leaves (RFC 9162, 2.1.4.1), 32 bytes a hash.
///
/// # Errors
/// [`Reason::RequestMalformed`] where there are no such sizes; [`Reason::RecordDamaged`].
pub async fn consistency<S: Suite>(
    snapshot: &dyn Snapshot,
    published: u64,
    old: u64,
    new: u64,
) -> Result<Bytes, Failure> {
    if new > published {
        return Err(beyond("new_size", published));
    }
    let plan = Plan::consistency(old, new)
        .map_err(|_| Failure::field("old_size", "不得大于 new_size。", "Must not be greater than new_size."))?;
    Ok(Bytes::copy_from_slice(head::assemble::<S>(snapshot, &plan).await?.as_flattened()))
}

fn beyond(field: &str, published: u64) -> Failure {
    let zh = format!("超出已公布的日志规模 {published}。");
    Failure::field(field, zh, format!("Beyond the published size {published}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::merkle::{leaf_hash, root_from_inclusion, verify_consistency};
    use crate::log::{Ed25519, Sm2};
    use crate::receipt::house::House;

    #[tokio::test]
    async fn every_proof_verifies_against_the_log_room_and_nothing_unpublished_is_shown() {
        proofs_verify::<Ed25519>().await;
        proofs_verify::<Sm2>().await;
    }

    async fn proofs_verify<S: Suite>() {
        let house = House::of(S::NAME).await;
        house.record(11).await;
        let snapshot = house.store.snapshot().await.unwrap();
        let snapshot = snapshot.as_ref();
        let all = entries(snapshot, 11, 0, 0).await.unwrap();
        assert_eq!(all.len(), 11);
        let mut roots = Vec::new();
        for size in 0..=11 {
            roots.push(head::root_at::<S>(snapshot, size).await.unwrap());
        }
        for (size, root) in (0_u64..).zip(&roots) {
            for index in 0..size {
                let path = inclusion::<S>(snapshot, 11, index, size).await.unwrap();
                let leaf = leaf_hash::<S>(&all[index as usize]);
                assert_eq!(root_from_inclusion::<S>(&leaf, index, size, &path), Ok(*root));
            }
            for old in 0..=size {
                let proof = consistency::<S>(snapshot, 11, old, size).await.unwrap();
                let proof = proof.as_chunks::<32>().0;
                assert_eq!(verify_consistency::<S>(old, size, &roots[old as usize], root, proof), Ok(()));
            }
        }
        let malformed = |failure: Failure| assert_eq!(failure.reason, Reason::RequestMalformed);
        malformed(inclusion::<S>(snapshot, 10, 0, 11).await.unwrap_err());
        malformed(inclusion::<S>(snapshot, 11, 5, 5).await.unwrap_err());
        malformed(consistency::<S>(snapshot, 10, 3, 11).await.unwrap_err());
        malformed(consistency::<S>(snapshot, 11, 4, 3).await.unwrap_err());
        malformed(entries(snapshot, 10, 11, 0).await.unwrap_err());
        malformed(entries(snapshot, 10, 0, ENTRIES_MAX + 1).await.unwrap_err());
        assert_eq!(entries(snapshot, 10, 4, 100).await.unwrap(), all[4..10]);
        assert_eq!(entries(snapshot, 11, 2, 3).await.unwrap(), all[2..5]);
        assert!(entries(snapshot, 11, 11, 3).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_missing_entry_is_damage_and_no_end() {
        let house = House::new().await;
        house.record(4).await;
        house.delete(key_space::entry(2)).await;
        let snapshot = house.store.snapshot().await.unwrap();
        for start in [0, 2] {
            let failure = entries(snapshot.as_ref(), 4, start, 0).await.unwrap_err();
            assert_eq!(failure.reason, Reason::RecordDamaged);
        }
    }
}
