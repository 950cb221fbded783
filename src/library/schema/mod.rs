//! The core fields of every library, and the one gate a row passes to become a record.
//!
//! Promise: after [`validate_row`] every text is canonical (dates `YYYY-MM-DD`, codes in canonical form, NFC), the key is known,
//! and a refused row names every bad field at once. What the law calls a field is its `title_zh`.

mod fields;
mod row;
mod value;

pub use row::{CanonicalRow, ExtensionField, RecordKey, RowFault, RowReason, validate_row, validate_row_with};
pub use value::{NAME_CHARS_MAX, TEXT_CHARS_MAX};

use super::mask::Mask;

/// What kinds of things the hub holds, with numbers that never change. Those below 16 are the five base libraries, the rest the
/// hub's own records, which share their storage and version rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Library {
    /// 人口库
    Population = 1,
    /// 法人库
    LegalEntity = 2,
    /// 信用库
    Credit = 3,
    /// 地理空间库
    Geospatial = 4,
    /// 电子证照库
    Licence = 5,
    /// 部门
    Department = 16,
    /// 业务系统
    System = 17,
    /// 共享许可
    Grant = 18,
    /// 信息资源
    Resource = 19,
    /// 证照类型
    LicenceType = 20,
    /// 签发密钥
    IssuerKey = 21,
    /// 导入批次
    Import = 22,
    /// 电子印章
    Seal = 23,
}

impl Library {
    /// All of them, by number.
    pub const ALL: [Self; 13] = [
        Self::Population,
        Self::LegalEntity,
        Self::Credit,
        Self::Geospatial,
        Self::Licence,
        Self::Department,
        Self::System,
        Self::Grant,
        Self::Resource,
        Self::LicenceType,
        Self::IssuerKey,
        Self::Import,
        Self::Seal,
    ];

    /// The number in statements and storage keys.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The library with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|library| library.number() == number)
    }

    /// The name in files, commands and configuration.
    pub fn code(self) -> &'static str {
        match self {
            Self::Population => "population",
            Self::LegalEntity => "legal_entity",
            Self::Credit => "credit",
            Self::Geospatial => "geospatial",
            Self::Licence => "licence",
            Self::Department => "department",
            Self::System => "system",
            Self::Grant => "grant",
            Self::Resource => "resource",
            Self::LicenceType => "licence_type",
            Self::IssuerKey => "issuer_key",
            Self::Import => "import",
            Self::Seal => "seal",
        }
    }

    /// The library with this name.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|library| library.code() == code)
    }

    /// The Chinese name.
    pub fn zh(self) -> &'static str {
        match self {
            Self::Population => "人口库",
            Self::LegalEntity => "法人库",
            Self::Credit => "信用库",
            Self::Geospatial => "地理空间库",
            Self::Licence => "电子证照库",
            Self::Department => "部门",
            Self::System => "业务系统",
            Self::Grant => "共享许可",
            Self::Resource => "信息资源",
            Self::LicenceType => "证照类型",
            Self::IssuerKey => "签发密钥",
            Self::Import => "导入批次",
            Self::Seal => "电子印章",
        }
    }

    /// Whether it is one of the five base libraries.
    pub fn is_base(self) -> bool {
        self.number() < 16
    }

    /// The core fields in their order; empty for the hub's own records.
    pub fn fields(self) -> &'static [FieldSpec] {
        match self {
            Self::Population => fields::POPULATION,
            Self::LegalEntity => fields::LEGAL_ENTITY,
            Self::Credit => fields::CREDIT,
            Self::Geospatial => fields::GEOSPATIAL,
            Self::Licence => fields::LICENCE,
            _ => &[],
        }
    }

    /// The core field of this name.
    pub fn field(self, name: &str) -> Option<&'static FieldSpec> {
        self.fields().iter().find(|field| field.name == name)
    }
}

/// One value an enumerated field may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The canonical text.
    pub name: &'static str,
    /// What a clerk reads.
    pub zh: &'static str,
    /// Other spellings found in source data.
    pub also: &'static [&'static str],
}

