//! Putting departments, systems and resources: each put names the version it takes the place of.
use crate::failure::{Failure, FieldFault, Reason};
use crate::library::codes::{Division, Uscc};
use crate::library::record::{LinkKind, Row, View, Write};
use crate::library::schema::Library;
use crate::library::transition::{Ordered, Transition, catalogue_subject};
use crate::policy::{Permit, roles_separate};
use crate::store::key_space::IndexKey;
use crate::wire::proto::catalogue::v1::{
    PutDepartmentRequest, PutResourceRequest, PutSystemRequest, Resource, Role, SharingClass, System,
};
use crate::wire::proto::library::v1::Library as LibraryCode;
use prost::Message;

/// Writes a catalogue row after `previous`, and files it in its table's list.
///
/// # Errors
/// [`Reason::StateChangedMeanwhile`] where the newest version is not `previous`.
pub async fn put_row<M: Message>(
    view: &View,
    library: Library,
    code_type: &str,
    code: &str,
    message: &M,
    previous: u64,
    links: &[(LinkKind, IndexKey)],
) -> Result<Write, Failure> {
    let newest = view.newest_of(library, code_type, code).await?.map_or(0, |opened| opened.version);
    if newest != previous {
        let now = format!("the entry has version {newest}, the request names {previous}");
        return Err(Failure::new(Reason::StateChangedMeanwhile).because(now));
    }
    let row = Row {
        format: 1,
        code_type: code_type.to_owned(),
        code: code.to_owned(),
        body: message.encode_to_vec().into(),
        ..Row::default()
    };
    let mut all = vec![(LinkKind::Table, view.index_key(library, "table", ""))];
    all.extend_from_slice(links);
    view.write(library, &row, previous, &all)
}

/// Puts a department.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::StateChangedMeanwhile`].
pub async fn put_department(
    view: &View,
    request: &PutDepartmentRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let mut department = request.department.clone().unwrap_or_default();
    let mut faults = Vec::new();
    if !is_uri_part(&department.code) {
        faults.push(FieldFault::new(
            "department.code",
            "只能是小写字母、数字和连字符。",
            "Lower case letters, digits, hyphens.",
        ));
    }
    if department.name.trim().is_empty() {
        faults.push(FieldFault::new("department.name", "缺少名称。", "A name is required."));
    }
    if let Err(fault) = Uscc::parse(&department.uscc) {
        faults.push(FieldFault::new("department.uscc", fault.zh(), fault.en()));
    }
    if let Err(fault) = Division::parse(&department.division) {
        faults.push(FieldFault::new("department.division", fault.zh(), fault.en()));
    }
    if !faults.is_empty() {
        return Err(Failure::malformed(faults));
    }
    let previous = std::mem::take(&mut department.version);
    let code = department.code.clone();
    let write = put_row(view, Library::Department, "department", &code, &department, previous, &[]).await?;
    Ok(ordered.transition(vec![(write, code)], None))
}

/// Puts a system: its department exists, its URI names it, administrators are kept apart.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::RolesNotSeparate`], [`Reason::DepartmentUnknown`], [`Reason::RoleNotAllowed`] for a
/// security administrator who does more than shut a system out, [`Reason::StateChangedMeanwhile`].
pub async fn put_system(
    view: &View,
    permit: &Permit,
    hub: &str,
    request: &PutSystemRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let mut system = request.system.clone().unwrap_or_default();
    check_system(&system, hub)?;
    if !roles_separate(&system.roles().collect::<Vec<_>>()) {
        return Err(Failure::new(Reason::RolesNotSeparate));
    }
    if view.newest_of(Library::Department, "department", &system.department).await?.is_none() {
        return Err(Failure::new(Reason::DepartmentUnknown));
    }
    let present = view.newest_of(Library::System, "system", &system.uri).await?;
    let present: Option<System> = present.map(|o| o.body()).transpose()?;
    if !permit.has(Role::DataAuthority) && !administrator_may(permit, present.as_ref(), &system) {
        return Err(Failure::new(Reason::RoleNotAllowed));
    }
    let previous = std::mem::take(&mut system.version);
    let uri = system.uri.clone();
    let write = put_row(view, Library::System, "system", &uri, &system, previous, &[]).await?;
    Ok(ordered.transition(vec![(write, uri.clone())], catalogue_subject(Library::System, &uri)))
}

