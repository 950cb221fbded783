//! The bytes of one leaf.
//!
//! `0x01 ‖ time_s u64 ‖ C` (41 bytes) for a statement, where `C = H("wuku/statement/v1" ‖ 0x00 ‖ salt[32] ‖ statement)`;
//! `0x02 ‖ time_s u64 ‖ PublicEvent` for housekeeping that outsiders must read. All integers big-endian.
//! Without the salt a neighbour in the batch could guess low-entropy content from a sibling hash.

use super::suite::{Hash, Suite};
use crate::limits::PUBLIC_EVENT_BYTES_MAX;

/// Bytes of the secret salt of a commitment.
pub const SALT_BYTES: usize = 32;
/// Bytes of a statement's entry.
pub const STATEMENT_ENTRY_BYTES: usize = 41;

const TAG_STATEMENT: u8 = 0x01;
const TAG_PUBLIC: u8 = 0x02;
/// Tag and time.
const HEAD_BYTES: usize = 9;

/// One entry of the log. Its time is set by the sequencer and stands nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The commitment to a statement.
    Statement {
        /// Unix seconds.
        time_s: u64,
        /// [`commitment`] of salt and statement.
        commitment: Hash,
    },
    /// Canonical bytes of a `wuku.receipt.v1.PublicEvent`, in clear. Whether they are canonical is for `receipt` to say.
    Public {
        /// Unix seconds.
        time_s: u64,
        /// The event.
        event: Vec<u8>,
    },
}

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Neither tag, or a statement's entry that is not 41 bytes long.
    #[error("not a log entry")]
    Malformed,
    /// A public entry longer than the limit (it would not fit an entry bundle).
    #[error("public entry longer than {PUBLIC_EVENT_BYTES_MAX} bytes")]
    TooLong,
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`] when the bytes are no entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(EntryError::Malformed)?;
        let [tag, time @ ..] = *head;
        let time_s = u64::from_be_bytes(time);
        match tag {
            TAG_STATEMENT => {
                let commitment = rest.try_into().map_err(|_| EntryError::Malformed)?;
                Ok(Self::Statement { time_s, commitment })
            }
            TAG_PUBLIC if bytes.len() > PUBLIC_EVENT_BYTES_MAX => Err(EntryError::TooLong),
            TAG_PUBLIC => Ok(Self::Public { time_s, event: rest.to_vec() }),
            _ => Err(EntryError::Malformed),
        }
    }

    /// The entry's bytes, which are hashed and stored.
    ///
    /// # Errors
    /// [`EntryError::TooLong`] for a public event over the limit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let (tag, time_s, body) = match self {
            Self::Statement { time_s, commitment } => (TAG_STATEMENT, time_s, commitment.as_slice()),
            Self::Public { time_s, event } => (TAG_PUBLIC, time_s, event.as_slice()),
        };
        let bytes = [&[tag], time_s.to_be_bytes().as_slice(), body].concat();
        if bytes.len() > PUBLIC_EVENT_BYTES_MAX { Err(EntryError::TooLong) } else { Ok(bytes) }
    }

    /// When it entered the log, Unix seconds.
    #[must_use]
    pub const fn time_s(&self) -> u64 {
        match self {
            Self::Statement { time_s, .. } | Self::Public { time_s, .. } => *time_s,
        }
    }
}

/// The entry of a statement: time and commitment, 41 bytes.
#[must_use]
pub fn statement_entry(time_s: u64, commitment: &Hash) -> [u8; STATEMENT_ENTRY_BYTES] {
    let mut bytes = [0; STATEMENT_ENTRY_BYTES];
    let parts = [TAG_STATEMENT].into_iter().chain(time_s.to_be_bytes()).chain(*commitment);
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    bytes
}

/// The commitment `C` to a statement under its salt.
#[must_use]
pub fn commitment<S: Suite>(salt: &[u8; SALT_BYTES], statement: &[u8]) -> Hash {
    S::hash(&[b"wuku/statement/v1\0", salt, statement])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Ed25519;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is_read() {
        let c = commitment::<Ed25519>(&[7; 32], b"statement");
        let entry = Entry::Statement { time_s: 1_700_000_000, commitment: c };
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(bytes, statement_entry(1_700_000_000, &c));
        assert_eq!(Entry::parse(&bytes), Ok(entry));
        let public = Entry::Public { time_s: 9, event: b"\x08\x01".to_vec() };
        assert_eq!(Entry::parse(&public.to_bytes().unwrap()), Ok(public));

        assert_eq!(Entry::parse(&bytes[..40]), Err(EntryError::Malformed));
        assert_eq!(Entry::parse(&[bytes.as_slice(), &[0]].concat()), Err(EntryError::Malformed));
        assert_eq!(Entry::parse(&[3; 41]), Err(EntryError::Malformed));
        assert_eq!(Entry::parse(&[2; 8]), Err(EntryError::Malformed));
        let long = Entry::Public { time_s: 0, event: vec![0; PUBLIC_EVENT_BYTES_MAX - 8] };
        assert_eq!(long.to_bytes(), Err(EntryError::TooLong));
        assert_eq!(Entry::parse(&vec![2; PUBLIC_EVENT_BYTES_MAX + 1]), Err(EntryError::TooLong));
    }

    #[test]
    fn another_salt_gives_another_commitment() {
        assert_ne!(commitment::<Ed25519>(&[0; 32], b"s"), commitment::<Ed25519>(&[1; 32], b"s"));
    }
}
