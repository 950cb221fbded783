//! The engine's log files, read by ourselves, because two things must be told apart that the engine cannot tell:
//!
//! - an **unfinished tail**: the write that was under way when the power went. It was never acknowledged; nothing after it reads;
//! - **damage inside**: a record that no longer reads while a later one does. The later one was begun after the earlier had been
//!   synced, so the earlier was acknowledged, and a hub that opens without it has forgotten.
//!
//! RocksDB takes a record whose length was damaged for an unfinished tail when it stands in the last block, and steps over a zeroed
//! header to the next block; both in silence, and what it then recovers it rewrites. So this is looked at before it opens.
//!
//! Format (RocksDB wiki, "Write Ahead Log File Format"; the same for the manifest): blocks of 32 KiB; in them fragments
//! `crc32c u32 ‖ length u16 ‖ type u8 ‖ payload`, all little-endian, the checksum masked and over type and payload; fewer than seven
//! bytes at a block's end are filling. A record is one fragment of type 1, or 2 (first), 3 (middle) …, 4 (last).
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
const CRC_DELTA: u32 = 0xa282_ead8;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// Types from here on may be skipped by who does not know them.
const IGNORABLE: u8 = 0x80;
/// Types that the engine writes into recycled files only, which ours never are (`db/log_format.h`).
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// How a log file reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Record after record, up to the end.
    Whole,
    /// From this byte on nothing reads: what a write leaves that was cut off.
    Torn {
        /// Where the record begins that does not read.
        at: u64,
    },
    /// A record does not read, and a later one does.
    Damaged {
        /// Where the one begins that does not.
        at: u64,
        /// Where the next one begins that does.
        next: u64,
    },
}

/// A log file that is damaged inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// Where the record begins that does not read.
    pub at: u64,
    /// Where the next one begins that does.
    pub next: u64,
}

/// A log file that does not read from some byte to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Which file.
    pub file: PathBuf,
    /// From where on.
    pub at: u64,
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from byte {} on", self.file.display(), self.at)
    }
}

/// What the manifest and the log files of a data folder show before the engine opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The first file that is damaged inside; an unfinished tail is none.
    pub damage: Option<Damage>,
    /// The first place at which the engine would read for ever: one changed bit made a fragment one of a recycled file. In a file that
    /// is none the engine takes it for a bad record and does not step over it (facebook/rocksdb#13333).
    pub endless: Option<Tail>,
}

/// Reads them once.
///
/// # Errors
/// A file that cannot be read. One that vanishes meanwhile is passed over: a running hub removes what it no longer needs.
pub fn look(folder: &Path) -> io::Result<Look> {
    let mut look = Look::default();
    for file in manifest(folder).into_iter().chain(log_files(folder)?) {
        let (reading, endless) = match File::open(&file).and_then(walk) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            walked => walked?,
        };
        if let (None, Some(at)) = (&look.endless, endless) {
            look.endless = Some(Tail { file: file.clone(), at });
        }
        if let (None, Reading::Damaged { at, next }) = (&look.damage, reading) {
            look.damage = Some(Damage { file, at, next });
        }
    }
    Ok(look)
}

/// The unfinished tails of a folder: of its newest log file that is not empty, and of its manifest. A write that was under way is
/// in one of them, or in both.
///
/// # Errors
/// A file that cannot be read.
pub fn unfinished_tails(folder: &Path) -> io::Result<Vec<Tail>> {
    let mut tails = Vec::new();
    let mut newest = None;
    for file in log_files(folder)? {
        if fs::metadata(&file)?.len() > 0 {
            newest = Some(file); // an empty one was made, and the power went before anything was written
        }
    }
    for file in newest.into_iter().chain(manifest(folder)) {
        if let Reading::Torn { at } = examine(File::open(&file)?)? {
            tails.push(Tail { file, at });
        }
    }
    Ok(tails)
}

/// Reads a log file to its end.
///
/// # Errors
/// When it cannot be read.
pub fn examine(file: impl Read) -> io::Result<Reading> {
    walk(file).map(|(reading, _)| reading)
}

