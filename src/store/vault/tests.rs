//! The vault over the memory engine, each promise in both suites.
use super::*;
use crate::clock::Clock;
use crate::store::limited::Limited;
use crate::store::memory::Memory;

const PERSON: &str = "331099199001011234";

fn empty() -> Limited<Memory> {
    Memory::store(Clock::from_fn(|| 0))
}

fn kek(byte: u8) -> Kek {
    Kek::for_test([byte; 32])
}

async fn vault(suite: SuiteName) -> Vault {
    Vault::create(&kek(1), &empty(), suite).await.unwrap()
}

#[tokio::test]
async fn what_was_sealed_opens_again_after_a_restart() {
    for suite in SuiteName::ALL {
        let store = empty();
        let first = Vault::create(&kek(1), &store, suite).await.unwrap();
        let sealed = first.seal_row(Class::Library(1), 3, b"place", b"plain").unwrap();
        assert_eq!(sealed.len(), 5 + SEAL_BYTES);
        let second = Vault::open(&kek(1), &store).await.unwrap();
        assert_eq!(second.open_row(Class::Library(1), 3, b"place", &sealed).unwrap(), b"plain");
        assert_eq!(first.index_key(1, "111", PERSON), second.index_key(1, "111", PERSON));
        assert_eq!(first.subject_ref("111", PERSON), second.subject_ref("111", PERSON));
        assert_eq!(first.mac("request", b"x"), second.mac("request", b"x"));
    }
}

#[tokio::test]
async fn a_row_moved_rolled_or_taken_for_another_class_does_not_open() {
    for suite in SuiteName::ALL {
        let vault = vault(suite).await;
        let sealed = vault.seal_row(Class::Library(1), 3, b"place", b"plain").unwrap();
        let damaged = |class, version, place: &[u8], body: &[u8]| {
            matches!(vault.open_row(class, version, place, body), Err(VaultError::RowDamaged(_)))
        };
        assert!(!damaged(Class::Library(1), 3, b"place", &sealed));
        assert!(damaged(Class::Library(1), 3, b"other", &sealed));
        assert!(damaged(Class::Library(1), 4, b"place", &sealed));
        assert!(damaged(Class::Library(2), 3, b"place", &sealed));
        assert!(damaged(Class::Statements, 3, b"place", &sealed));
        assert!(damaged(Class::Library(1), 3, b"place", &sealed[..15]));
        assert!(damaged(Class::Library(1), 3, b"place", b""));
    }
}

#[tokio::test]
async fn any_changed_byte_of_a_sealed_row_is_noticed() {
    for suite in SuiteName::ALL {
        let vault = vault(suite).await;
        let sealed = vault.seal_row(Class::Statements, 1, b"place", b"plain").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 0x40;
            let opened = vault.open_row(Class::Statements, 1, b"place", &changed);
            assert!(matches!(opened, Err(VaultError::RowDamaged(_) | VaultError::KeyUnknown(_))), "byte {at}");
        }
    }
}

#[tokio::test]
async fn the_wrong_key_and_a_damaged_key_row_are_told_apart() {
    for suite in SuiteName::ALL {
        let store = empty();
        assert!(matches!(Vault::open(&kek(1), &store).await, Err(VaultError::NoKeys)));
        let vault = Vault::create(&kek(1), &store, suite).await.unwrap();
        assert!(matches!(Vault::create(&kek(1), &store, suite).await, Err(VaultError::AlreadyThere)));
        assert!(matches!(Vault::open(&kek(2), &store).await, Err(VaultError::WrongKek)));
        assert!(matches!(vault.rotate(&kek(2), &store).await, Err(VaultError::WrongKek)));
        let from = store.snapshot().await.unwrap().get(&key_space::wrapped_key(1)).await.unwrap().unwrap();
        let mut swap = Batch::new(BatchId([9; 16]));
        swap.put(key_space::wrapped_key(2), from.body); // a wrapped key moved to another id
        store.commit(swap).await.unwrap();
        assert!(matches!(Vault::open(&kek(1), &store).await, Err(VaultError::KeyDamaged { id: 2 })));
    }
}

#[tokio::test]
async fn after_a_rotation_new_rows_take_the_new_key_and_old_ones_still_open() {
    for suite in SuiteName::ALL {
        let store = empty();
        let vault = Vault::create(&kek(1), &store, suite).await.unwrap();
        let old = vault.seal_row(Class::Library(1), 1, b"p", b"old").unwrap();
        let id = vault.rotate(&kek(1), &store).await.unwrap();
        let new = vault.seal_row(Class::Library(1), 1, b"p", b"new").unwrap();
        assert_ne!(old[..4], new[..4]);
        assert_eq!(new[..4], id.to_be_bytes());
        for vault in [vault, Vault::open(&kek(1), &store).await.unwrap()] {
            assert_eq!(vault.open_row(Class::Library(1), 1, b"p", &old).unwrap(), b"old");
            assert_eq!(vault.open_row(Class::Library(1), 1, b"p", &new).unwrap(), b"new");
            assert_eq!(vault.seal_row(Class::Library(1), 1, b"p", b"x").unwrap()[..4], id.to_be_bytes());
        }
    }
}

