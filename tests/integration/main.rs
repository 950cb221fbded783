//! The real binary over real mutual TLS: does a hub keep its promises?
//!
//! Every test starts a hub of its own in a temporary folder. When it ends, the harness stops the hub, demands a clean exit and
//! re-verifies the whole log, with every receipt the test was given ([`audit`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/audit.rs"]
mod audit; // the whole log once more, after every test
#[path = "../common/client.rs"]
mod client; // one calling system: its questions, its changes, its proofs
#[allow(dead_code, reason = "shared with the endurance tests")]
#[path = "../common/harness.rs"]
mod harness; // certificates, configuration, the process
#[path = "../common/world.rs"]
mod world; // who there is, what they may, one licence type

mod access; // who may ask what: roles, grants, certificates, limits of the edge
mod bench; // every mode of the load generator, for a second
mod demo; // the demo, and what it leaves behind
mod device; // the log key in a token
mod document; // papers judged over the wire
mod intake; // files in, and what can be asked of them then
mod interop; // a client and a verifier that are not ours
mod licence; // prepare, sign, issue, change; five wrong ways have five reasons
mod licence_file; // licences by the file
mod permissions; // who may see what, as a reviewed text file
mod privacy; // nobody in plain text
mod questions; // outcomes, refusals, the two times, request ids, masking, evidence
mod reasons; // every reason is asserted somewhere
mod receipt; // proofs for outsiders, audit, damage
mod rpcs; // every rpc once
mod seals; // imported, bound, applied, and every use seen
mod signed; // questions signed by who asks
mod suite; // one suite a hub, from key to row
