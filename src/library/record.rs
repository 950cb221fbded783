//! The one shape every held thing has: a version of a row, sealed, never overwritten.
//!
//! Population records, licences, grants and systems alike are rows of a table (see [`Table`]): a key that is a keyed hash, versions
//! counted from 1, the plaintext a canonical protobuf that only the vault can open. Writing means adding the next version; the
//! check `Absent(next version)` makes two writers of one key exclude each other.
use super::codes::CalendarDate;
use super::schema::Library;
use crate::clock::Clock;
use crate::failure::{Failure, Reason};
use crate::store::key_space::{self, IndexKey};
use crate::store::vault::{Class, Vault};
use crate::store::{Check, Direction, Epoch, Key, Snapshot, StoreError, Versioned};
use crate::wire::proto::receipt::v1::RecordVersion;
use bytes::Bytes;
use prost::Message;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The plaintext of one version of one record. Tags are stored for ever.
#[derive(Clone, PartialEq, Message)]
pub struct Row {
    /// 1.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Type of the key: a holder code type, or `licence`, `feature`, `credit`, `grant` …
    #[prost(string, tag = "2")]
    pub code_type: String,
    /// The canonical key.
    #[prost(string, tag = "3")]
    pub code: String,
    /// The catalogue resource it belongs to; empty for the catalogue's own rows.
    #[prost(string, tag = "4")]
    pub resource: String,
    /// True where this version says that the source no longer has the record.
    #[prost(bool, tag = "5")]
    pub removed: bool,
    /// The day this version holds from, as `YYYYMMDD`; 0 for ever before.
    #[prost(uint32, tag = "6")]
    pub valid_from: u32,
    /// Where it came from.
    #[prost(message, optional, tag = "7")]
    pub source: Option<Source>,
    /// What was odd at intake but kept.
    #[prost(string, repeated, tag = "8")]
    pub quality_flags: Vec<String>,
    /// 16 random bytes: statements name a version by the hash of this plaintext, and a row of few possible contents must not be
    /// found by trying them. Set when the version is written.
    #[prost(bytes = "bytes", tag = "9")]
    pub salt: Bytes,
    /// The content: [`Fields`], a licence row, or a catalogue message.
    #[prost(bytes = "bytes", tag = "10")]
    pub body: Bytes,
}

/// Where a version came from.
#[derive(Clone, PartialEq, Message)]
pub struct Source {
    /// The source department's code.
    #[prost(string, tag = "1")]
    pub department: String,
    /// The system's URI.
    #[prost(string, tag = "2")]
    pub system: String,
    /// Import id or case.
    #[prost(string, tag = "3")]
    pub batch: String,
    /// When the source says it was so, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub source_time_ms: u64,
}

/// The content of a base-library record: canonical texts in the order of the schema.
#[derive(Clone, PartialEq, Message)]
pub struct Fields {
    /// Name and canonical text.
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<FieldText>,
    /// Features: the geometry.
    #[prost(message, optional, tag = "2")]
    pub geometry: Option<crate::wire::proto::library::v1::Geometry>,
}

/// One stored field.
#[derive(Clone, PartialEq, Message)]
pub struct FieldText {
    /// The schema's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Canonical text.
    #[prost(string, tag = "2")]
    pub value: String,
}

impl Fields {
    /// The text of a field, where it is there and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.value.as_str()).filter(|v| !v.is_empty())
    }
}

/// The kinds of link rows: from one key to records it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkKind {
    /// From a holder to licences and credit records.
    Holder = 1,
    /// From a system and a scope to its grants, those that ended left out.
    Scope = 2,
    /// From a resource to the records it brought.
    Resource = 3,
    /// From a table to its rows, for listing the catalogue.
    Table = 4,
    /// From a system to all its grants.
    SystemGrants = 5,
    /// From a resource to all grants on it.
    ResourceGrants = 6,
}

/// One opened version of a record: its bytes opened under their AEAD binding.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Table.
    pub library: Library,
    /// Keyed hash of the key.
    pub index_key: IndexKey,
    /// Version, from 1.
    pub version: u64,
    /// The suite's hash of the plaintext, as statements name it.
    pub digest: [u8; 32],
    /// The plaintext.
    pub row: Row,
    /// Its stamp, where that was read with it; see [`View::stamp`].
    stamp: Option<Stamp>,
}

