//! Every key the hub stores: one prefix byte, then fields of fixed length, big-endian, so that byte order is number order.
//!
//! **Bytes once given never change**; a prefix no longer used stays listed. No key holds an identity number: subjects
//! appear as [`IndexKey`] or ledger reference, both made by the [`vault`](super::vault) with keys that are not on this disk.
use std::fmt;

use super::contract::{BatchId, Key, KeyRange};

/// What kind of row a key names: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Prefix {
    /// About the store itself: [`MetaRow`].
    Meta = 0x01,
    /// A committed batch; written and purged by the store wrapper alone.
    BatchId = 0x02,
    /// A key wrapped by the key-encryption key: `id u32`.
    WrappedKey = 0x03,
    /// The head of the log with its frontier; one row.
    Head = 0x10,
    /// An entry of the log: `index u64`.
    Entry = 0x11,
    /// A full tile of the log: `level u8 ‖ n u64`.
    Tile = 0x12,
    /// The encrypted statement, salt, question and blind of an entry: `index u64`.
    StatementRow = 0x13,
    /// Who looked at a subject: `subject_ref[16] ‖ index u64`.
    Ledger = 0x14,
    /// A request that was answered: `hash[16]` of system and request id.
    Request = 0x15,
    /// One version of a record: `library u16 ‖ index key[16] ‖ !version u64`, the newest first.
    RecordRow = 0x20,
    /// When a version of a record was recorded: same fields as [`Prefix::RecordRow`].
    RecordStamp = 0x21,
    /// From one subject or record to another: `kind u8 ‖ from[16] ‖ library u16 ‖ to[16]`.
    Link = 0x22,
    /// A feature touching an H3 cell: `cell u64 ‖ feature index key[16]`.
    Cell = 0x23,
    /// Kept free for the feature index to come.
    FeaturesReserved = 0x24,
    /// An import: `id[16]`.
    Import = 0x30,
    /// A part of an import: `id[16] ‖ n u32`.
    ImportPart = 0x31,
    /// A row that was not taken: `import id[16] ‖ row u64`.
    Quarantine = 0x32,
}

impl Prefix {
    /// All of them, in byte order.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::BatchId,
        Self::WrappedKey,
        Self::Head,
        Self::Entry,
        Self::Tile,
        Self::StatementRow,
        Self::Ledger,
        Self::Request,
        Self::RecordRow,
        Self::RecordStamp,
        Self::Link,
        Self::Cell,
        Self::FeaturesReserved,
        Self::Import,
        Self::ImportPart,
        Self::Quarantine,
    ];

    /// The byte on disk.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// What a key names, if the byte was ever given.
    #[must_use]
    pub fn of(key: &Key) -> Option<Self> {
        let first = *key.as_bytes().first()?;
        Self::ALL.into_iter().find(|prefix| prefix.byte() == first)
    }

    /// All rows of this kind.
    #[must_use]
    pub fn range(self) -> KeyRange {
        KeyRange::prefix(vec![self.byte()])
    }
}

/// The rows about the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetaRow {
    /// `u32` big-endian: the layout of this data folder; see [`FORMAT_VERSION`].
    FormatVersion = 0x01,
    /// Which hub this is and which log origin it continues.
    HubIdentity = 0x02,
}

/// The layout this program writes. An older program refuses a folder of a newer layout.
pub const FORMAT_VERSION: u32 = 2;

/// The libraries whose records are the hub's own terms (departments, systems, grants, resources, licence types, issuer keys): changed
/// seldom, read by every question.
pub const REFERENCE_LIBRARIES: std::ops::RangeInclusive<u16> = 16..=21;

/// The bytes that all versions of one record share; engines with prefix filters may build them on so many.
pub const RECORD_PREFIX_BYTES: usize = 1 + 2 + 16;

/// A subject inside a library as keys name it: a keyed hash, made by the [`vault`](super::vault).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexKey(pub [u8; 16]);

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexKey(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ")")
    }
}