/// What a field holds, and so what its canonical text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// NFC, trimmed, no control characters, at most [`TEXT_CHARS_MAX`] characters.
    Text,
    /// A name: as text, at most [`NAME_CHARS_MAX`] characters.
    Name,
    /// `YYYY-MM-DD`.
    Date,
    /// Decimal digits with an optional minus, at most 18.
    Integer,
    /// As an integer, with at most six more digits after a point, no trailing zeros.
    Decimal,
    /// One of these.
    Enum(&'static [Choice]),
    /// Three digits, GB/T 36903 appendix A.
    HolderCodeType,
    /// A code of the type that stands in the field named here.
    HolderCode(&'static str),
    /// A unified social credit code.
    Uscc,
    /// A licence identifier; a wrong check character is kept and flagged.
    LicenceId,
    /// A licence type code.
    LicenceType,
    /// A division code.
    Division,
    /// `true` or `false`.
    Flag,
    /// A SHA-256 digest: 64 lower-case hexadecimal digits.
    Digest,
    /// The datum of coordinates: `CGCS2000` or `WGS84`; others are converted together with the geometry.
    Datum,
    /// GeoJSON geometry text: point, polygon or multipolygon.
    Geometry,
}

impl FieldKind {
    /// The name in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "name",
            Self::Date => "date",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Enum(_) => "enum",
            Self::HolderCodeType => "holder_code_type",
            Self::HolderCode(_) => "holder_code",
            Self::Uscc => "uscc",
            Self::LicenceId => "licence_id",
            Self::LicenceType => "licence_type",
            Self::Division => "division",
            Self::Flag => "flag",
            Self::Digest => "digest",
            Self::Datum => "datum",
            Self::Geometry => "geometry",
        }
    }

    /// The kind an extension or face field may have, by its name in the catalogue.
    pub fn of_extension(name: &str) -> Option<Self> {
        [
            Self::Text,
            Self::Name,
            Self::Date,
            Self::Integer,
            Self::Decimal,
            Self::Uscc,
            Self::Division,
            Self::Flag,
            Self::Digest,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// How closely a field must be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sensitivity {
    /// Published anyway.
    Public,
    /// For government use.
    Internal,
    /// Personal information.
    Personal,
    /// Sensitive personal information (个人信息保护法 art. 28) and what identifies a person uniquely.
    Sensitive,
}

impl Sensitivity {
    /// The name in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Personal => "personal",
            Self::Sensitive => "sensitive",
        }
    }
}

/// One core field of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name in files, questions, grants and storage.
    pub name: &'static str,
    /// Its Chinese name.
    pub title_zh: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether every row has it.
    pub required: bool,
    /// How closely it is kept.
    pub sensitivity: Sensitivity,
    /// What is left of it where a grant gives masked values.
    pub mask: Mask,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_find_their_library() {
        for library in Library::ALL {
            assert_eq!(Library::from_number(library.number()), Some(library));
            assert_eq!(Library::from_code(library.code()), Some(library));
        }
        assert_eq!((Library::Population.number(), Library::Licence.number(), Library::Import.number()), (1, 5, 22));
        assert_eq!(Library::from_number(6), None);
    }

    #[test]
    fn field_tables_are_sound() {
        for library in Library::ALL {
            let fields = library.fields();
            assert_eq!(library.is_base(), !fields.is_empty());
            for (at, field) in fields.iter().enumerate() {
                assert!(!fields[..at].iter().any(|other| other.name == field.name), "{} twice", field.name);
                assert!(!field.title_zh.is_empty());
                match field.kind {
                    FieldKind::HolderCode(of) => {
                        assert_eq!(library.field(of).unwrap().kind, FieldKind::HolderCodeType);
                    }
                    FieldKind::Enum(choices) => {
                        let mut spellings: Vec<&str> =
                            choices.iter().flat_map(|c| c.also.iter().copied().chain([c.name, c.zh])).collect();
                        let count = spellings.len();
                        spellings.sort_unstable();
                        spellings.dedup();
                        assert_eq!(spellings.len(), count, "{} has a spelling twice", field.name);
                    }
                    _ => {}
                }
                if field.sensitivity == Sensitivity::Sensitive && matches!(field.kind, FieldKind::HolderCode(_)) {
                    assert_eq!(field.mask, Mask::Id, "{}", field.name);
                }
            }
        }
    }
}
