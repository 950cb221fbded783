//! What we hold and whether it stands.
//!
//! Pure domain: no network, no storage engine, no clock. A record is an ordered list of (field name, canonical text).

pub mod codes; // parsed identifiers: people, organisations, licences, places