impl Opened {
    /// How statements name this version.
    #[must_use]
    pub fn record_version(&self) -> RecordVersion {
        RecordVersion {
            library: u32::from(self.library.number()),
            index_key: Bytes::copy_from_slice(&self.index_key.0),
            version: self.version,
            digest: Bytes::copy_from_slice(&self.digest),
        }
    }

    /// The content as a message.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`] where it is none.
    pub fn body<M: Message + Default>(&self) -> Result<M, Failure> {
        M::decode(self.row.body.clone()).map_err(|e| {
            Failure::new(Reason::RecordDamaged).because(format!("row of {} does not decode: {e}", self.library.code()))
        })
    }

    /// The content as catalogue message, with its version filled in by the caller.
    ///
    /// # Errors
    /// As [`Opened::body`].
    pub fn fields(&self) -> Result<Fields, Failure> {
        self.body()
    }
}

/// Which log entry brought a version, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the entry.
    pub index: u64,
    /// Its time, Unix seconds.
    pub time_s: u64,
}

impl Stamp {
    /// Bytes of a stamp at the head of a stamped row.
    pub const BYTES: usize = 16;

    /// `index u64 ‖ time_s u64`, as the sequencer writes it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let (index, time) = out.split_at_mut(8);
        index.copy_from_slice(&self.index.to_be_bytes());
        time.copy_from_slice(&self.time_s.to_be_bytes());
        out
    }

    /// Reads a stamp and what follows it.
    #[must_use]
    pub fn split(bytes: &Bytes) -> Option<(Self, Bytes)> {
        let index = bytes.first_chunk::<8>()?;
        let time_s = bytes.get(8..)?.first_chunk::<8>()?;
        let stamp = Self { index: u64::from_be_bytes(*index), time_s: u64::from_be_bytes(*time_s) };
        Some((stamp, bytes.slice(Self::BYTES..)))
    }
}

/// When a question looks: the day that counts, and how much of the log it may see.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The calendar day in Asia/Shanghai that dates are judged at.
    pub day: CalendarDate,
    /// Only versions brought by entries before this index; `None` for all.
    pub position: Option<u64>,
}

/// One moment of the hub: records, grants and position read from the same snapshot.
pub struct View {
    snapshot: Arc<dyn Snapshot>,
    vault: Arc<Vault>,
    /// The log's size in this snapshot.
    pub position: u64,
    /// The time of the newest entry, Unix seconds.
    pub newest_time_s: u64,
    /// When the view was taken, Unix milliseconds: dates and overdue loads are judged at it.
    pub now_ms: u64,
    /// The next versions of what was read by name: a change makes sure at its commit that there are none.
    relied: Mutex<Vec<Key>>,
}

impl View {
    /// A view over a snapshot whose log head says `position`.
    #[must_use]
    pub fn new(
        snapshot: Arc<dyn Snapshot>,
        vault: Arc<Vault>,
        position: u64,
        newest_time_s: u64,
        clock: &Clock,
    ) -> Self {
        Self { snapshot, vault, position, newest_time_s, now_ms: clock.now_ms(), relied: Mutex::default() }
    }

    /// Today in Asia/Shanghai.
    #[must_use]
    pub fn today(&self) -> CalendarDate {
        super::day::of_ms(self.now_ms)
    }

