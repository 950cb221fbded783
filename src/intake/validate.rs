//! A row into a record, or everything that is wrong with it at once.
//!
//! What the schema does not know is added here: formulas that a spreadsheet would run, coverage of the resource, size.
use super::licences::Licences;
use super::manifest;
use super::parse::{Batch, RawRow, fault};
use super::state::Import;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::library::codes::{CalendarDate, HolderCode, Uscc};
use crate::library::day;
use crate::library::geospatial::{Geometry, cover};
use crate::library::licence::Certified;
use crate::library::question::{Subject, credit_key};
use crate::library::record::{FieldText, Fields, Row, Source, View};
use crate::library::schema::{CanonicalRow, ExtensionField, FieldKind, Library, validate_row_with};
use crate::store::key_space::IndexKey;
use crate::store::vault::{PLAINTEXT_BYTES_MAX, Vault};
use crate::wire::proto::catalogue::v1::Resource;
use crate::wire::proto::intake::v1::{Manifest, RowFault};
use bytes::Bytes;
use prost::Message;
use std::borrow::Cow;
use std::sync::Arc;

/// Everything a row of one import is judged by.
pub(super) struct Plan {
    pub(super) manifest: Manifest,
    pub(super) resource: Resource,
    pub(super) library: Library,
    /// Extension fields with their Chinese names.
    pub(super) extensions: Vec<(ExtensionField, String)>,
    /// Files of signed licences are judged by an office instead of a schema.
    pub(super) licences: Option<Licences>,
    pub(super) source: Source,
    pub(super) vault: Arc<Vault>,
    /// Where links to what the resource holds begin.
    pub(super) resource_key: IndexKey,
    pub(super) pass: Pass,
    fields: Vec<ExtensionField>,
}

/// Which of the two passes a row is judged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Everything is looked at, nothing kept.
    Checking,
    /// The same file again, every row of it checked before: what follows from its bytes alone need not be found out again.
    Applying,
}

/// A row that was looked at.
#[derive(Debug)]
pub(super) struct Checked {
    /// Its number in the file.
    pub(super) number: u64,
    pub(super) outcome: Result<Candidate, Refused>,
}

/// A row that may become a version of a record.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) index_key: IndexKey,
    pub(super) row: Row,
    /// Credit records and licences: where links from their holders begin.
    pub(super) holders: Vec<IndexKey>,
    /// Features: the cells of the index of places; while applying only.
    pub(super) cells: Vec<u64>,
    /// Licences: whose certificate it was signed with.
    pub(super) signer: Option<Arc<Certified>>,
}

/// A row that was not taken.
#[derive(Debug)]
pub(super) struct Refused {
    /// Its key where it can be read: a bad row never removes the record it is about.
    pub(super) index_key: Option<IndexKey>,
    pub(super) faults: Vec<RowFault>,
    /// As the file has it.
    pub(super) raw: Vec<(String, String)>,
}

impl Plan {
    /// The plan of an import into a resource.
    ///
    /// # Errors
    /// As [`manifest::library_of`]; for licences as [`Licences::open`].
    pub(super) async fn open(
        exchange: &Arc<Exchange>,
        view: &View,
        import: &Import,
        resource: Resource,
        pass: Pass,
    ) -> Result<Self, Failure> {
        let library = manifest::library_of(&resource)?;
        let licences = match library {
            Library::Licence => Some(Licences::open(exchange, view, import, &resource).await?),
            _ => None,
        };
        let declared = resource.fields.iter().filter(|f| f.extension && library.field(&f.name).is_none());
        let extensions: Vec<(ExtensionField, String)> = declared
            .map(|field| {
                // A kind the schema does not offer for extensions is kept as text: the catalogue said so little about it.
                let kind = FieldKind::of_extension(&field.kind).unwrap_or(FieldKind::Text);
                (ExtensionField { name: field.name.clone(), kind, required: false }, field.title_zh.clone())
            })
            .collect();
        let source = Source {
            department: resource.source_department.clone(),
            system: import.manifest.system.clone(),
            batch: import.id.to_string(),
            source_time_ms: import.manifest.source_time_ms,
        };
        let fields = extensions.iter().map(|(field, _)| field.clone()).collect();
        let manifest = import.manifest.clone();
        let vault = exchange.vault.clone();
        let resource_key = vault.index_key(Library::Resource.number(), "resource", &resource.code);
        Ok(Self { manifest, resource, library, extensions, licences, source, vault, resource_key, pass, fields })
    }