/// A row about the store itself.
#[must_use]
pub fn meta(row: MetaRow) -> Key {
    key(Prefix::Meta, &[&[row as u8]])
}

/// The row that says a batch was committed.
#[must_use]
pub fn batch_id(id: BatchId) -> Key {
    key(Prefix::BatchId, &[&id.0])
}

/// A wrapped key.
#[must_use]
pub fn wrapped_key(id: u32) -> Key {
    key(Prefix::WrappedKey, &[&id.to_be_bytes()])
}

/// The id in a key of [`wrapped_key`].
#[must_use]
pub fn parse_wrapped_key(key: &Key) -> Option<u32> {
    Fields::of(key, Prefix::WrappedKey)?.last_u32()
}

/// The one head row.
#[must_use]
pub fn head() -> Key {
    key(Prefix::Head, &[])
}

/// An entry of the log.
#[must_use]
pub fn entry(index: u64) -> Key {
    key(Prefix::Entry, &[&index.to_be_bytes()])
}

/// Entries from `start` (included) up to `end` (excluded).
#[must_use]
pub fn entries(start: u64, end: u64) -> KeyRange {
    KeyRange::between(&entry(start), &entry(end))
}

/// The index in a key of [`entry`].
#[must_use]
pub fn parse_entry(key: &Key) -> Option<u64> {
    Fields::of(key, Prefix::Entry)?.last_u64()
}

/// A full tile.
#[must_use]
pub fn tile(level: u8, n: u64) -> Key {
    key(Prefix::Tile, &[&[level], &n.to_be_bytes()])
}

/// Level and number in a key of [`tile`].
#[must_use]
pub fn parse_tile(key: &Key) -> Option<(u8, u64)> {
    let fields = Fields::of(key, Prefix::Tile)?;
    let (level, fields) = fields.array::<1>()?;
    Some((u8::from_be_bytes(level), fields.last_u64()?))
}

/// The encrypted statement of an entry.
#[must_use]
pub fn statement_row(index: u64) -> Key {
    key(Prefix::StatementRow, &[&index.to_be_bytes()])
}

/// Statements from `start` (included) up to `end` (excluded).
#[must_use]
pub fn statement_rows(start: u64, end: u64) -> KeyRange {
    KeyRange::between(&statement_row(start), &statement_row(end))
}

/// The index in a key of [`statement_row`].
#[must_use]
pub fn parse_statement_row(key: &Key) -> Option<u64> {
    Fields::of(key, Prefix::StatementRow)?.last_u64()
}

/// One entry about a subject.
#[must_use]
pub fn ledger(subject_ref: &[u8; 16], index: u64) -> Key {
    key(Prefix::Ledger, &[subject_ref, &index.to_be_bytes()])
}

/// All entries about a subject, oldest first.
#[must_use]
pub fn ledger_of(subject_ref: &[u8; 16]) -> KeyRange {
    range(Prefix::Ledger, &[subject_ref])
}

/// Subject and log index in a key of [`ledger`].
#[must_use]
pub fn parse_ledger(key: &Key) -> Option<([u8; 16], u64)> {
    let (subject_ref, fields) = Fields::of(key, Prefix::Ledger)?.array()?;
    Some((subject_ref, fields.last_u64()?))
}

/// An answered request, by the hash of system and request id.
#[must_use]
pub fn request(hash: &[u8; 16]) -> Key {
    key(Prefix::Request, &[hash])
}

/// The hash in a key of [`request`].
#[must_use]
pub fn parse_request(key: &Key) -> Option<[u8; 16]> {
    let (hash, fields) = Fields::of(key, Prefix::Request)?.array()?;
    fields.end(hash)
}

/// One version of a record. Versions count from 1.
#[must_use]
pub fn record_row(library: u16, index_key: &IndexKey, version: u64) -> Key {
    record_key(Prefix::RecordRow, library, index_key, version)
}

