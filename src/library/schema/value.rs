//! One value into canonical text, or what is wrong with it.

use super::{Choice, FieldKind, RowReason};
use crate::library::codes::{
    CalendarDate, Division, HolderCodeType, LicenceId, LicenceTypeCode, QualityFlag, Uscc, half_width,
};
use crate::library::name::is_private_use;
use unicode_normalization::UnicodeNormalization;

/// Most characters of a text.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// Most characters of a name.
pub const NAME_CHARS_MAX: usize = 200;

/// What is wrong with one value: reason, Chinese, English.
pub(super) type Wrong = (RowReason, String, String);

/// The canonical text of a value of this kind. Holder codes, geometry and datum need their neighbours: see `row.rs`.
pub(super) fn canonical(kind: FieldKind, raw: &str) -> Result<(String, Option<QualityFlag>), Wrong> {
    if is_canonical(kind, raw) {
        return Ok((raw.to_owned(), None)); // as nearly every value of a file is
    }
    slowly(kind, raw)
}

fn slowly(kind: FieldKind, raw: &str) -> Result<(String, Option<QualityFlag>), Wrong> {
    let code = |fault: crate::library::codes::CodeFault| (RowReason::CodeInvalid, fault.zh(), fault.en());
    let plain = |text: String| Ok((text, None));
    match kind {
        FieldKind::Text | FieldKind::Datum | FieldKind::HolderCode(_) => {
            text(raw, TEXT_CHARS_MAX).map(|text| (text, None))
        }
        FieldKind::Name => {
            let name = text(raw, NAME_CHARS_MAX)?;
            let flag = name.chars().any(is_private_use).then_some(QualityFlag::PrivateUseCharacter);
            Ok((name, flag))
        }
        FieldKind::Date => match CalendarDate::parse(raw) {
            Ok(date) => plain(date.to_string()),
            Err(fault) => Err((RowReason::DateInvalid, fault.zh(), fault.en())),
        },
        FieldKind::Integer => number(raw, 0).map(|text| (text, None)),
        FieldKind::Decimal => number(raw, 6).map(|text| (text, None)),
        FieldKind::Enum(choices) => one_of(raw, choices).map(|text| (text, None)),
        FieldKind::HolderCodeType => {
            let code_type = HolderCodeType::parse(raw).map_err(code)?;
            Ok((code_type.to_string(), (!code_type.is_known()).then_some(QualityFlag::UnknownCodeType)))
        }
        FieldKind::Uscc => plain(Uscc::parse(raw).map_err(code)?.to_string()),
        FieldKind::LicenceId => {
            let (id, flag) = LicenceId::parse_lenient(raw).map_err(code)?;
            Ok((id.to_string(), flag))
        }
        FieldKind::LicenceType => plain(LicenceTypeCode::parse(raw).map_err(code)?.to_string()),
        FieldKind::Division => plain(Division::parse(raw).map_err(code)?.to_string()),
        FieldKind::Flag => flag(raw).map(|text| (text, None)),
        FieldKind::Digest => digest(raw).map(|text| (text, None)),
        // Geometry is read with its datum in row.rs; here only that there is something to read.
        FieldKind::Geometry => plain(raw.trim().to_owned()),
    }
}

/// Whether a value is seen at a glance to be its own canonical text, with nothing to flag; `false` says nothing.
fn is_canonical(kind: FieldKind, raw: &str) -> bool {
    match kind {
        FieldKind::Text | FieldKind::Datum | FieldKind::HolderCode(_) => is_plain(raw, TEXT_CHARS_MAX),
        FieldKind::Name => is_plain(raw, NAME_CHARS_MAX),
        FieldKind::Date => is_canonical_date(raw),
        FieldKind::Enum(choices) => choices.iter().any(|choice| choice.name == raw),
        FieldKind::Digest => raw.len() == 64 && raw.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        _ => false,
    }
}

/// Only printable ASCII and unified ideographs, none of which composes with another (all are NFC_QC=Yes and starters), and no space
/// at either end.
fn is_plain(raw: &str, chars_max: usize) -> bool {
    let plain = |c: char| matches!(c, ' '..='~' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}');
    raw.len() <= chars_max && !raw.starts_with(' ') && !raw.ends_with(' ') && raw.chars().all(plain)
}

fn is_canonical_date(raw: &str) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = raw.as_bytes() else { return false };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2];
    if !digits.iter().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let number = |digits: &[&u8]| digits.iter().fold(0_u16, |n, digit| n * 10 + u16::from(**digit - b'0'));
    let (month, day) = (u8::try_from(number(&[m1, m2])), u8::try_from(number(&[d1, d2])));
    matches!((month, day), (Ok(month), Ok(day)) if CalendarDate::new(number(&[y1, y2, y3, y4]), month, day).is_some())
}

fn text(raw: &str, chars_max: usize) -> Result<String, Wrong> {
    let text: String = raw.trim().nfc().collect();
    let found = text.chars().count();
    if found > chars_max {
        return Err((
            RowReason::TextTooLong,
            format!("最长{chars_max}个字符，实为{found}个"),
            format!("at most {chars_max} characters, this has {found}"),
        ));
    }
    match text.chars().enumerate().find(|(_, c)| is_hidden_control(*c)) {
        None => Ok(text),
        Some((at, c)) => {
            let (position, shown) = (at + 1, c.escape_unicode());
            Err((
                RowReason::TextInvalid,
                format!("第{position}个字符{shown}为控制字符，不允许"),
                format!("character {position} is the control character {shown}"),
            ))
        }
    }
}

/// Control characters, and those that reorder or blank what a reader sees.
fn is_hidden_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FFFD}' | '\u{FEFF}')
}

