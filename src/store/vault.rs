//! No plain identity number in a key, no plain value on disk.
//!
//! - A **key-encryption key** (32 bytes) is in a file that is never inside the data folder; a systemd credential is such
//!   a file. It wraps four kinds of keys, kept as [`Prefix::WrappedKey`] rows: the data keys, one index key, one ledger
//!   key, one general mac key.
//! - Each library, and each other [`Class`] of rows, has a **data key** and each library an **index key** of its own,
//!   derived from the wrapped one: `HMAC(wrapped key, label ‖ 0x00 ‖ class)`. A library added later needs no
//!   ceremony, and a row of one class never opens as another.
//! - **Data keys rotate** ([`Vault::rotate`]): new rows take the newest, old ones still open. Index, ledger and mac key
//!   never change, or nothing would be found again.
//! - **Cipher and HMAC are those of the hub's suite** ([`aead`](super::aead)): AES-256-GCM-SIV and SHA-256, or SM4-GCM and SM3.
//!   Each wrapped key's row says which; all of a store say the same. Should a nonce repeat, it must be at the same class, place and
//!   version to tell an onlooker anything.
//!
//! What it does not prove: that a row was removed or an older one put back in its place. `fsck` finds those against the log.
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::aead::{Cipher, Keyed, TAG_BYTES};
use super::contract::{Batch, BatchId, Check, CommitError, Direction, Key, Store, StoreError};
pub use super::kek::Kek;
use super::kek::{KeyKind, suite_of as suite_of_format};
use super::key_space::{self, IndexKey, Prefix};
use crate::limits::STORE_VALUE_BYTES_MAX;
use crate::log::SuiteName;
use crate::random::Random;

/// Bytes that sealing adds: key id, nonce and tag.
pub const SEAL_BYTES: usize = 4 + NONCE_BYTES + TAG_BYTES;
/// What fits into one row once sealed.
pub const PLAINTEXT_BYTES_MAX: usize = STORE_VALUE_BYTES_MAX - SEAL_BYTES;
/// After so many rows a data key is to be retired (design 8). [`Vault::rows_sealed`] counts those of this process.
pub const ROWS_PER_KEY_MAX: u64 = 1 << 31;

pub(super) const NONCE_BYTES: usize = 12;
const ROW_LABEL: &[u8] = b"wuku/row/v1\0";
const DATA_LABEL: &[u8] = b"wuku/data/v1\0";
const INDEX_LABEL: &[u8] = b"wuku/index/v1\0";

/// 32 secret bytes, wiped when dropped.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// Rows that share a data key. The numbers are on disk: never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The records of a library, by its number.
    Library(u16),
    /// Statements with salt, question and blind.
    Statements,
    /// Answers kept for repeated requests.
    Requests,
    /// Rows of imports, quarantined ones included.
    Imports,
}

impl Class {
    fn number(self) -> u32 {
        match self {
            Self::Library(library) => u32::from(library),
            Self::Statements => 0x0001_0000,
            Self::Requests => 0x0001_0001,
            Self::Imports => 0x0001_0002,
        }
    }
}

/// The opened keys of a hub.
pub struct Vault {
    suite: SuiteName,
    index: Keyed,
    /// The index keys derived so far, by library; as many as there are libraries.
    by_library: RwLock<HashMap<u16, Keyed>>,
    ledger: Keyed,
    mac: Keyed,
    data: RwLock<DataKeys>,
    rows_sealed: AtomicU64,
    random: Random,
}

/// Every data key ever used, so that old rows open; the newest seals.
struct DataKeys {
    by_id: BTreeMap<u32, Secret>,
    newest: u32,
    /// The ciphers derived so far, by key id and class; as many as there are pairs.
    derived: HashMap<(u32, Class), Arc<Cipher>>,
}

impl Vault {
    /// Makes the keys of a new hub of that suite and stores them wrapped. One batch: a crash leaves all of them or none.
    ///
    /// # Errors
    /// [`VaultError::AlreadyThere`] when the store has keys; whatever the store or the randomness refuses.
    pub async fn create(kek: &Kek, store: &dyn Store, suite: SuiteName) -> Result<Self, VaultError> {
        let mut batch = Batch::new(BatchId::random()?);
        for (id, kind) in (1_u32..).zip([KeyKind::Index, KeyKind::Ledger, KeyKind::Mac, KeyKind::Data]) {
            let row = key_space::wrapped_key(id);
            let wrapped = kek.wrap(suite, &row, kind, &random_secret()?)?;
            batch.check(Check::Absent(row.clone())).put(row, wrapped);
        }
        match store.commit(batch).await {
            Err(CommitError::CheckFailed(_)) => Err(VaultError::AlreadyThere),
            done => Ok(done?),
        }?;
        Self::open(kek, store).await
    }

