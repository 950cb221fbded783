//! Whether two names are the same name.
//!
//! Promise: differences that come from keyboards and fonts never count (Unicode composition, full or half width, which of many
//! middle dots, spaces), differences of characters always do, and where characters cannot be compared the answer is Unknown with
//! the reason, never a guess.

use super::codes::half_width;
use unicode_normalization::UnicodeNormalization;

/// The answer to "same name?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameMatch {
    /// The same.
    Yes,
    /// Not the same.
    No,
    /// Cannot be told.
    Unknown(NameDoubt),
}

/// Why two names cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameDoubt {
    /// One of them holds private-use characters (自造字), whose meaning is known to its maker only.
    PrivateUse,
    /// One of them holds a stand-in for a character somebody could not write (�, □, 〓, ?).
    Placeholder,
    /// One of them is empty.
    Empty,
}

impl NameDoubt {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateUse => "PRIVATE_USE_CHARACTER",
            Self::Placeholder => "PLACEHOLDER_CHARACTER",
            Self::Empty => "NAME_EMPTY",
        }
    }

    /// One Chinese sentence for a clerk.
    pub fn zh(self) -> &'static str {
        match self {
            Self::PrivateUse => "姓名含自造字，无法自动比对，请人工核对",
            Self::Placeholder => "姓名含缺字占位符，无法自动比对，请人工核对",
            Self::Empty => "姓名为空，无法比对",
        }
    }

    /// The same in English.
    pub fn en(self) -> &'static str {
        match self {
            Self::PrivateUse => "the name holds private-use characters; a person must compare",
            Self::Placeholder => "the name holds a placeholder for a missing character; a person must compare",
            Self::Empty => "the name is empty",
        }
    }
}

/// Compares two names.
pub fn compare(left: &str, right: &str) -> NameMatch {
    match (fold(left), fold(right)) {
        (Ok(left), Ok(right)) if left == right => NameMatch::Yes,
        (Ok(_), Ok(_)) => NameMatch::No,
        (Err(doubt), _) | (_, Err(doubt)) => NameMatch::Unknown(doubt),
    }
}

/// The form in which equal names are equal: NFC, half width, one middle dot (U+00B7), no spaces, no invisible characters, ASCII
/// capitals.
///
/// # Errors
/// Why the name cannot be compared with anything.
pub fn fold(name: &str) -> Result<String, NameDoubt> {
    let folded: String = name
        .nfc()
        .filter(|c| !is_dropped(*c))
        .map(|c| if is_middle_dot(c) { '\u{B7}' } else { half_width(c).to_ascii_uppercase() })
        .collect();
    if folded.is_empty() {
        return Err(NameDoubt::Empty);
    }
    if folded.chars().any(is_private_use) {
        return Err(NameDoubt::PrivateUse);
    }
    if folded.contains(['\u{FFFD}', '□', '〓', '■', '?']) {
        return Err(NameDoubt::Placeholder);
    }
    Ok(folded)
}

/// Private-use code points of all three planes.
pub(super) fn is_private_use(c: char) -> bool {
    matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}' | '\u{100000}'..='\u{10FFFD}')
}

/// Every dot that stands between the parts of a name somewhere.
fn is_middle_dot(c: char) -> bool {
    matches!(
        c,
        '\u{B7}'        // middle dot: the right one (GB/T 36903 data)
            | '\u{2022}' // bullet
            | '\u{2027}' // hyphenation point
            | '\u{2219}' // bullet operator
            | '\u{22C5}' // dot operator
            | '\u{25CF}' // black circle
            | '\u{2E31}' // word separator middle dot
            | '\u{30FB}' // katakana middle dot
            | '\u{FF65}' // half-width katakana middle dot
            | '\u{16EB}' // runic single punctuation
            | '\u{387}'  // Greek ano teleia
            | '\u{318D}' // Hangul araea
            | '\u{A78F}' // sinological dot
            | '\u{1427}' // Canadian syllabics final middle dot
    )
}

/// Spaces of every kind, zero-width characters, and variation selectors, which choose a glyph and not a character.
fn is_dropped(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{AD}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keyboards_and_fonts_make_no_difference() {
        for dot in "·•・･‧᛫·●∙⋅".chars() {
            assert_eq!(compare("买买提·艾力", &format!("买买提{dot}艾力")), NameMatch::Yes, "U+{:04X}", u32::from(dot));
        }
        for (left, right) in [
            ("张 三", "张三"),
            ("张\u{3000}三", "张三"),
            ("张\u{200B}三", "张三"),
            ("ＪＯＨＮ　ＳＭＩＴＨ", "John Smith"),
            ("Jose\u{301}", "José"),
            ("葛\u{E0100}城", "葛城"),
            ("𠮷田", "𠮷田"),
        ] {
            assert_eq!(compare(left, right), NameMatch::Yes, "{left} {right}");
        }
    }

    #[test]
    fn other_characters_are_another_name() {
        for (left, right) in [
            ("张三", "张叁"),
            ("张三", "张三丰"),
            ("買買提", "买买提"),
            ("𠮷田", "吉田"),
            ("买买提艾力", "买买提·艾力"),
        ] {
            assert_eq!(compare(left, right), NameMatch::No, "{left} {right}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_unknown_with_the_reason() {
        for (left, right, doubt) in [
            ("张\u{E815}", "张䶮", NameDoubt::PrivateUse),
            ("张\u{E815}", "张\u{E815}", NameDoubt::PrivateUse),
            ("张三", "张\u{100000}", NameDoubt::PrivateUse),
            ("张\u{FFFD}", "张三", NameDoubt::Placeholder),
            ("张？", "张三", NameDoubt::Placeholder),
            (" ", "张三", NameDoubt::Empty),
        ] {
            assert_eq!(compare(left, right), NameMatch::Unknown(doubt), "{left} {right}");
            assert!(!doubt.zh().is_empty() && !doubt.en().is_empty() && !doubt.name().is_empty());
        }
    }

    proptest! {
        #[test]
        fn comparing_is_symmetric_and_a_name_equals_itself_or_is_in_doubt(left in "\\PC{0,8}", right in "\\PC{0,8}") {
            prop_assert!(compare(&left, &left) != NameMatch::No);
            prop_assert_eq!(compare(&left, &right) == NameMatch::Yes, compare(&right, &left) == NameMatch::Yes);
            if let Ok(folded) = fold(&left) {
                prop_assert_eq!(fold(&folded), Ok(folded.clone()));
            }
        }
    }
}
