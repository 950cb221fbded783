//! Papers: the samples against their oracle, files altered byte by byte, and files made to deceive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
mod alterations;
mod attacks;
mod judged;
mod samples;