    /// Opens the keys of a hub.
    ///
    /// # Errors
    /// [`VaultError::WrongKek`] when none of them opens, [`VaultError::KeyDamaged`] when only some do,
    /// [`VaultError::NoKeys`] when there are none, [`VaultError::KeysIncomplete`] when they are of two suites.
    pub async fn open(kek: &Kek, store: &dyn Store) -> Result<Self, VaultError> {
        let rows = wrapped_rows(store).await?;
        if rows.is_empty() {
            return Err(VaultError::NoKeys);
        }
        let opened: Vec<_> = rows.iter().map(|(id, key, body)| (*id, kek.unwrap(key, body))).collect();
        if opened.iter().all(|(_, key)| key.is_none()) {
            return Err(VaultError::WrongKek);
        }
        let mut by_kind: BTreeMap<KeyKind, BTreeMap<u32, Secret>> = BTreeMap::new();
        let mut suites = Vec::new();
        for (id, key) in opened {
            let (suite, kind, secret) = key.ok_or(VaultError::KeyDamaged { id })?;
            by_kind.entry(kind).or_default().insert(id, secret);
            suites.push(suite);
        }
        suites.dedup();
        let [suite] = suites[..] else { return Err(VaultError::KeysIncomplete) };
        let mut only = |kind| match by_kind.remove(&kind).map(|keys| (keys.len(), keys.into_values().next())) {
            Some((1, Some(secret))) => Ok(secret),
            _ => Err(VaultError::KeysIncomplete),
        };
        let (index, ledger, mac) = (only(KeyKind::Index)?, only(KeyKind::Ledger)?, only(KeyKind::Mac)?);
        let by_id = by_kind.remove(&KeyKind::Data).ok_or(VaultError::KeysIncomplete)?;
        let newest = *by_id.last_key_value().ok_or(VaultError::KeysIncomplete)?.0;
        let data = RwLock::new(DataKeys { by_id, newest, derived: HashMap::new() });
        let [index, ledger, mac] = [index, ledger, mac].map(|key| Keyed::new(suite, &key));
        Ok(Self {
            suite,
            index,
            by_library: RwLock::default(),
            ledger,
            mac,
            data,
            rows_sealed: AtomicU64::new(0),
            random: Random::default(),
        })
    }

    /// The suite of the hub whose keys these are.
    #[must_use]
    pub fn suite(&self) -> SuiteName {
        self.suite
    }

    /// Takes a new data key for all rows sealed from now on; returns its id. Another process on the same store sees it
    /// when it opens the vault again.
    ///
    /// # Errors
    /// Whatever the store or the randomness refuses; then the old key stays in use.
    pub async fn rotate(&self, kek: &Kek, store: &dyn Store) -> Result<u32, VaultError> {
        let rows = wrapped_rows(store).await?;
        if !rows.iter().any(|(_, key, body)| kek.unwrap(key, body).is_some()) {
            return Err(VaultError::WrongKek); // a key wrapped by a stranger would lock the hub out at its next start
        }
        let last = rows.last().map_or(0, |(id, ..)| *id);
        let id = last.checked_add(1).ok_or(VaultError::KeysIncomplete)?;
        let (row, secret) = (key_space::wrapped_key(id), random_secret()?);
        let mut batch = Batch::new(BatchId::random()?);
        let wrapped = kek.wrap(self.suite, &row, KeyKind::Data, &secret)?;
        batch.check(Check::Absent(row.clone())).put(row, wrapped);
        store.commit(batch).await?;
        // Only a durable key may seal a row: a crash before this line leaves a key that no row names.
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        data.by_id.insert(id, secret);
        data.newest = id;
        self.rows_sealed.store(0, Ordering::Relaxed);
        Ok(id)
    }

    /// How many rows this process has sealed under the newest data key; see [`ROWS_PER_KEY_MAX`].
    #[must_use]
    pub fn rows_sealed(&self) -> u64 {
        self.rows_sealed.load(Ordering::Relaxed)
    }

