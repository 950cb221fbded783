//! Applying for a grant, deciding it, taking it back.
use super::put::put_row;
use crate::failure::{Failure, FieldFault, Reason};
use crate::library::day;
use crate::library::question::scope_of;
use crate::library::record::{LinkKind, View, Write};
use crate::library::schema::Library;
use crate::library::transition::{Ordered, Transition, catalogue_subject};
use crate::policy::{EVERY_SCOPE, Permit, scope_index};
use crate::store::key_space::{self, IndexKey};
use crate::wire::proto::catalogue::v1::{
    ApplyGrantRequest, DecideGrantRequest, Grant, GrantMode, GrantState, QuestionKind, Resource, Role, SharingClass,
    WithdrawGrantRequest,
};
use crate::wire::proto::licence::v1::LicenceType;
use crate::wire::proto::receipt::v1::PurposeKind;

/// Applies for a grant. An unconditional resource is granted by rule when the application is complete. Also gives its state.
///
/// # Errors
/// [`Reason::RequestMalformed`] with everything that is missing at once, [`Reason::ResourceUnknown`],
/// [`Reason::ResourceNotShared`], [`Reason::FieldUnknown`], [`Reason::RoleNotAllowed`] for another system.
pub async fn apply(
    view: &View,
    permit: &Permit,
    request: &ApplyGrantRequest,
    ordered: &Ordered,
) -> Result<(Transition, GrantState), Failure> {
    let mut grant = request.grant.clone().unwrap_or_default();
    if grant.system.is_empty() {
        grant.system = permit.system().uri.clone();
    }
    if grant.system != permit.system().uri {
        return Err(Failure::new(Reason::RoleNotAllowed));
    }
    let resource = resource_of(view, &grant.resource).await?;
    if resource.sharing_class() == SharingClass::NotShared {
        return Err(Failure::new(Reason::ResourceNotShared));
    }
    check(&grant)?;
    check_fields(view, &grant, &resource).await?;
    let mut id = [0_u8; 8];
    getrandom::fill(&mut id).map_err(|e| Failure::new(Reason::Internal).because(e))?;
    grant.id = format!("g-{:016x}", u64::from_be_bytes(id));
    grant.version = 0;
    let by_rule = resource.sharing_class() == SharingClass::Unconditional;
    grant.state = if by_rule { GrantState::Granted as i32 } else { GrantState::Applied as i32 };
    grant.state_reason = if by_rule { "unconditional: granted by rule".into() } else { String::new() };
    fill_term(view, &mut grant);
    let state = grant.state();
    let write = file_grant(view, &grant, &resource, 0).await?;
    let subject = catalogue_subject(Library::Grant, &grant.id);
    Ok((ordered.transition(vec![(write, grant.id)], subject), state))
}

/// Writes a grant and files it under its system and its resource, and, unless it has ended, where questions look.
///
/// # Errors
/// [`Reason::StateChangedMeanwhile`].
pub async fn file_grant(view: &View, grant: &Grant, resource: &Resource, previous: u64) -> Result<Write, Failure> {
    let mut links = vec![
        (LinkKind::SystemGrants, view.index_key(Library::Grant, "system", &grant.system)),
        (LinkKind::ResourceGrants, view.index_key(Library::Grant, "resource", &grant.resource)),
    ];
    if !ended(grant) {
        links.extend(scopes(view, grant, resource)?.map(|scope| (LinkKind::Scope, scope)));
    }
    put_row(view, Library::Grant, "grant", &grant.id, grant, previous, &links).await
}

/// Whether a grant was refused or withdrawn: it never comes back, so no question looks at it any more.
fn ended(grant: &Grant) -> bool {
    matches!(grant.state(), GrantState::Refused | GrantState::Withdrawn)
}

/// Where questions find a grant: under its own scope, and among all of its system's.
fn scopes(view: &View, grant: &Grant, resource: &Resource) -> Result<[IndexKey; 2], Failure> {
    let library = Library::from_number(u16::try_from(resource.library).unwrap_or(0));
    let library = library.ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a resource of no library"))?;
    let scope = scope_of(library, &resource.licence_type);
    Ok([scope_index(view, &grant.system, &scope), scope_index(view, &grant.system, EVERY_SCOPE)])
}

/// The change to a grant; one that ended is taken from where questions look.
async fn moved(
    view: &View,
    grant: Grant,
    resource: &Resource,
    version: u64,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let write = file_grant(view, &grant, resource, version).await?;
    let to = view.index_key(Library::Grant, "grant", &grant.id);
    let filed = if ended(&grant) { scopes(view, &grant, resource)?.to_vec() } else { Vec::new() };
    let subject = catalogue_subject(Library::Grant, &grant.id);
    let mut transition = ordered.transition(vec![(write, grant.id)], subject);
    let link = |scope: IndexKey| key_space::link(LinkKind::Scope as u8, &scope.0, Library::Grant.number(), &to.0);
    transition.mutations.deletes.extend(filed.into_iter().map(link));
    Ok(transition)
}

/// Agrees or refuses.
///
/// # Errors
/// [`Reason::TargetUnknown`], [`Reason::RoleNotAllowed`] for who is not the source, [`Reason::TransitionNotAllowed`] for what is
/// decided already, [`Reason::RequestMalformed`] for a refusal without a reason.
pub async fn decide(
    view: &View,
    permit: &Permit,
    request: &DecideGrantRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let (mut grant, resource, version) = grant_of(view, &request.grant_id).await?;
    if !permit.has(Role::DataAuthority) && permit.system().department != resource.source_department {
        return Err(Failure::new(Reason::RoleNotAllowed));
    }
    if grant.state() != GrantState::Applied {
        return Err(Failure::new(Reason::TransitionNotAllowed));
    }
    if !request.agree && request.reason.trim().is_empty() {
        return Err(Failure::field(
            "reason",
            "不同意时须一次写明全部理由。",
            "A refusal states everything that is missing.",
        ));
    }
    grant.state = if request.agree { GrantState::Granted as i32 } else { GrantState::Refused as i32 };
    grant.state_reason = request.reason.clone();
    moved(view, grant, &resource, version, ordered).await
}

