//! Bytes that survive a crash.
//!
//! One contract for every engine ([`Store`], [`Snapshot`]), limits and versions enforced in one wrapper ([`Limited`]),
//! one enum of every key prefix ([`key_space`]), one suite that each engine runs. This room knows nothing of records,
//! licences or receipts: it keeps rows, and [`vault`] keeps them unreadable to who holds only the disk.
mod contract; // what every engine promises
mod epoch; // what stands still between two snapshots
mod kek; // the key that wraps the others
mod limited; // the wrapper that makes engines alike

mod aead; // ciphers and keyed hashes of the two suites
pub mod backup; // a copy that says what it holds
pub mod faulty; // fails when told to, for tests
pub mod fence; // how far the log had come, on another path
pub mod key_space; // every key prefix, its bytes never changed
pub mod memory; // for tests
pub mod rewrap; // another key-encryption key
pub mod rocks; // on one machine
pub mod space; // who may still write when the disk gets full
pub mod vault; // no plain value on disk, no plain identity number in a key
pub mod wal; // the engine's log files: an unfinished tail, or damage inside

#[cfg(test)]
pub mod conformance; // what every engine must pass

pub use contract::{
    Admitted, Batch, BatchId, BatchOutcome, Check, CommitError, Direction, Engine, Key, KeyRange, Page, Snapshot,
    Store, StoreError, Versioned,
};
pub use epoch::Epoch;
pub use limited::Limited;