    /// What stands for a code in the keys of a library: `HMAC(library key, type ‖ 0x00 ‖ canonical code)[..16]`.
    #[must_use]
    pub fn index_key(&self, library: u16, code_type: &str, code: &str) -> IndexKey {
        let parts = [code_type.as_bytes(), &[0], code.as_bytes()];
        let known = self.by_library.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(library_key) = known.get(&library) {
            return IndexKey(first_16(&library_key.hash(&parts)));
        }
        drop(known);
        let library_key = Zeroizing::new(self.index.hash(&[INDEX_LABEL, &library.to_be_bytes()]));
        let library_key = Keyed::new(self.suite, &library_key);
        let index_key = IndexKey(first_16(&library_key.hash(&parts)));
        self.by_library.write().unwrap_or_else(PoisonError::into_inner).insert(library, library_key);
        index_key
    }

    /// What stands for a subject in statements and ledger: `HMAC(ledger key, type ‖ 0x00 ‖ canonical code)[..16]`.
    #[must_use]
    pub fn subject_ref(&self, code_type: &str, code: &str) -> [u8; 16] {
        first_16(&self.ledger.hash(&[code_type.as_bytes(), &[0], code.as_bytes()]))
    }

    /// A keyed hash for anything else: `HMAC(mac key, label ‖ 0x00 ‖ bytes)`. The label holds no zero byte.
    #[must_use]
    pub fn mac(&self, label: &str, bytes: &[u8]) -> [u8; 32] {
        self.mac.hash(&[label.as_bytes(), &[0], bytes])
    }

    /// Random bytes for salts and blinds; never for a key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], getrandom::Error> {
        self.random.bytes()
    }

    /// Seals a row: `key_id u32 ‖ nonce[12] ‖ ciphertext`, bound to class, key id, version and place. `place` is the row
    /// key (for a statement, its commitment C); at most [`PLAINTEXT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`VaultError::TooLarge`]; [`VaultError::Randomness`].
    pub fn seal_row(&self, class: Class, version: u64, place: &[u8], plaintext: &[u8]) -> Result<Bytes, VaultError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(VaultError::TooLarge);
        }
        let newest = self.data.read().unwrap_or_else(PoisonError::into_inner).newest;
        let cipher = self.class_cipher(newest, class)?;
        let nonce: [u8; NONCE_BYTES] = match self.suite {
            SuiteName::Ed25519 => self.random.bytes()?,
            // GCM must not see one twice even after a machine was set back with its memory.
            SuiteName::Sm2 => random_nonce()?,
        };
        let aad = row_aad(newest, version, place);
        let mut sealed = Vec::with_capacity(SEAL_BYTES + plaintext.len());
        sealed.extend_from_slice(&newest.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let head = sealed.len();
        sealed.extend_from_slice(plaintext);
        let body = sealed.get_mut(head..).unwrap_or_default();
        let tag = cipher.seal(&nonce, &aad, body).ok_or(VaultError::TooLarge)?;
        sealed.extend_from_slice(&tag);
        self.rows_sealed.fetch_add(1, Ordering::Relaxed);
        Ok(sealed.into())
    }

    /// Opens what [`Vault::seal_row`] made for the same class, version and place.
    ///
    /// # Errors
    /// [`VaultError::RowDamaged`] for bytes that were changed, moved or never sealed here; [`VaultError::KeyUnknown`].
    pub fn open_row(&self, class: Class, version: u64, place: &[u8], body: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (key_id, rest) = body.split_first_chunk::<4>().ok_or(VaultError::RowDamaged("it is too short"))?;
        let (nonce, sealed) =
            rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::RowDamaged("it is too short"))?;
        let key_id = u32::from_be_bytes(*key_id);
        let cipher = self.class_cipher(key_id, class)?;
        let aad = row_aad(key_id, version, place);
        cipher
            .open(nonce, &aad, sealed)
            .ok_or(VaultError::RowDamaged("it does not open under its key, version and place"))
    }

    /// The cipher of a class under a data key, derived when first needed.
    fn class_cipher(&self, key_id: u32, class: Class) -> Result<Arc<Cipher>, VaultError> {
        let data = self.data.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cipher) = data.derived.get(&(key_id, class)) {
            return Ok(cipher.clone());
        }
        let secret = data.by_id.get(&key_id).ok_or(VaultError::KeyUnknown(key_id))?.clone();
        drop(data);
        let class_key = Keyed::new(self.suite, &secret).hash(&[DATA_LABEL, &class.number().to_be_bytes()]);
        let derived = Arc::new(Cipher::new(self.suite, &Zeroizing::new(class_key)));
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        Ok(data.derived.entry((key_id, class)).or_insert(derived).clone())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

