//! Cutting a record to what the grant covers and the question named.
use super::mask;
use super::question::Mode;
use super::record::{FieldText, Fields, Opened};
use super::schema::Library;
use crate::failure::Failure;
use crate::wire::proto::catalogue::v1::ResourceField;
use crate::wire::proto::library::v1::Field;

/// The fields of a base-library record.
///
/// # Errors
/// Damage.
pub(super) fn read_fields(opened: &Opened) -> Result<Fields, Failure> {
    opened.fields()
}

/// The wanted fields that the grant covers, in the order asked, masked where the mode says so.
pub(super) fn project(
    library: Library,
    held: &[FieldText],
    wanted: &[String],
    granted: &[String],
    mode: Mode,
    declared: &[ResourceField],
) -> Vec<Field> {
    let mask_of = |name: &str| library.field(name).map_or(mask::Mask::None, |spec| spec.mask);
    let mut fields = project_with(held, wanted, granted, mode, mask_of);
    // A local field has no mask of its own: where only masked values are granted it is given only if it is nobody's secret.
    let open = |name: &str| {
        let sensitivity = declared.iter().find(|field| field.name == name).map(|field| field.sensitivity.as_str());
        library.field(name).is_some() || matches!(sensitivity, Some("public" | "internal"))
    };
    for field in fields.iter_mut().filter(|field| mode == Mode::Masked && !open(&field.name)) {
        (field.value, field.masked) = ("***".to_owned(), true);
    }
    fields
}

/// As [`project`], with the mask of each field given.
pub(super) fn project_with(
    held: &[FieldText],
    wanted: &[String],
    granted: &[String],
    mode: Mode,
    mask_of: impl Fn(&str) -> mask::Mask,
) -> Vec<Field> {
    if mode == Mode::YesNo {
        return Vec::new();
    }
    let covered = wanted.iter().filter(|name| granted.contains(name));
    covered
        .flat_map(|name| held.iter().filter(move |field| field.name == *name))
        .map(|field| {
            let mask = if mode == Mode::Masked { mask_of(&field.name) } else { mask::Mask::None };
            let value = mask.apply(&field.value);
            Field { name: field.name.clone(), value, masked: mask != mask::Mask::None }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mode: Mode, sensitivity: &str, expected: &[(&str, &str, bool)]) {
        let text = |name: &str, value: &str| FieldText { name: name.into(), value: value.into() };
        let held = [text("name", "演示样本"), text("guardian_phone", "13800000000"), text("phone", "13900000000")];
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let declared = [ResourceField {
            name: "guardian_phone".into(),
            sensitivity: sensitivity.into(),
            extension: true,
            ..ResourceField::default()
        }];
        let (wanted, granted) = (names(&["name", "guardian_phone", "phone"]), names(&["name", "guardian_phone"]));
        let given = project(Library::Population, &held, &wanted, &granted, mode, &declared);
        let given: Vec<_> = given.iter().map(|f| (f.name.as_str(), f.value.as_str(), f.masked)).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn a_masked_grant_gives_no_local_secret_and_no_grant_gives_what_it_does_not_name() {
        let full = ("guardian_phone", "13800000000", false);
        check(Mode::Full, "sensitive", &[("name", "演示样本", false), full]);
        check(Mode::Masked, "sensitive", &[("name", "演*", true), ("guardian_phone", "***", true)]);
        check(Mode::Masked, "", &[("name", "演*", true), ("guardian_phone", "***", true)]);
        check(Mode::Masked, "public", &[("name", "演*", true), full]);
        check(Mode::YesNo, "public", &[]);
    }
}