/// How a file reads, and where the engine would not get further.
fn walk(mut file: impl Read) -> io::Result<(Reading, Option<u64>)> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut walk = Walk::default();
    let mut offset = 0_u64;
    loop {
        block.clear();
        let read = file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if let Some(next) = walk.block(offset, &block) {
            return Ok((Reading::Damaged { at: walk.bad.unwrap_or_default(), next }, walk.endless));
        }
        offset = offset.saturating_add(read as u64);
        if read < BLOCK_BYTES {
            // A record whose last fragment never came is unfinished too.
            let reading = walk.bad.or(walk.record).map_or(Reading::Whole, |at| Reading::Torn { at });
            return Ok((reading, walk.endless));
        }
    }
}

/// Where a file's reading stands.
#[derive(Default)]
struct Walk {
    /// Where the record began of which more fragments are to come.
    record: Option<u64>,
    /// Where the first record begins that does not read.
    bad: Option<u64>,
    /// Where the fragment stands that does not read and calls itself one of a recycled file.
    endless: Option<u64>,
}

impl Walk {
    /// One block. Gives where a record begins that reads although one before it does not.
    fn block(&mut self, offset: u64, block: &[u8]) -> Option<u64> {
        let mut at = 0;
        while self.bad.is_none() {
            let rest = block.get(at..).filter(|rest| !rest.is_empty())?;
            if rest.len() < HEADER_BYTES && BLOCK_BYTES.saturating_sub(at) < HEADER_BYTES {
                return None; // filling
            }
            let here = offset.saturating_add(at as u64);
            let fragment = fragment(rest);
            let fits = match fragment {
                Some((FULL | FIRST, _)) => self.record.is_none(),
                Some((MIDDLE | LAST, _)) => self.record.is_some(),
                Some((kind, _)) => kind >= IGNORABLE,
                None => false,
            };
            match fragment.filter(|_| fits) {
                None => {
                    self.bad = Some(self.record.unwrap_or(here));
                    self.endless = rest.get(HEADER_BYTES - 1).filter(|kind| RECYCLED.contains(kind)).map(|_| here);
                }
                Some((kind, bytes)) => {
                    match kind {
                        FIRST => self.record = Some(here),
                        LAST => self.record = None,
                        _ => {}
                    }
                    at = at.saturating_add(bytes);
                    continue;
                }
            }
            // A beginning where none should be is itself a later record.
            if matches!(fragment, Some((FULL | FIRST, _))) {
                return Some(here);
            }
            at = at.saturating_add(1);
        }
        // The length cannot be trusted, so a later record may begin at any byte.
        (at..block.len())
            .find(
                |at| matches!(block.get(*at..).and_then(fragment), Some((FULL | FIRST, bytes)) if bytes > HEADER_BYTES),
            )
            .map(|at| offset.saturating_add(at as u64))
    }
}

/// The fragment at the beginning of what is left of a block: its type and how many bytes it takes. `None` where it does not read.
fn fragment(rest: &[u8]) -> Option<(u8, usize)> {
    let (header, payload) = rest.split_first_chunk::<HEADER_BYTES>()?;
    let [c0, c1, c2, c3, l0, l1, kind] = *header;
    if !matches!(kind, FULL..=LAST | IGNORABLE..) {
        return None;
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let sum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload.get(..length)?);
    let masked = sum.rotate_right(15).wrapping_add(CRC_DELTA);
    (masked == u32::from_le_bytes([c0, c1, c2, c3])).then_some((kind, HEADER_BYTES.saturating_add(length)))
}

/// The manifest that CURRENT names; a CURRENT that names none is the engine's to refuse.
fn manifest(folder: &Path) -> Option<PathBuf> {
    let current = fs::read_to_string(folder.join("CURRENT")).ok()?;
    let name = current.strip_suffix('\n').filter(|name| name.starts_with("MANIFEST-") && !name.contains('/'))?;
    Some(folder.join(name))
}

/// The log files of a folder, oldest first.
fn log_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|end| end == "log")) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// An unfinished tail that was cut off, its bytes kept in a file beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What it was; its file ends at its beginning now.
    pub tail: Tail,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// Where they are kept.
    pub kept: PathBuf,
}

