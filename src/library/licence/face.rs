//! The face of a licence as fields, and whether it fits its type.
use crate::failure::FieldFault;
use crate::library::codes::{CalendarDate, Division, HolderCode};
use crate::library::day;
use crate::library::mask::Mask;
use crate::library::record::FieldText;
use crate::wire::proto::library::v1::{Date, Field};
use crate::wire::proto::licence::v1::{LicenceContent, LicenceType};

/// Metadata (GB/T 36903) and face of a licence as named texts, under the names the schema has; a name stands once for each holder.
pub(super) fn texts(licence: &LicenceContent) -> Vec<FieldText> {
    let date = |date: &Option<Date>| date.as_ref().and_then(day::from_proto).map(|d| d.to_string()).unwrap_or_default();
    let issuer = licence.issuer.clone().unwrap_or_default();
    let mut texts: Vec<FieldText> = [
        ("licence_id", licence.licence_id.clone()),
        ("type_code", licence.type_code.clone()),
        ("type_name", licence.type_name.clone()),
        ("number", licence.number.clone()),
        ("issuer_name", issuer.name),
        ("issuer_code", issuer.uscc),
        ("issued_on", date(&licence.issued_on)),
        ("valid_from", date(&licence.valid_from)),
        ("valid_until", date(&licence.valid_until)),
        ("division", licence.division.clone()),
        ("previous_licence_id", licence.previous_licence_id.clone()),
        ("item_code", licence.item_code.clone()),
    ]
    .map(|(name, value)| FieldText { name: name.to_owned(), value })
    .to_vec();
    for holder in &licence.holders {
        let code = holder.code.clone().unwrap_or_default();
        for (name, value) in
            [("holder_name", holder.name.clone()), ("holder_code_type", code.code_type), ("holder_code", code.code)]
        {
            texts.push(FieldText { name: name.to_owned(), value });
        }
    }
    texts.extend(licence.face_fields.iter().map(|f| FieldText { name: f.name.clone(), value: f.value.clone() }));
    texts
}

/// How a face field is masked.
pub(super) fn mask_of_face(kind: &LicenceType, name: &str) -> Mask {
    match kind.face_fields.iter().find(|f| f.name == name).map(|f| f.mask.as_str()) {
        Some("name") => Mask::Name,
        Some("id") => Mask::Id,
        Some("phone") => Mask::Phone,
        Some("address") => Mask::Address,
        _ => Mask::None,
    }
}

/// The face in the order of the type's schema, or every fault.
pub(super) fn check_face(kind: &LicenceType, given: &[Field]) -> Result<Vec<Field>, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut fields = Vec::new();
    for spec in &kind.face_fields {
        let mut values = given.iter().filter(|f| f.name == spec.name);
        let value = values.next().map_or("", |f| f.value.trim());
        let path = format!("face_fields.{}", spec.name);
        if values.next().is_some() {
            faults.push(FieldFault::new(&path, "重复出现。", "Stands more than once."));
        }
        match (value, spec.required) {
            ("", true) => faults.push(FieldFault::new(&path, format!("缺少{}。", spec.title_zh), "Is required.")),
            ("", false) => {}
            (value, _) => match canonical(&spec.kind, value) {
                Ok(value) => fields.push(Field { name: spec.name.clone(), value, masked: false }),
                Err((zh, en)) => faults.push(FieldFault::new(&path, zh, en)),
            },
        }
    }
    for extra in given.iter().filter(|f| !kind.face_fields.iter().any(|spec| spec.name == f.name)) {
        let path = format!("face_fields.{}", extra.name);
        faults.push(FieldFault::new(path, "该证照类型没有此字段。", "The licence type has no such field."));
    }
    if faults.is_empty() { Ok(fields) } else { Err(faults) }
}

/// The canonical text of a face value, or what is wrong with it (zh, en).
fn canonical(kind: &str, value: &str) -> Result<String, (String, String)> {
    let code = |fault: crate::library::codes::CodeFault| (fault.zh(), fault.en());
    match kind {
        "date" => CalendarDate::parse(value).map(|d| d.to_string()).map_err(code),
        "division" => Division::parse(value).map(|d| d.as_str().to_owned()).map_err(code),
        "holder_code" => {
            let kind = if value.chars().count() == 18 && !value.starts_with(|c: char| ('1'..='8').contains(&c)) {
                "001"
            } else {
                "111"
            };
            let parsed = HolderCode::parse(kind, value)
                .or_else(|_| HolderCode::parse(if kind == "001" { "111" } else { "001" }, value));
            parsed.map(|c| c.code().to_owned()).map_err(code)
        }
        "integer" => {
            let whole = value.parse::<i64>().map(|n| n.to_string());
            whole.map_err(|_| ("应为整数。".to_owned(), "Is no whole number.".to_owned()))
        }
        "decimal" => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.') && digits.matches('.').count() <= 1;
            if plain && digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.ends_with('.') {
                Ok(value.to_owned())
            } else {
                Err(("应为十进制数。".to_owned(), "Is no decimal number.".to_owned()))
            }
        }
        _ => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::licence::v1::FaceField;

    fn check(given: &[(&str, &str)], faults: &[&str]) {
        let spec = |name: &str, kind: &str, required| FaceField {
            name: name.into(),
            kind: kind.into(),
            required,
            ..FaceField::default()
        };
        let kind = LicenceType {
            face_fields: vec![spec("born", "date", true), spec("area", "decimal", false)],
            ..LicenceType::default()
        };
        let given: Vec<Field> =
            given.iter().map(|(n, v)| Field { name: (*n).into(), value: (*v).into(), masked: false }).collect();
        let found: Vec<String> =
            check_face(&kind, &given).err().unwrap_or_default().into_iter().map(|f| f.field).collect();
        assert_eq!(found, faults);
    }

    #[test]
    fn the_metadata_of_a_licence_has_the_names_of_the_schema() {
        use crate::library::schema::Library;
        use crate::wire::proto::licence::v1::Holder;
        let licence = LicenceContent { holders: vec![Holder::default()], ..LicenceContent::default() };
        let mut texts: Vec<String> = texts(&licence).into_iter().map(|text| text.name).collect();
        let mut schema: Vec<String> = Library::Licence.fields().iter().map(|field| field.name.to_owned()).collect();
        texts.sort_unstable();
        schema.sort_unstable();
        assert_eq!(texts, schema, "a grant names a field as the schema does, and so does its mask");
    }

    #[test]
    fn every_fault_of_a_face_is_named_at_once() {
        check(&[("born", "2020-02-29"), ("area", "88.50")], &[]);
        check(
            &[("born", "2021-02-29"), ("area", "x"), ("more", "1")],
            &["face_fields.born", "face_fields.area", "face_fields.more"],
        );
        check(&[], &["face_fields.born"]);
        check(&[("born", "2020-01-01"), ("born", "2020-01-02")], &["face_fields.born"]);
    }
}
