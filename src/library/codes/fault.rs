//! What is wrong with a code, said exactly.

use std::fmt;

/// Which kind of code was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeKind {
    /// Citizen identity number, GB 11643-1999.
    CitizenId,
    /// Residence permit of Hong Kong, Macau or Taiwan residents (81, 82, 83).
    ResidencePermit,
    /// Foreign permanent resident ID card.
    ForeignPermit,
    /// Unified social credit code, GB 32100-2015.
    Uscc,
    /// Licence identifier, GB/T 36904-2018.
    LicenceId,
    /// Licence type code: 21 characters.
    LicenceType,
    /// Administrative division, GB/T 2260 and its 9- and 12-digit extensions.
    Division,
    /// Holder code type, GB/T 36903 appendix A: three digits.
    HolderCodeType,
    /// A holder code of a type without a published rule.
    HolderCode,
    /// A calendar date.
    Date,
}

impl CodeKind {
    /// The Chinese name.
    pub fn zh(self) -> &'static str {
        match self {
            Self::CitizenId => "公民身份号码",
            Self::ResidencePermit => "港澳台居民居住证号码",
            Self::ForeignPermit => "外国人永久居留身份证号码",
            Self::Uscc => "统一社会信用代码",
            Self::LicenceId => "电子证照标识",
            Self::LicenceType => "证照类型代码",
            Self::Division => "行政区划代码",
            Self::HolderCodeType => "持证主体代码类型",
            Self::HolderCode => "持证主体代码",
            Self::Date => "日期",
        }
    }

    /// The English name.
    pub fn en(self) -> &'static str {
        match self {
            Self::CitizenId => "citizen ID number",
            Self::ResidencePermit => "residence permit number",
            Self::ForeignPermit => "foreign permanent resident number",
            Self::Uscc => "unified social credit code",
            Self::LicenceId => "licence identifier",
            Self::LicenceType => "licence type code",
            Self::Division => "division code",
            Self::HolderCodeType => "holder code type",
            Self::HolderCode => "holder code",
            Self::Date => "date",
        }
    }
}

/// What exactly is wrong. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nothing was given.
    Empty,
    /// The wrong number of characters.
    Length {
        /// Characters found.
        found: usize,
        /// Numbers of characters that are right.
        allowed: &'static [usize],
    },
    /// More characters than the rule allows.
    TooLong {
        /// Characters found.
        found: usize,
        /// Most characters allowed.
        max: usize,
    },
    /// A character that cannot stand where it stands.
    Character {
        /// Position, from 1.
        position: usize,
        /// The character found.
        found: char,
        /// What may stand there, e.g. `0-9`.
        allowed: &'static str,
    },
    /// A check digit that does not fit the rest.
    CheckDigit {
        /// Position, from 1.
        position: usize,
        /// The character found.
        found: char,
        /// The character the rule gives.
        should_be: char,
    },
    /// The digits where a date stands are not a day of the calendar.
    NoSuchDate {
        /// The text found.
        text: String,
    },
    /// The first two digits are no province, now or in any earlier edition.
    NoSuchProvince {
        /// The digits found.
        digits: String,
    },
    /// A part of a licence identifier is missing.
    PartMissing {
        /// Dot-separated parts found.
        found: usize,
    },
    /// A part of a licence identifier has the wrong number of characters.
    PartLength {
        /// The part, in Chinese and English.
        part: (&'static str, &'static str),
        /// Characters found.
        found: usize,
        /// Numbers of characters that are right.
        allowed: &'static [usize],
    },
    /// The root of a licence identifier is not 1.2.156.3005.2.
    Root {
        /// The root found.
        found: String,
    },
    /// Right, but not in the one form this hub uses as a key.
    NotCanonical {
        /// The canonical form.
        should_be: String,
    },
    /// A well-formed code of another kind.
    OtherKind {
        /// What it looks like.
        looks_like: CodeKind,
    },
}

/// A code that is not what it should be: which kind was expected and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFault {
    /// The kind of code expected.
    pub kind: CodeKind,
    /// What is wrong with it.
    pub problem: Problem,
}

