//! The ZIP a paper comes in, read strictly: a file that two readers could read in two ways is refused.
//!
//! Entries lie one after another from the first byte to the directory, the directory says what the local headers say, names are unique
//! even without regard to case. Nothing is unpacked before its stated size was checked, and nothing beyond it (facts of PKWARE's
//! APPNOTE 6.3; limits in [`Limits`]).
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Ceilings on what a file may make us do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Entries, folders included.
    pub entries: usize,
    /// Bytes of one part, unpacked.
    pub part_bytes: u64,
    /// Bytes of all parts, unpacked.
    pub total_bytes: u64,
    /// Unpacked to packed, of one part.
    pub ratio: u64,
    /// Bytes of an XML part that is read for its structure.
    pub xml_bytes: u64,
    /// Bytes of all parts that are read whole: structure, signature values, seals.
    pub read_bytes: u64,
}

/// The limits for whatever people bring.
pub const LIMITS: Limits = Limits {
    file_bytes: 20 << 20,
    entries: 2_000,
    part_bytes: 32 << 20,
    total_bytes: 128 << 20,
    ratio: 200,
    xml_bytes: 4 << 20,
    read_bytes: 24 << 20,
};

/// How long whoever asked is willing to wait: asked again and again, so that no file holds a thread for long.
#[derive(Clone, Copy, Default)]
pub struct Patience<'a>(Option<&'a (dyn Fn() -> bool + 'a)>);

impl<'a> Patience<'a> {
    /// Until this says that it is over.
    #[must_use]
    pub fn until(over: &'a (dyn Fn() -> bool + 'a)) -> Self {
        Self(Some(over))
    }

    /// Whether there is some left.
    ///
    /// # Errors
    /// `too-slow`.
    pub fn ask(self) -> Result<(), Unreadable> {
        match self.0 {
            Some(over) if over() => Err(Unreadable::new("too-slow", "judging it takes longer than is allowed")),
            _ => Ok(()),
        }
    }
}

/// Whom it asks is nobody's business.
impl std::fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Patience")
    }
}

/// Why a file is not read. The reason is a word for programs, the detail says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unreadable {
    /// Never renamed.
    pub reason: &'static str,
    /// Where and what.
    pub detail: String,
}

impl Unreadable {
    /// With reason and detail.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// A part as it lies in the file.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    packed: &'a [u8],
    deflated: bool,
    size: u32,
    crc: u32,
}

/// A container whose structure holds. Parts are unpacked when asked for.
#[derive(Clone, Debug)]
pub struct Container<'a> {
    entries: BTreeMap<String, Entry<'a>>,
    order: Vec<String>,
    patience: Patience<'a>,
    /// Bytes that may still be read whole.
    readable: Cell<u64>,
}

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const ZIP64_MARK: u32 = 0xffff_ffff;

/// Whether the bytes begin as a ZIP file does.
#[must_use]
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// One row of the directory.
struct Row<'a> {
    flags: u16,
    method: u16,
    /// Time and date of change, MS-DOS form.
    changed: u32,
    crc: u32,
    packed: u32,
    size: u32,
    offset: u32,
    name: &'a [u8],
}

