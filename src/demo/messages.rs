//! The demo's licence types and drafts as messages of the contract.

use super::licences::LicenceDraft;
use super::organisation::{DemoLicenceType, department_of};
use super::places::HOME;
use crate::library::codes::{CodeFault, HolderCode, Uscc};
use crate::library::day;
use crate::wire::proto::catalogue::v1::Department;
use crate::wire::proto::library::v1::{Field, HolderCode as HolderCodeMessage};
use crate::wire::proto::licence::v1::{Authority, FaceField, Holder, LicenceType, PrepareLicenceRequest};

/// The department that issues a type, as the catalogue has it.
///
/// # Errors
/// None for the types of the demo.
pub fn department_message(kind: &DemoLicenceType) -> Result<Department, CodeFault> {
    let Some(department) = department_of(kind.department) else {
        return Uscc::parse("").map(|_| Department::default()); // no department, no code: the fault says so
    };
    Ok(Department {
        code: department.code.to_owned(),
        name: department.name.to_owned(),
        uscc: department.uscc()?.as_str().to_owned(),
        division: HOME.to_owned(),
        version: 0,
    })
}

/// A type as it is put into the catalogue.
///
/// # Errors
/// As [`department_message`].
pub fn licence_type_message(kind: &DemoLicenceType) -> Result<LicenceType, CodeFault> {
    let Department { name, uscc, .. } = department_message(kind)?;
    let face = kind.face.iter().map(|face| FaceField {
        name: face.name.to_owned(),
        title_zh: face.title_zh.to_owned(),
        kind: face.kind.name().to_owned(),
        required: face.required,
        mask: face.mask.name().to_owned(),
    });
    Ok(LicenceType {
        type_code: kind.type_code()?.as_str().to_owned(),
        name: kind.name.to_owned(),
        defining_authority: Some(Authority { name, uscc: uscc.clone() }),
        holder_category: kind.holder_category,
        issuer_usccs: vec![uscc],
        face_fields: face.collect(),
        resource: kind.resource.to_owned(),
        ..LicenceType::default()
    })
}

/// A draft as it is handed in to be prepared; without purpose and operator.
///
/// # Errors
/// As [`department_message`].
pub fn draft_message(draft: &LicenceDraft) -> Result<PrepareLicenceRequest, CodeFault> {
    let face = draft.face.iter();
    Ok(PrepareLicenceRequest {
        type_code: draft.kind.type_code()?.as_str().to_owned(),
        number: draft.number.clone(),
        holders: draft.holders.iter().map(|(code, name)| holder(code, name)).collect(),
        issued_on: Some(day::to_proto(draft.issued_on)),
        valid_from: Some(day::to_proto(draft.valid_from)),
        valid_until: draft.valid_until.map(day::to_proto),
        division: draft.division.to_owned(),
        face_fields: face
            .map(|(name, value)| Field { name: (*name).to_owned(), value: value.clone(), masked: false })
            .collect(),
        item_code: draft.kind.item_code.to_owned(),
        ..PrepareLicenceRequest::default()
    })
}

fn holder(code: &HolderCode, name: &str) -> Holder {
    let code = HolderCodeMessage { code_type: code.code_type().as_str().to_owned(), code: code.code().to_owned() };
    Holder { code: Some(code), name: name.to_owned() }
}