/// Takes a grant back.
///
/// # Errors
/// As [`decide`].
pub async fn withdraw(
    view: &View,
    permit: &Permit,
    request: &WithdrawGrantRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let (mut grant, resource, version) = grant_of(view, &request.grant_id).await?;
    let source = permit.has(Role::Source) && permit.system().department == resource.source_department;
    let own = permit.system().uri == grant.system;
    if !(source || own || permit.has(Role::DataAuthority) || permit.has(Role::SecurityAdministrator)) {
        return Err(Failure::new(Reason::RoleNotAllowed));
    }
    if !matches!(grant.state(), GrantState::Applied | GrantState::Granted) {
        return Err(Failure::new(Reason::TransitionNotAllowed));
    }
    if request.reason.trim().is_empty() {
        return Err(Failure::field("reason", "须写明理由。", "Say why."));
    }
    grant.state = GrantState::Withdrawn as i32;
    grant.state_reason = request.reason.clone();
    moved(view, grant, &resource, version, ordered).await
}

async fn grant_of(view: &View, id: &str) -> Result<(Grant, Resource, u64), Failure> {
    let opened = view.newest_of(Library::Grant, "grant", id).await?.ok_or(Failure::new(Reason::TargetUnknown))?;
    let grant: Grant = opened.body()?;
    let resource = resource_of(view, &grant.resource).await?;
    Ok((grant, resource, opened.version))
}

async fn resource_of(view: &View, code: &str) -> Result<Resource, Failure> {
    view.newest_of(Library::Resource, "resource", code).await?.ok_or(Failure::new(Reason::ResourceUnknown))?.body()
}

/// Today and twelve months on, where the application does not say.
fn fill_term(view: &View, grant: &mut Grant) {
    let today = view.today();
    let from = grant.term_from.as_ref().and_then(day::from_proto).unwrap_or(today);
    grant.term_from = Some(day::to_proto(from));
    if grant.term_until.as_ref().and_then(day::from_proto).is_none() {
        grant.term_until = from.plus_years(1).and_then(|d| d.plus_days(-1)).map(day::to_proto);
    }
}

fn check(grant: &Grant) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, zh: &'static str, en: &'static str| {
        faults.push(FieldFault::new(format!("grant.{field}"), zh, en));
    };
    if grant.kinds.is_empty() || grant.kinds().any(|k| k == QuestionKind::Unspecified) {
        fault("kinds", "至少一种查询方式。", "Name at least one kind of question.");
    }
    if grant.kinds().any(|k| k == QuestionKind::Derive) && grant.facts.is_empty() {
        fault("facts", "派生事实须逐一列出。", "Name the derived facts one by one.");
    }
    if grant.mode() == GrantMode::Unspecified {
        fault("mode", "未说明答复方式。", "Say how far fields are to be opened.");
    }
    if grant.purposes.is_empty() || grant.purposes.iter().any(|p| p.kind() == PurposeKind::Unspecified) {
        fault("purposes", "至少一种用途。", "Name at least one purpose.");
    }
    if grant.legal_basis.trim().is_empty() {
        fault("legal_basis", "缺少法律依据。", "Name the legal basis.");
    }
    if grant.hour_from > 23 || grant.hour_until > 23 {
        fault("hour_from", "小时为 0 至 23。", "Hours are 0 to 23.");
    }
    let term = |date: &Option<_>| date.as_ref().map(day::from_proto);
    match (term(&grant.term_from), term(&grant.term_until)) {
        (Some(None), _) | (_, Some(None)) => fault("term_until", "没有这一天。", "There is no such day."),
        (Some(Some(from)), Some(Some(until))) if until < from => {
            fault("term_until", "早于开始日期。", "Lies before the first day.");
        }
        _ => {}
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::malformed(faults)) }
}

/// Every field asked for exists: declared by the resource, in the library's schema, or on the face of the licence type.
async fn check_fields(view: &View, grant: &Grant, resource: &Resource) -> Result<(), Failure> {
    let library = Library::from_number(u16::try_from(resource.library).unwrap_or(0))
        .ok_or(Failure::new(Reason::ResourceUnknown))?;
    let kind: Option<LicenceType> = match library {
        Library::Licence => {
            let opened = view.newest_of(Library::LicenceType, "licence_type", &resource.licence_type).await?;
            opened.map(|o| o.body()).transpose()?
        }
        _ => None,
    };
    let known = |name: &str| {
        let declared = resource.fields.iter().any(|f| f.name == name);
        let core = resource.fields.is_empty() && library.field(name).is_some();
        let face = kind.as_ref().is_some_and(|k| k.face_fields.iter().any(|f| f.name == name));
        let whole = library == Library::Licence && (name == "complete_licence" || library.field(name).is_some());
        let geometry = library == Library::Geospatial && name == "geometry";
        declared || core || face || whole || geometry
    };
    let unknown: Vec<FieldFault> = (grant.fields.iter().enumerate().filter(|(_, name)| !known(name)))
        .map(|(n, name)| {
            let en = format!("The resource has no field {name:?}.");
            FieldFault::new(format!("grant.fields[{n}]"), format!("资源中没有字段 {name}。"), en)
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(Failure::new(Reason::FieldUnknown).with_fields(unknown)) }
}
