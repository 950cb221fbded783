//! What kills other hubs, tried on this one: the real binary, real files, real faults.
//!
//! Every harness has a short form, run with every test, and a long one (`make endurance`); its figures are noted against their
//! targets ([`figure`]) and it has a control: the same fault on a hub built or set wrongly must be caught. Where the machine lacks
//! what a harness needs, it is red, never skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the harness looks at the machine's clock, not the hub's")]

#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../common/audit.rs"]
mod audit; // the whole log once more, after every test
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../common/client.rs"]
mod client; // one calling system: its questions, its changes, its proofs
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../common/harness.rs"]
mod harness; // certificates, configuration, the process
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../common/world.rs"]
mod world; // who there is, what they may, one licence type

mod chance; // choices, repeatable
mod desk; // clerks who go on whatever is done to the hub
mod figure; // what was measured, against its target
mod load; // requests that leave when they are due, and a hub on part of a CPU

mod abuse; // HTTP/2 and TLS as an attacker speaks them
mod authorisation; // every decision against a second reading of the rules
mod backup; // a copy under load, restored elsewhere
mod kills; // kill -9 under load, and an oracle that looks
mod rotation; // every key and certificate changes under load
mod upgrade; // a folder kept from an earlier build

mod flips; // one changed bit, anywhere
mod fsync; // a disk that says no
mod power; // a power cut, and a disk that forgets what was not synced
mod power_disk; // that disk
mod power_fuse; // the same, mounted
mod wal; // a torn tail, and damage inside

mod clock; // clocks that go back, far ahead, or stand still
mod fail_points; // every step of both roads fails, its write lost and its write kept
mod fence; // what the fence sees, and how a hub goes on after it
mod init_kills; // wuku init killed at any moment
mod space; // a disk that gets full

mod gm; // SM2, millions of times

mod overload; // five times what it can take; one department's flood
mod soak; // long at a steady load