    /// What a removal by this snapshot says: gone from the day the source speaks of, not before.
    pub(super) fn removed(&self, of: &Row, today: CalendarDate) -> Row {
        let said = day::of_ms(self.manifest.source_time_ms).min(today);
        Row {
            format: 1,
            code_type: of.code_type.clone(),
            code: of.code.clone(),
            resource: self.resource.code.clone(),
            removed: true,
            valid_from: day::number(said),
            source: Some(self.source.clone()),
            quality_flags: Vec::new(),
            salt: Bytes::new(),
            body: Bytes::new(),
        }
    }

    /// Judges some rows.
    pub(super) fn check_all(&self, batch: &Batch) -> Vec<Checked> {
        let mut checked = Vec::with_capacity(batch.len());
        match &self.licences {
            Some(licences) => licences.check_all(self, self.pass, batch, &mut checked),
            None => checked.extend(batch.rows().map(|row| self.check(row))),
        }
        checked
    }

    /// Judges one row.
    fn check(&self, raw: RawRow<'_>) -> Checked {
        let number = raw.number;
        let mut faults = raw.faults;
        faults.extend(raw.fields.iter().filter_map(|(name, value)| self.formula(name, value)));
        let unreadable = raw.fields.iter().any(|(name, _)| name.is_empty());
        let outcome = if unreadable {
            Err(faults)
        } else {
            match validate_row_with(self.library, &self.fields, &raw.fields) {
                Ok(row) => {
                    faults.extend(self.coverage(&row));
                    if faults.is_empty() { self.candidate(row) } else { Err(faults) }
                }
                Err(more) => {
                    faults.extend(more.into_iter().map(|f| RowFault {
                        reason: f.reason.name().to_owned(),
                        field: f.field,
                        text_zh: f.zh,
                        text_en: f.en,
                    }));
                    Err(faults)
                }
            }
        };
        let outcome =
            outcome.map_err(|faults| Refused { index_key: self.key_of(&raw.fields), faults, raw: owned(raw.fields) });
        Checked { number, outcome }
    }

    fn candidate(&self, mut row: CanonicalRow) -> Result<Candidate, Vec<RowFault>> {
        let holder = row.subject.as_ref().filter(|_| self.library == Library::Credit).map(Subject::from);
        let key = match (&row.subject, self.library) {
            (Some(subject), Library::Credit) => credit_key(subject, row.text("record_id").unwrap_or_default()),
            _ => Subject::new(row.key.code_type.as_str(), row.key.code.as_str()),
        };
        // A credit record's own dates say when it is in force; a corrected date must not leave the version before it standing.
        let valid_from = row.text("valid_from").and_then(|text| CalendarDate::parse(text).ok()).map_or(0, day::number);
        let geometry = row.geometry.take();
        // The geometry is kept once, as numbers; its text would double the largest rows.
        let kept = row.fields.into_iter().filter(|(name, _)| geometry.is_none() || name != "geometry");
        let body = Fields {
            fields: kept.map(|(name, value)| FieldText { name, value }).collect(),
            geometry: geometry.as_ref().map(crate::wire::geometry::to_proto),
        };
        let record = Row {
            format: 1,
            code_type: key.code_type,
            code: key.code,
            resource: self.resource.code.clone(),
            removed: false,
            valid_from,
            source: Some(self.source.clone()),
            quality_flags: row.flags.iter().map(|flag| flag.name().to_owned()).collect(),
            salt: Bytes::new(),
            body: body.encode_to_vec().into(),
        };
        let bytes = record.encoded_len();
        if bytes > PLAINTEXT_BYTES_MAX {
            let zh = format!("整条记录{bytes}字节，超过{PLAINTEXT_BYTES_MAX}字节");
            let en = format!("the record has {bytes} bytes, more than {PLAINTEXT_BYTES_MAX}");
            return Err(vec![fault("", "ROW_TOO_LARGE", zh, en)]);
        }
        let key = |code_type: &str, code: &str| self.vault.index_key(self.library.number(), code_type, code);
        let index_key = key(&record.code_type, &record.code);
        let holders = holder.iter().map(|holder| key(&holder.code_type, &holder.code)).collect();
        let cells = match geometry {
            Some(geometry) if self.pass == Pass::Applying => cells_of(&geometry),
            _ => Vec::new(),
        };
        Ok(Candidate { index_key, row: record, holders, cells, signer: None })
    }

