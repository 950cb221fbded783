//! Citizen identity numbers, GB 11643-1999.

use super::{CalendarDate, CodeFault, CodeKind, Problem, division, expect_chars, expect_length, mod_11_2, part};
use std::fmt;

const KIND: CodeKind = CodeKind::CitizenId;

/// Sex as the 17th digit states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Odd sequence number.
    Male,
    /// Even sequence number.
    Female,
}

/// A citizen identity number (公民身份号码): 6 division, 8 birth date, 3 sequence, 1 check. Lifelong and unique per citizen.
///
/// Equality and order are those of the canonical 18 characters: a 15-digit number equals its upgraded form.
#[derive(Debug, Clone)]
pub struct CitizenId {
    canonical: String,
    fifteen: Option<String>,
}

impl CitizenId {
    /// Reads 18 characters (a lower-case or full-width x is accepted) or a first-generation 15-digit number, which is upgraded:
    /// `19` before the year, the check digit appended.
    ///
    /// # Errors
    /// Wrong length; a character that is no digit; a first digit 9 (foreign permanent resident) or 81/82/83 (residence permit);
    /// no such province; no such birth date; a wrong check digit. The first of these that applies.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let text = super::clean(text);
        expect_length(KIND, &text, &[15, 18])?;
        let fifteen = text.chars().count() == 15;
        let body_length = if fifteen { 15 } else { 17 };
        let body: String = text.chars().take(body_length).collect();
        expect_chars(KIND, &body, 0, "0-9", |c| c.is_ascii_digit())?;
        let found = text.chars().nth(17);
        if let Some(last) = found {
            expect_chars(KIND, &last.to_string(), 17, "0-9 X", |c| c.is_ascii_digit() || c == 'X')?;
        }
        let body = if fifteen { format!("{}19{}", part(&body, 0, 6), part(&body, 6, 15)) } else { body };
        refuse_other_kinds(&body)?;
        let birth = part(&body, 6, 14);
        if CalendarDate::from_digits(birth).is_none() {
            return Err(CodeFault::new(KIND, Problem::NoSuchDate { text: birth.to_owned() }));
        }
        let should_be = mod_11_2(&body).ok_or_else(|| CodeFault::new(KIND, Problem::Empty))?;
        match found {
            Some(found) if found != should_be => {
                Err(CodeFault::new(KIND, Problem::CheckDigit { position: 18, found, should_be }))
            }
            _ => Ok(Self { canonical: format!("{body}{should_be}"), fifteen: fifteen.then_some(text) }),
        }
    }

    /// The number with the right check digit for these parts; `division` has six digits, `sequence` is below 1,000.
    ///
    /// # Errors
    /// What [`parse`](Self::parse) finds wrong with the result.
    pub fn make(division: &str, birth: CalendarDate, sequence: u16) -> Result<Self, CodeFault> {
        let body = format!("{division}{}{sequence:03}", birth.digits());
        let check = mod_11_2(&body).unwrap_or('0');
        Self::parse(&format!("{body}{check}"))
    }

    /// The canonical form: 18 characters, capital X.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// The 15-digit number it was read from, if it was.
    pub fn original_fifteen(&self) -> Option<&str> {
        self.fifteen.as_deref()
    }

    /// The 15-digit form of a birth in 1900–1999.
    pub fn to_fifteen(&self) -> Option<String> {
        (part(&self.canonical, 6, 8) == "19")
            .then(|| format!("{}{}", part(&self.canonical, 0, 6), part(&self.canonical, 8, 17)))
    }

    /// Six digits: the county of first registration, which may have been abolished since.
    pub fn division_digits(&self) -> &str {
        part(&self.canonical, 0, 6)
    }

    /// The birth date; a date that exists, checked when read.
    pub fn birth_date(&self) -> Option<CalendarDate> {
        CalendarDate::from_digits(part(&self.canonical, 6, 14))
    }

    /// Sex by the parity of the 17th digit.
    pub fn sex(&self) -> Sex {
        let odd = self.canonical.as_bytes().get(16).is_some_and(|b| b % 2 == 1);
        if odd { Sex::Male } else { Sex::Female }
    }
}

/// Numbers of the same shape that are not citizens', and first digits that are no province.
fn refuse_other_kinds(body: &str) -> Result<(), CodeFault> {
    if body.starts_with('9') {
        return Err(CodeFault::new(KIND, Problem::OtherKind { looks_like: CodeKind::ForeignPermit }));
    }
    if ["810000", "820000", "830000"].contains(&part(body, 0, 6)) {
        return Err(CodeFault::new(KIND, Problem::OtherKind { looks_like: CodeKind::ResidencePermit }));
    }
    division::expect_province(KIND, body)
}

