//! A city made from a seed: real places, nobody real.
//!
//! Divisions and county boundaries are real and public (`data/README.md`); persons, firms, parcels and licences are made up, their
//! numbers stand in a division that was never assigned, and every licence face says 演示样本.

pub mod bad_rows; // an import file with a dozen deliberate mistakes
pub mod city; // residents, firms, credit records, features, licences: one at a time, any of them at will
pub mod files; // residents and signed licences by the million
pub mod grants; // who may ask what, about three hundred grants
pub mod licences; // licence drafts of eight types
pub mod messages; // types and drafts as messages
pub mod organisation; // departments, systems, resources, licence types
pub mod paper; // a licence as a sealed file
pub mod places; // divisions and boundaries
pub mod random; // the generator's own random numbers
