//! Seals, seal signatures, plain signatures, time stamps: DER of three generations.
#![no_main]
use libfuzzer_sys::fuzz_target;
use wuku::paper::report;
use wuku::seal::chain::Anchors;
use wuku::seal::envelope::{Envelope, TimeStamp};
use wuku::seal::judge::{self, Grounds};
use wuku::seal::ses::{Seal, SealSignature};
use wuku::seal::step::Profile;

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    let anchors = Anchors::default();
    let grounds = Grounds { anchors: &anchors, now_s: wuku_fuzz::NOW_S, issuer: None };
    let _ = judge::signature(data, b"", Some("/Doc_0/Signs/Sign_0/Signature.xml"), grounds);
    let _ = report::of_seal(data, Profile::Strict2025, grounds);
    let _ = (Seal::parse(data), SealSignature::parse(data), Envelope::parse(data), TimeStamp::verify(data, b""));
});
