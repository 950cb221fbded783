//! The file's keys in order, without holding them all: sorted runs in the store, merged when they are read.
//!
//! An entry is `index key[16] ‖ (row number << 2 | class) u64`, so that byte order is key order, then row order. Keys are keyed
//! hashes; the rows are sealed all the same, since which records a file names is nobody's business.
use super::stage::{FIRST_RUN_PART, read_parts, sealed_part};
use super::state::{Import, Run, damaged};
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::receipt::sequencer::Unit;
use crate::store::key_space::IndexKey;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const ENTRY_BYTES: usize = 24;
/// Entries sorted in memory at once: 6 MiB.
const RUN_ENTRIES: usize = 1 << 18;
/// Entries of one stored row.
const ROW_ENTRIES: usize = 2_000;
/// Rows of one commit.
const ROWS_A_COMMIT: usize = 16;

/// What a row of the file means for what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// What is held already.
    Same = 0,
    /// A record that is not held.
    New = 1,
    /// Another version of one that is.
    Changed = 2,
    /// Not taken, but its key is known.
    Refused = 3,
}

/// One row of the file by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: IndexKey,
    pub(super) row: u64,
    pub(super) class: Class,
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        let (key, row) = out.split_at_mut(16);
        key.copy_from_slice(&self.key.0);
        row.copy_from_slice(&((self.row << 2) | self.class as u64).to_be_bytes());
        out
    }

    fn parse(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (key, row) = bytes.split_first_chunk::<16>()?;
        let row = u64::from_be_bytes(row.try_into().ok()?);
        let class = match row & 3 {
            0 => Class::Same,
            1 => Class::New,
            2 => Class::Changed,
            _ => Class::Refused,
        };
        Some(Self { key: IndexKey(*key), row: row >> 2, class })
    }
}

/// Collects entries and stores them in sorted runs.
#[derive(Default)]
pub(super) struct Writer {
    entries: Vec<[u8; ENTRY_BYTES]>,
    next_row: u32,
    runs: Vec<Run>,
}

impl Writer {
    /// Takes an entry.
    pub(super) async fn push(&mut self, exchange: &Exchange, import: &Import, entry: Entry) -> Result<(), Failure> {
        self.entries.push(entry.to_bytes());
        if self.entries.len() >= RUN_ENTRIES { self.flush(exchange, import).await } else { Ok(()) }
    }

    /// Stores what is left; gives the runs.
    pub(super) async fn finish(mut self, exchange: &Exchange, import: &Import) -> Result<Vec<Run>, Failure> {
        self.flush(exchange, import).await?;
        Ok(self.runs)
    }

    async fn flush(&mut self, exchange: &Exchange, import: &Import) -> Result<(), Failure> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable();
        let first = self.next_row;
        let rows: Vec<&[[u8; ENTRY_BYTES]]> = entries.chunks(ROW_ENTRIES).collect();
        for rows in rows.chunks(ROWS_A_COMMIT) {
            let mut unit = Unit::default();
            for row in rows {
                let part = FIRST_RUN_PART.saturating_add(self.next_row);
                unit.puts.push(sealed_part(exchange, import, part, row.as_flattened())?);
                self.next_row = self.next_row.saturating_add(1);
            }
            import.commit_beside(exchange.recorder.ledger(), unit).await?;
        }
        if self.next_row > first {
            self.runs.push(Run { first, rows: self.next_row - first });
        }
        entries.clear();
        self.entries = entries; // its room is used again
        Ok(())
    }
}

/// Reads all runs as one sorted sequence.
pub(super) struct Reader {
    runs: Vec<Cursor>,
    /// The first entry of each run that is not at its end.
    heads: BinaryHeap<Reverse<([u8; ENTRY_BYTES], usize)>>,
}

struct Cursor {
    next: u32,
    end: u32,
    entries: std::vec::IntoIter<[u8; ENTRY_BYTES]>,
}

impl Reader {
    /// Begins at the smallest key.
    pub(super) async fn open(exchange: &Exchange, import: &Import, runs: &[Run]) -> Result<Self, Failure> {
        let cursor = |run: &Run| Cursor {
            next: run.first,
            end: run.first.saturating_add(run.rows),
            entries: Vec::new().into_iter(),
        };
        let mut reader = Self { runs: runs.iter().map(cursor).collect(), heads: BinaryHeap::new() };
        for run in 0..reader.runs.len() {
            reader.advance(exchange, import, run).await?;
        }
        Ok(reader)
    }

    /// The next entry in order.
    pub(super) async fn next(&mut self, exchange: &Exchange, import: &Import) -> Result<Option<Entry>, Failure> {
        let Some(Reverse((entry, run))) = self.heads.pop() else { return Ok(None) };
        self.advance(exchange, import, run).await?;
        Entry::parse(&entry).map(Some).ok_or_else(|| damaged("a run entry"))
    }

    async fn advance(&mut self, exchange: &Exchange, import: &Import, run: usize) -> Result<(), Failure> {
        let Some(cursor) = self.runs.get_mut(run) else { return Ok(()) };
        let mut entry = cursor.entries.next();
        if entry.is_none() && cursor.next < cursor.end {
            let part = FIRST_RUN_PART.saturating_add(cursor.next);
            let rows = read_parts(exchange, import, &[part]).await?;
            cursor.next = cursor.next.saturating_add(1);
            let (entries, rest) = rows.first().map_or((&[][..], &[][..]), |row| row.as_chunks::<ENTRY_BYTES>());
            if !rest.is_empty() {
                return Err(damaged("a run row of a strange length"));
            }
            cursor.entries = Vec::from(entries).into_iter();
            entry = cursor.entries.next();
        }
        if let Some(entry) = entry {
            self.heads.push(Reverse((entry, run)));
        }
        Ok(())
    }
}
