//! Who holds a licence or is asked about: a code type of GB/T 36903 appendix A and a code of that type.

use super::{
    CitizenId, CodeFault, CodeKind, ForeignPermit, Problem, QualityFlag, ResidencePermit, ResidencePermitRegion, Uscc,
    expect_chars, expect_length,
};
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Most characters of a code without a published rule (officer cards, passports …).
const FREE_CODE_CHARS_MAX: usize = 64;

/// A holder code type (持证主体代码类型): three digits. Types nobody listed are kept, never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderCodeType([u8; 3]);

impl HolderCodeType {
    /// 001 统一社会信用代码.
    pub const USCC: Self = Self(*b"001");
    /// 099 其他法人或其他组织有效证件.
    pub const OTHER_ORGANISATION: Self = Self(*b"099");
    /// 111 公民身份号码.
    pub const CITIZEN_ID: Self = Self(*b"111");
    /// 551 港澳居民居住证 (local).
    pub const HONG_KONG_MACAU_RESIDENCE: Self = Self(*b"551");
    /// 552 台湾居民居住证 (local).
    pub const TAIWAN_RESIDENCE: Self = Self(*b"552");
    /// 553 外国人永久居留身份证 (local).
    pub const FOREIGN_PERMIT: Self = Self(*b"553");

    /// Types with their names, those of the standard and the local ones met.
    pub const KNOWN: [(Self, &'static str, &'static str); 19] = [
        (Self::USCC, "统一社会信用代码", "unified social credit code"),
        (Self::OTHER_ORGANISATION, "其他法人或其他组织有效证件", "other valid document of an organisation"),
        (Self::CITIZEN_ID, "公民身份号码", "citizen ID number"),
        (Self(*b"114"), "军官证", "officer card"),
        (Self(*b"115"), "武警警官证", "armed police officer card"),
        (Self(*b"118"), "士兵证", "soldier card"),
        (Self(*b"119"), "武警士兵证", "armed police soldier card"),
        (Self(*b"120"), "军队文职人员证", "civilian staff card of the army"),
        (Self(*b"122"), "武警文职人员证", "civilian staff card of the armed police"),
        (Self(*b"411"), "外交护照", "diplomatic passport"),
        (Self(*b"412"), "公务护照", "service passport"),
        (Self(*b"413"), "公务普通护照", "passport for public affairs"),
        (Self(*b"414"), "普通护照", "ordinary passport"),
        (Self(*b"511"), "台湾居民来往大陆通行证", "travel permit of a Taiwan resident"),
        (Self(*b"516"), "港澳居民来往内地通行证", "travel permit of a Hong Kong or Macau resident"),
        (Self::HONG_KONG_MACAU_RESIDENCE, "港澳居民居住证", "residence permit of a Hong Kong or Macau resident"),
        (Self::TAIWAN_RESIDENCE, "台湾居民居住证", "residence permit of a Taiwan resident"),
        (Self::FOREIGN_PERMIT, "外国人永久居留身份证", "foreign permanent resident ID card"),
        (Self(*b"999"), "其他自然人有效证件", "other valid document of a person"),
    ];

    /// Reads three digits.
    ///
    /// # Errors
    /// Wrong length or a character that is no digit.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let text = super::clean(text);
        expect_length(CodeKind::HolderCodeType, &text, &[3])?;
        expect_chars(CodeKind::HolderCodeType, &text, 0, "0-9", |c| c.is_ascii_digit())?;
        let bytes: [u8; 3] = text.as_bytes().try_into().unwrap_or(*b"999");
        Ok(Self(bytes))
    }

    /// The three digits.
    pub fn as_str(&self) -> &str {
        // Three ASCII digits by construction.
        std::str::from_utf8(&self.0).unwrap_or("999")
    }

    /// Whether the type is one of [`KNOWN`](Self::KNOWN).
    pub fn is_known(self) -> bool {
        Self::KNOWN.iter().any(|(known, _, _)| *known == self)
    }

    /// Whether holders of this type are natural persons: all but 001 and 099.
    pub fn is_person(self) -> bool {
        self != Self::USCC && self != Self::OTHER_ORGANISATION
    }

    /// The Chinese name.
    pub fn zh(self) -> &'static str {
        Self::KNOWN.iter().find(|(known, _, _)| *known == self).map_or("其他证件", |(_, zh, _)| zh)
    }
}

