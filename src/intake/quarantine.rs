//! Rows that were not taken: sealed, by number, with every reason and the row as the file has it.
use super::state::{Import, damaged};
use super::validate::Refused;
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::record::{FieldText, from_store};
use crate::store::vault::Class;
use crate::store::{Direction, Key, KeyRange, key_space};
use crate::wire::proto::intake::v1::{QuarantinedRow, RowFault};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeSet;

/// Faults kept of one row; whoever has more has enough to begin with.
const FAULTS_MAX: usize = 40;
/// Bytes kept of a row's values.
const RAW_BYTES_MAX: usize = 32 << 10;
/// Refused rows of a progress message.
const FIRST_ROWS: usize = 20;
/// Numbers read ahead while applying.
const NUMBERS_AHEAD: usize = 500;

/// What is stored of a refused row. Tags are stored for ever.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(message, optional, tag = "1")]
    refused: Option<QuarantinedRow>,
    #[prost(message, repeated, tag = "2")]
    raw: Vec<FieldText>,
}

/// A refused row as it is stored.
pub(super) fn sealed(
    exchange: &Exchange,
    import: &Import,
    row: u64,
    refused: Refused,
) -> Result<(Key, Bytes), Failure> {
    let mut room = RAW_BYTES_MAX;
    let mut raw = Vec::new();
    for (name, value) in refused.raw {
        let take = value.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last();
        let value = value.get(..take.unwrap_or(0)).unwrap_or_default().to_owned();
        room = room.saturating_sub(name.len() + value.len());
        raw.push(FieldText { name, value });
    }
    let faults: Vec<RowFault> = refused.faults.into_iter().take(FAULTS_MAX).collect();
    let kept = Kept { refused: Some(QuarantinedRow { row, faults }), raw };
    let key = key_space::quarantine(&import.id.0, row);
    let sealed = exchange.vault.seal_row(Class::Imports, 1, key.as_bytes(), &kept.encode_to_vec());
    Ok((key, sealed.map_err(|e| Failure::new(Reason::Internal).because(e))?))
}

/// Refused rows after a number, at most `limit`, and whether there are more.
pub(super) async fn list(
    exchange: &Exchange,
    import: &Import,
    after: u64,
    limit: usize,
) -> Result<(Vec<QuarantinedRow>, bool), Failure> {
    let mut found = Vec::new();
    let mut rest = after.checked_add(1).map(|first| from_row(import, first));
    let snapshot = exchange.store.snapshot().await.map_err(from_store)?;
    while let Some(range) = rest {
        let page = snapshot.scan(range, Direction::Forward, limit.saturating_add(1)).await.map_err(from_store)?;
        for (key, value) in page.rows {
            if found.len() == limit {
                return Ok((found, true));
            }
            let plain = exchange.vault.open_row(Class::Imports, 1, key.as_bytes(), &value.body).map_err(damaged)?;
            found.extend(Kept::decode(plain.as_slice()).map_err(damaged)?.refused);
        }
        rest = page.next;
    }
    Ok((found, false))
}

/// The first refused rows, for a report.
pub(super) async fn first(exchange: &Exchange, import: &Import) -> Result<Vec<QuarantinedRow>, Failure> {
    Ok(list(exchange, import, 0, FIRST_ROWS).await?.0)
}

fn from_row(import: &Import, row: u64) -> KeyRange {
    key_space::quarantined(&import.id.0).from_key(&key_space::quarantine(&import.id.0, row))
}

/// The numbers of refused rows, asked in ascending order while a file is gone through again.
pub(super) struct Numbers {
    ahead: BTreeSet<u64>,
    /// All numbers up to this one have been read.
    read_to: u64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { ahead: BTreeSet::new(), read_to: 0 }
    }

    /// Whether a row was refused. Numbers must ascend from call to call.
    pub(super) async fn holds(&mut self, exchange: &Exchange, import: &Import, row: u64) -> Result<bool, Failure> {
        while row > self.read_to {
            let first = self.read_to.max(row.saturating_sub(1)).saturating_add(1);
            let snapshot = exchange.store.snapshot().await.map_err(from_store)?;
            let scan = snapshot.scan(from_row(import, first), Direction::Forward, NUMBERS_AHEAD);
            let page = scan.await.map_err(from_store)?;
            self.ahead =
                page.rows.iter().filter_map(|(key, _)| key_space::parse_quarantine(key)).map(|(_, n)| n).collect();
            self.read_to = match (page.next.is_some(), self.ahead.last()) {
                (true, Some(last)) => *last,
                _ => u64::MAX,
            };
        }
        Ok(self.ahead.contains(&row))
    }
}
