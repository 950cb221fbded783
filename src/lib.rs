//! Wuku (五库): the proof-and-lookup engine of a city's data sharing.
//!
//! The rooms in the order data meets them. Start reading at [`exchange`].
#[cfg(feature = "hub")]
pub mod device; // where the log key is: file, passphrase, token
#[cfg(feature = "hub")]
pub mod edge; // who is calling, within which limits
#[cfg(feature = "hub")]
pub mod exchange; // START HERE: the two roads on one screen
pub mod gm; // SM2 signatures and SM3 hashes
#[cfg(feature = "hub")]
pub mod intake; // how data gets in
#[cfg(feature = "hub")]
pub mod library; // what we hold and whether it stands
pub mod log; // the one history
#[cfg(feature = "verify")]
pub mod paper; // papers people bring, judged
#[cfg(feature = "hub")]
pub mod policy; // may they ask this, for this purpose
pub mod receipt; // our word on an answer
#[cfg(feature = "verify")]
pub mod seal; // electronic seals, judged
#[cfg(feature = "hub")]
pub mod store; // bytes that survive a crash
pub mod wire; // generated code and the only conversions to and from it

#[cfg(feature = "hub")]
pub mod cli; // one file per subcommand
pub mod clock; // the only place that asks the operating system for the time
#[cfg(feature = "hub")]
pub mod config; // one file, checked before anything starts
#[cfg(feature = "hub")]
pub mod demo; // a city made from a seed
#[cfg(feature = "hub")]
pub mod failure; // what stopped us, and what to do about it
pub mod limits; // ceilings no operator should move
#[cfg(feature = "hub")]
pub mod random; // the system's random bytes, a page at a time
#[cfg(feature = "hub")]
pub mod telemetry; // logs and metrics, never a person in them
