//! The one history: an RFC 9162 tree over the hub's entries, its checkpoints, and the proofs outsiders check.
//!
//! Pure: no store, no network, no clock, no protobuf. Generic over the [`Suite`] (hash and signature), so that a hub of the
//! `sm2` suite runs the same code. What this room promises: a proof it accepts is exactly as long as index and size
//! prescribe, and a checkpoint it accepts is byte for byte what was signed.
pub mod checkpoint; // origin, size, root: what a hub signs
pub mod entry; // the bytes of one leaf
pub mod key; // the private key that signs checkpoints; the only file that holds one
pub mod merkle; // the tree: append, prove, verify
pub mod note; // C2SP signed notes and their keys
pub mod origin; // names of hubs and logs
pub mod proof; // which stored hashes make up a proof
pub mod suite; // hash and signature
pub mod tiles; // the tree cut into pieces of 256 hashes

pub use checkpoint::Checkpoint;
pub use entry::Entry;
pub use key::LogKey;
pub use merkle::{Frontier, NodeId};
pub use note::VerifierKey;
pub use origin::{HubName, Origin};
pub use suite::{Ed25519, Hash, Sm2, Suite, SuiteName, in_suite};