    /// Now and everything.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment { day: self.today(), position: None }
    }

    /// The store's snapshot, for rooms that keep rows of other kinds.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<dyn Snapshot> {
        &self.snapshot
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The keyed hash a key is stored under.
    #[must_use]
    pub fn index_key(&self, library: Library, code_type: &str, code: &str) -> IndexKey {
        self.vault.index_key(library.number(), code_type, code)
    }

    /// The newest version of a record, whatever its day; removed ones included.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`] where a row does not open; never reported as absent.
    pub async fn newest(&self, library: Library, index_key: &IndexKey) -> Result<Option<Opened>, Failure> {
        if let Some(only) = self.only(library, index_key).await? {
            return Ok(Some(only));
        }
        let range = key_space::record_rows(library.number(), index_key);
        let page = self.snapshot.scan(range, Direction::Forward, 1).await.map_err(from_store)?;
        page.rows.into_iter().next().map(|(key, value)| self.open(library, &key, &value.body)).transpose()
    }

    /// The version of a record that has one only, as nearly all have, with its stamp: three rows read at once cost half of a seek. A
    /// version is written only where the one before it stands and it does not, so the first without a second is the newest.
    async fn only(&self, library: Library, index_key: &IndexKey) -> Result<Option<Opened>, Failure> {
        let row = |version| key_space::record_row(library.number(), index_key, version);
        let keys = [row(1), row(2), key_space::record_stamp(library.number(), index_key, 1)];
        let [Some(value), None, stamp] = self.rows(&keys).await? else { return Ok(None) };
        let [first, ..] = &keys;
        let stamp = stamp.map(|stamp| split_stamp(&stamp.body)).transpose()?;
        Ok(Some(Opened { stamp, ..self.open(library, first, &value.body)? }))
    }

    async fn rows<const N: usize>(&self, keys: &[Key; N]) -> Result<[Option<Versioned>; N], Failure> {
        let read: Result<[_; N], _> = self.snapshot.multi_get(keys).await.map_err(from_store)?.try_into();
        read.map_err(|_| Failure::new(Reason::StoreUnavailable).because("as many rows as were asked for were not read"))
    }

    /// What the rows read by name so far must still be for a decision made on them to hold: none has a next version. A row that was
    /// missing has no first one.
    #[must_use]
    pub fn relied_on(&self) -> Vec<Check> {
        let relied = self.relied.lock().unwrap_or_else(PoisonError::into_inner);
        let each_once: HashSet<&Key> = relied.iter().collect();
        each_once.into_iter().cloned().map(Check::Absent).collect()
    }

    /// The newest version by key text; see [`View::newest`]. The view remembers that it was relied on.
    ///
    /// # Errors
    /// As [`View::newest`].
    pub async fn newest_of(&self, library: Library, code_type: &str, code: &str) -> Result<Option<Opened>, Failure> {
        let index_key = self.index_key(library, code_type, code);
        let newest = self.newest(library, &index_key).await?;
        let next = newest.as_ref().map_or(0, |opened| opened.version).saturating_add(1);
        self.rely_on(key_space::record_row(library.number(), &index_key, next));
        Ok(newest)
    }

    /// Remembers that something was decided on a record that has no version under this key; see [`View::relied_on`].
    pub fn rely_on(&self, next_version: Key) {
        self.relied.lock().unwrap_or_else(PoisonError::into_inner).push(next_version);
    }

    /// Which state of the reference rows it shows, where the store can tell.
    #[must_use]
    pub fn epoch(&self) -> Option<&Epoch> {
        self.snapshot.epoch()
    }

    /// The version that stood at a moment: brought before its position, holding from no later than its day. Removed: `None`.
    ///
    /// # Errors
    /// As [`View::newest`].
    pub async fn at(&self, library: Library, index_key: &IndexKey, moment: Moment) -> Result<Option<Opened>, Failure> {
        if let Some(only) = self.only(library, index_key).await? {
            let stands = self.stands(&only, moment).await?;
            return Ok(Some(only).filter(|only| stands && !only.row.removed));
        }
        let mut range = Some(key_space::record_rows(library.number(), index_key));
        let mut limit = 1; // mostly the newest is the one
        while let Some(next) = range {
            let page = self.snapshot.scan(next, Direction::Forward, limit).await.map_err(from_store)?;
            for (key, value) in page.rows {
                let opened = self.open(library, &key, &value.body)?;
                if self.stands(&opened, moment).await? {
                    return Ok((!opened.row.removed).then_some(opened));
                }
            }
            range = page.next;
            limit = 16;
        }
        Ok(None)
    }

    /// Whether a version was brought before the moment's position and holds from no later than its day.
    async fn stands(&self, opened: &Opened, moment: Moment) -> Result<bool, Failure> {
        if opened.row.valid_from > super::day::number(moment.day) {
            return Ok(false);
        }
        let Some(position) = moment.position else { return Ok(true) };
        Ok(self.stamp(opened).await?.is_some_and(|stamp| stamp.index < position))
    }

    /// Every version of a record, newest first, at most `limit`.
    ///
    /// # Errors
    /// As [`View::newest`].
    pub async fn versions(&self, library: Library, index_key: &IndexKey, limit: usize) -> Result<Vec<Opened>, Failure> {
        let range = key_space::record_rows(library.number(), index_key);
        let page = self.snapshot.scan(range, Direction::Forward, limit).await.map_err(from_store)?;
        page.rows.into_iter().map(|(key, value)| self.open(library, &key, &value.body)).collect()
    }

    /// One version of a record.
    ///
    /// # Errors
    /// As [`View::newest`].
    pub async fn version(
        &self,
        library: Library,
        index_key: &IndexKey,
        version: u64,
    ) -> Result<Option<Opened>, Failure> {
        let key = key_space::record_row(library.number(), index_key, version);
        let value = self.snapshot.get(&key).await.map_err(from_store)?;
        value.map(|value| self.open(library, &key, &value.body)).transpose()
    }

    /// Which entry brought a version; `None` only while its commit is not visible.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`], [`Reason::StoreUnavailable`].
    pub async fn stamp(&self, opened: &Opened) -> Result<Option<Stamp>, Failure> {
        if opened.stamp.is_some() {
            return Ok(opened.stamp);
        }
        let key = key_space::record_stamp(opened.library.number(), &opened.index_key, opened.version);
        let Some(value) = self.snapshot.get(&key).await.map_err(from_store)? else {
            return Err(Failure::new(Reason::RecordDamaged).because("a record version without its stamp"));
        };
        split_stamp(&value.body).map(Some)
    }

    /// The keys a link row leads to, in byte order, at most `limit`, beginning after `after`.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`], [`Reason::RecordDamaged`].
    pub async fn links(
        &self,
        kind: LinkKind,
        from: &IndexKey,
        into: Option<Library>,
        after: Option<IndexKey>,
        limit: usize,
    ) -> Result<Vec<(u16, IndexKey)>, Failure> {
        let mut range = match into {
            Some(library) => key_space::links_into(kind as u8, &from.0, library.number()),
            None => key_space::links(kind as u8, &from.0),
        };
        if let (Some(after), Some(library)) = (after, into) {
            range = range.from_key(&key_space::link(kind as u8, &from.0, library.number(), &after.0));
        }
        let mut found = Vec::new();
        let mut rest = Some(range);
        while let Some(next) = rest {
            let page =
                self.snapshot.scan(next, Direction::Forward, limit.saturating_add(1)).await.map_err(from_store)?;
            for (key, _) in &page.rows {
                let (_, _, library, to) = key_space::parse_link(key)
                    .ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a link row with a strange key"))?;
                let to = IndexKey(to);
                if Some(to) != after {
                    found.push((library, to));
                }
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            rest = page.next;
        }
        Ok(found)
    }

    /// Opens a version as it was read from under its key.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`].
    pub(crate) fn open(&self, library: Library, key: &Key, body: &Bytes) -> Result<Opened, Failure> {
        let damaged = |why: String| Failure::new(Reason::RecordDamaged).because(format!("{}: {why}", library.code()));
        let (_, index_key, version) =
            key_space::parse_record_row(key).ok_or_else(|| damaged("a record row with a strange key".into()))?;
        let plain = self
            .vault
            .open_row(Class::Library(library.number()), version, key.as_bytes(), body)
            .map_err(|e| damaged(e.to_string()))?;
        let digest = self.vault.suite().hash(&[&plain]);
        let row = Row::decode(Bytes::from(plain)) // its body is a part of these bytes, not a copy
            .map_err(|e| damaged(e.to_string()))?;
        Ok(Opened { library, index_key, version, digest, row, stamp: None })
    }
}

