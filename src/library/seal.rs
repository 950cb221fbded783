//! Seals as the hub holds them: a file of the city's seal system, whose it is, and what it may be used for.
//!
//! Promise: a seal comes in only after it was judged and is its owner's; what it is bound to is the owner's word, not the file's. The hub
//! makes none. Judging is the `seal` room's; what follows from a binding is the policy's.
use super::catalogue::put_row;
use super::codes::LicenceTypeCode;
use super::question::Subject;
use super::record::View;
use super::schema::Library;
use super::transition::{Ordered, Transition};
use crate::failure::{Failure, FieldFault, Reason};
use crate::policy::Permit;
use crate::seal::judge::SealReport;
use crate::seal::owner::{self, Ownership};
use crate::seal::step::Profile;
use crate::wire::proto::catalogue::v1::{Department, Role};
use crate::wire::proto::library::v1::Library as LibraryCode;
use crate::wire::proto::seal::v1::{BindSealRequest, ImportSealRequest, Seal, SealBinding};

/// Entries of each list of a binding.
const LIST_MAX: usize = 200;
const CODE_CHARS_MAX: usize = 64;

/// Takes a seal in that was judged: it is the named department's, and takes the place of the version named.
///
/// # Errors
/// [`Reason::DepartmentUnknown`], [`Reason::SealNotAccepted`] for another authority's seal, [`Reason::RoleNotAllowed`] for a department
/// that is not its own or that the file does not name, [`Reason::StateChangedMeanwhile`].
pub async fn import(
    view: &View,
    permit: &Permit,
    request: &ImportSealRequest,
    judged: &SealReport,
    profile: Profile,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let owner = &request.owner_department;
    let authority = permit.has(Role::DataAuthority);
    if !authority && permit.system().department != *owner {
        return Err(Failure::new(Reason::RoleNotAllowed));
    }
    let department = view.newest_of(Library::Department, "department", owner).await?;
    let department: Department = department.ok_or(Failure::new(Reason::DepartmentUnknown))?.body()?;
    let ownership = owner::of_seal(&judged.seal, &department.uscc);
    match &ownership {
        Ownership::Matched => {}
        // Nothing in the file says whose it is: the data authority's word does.
        Ownership::NotStated if authority => {}
        Ownership::NotStated => return Err(Failure::new(Reason::RoleNotAllowed)),
        Ownership::Differs { stated } => {
            let zh = format!("签章者证书所载机构代码 {stated} 与部门 {owner} 的代码不一致。");
            let en = format!("The signer's certificate states {stated}, which is not the code of {owner}.");
            let fault = FieldFault::new("esl.issuing-authority", zh, en);
            return Err(Failure::new(Reason::SealNotAccepted).with_fields(vec![fault]));
        }
    }
    let id = judged.seal.id.clone();
    if id.is_empty() || id.len() > CODE_CHARS_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        let fault = FieldFault::new(
            "esl",
            "印章标识不是 1 至 64 个可见 ASCII 字符。",
            "Its identifier is not 1 to 64 visible ASCII characters.",
        );
        return Err(Failure::new(Reason::SealNotAccepted).with_fields(vec![fault]));
    }
    let present = view.newest_of(Library::Seal, "seal", &id).await?;
    let present: Option<Seal> = present.map(|opened| opened.body()).transpose()?;
    if present.as_ref().is_some_and(|seal| seal.owner_department != *owner) && !authority {
        return Err(Failure::new(Reason::RoleNotAllowed));
    }
    let seal = Seal {
        id: id.clone(),
        owner_department: owner.clone(),
        name: judged.seal.name.clone(),
        esl: judged.seal.bytes.clone().into(),
        valid_from_s: judged.seal.valid_from_s,
        valid_until_s: judged.seal.valid_until_s,
        maker: judged.maker.clone().unwrap_or_default(),
        ownership: ownership.as_str().to_owned(),
        // A seal that passes to another department begins anew.
        binding: present.filter(|seal| seal.owner_department == *owner).and_then(|seal| seal.binding),
        version: 0,
        profile: profile.as_str().to_owned(),
    };
    put(view, &seal, request.version, ordered).await
}

/// Binds a seal anew.
///
/// # Errors
/// [`Reason::TargetUnknown`] for one that is not there and for one of another department alike, [`Reason::RequestMalformed`],
/// [`Reason::DepartmentUnknown`], [`Reason::StateChangedMeanwhile`].
pub async fn bind(
    view: &View,
    permit: &Permit,
    request: &BindSealRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let unknown = || Failure::new(Reason::TargetUnknown);
    let opened = view.newest_of(Library::Seal, "seal", &request.seal_id).await?.ok_or_else(unknown)?;
    let present: Seal = opened.body()?;
    if !permit.has(Role::DataAuthority) && permit.system().department != present.owner_department {
        return Err(unknown());
    }
    let binding = request.binding.clone().unwrap_or_default();
    check(&binding)?;
    for department in &binding.delegated_departments {
        if view.newest_of(Library::Department, "department", department).await?.is_none() {
            return Err(Failure::new(Reason::DepartmentUnknown));
        }
    }
    put(view, &Seal { binding: Some(binding), ..present }, request.version, ordered).await
}

async fn put(view: &View, seal: &Seal, previous: u64, ordered: &Ordered) -> Result<Transition, Failure> {
    let write = put_row(view, Library::Seal, "seal", &seal.id, seal, previous, &[]).await?;
    Ok(ordered.transition(vec![(write, seal.id.clone())], Some(subject(&seal.id))))
}

/// How statements about a seal name it.
#[must_use]
pub fn subject(seal_id: &str) -> Subject {
    Subject::new("seal", seal_id)
}

fn check(binding: &SealBinding) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, zh: &'static str, en: &'static str| {
        faults.push(FieldFault::new(format!("binding.{field}"), zh, en));
    };
    let sane = |list: &[String]| {
        list.len() <= LIST_MAX && list.iter().all(|code| !code.is_empty() && code.len() <= CODE_CHARS_MAX)
    };
    if binding.items.is_empty() || !sane(&binding.items) {
        fault("items", "至少一个事项，至多 200 个。", "Name 1 to 200 service items.");
    }
    if !sane(&binding.licence_types) || binding.licence_types.iter().any(|code| LicenceTypeCode::parse(code).is_err()) {
        fault("licence_types", "证照类型代码有误或超过 200 个。", "A licence type code is wrong, or more than 200.");
    }
    let base = |library: &i32| {
        LibraryCode::try_from(*library).is_ok_and(|l| !matches!(l, LibraryCode::Unspecified | LibraryCode::Licence))
    };
    if !binding.libraries.iter().all(base) {
        fault(
            "libraries",
            "只能是证照库以外的基础库；证照逐类列出。",
            "Base libraries but LICENCE, whose types are named one by one.",
        );
    }
    if binding.licence_types.is_empty() && binding.libraries.is_empty() {
        fault("licence_types", "至少一个证照类型或基础库。", "Name at least one licence type or library.");
    }
    if !sane(&binding.delegated_departments) {
        fault("delegated_departments", "至多 200 个部门。", "At most 200 departments.");
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::malformed(faults)) }
}