impl<'a> Container<'a> {
    /// Reads the structure; unpacks nothing.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Unreadable> {
        Self::open_within(bytes, limits, Patience::default())
    }

    /// As [`Container::open`]; everything done with it ends with `too-slow` when patience does.
    ///
    /// # Errors
    /// As [`Container::open`].
    pub fn open_within(bytes: &'a [u8], limits: &Limits, patience: Patience<'a>) -> Result<Self, Unreadable> {
        if bytes.len() > limits.file_bytes {
            return Err(Unreadable::new("too-large", format!("{} bytes, at most {}", bytes.len(), limits.file_bytes)));
        }
        if !is_zip(bytes) {
            return Err(Unreadable::new("not-a-container", "the file does not begin with a ZIP entry"));
        }
        let (mut rows, directory_at) = directory(bytes, limits)?;
        rows.sort_by_key(|row| row.offset);
        let (mut at, mut total) = (0usize, 0u64);
        let readable = Cell::new(limits.read_bytes);
        let mut container = Self { entries: BTreeMap::new(), order: Vec::new(), patience, readable };
        let mut names = Names::default();
        for row in &rows {
            let name = names.admit(row)?;
            if usize::try_from(row.offset).ok() != Some(at) {
                return Err(Unreadable::new(
                    "entries-not-adjacent",
                    format!("{name}: bytes that no entry owns, or two own"),
                ));
            }
            total = total.saturating_add(u64::from(row.size));
            check_size(row, &name, total, limits)?;
            let (packed, next) = local(bytes, at, row, &name)?;
            at = next;
            if name.ends_with('/') {
                if row.size != 0 || !packed.is_empty() && row.method == 0 {
                    return Err(Unreadable::new("folder-with-content", name));
                }
                continue;
            }
            let entry = Entry { packed, deflated: row.method == 8, size: row.size, crc: row.crc };
            container.order.push(name.clone());
            container.entries.insert(name, entry);
        }
        if at != directory_at {
            return Err(Unreadable::new("entries-not-adjacent", "bytes between the last entry and the directory"));
        }
        Ok(container)
    }

    /// Whether whoever asked still waits.
    ///
    /// # Errors
    /// `too-slow`.
    pub fn patience(&self) -> Result<(), Unreadable> {
        self.patience.ask()
    }

    /// The parts, in the order they lie in the file; no folders.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Whether there is such a part.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Unpacked size of a part.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| u64::from(entry.size))
    }

    /// A part, unpacked. `None`: there is no such part.
    ///
    /// # Errors
    /// Where it does not unpack to what the directory says; where more is read whole than [`Limits::read_bytes`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        let size = self.size(name).unwrap_or_default();
        let left = self.readable.get().checked_sub(size).ok_or_else(|| Unreadable::new("unpacks-too-large", name))?;
        self.readable.set(left);
        let mut out = Vec::new();
        Ok(self.stream(name, |bytes| out.extend_from_slice(bytes))?.then_some(out))
    }

    /// Unpacks a part piece by piece. Gives whether there is such a part.
    ///
    /// # Errors
    /// Where it does not unpack to what the directory says; pieces given by then prove nothing.
    pub fn stream(&self, name: &str, mut sink: impl FnMut(&[u8])) -> Result<bool, Unreadable> {
        let Some(entry) = self.entries.get(name) else { return Ok(false) };
        let mut crc = Crc::new();
        let mut take = |bytes: &[u8]| {
            self.patience()?;
            crc.update(bytes);
            sink(bytes);
            Ok(())
        };
        if entry.deflated {
            inflate(entry, name, &mut take)?;
        } else {
            entry.packed.chunks(PIECE_BYTES).try_for_each(&mut take)?;
        }
        if crc.sum() == entry.crc {
            Ok(true)
        } else {
            Err(Unreadable::new("damaged-part", format!("{name}: another checksum")))
        }
    }
}

/// Bytes given on at a time.
const PIECE_BYTES: usize = 32 << 10;

fn inflate(
    entry: &Entry<'_>,
    name: &str,
    take: &mut impl FnMut(&[u8]) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let damaged = |why: &str| Unreadable::new("damaged-part", format!("{name}: {why}"));
    let mut inflater = Decompress::new(false);
    let mut buffer = vec![0u8; PIECE_BYTES];
    loop {
        let consumed = usize::try_from(inflater.total_in()).map_err(|_| damaged("too long"))?;
        let rest = entry.packed.get(consumed..).unwrap_or_default();
        let before = inflater.total_out();
        let status =
            inflater.decompress(rest, &mut buffer, FlushDecompress::None).map_err(|_| damaged("does not unpack"))?;
        let written = usize::try_from(inflater.total_out().saturating_sub(before)).unwrap_or(usize::MAX);
        if inflater.total_out() > u64::from(entry.size) {
            return Err(damaged("unpacks to more than it states"));
        }
        take(buffer.get(..written).unwrap_or_default())?;
        let all_read = usize::try_from(inflater.total_in()).is_ok_and(|read| read == entry.packed.len());
        match status {
            Status::StreamEnd if all_read && inflater.total_out() == u64::from(entry.size) => return Ok(()),
            Status::StreamEnd => return Err(damaged("another size than it states")),
            Status::Ok if written > 0 || !all_read && consumed as u64 != inflater.total_in() => {}
            _ => return Err(damaged("ends in the middle")),
        }
    }
}

