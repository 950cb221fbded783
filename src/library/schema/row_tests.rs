//! What a row must be, by example.

use super::*;

const PERSON: &[(&str, &str)] = &[
    ("holder_code_type", "111"),
    ("holder_code", "110105491231002"),
    ("name", " 张 三"),
    ("sex", "女"),
    ("birth_date", "1949/12/31"),
    ("division", "331023000000"),
    ("life_status", "健在"),
    ("phone", ""),
];

const FEATURE: &[(&str, &str)] = &[
    ("feature_code", "331023-AP-1"),
    ("kind", "address_point"),
    ("name", "劳动路1号"),
    ("division", "331023"),
    ("geometry", r#"{"type":"Point","coordinates":[121.03,29.14]}"#),
    ("datum", "CGCS2000"),
];

/// The row with some fields set to something else, or taken out where the value is `-`.
fn changed<'a>(row: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut row: Vec<_> =
        row.iter().copied().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name)).collect();
    row.extend(changes.iter().copied().filter(|(_, value)| *value != "-"));
    row
}

fn reasons(library: Library, row: &[(&str, &str)]) -> Vec<(String, RowReason)> {
    let mut faults: Vec<_> =
        validate_row(library, row).unwrap_err().into_iter().map(|fault| (fault.field, fault.reason)).collect();
    faults.sort();
    faults
}

#[test]
fn a_person_becomes_canonical_and_keeps_what_was_odd() {
    let row = validate_row(Library::Population, PERSON).unwrap();
    assert_eq!(row.key, RecordKey { code_type: "111".into(), code: "11010519491231002X".into() });
    assert_eq!(row.flags, [QualityFlag::UpgradedFromFifteen]);
    let texts: Vec<_> = row.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(
        texts,
        [
            ("holder_code_type", "111"),
            ("holder_code", "11010519491231002X"),
            ("name", "张 三"),
            ("sex", "female"),
            ("birth_date", "1949-12-31"),
            ("division", "331023"),
            ("life_status", "alive"),
        ]
    );
    let again: Vec<(String, String)> = row.fields.clone();
    let again = validate_row(Library::Population, &again).unwrap();
    assert_eq!(again.fields, row.fields, "canonical text is a fixed point");
}

