//! Licence identifiers (电子证照标识), GB/T 36904-2018: `root.type.issuer.serial.version.check`.

use super::{CodeFault, CodeKind, Problem, QualityFlag, Uscc, expect_chars, expect_length, part};
use std::fmt;

const KIND: CodeKind = CodeKind::LicenceId;
const ROOT: &str = "1.2.156.3005.2";
/// Most characters of a whole identifier.
const CHARS_MAX: usize = 128;
/// Most characters of a serial.
pub const SERIAL_CHARS_MAX: usize = 32;

/// A licence type code (证照类型代码): the unified social credit code of the body that defines the type, then three digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LicenceTypeCode(String);

impl LicenceTypeCode {
    /// Reads 21 characters.
    ///
    /// # Errors
    /// Wrong length, a character out of place, a credit code that is none (then the fault is that code's).
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let text = super::clean(text);
        expect_type_shape(CodeKind::LicenceType, &text, 0)?;
        Uscc::parse(part(&text, 0, 18))?;
        Ok(Self(text))
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unified social credit code of the body that defines the type.
    pub fn defining_authority(&self) -> &str {
        part(&self.0, 0, 18)
    }
}

impl fmt::Display for LicenceTypeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A licence identifier. Canonical: all six parts with the root, capitals and digits.
///
/// The parts are checked for shape only, because published identifiers carry type and issuer codes older than today's rules; what
/// the hub makes itself ([`make`](Self::make)) has valid credit codes in both places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LicenceId {
    type_code: String,
    issuer: String,
    serial: String,
    version: u16,
    check: char,
}

impl LicenceId {
    /// Reads an identifier, from the right: check, version, serial, issuer, type; what is left is the root, which may be missing.
    ///
    /// # Errors
    /// Too long, parts missing, another root, a part of the wrong length or with a wrong character, a wrong check character.
    /// Positions count within the whole identifier as given.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let (id, flag) = Self::parse_lenient(text)?;
        match flag {
            None => Ok(id),
            Some(_) => Err(CodeFault::new(
                KIND,
                Problem::CheckDigit {
                    position: super::clean(text).chars().count(),
                    found: id.check,
                    should_be: id.right_check(),
                },
            )),
        }
    }

    /// As [`parse`](Self::parse), but a wrong check character is kept as it is and flagged: for imports only, since some issuers
    /// compute it otherwise.
    ///
    /// # Errors
    /// All of [`parse`](Self::parse)'s but the check character.
    pub fn parse_lenient(text: &str) -> Result<(Self, Option<QualityFlag>), CodeFault> {
        let text: String = text.trim().chars().map(super::half_width).collect();
        let found = text.chars().count();
        if found == 0 {
            return Err(CodeFault::new(KIND, Problem::Empty));
        }
        if found > CHARS_MAX {
            return Err(CodeFault::new(KIND, Problem::TooLong { found, max: CHARS_MAX }));
        }
        let mut parts = text.rsplitn(6, '.');
        let mut next = || parts.next();
        let (Some(check), Some(version), Some(serial), Some(issuer), Some(type_code)) =
            (next(), next(), next(), next(), next())
        else {
            return Err(CodeFault::new(KIND, Problem::PartMissing { found: text.split('.').count() }));
        };
        let root = next();
        if let Some(root) = root.filter(|root| *root != ROOT) {
            return Err(CodeFault::new(KIND, Problem::Root { found: root.to_owned() }));
        }
        // Characters before each part, dots included, so that a fault names the position in the whole text.
        let at_type = root.map_or(0, |root| root.len() + 1);
        let at_issuer = at_type + type_code.chars().count() + 1;
        let at_serial = at_issuer + issuer.chars().count() + 1;
        let at_version = at_serial + serial.chars().count() + 1;
        let at_check = at_version + version.chars().count() + 1;

        expect_part_length(type_code, ("类型代码", "type code"), &[21])?;
        expect_type_shape(KIND, type_code, at_type)?;
        expect_part_length(issuer, ("颁证机构代码", "issuer code"), &[6, 18])?;
        expect_capitals(issuer, at_issuer)?;
        expect_serial(serial, at_serial)?;
        expect_part_length(version, ("版本号", "version"), &[3])?;
        expect_chars(KIND, version, at_version, "0-9", |c| c.is_ascii_digit())?;
        expect_part_length(check, ("校验位", "check character"), &[1])?;
        expect_capitals(check, at_check)?;
        let version: u16 = version.parse().unwrap_or(0);
        if version == 0 {
            return Err(CodeFault::new(
                KIND,
                Problem::Character { position: at_version + 3, found: '0', allowed: "001-999" },
            ));
        }
        let id = Self {
            type_code: type_code.to_owned(),
            issuer: issuer.to_owned(),
            serial: serial.to_owned(),
            version,
            check: check.chars().next().unwrap_or_default(),
        };
        let flag = (id.check != id.right_check()).then_some(QualityFlag::CheckCharMismatch);
        Ok((id, flag))
    }

    /// The identifier with the right check character.
    ///
    /// # Errors
    /// A serial that is not 1–32 capitals and digits, a version that is not 1–999.
    pub fn make(type_code: &LicenceTypeCode, issuer: &Uscc, serial: &str, version: u16) -> Result<Self, CodeFault> {
        expect_serial(serial, 0)?;
        if !(1..=999).contains(&version) {
            return Err(CodeFault::new(KIND, Problem::TooLong { found: version.to_string().len(), max: 3 }));
        }
        let mut id = Self {
            type_code: type_code.as_str().to_owned(),
            issuer: issuer.as_str().to_owned(),
            serial: serial.to_owned(),
            version,
            check: '0',
        };
        id.check = id.right_check();
        Ok(id)
    }

    /// The identifier of the next version under the same serial; `None` after 999.
    pub fn next_version(&self) -> Option<Self> {
        let version = self.version.checked_add(1).filter(|version| *version <= 999)?;
        let mut next = Self { version, ..self.clone() };
        next.check = next.right_check();
        Some(next)
    }

    /// The type code, 21 characters.
    pub fn type_code(&self) -> &str {
        &self.type_code
    }

    /// The issuer: a unified social credit code, or in legacy data a 6-digit division or another 18-character number.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The serial, kept through changes and renewals.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The version, 1–999.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The check character as read; see [`right_check`](Self::right_check).
    pub fn check(&self) -> char {
        self.check
    }

    /// Type, issuer and serial: what all versions of one licence share.
    pub fn stem(&self) -> String {
        format!("{ROOT}.{}.{}.{}", self.type_code, self.issuer, self.serial)
    }

    /// The check character ISO/IEC 7064 MOD 37,36 gives over type, issuer, serial and version, dots and root left out.
    pub fn right_check(&self) -> char {
        let body = format!("{}{}{}{:03}", self.type_code, self.issuer, self.serial, self.version);
        mod_37_36(&body)
    }
}

