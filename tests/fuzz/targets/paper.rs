//! A package whose ZIP is in order: parts, lists, descriptions, signature values and seals as anybody may write them.
#![no_main]
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wuku::paper::report;
use wuku::seal::certificate::Certificate;
use wuku::seal::chain::Anchors;
use wuku::seal::judge::Grounds;
use wuku::seal::step::Profile;

const ROOT: &str = include_str!("../../samples/cert/ofdrw-root.pem");

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    static ANCHORS: OnceLock<Anchors> = OnceLock::new();
    let anchors = ANCHORS.get_or_init(|| {
        let root = Certificate::from_pem_file(ROOT).unwrap_or_default();
        Anchors { seal_makers: root.clone(), signers: root.clone(), time_stamps: root, ..Anchors::default() }
    });
    let grounds = Grounds { anchors, now_s: wuku_fuzz::NOW_S, issuer: Some("11330000002482374J") };
    let file = wuku_fuzz::pack(&wuku_fuzz::parts(data));
    let _ = report::of_file(&file, Profile::Gbt2020, grounds);
});