impl CodeFault {
    /// A fault of this kind.
    pub fn new(kind: CodeKind, problem: Problem) -> Self {
        Self { kind, problem }
    }

    /// One Chinese sentence.
    pub fn zh(&self) -> String {
        let kind = self.kind.zh();
        match &self.problem {
            Problem::Empty => format!("{kind}为空"),
            Problem::Length { found, allowed } => format!("{kind}应为{}位，实为{found}位", join(allowed, "或")),
            Problem::TooLong { found, max } => format!("{kind}最长{max}个字符，实为{found}个"),
            Problem::Character { position, found, allowed } => {
                format!("{kind}第{position}位“{}”不允许，应为{allowed}", shown(*found))
            }
            Problem::CheckDigit { position, found, should_be } => {
                format!("{kind}第{position}位校验位为“{}”，应为“{should_be}”", shown(*found))
            }
            Problem::NoSuchDate { text } if text.is_empty() => format!("{kind}中没有日期"),
            Problem::NoSuchDate { text } => format!("{kind}中的日期“{}”不存在", shown_text(text)),
            Problem::NoSuchProvince { digits } => format!("{kind}开头的“{}”不是省级行政区划", shown_text(digits)),
            Problem::PartMissing { found } => {
                format!("{kind}应由根、类型、颁证机构、流水号、版本、校验位组成，以“.”分隔，实有{found}段")
            }
            Problem::PartLength { part: (part, _), found, allowed } => {
                format!("{kind}的{part}应为{}位，实为{found}位", join(allowed, "或"))
            }
            Problem::Root { found } => format!("{kind}的根应为1.2.156.3005.2，实为“{}”", shown_text(found)),
            Problem::NotCanonical { should_be } => format!("{kind}不是规范形式，应写作“{should_be}”"),
            Problem::OtherKind { looks_like } => format!("这是{}，不是{kind}", looks_like.zh()),
        }
    }

    /// One English sentence.
    pub fn en(&self) -> String {
        let kind = self.kind.en();
        match &self.problem {
            Problem::Empty => format!("the {kind} is empty"),
            Problem::Length { found, allowed } => {
                format!("a {kind} has {} characters, this one has {found}", join(allowed, " or "))
            }
            Problem::TooLong { found, max } => format!("a {kind} has at most {max} characters, this one has {found}"),
            Problem::Character { position, found, allowed } => {
                format!("character {position} of the {kind} is '{}', allowed are {allowed}", shown(*found))
            }
            Problem::CheckDigit { position, found, should_be } => {
                format!(
                    "the check digit at position {position} of the {kind} is '{}', it should be '{should_be}'",
                    shown(*found)
                )
            }
            Problem::NoSuchDate { text } => format!("the date '{}' in the {kind} does not exist", shown_text(text)),
            Problem::NoSuchProvince { digits } => {
                format!("'{}' at the start of the {kind} is no province", shown_text(digits))
            }
            Problem::PartMissing { found } => format!(
                "a {kind} is root, type, issuer, serial, version and check joined by dots; this one has {found} parts"
            ),
            Problem::PartLength { part: (_, part), found, allowed } => {
                format!("the {part} of a {kind} has {} characters, this one has {found}", join(allowed, " or "))
            }
            Problem::Root { found } => {
                format!("the root of the {kind} is '{}', it should be 1.2.156.3005.2", shown_text(found))
            }
            Problem::NotCanonical { should_be } => format!("the {kind} is not in canonical form, write '{should_be}'"),
            Problem::OtherKind { looks_like } => format!("this is a {}, not a {kind}", looks_like.en()),
        }
    }
}

impl fmt::Display for CodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en())
    }
}

impl std::error::Error for CodeFault {}

fn join(numbers: &[usize], with: &str) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(with)
}

/// A character from outside, made harmless for a terminal or a log line.
fn shown(c: char) -> String {
    if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }
}

/// A text from outside, cut and made harmless.
fn shown_text(text: &str) -> String {
    text.chars().take(40).map(shown).collect()
}