/// The directory's rows, and where it begins.
fn directory<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Vec<Row<'a>>, usize), Unreadable> {
    let bad = |why: &str| Unreadable::new("bad-directory", why);
    let end_at = bytes.len().checked_sub(22).ok_or_else(|| bad("shorter than any ZIP file"))?;
    let end = Fields(bytes.get(end_at..).unwrap_or_default());
    if end.u32(0) != Some(END) {
        return Err(bad("the file does not end with the directory's end: bytes follow it, or a comment"));
    }
    let (count, size, offset) = (end.u16(10), end.u32(12), end.u32(16));
    let (Some(count), Some(size), Some(offset)) = (count, size, offset) else { return Err(bad("cut short")) };
    if end.u16(4) != Some(0) || end.u16(6) != Some(0) || end.u16(8) != Some(count) || end.u16(20) != Some(0) {
        return Err(bad("of several volumes, or with a comment"));
    }
    if usize::from(count) > limits.entries || count == u16::MAX || offset == ZIP64_MARK {
        return Err(Unreadable::new("too-many-entries", format!("{count} entries, at most {}", limits.entries)));
    }
    let (Ok(at), Ok(size)) = (usize::try_from(offset), usize::try_from(size)) else { return Err(bad("out of range")) };
    if at.checked_add(size) != Some(end_at) {
        return Err(bad("not between the entries and the file's end"));
    }
    let mut rest = bytes.get(at..end_at).ok_or_else(|| bad("out of range"))?;
    let mut rows = Vec::new();
    for _ in 0..count {
        let (row, after) = row(rest).ok_or_else(|| bad("a row cut short"))??;
        rows.push(row);
        rest = after;
    }
    if rest.is_empty() { Ok((rows, at)) } else { Err(bad("more rows than it states")) }
}

fn row(bytes: &[u8]) -> Option<Result<(Row<'_>, &[u8]), Unreadable>> {
    let fields = Fields(bytes);
    if fields.u32(0)? != CENTRAL {
        return Some(Err(Unreadable::new("bad-directory", "not a row of a directory")));
    }
    let lengths = [fields.u16(28)?, fields.u16(30)?, fields.u16(32)?].map(usize::from);
    let [name_length, extra_length, comment_length] = lengths;
    let name = bytes.get(46..)?.get(..name_length)?;
    let extra = bytes.get(46 + name_length..)?.get(..extra_length)?;
    let after = bytes.get(46 + name_length + extra_length + comment_length..)?;
    let row = Row {
        flags: fields.u16(8)?,
        method: fields.u16(10)?,
        changed: fields.u32(12)?,
        crc: fields.u32(16)?,
        packed: fields.u32(20)?,
        size: fields.u32(24)?,
        offset: fields.u32(42)?,
        name,
    };
    let shown = String::from_utf8_lossy(name).into_owned();
    let mode = fields.u32(38)? >> 16;
    if fields.u16(34)? != 0 || [row.packed, row.size, row.offset].contains(&ZIP64_MARK) {
        return Some(Err(Unreadable::new("zip64", shown)));
    }
    if mode & 0xf000 == 0xa000 {
        return Some(Err(Unreadable::new("symbolic-link", shown)));
    }
    Some(match plain_extra(extra, &shown) {
        Ok(None) => Ok((row, after)),
        Ok(Some(_)) => Err(Unreadable::new("zip64", shown)),
        Err(error) => Err(error),
    })
}

