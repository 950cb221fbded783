//! What we hold and whether it stands.
//!
//! Pure domain: no network, no storage engine, no clock. A record is an ordered list of (field name, canonical text).
mod area; // features by place
pub mod catalogue; // departments, systems, resources, grants
pub mod codes; // parsed identifiers: people, organisations, licences, places
mod coverage; // what a missing record means
pub mod day; // calendar days in Asia/Shanghai
pub mod document; // what is held of the licence a paper names
pub mod geospatial; // geometry, datum, the index of cells
pub mod licence; // signed by their issuing authority
pub mod look_up; // answers to questions
pub mod mask; // what is left of a value where only a masked one is granted
pub mod name; // when two names are the same
mod project; // cutting a record to what may be seen
pub mod question; // what can be asked
pub mod record; // the one shape of every held thing
pub mod schema; // the fields of every library
pub mod seal; // seals of departments
pub mod transition; // a change that was checked whole
mod verified; // the proof that it was

pub use verified::Verified;
