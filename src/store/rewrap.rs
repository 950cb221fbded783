//! Another key-encryption key: every key of the hub wrapped anew, in one batch, while the hub answers.
//!
//! The wrapped keys stay what they are, so no row is written again and nothing that is open is closed. A crash leaves the old
//! wrapping or the new one, never a mixture.
use super::contract::{Batch, BatchId, Check, Direction, Store};
use super::key_space::Prefix;
use super::vault::{Kek, VaultError};

/// What [`rewrap`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrapped {
    /// So many keys are wrapped by the new key now.
    Done(usize),
    /// They were already: an earlier run was cut before the key file was put in place.
    Already,
}

/// Wraps every key of the store by `new` instead of `old`, and opens each again before saying so.
///
/// # Errors
/// [`VaultError::WrongKek`] when the keys open under neither, [`VaultError::KeyDamaged`] when only some open,
/// [`VaultError::NoKeys`]; [`VaultError::Commit`] when a data key was added meanwhile (run again). Nothing was changed then.
pub async fn rewrap(old: &Kek, new: &Kek, store: &dyn Store) -> Result<Rewrapped, VaultError> {
    let view = store.snapshot().await?;
    let (mut rows, mut rest) = (Vec::new(), Some(Prefix::WrappedKey.range()));
    while let Some(range) = rest {
        let page = view.scan(range, Direction::Forward, usize::MAX).await?;
        rows.extend(page.rows);
        rest = page.next;
    }
    if rows.is_empty() {
        return Err(VaultError::NoKeys);
    }
    if rows.iter().all(|(key, value)| new.unwrap(key, &value.body).is_some()) {
        return Ok(Rewrapped::Already);
    }
    if rows.iter().all(|(key, value)| old.unwrap(key, &value.body).is_none()) {
        return Err(VaultError::WrongKek);
    }
    let mut batch = Batch::new(BatchId::random()?);
    for (key, value) in &rows {
        let id = super::key_space::parse_wrapped_key(key).ok_or(VaultError::KeysIncomplete)?;
        let (suite, kind, secret) = old.unwrap(key, &value.body).ok_or(VaultError::KeyDamaged { id })?;
        let wrapped = new.wrap(suite, key, kind, &secret)?;
        let (_, _, again) = new.unwrap(key, &wrapped).ok_or(VaultError::KeyDamaged { id })?;
        if *again != *secret {
            return Err(VaultError::KeyDamaged { id });
        }
        batch.check(Check::Version(key.clone(), value.version)).put(key.clone(), wrapped);
    }
    // A key added since the scan would stay under the old one: a hub adds them by number, so the next must still be free.
    let next = rows.iter().filter_map(|(key, _)| super::key_space::parse_wrapped_key(key)).max().unwrap_or(0);
    batch.check(Check::Absent(super::key_space::wrapped_key(next.saturating_add(1))));
    store.commit(batch).await?;
    Ok(Rewrapped::Done(rows.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::log::SuiteName;
    use crate::store::key_space;
    use crate::store::memory::Memory;
    use crate::store::vault::{Class, Vault};

    fn kek(byte: u8) -> Kek {
        Kek::for_test([byte; 32])
    }

    #[tokio::test]
    async fn after_a_rewrap_the_new_key_opens_everything_and_the_old_one_nothing() {
        for suite in SuiteName::ALL {
            rewraps(suite).await;
        }
    }

    async fn rewraps(suite: SuiteName) {
        let store = Memory::store(Clock::from_fn(|| 0));
        let vault = Vault::create(&kek(1), &store, suite).await.unwrap();
        let _ = vault.rotate(&kek(1), &store).await.unwrap(); // two data keys
        let sealed = vault.seal_row(Class::Library(1), 1, b"p", b"row").unwrap();
        assert!(matches!(rewrap(&kek(3), &kek(2), &store).await, Err(VaultError::WrongKek)));
        assert_eq!(rewrap(&kek(1), &kek(2), &store).await.unwrap(), Rewrapped::Done(5));
        assert!(matches!(Vault::open(&kek(1), &store).await, Err(VaultError::WrongKek)));
        let opened = Vault::open(&kek(2), &store).await.unwrap();
        assert_eq!(opened.suite(), suite);
        assert_eq!(opened.open_row(Class::Library(1), 1, b"p", &sealed).unwrap(), b"row");
        assert_eq!(
            vault.open_row(Class::Library(1), 1, b"p", &sealed).unwrap(),
            b"row",
            "the running hub's keys are the same"
        );
        assert_eq!(opened.index_key(1, "111", "x"), vault.index_key(1, "111", "x"));
        assert_eq!(rewrap(&kek(1), &kek(2), &store).await.unwrap(), Rewrapped::Already);
        let _ = opened.rotate(&kek(2), &store).await.unwrap();
    }

    #[tokio::test]
    async fn one_damaged_key_stops_it_before_anything_is_written() {
        let store = Memory::store(Clock::from_fn(|| 0));
        let _ = Vault::create(&kek(1), &store, SuiteName::Ed25519).await.unwrap();
        let mut damage = Batch::new(BatchId([9; 16]));
        damage.put(key_space::wrapped_key(2), vec![1; 62]);
        store.commit(damage).await.unwrap();
        assert!(matches!(rewrap(&kek(1), &kek(2), &store).await, Err(VaultError::KeyDamaged { id: 2 })));
        assert!(
            matches!(Vault::open(&kek(1), &store).await, Err(VaultError::KeyDamaged { id: 2 })),
            "the old one still"
        );
    }
}