    /// The key of a row that has faults, where at least that can be read.
    fn key_of(&self, fields: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<IndexKey> {
        let text = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.trim());
        let holder = |of: &str, code: &str| HolderCode::parse(text(of)?, text(code)?).ok();
        let key = match self.library {
            Library::Population => Subject::from(&holder("holder_code_type", "holder_code")?),
            Library::LegalEntity => Subject::new("001", Uscc::parse(text("uscc")?).ok()?.as_str()),
            Library::Credit => credit_key(&holder("subject_code_type", "subject_code")?, text("record_id")?),
            Library::Geospatial => Subject::new("feature", text("feature_code")?),
            _ => return None,
        };
        Some(self.vault.index_key(self.library.number(), &key.code_type, &key.code))
    }

    /// What a spreadsheet would run when somebody opens an extract of this field.
    fn formula(&self, name: &str, value: &str) -> Option<RowFault> {
        if !begins_formula(value.trim_start()) {
            return None;
        }
        let kind = self.library.field(name).map(|spec| spec.kind);
        let kind = kind.or_else(|| self.fields.iter().find(|field| field.name == name).map(|field| field.kind))?;
        if !matches!(kind, FieldKind::Text | FieldKind::Name) {
            return None;
        }
        let zh = "以 =、+、-、@ 开头，会被电子表格当作公式执行";
        Some(fault(name, "FORMULA_INJECTION", zh, "begins like a formula that a spreadsheet would run"))
    }

    /// A row outside what the resource is declared to cover is somebody else's.
    fn coverage(&self, row: &CanonicalRow) -> Vec<RowFault> {
        let mut faults = Vec::new();
        let (divisions, types) = (&self.resource.coverage_divisions, &self.resource.coverage_code_types);
        if let Some(division) = row.text("division")
            && !divisions.is_empty()
            && !divisions.iter().any(|prefix| division.starts_with(prefix.as_str()))
        {
            let zh = format!("行政区划{division}不在该资源的覆盖范围内");
            let en = format!("division {division} is outside what the resource covers");
            faults.push(fault("division", "DIVISION_NOT_COVERED", zh, en));
        }
        let subject = row.subject.as_ref().map(|s| s.code_type().to_string()).unwrap_or_default();
        if !types.is_empty() && !types.iter().any(|t| *t == row.key.code_type || *t == subject) {
            let shown = if subject.is_empty() { &row.key.code_type } else { &subject };
            let zh = format!("代码类型{shown}不在该资源的覆盖范围内");
            let en = format!("code type {shown} is outside what the resource covers");
            faults.push(fault("", "CODE_TYPE_NOT_COVERED", zh, en));
        }
        faults
    }
}

/// The fields of a row as they are kept beside what is wrong with it.
pub(super) fn owned(fields: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Vec<(String, String)> {
    fields.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn cells_of(geometry: &Geometry) -> Vec<u64> {
    cover(geometry).iter().map(|cell| cell.number()).collect()
}

/// `=` and `@` always; `+` and `-` unless a number follows, as in `+86 576 …` or `-3.5`, or nothing.
fn begins_formula(value: &str) -> bool {
    let mut characters = value.chars();
    match characters.next() {
        Some('=' | '@' | '＝' | '＠') => true,
        Some('+' | '-' | '＋' | '－') => {
            !characters.all(|c| c.is_ascii_digit() || matches!(c, ' ' | '.' | '-' | '(' | ')'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::begins_formula;

    #[test]
    fn a_formula_is_told_from_a_telephone_number() {
        for formula in ["=1+1", "@SUM(A1)", "+cmd|'/C calc'!A0", "-2+3+A1", "＝1", "-A1"] {
            assert!(begins_formula(formula), "{formula}");
        }
        for plain in ["+86 576 8388-0000", "-", "-3.5", "浙江省台州市", "a=b", ""] {
            assert!(!begins_formula(plain), "{plain}");
        }
    }
}