/// Extra fields may hold times and owners; not another name. Gives the long sizes (unpacked, packed) where there are any.
fn plain_extra(mut extra: &[u8], name: &str) -> Result<Option<[u64; 2]>, Unreadable> {
    let mut long = None;
    while !extra.is_empty() {
        let fields = Fields(extra);
        let bad = || Unreadable::new("bad-extra-field", name);
        let (id, length) = fields.u16(0).zip(fields.u16(2)).ok_or_else(bad)?;
        let (value, next) =
            extra.get(4..).and_then(|rest| rest.split_at_checked(usize::from(length))).ok_or_else(bad)?;
        match id {
            0x0001 => {
                let number =
                    |at| value.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
                let (Some(size), Some(packed), None) = (number(0), number(8), long) else {
                    return Err(Unreadable::new("zip64", name));
                };
                long = Some([size, packed]);
            }
            0x7075 => return Err(Unreadable::new("second-name", name)),
            0x9901 | 0x0017 => return Err(Unreadable::new("encrypted", name)),
            _ => {}
        }
        extra = next;
    }
    Ok(long)
}

fn check_size(row: &Row<'_>, name: &str, total: u64, limits: &Limits) -> Result<(), Unreadable> {
    let size = u64::from(row.size);
    if row.flags & 0x2041 != 0 {
        return Err(Unreadable::new("encrypted", name));
    }
    if row.method != 0 && row.method != 8 {
        return Err(Unreadable::new("unknown-method", format!("{name}: method {}", row.method)));
    }
    if row.method == 0 && row.packed != row.size {
        return Err(Unreadable::new("bad-directory", format!("{name}: stored, yet of two sizes")));
    }
    if size > limits.part_bytes || total > limits.total_bytes {
        return Err(Unreadable::new("unpacks-too-large", format!("{name}: {size} bytes of {total} so far")));
    }
    if size > u64::from(row.packed).saturating_mul(limits.ratio) {
        return Err(Unreadable::new("unpacks-too-large", format!("{name}: {size} bytes out of {}", row.packed)));
    }
    Ok(())
}

/// The packed bytes behind a local header that says what the directory says, and where the next entry begins.
fn local<'a>(bytes: &'a [u8], at: usize, row: &Row<'_>, name: &str) -> Result<(&'a [u8], usize), Unreadable> {
    let differs = || Unreadable::new("two-headers-differ", name);
    let short = || Unreadable::new("bad-directory", format!("{name}: cut short"));
    let header = bytes.get(at..).ok_or_else(short)?;
    let fields = Fields(header);
    // Bits 1 and 2 say how hard the packer tried, bit 11 that the name is UTF-8, which it must be here: writers set them in one place.
    let flags = fields.u16(6).map(|flags| flags & !0x806);
    if fields.u32(0) != Some(LOCAL) || flags != Some(row.flags & !0x806) || fields.u16(8) != Some(row.method) {
        return Err(differs());
    }
    if fields.u32(10) != Some(row.changed) {
        return Err(differs());
    }
    let (name_length, extra_length) = fields.u16(26).zip(fields.u16(28)).ok_or_else(short)?;
    let (name_length, extra_length) = (usize::from(name_length), usize::from(extra_length));
    if header.get(30..).and_then(|rest| rest.get(..name_length)) != Some(row.name) {
        return Err(differs());
    }
    let extra = header.get(30 + name_length..).and_then(|rest| rest.get(..extra_length)).ok_or_else(short)?;
    let long = plain_extra(extra, name)?;
    let stated = [fields.u32(14), fields.u32(18), fields.u32(22)];
    let expected = [Some(row.crc), Some(row.packed), Some(row.size)];
    let deferred = row.flags & 8 != 0;
    // Writers that do not know the size beforehand put it in a ZIP64 field, however small: there too it must be the directory's.
    let agrees = match long {
        None => stated == expected || deferred && stated == [Some(0); 3],
        Some(long) => {
            long == [row.size, row.packed].map(u64::from)
                && stated == [Some(row.crc), Some(ZIP64_MARK), Some(ZIP64_MARK)]
        }
    };
    if !agrees {
        return Err(differs());
    }
    let begin = 30 + name_length + extra_length;
    let packed_length = usize::try_from(row.packed).map_err(|_| short())?;
    let rest = header.get(begin..).ok_or_else(short)?;
    let (packed, after) = rest.split_at_checked(packed_length).ok_or_else(short)?;
    let descriptor = if deferred { descriptor(after, row).ok_or_else(differs)? } else { 0 };
    Ok((packed, at + begin + packed_length + descriptor))
}

