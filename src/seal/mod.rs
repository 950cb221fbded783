//! Electronic seals (电子印章): read, and held against every step the standards name.
//!
//! Promise: each step has an outcome of its own, computed over the bytes as they stand in the file; a *profile* turns outcomes into
//! a verdict, and whom to trust is a configured list for each use. Follows GM/T 0031-2014, GB/T 38540-2020, GM/T 0031-2025,
//! GB/T 35275 and RFC 5280. Seals are applied ([`write`]), never made, save demo ones ([`maker`]). Deliberately absent: asking any server,
//! the containers papers come in.
pub mod answer; // the seal on an answer
pub mod asn1; // DER over the original bytes
pub mod certificate; // one certificate, over its own bytes
pub mod chain; // paths to configured anchors
pub mod envelope; // GB/T 35275 signed messages and time stamps
mod face; // what a demo seal looks like
pub mod judge; // every step taken
pub mod maker; // demo seals and their certificates
#[cfg(feature = "hub")]
pub mod office; // seals held and applied
pub mod owner; // whose seal it is
pub mod ses; // the structures of a seal and of its signature
#[cfg(feature = "hub")]
pub mod signer; // where a seal's signatures are made
pub mod step; // steps, outcomes, profiles
pub mod write; // GB/T 38540-2020, written

#[cfg(test)]
mod tests;
