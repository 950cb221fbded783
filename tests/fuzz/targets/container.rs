//! A file as somebody brings it: the ZIP read strictly, and whatever is reached behind it.
#![no_main]
use libfuzzer_sys::fuzz_target;
use wuku::paper::report;
use wuku::seal::chain::Anchors;
use wuku::seal::judge::Grounds;
use wuku::seal::step::Profile;

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    let anchors = Anchors::default();
    let grounds = Grounds { anchors: &anchors, now_s: wuku_fuzz::NOW_S, issuer: None };
    let report = report::of_file(data, Profile::Gbt2020, grounds);
    assert!(!report.trusted, "nobody is believed here");
});