/// All versions of a record, newest first: a scan with limit 1 finds the newest.
#[must_use]
pub fn record_rows(library: u16, index_key: &IndexKey) -> KeyRange {
    range(Prefix::RecordRow, &[&library.to_be_bytes(), &index_key.0])
}

/// The versions of a record up to and including `version`, newest first.
#[must_use]
pub fn record_rows_up_to(library: u16, index_key: &IndexKey, version: u64) -> KeyRange {
    record_rows(library, index_key).from_key(&record_row(library, index_key, version))
}

/// All rows of a library, by index key.
#[must_use]
pub fn library_rows(library: u16) -> KeyRange {
    range(Prefix::RecordRow, &[&library.to_be_bytes()])
}

/// Library, index key and version in a key of [`record_row`].
#[must_use]
pub fn parse_record_row(key: &Key) -> Option<(u16, IndexKey, u64)> {
    parse_record_key(key, Prefix::RecordRow)
}

/// When one version of a record was recorded.
#[must_use]
pub fn record_stamp(library: u16, index_key: &IndexKey, version: u64) -> Key {
    record_key(Prefix::RecordStamp, library, index_key, version)
}

/// The stamps of all versions of a record, newest first.
#[must_use]
pub fn record_stamps(library: u16, index_key: &IndexKey) -> KeyRange {
    range(Prefix::RecordStamp, &[&library.to_be_bytes(), &index_key.0])
}

/// Library, index key and version in a key of [`record_stamp`].
#[must_use]
pub fn parse_record_stamp(key: &Key) -> Option<(u16, IndexKey, u64)> {
    parse_record_key(key, Prefix::RecordStamp)
}

/// A link of a kind (numbered by the library room) from a subject to a record.
#[must_use]
pub fn link(kind: u8, from: &[u8; 16], library: u16, to: &[u8; 16]) -> Key {
    key(Prefix::Link, &[&[kind], from, &library.to_be_bytes(), to])
}

/// All links of a kind from a subject.
#[must_use]
pub fn links(kind: u8, from: &[u8; 16]) -> KeyRange {
    range(Prefix::Link, &[&[kind], from])
}

/// All links of a kind from a subject into one library.
#[must_use]
pub fn links_into(kind: u8, from: &[u8; 16], library: u16) -> KeyRange {
    range(Prefix::Link, &[&[kind], from, &library.to_be_bytes()])
}

/// Kind, from, library and to in a key of [`link`].
#[must_use]
pub fn parse_link(key: &Key) -> Option<(u8, [u8; 16], u16, [u8; 16])> {
    let (kind, fields) = Fields::of(key, Prefix::Link)?.array::<1>()?;
    let (from, fields) = fields.array()?;
    let (library, fields) = fields.array()?;
    let (to, fields) = fields.array()?;
    fields.end((u8::from_be_bytes(kind), from, u16::from_be_bytes(library), to))
}

/// Whether a key is of a record in one of the [`REFERENCE_LIBRARIES`], or of a link to one. Stamps do not count.
#[must_use]
pub fn is_reference(key: &Key) -> bool {
    let library = match key.as_bytes() {
        [prefix, rest @ ..] if *prefix == Prefix::RecordRow.byte() => rest.first_chunk(),
        [prefix, rest @ ..] if *prefix == Prefix::Link.byte() => rest.get(1 + 16..).and_then(<[u8]>::first_chunk),
        _ => return false,
    };
    // A key too short to be read is taken for the worse.
    library.is_none_or(|library| REFERENCE_LIBRARIES.contains(&u16::from_be_bytes(*library)))
}

/// A feature that touches an H3 cell.
#[must_use]
pub fn cell(h3_cell: u64, feature: &IndexKey) -> Key {
    key(Prefix::Cell, &[&h3_cell.to_be_bytes(), &feature.0])
}

/// All features that touch an H3 cell.
#[must_use]
pub fn features_in_cell(h3_cell: u64) -> KeyRange {
    range(Prefix::Cell, &[&h3_cell.to_be_bytes()])
}