/// Length of the data descriptor, which must repeat the directory.
fn descriptor(after: &[u8], row: &Row<'_>) -> Option<usize> {
    let fields = Fields(after);
    let says = |at: usize| Some([fields.u32(at)?, fields.u32(at + 4)?, fields.u32(at + 8)?]);
    let expected = [row.crc, row.packed, row.size];
    if fields.u32(0) == Some(DESCRIPTOR) && says(4) == Some(expected) {
        return Some(16);
    }
    (says(0) == Some(expected)).then_some(12)
}

/// Names met so far.
#[derive(Default)]
struct Names {
    folded: BTreeSet<String>,
    parts: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Names {
    /// A name that is one thing to every reader, and new.
    fn admit(&mut self, row: &Row<'_>) -> Result<String, Unreadable> {
        let shown = || String::from_utf8_lossy(row.name).into_owned();
        let name = std::str::from_utf8(row.name)
            .map_err(|_| Unreadable::new("bad-name", format!("not UTF-8: {}", shown())))?;
        let path = name.strip_suffix('/').unwrap_or(name);
        let bad_character = |c: char| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        let bad_segment =
            |s: &str| s.is_empty() || s == "." || s == ".." || s.ends_with([' ', '.']) || s.starts_with(' ');
        if name.len() > 1_024 || name.contains(bad_character) || path.split('/').any(bad_segment) {
            return Err(Unreadable::new("bad-name", shown()));
        }
        let folded = path.to_lowercase();
        if !self.folded.insert(folded.clone()) {
            return Err(Unreadable::new("name-stands-twice", shown()));
        }
        let is_folder = name.ends_with('/');
        let above = folded.match_indices('/').filter_map(|(at, _)| folded.get(..at));
        let mut clash = !is_folder && self.folders.contains(&folded);
        for folder in above.chain(is_folder.then_some(folded.as_str())) {
            clash |= self.parts.contains(folder);
            self.folders.insert(folder.to_owned());
        }
        if clash {
            return Err(Unreadable::new("name-stands-twice", format!("{} is a part and a folder", shown())));
        }
        if !is_folder {
            self.parts.insert(folded);
        }
        Ok(name.to_owned())
    }
}

/// Little-endian numbers at an offset, where the bytes reach.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        self.0.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = include_bytes!("../../tests/samples/ofd/v4signed.ofd");

    #[test]
    fn every_part_of_a_real_file_unpacks_to_what_the_directory_says() {
        let container = Container::open(SIGNED, &LIMITS).unwrap();
        assert_eq!(container.parts().count(), 16);
        for part in container.parts() {
            let bytes = container.read(part).unwrap().unwrap();
            assert_eq!(container.size(part), Some(bytes.len() as u64));
        }
        assert_eq!(container.read("absent"), Ok(None));
    }

    #[test]
    fn no_byte_around_the_parts_can_be_added_or_lost() {
        let open = |bytes: &[u8]| Container::open(bytes, &LIMITS).map(|_| ()).map_err(|e| e.reason);
        assert_eq!(open(&[SIGNED, b"x"].concat()), Err("bad-directory"));
        assert_eq!(open(&[b"x", SIGNED].concat()), Err("not-a-container"));
        assert_eq!(open(&SIGNED[..SIGNED.len() - 1]), Err("bad-directory"));
        assert_eq!(open(b"PK\x03\x04"), Err("bad-directory"));
        assert_eq!(open(b""), Err("not-a-container"));
        let tiny = Limits { entries: 15, ..LIMITS };
        assert_eq!(Container::open(SIGNED, &tiny).map(|_| ()).map_err(|e| e.reason), Err("too-many-entries"));
        let small = Limits { total_bytes: 10_000, ..LIMITS };
        assert_eq!(Container::open(SIGNED, &small).map(|_| ()).map_err(|e| e.reason), Err("unpacks-too-large"));
    }
}