/// A version about to be written, with everything that goes with it.
#[derive(Clone, Debug)]
pub struct Write {
    /// What the sequencer tests before the commit.
    pub checks: Vec<Check>,
    /// Rows to put.
    pub puts: Vec<(Key, Bytes)>,
    /// The version itself: its key holds the version, so it is written once.
    pub fresh: Vec<(Key, Bytes)>,
    /// Rows that get `index ‖ time` in front of their body.
    pub stamped: Vec<(Key, Bytes)>,
    /// How the statement names it.
    pub record: RecordVersion,
}

impl View {
    /// Prepares the version after `previous` (0: the first) of a record, with its link rows.
    ///
    /// # Errors
    /// [`Reason::Internal`] where the vault cannot seal.
    pub fn write(
        &self,
        library: Library,
        row: &Row,
        previous: u64,
        links: &[(LinkKind, IndexKey)],
    ) -> Result<Write, Failure> {
        let index_key = self.index_key(library, &row.code_type, &row.code);
        write(&self.vault, library, index_key, row.clone(), previous, links)
    }
}

/// As [`View::write`], for a row whose index key is known.
///
/// # Errors
/// As [`View::write`].
pub fn write(
    vault: &Vault,
    library: Library,
    index_key: IndexKey,
    mut row: Row,
    previous: u64,
    links: &[(LinkKind, IndexKey)],
) -> Result<Write, Failure> {
    let version = previous.checked_add(1).ok_or(Failure::new(Reason::Internal))?;
    let key = key_space::record_row(library.number(), &index_key, version);
    let salt: [u8; 16] = vault.random().map_err(|e| Failure::new(Reason::Internal).because(e))?;
    row.salt = Bytes::copy_from_slice(&salt);
    let plain = row.encode_to_vec();
    let sealed = vault
        .seal_row(Class::Library(library.number()), version, key.as_bytes(), &plain)
        .map_err(|e| Failure::new(Reason::Internal).because(e))?;
    let record = RecordVersion {
        library: u32::from(library.number()),
        index_key: Bytes::copy_from_slice(&index_key.0),
        version,
        digest: Bytes::copy_from_slice(&vault.suite().hash(&[&plain])),
    };
    let mut filed: Vec<(Key, Bytes)> = Vec::with_capacity(links.len().saturating_add(1));
    for (kind, from) in links {
        let link = key_space::link(*kind as u8, &from.0, library.number(), &index_key.0);
        // A record that is led to twice from one key has one link: a batch writes no key twice.
        if !filed.iter().any(|(known, _)| *known == link) {
            filed.push((link, Bytes::new()));
        }
    }
    // To a record that has no version yet nothing leads: its links need not be looked for.
    let (puts, mut fresh) = if previous == 0 { (Vec::new(), filed) } else { (filed, Vec::new()) };
    fresh.push((key.clone(), sealed));
    Ok(Write {
        checks: vec![Check::Absent(key)],
        puts,
        fresh,
        stamped: vec![(key_space::record_stamp(library.number(), &index_key, version), Bytes::new())],
        record,
    })
}