impl fmt::Display for HolderCodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A holder code with its type, in canonical form: one per person or organisation and document.
///
/// A citizen has one code of type 111, read from 15 or 18 digits. Residence permits of Hong Kong, Macau and Taiwan residents are
/// accepted under 111 too, since the law calls their number a citizen identity number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderCode {
    code_type: HolderCodeType,
    code: String,
}

impl HolderCode {
    /// Reads a code of this type and brings it into canonical form.
    ///
    /// # Errors
    /// The type's own fault or the code's.
    pub fn parse(code_type: &str, code: &str) -> Result<Self, CodeFault> {
        Ok(Self::parse_flagged(code_type, code)?.0)
    }

    /// As [`parse`](Self::parse), with what users of the code should know.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_flagged(code_type: &str, code: &str) -> Result<(Self, Option<QualityFlag>), CodeFault> {
        let code_type = HolderCodeType::parse(code_type)?;
        let (code, flag) = match code_type {
            HolderCodeType::USCC => (Uscc::parse(code)?.as_str().to_owned(), None),
            HolderCodeType::CITIZEN_ID => citizen_or_resident(code)?,
            HolderCodeType::FOREIGN_PERMIT => (ForeignPermit::parse(code)?.as_str().to_owned(), None),
            HolderCodeType::HONG_KONG_MACAU_RESIDENCE => (resident(code, false)?, None),
            HolderCodeType::TAIWAN_RESIDENCE => (resident(code, true)?, None),
            _ => (free(code)?, (!code_type.is_known()).then_some(QualityFlag::UnknownCodeType)),
        };
        Ok((Self { code_type, code }, flag))
    }

    /// Reads a code that must already be canonical, as in a signed question: one code, one spelling.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`Problem::NotCanonical`] with the canonical form.
    pub fn parse_canonical(code_type: &str, code: &str) -> Result<Self, CodeFault> {
        let parsed = Self::parse(code_type, code)?;
        if parsed.code_type.as_str() != code_type {
            let should_be = parsed.code_type.to_string();
            return Err(CodeFault::new(CodeKind::HolderCodeType, Problem::NotCanonical { should_be }));
        }
        if parsed.code != code {
            return Err(CodeFault::new(CodeKind::HolderCode, Problem::NotCanonical { should_be: parsed.code }));
        }
        Ok(parsed)
    }

    /// The code of a citizen.
    pub fn of_citizen(id: &CitizenId) -> Self {
        Self { code_type: HolderCodeType::CITIZEN_ID, code: id.as_str().to_owned() }
    }

    /// The code of an organisation.
    pub fn of_organisation(code: &Uscc) -> Self {
        Self { code_type: HolderCodeType::USCC, code: code.as_str().to_owned() }
    }

    /// The type.
    pub fn code_type(&self) -> HolderCodeType {
        self.code_type
    }

    /// The canonical code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The birth date the code states, if its type states one.
    pub fn birth_date(&self) -> Option<super::CalendarDate> {
        match self.code_type {
            HolderCodeType::FOREIGN_PERMIT => ForeignPermit::parse(&self.code).ok()?.birth_date(),
            HolderCodeType::CITIZEN_ID
            | HolderCodeType::HONG_KONG_MACAU_RESIDENCE
            | HolderCodeType::TAIWAN_RESIDENCE => super::CalendarDate::from_digits(super::part(&self.code, 6, 14)),
            _ => None,
        }
    }
}

impl fmt::Display for HolderCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code_type, self.code)
    }
}

fn citizen_or_resident(code: &str) -> Result<(String, Option<QualityFlag>), CodeFault> {
    match CitizenId::parse(code) {
        Ok(id) => {
            let flag = id.original_fifteen().map(|_| QualityFlag::UpgradedFromFifteen);
            Ok((id.as_str().to_owned(), flag))
        }
        Err(CodeFault { problem: Problem::OtherKind { looks_like: CodeKind::ResidencePermit }, .. }) => {
            Ok((ResidencePermit::parse(code)?.as_str().to_owned(), None))
        }
        Err(fault) => Err(fault),
    }
}

