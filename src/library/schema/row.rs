//! A row of a source's file into a canonical row, or everything that is wrong with it.

use super::value::{self, Wrong};
use super::{FieldKind, Library};
use crate::library::codes::{CodeFault, HolderCode, QualityFlag};
use crate::library::geospatial::{Geometry, SourceDatum};
use std::fmt;

/// Most bytes of all names and values of a row together; a stored value holds at most 64 KiB (design 8).
const ROW_BYTES_MAX: usize = 56 << 10;

/// A field a resource declares beside the core fields of its library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionField {
    /// Its name; must differ from all core fields.
    pub name: String,
    /// What it holds; one of those [`FieldKind::of_extension`] gives.
    pub kind: FieldKind,
    /// Whether every row has it.
    pub required: bool,
}

/// What a record is found by: a type in ASCII and a canonical code, as they enter the index key and `subject_ref` (design 7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// A holder code type (`111`, `001` …), or `credit`, `feature`, `licence`.
    pub code_type: String,
    /// The canonical code.
    pub code: String,
}

impl RecordKey {
    /// Key of a person's or organisation's record.
    pub fn of_holder(holder: &HolderCode) -> Self {
        Self { code_type: holder.code_type().to_string(), code: holder.code().to_owned() }
    }

    /// Key of a credit record: subject and the source's own number of it.
    pub fn of_credit(subject: &HolderCode, record_id: &str) -> Self {
        // A canonical code of a known type holds no line feed, nor does a text field: the parts cannot run into each other.
        Self {
            code_type: "credit".to_owned(),
            code: format!("{}\n{}\n{record_id}", subject.code_type(), subject.code()),
        }
    }

    /// Key of a geospatial feature.
    pub fn of_feature(feature_code: &str) -> Self {
        Self { code_type: "feature".to_owned(), code: feature_code.to_owned() }
    }

    /// Key of a licence, by its canonical identifier.
    pub fn of_licence(licence_id: &str) -> Self {
        Self { code_type: "licence".to_owned(), code: licence_id.to_owned() }
    }
}

/// A row that may become a record.
#[derive(Debug, Clone, PartialEq)]
pub struct CanonicalRow {
    /// The library it belongs to.
    pub library: Library,
    /// What it is found by.
    pub key: RecordKey,
    /// Whom it is about: the person or entity itself, the subject of a credit record, the holder of a licence, the owner of a
    /// feature if it has one.
    pub subject: Option<HolderCode>,
    /// (name, canonical text), core fields in schema order, then extension fields in theirs; absent fields are left out.
    pub fields: Vec<(String, String)>,
    /// What was odd but kept, ascending, each once.
    pub flags: Vec<QualityFlag>,
    /// The parsed geometry of a feature.
    pub geometry: Option<Geometry>,
}

impl CanonicalRow {
    /// The canonical text of a field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

/// Why a field was refused. The names are part of the contract and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowReason {
    /// A required field is missing or empty.
    FieldMissing,
    /// A field nobody declared.
    FieldUnknown,
    /// A field given twice.
    FieldTwice,
    /// A code that is wrong: length, character, date or check digit.
    CodeInvalid,
    /// A date the calendar does not have.
    DateInvalid,
    /// No number.
    NumberInvalid,
    /// None of the values allowed.
    ChoiceUnknown,
    /// Too many characters.
    TextTooLong,
    /// A control character.
    TextInvalid,
    /// A geometry that cannot be used.
    GeometryInvalid,
    /// A datum that is missing or unknown.
    DatumRefused,
    /// Two fields that cannot both be right.
    Contradiction,
    /// The row as a whole is too large.
    RowTooLarge,
}

impl RowReason {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::FieldMissing,
        Self::FieldUnknown,
        Self::FieldTwice,
        Self::CodeInvalid,
        Self::DateInvalid,
        Self::NumberInvalid,
        Self::ChoiceUnknown,
        Self::TextTooLong,
        Self::TextInvalid,
        Self::GeometryInvalid,
        Self::DatumRefused,
        Self::Contradiction,
        Self::RowTooLarge,
    ];

    /// UPPER_SNAKE_CASE.
    pub fn name(self) -> &'static str {
        match self {
            Self::FieldMissing => "FIELD_MISSING",
            Self::FieldUnknown => "FIELD_UNKNOWN",
            Self::FieldTwice => "FIELD_TWICE",
            Self::CodeInvalid => "CODE_INVALID",
            Self::DateInvalid => "DATE_INVALID",
            Self::NumberInvalid => "NUMBER_INVALID",
            Self::ChoiceUnknown => "CHOICE_UNKNOWN",
            Self::TextTooLong => "TEXT_TOO_LONG",
            Self::TextInvalid => "TEXT_INVALID",
            Self::GeometryInvalid => "GEOMETRY_INVALID",
            Self::DatumRefused => "DATUM_REFUSED",
            Self::Contradiction => "CONTRADICTION",
            Self::RowTooLarge => "ROW_TOO_LARGE",
        }
    }
}

/// One thing wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The field; empty where it is the row as a whole.
    pub field: String,
    /// Why.
    pub reason: RowReason,
    /// One Chinese sentence.
    pub zh: String,
    /// The same in English.
    pub en: String,
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.en, self.reason.name())
    }
}

