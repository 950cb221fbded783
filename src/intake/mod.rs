//! How data gets in: a source department's signed file, staged whole, checked whole, then applied in chunks.
//!
//! Promises: a file is in effect row by row exactly once, however often the hub or the sender dies; a row that is not taken is
//! kept aside with its number and every reason; nothing is in effect of a file whose bytes are not those its manifest names. Each
//! chunk is one change down [`crate::exchange`] like any other: there is no second way to a record.
//!
//! What a file is depends on its resource's library. Rows of the population, legal-entity, credit and geospatial libraries have the
//! schema's fields. A file of a licence resource holds licences as their authority signed them (存量电子证照), four columns a row:
//!
//! | column | Chinese | holds |
//! |---|---|---|
//! | `content` | 证照内容 | the signed bytes, a serialised `wuku.licence.v1.LicenceContent`, base64 |
//! | `signature` | 签名值 | the authority's signature over `"wuku/licence/v1" ‖ 0x00 ‖ content`, base64 |
//! | `algorithm` | 签名算法 | `sm2-sm3`, `ed25519` or `ecdsa-p256-sha256` |
//! | `certificates` | 签名证书 | the signer's certificate and those above it but the root, DER, each base64, a space between; empty: as in the row before |
//!
//! Any department that may issue the type may bring what it has issued, as an increment: a licence ends by a signed order, never by
//! being left out of a file. A row is refused for the reasons of `PrepareLicence` and `IssueLicence`; one whose bytes are held already is
//! unchanged, whatever became of the licence since.
//!
//! Memory does not grow with the file: bytes are read from sealed parts, keys are sorted in runs that lie in the store.
mod apply; // the second pass: chunks into the libraries
mod desk; // START HERE: open, stage, follow, release
mod examine; // the first pass: every row checked, nothing changed
mod join; // the file's keys against what is held
mod judges; // threads that go behind answers
mod licences; // rows that are signed licences
mod manifest; // what the source department signed
mod parse; // bytes into rows
mod pipeline; // parts → rows → checked rows, beside the async tasks
mod quarantine; // rows that were not taken, and why
mod runs; // the file's keys, sorted without holding them all
mod settle; // judged rows against what stands, sealed
mod stage; // bytes that survive a crash before anything is done with them
mod state; // how far an import is
mod step; // what one change of an import writes
#[cfg(test)]
mod tests;
mod validate; // a row into a record, or everything wrong with it

pub use desk::{Intake, Progress, read_id};
pub use parse::count_rows;
pub use state::ImportId;
pub use step::{Step, check};
