//! Unified social credit codes, GB 32100-2015, and the organisation code inside, GB 11714.

use super::{CodeFault, CodeKind, Problem, expect_chars, expect_length, part};
use std::fmt;

const KIND: CodeKind = CodeKind::Uscc;
const ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";

/// A unified social credit code (统一社会信用代码): 1 registering department, 1 body class, 6 division, 9 organisation code (its last
/// character a check digit of its own), 1 check. Canonical: 18 capitals and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uscc(String);

impl Uscc {
    /// Reads 18 characters; lower case and full width are accepted.
    ///
    /// # Errors
    /// Wrong length; a character that is not one of the 31 (I, O, S, V, Z are not); digits where the division stands; the
    /// organisation code's check digit (position 17); the code's own (position 18).
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let text = super::clean(text);
        expect_length(KIND, &text, &[18])?;
        expect_chars(KIND, &text, 0, "0-9 A-Z (I O S V Z excepted)", |c| ALPHABET.contains(c))?;
        expect_chars(KIND, part(&text, 2, 8), 2, "0-9", |c| c.is_ascii_digit())?;
        expect_check(&text, 17, organisation_check(part(&text, 8, 16)))?;
        expect_check(&text, 18, own_check(part(&text, 0, 17)))?;
        Ok(Self(text))
    }

    /// The code with both check digits for `department` + `class` (two characters), six division digits and the eight-character
    /// body of the organisation code.
    ///
    /// # Errors
    /// What [`parse`](Self::parse) finds wrong with the result; also when the organisation code's check falls on a character a
    /// credit code cannot hold.
    pub fn make(department_and_class: &str, division: &str, organisation: &str) -> Result<Self, CodeFault> {
        let head = format!("{department_and_class}{division}{organisation}");
        let head = format!("{head}{}", organisation_check(organisation).unwrap_or('0'));
        let check = own_check(&head).unwrap_or('0');
        Self::parse(&format!("{head}{check}"))
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Six digits: the division of registration.
    pub fn division_digits(&self) -> &str {
        part(&self.0, 2, 8)
    }

    /// Nine characters: the organisation code (组织机构代码).
    pub fn organisation_code(&self) -> &str {
        part(&self.0, 8, 17)
    }
}

impl fmt::Display for Uscc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn expect_check(text: &str, position: usize, should_be: Option<char>) -> Result<(), CodeFault> {
    let found = text.chars().nth(position.saturating_sub(1)).unwrap_or_default();
    match should_be {
        Some(should_be) if should_be != found => {
            Err(CodeFault::new(KIND, Problem::CheckDigit { position, found, should_be }))
        }
        _ => Ok(()),
    }
}

/// GB 11714: weights 3 7 9 10 5 8 4 2 over 0-9, A-Z as 10–35; 11 − Σ mod 11; 10 → X, 11 → 0.
fn organisation_check(body: &str) -> Option<char> {
    let sum: u32 =
        body.chars().zip([3, 7, 9, 10, 5, 8, 4, 2]).map(|(c, weight)| c.to_digit(36).unwrap_or(0) * weight).sum();
    match 11 - sum % 11 {
        11 => Some('0'),
        10 => Some('X'),
        value => char::from_digit(value, 10),
    }
}

/// GB 32100: weights 3^i mod 31 over the 31-character alphabet; (31 − Σ mod 31) mod 31.
fn own_check(body: &str) -> Option<char> {
    let (mut sum, mut weight) = (0usize, 1usize);
    for c in body.chars() {
        sum += weight * ALPHABET.find(c)?;
        weight = weight * 3 % 31;
    }
    ALPHABET.chars().nth((31 - sum % 31) % 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_published_codes_pass() {
        for text in ["11100000000013338W", "11430000006122244L", "91460100MA5THWMM2J", "11331023MB0T74698J"] {
            assert_eq!(Uscc::parse(text).unwrap().as_str(), text);
            assert_eq!(Uscc::parse(&text.to_lowercase()).unwrap().as_str(), text);
        }
        assert_eq!(Uscc::parse("91460100MA5THWMM2J").unwrap().organisation_code(), "MA5THWMM2");
        assert_eq!(Uscc::parse("11331023MB0T74698J").unwrap().division_digits(), "331023");
    }

    #[test]
    fn both_check_digits_are_tested_and_named() {
        let problem = |text| Uscc::parse(text).unwrap_err().problem;
        assert_eq!(problem("91460100MA5THWMM2K"), Problem::CheckDigit { position: 18, found: 'K', should_be: 'J' });
        assert_eq!(problem("91460100MA5THWMM3J"), Problem::CheckDigit { position: 17, found: '3', should_be: '2' });
        assert!(matches!(problem("91460100MA5THWIM2J"), Problem::Character { position: 15, found: 'I', .. }));
        assert!(matches!(problem("9146A100MA5THWMM2J"), Problem::Character { position: 5, found: 'A', .. }));
        assert_eq!(problem("91460100MA5THWMM2"), Problem::Length { found: 17, allowed: &[18] });
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_back_and_one_changed_character_is_noticed(
            organisation in "M[ABCD][0-9A-HJ-NP-RTUWXY]{6}", at in 8usize..18, to in 0usize..31,
        ) {
            let code = Uscc::make("91", "331099", &organisation).unwrap();
            prop_assert_eq!(&Uscc::parse(code.as_str()).unwrap(), &code);
            let mut changed: Vec<char> = code.as_str().chars().collect();
            let new = ALPHABET.chars().nth(to).unwrap();
            prop_assume!(changed[at] != new);
            changed[at] = new;
            prop_assert!(Uscc::parse(&changed.into_iter().collect::<String>()).is_err());
        }

        #[test]
        fn any_text_is_a_code_or_a_fault(text in "\\PC{0,20}") {
            let _ = Uscc::parse(&text);
        }
    }
}
