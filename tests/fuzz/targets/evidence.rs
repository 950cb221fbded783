//! Evidence files: canonical or refused, and judged without a panic whatever they claim.
#![no_main]
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wuku::receipt::trust::Root;
use wuku::receipt::{Options, Trust, evidence, verify};

const TRUST: &[u8] = include_bytes!("../corpus/note/trust");

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    static KNOWN: OnceLock<Trust> = OnceLock::new();
    let trust = KNOWN.get_or_init(|| match Trust::open(TRUST, Root::ByHand) {
        Ok(trust) => trust,
        Err(error) => panic!("the corpus's trust file: {error}"),
    });
    let verdict = verify(data, trust, &Options::default());
    match evidence::from_json(data) {
        Ok(read) => assert_eq!(evidence::to_json(&read), data, "one form"),
        Err(_) => assert!(!verdict.good, "what is unreadable is not good"),
    }
});