/// Cell and feature in a key of [`cell`].
#[must_use]
pub fn parse_cell(key: &Key) -> Option<(u64, IndexKey)> {
    let (h3_cell, fields) = Fields::of(key, Prefix::Cell)?.array()?;
    let (feature, fields) = fields.array()?;
    fields.end((u64::from_be_bytes(h3_cell), IndexKey(feature)))
}

/// An import.
#[must_use]
pub fn import(id: &[u8; 16]) -> Key {
    key(Prefix::Import, &[id])
}

/// The id in a key of [`import`].
#[must_use]
pub fn parse_import(key: &Key) -> Option<[u8; 16]> {
    let (id, fields) = Fields::of(key, Prefix::Import)?.array()?;
    fields.end(id)
}

/// A part of an import.
#[must_use]
pub fn import_part(id: &[u8; 16], n: u32) -> Key {
    key(Prefix::ImportPart, &[id, &n.to_be_bytes()])
}

/// All parts of an import, in order.
#[must_use]
pub fn import_parts(id: &[u8; 16]) -> KeyRange {
    range(Prefix::ImportPart, &[id])
}

/// Import id and number in a key of [`import_part`].
#[must_use]
pub fn parse_import_part(key: &Key) -> Option<([u8; 16], u32)> {
    let (id, fields) = Fields::of(key, Prefix::ImportPart)?.array()?;
    Some((id, fields.last_u32()?))
}

/// A row of an import that was not taken.
#[must_use]
pub fn quarantine(import: &[u8; 16], row: u64) -> Key {
    key(Prefix::Quarantine, &[import, &row.to_be_bytes()])
}

/// All rows of an import that were not taken, in order.
#[must_use]
pub fn quarantined(import: &[u8; 16]) -> KeyRange {
    range(Prefix::Quarantine, &[import])
}

/// Import id and row number in a key of [`quarantine`].
#[must_use]
pub fn parse_quarantine(key: &Key) -> Option<([u8; 16], u64)> {
    let (import, fields) = Fields::of(key, Prefix::Quarantine)?.array()?;
    Some((import, fields.last_u64()?))
}

fn record_key(prefix: Prefix, library: u16, index_key: &IndexKey, version: u64) -> Key {
    key(prefix, &[&library.to_be_bytes(), &index_key.0, &(!version).to_be_bytes()])
}

fn parse_record_key(key: &Key, prefix: Prefix) -> Option<(u16, IndexKey, u64)> {
    let (library, fields) = Fields::of(key, prefix)?.array()?;
    let (index_key, fields) = fields.array()?;
    Some((u16::from_be_bytes(library), IndexKey(index_key), !fields.last_u64()?))
}

fn key(prefix: Prefix, fields: &[&[u8]]) -> Key {
    let mut key = Vec::with_capacity(1 + fields.iter().map(|field| field.len()).sum::<usize>());
    key.push(prefix.byte());
    fields.iter().for_each(|field| key.extend_from_slice(field));
    Key::from_parts(key)
}

fn range(prefix: Prefix, fields: &[&[u8]]) -> KeyRange {
    KeyRange::prefix([&[prefix.byte()], fields.concat().as_slice()].concat())
}