fn split_stamp(body: &Bytes) -> Result<Stamp, Failure> {
    let stamp = Stamp::split(body).map(|(stamp, _)| stamp);
    stamp.ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a stamp that is too short"))
}

/// A failure of the store, as the caller sees it.
#[must_use]
pub fn from_store(error: StoreError) -> Failure {
    match &error {
        StoreError::Damaged(_) => Failure::new(Reason::RecordDamaged).because(error),
        StoreError::SnapshotExpired => Failure::new(Reason::HubOverloaded).because(error),
        _ => Failure::new(Reason::StoreUnavailable).because(error),
    }
}

#[cfg(test)]
mod salt_tests {
    use super::*;
    use crate::log::SuiteName;
    use crate::store::Store;
    use crate::store::memory::Memory;
    use crate::store::vault::Kek;

    #[tokio::test]
    async fn the_digest_in_a_statement_does_not_confirm_a_guessed_row() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::from_fn(|| 1_700_000_000_000);
        let store: Arc<dyn Store> = Arc::new(Memory::store(clock.clone()));
        let kek = Kek::create(&folder.path().join("kek"), &folder.path().join("data")).unwrap();
        let vault = Arc::new(Vault::create(&kek, store.as_ref(), SuiteName::Ed25519).await.unwrap());
        let view = View::new(store.snapshot().await.unwrap(), vault, 0, 0, &clock);
        let row = Row { format: 1, code_type: "111".into(), code: "331099199003070013".into(), ..Row::default() };
        let digest = || view.write(Library::Population, &row, 0, &[]).unwrap().record.digest;
        assert_ne!(digest(), digest(), "the same row, written twice");
        assert_ne!(digest().as_ref(), SuiteName::Ed25519.hash(&[&row.encode_to_vec()]).as_slice());
    }
}