impl PartialEq for CitizenId {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for CitizenId {}

impl std::hash::Hash for CitizenId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

impl fmt::Display for CitizenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(text: &str) -> Problem {
        CitizenId::parse(text).unwrap_err().problem
    }

    #[test]
    fn the_standards_own_examples_pass() {
        let id = CitizenId::parse("11010519491231002X").unwrap();
        assert_eq!((id.birth_date().unwrap().to_string().as_str(), id.sex()), ("1949-12-31", Sex::Female));
        let id = CitizenId::parse("440524188001010014").unwrap();
        assert_eq!((id.birth_date().unwrap().year(), id.sex(), id.to_fifteen()), (1880, Sex::Male, None));
    }

    #[test]
    fn a_lower_case_or_full_width_x_is_the_same_number() {
        for text in ["11010519491231002x", "11010519491231002ｘ", "１１０１０５19491231002X", " 11010519491231002X\t"]
        {
            assert_eq!(CitizenId::parse(text).unwrap().as_str(), "11010519491231002X");
        }
    }

    #[test]
    fn a_fifteen_digit_number_equals_its_upgraded_form_and_remembers_itself() {
        let old = CitizenId::parse("110105491231002").unwrap();
        assert_eq!(old, CitizenId::parse("11010519491231002X").unwrap());
        assert_eq!(old.original_fifteen(), Some("110105491231002"));
        assert_eq!(old.to_fifteen().as_deref(), Some("110105491231002"));
    }

    #[test]
    fn each_fault_names_what_is_wrong() {
        assert_eq!(problem(""), Problem::Empty);
        assert_eq!(problem("1101051949123100"), Problem::Length { found: 16, allowed: &[15, 18] });
        assert_eq!(problem("11010519491231O02X"), Problem::Character { position: 15, found: 'O', allowed: "0-9" });
        assert_eq!(problem("11010519491231002Y"), Problem::Character { position: 18, found: 'Y', allowed: "0-9 X" });
        assert_eq!(problem("110105194912310021"), Problem::CheckDigit { position: 18, found: '1', should_be: 'X' });
        assert_eq!(problem("110105194902310020"), Problem::NoSuchDate { text: "19490231".into() });
        assert_eq!(problem("100105194912310020"), Problem::NoSuchProvince { digits: "10".into() });
        assert_eq!(problem("911124198108030024"), Problem::OtherKind { looks_like: CodeKind::ForeignPermit });
        assert_eq!(problem("810000199408230021"), Problem::OtherKind { looks_like: CodeKind::ResidencePermit });
        assert_eq!(problem("110105490231002"), Problem::NoSuchDate { text: "19490231".into() });
    }

    #[test]
    fn faults_are_said_in_chinese_and_english() {
        let fault = CitizenId::parse("110105194912310021").unwrap_err();
        assert_eq!(fault.zh(), "公民身份号码第18位校验位为“1”，应为“X”");
        assert_eq!(fault.en(), "the check digit at position 18 of the citizen ID number is '1', it should be 'X'");
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_back_and_any_changed_digit_is_noticed(
            days in -25_000i32..20_000, sequence in 0u16..1000, at in 6usize..17, add in 1u8..10,
        ) {
            let birth = CalendarDate::from_day_number(days).unwrap();
            let id = CitizenId::make("331099", birth, sequence).unwrap();
            prop_assert_eq!(&CitizenId::parse(id.as_str()).unwrap(), &id);
            prop_assert_eq!(id.birth_date(), Some(birth));
            if let Some(old) = id.to_fifteen() {
                prop_assert_eq!(&CitizenId::parse(&old).unwrap(), &id);
            }
            let mut bytes = id.as_str().as_bytes().to_vec();
            bytes[at] = b'0' + (bytes[at] - b'0' + add) % 10;
            prop_assert!(CitizenId::parse(std::str::from_utf8(&bytes).unwrap()).is_err());
        }

        #[test]
        fn any_text_is_a_number_or_a_fault(text in "\\PC{0,20}") {
            if let Err(fault) = CitizenId::parse(&text) {
                prop_assert!(!fault.zh().is_empty() && !fault.en().is_empty());
            }
        }
    }
}