impl Cut {
    /// Cuts a tail off. The bytes are durable in the other file before they leave this one: a crash leaves them in both, or in the
    /// other only.
    ///
    /// # Errors
    /// The disk's.
    pub fn make(tail: Tail) -> io::Result<Self> {
        let mut name = tail.file.as_os_str().to_owned();
        name.push(format!(".cut-{}", tail.at));
        let kept = PathBuf::from(name);
        let mut log = OpenOptions::new().read(true).write(true).open(&tail.file)?;
        log.seek(SeekFrom::Start(tail.at))?;
        let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&kept)?;
        let bytes = io::copy(&mut log, &mut copy)?;
        copy.sync_all()?;
        sync_folder_of(&tail.file)?;
        log.set_len(tail.at)?;
        log.sync_all()?;
        Ok(Self { tail, bytes, kept })
    }

    /// Puts the bytes back: everything is as it was.
    ///
    /// # Errors
    /// The disk's; the bytes are still in [`Cut::kept`] then.
    pub fn undo(self) -> io::Result<()> {
        let mut log = OpenOptions::new().write(true).open(&self.tail.file)?;
        log.seek(SeekFrom::Start(self.tail.at))?;
        io::copy(&mut File::open(&self.kept)?, &mut log)?;
        log.sync_all()?;
        fs::remove_file(&self.kept)?;
        sync_folder_of(&self.tail.file)
    }
}