impl fmt::Display for LicenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ROOT}.{}.{}.{}.{:03}.{}", self.type_code, self.issuer, self.serial, self.version, self.check)
    }
}

fn expect_type_shape(kind: CodeKind, text: &str, skip: usize) -> Result<(), CodeFault> {
    expect_length(kind, text, &[21])?;
    expect_chars(kind, text, skip, "0-9 A-Z", is_capital)?;
    expect_chars(kind, part(text, 18, 21), skip + 18, "0-9", |c| c.is_ascii_digit())
}

fn expect_part_length(
    text: &str,
    part: (&'static str, &'static str),
    allowed: &'static [usize],
) -> Result<(), CodeFault> {
    let found = text.chars().count();
    if allowed.contains(&found) {
        Ok(())
    } else {
        Err(CodeFault::new(KIND, Problem::PartLength { part, found, allowed }))
    }
}

fn expect_serial(text: &str, skip: usize) -> Result<(), CodeFault> {
    let found = text.chars().count();
    if found == 0 {
        return Err(CodeFault::new(KIND, Problem::Empty));
    }
    if found > SERIAL_CHARS_MAX {
        return Err(CodeFault::new(KIND, Problem::TooLong { found, max: SERIAL_CHARS_MAX }));
    }
    expect_capitals(text, skip)
}

fn expect_capitals(text: &str, skip: usize) -> Result<(), CodeFault> {
    expect_chars(KIND, text, skip, "0-9 A-Z", is_capital)
}

fn is_capital(c: char) -> bool {
    c.is_ascii_digit() || c.is_ascii_uppercase()
}

