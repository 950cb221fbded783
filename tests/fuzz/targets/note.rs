//! Signed notes, checkpoints, keys, trust files: what is read is what would be written.
#![no_main]
use libfuzzer_sys::fuzz_target;
use wuku::log::checkpoint::{Checkpoint, SignedCheckpoint};
use wuku::log::note::{Note, VerifierKey};
use wuku::receipt::trust::{Root, Trust};

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    if let Ok(note) = Note::parse(data) {
        assert_eq!(Note::parse(&note.to_bytes()), Ok(note));
    }
    let _ = SignedCheckpoint::parse(data);
    let text = String::from_utf8_lossy(data);
    if let Ok(checkpoint) = Checkpoint::parse_text(&text) {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(key) = VerifierKey::parse(&text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(trust) = Trust::parse_json(&text) {
        assert_eq!(trust.to_json(), text);
    }
    let _ = Trust::open(data, Root::Fingerprint(""));
});
