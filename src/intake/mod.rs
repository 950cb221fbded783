//! How data gets in: a source department's signed file, staged whole, checked whole, then applied in chunks.
//!
//! Promises: a file is in effect row by row exactly once, however often the hub or the sender dies; a row that is not taken is
//! kept aside with its number and every reason; nothing is in effect of a file whose bytes are not those its manifest names. Each
//! chunk is one change down [`crate::exchange`] like any other: there is no second way to a record.
//!
//! Memory does not grow with the file: bytes are read from sealed parts, keys are sorted in runs that lie in the store.
mod apply; // the second pass: chunks into the libraries
mod desk; // START HERE: open, stage, follow, release
mod examine; // the first pass: every row checked, nothing changed
mod join; // the file's keys against what is held
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