fn sync_folder_of(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log file of these records, as RocksDB writes it.
    fn log(records: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for record in records {
            let mut rest = record.as_slice();
            let mut first = true;
            loop {
                let left = BLOCK_BYTES - file.len() % BLOCK_BYTES;
                if left < HEADER_BYTES {
                    file.resize(file.len() + left, 0);
                    continue;
                }
                let (now, later) = rest.split_at(rest.len().min(left - HEADER_BYTES));
                let kind = match (first, later.is_empty()) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                let sum = crc32c::crc32c(&[&[kind], now].concat()).rotate_right(15).wrapping_add(CRC_DELTA);
                file.extend_from_slice(&sum.to_le_bytes());
                file.extend_from_slice(&u16::try_from(now.len()).unwrap().to_le_bytes());
                file.push(kind);
                file.extend_from_slice(now);
                (rest, first) = (later, false);
                if rest.is_empty() {
                    break;
                }
            }
        }
        file
    }

    fn read(bytes: &[u8]) -> Reading {
        examine(bytes).unwrap()
    }

    /// Three records, the middle one over four blocks: with its length, and where the second and third begin.
    fn three() -> (Vec<u8>, u64, u64) {
        let records = [vec![0x11; 1_000], vec![0x55; 70_000], vec![0x66; 500]];
        let second = log(&records[..1]).len() as u64;
        let third = log(&records[..2]).len() as u64;
        (log(&records), second, third)
    }

    #[test]
    fn a_file_of_whole_records_reads_whole() {
        assert_eq!(read(&three().0), Reading::Whole);
        assert_eq!(read(&[]), Reading::Whole);
        for filling in 0..2 * HEADER_BYTES {
            let file = log(&[vec![7; BLOCK_BYTES - HEADER_BYTES - filling], vec![8; 40]]);
            assert_eq!(read(&file), Reading::Whole, "{filling} bytes left in the first block");
        }
    }

    #[test]
    fn cut_anywhere_the_last_record_is_torn_and_never_damage() {
        let (file, second, third) = three();
        for length in (0..file.len()).step_by(211) {
            let at = length as u64;
            let expected = match at {
                at if at == 0 || at == second || at == third => Reading::Whole,
                at if at < second => Reading::Torn { at: 0 },
                at if at < third => Reading::Torn { at: second },
                _ => Reading::Torn { at: third },
            };
            assert_eq!(read(&file[..length]), expected, "cut at {length}");
        }
    }

    #[test]
    fn zeroes_at_the_end_are_a_torn_tail() {
        let (file, _, third) = three();
        let mut zeroed = file.clone();
        zeroed[usize::try_from(third).unwrap() + 100..].fill(0);
        assert_eq!(read(&zeroed), Reading::Torn { at: third });
        let longer = [file.as_slice(), &[0; 5_000]].concat();
        assert_eq!(read(&longer), Reading::Torn { at: file.len() as u64 });
    }

    #[test]
    fn pages_lost_in_the_middle_of_the_last_record_leave_a_torn_tail_though_later_fragments_read() {
        let (file, second, third) = three();
        let mut holed = file[..usize::try_from(third).unwrap()].to_vec();
        holed[40_960..45_056].fill(0);
        assert_eq!(read(&holed), Reading::Torn { at: second });
    }

    #[test]
    fn any_changed_bit_before_the_last_record_is_damage_inside() {
        let (file, second, third) = three();
        for byte in (0..usize::try_from(third).unwrap()).step_by(811).chain(0..8) {
            for bit in [0, 5, 7] {
                let mut changed = file.clone();
                changed[byte] ^= 1 << bit;
                let at = if (byte as u64) < second { 0 } else { second };
                match read(&changed) {
                    Reading::Damaged { at: found, next } => {
                        assert_eq!(found, at, "byte {byte}");
                        assert!(next == third || next == second, "byte {byte}: {next}");
                    }
                    other => panic!("byte {byte}, bit {bit}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_fragment_that_one_bit_made_one_of_a_recycled_file_is_told_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (file, second, third) = three();
        fs::write(folder.path().join("CURRENT"), "MANIFEST-000005\n").unwrap();
        // Full, first, middle in the next block, full at the end.
        for at in [0, second, BLOCK_BYTES as u64, third] {
            for name in ["MANIFEST-000005", "000007.log"] {
                let path = folder.path().join(name);
                let mut changed = file.clone();
                changed[usize::try_from(at).unwrap() + 6] ^= 1 << 2;
                fs::write(&path, &changed).unwrap();
                assert_eq!(look(folder.path()).unwrap().endless, Some(Tail { file: path.clone(), at }));
                fs::write(&path, &file).unwrap();
                assert_eq!(look(folder.path()).unwrap().endless, None);
            }
        }
        fs::write(folder.path().join("000007.log"), &file[..file.len() - 9]).unwrap();
        assert_eq!(look(folder.path()).unwrap().endless, None, "a write that was cut off is none");
    }

    #[test]
    fn a_zeroed_header_and_a_length_beyond_the_end_do_not_hide_what_follows() {
        let (file, second, _) = three();
        let mut zeroed = file;
        zeroed[..HEADER_BYTES].fill(0);
        assert_eq!(read(&zeroed), Reading::Damaged { at: 0, next: second });
        let records = [vec![0x11; 1_000], vec![0x55; 1_000], vec![0x66; 500]];
        let mut long = log(&records);
        let second = log(&records[..1]).len();
        long[second + 5] = 0x7f;
        let next = log(&records[..2]).len() as u64;
        assert_eq!(read(&long), Reading::Damaged { at: second as u64, next });
    }

    #[test]
    fn a_cut_keeps_what_it_takes_and_can_be_undone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("000007.log");
        let (mut bytes, _, third) = three();
        bytes[usize::try_from(third).unwrap() + 20] ^= 1;
        fs::write(&file, &bytes).unwrap();
        fs::write(folder.path().join("000009.log"), b"").unwrap();
        let tail = Tail { file: file.clone(), at: third };
        assert_eq!(unfinished_tails(folder.path()).unwrap(), std::slice::from_ref(&tail));
        assert_eq!(look(folder.path()).unwrap().damage, None);
        let cut = Cut::make(tail).unwrap();
        assert_eq!(cut.bytes, bytes.len() as u64 - third);
        assert_eq!(fs::read(&cut.kept).unwrap(), bytes[usize::try_from(third).unwrap()..]);
        assert_eq!(examine(File::open(&file).unwrap()).unwrap(), Reading::Whole);
        assert_eq!(unfinished_tails(folder.path()).unwrap(), []);
        let kept = cut.kept.clone();
        cut.undo().unwrap();
        assert_eq!(fs::read(&file).unwrap(), bytes);
        assert!(!kept.exists());
    }
}
