//! Cutting a record to what the grant covers and the question named.
use super::mask;
use super::question::Mode;
use super::record::{FieldText, Fields, Opened};
use super::schema::Library;
use crate::failure::Failure;
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
) -> Vec<Field> {
    let mask_of = |name: &str| library.field(name).map_or(mask::Mask::None, |spec| spec.mask);
    project_with(held, wanted, granted, mode, mask_of)
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