/// The part of a key not yet read. A key that is too short or too long is not a key of its kind: `None`, never a guess.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn of(key: &'a Key, prefix: Prefix) -> Option<Self> {
        let (first, rest) = key.as_bytes().split_first()?;
        (*first == prefix.byte()).then_some(Self(rest))
    }

    fn array<const N: usize>(self) -> Option<([u8; N], Self)> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        Some((*field, Self(rest)))
    }

    fn last_u32(self) -> Option<u32> {
        let (field, rest) = self.array()?;
        rest.end(u32::from_be_bytes(field))
    }

    fn last_u64(self) -> Option<u64> {
        let (field, rest) = self.array()?;
        rest.end(u64::from_be_bytes(field))
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REF: [u8; 16] = *b"0123456789abcdef";
    const INDEX: IndexKey = IndexKey(REF);

    #[test]
    fn the_byte_of_a_prefix_never_changes() {
        let bytes: Vec<(u8, String)> =
            Prefix::ALL.iter().map(|prefix| (prefix.byte(), format!("{prefix:?}"))).collect();
        let kept = [
            (0x01, "Meta"),
            (0x02, "BatchId"),
            (0x03, "WrappedKey"),
            (0x10, "Head"),
            (0x11, "Entry"),
            (0x12, "Tile"),
            (0x13, "StatementRow"),
            (0x14, "Ledger"),
            (0x15, "Request"),
            (0x20, "RecordRow"),
            (0x21, "RecordStamp"),
            (0x22, "Link"),
            (0x23, "Cell"),
            (0x24, "FeaturesReserved"),
            (0x30, "Import"),
            (0x31, "ImportPart"),
            (0x32, "Quarantine"),
        ];
        assert_eq!(bytes, kept.map(|(byte, name)| (byte, name.to_string())));
        assert_eq!((MetaRow::FormatVersion as u8, MetaRow::HubIdentity as u8), (1, 2));
    }

    #[test]
    fn the_bytes_of_each_key_never_change() {
        let check = |key: Key, bytes: &[&[u8]]| assert_eq!(key.as_bytes(), bytes.concat());
        check(meta(MetaRow::HubIdentity), &[b"\x01\x02"]);
        check(batch_id(BatchId(REF)), &[b"\x02", &REF]);
        check(wrapped_key(7), &[b"\x03\0\0\0\x07"]);
        check(head(), &[b"\x10"]);
        check(entry(258), &[b"\x11\0\0\0\0\0\0\x01\x02"]);
        check(tile(1, 2), &[b"\x12\x01\0\0\0\0\0\0\0\x02"]);
        check(statement_row(1), &[b"\x13\0\0\0\0\0\0\0\x01"]);
        check(ledger(&REF, 1), &[b"\x14", &REF, b"\0\0\0\0\0\0\0\x01"]);
        check(request(&REF), &[b"\x15", &REF]);
        check(record_row(3, &INDEX, 1), &[b"\x20\0\x03", &REF, b"\xff\xff\xff\xff\xff\xff\xff\xfe"]);
        check(record_stamp(3, &INDEX, 1), &[b"\x21\0\x03", &REF, b"\xff\xff\xff\xff\xff\xff\xff\xfe"]);
        check(link(9, &REF, 3, &REF), &[b"\x22\x09", &REF, b"\0\x03", &REF]);
        check(cell(1, &INDEX), &[b"\x23\0\0\0\0\0\0\0\x01", &REF]);
        check(import(&REF), &[b"\x30", &REF]);
        check(import_part(&REF, 5), &[b"\x31", &REF, b"\0\0\0\x05"]);
        check(quarantine(&REF, 5), &[b"\x32", &REF, b"\0\0\0\0\0\0\0\x05"]);
    }

    #[test]
    fn what_a_key_was_made_of_is_read_back() {
        assert_eq!(parse_wrapped_key(&wrapped_key(7)), Some(7));
        assert_eq!(parse_entry(&entry(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_tile(&tile(3, 9)), Some((3, 9)));
        assert_eq!(parse_statement_row(&statement_row(4)), Some(4));
        assert_eq!(parse_ledger(&ledger(&REF, 4)), Some((REF, 4)));
        assert_eq!(parse_request(&request(&REF)), Some(REF));
        assert_eq!(parse_record_row(&record_row(2, &INDEX, 8)), Some((2, INDEX, 8)));
        assert_eq!(parse_record_stamp(&record_stamp(2, &INDEX, 8)), Some((2, INDEX, 8)));
        assert_eq!(parse_link(&link(1, &REF, 2, &[7; 16])), Some((1, REF, 2, [7; 16])));
        assert_eq!(parse_cell(&cell(5, &INDEX)), Some((5, INDEX)));
        assert_eq!(parse_import(&import(&REF)), Some(REF));
        assert_eq!(parse_import_part(&import_part(&REF, 6)), Some((REF, 6)));
        assert_eq!(parse_quarantine(&quarantine(&REF, 6)), Some((REF, 6)));
    }

    #[test]
    fn a_row_or_link_of_the_hubs_own_terms_is_a_reference() {
        for library in REFERENCE_LIBRARIES {
            assert!(is_reference(&record_row(library, &INDEX, 1)) && is_reference(&link(2, &REF, library, &REF)));
            assert!(!is_reference(&record_stamp(library, &INDEX, 1)));
        }
        for library in [1, 5, 15, 22] {
            assert!(!is_reference(&record_row(library, &INDEX, 1)) && !is_reference(&link(2, &REF, library, &REF)));
        }
        assert!(!is_reference(&head()) && !is_reference(&entry(1)));
    }

    #[test]
    fn a_key_of_another_kind_or_length_is_not_read() {
        let longer = |key: &Key| Key::from_bytes([key.as_bytes(), b"x"].concat()).unwrap();
        let shorter = |key: &Key| Key::from_bytes(key.as_bytes()[..key.len() - 1].to_vec()).unwrap();
        for bad in [longer(&entry(1)), shorter(&entry(1)), statement_row(1)] {
            assert_eq!(parse_entry(&bad), None);
        }
        for bad in [longer(&link(1, &REF, 2, &REF)), shorter(&link(1, &REF, 2, &REF)), head()] {
            assert_eq!(parse_link(&bad), None);
        }
        assert_eq!(parse_record_row(&record_stamp(2, &INDEX, 8)), None);
        assert_eq!(Prefix::of(&Key::from_bytes(vec![0xee]).unwrap()), None);
    }

    #[test]
    fn numbers_sort_as_numbers_and_versions_newest_first() {
        assert!(entry(255) < entry(256) && entry(256) < entry(u64::MAX));
        assert!(record_row(1, &INDEX, 2) < record_row(1, &INDEX, 1));
        assert!(record_row(1, &INDEX, 256) < record_row(1, &INDEX, 255));
    }

    #[test]
    fn a_range_holds_its_own_rows_and_no_other() {
        let holds = |range: &KeyRange, key: &Key| {
            *key.as_bytes() >= *range.start && range.end.as_ref().is_none_or(|end| *key.as_bytes() < **end)
        };
        let next = IndexKey(*b"0123456789abcdeg");
        let versions = record_rows(1, &INDEX);
        assert!(holds(&versions, &record_row(1, &INDEX, 1)) && holds(&versions, &record_row(1, &INDEX, u64::MAX)));
        assert!(!holds(&versions, &record_row(1, &next, 1)) && !holds(&versions, &record_row(2, &INDEX, 1)));
        let until = record_rows_up_to(1, &INDEX, 5);
        assert!(holds(&until, &record_row(1, &INDEX, 5)) && !holds(&until, &record_row(1, &INDEX, 6)));
        assert!(
            holds(&library_rows(1), &record_row(1, &next, 1)) && !holds(&library_rows(1), &record_row(2, &next, 1))
        );
        assert!(holds(&entries(3, 5), &entry(4)) && !holds(&entries(3, 5), &entry(5)));
        assert!(holds(&ledger_of(&REF), &ledger(&REF, u64::MAX)) && !holds(&ledger_of(&REF), &ledger(&[0; 16], 1)));
        assert!(holds(&links(1, &REF), &link(1, &REF, 9, &REF)) && !holds(&links(1, &REF), &link(2, &REF, 9, &REF)));
        assert!(!holds(&links_into(1, &REF, 8), &link(1, &REF, 9, &REF)));
        assert!(holds(&Prefix::Head.range(), &head()) && !holds(&Prefix::Head.range(), &entry(0)));
    }
}