/// Why the vault refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The key file cannot be made or read.
    #[error("key-encryption key {}: {source}", path.display())]
    KekFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Key and data would be copied, backed up and stolen together.
    #[error("the key-encryption key {} lies inside the data folder: keep it on another path", .0.display())]
    KekInsideData(PathBuf),
    /// Every user of the machine may read or write the key.
    #[error("the key-encryption key {} is accessible to all users: chmod 600", .0.display())]
    KekExposed(PathBuf),
    /// Not a key file.
    #[error("the key-encryption key {} does not hold exactly 32 bytes", .0.display())]
    KekMalformed(PathBuf),
    /// The data was encrypted under another key-encryption key.
    #[error("this is not the key-encryption key of this hub: none of its keys opens")]
    WrongKek,
    /// `wuku init` has not been run on this store.
    #[error("the store holds no keys")]
    NoKeys,
    /// New keys would make everything stored unreadable.
    #[error("the store has its keys already")]
    AlreadyThere,
    /// One wrapped key does not open though others do.
    #[error("wrapped key {id} is damaged")]
    KeyDamaged {
        /// Its id.
        id: u32,
    },
    /// A kind of key is missing or there twice.
    #[error("the wrapped keys are not complete")]
    KeysIncomplete,
    /// A row names a data key that the vault does not hold.
    #[error("data key {0} is not known")]
    KeyUnknown(u32),
    /// A row is not what was sealed for this place.
    #[error("the stored row is damaged: {0}")]
    RowDamaged(&'static str),
    /// More than fits into one row.
    #[error("a sealed row holds at most {PLAINTEXT_BYTES_MAX} bytes")]
    TooLarge,
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// Reading the wrapped keys failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Storing the wrapped keys failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The suite of the hub that a store belongs to, as its wrapped keys say; nobody's key is needed to read that. Until they are opened
/// it is a claim: what is computed on a false one does not fit.
///
/// # Errors
/// [`VaultError::NoKeys`]; [`VaultError::KeysIncomplete`] where they are of two suites, or of one that this build does not know.
pub async fn suite_of(store: &dyn Store) -> Result<SuiteName, VaultError> {
    let rows = wrapped_rows(store).await?;
    let formats = rows.iter().map(|(_, _, body)| body.first().and_then(|format| suite_of_format(*format)));
    let mut suites: Vec<Option<SuiteName>> = formats.collect();
    suites.dedup();
    match suites[..] {
        [] => Err(VaultError::NoKeys),
        [Some(suite)] => Ok(suite),
        _ => Err(VaultError::KeysIncomplete),
    }
}

/// Id, key and body of every wrapped key, by id.
async fn wrapped_rows(store: &dyn Store) -> Result<Vec<(u32, Key, Bytes)>, VaultError> {
    let view = store.snapshot().await?;
    let (mut rows, mut rest) = (Vec::new(), Some(Prefix::WrappedKey.range()));
    while let Some(range) = rest {
        let page = view.scan(range, Direction::Forward, usize::MAX).await?;
        for (key, value) in page.rows {
            let id = key_space::parse_wrapped_key(&key).ok_or(VaultError::KeysIncomplete)?;
            rows.push((id, key, value.body));
        }
        rest = page.next;
    }
    Ok(rows)
}

fn row_aad(key_id: u32, version: u64, place: &[u8]) -> Vec<u8> {
    [ROW_LABEL, &key_id.to_be_bytes(), &version.to_be_bytes(), place].concat()
}

fn first_16(hash: &[u8; 32]) -> [u8; 16] {
    let [first, _] = hash.as_chunks::<16>().0 else { return [0; 16] };
    *first
}

pub(super) fn random_secret() -> Result<Secret, getrandom::Error> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice())?;
    Ok(secret)
}

pub(super) fn random_nonce() -> Result<[u8; NONCE_BYTES], getrandom::Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests;