/// Reads a row of a base library that has core fields only.
///
/// # Errors
/// Every fault found, at least one.
pub fn validate_row<N: AsRef<str>, V: AsRef<str>>(
    library: Library,
    fields: &[(N, V)],
) -> Result<CanonicalRow, Vec<RowFault>> {
    validate_row_with(library, &[], fields)
}

/// Reads a row of a base library with the extension fields its resource declares. Empty values count as absent.
///
/// # Errors
/// Every fault found, at least one.
pub fn validate_row_with<N: AsRef<str>, V: AsRef<str>>(
    library: Library,
    extensions: &[ExtensionField],
    fields: &[(N, V)],
) -> Result<CanonicalRow, Vec<RowFault>> {
    let room = fields.len().saturating_add(1);
    let mut row = Draft { faults: Vec::new(), flags: Vec::new(), raw: Few::of(room), texts: Few::of(room) };
    row.take_raw(library, extensions, fields);
    let specs = library.fields().iter().map(|spec| (spec.name, spec.title_zh, spec.kind, spec.required));
    let more = extensions.iter().map(|field| (field.name.as_str(), field.name.as_str(), field.kind, field.required));
    let specs: Vec<Spec<'_>> = specs.chain(more).collect();
    specs.iter().for_each(|spec| row.read_simple(*spec));
    let holders = row.read_holder_codes(&specs);
    let geometry = if library == Library::Geospatial { row.read_geometry() } else { None };
    row.expect_sense(library, &holders);
    row.finish(library, &specs, &holders, geometry)
}

/// Name, Chinese name, kind, required.
type Spec<'a> = (&'a str, &'a str, FieldKind, bool);

/// A row while it is being read.
struct Draft<'a> {
    faults: Vec<RowFault>,
    flags: Vec<QualityFlag>,
    raw: Few<'a, &'a str>,
    texts: Few<'a, String>,
}

/// Values by name, so few that looking through them is the fastest way to find one.
struct Few<'a, V>(Vec<(&'a str, V)>);

impl<'a, V> Few<'a, V> {
    fn of(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    fn get(&self, name: &str) -> Option<&V> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn insert(&mut self, name: &'a str, value: V) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, present)) => *present = value,
            None => self.0.push((name, value)),
        }
    }

    fn remove(&mut self, name: &str) -> Option<V> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

impl<'a> Draft<'a> {
    fn fault(&mut self, field: &str, wrong: Wrong) {
        let (reason, zh, en) = wrong;
        self.faults.push(RowFault { field: field.to_owned(), reason, zh, en });
    }

    fn code_fault(&mut self, field: &str, fault: &CodeFault) {
        self.fault(field, (RowReason::CodeInvalid, fault.zh(), fault.en()));
    }

