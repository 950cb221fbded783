//! Administrative divisions: GB/T 2260 (province, prefecture, county) and the 9- and 12-digit codes of townships and villages.

use super::{CodeFault, CodeKind, Problem, expect_chars, expect_length, part};
use std::fmt;

const KIND: CodeKind = CodeKind::Division;

/// First two digits of every edition of GB/T 2260, with Taiwan, Hong Kong and Macau.
const PROVINCES: [&str; 34] = [
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44",
    "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82",
];

/// How deep a division stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DivisionLevel {
    /// 2 digits.
    Province,
    /// 4 digits.
    Prefecture,
    /// 6 digits.
    County,
    /// 9 digits.
    Township,
    /// 12 digits.
    Village,
}

/// A division code (行政区划代码). Canonical: 2, 4, 6, 9 or 12 digits without trailing zero groups, so that containment is a prefix:
/// `331000` is `3310`, `331023000000` is `331023`. Whether the division exists, and when, is the catalogue's to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Division(String);

impl Division {
    /// Reads 2, 4, 6, 9 or 12 digits.
    ///
    /// # Errors
    /// Wrong length, a character that is no digit, first digits that are no province.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let text = super::clean(text);
        expect_length(KIND, &text, &[2, 4, 6, 9, 12])?;
        expect_chars(KIND, &text, 0, "0-9", |c| c.is_ascii_digit())?;
        expect_province(KIND, &text)?;
        Ok(Self::without_zero_groups(&text))
    }

    fn without_zero_groups(mut code: &str) -> Self {
        for (length, shorter) in [(12, 9), (9, 6), (6, 4), (4, 2)] {
            if code.len() == length && part(code, shorter, length).bytes().all(|b| b == b'0') {
                code = part(code, 0, shorter);
            }
        }
        Self(code.to_owned())
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Province to village.
    pub fn level(&self) -> DivisionLevel {
        match self.0.len() {
            2 => DivisionLevel::Province,
            4 => DivisionLevel::Prefecture,
            6 => DivisionLevel::County,
            9 => DivisionLevel::Township,
            _ => DivisionLevel::Village,
        }
    }

    /// Whether `other` is this division or lies in it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The division this one lies in; `None` for a province.
    pub fn parent(&self) -> Option<Self> {
        let length = match self.level() {
            DivisionLevel::Province => return None,
            DivisionLevel::Prefecture => 2,
            DivisionLevel::County => 4,
            DivisionLevel::Township => 6,
            DivisionLevel::Village => 9,
        };
        Some(Self::without_zero_groups(part(&self.0, 0, length)))
    }

    /// The county this division is or lies in; `None` above counties.
    pub fn county(&self) -> Option<Self> {
        (self.0.len() >= 6).then(|| Self(part(&self.0, 0, 6).to_owned()))
    }

    /// Six digits as GB/T 2260 writes them, zeros filled in; deeper levels cut.
    pub fn six_digits(&self) -> String {
        format!("{:0<6}", part(&self.0, 0, self.0.len().min(6)))
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first two digits are a province of some edition.
pub(super) fn expect_province(kind: CodeKind, text: &str) -> Result<(), CodeFault> {
    let digits = part(text, 0, 2);
    if PROVINCES.contains(&digits) {
        return Ok(());
    }
    Err(CodeFault::new(kind, Problem::NoSuchProvince { digits: digits.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn division(text: &str) -> Division {
        Division::parse(text).unwrap()
    }

    #[test]
    fn one_place_has_one_form() {
        for (text, canonical) in [
            ("33", "33"),
            ("330000", "33"),
            ("3310", "3310"),
            ("331000", "3310"),
            ("331023", "331023"),
            ("331023000", "331023"),
            ("331023000000", "331023"),
            ("331023001000", "331023001"),
            ("331023001001", "331023001001"),
            ("330000000000", "33"),
            ("469005", "469005"),
        ] {
            assert_eq!(division(text).as_str(), canonical, "{text}");
        }
        assert_eq!(division("33").six_digits(), "330000");
        assert_eq!(division("331023001").six_digits(), "331023");
    }

    #[test]
    fn containment_is_a_prefix() {
        assert!(division("3310").contains(&division("331023001001")));
        assert!(division("331023").contains(&division("331023")));
        assert!(!division("331023").contains(&division("3310")));
        assert!(!division("331023").contains(&division("331024")));
    }

    #[test]
    fn faults_are_named() {
        let problem = |text| Division::parse(text).unwrap_err().problem;
        assert_eq!(problem("33102"), Problem::Length { found: 5, allowed: &[2, 4, 6, 9, 12] });
        assert_eq!(problem("33l023"), Problem::Character { position: 3, found: 'L', allowed: "0-9" });
        assert_eq!(problem("103310"), Problem::NoSuchProvince { digits: "10".into() });
        assert_eq!(problem("000000"), Problem::NoSuchProvince { digits: "00".into() });
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_read_back_and_every_parent_contains_it(text in "33([0-9]{2}|[0-9]{4}|[0-9]{7}|[0-9]{10})?") {
            let code = Division::parse(&text).unwrap();
            prop_assert_eq!(&Division::parse(code.as_str()).unwrap(), &code);
            let mut up = code.parent();
            while let Some(parent) = up {
                prop_assert!(parent.contains(&code) && parent != code);
                up = parent.parent();
            }
        }
    }
}
