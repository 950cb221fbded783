//! Certificates and revocation lists, DER and PEM, and paths built from them.
#![no_main]
use libfuzzer_sys::fuzz_target;
use wuku::seal::certificate::Certificate;
use wuku::seal::chain::{Anchors, RevocationList, Use};

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    let text = String::from_utf8_lossy(data);
    let lists = RevocationList::from_der(data).into_iter().chain(RevocationList::from_pem_file(&text).unwrap_or_default());
    let found = Certificate::from_der(data).into_iter().chain(Certificate::from_pem_file(&text).unwrap_or_default());
    let (revocation_lists, found): (Vec<_>, Vec<_>) = (lists.collect(), found.collect());
    let Some(first) = found.first() else { return };
    let _ = (first.shown(), first.common_name(), first.organisation(), first.validity(), first.key().is_ok());
    let (signers, time_stamps) = (found.clone(), found.clone());
    let anchors = Anchors { signers, time_stamps, revocation_lists, ..Anchors::default() };
    for purpose in [Use::Signer, Use::TimeStamp, Use::SealMaker] {
        let _ = anchors.path(first, purpose, wuku_fuzz::NOW_S, &found);
    }
});
