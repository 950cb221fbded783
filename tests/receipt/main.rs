//! What outsiders check: evidence, its vectors, and what a malicious hub might hand out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod cases; // what honest and malicious hubs hand out, and what must be said about it
mod evidence; // files: every byte, the command, the Python verifier
mod hub; // a hub small enough to lie
mod vectors; // tests/vectors/receipt.json, receipt-sm2.json