fn resident(code: &str, taiwan: bool) -> Result<String, CodeFault> {
    let permit = ResidencePermit::parse(code)?;
    if (permit.region() == ResidencePermitRegion::Taiwan) != taiwan {
        let digits = permit.as_str().chars().take(6).collect();
        return Err(CodeFault::new(CodeKind::ResidencePermit, Problem::NoSuchProvince { digits }));
    }
    Ok(permit.as_str().to_owned())
}

/// A code without a published rule: NFC, half width, capitals, no white space, no control characters, at most 64 characters.
fn free(code: &str) -> Result<String, CodeFault> {
    let folded: String = super::clean(code).nfc().filter(|c| !c.is_whitespace()).collect();
    let found = folded.chars().count();
    if found == 0 {
        return Err(CodeFault::new(CodeKind::HolderCode, Problem::Empty));
    }
    if found > FREE_CODE_CHARS_MAX {
        return Err(CodeFault::new(CodeKind::HolderCode, Problem::TooLong { found, max: FREE_CODE_CHARS_MAX }));
    }
    expect_chars(CodeKind::HolderCode, &folded, 0, "printable characters", |c| !c.is_control())?;
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_citizen_has_one_code_whether_read_from_15_or_18_digits() {
        let (old, flag) = HolderCode::parse_flagged("111", "110105491231002").unwrap();
        assert_eq!(old, HolderCode::parse("111", "11010519491231002x").unwrap());
        assert_eq!(old.to_string(), "111:11010519491231002X");
        assert_eq!(flag, Some(QualityFlag::UpgradedFromFifteen));
    }

    #[test]
    fn each_type_is_held_to_its_own_rule() {
        assert!(HolderCode::parse("001", "91460100MA5THWMM2J").is_ok());
        assert_eq!(HolderCode::parse("001", "11010519491231002X").unwrap_err().kind, CodeKind::Uscc);
        assert!(HolderCode::parse("553", "911124198108030024").is_ok());
        assert_eq!(
            HolderCode::parse("111", "911124198108030024").unwrap_err().problem,
            Problem::OtherKind { looks_like: CodeKind::ForeignPermit }
        );
        assert!(HolderCode::parse("111", "810000199408230021").is_ok());
        assert!(HolderCode::parse("551", "810000199408230021").is_ok());
        assert!(HolderCode::parse("552", "810000199408230021").is_err());
        assert_eq!(HolderCode::parse("114", "军字第 1234567 号").unwrap().code(), "军字第1234567号");
        assert_eq!(HolderCode::parse("414", "ｅ12345678").unwrap().code(), "E12345678");
    }

    #[test]
    fn unknown_types_are_kept_and_flagged_and_bad_types_refused() {
        let (code, flag) = HolderCode::parse_flagged("777", "abc 1").unwrap();
        assert_eq!((code.to_string().as_str(), flag), ("777:ABC1", Some(QualityFlag::UnknownCodeType)));
        assert!(code.code_type().is_person() && !HolderCodeType::USCC.is_person());
        for bad in ["", "1", "1111", "1a1"] {
            assert_eq!(HolderCode::parse(bad, "1").unwrap_err().kind, CodeKind::HolderCodeType, "{bad}");
        }
        assert!(HolderCode::parse("414", "a\u{0}b").is_err());
        assert!(HolderCode::parse("414", &"9".repeat(65)).is_err());
    }

    #[test]
    fn a_question_must_spell_the_code_canonically() {
        assert!(HolderCode::parse_canonical("111", "11010519491231002X").is_ok());
        for spelling in ["11010519491231002x", "110105491231002", " 11010519491231002X"] {
            assert_eq!(
                HolderCode::parse_canonical("111", spelling).unwrap_err().problem,
                Problem::NotCanonical { should_be: "11010519491231002X".into() }
            );
        }
        assert!(HolderCode::parse_canonical("１１１", "11010519491231002X").is_err());
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(code_type in "[0-9]{3}", code in "[0-9a-zA-Z·军字 ]{1,20}") {
            if let Ok(parsed) = HolderCode::parse(&code_type, &code) {
                prop_assert_eq!(HolderCode::parse_canonical(&code_type, parsed.code()).unwrap(), parsed);
            }
        }

        #[test]
        fn any_text_is_a_code_or_a_fault(code_type in "\\PC{0,4}", code in "\\PC{0,30}") {
            let _ = HolderCode::parse(&code_type, &code);
        }
    }
}
