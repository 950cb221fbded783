//! XML parts: what is read twice is the same, and what a reader could take for two things is refused.
#![no_main]
use libfuzzer_sys::fuzz_target;
use wuku::paper::package::Description;
use wuku::paper::xml;

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    let Ok(document) = xml::parse(data, "x") else { return };
    assert_eq!(xml::parse(data, "x").as_ref(), Ok(&document));
    assert!(!data.windows(9).any(|w| w == b"<!DOCTYPE") || document.comments || holds_text(&document.root));
    let _ = Description::read(&document, "x");
});

/// A document type is text only inside character data or an attribute.
fn holds_text(element: &xml::Element) -> bool {
    element.text.contains("<!DOCTYPE")
        || element.attributes.iter().any(|(_, value)| value.contains("<!DOCTYPE"))
        || element.children.iter().any(holds_text)
}