#[test]
fn every_bad_field_is_named_at_once_in_both_languages() {
    let bad = changed(
        PERSON,
        &[
            ("holder_code", "110105194912310021"),
            ("sex", "?"),
            ("birth_date", "1949-02-30"),
            ("name", "-"),
            ("height", "180"),
        ],
    );
    assert_eq!(
        reasons(Library::Population, &bad),
        [
            ("birth_date".into(), RowReason::DateInvalid),
            ("height".into(), RowReason::FieldUnknown),
            ("holder_code".into(), RowReason::CodeInvalid),
            ("name".into(), RowReason::FieldMissing),
            ("sex".into(), RowReason::ChoiceUnknown),
        ]
    );
    for fault in validate_row(Library::Population, &bad).unwrap_err() {
        assert!(!fault.en.is_empty() && fault.zh.chars().any(|c| ('\u{4E00}'..'\u{9FFF}').contains(&c)), "{fault}");
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let one = |changes: &[(&'static str, &'static str)]| reasons(Library::Population, &changed(PERSON, changes));
    assert_eq!(one(&[("birth_date", "1950-01-01")]), [("birth_date".into(), RowReason::Contradiction)]);
    assert_eq!(
        one(&[("holder_code_type", "001"), ("holder_code", "91460100MA5THWMM2J")]),
        [("holder_code_type".into(), RowReason::Contradiction)]
    );
    let mut twice = PERSON.to_vec();
    twice.push(("name", "李四"));
    assert_eq!(reasons(Library::Population, &twice), [("name".into(), RowReason::FieldTwice)]);
}

#[test]
fn an_entity_a_credit_record_and_a_licence_have_their_keys() {
    let entity = [
        ("uscc", "91460100ma5thwmm2j"),
        ("name", "某公司"),
        ("kind", "企业"),
        ("division", "331023"),
        ("founded", "20200101"),
        ("status", "吊销"),
        ("registered_capital", "500000.00"),
    ];
    let row = validate_row(Library::LegalEntity, &entity).unwrap();
    assert_eq!((row.key.code_type.as_str(), row.key.code.as_str()), ("001", "91460100MA5THWMM2J"));
    assert_eq!((row.text("status"), row.text("registered_capital")), (Some("revoked"), Some("500000")));
    let reversed = changed(&entity, &[("term_end", "2019-12-31")]);
    assert_eq!(reasons(Library::LegalEntity, &reversed), [("term_end".into(), RowReason::Contradiction)]);
    let lone = changed(&entity, &[("legal_representative_code", "11010519491231002X")]);
    assert_eq!(
        reasons(Library::LegalEntity, &lone),
        [("legal_representative_code_type".into(), RowReason::FieldMissing)]
    );

    let credit = [
        ("subject_code_type", "001"),
        ("subject_code", "91460100MA5THWMM2J"),
        ("record_id", "P-1"),
        ("category", "行政处罚"),
        ("basis", "某法第一条"),
        ("authority", "某局"),
        ("effective_date", "2024-01-01"),
        ("repaired", "否"),
    ];
    let row = validate_row(Library::Credit, &credit).unwrap();
    assert_eq!(row.key.code, "001\n91460100MA5THWMM2J\nP-1");
    assert_eq!(row.subject.unwrap().to_string(), "001:91460100MA5THWMM2J");

    let licence = [
        ("licence_id", "11100000000013338W011.11430000006122244L.20230000403.001.V"),
        ("type_code", "11100000000013338W011"),
        ("type_name", "某证"),
        ("number", "1"),
        ("issuer_name", "某局"),
        ("issuer_code", "11430000006122244L"),
        ("holder_name", "某"),
        ("holder_code_type", "001"),
        ("holder_code", "91460100MA5THWMM2J"),
        ("issued_on", "2023-01-01"),
        ("valid_from", "2023-01-01"),
    ];
    let row = validate_row(Library::Licence, &licence).unwrap();
    assert!(row.key.code.starts_with("1.2.156.3005.2.") && row.key.code.ends_with(".V"));
    assert_eq!(row.flags, [QualityFlag::CheckCharMismatch]);
}

#[test]
fn coordinates_are_never_taken_without_a_known_datum() {
    let one = |changes: &[(&'static str, &'static str)]| reasons(Library::Geospatial, &changed(FEATURE, changes));
    assert_eq!(one(&[("datum", "-")]), [("datum".into(), RowReason::FieldMissing)]);
    assert_eq!(one(&[("datum", "Beijing54")]), [("datum".into(), RowReason::DatumRefused)]);
    assert_eq!(
        one(&[("geometry", r#"{"type":"Point","coordinates":[29.14,121.03]}"#)]),
        [("geometry".into(), RowReason::GeometryInvalid)]
    );

    let plain = validate_row(Library::Geospatial, FEATURE).unwrap();
    assert_eq!(
        (plain.text("datum"), plain.text("source_datum"), plain.flags.as_slice()),
        (Some("CGCS2000"), None, &[][..])
    );
    let converted = validate_row(Library::Geospatial, &changed(FEATURE, &[("datum", "gcj-02")])).unwrap();
    assert_eq!((converted.text("datum"), converted.text("source_datum")), (Some("WGS84"), Some("GCJ02")));
    assert_eq!(converted.flags, [QualityFlag::DatumConverted]);
    assert_ne!(converted.text("geometry"), plain.text("geometry"));
}

#[test]
fn extension_fields_are_read_by_their_declaration() {
    let extensions = [ExtensionField { name: "household_number".into(), kind: FieldKind::Integer, required: true }];
    let row = changed(PERSON, &[("household_number", "007")]);
    let row = validate_row_with(Library::Population, &extensions, &row).unwrap();
    assert_eq!(row.fields.last().unwrap(), &("household_number".to_owned(), "7".to_owned()));
    let missing = validate_row_with(Library::Population, &extensions, PERSON).unwrap_err();
    assert_eq!(missing[0].reason, RowReason::FieldMissing);
}

#[test]
fn a_row_too_large_to_store_is_refused() {
    let long = "长".repeat(30_000);
    let faults = validate_row(Library::Population, &changed(PERSON, &[("address", &long)])).unwrap_err();
    assert!(faults.iter().any(|fault| fault.reason == RowReason::RowTooLarge));
}

proptest::proptest! {
    #[test]
    fn any_row_is_canonical_or_has_a_fault(
        rows in proptest::collection::vec(("(name|sex|holder_code|holder_code_type|division|birth_date|\\PC{0,5})", "\\PC{0,20}"), 0..12),
    ) {
        for library in Library::ALL {
            if let Err(faults) = validate_row(library, &rows) {
                proptest::prop_assert!(!faults.is_empty());
            }
        }
    }
}
