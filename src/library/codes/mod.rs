//! Codes that identify people, organisations, licences and places.
//!
//! Promise: a value of a type in here has a canonical form, one per person, body, licence or place, and every check digit the
//! standards define has been tested. What is wrong with a code is said exactly, in Chinese and English. Nothing here asks
//! whether the person, body or place exists.

mod citizen_id;
mod date;
mod division;
mod fault;
mod foreign_permit;
mod holder_code;
mod licence_id;
mod uscc;

pub use citizen_id::{CitizenId, Sex};
pub use date::CalendarDate;
pub use division::{Division, DivisionLevel};
pub use fault::{CodeFault, CodeKind, Problem};
pub use foreign_permit::{ForeignPermit, ResidencePermit, ResidencePermitRegion};
pub use holder_code::{HolderCode, HolderCodeType};
pub use licence_id::{LicenceId, LicenceTypeCode, SERIAL_CHARS_MAX};
pub use uscc::Uscc;

/// Something about an accepted code that its users should know. Kept with the record, never silently corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum QualityFlag {
    /// A licence identifier whose check character is not the one ISO/IEC 7064 MOD 37,36 gives.
    CheckCharMismatch = 1,
    /// A first-generation 15-digit number was upgraded to 18 digits; the check digit is ours, not the source's.
    UpgradedFromFifteen = 2,
    /// A holder code type that is not in GB/T 36903 nor among the local ones we know; its code is kept unchecked.
    UnknownCodeType = 3,
    /// Coordinates were converted from another datum; the original datum is kept beside them.
    DatumConverted = 4,
    /// A name holds private-use characters (自造字): what they show depends on the source's fonts.
    PrivateUseCharacter = 5,
}

impl QualityFlag {
    /// All flags, for tables and tests.
    pub const ALL: [Self; 5] = [
        Self::CheckCharMismatch,
        Self::UpgradedFromFifteen,
        Self::UnknownCodeType,
        Self::DatumConverted,
        Self::PrivateUseCharacter,
    ];

    /// The stable name, as stored and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::CheckCharMismatch => "CHECK_CHAR_MISMATCH",
            Self::UpgradedFromFifteen => "UPGRADED_FROM_FIFTEEN",
            Self::UnknownCodeType => "UNKNOWN_CODE_TYPE",
            Self::DatumConverted => "DATUM_CONVERTED",
            Self::PrivateUseCharacter => "PRIVATE_USE_CHARACTER",
        }
    }

    /// The flag with this stable name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }

    /// One Chinese sentence for a clerk.
    pub fn zh(self) -> &'static str {
        match self {
            Self::CheckCharMismatch => "证照标识的校验位不符，按来源原样保存",
            Self::UpgradedFromFifteen => "由15位老号码升位为18位，校验位由本系统补算",
            Self::UnknownCodeType => "持证主体代码类型不在已知清单内，代码未校验",
            Self::DatumConverted => "坐标由其他坐标系换算而来",
            Self::PrivateUseCharacter => "名称含自造字，显示可能因字库而异",
        }
    }
}

/// White space at the ends dropped, full-width ASCII folded, ASCII letters raised: what typing and copying do to a code.
fn clean(text: &str) -> String {
    text.trim().chars().map(|c| half_width(c).to_ascii_uppercase()).collect()
}

/// Full-width forms of ASCII (U+FF01–U+FF5E, U+3000) as ASCII; everything else as it is.
pub(super) fn half_width(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{FF01}'..='\u{FF5E}' => u32::from(c).checked_sub(0xFEE0).and_then(char::from_u32).unwrap_or(c),
        _ => c,
    }
}

/// The length is one of `allowed`, or the fault that says so.
fn expect_length(kind: CodeKind, text: &str, allowed: &'static [usize]) -> Result<(), CodeFault> {
    let found = text.chars().count();
    if found == 0 {
        return Err(CodeFault::new(kind, Problem::Empty));
    }
    if allowed.contains(&found) { Ok(()) } else { Err(CodeFault::new(kind, Problem::Length { found, allowed })) }
}

/// Every character passes, or the fault names the first that does not, counting from 1 after `skip` characters.
fn expect_chars(
    kind: CodeKind,
    text: &str,
    skip: usize,
    allowed: &'static str,
    pass: impl Fn(char) -> bool,
) -> Result<(), CodeFault> {
    match text.chars().enumerate().find(|(_, c)| !pass(*c)) {
        None => Ok(()),
        Some((at, found)) => Err(CodeFault::new(
            kind,
            Problem::Character { position: skip.saturating_add(at).saturating_add(1), found, allowed },
        )),
    }
}

/// ISO/IEC 7064 MOD 11-2 over decimal digits, as GB 11643-1999 uses it. `None` if a character is not a digit.
fn mod_11_2(digits: &str) -> Option<char> {
    let mut sum = 0u32;
    for c in digits.chars() {
        sum = (sum.checked_add(c.to_digit(10)?)?.checked_mul(2)?) % 11;
    }
    // The check value c satisfies (sum + c) mod 11 = 1.
    match (12u32.checked_sub(sum)?) % 11 {
        10 => Some('X'),
        value => char::from_digit(value, 10),
    }
}

/// Byte positions `from..to` of an ASCII text already checked for length; empty when out of range.
fn part(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}