#[tokio::test]
async fn one_code_is_another_key_in_each_library_and_in_the_ledger() {
    for suite in SuiteName::ALL {
        let vault = vault(suite).await;
        let keys = [
            vault.index_key(1, "111", PERSON).0,
            vault.index_key(2, "111", PERSON).0,
            vault.index_key(1, "001", PERSON).0,
            vault.subject_ref("111", PERSON),
            first_16(&vault.mac("111", PERSON.as_bytes())),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(n + 1).all(|other| other != key));
        }
        assert_ne!(vault.index_key(1, "11", "1x"), vault.index_key(1, "111", "x"), "type and code do not run together");
    }
}

#[tokio::test]
async fn nothing_plain_reaches_the_store() {
    for suite in SuiteName::ALL {
        let store = empty();
        let vault = Vault::create(&kek(1), &store, suite).await.unwrap();
        let row = key_space::record_row(1, &vault.index_key(1, "111", PERSON), 1);
        let mut batch = Batch::new(BatchId([1; 16]));
        batch.put(row.clone(), vault.seal_row(Class::Library(1), 1, row.as_bytes(), PERSON.as_bytes()).unwrap());
        store.commit(batch).await.unwrap();
        let all = super::super::contract::KeyRange::prefix(Vec::new());
        let page = store.snapshot().await.unwrap().scan(all, Direction::Forward, 100).await.unwrap();
        let wrapped = wrapped_rows(&store).await.unwrap();
        let secrets: Vec<Secret> = wrapped.iter().map(|(_, key, body)| kek(1).unwrap(key, body).unwrap().2).collect();
        let secrets = secrets.iter().map(|secret| secret.as_slice()).chain([PERSON.as_bytes(), &[1; 32]]);
        let contains = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        for (key, value) in page.rows {
            for secret in secrets.clone() {
                assert!(!contains(key.as_bytes(), secret) && !contains(&value.body, secret));
            }
        }
    }
}

#[tokio::test]
async fn a_row_that_would_not_fit_is_refused_before_it_is_sealed() {
    for suite in SuiteName::ALL {
        let vault = vault(suite).await;
        let largest = vec![7; PLAINTEXT_BYTES_MAX];
        assert_eq!(vault.seal_row(Class::Imports, 1, b"p", &largest).unwrap().len(), STORE_VALUE_BYTES_MAX);
        let more = vec![7; PLAINTEXT_BYTES_MAX + 1];
        assert!(matches!(vault.seal_row(Class::Imports, 1, b"p", &more), Err(VaultError::TooLarge)));
    }
}

#[tokio::test]
async fn a_store_says_its_suite_and_wrapped_keys_of_two_are_no_store() {
    for suite in SuiteName::ALL {
        let store = empty();
        assert!(matches!(suite_of(&store).await, Err(VaultError::NoKeys)));
        assert_eq!(Vault::create(&kek(1), &store, suite).await.unwrap().suite(), suite);
        assert_eq!(suite_of(&store).await.unwrap(), suite);
        assert_eq!(Vault::open(&kek(1), &store).await.unwrap().suite(), suite);
        // A key of the other suite, well wrapped, beside them.
        let other = SuiteName::ALL.into_iter().find(|other| *other != suite).unwrap();
        let row = key_space::wrapped_key(9);
        let mut add = Batch::new(BatchId([9; 16]));
        add.put(row.clone(), kek(1).wrap(other, &row, KeyKind::Data, &random_secret().unwrap()).unwrap());
        store.commit(add).await.unwrap();
        assert!(matches!(suite_of(&store).await, Err(VaultError::KeysIncomplete)));
        assert!(matches!(Vault::open(&kek(1), &store).await, Err(VaultError::KeysIncomplete)));
    }
}

#[tokio::test]
async fn a_wrapped_key_relabelled_to_the_other_suite_does_not_open() {
    for suite in SuiteName::ALL {
        let store = empty();
        let _ = Vault::create(&kek(1), &store, suite).await.unwrap();
        let mut relabel = Batch::new(BatchId([9; 16]));
        for (_, key, body) in wrapped_rows(&store).await.unwrap() {
            let mut body = body.to_vec();
            body[0] ^= 3; // 1 becomes 2, 2 becomes 1
            relabel.put(key, body);
        }
        store.commit(relabel).await.unwrap();
        assert!(matches!(Vault::open(&kek(1), &store).await, Err(VaultError::WrongKek)));
    }
}