fn number(raw: &str, decimals: usize) -> Result<String, Wrong> {
    let text: String = raw.trim().chars().map(half_width).collect();
    read_number(&text, decimals).ok_or_else(|| {
        (
            RowReason::NumberInvalid,
            format!("“{}”不是{}", short(&text), if decimals == 0 { "整数" } else { "十进制数（最多6位小数）" }),
            format!(
                "'{}' is not {}",
                short(&text),
                if decimals == 0 { "an integer" } else { "a decimal with at most 6 places" }
            ),
        )
    })
}

fn read_number(text: &str, decimals: usize) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > 18 || fraction.len() > decimals {
        return None;
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

fn one_of(raw: &str, choices: &[Choice]) -> Result<String, Wrong> {
    let text: String = raw.trim().nfc().map(half_width).collect();
    let found =
        choices.iter().find(|choice| choice.name == text || choice.zh == text || choice.also.contains(&text.as_str()));
    found.map(|choice| choice.name.to_owned()).ok_or_else(|| {
        let zh: Vec<&str> = choices.iter().map(|choice| choice.zh).collect();
        let en: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
        (
            RowReason::ChoiceUnknown,
            format!("“{}”不在可选值中：{}", short(&text), zh.join("、")),
            format!("'{}' is none of {}", short(&text), en.join(", ")),
        )
    })
}

fn flag(raw: &str) -> Result<String, Wrong> {
    let text = raw.trim().to_ascii_lowercase();
    match text.as_str() {
        "true" | "1" | "是" | "y" | "yes" => Ok("true".to_owned()),
        "false" | "0" | "否" | "n" | "no" => Ok("false".to_owned()),
        _ => Err((
            RowReason::ChoiceUnknown,
            format!("“{}”应为 是 或 否", short(&text)),
            format!("'{}' is neither true nor false", short(&text)),
        )),
    }
}

fn digest(raw: &str) -> Result<String, Wrong> {
    let text = raw.trim().to_ascii_lowercase();
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err((
        RowReason::CodeInvalid,
        "应为64位十六进制SHA-256摘要".to_owned(),
        "not a SHA-256 digest of 64 hexadecimal digits".to_owned(),
    ))
}

fn short(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: FieldKind, raw: &str, expected: Option<&str>) {
        assert_eq!(canonical(kind, raw).ok().map(|(text, _)| text).as_deref(), expected, "{raw:?}");
    }

    #[test]
    fn numbers_have_one_spelling() {
        for (raw, expected) in [
            ("007", Some("7")),
            ("0", Some("0")),
            ("-0", Some("0")),
            ("-12", Some("-12")),
            ("１２", Some("12")),
            ("1.5", None),
            ("1e3", None),
            ("", None),
            ("-", None),
            ("1234567890123456789", None),
        ] {
            check(FieldKind::Integer, raw, expected);
        }
        for (raw, expected) in [
            ("500000.00", Some("500000")),
            ("0.50", Some("0.5")),
            (".5", None),
            ("5.", None),
            ("1.1234567", None),
            ("-0.25", Some("-0.25")),
            ("1,000", None),
            ("NaN", None),
        ] {
            check(FieldKind::Decimal, raw, expected);
        }
    }

    #[test]
    fn texts_are_nfc_and_free_of_what_cannot_be_seen() {
        check(FieldKind::Text, " e\u{301} ", Some("\u{e9}"));
        check(FieldKind::Text, "a\u{0}b", None);
        check(FieldKind::Text, "a\u{202E}b", None);
        check(FieldKind::Name, &"长".repeat(201), None);
        assert_eq!(canonical(FieldKind::Name, "张\u{E000}").unwrap().1, Some(QualityFlag::PrivateUseCharacter));
    }

    #[test]
    fn what_is_taken_at_a_glance_is_what_a_closer_look_gives() {
        let choices: &[Choice] = &[Choice { name: "male", zh: "男", also: &["1"] }];
        let kinds = [FieldKind::Text, FieldKind::Name, FieldKind::Date, FieldKind::Digest, FieldKind::Enum(choices)];
        let values = [
            "浙江省台州市天台县赤城街道1号",
            "张三",
            " 张三",
            "张三 ",
            "a\u{301}",
            "e\u{301}",
            "1900-02-29",
            "2024-02-29",
            "2024-2-29",
            "1799-12-31",
            "9999-12-31",
            "2024-13-01",
            "male",
            "男",
            "ab",
            "A b~",
            "张\u{E000}",
            "\u{F900}",
            "\t",
        ];
        let more =
            ["0".repeat(64), "g".repeat(64), "A".repeat(64), "长".repeat(70), "x".repeat(201), "x".repeat(4_001)];
        for kind in kinds {
            for raw in values.iter().copied().chain(more.iter().map(String::as_str)) {
                if is_canonical(kind, raw) {
                    assert_eq!(slowly(kind, raw).ok(), Some((raw.to_owned(), None)), "{kind:?} {raw:?}");
                }
            }
        }
        assert!(is_canonical(FieldKind::Text, values[0]) && is_canonical(FieldKind::Date, "2024-02-29"));
        assert!(!is_canonical(FieldKind::Date, "1900-02-29") && !is_canonical(FieldKind::Name, "张\u{E000}"));
    }

    #[test]
    fn flags_and_digests_have_one_spelling() {
        check(FieldKind::Flag, "是", Some("true"));
        check(FieldKind::Flag, "0", Some("false"));
        check(FieldKind::Flag, "maybe", None);
        check(FieldKind::Digest, &"AB".repeat(32), Some(&"ab".repeat(32)));
        check(FieldKind::Digest, "ab", None);
    }
}
