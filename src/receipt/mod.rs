//! Our word on an answer: statements, evidence, trust files, and the one verifier.
//!
//! What this room promises: evidence it calls good was recorded by a log the verifier itself trusts, byte for byte as handed
//! over. It knows nothing of the store or the network, and reads no clock.
pub mod canonical; // protobuf bytes that can be written in one way only
pub mod evidence; // an answer with its receipt, as a file
pub mod json; // canonical JSON, written by hand so that it is one form
pub mod question; // which question stands behind a kind, and what it echoes
pub mod readable; // any of our messages as JSON for people
pub mod report; // `wuku verify` and `wuku-verify`
pub mod statement; // what is hashed, and what a statement must look like
pub mod trust; // the verifier's own list of logs and keys
pub mod verify; // the one verifier

pub use crate::wire::proto::receipt::v1::{Evidence, Kind, Outcome, PublicEvent, Receipt, Statement};
pub use trust::Trust;
pub use verify::{Options, Step, Verdict, verify};

#[cfg(feature = "hub")]
pub mod access; // who looked at a subject
#[cfg(feature = "hub")]
pub mod fsck; // the whole store against the log
#[cfg(feature = "hub")]
pub mod head; // how far the log goes
#[cfg(feature = "hub")]
pub mod proofs; // entries and proofs for outsiders
#[cfg(feature = "hub")]
pub mod publisher; // the checkpoint outsiders fetch, read back first
#[cfg(feature = "hub")]
pub mod recorder; // from a finding to a recorded answer
#[cfg(feature = "hub")]
pub mod recover; // a new log after a loss
#[cfg(feature = "hub")]
pub mod seal_uses; // who used a seal
#[cfg(feature = "hub")]
pub mod sequencer;
#[cfg(feature = "hub")]
pub mod start;
#[cfg(feature = "hub")]
pub mod tally; // the one task that appends // store, fence and key compared before anything is answered

#[cfg(test)]
#[cfg(feature = "hub")]
pub(crate) mod house; // a hub for this room's tests
