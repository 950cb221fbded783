//! Every reason the hub gives is asserted by a test of this binary, or stands below with why it cannot be provoked here.
use wuku::failure::Reason;

/// The tests that provoke reasons, as text: what they assert when they run.
const TESTS: [&str; 7] = [
    include_str!("access.rs"),
    include_str!("document.rs"),
    include_str!("intake.rs"),
    include_str!("licence.rs"),
    include_str!("questions.rs"),
    include_str!("receipt.rs"),
    include_str!("seals.rs"),
];

/// What no test of this binary provokes, and why.
const NOT_HERE: [(Reason, &str); 5] = [
    (
        Reason::DocumentTooSlow,
        "needs a file that takes three seconds: the limits leave none; asserted by edge/document_service.rs",
    ),
    (Reason::StorageLow, "needs a disk that is nearly full; asserted by tests/endurance/space.rs"),
    (Reason::StoreUnavailable, "RocksDB fails only with the disk under it; store/faulty.rs provokes it in unit tests"),
    (Reason::Internal, "means a bug: a test that knows how to provoke one belongs beside its repair"),
    (Reason::ImportFileInvalid, "stands in an import's report, never in a status; asserted by intake/tests.rs"),
];

#[test]
fn every_reason_that_can_reach_a_caller_is_asserted_by_a_test_here() {
    let asserted = |reason: &Reason| {
        let name = format!("Reason::{reason:?}");
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        let code = TESTS.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(|line| line.split(&name).skip(1)).any(ends)
    };
    let excused: Vec<Reason> = NOT_HERE.iter().map(|(reason, _)| *reason).collect();
    let missing: Vec<&Reason> = Reason::ALL.iter().filter(|r| !asserted(r) && !excused.contains(r)).collect();
    assert!(missing.is_empty(), "no test asserts {missing:?}");
    let stale: Vec<&Reason> = excused.iter().filter(|r| asserted(r)).collect();
    assert!(stale.is_empty(), "asserted after all: {stale:?}");
}
