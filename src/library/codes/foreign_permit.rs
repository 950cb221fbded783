//! Permanent residents from abroad, and residents from Hong Kong, Macau and Taiwan.

use super::{CalendarDate, CodeFault, CodeKind, Problem, expect_chars, expect_length, mod_11_2, part};
use std::fmt;

/// Number of a foreign permanent resident ID card. Both editions are valid side by side and are different codes:
/// 2017: 3 letters + 12 digits; from 2023-12-01: 18 characters, first digit 9, last the MOD 11-2 check digit.
///
/// The inner layout of the new edition is not published as a standard, so nothing inside is refused but the check digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForeignPermit(String);

impl ForeignPermit {
    /// Reads either edition; letters may be lower case.
    ///
    /// # Errors
    /// Wrong length, a character out of place, a first digit other than 9, a wrong check digit.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        const KIND: CodeKind = CodeKind::ForeignPermit;
        let text = super::clean(text);
        expect_length(KIND, &text, &[15, 18])?;
        if text.chars().count() == 15 {
            let letters: String = text.chars().take(3).collect();
            let digits: String = text.chars().skip(3).collect();
            expect_chars(KIND, &letters, 0, "A-Z", |c| c.is_ascii_uppercase())?;
            expect_chars(KIND, &digits, 3, "0-9", |c| c.is_ascii_digit())?;
        } else {
            let first: String = text.chars().take(1).collect();
            expect_chars(KIND, &first, 0, "9", |c| c == '9')?;
            expect_eighteen(KIND, &text)?;
        }
        Ok(Self(text))
    }

    /// A number of the new edition with the right check digit, laid out as the published specimen: 9, five digits of place and
    /// country, birth date, sequence below 1,000.
    ///
    /// # Errors
    /// What [`parse`](Self::parse) finds wrong with the result.
    pub fn make(place_and_country: &str, birth: CalendarDate, sequence: u16) -> Result<Self, CodeFault> {
        let body = format!("9{place_and_country}{}{sequence:03}", birth.digits());
        Self::parse(&format!("{body}{}", mod_11_2(&body).unwrap_or('0')))
    }

    /// The canonical form: 15 or 18 capitals and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Positions 7–14 of the new edition, if they are a date: the birth date as on the published specimen.
    pub fn birth_date(&self) -> Option<CalendarDate> {
        (self.0.len() == 18).then(|| CalendarDate::from_digits(part(&self.0, 6, 14)))?
    }
}

impl fmt::Display for ForeignPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the holder of a residence permit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResidencePermitRegion {
    /// 810000
    HongKong,
    /// 820000
    Macau,
    /// 830000
    Taiwan,
}

/// Number of a residence permit for Hong Kong, Macau and Taiwan residents (港澳台居民居住证): 810000, 820000 or 830000, then as a
/// citizen ID number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResidencePermit(String);

impl ResidencePermit {
    /// Reads 18 characters; a lower-case x is accepted.
    ///
    /// # Errors
    /// Wrong length, a character out of place, no such birth date, a wrong check digit, or not one of the three prefixes.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        const KIND: CodeKind = CodeKind::ResidencePermit;
        let text = super::clean(text);
        expect_length(KIND, &text, &[18])?;
        let body: String = text.chars().take(17).collect();
        expect_chars(KIND, &body, 0, "0-9", |c| c.is_ascii_digit())?;
        if !matches!(part(&text, 0, 6), "810000" | "820000" | "830000") {
            return Err(CodeFault::new(KIND, Problem::NoSuchProvince { digits: part(&text, 0, 6).to_owned() }));
        }
        let birth = part(&text, 6, 14);
        if CalendarDate::from_digits(birth).is_none() {
            return Err(CodeFault::new(KIND, Problem::NoSuchDate { text: birth.to_owned() }));
        }
        expect_eighteen(KIND, &text)?;
        Ok(Self(text))
    }

    /// The canonical form: 18 characters, capital X.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the holder comes from.
    pub fn region(&self) -> ResidencePermitRegion {
        match part(&self.0, 0, 2) {
            "81" => ResidencePermitRegion::HongKong,
            "82" => ResidencePermitRegion::Macau,
            _ => ResidencePermitRegion::Taiwan,
        }
    }

    /// The birth date.
    pub fn birth_date(&self) -> Option<CalendarDate> {
        CalendarDate::from_digits(part(&self.0, 6, 14))
    }
}

impl fmt::Display for ResidencePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 17 digits and a MOD 11-2 check digit.
fn expect_eighteen(kind: CodeKind, text: &str) -> Result<(), CodeFault> {
    let body: String = text.chars().take(17).collect();
    expect_chars(kind, &body, 0, "0-9", |c| c.is_ascii_digit())?;
    let found = text.chars().nth(17).unwrap_or_default();
    expect_chars(kind, &found.to_string(), 17, "0-9 X", |c| c.is_ascii_digit() || c == 'X')?;
    match mod_11_2(&body) {
        Some(should_be) if should_be != found => {
            Err(CodeFault::new(kind, Problem::CheckDigit { position: 18, found, should_be }))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_editions_of_the_foreign_card_are_read() {
        assert_eq!(ForeignPermit::parse("can123456789012").unwrap().as_str(), "CAN123456789012");
        let new = ForeignPermit::parse("911124198108030024").unwrap();
        assert_eq!(new.birth_date().unwrap().to_string(), "1981-08-03");
    }

    #[test]
    fn a_wrong_foreign_number_is_named() {
        let problem = |text| ForeignPermit::parse(text).unwrap_err().problem;
        assert_eq!(problem("911124198108030025"), Problem::CheckDigit { position: 18, found: '5', should_be: '4' });
        assert_eq!(problem("811124198108030024"), Problem::Character { position: 1, found: '8', allowed: "9" });
        assert_eq!(problem("C1N123456789012"), Problem::Character { position: 2, found: '1', allowed: "A-Z" });
        assert_eq!(problem("CAN12345678901A"), Problem::Character { position: 15, found: 'A', allowed: "0-9" });
        assert_eq!(problem("CAN1"), Problem::Length { found: 4, allowed: &[15, 18] });
    }

    #[test]
    fn residence_permits_of_the_three_regions_are_read_and_others_refused() {
        for (body, region) in [
            ("81000019940823002", ResidencePermitRegion::HongKong),
            ("82000019940823002", ResidencePermitRegion::Macau),
            ("83000019940823002", ResidencePermitRegion::Taiwan),
        ] {
            let number = format!("{body}{}", mod_11_2(body).unwrap());
            assert_eq!(ResidencePermit::parse(&number).unwrap().region(), region);
        }
        assert_eq!(
            ResidencePermit::parse("11010519491231002X").unwrap_err().problem,
            Problem::NoSuchProvince { digits: "110105".into() }
        );
        assert!(matches!(
            ResidencePermit::parse("810000199402300021").unwrap_err().problem,
            Problem::NoSuchDate { .. }
        ));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_read_back(body in "9[0-9]{16}") {
            let number = format!("{body}{}", mod_11_2(&body).unwrap());
            let permit = ForeignPermit::parse(&number).unwrap();
            prop_assert_eq!(ForeignPermit::parse(permit.as_str()).unwrap(), permit);
        }

        #[test]
        fn any_text_is_a_permit_or_a_fault(text in "\\PC{0,20}") {
            let _ = (ForeignPermit::parse(&text), ResidencePermit::parse(&text));
        }
    }
}