/// Puts the first system of a new hub; checked as any other, but nobody can be asked for it.
///
/// # Errors
/// As [`put_system`].
pub async fn first_system(view: &View, system: &System, ordered: &Ordered) -> Result<Transition, Failure> {
    let hub = system.uri.strip_prefix("wuku://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    check_system(system, hub)?;
    let write = put_row(view, Library::System, "system", &system.uri, system, 0, &[]).await?;
    Ok(ordered.transition(vec![(write, system.uri.clone())], catalogue_subject(Library::System, &system.uri)))
}

/// What administrators may do without the data authority. A security administrator shuts out: the same entry, not enabled. A system
/// administrator also enables, and registers new systems, but none of its own powers: no roles that govern, and never itself.
fn administrator_may(permit: &Permit, present: Option<&System>, wanted: &System) -> bool {
    let Some(present) = present else {
        let ordinary = [Role::Source, Role::Consumer, Role::Clerk, Role::Auditor];
        return permit.has(Role::SystemAdministrator) && wanted.roles().all(|role| ordinary.contains(&role));
    };
    let only_enabled = System { enabled: wanted.enabled, version: wanted.version, ..present.clone() } == *wanted;
    let other = wanted.uri != permit.system().uri;
    let may = if wanted.enabled { permit.has(Role::SystemAdministrator) } else { true };
    only_enabled && other && may
}

fn check_system(system: &System, hub: &str) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let parts: Option<Vec<&str>> = system.uri.strip_prefix("wuku://").map(|rest| rest.split('/').collect());
    let fits = matches!(parts.as_deref(), Some([h, d, s]) if *h == hub && *d == system.department && is_uri_part(s));
    if !fits {
        let zh = format!("应为 wuku://{hub}/<部门>/<系统>，且部门与 department 一致。");
        faults.push(FieldFault::new(
            "system.uri",
            zh,
            format!("Must be wuku://{hub}/<department>/<system>, of that department."),
        ));
    }
    if system.name.trim().is_empty() {
        faults.push(FieldFault::new("system.name", "缺少名称。", "A name is required."));
    }
    if system.roles.is_empty()
        || system.roles().any(|role| role == Role::Unspecified)
        || system.roles().count() != system.roles.len()
    {
        faults.push(FieldFault::new(
            "system.roles",
            "至少一个已知角色。",
            "Name at least one known role, and no unknown one.",
        ));
    }
    if system.certificate_sha256.len() > 2 || system.certificate_sha256.iter().any(|pin| pin.len() != 32) {
        faults.push(FieldFault::new(
            "system.certificate_sha256",
            "至多两个，各 32 字节。",
            "At most two, of 32 bytes each.",
        ));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::malformed(faults)) }
}

/// Puts a resource; the day of its last complete load is the hub's own and is kept.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::DepartmentUnknown`], [`Reason::StateChangedMeanwhile`].
pub async fn put_resource(view: &View, request: &PutResourceRequest, ordered: &Ordered) -> Result<Transition, Failure> {
    let mut resource = request.resource.clone().unwrap_or_default();
    check_resource(&resource)?;
    if view.newest_of(Library::Department, "department", &resource.source_department).await?.is_none() {
        return Err(Failure::new(Reason::DepartmentUnknown));
    }
    if !resource.view_of.is_empty() {
        let whole = view.newest_of(Library::Resource, "resource", &resource.view_of).await?;
        let whole: Option<Resource> = whole.map(|o| o.body()).transpose()?;
        if !whole.is_some_and(|w| w.library == resource.library && w.view_of.is_empty()) {
            return Err(Failure::new(Reason::ResourceUnknown));
        }
    }
    let present = view.newest_of(Library::Resource, "resource", &resource.code).await?;
    let present: Option<Resource> = present.map(|o| o.body()).transpose()?;
    resource.last_complete_load = present.and_then(|p| p.last_complete_load);
    let previous = std::mem::take(&mut resource.version);
    let code = resource.code.clone();
    let write = put_row(view, Library::Resource, "resource", &code, &resource, previous, &[]).await?;
    Ok(ordered.transition(vec![(write, code.clone())], catalogue_subject(Library::Resource, &code)))
}

fn check_resource(resource: &Resource) -> Result<(), Failure> {
    let mut faults = Vec::new();
    if !is_uri_part(&resource.code) {
        faults.push(FieldFault::new(
            "resource.code",
            "只能是小写字母、数字和连字符。",
            "Lower case letters, digits, hyphens.",
        ));
    }
    if resource.name.trim().is_empty() {
        faults.push(FieldFault::new("resource.name", "缺少名称。", "A name is required."));
    }
    if resource.library() == LibraryCode::Unspecified {
        faults.push(FieldFault::new("resource.library", "未说明所属基础库。", "Say which library."));
    }
    if (resource.library() == LibraryCode::Licence) == resource.licence_type.is_empty() {
        let zh = "证照库资源须写明证照类型，其他资源不写。";
        faults.push(FieldFault::new("resource.licence_type", zh, "Required for the licence library, and only there."));
    }
    if resource.sharing_class() == SharingClass::Unspecified {
        faults.push(FieldFault::new("resource.sharing_class", "未说明共享类型。", "Say how it is shared."));
    }
    if resource.sharing_class() != SharingClass::Unconditional && resource.sharing_condition.trim().is_empty() {
        let zh = "有条件共享须写明条件，不予共享须写明依据。";
        faults.push(FieldFault::new(
            "resource.sharing_condition",
            zh,
            "State the condition, or the legal basis for not sharing.",
        ));
    }
    if resource.delta_guard_permille > 1_000 {
        faults.push(FieldFault::new("resource.delta_guard_permille", "至多 1000。", "At most 1000."));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::malformed(faults)) }
}

/// Lower case letters, digits and inner hyphens, at most 63.
fn is_uri_part(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}