    fn take_raw<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        library: Library,
        extensions: &[ExtensionField],
        fields: &'a [(N, V)],
    ) {
        let mut bytes = 0usize;
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref());
            bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
            let known = library.field(name).is_some() || extensions.iter().any(|field| field.name == name);
            if !known {
                let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
                let wrong = (
                    RowReason::FieldUnknown,
                    format!("没有“{shown}”这个信息项"),
                    format!("there is no field '{shown}'"),
                );
                self.fault(&shown, wrong);
            } else if self.raw.contains_key(name) {
                self.fault(name, (RowReason::FieldTwice, "出现两次".to_owned(), "given twice".to_owned()));
            } else if !value.trim().is_empty() {
                self.raw.insert(name, value);
            }
        }
        if bytes > ROW_BYTES_MAX {
            let wrong = (
                RowReason::RowTooLarge,
                format!("整行{bytes}字节，超过{ROW_BYTES_MAX}字节"),
                format!("the row has {bytes} bytes, more than {ROW_BYTES_MAX}"),
            );
            self.fault("", wrong);
        }
    }

    /// Every value on its own: presence and canonical text.
    fn read_simple(&mut self, (name, title_zh, kind, required): Spec<'a>) {
        let Some(raw) = self.raw.get(name).copied() else {
            if required {
                let wrong = (RowReason::FieldMissing, format!("缺少{title_zh}"), format!("{name} is missing"));
                self.fault(name, wrong);
            }
            return;
        };
        match value::canonical(kind, raw) {
            Ok((text, flag)) => {
                self.texts.insert(name, text);
                self.flags.extend(flag);
            }
            Err(wrong) => self.fault(name, wrong),
        }
    }

    /// Codes of persons and organisations, each with the type beside it.
    fn read_holder_codes(&mut self, specs: &[Spec<'a>]) -> Vec<(&'a str, HolderCode)> {
        let mut holders = Vec::new();
        for (name, _, kind, _) in specs {
            let FieldKind::HolderCode(of) = kind else { continue };
            let code = self.texts.get(name).cloned();
            match (code, self.texts.get(of).cloned()) {
                (Some(code), Some(code_type)) => match HolderCode::parse_flagged(&code_type, &code) {
                    Ok((holder, flag)) => {
                        self.texts.insert(name, holder.code().to_owned());
                        self.flags.extend(flag);
                        holders.push((*name, holder));
                    }
                    Err(fault) => self.code_fault(name, &fault),
                },
                // A code without a type cannot be checked; a type that is there but wrong has its own fault already.
                (Some(_), None)
                    if !self.raw.contains_key(of) && !self.faults.iter().any(|fault| fault.field == *of) =>
                {
                    let wrong = (
                        RowReason::FieldMissing,
                        format!("有{name}而缺少{of}"),
                        format!("{name} is given without {of}"),
                    );
                    self.fault(of, wrong);
                }
                _ => {}
            }
        }
        holders
    }

    /// Geometry and datum belong together: coordinates mean nothing without it.
    fn read_geometry(&mut self) -> Option<Geometry> {
        let text = self.texts.get("geometry").cloned()?;
        let datum = self.texts.get("datum").cloned()?;
        let Some(source) = SourceDatum::parse(&datum) else {
            let shown: String = datum.chars().take(20).collect();
            let wrong = (
                RowReason::DatumRefused,
                format!("坐标系“{shown}”不认识，应为CGCS2000、WGS84、GCJ02或BD09"),
                format!("the datum '{shown}' is none of CGCS2000, WGS84, GCJ02, BD09"),
            );
            self.fault("datum", wrong);
            return None;
        };
        match Geometry::from_geojson(&text, source) {
            Ok(geometry) => {
                self.texts.insert("geometry", geometry.to_geojson());
                self.texts.insert("datum", geometry.datum().name().to_owned());
                if geometry.was_converted() {
                    self.flags.push(QualityFlag::DatumConverted);
                    self.texts.insert("source_datum", source.name().to_owned());
                }
                Some(geometry)
            }
            Err(fault) => {
                self.fault("geometry", (RowReason::GeometryInvalid, fault.zh(), fault.en()));
                None
            }
        }
    }

    /// What two fields say together.
    fn expect_sense(&mut self, library: Library, holders: &[(&str, HolderCode)]) {
        for (from, until) in [("founded", "term_end"), ("effective_date", "end_date"), ("valid_from", "valid_until")] {
            // Canonical dates compare as text.
            let reversed = match (self.texts.get(from), self.texts.get(until)) {
                (Some(first), Some(last)) => first > last,
                _ => false,
            };
            if reversed {
                let wrong = (
                    RowReason::Contradiction,
                    format!("截止日期早于起始日期（{from}）"),
                    format!("{until} lies before {from}"),
                );
                self.fault(until, wrong);
            }
        }
        if library != Library::Population {
            return;
        }
        let Some((_, holder)) = holders.first() else { return };
        if !holder.code_type().is_person() {
            let wrong = (
                RowReason::Contradiction,
                "人口库的证件类型应为自然人证件".to_owned(),
                "the population library holds persons only".to_owned(),
            );
            self.fault("holder_code_type", wrong);
        }
        let stated = holder.birth_date().map(|date| date.to_string());
        if let (Some(stated), Some(given)) = (stated, self.texts.get("birth_date"))
            && stated != *given
        {
            let wrong = (
                RowReason::Contradiction,
                "出生日期与证件号码不一致".to_owned(),
                "the birth date differs from the one in the code".to_owned(),
            );
            self.fault("birth_date", wrong);
        }
    }

    fn finish(
        mut self,
        library: Library,
        specs: &[Spec<'_>],
        holders: &[(&str, HolderCode)],
        geometry: Option<Geometry>,
    ) -> Result<CanonicalRow, Vec<RowFault>> {
        let holder = |name: &str| holders.iter().find(|(field, _)| *field == name).map(|(_, holder)| holder.clone());
        let text = |name: &str| self.texts.get(name).map(String::as_str).unwrap_or_default();
        let (subject, key) = match library {
            Library::Population => {
                let holder = holder("holder_code");
                (holder.clone(), holder.as_ref().map(RecordKey::of_holder))
            }
            Library::LegalEntity => {
                let holder = HolderCode::parse("001", text("uscc")).ok();
                (holder.clone(), holder.as_ref().map(RecordKey::of_holder))
            }
            Library::Credit => {
                let holder = holder("subject_code");
                let key = holder.as_ref().map(|holder| RecordKey::of_credit(holder, text("record_id")));
                (holder, key)
            }
            Library::Geospatial => (holder("owner_code"), Some(RecordKey::of_feature(text("feature_code")))),
            Library::Licence => (holder("holder_code"), Some(RecordKey::of_licence(text("licence_id")))),
            _ => (None, None),
        };
        let Some(key) = key.filter(|_| self.faults.is_empty()) else {
            if self.faults.is_empty() {
                let wrong = (RowReason::FieldMissing, "没有主键".to_owned(), "the row has no key".to_owned());
                self.fault("", wrong);
            }
            return Err(self.faults);
        };
        self.flags.sort_unstable();
        self.flags.dedup();
        let fields =
            specs.iter().filter_map(|(name, ..)| Some(((*name).to_owned(), self.texts.remove(name)?))).collect();
        Ok(CanonicalRow { library, key, subject, fields, flags: self.flags, geometry })
    }
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