/// ISO/IEC 7064 MOD 37,36 (GB/T 17710-2008), hybrid, over 0-9 A-Z.
fn mod_37_36(body: &str) -> char {
    let mut p = 36u32;
    for c in body.chars() {
        p = (p + c.to_digit(36).unwrap_or(0)) % 36;
        if p == 0 {
            p = 36;
        }
        p = p * 2 % 37;
    }
    char::from_digit((37 - p) % 36, 36).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Identifiers published by third parties.
    const PUBLISHED: [&str; 5] = [
        "11100000000013338W011.11430000006122244L.20230000403.001.U",
        "11100000000013338W011.11430000006122244L.20230000403.002.S",
        "11100000MB03271699022.340100.000000016.001.9",
        "11100000000013338W032.11220000013544541J.2430599.001.F",
        "11100000000013338W009.11330105002500287C.2025052201.002.0",
    ];

    #[test]
    fn published_identifiers_pass_with_and_without_the_root() {
        for text in PUBLISHED {
            let id = LicenceId::parse(text).unwrap();
            assert_eq!(id.to_string(), format!("{ROOT}.{text}"));
            assert_eq!(LicenceId::parse(&id.to_string()).unwrap(), id);
        }
        let id = LicenceId::parse(PUBLISHED[0]).unwrap();
        assert_eq!(id.next_version().unwrap(), LicenceId::parse(PUBLISHED[1]).unwrap());
        assert_eq!((id.issuer(), id.serial(), id.version()), ("11430000006122244L", "20230000403", 1));
    }

    #[test]
    fn a_wrong_check_character_is_refused_and_on_import_kept_with_a_flag() {
        let text = "11100000000013338W011.11430000006122244L.20230000403.001.V";
        assert_eq!(
            LicenceId::parse(text).unwrap_err().problem,
            Problem::CheckDigit { position: text.len(), found: 'V', should_be: 'U' }
        );
        let (id, flag) = LicenceId::parse_lenient(text).unwrap();
        assert_eq!((id.check(), flag), ('V', Some(QualityFlag::CheckCharMismatch)));
        assert!(id.to_string().ends_with(".V"), "never silently corrected");
        assert_eq!(LicenceId::parse_lenient(PUBLISHED[0]).unwrap().1, None);
    }

    #[test]
    fn faults_name_the_part_and_the_position() {
        let problem = |text: &str| LicenceId::parse(text).unwrap_err().problem;
        assert_eq!(problem("1.2.3"), Problem::PartMissing { found: 3 });
        assert_eq!(
            problem("1.2.156.9999.2.11100000000013338W011.11430000006122244L.20230000403.001.U"),
            Problem::Root { found: "1.2.156.9999.2".into() }
        );
        assert_eq!(
            problem("11100000000013338W011.11430000006122244L.2023000040a.001.U"),
            Problem::Character { position: 52, found: 'a', allowed: "0-9 A-Z" }
        );
        assert!(matches!(
            problem("11100000000013338W011.11430000006122244L.20230000403.000.U"),
            Problem::Character { allowed: "001-999", .. }
        ));
        assert_eq!(
            problem("11100000000013338W011.1143000000612.20230000403.001.U"),
            Problem::PartLength { part: ("颁证机构代码", "issuer code"), found: 13, allowed: &[6, 18] }
        );
        assert!(matches!(problem(&"1".repeat(200)), Problem::TooLong { found: 200, max: 128 }));
    }

    #[test]
    fn a_type_code_is_a_credit_code_and_three_digits() {
        let code = LicenceTypeCode::parse("11100000000013338W011").unwrap();
        assert_eq!(code.defining_authority(), "11100000000013338W");
        assert_eq!(LicenceTypeCode::parse("11100000000013339W011").unwrap_err().kind, CodeKind::Uscc);
        assert!(matches!(
            LicenceTypeCode::parse("11100000000013338W01A").unwrap_err().problem,
            Problem::Character { position: 21, .. }
        ));
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_back_and_one_changed_character_is_noticed(
            serial in "[0-9A-Z]{1,32}", version in 1u16..=999, at in 0usize..32, to in 0u32..36,
        ) {
            let kind = LicenceTypeCode::parse("11100000000013338W011").unwrap();
            let issuer = Uscc::parse("11430000006122244L").unwrap();
            let id = LicenceId::make(&kind, &issuer, &serial, version).unwrap();
            prop_assert_eq!(&LicenceId::parse(&id.to_string()).unwrap(), &id);
            let new = char::from_digit(to, 36).unwrap().to_ascii_uppercase();
            prop_assume!(at < serial.len() && serial.as_bytes()[at] != new as u8);
            let mut changed = id.clone();
            changed.serial.replace_range(at..=at, &new.to_string());
            prop_assert!(LicenceId::parse(&changed.to_string()).is_err());
        }

        #[test]
        fn any_text_is_an_identifier_or_a_fault(text in "[0-9A-Za-z.\\PC]{0,140}") {
            let _ = LicenceId::parse_lenient(&text);
        }
    }
}
