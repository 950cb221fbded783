//! Preparing, issuing and changing licences. Each is checked whole before anything is handed to the log.
use super::face::check_face;
use super::issuer::{IssuerTrust, SignedThing, Signer};
use super::row::{IssuerKeyRow, LicenceRow};
use super::standing::hex;
use super::state::after;
use crate::failure::{Failure, FieldFault, Reason};
use crate::library::codes::{Division, HolderCode, LicenceId, LicenceTypeCode, Uscc};
use crate::library::day;
use crate::library::question::{Subject, licence_series};
use crate::library::record::{LinkKind, Row, Source, View, Write};
use crate::library::schema::Library;
use crate::library::transition::{Ordered, Transition};
use crate::library::verified::Verified;
use crate::policy::Permit;
use crate::receipt::canonical;
use crate::receipt::recorder::Mutations;
use crate::store::key_space::IndexKey;
use crate::store::vault::Vault;
use crate::wire::proto::catalogue::v1::{Department, Resource, Role};
use crate::wire::proto::exchange::v1::{PreparedLicence, payload::Answer};
use crate::wire::proto::library::v1::{Date, DepartmentSignature, LicenceState};
use crate::wire::proto::licence::v1::{
    Authority, ChangeLicenceRequest, DistrustIssuerKeyRequest, IssueLicenceRequest, LicenceContent, LicenceOrder,
    LicenceType, OrderAction, PrepareLicenceRequest, PutLicenceTypeRequest,
};
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Label of the ticket that proves bytes were prepared here.
const TICKET: &str = "licence-ticket";

/// Prepares a licence: the exact bytes its authority is to sign.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::LicenceTypeUnknown`], [`Reason::IssuerNotAuthorised`], [`Reason::LicenceFieldsInvalid`],
/// [`Reason::TargetUnknown`] for an unknown previous version.
pub async fn prepare(
    view: &View,
    permit: &Permit,
    hub: &str,
    request: &PrepareLicenceRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let department = department_of(view, permit).await?;
    let kind = issued_type(view, &request.type_code, &department).await?;
    let licence_id = allot(view, request, &department).await?;
    let content = content_of(request, &kind, &department, hub, &licence_id)?;
    let bytes = Bytes::from(content.encode_to_vec());
    let prepared = PreparedLicence {
        ticket: Bytes::copy_from_slice(&view.vault().mac(TICKET, &bytes)),
        content: bytes,
        licence_id: licence_id.clone(),
    };
    let subject = Some(Subject::new("licence", licence_id));
    let finding = Verified::new(ordered.finding(Answer::PreparedLicence(prepared), subject, Vec::new()));
    Ok(Transition { finding, mutations: Mutations::default() })
}

/// The identifier: a new random serial, or the next version of the one it takes the place of.
async fn allot(view: &View, request: &PrepareLicenceRequest, department: &Department) -> Result<String, Failure> {
    if !request.previous_licence_id.is_empty() {
        let previous = parse_id(&request.previous_licence_id, "previous_licence_id")?;
        if previous.issuer() != department.uscc || previous.type_code() != request.type_code {
            return Err(Failure::new(Reason::IssuerNotAuthorised));
        }
        let (_, row, _) = newest(view, &previous).await?;
        if row.licence_version != u32::from(previous.version()) {
            return Err(Failure::new(Reason::TransitionNotAllowed));
        }
        let next = previous.next_version().ok_or(Failure::new(Reason::TransitionNotAllowed))?;
        return Ok(next.to_string());
    }
    let mut random = [0_u8; 20];
    getrandom::fill(&mut random).map_err(|e| Failure::new(Reason::Internal).because(e))?;
    let serial: String = random.iter().map(|b| char::from(b'0' + b % 10)).collect();
    let malformed = |fault: crate::library::codes::CodeFault| Failure::field("type_code", fault.zh(), fault.en());
    let type_code = LicenceTypeCode::parse(&request.type_code).map_err(malformed)?;
    let issuer = Uscc::parse(&department.uscc).map_err(|e| Failure::new(Reason::Internal).because(e.en()))?;
    let id = LicenceId::make(&type_code, &issuer, &serial, 1).map_err(malformed)?;
    Ok(id.to_string())
}

/// What the authority is to sign: the canonical content of a licence, or every fault of the draft.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::LicenceFieldsInvalid`].
pub fn content_of(
    request: &PrepareLicenceRequest,
    kind: &LicenceType,
    department: &Department,
    hub: &str,
    licence_id: &str,
) -> Result<LicenceContent, Failure> {
    let mut faults = Vec::new();
    let mut date = |field: &str, date: &Option<Date>, required: bool| match date.as_ref().map(day::from_proto) {
        Some(Some(day)) => Some(day::to_proto(day)),
        None if !required => None,
        None => {
            faults.push(FieldFault::new(field, "缺少日期。", "A date is required."));
            None
        }
        Some(None) => {
            faults.push(FieldFault::new(field, "没有这一天。", "There is no such day."));
            None
        }
    };
    let issued_on = date("issued_on", &request.issued_on, true);
    let valid_from = date("valid_from", &request.valid_from, true);
    let valid_until = date("valid_until", &request.valid_until, false);
    if let (Some(from), Some(until)) =
        (valid_from.as_ref().and_then(day::from_proto), valid_until.as_ref().and_then(day::from_proto))
        && until < from
    {
        faults.push(FieldFault::new("valid_until", "早于起始日期。", "Lies before the first valid day."));
    }
    if request.holders.is_empty() {
        faults.push(FieldFault::new("holders", "至少一个持证主体。", "Name at least one holder."));
    }
    let mut holders = Vec::new();
    let mut named = HashSet::new();
    for (n, holder) in request.holders.iter().enumerate() {
        let code = holder.code.clone().unwrap_or_default();
        match HolderCode::parse(&code.code_type, &code.code) {
            Ok(code) => {
                let mut holder = holder.clone();
                holder.code = Some(crate::wire::proto::library::v1::HolderCode {
                    code_type: code.code_type().as_str().to_owned(),
                    code: code.code().to_owned(),
                });
                if !named.insert((code.code_type(), code.code().to_owned())) {
                    let (zh, en) = ("同一主体重复出现。", "Names a holder a second time.");
                    faults.push(FieldFault::new(format!("holders[{n}].code"), zh, en));
                }
                holders.push(holder);
            }
            Err(fault) => faults.push(FieldFault::new(format!("holders[{n}].code"), fault.zh(), fault.en())),
        }
        if holder.name.trim().is_empty() {
            faults.push(FieldFault::new(format!("holders[{n}].name"), "缺少姓名或名称。", "A name is required."));
        }
    }
    if request.number.trim().is_empty() {
        faults.push(FieldFault::new("number", "缺少证照编号。", "The number printed on the licence is required."));
    }
    if let Err(fault) = Division::parse(&request.division) {
        faults.push(FieldFault::new("division", fault.zh(), fault.en()));
    }
    if !faults.is_empty() {
        return Err(Failure::malformed(faults));
    }
    let face_fields = check_face(kind, &request.face_fields)
        .map_err(|faults| Failure::new(Reason::LicenceFieldsInvalid).with_fields(faults))?;
    Ok(LicenceContent {
        format: 1,
        hub: hub.to_owned(),
        licence_id: licence_id.to_owned(),
        type_code: kind.type_code.clone(),
        type_name: kind.name.clone(),
        number: request.number.trim().to_owned(),
        issuer: Some(Authority { name: department.name.clone(), uscc: department.uscc.clone() }),
        holders,
        issued_on,
        valid_from,
        valid_until,
        division: request.division.clone(),
        previous_licence_id: request.previous_licence_id.clone(),
        face_fields,
        item_code: request.item_code.clone(),
    })
}

/// Takes a signed licence in.
///
/// # Errors
/// Each wrong thing has its reason: other bytes, wrong department, hub's key, chain, expiry, revocation, signature, distrust, a
/// licence that is there already.
pub async fn issue(
    view: &View,
    permit: &Permit,
    issuers: &IssuerTrust,
    request: &IssueLicenceRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let licence = prepared_here(view, &request.content, &request.ticket)?;
    let department = department_of(view, permit).await?;
    let kind = type_of(view, &licence.type_code).await?;
    authorised(&kind, &department)?;
    let signature = request.signature.clone().unwrap_or_default();
    let signer =
        signed_by(view, issuers, SignedThing::Licence, &request.content, &signature, &licence, &department).await?;
    let id = parse_id(&licence.licence_id, "content")?;
    if id.version() != 1 {
        return Err(Failure::new(Reason::TransitionNotAllowed).because("a later version comes with a change order"));
    }
    let series = licence_series(&id);
    if view.newest_of(Library::Licence, "licence", &series).await?.is_some() {
        return Err(Failure::new(Reason::AlreadyExists));
    }
    let file_sm3 = file_digest(&request.file_sm3, "file_sm3")?;
    let row = first_row(request.content.clone(), signature, &signer.fingerprint, &licence, view.now_ms);
    let row = LicenceRow { file_sm3, ..row };
    let write = write(view, permit, &kind, &licence, &series, &row, 0)?;
    Ok(ordered.transition(vec![(write, licence.licence_id.clone())], Some(Subject::new("licence", licence.licence_id))))
}

/// Changes a licence by a signed order.
///
/// # Errors
/// As [`issue`], and [`Reason::TargetUnknown`], [`Reason::TransitionNotAllowed`], [`Reason::OrderRequired`].
pub async fn change(
    view: &View,
    permit: &Permit,
    hub: &str,
    issuers: &IssuerTrust,
    request: &ChangeLicenceRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let order: LicenceOrder = canonical::decode(&request.order)
        .map_err(|_| Failure::field("order", "不是规范编码的命令。", "Is no canonical order."))?;
    check_order(&order, hub)?;
    let id = parse_id(&order.licence_id, "order.licence_id")?;
    let department = department_of(view, permit).await?;
    if id.issuer() != department.uscc {
        return Err(Failure::new(Reason::IssuerNotAuthorised));
    }
    let (opened, present, licence) = newest(view, &id).await?;
    if present.licence_version != u32::from(id.version()) {
        return Err(
            Failure::new(Reason::TransitionNotAllowed).because("the order names a version that is not the newest")
        );
    }
    let signature = request.signature.clone().unwrap_or_default();
    signed_by(view, issuers, SignedThing::Order, &request.order, &signature, &licence, &department).await?;
    let state = LicenceState::try_from(present.state).unwrap_or(LicenceState::Unspecified);
    let next_state = after(state, &order)?;
    let kind = type_of(view, &licence.type_code).await?;
    let mut row = LicenceRow {
        state: next_state as i32,
        state_since: number_of(&order.effective_on),
        document_number: order.document_number.clone(),
        order: request.order.clone(),
        order_signature: Some(signature),
        ..present
    };
    let mut new_licence = licence;
    if matches!(order.action(), OrderAction::Amend | OrderAction::Renew) {
        authorised(&kind, &department)?;
        new_licence = new_version(view, issuers, request, &order, &id, &department, &mut row).await?;
        row.file_sm3 = file_digest(&request.new_file_sm3, "new_file_sm3")?;
    }
    let write = write(view, permit, &kind, &new_licence, &licence_series(&id), &row, opened.version)?;
    Ok(ordered
        .transition(vec![(write, new_licence.licence_id.clone())], Some(Subject::new("licence", order.licence_id))))
}

fn check_order(order: &LicenceOrder, hub: &str) -> Result<(), Failure> {
    let mut faults = Vec::new();
    if order.format != 1 {
        faults.push(FieldFault::new("order.format", "应为 1。", "Must be 1."));
    }
    if order.hub != hub {
        faults.push(FieldFault::new("order.hub", "不是本枢纽。", "Is not this hub."));
    }
    if order.action() == OrderAction::Unspecified {
        faults.push(FieldFault::new("order.action", "未说明操作。", "Say what to do."));
    }
    if order.document_number.trim().is_empty() {
        faults.push(FieldFault::new("order.document_number", "缺少文号。", "Name the document that orders it."));
    }
    if order.effective_on.as_ref().and_then(day::from_proto).is_none() {
        faults.push(FieldFault::new("order.effective_on", "缺少生效日期。", "Say from which day."));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::malformed(faults)) }
}

/// The new version an amending or renewing order brings.
async fn new_version(
    view: &View,
    issuers: &IssuerTrust,
    request: &ChangeLicenceRequest,
    order: &LicenceOrder,
    id: &LicenceId,
    department: &Department,
    row: &mut LicenceRow,
) -> Result<LicenceContent, Failure> {
    let content_sha256 = Bytes::copy_from_slice(&Sha256::digest(&request.new_content));
    if order.new_content_sha256 != content_sha256 {
        return Err(Failure::new(Reason::LicenceBytesDiffer));
    }
    let licence = prepared_here(view, &request.new_content, &request.new_ticket)?;
    if licence.previous_licence_id != id.to_string() {
        return Err(
            Failure::new(Reason::TransitionNotAllowed).because("the new version does not name the order's licence")
        );
    }
    let signature = request.new_signature.clone().unwrap_or_default();
    let signer =
        signed_by(view, issuers, SignedThing::Licence, &request.new_content, &signature, &licence, department).await?;
    row.content = request.new_content.clone();
    row.signature = Some(signature);
    row.content_sha256 = content_sha256;
    row.issuer_certificate_sha256 = Bytes::copy_from_slice(&signer.fingerprint);
    row.verified_at_ms = view.now_ms;
    row.licence_version += 1;
    Ok(licence)
}

/// Verifies a signature and that it is the licence's issuer who signed, for a department that is this issuer.
async fn signed_by(
    view: &View,
    issuers: &IssuerTrust,
    thing: SignedThing,
    bytes: &[u8],
    signature: &DepartmentSignature,
    licence: &LicenceContent,
    department: &Department,
) -> Result<Signer, Failure> {
    issuer_is(licence, department)?;
    let certified = issuers.certify(&signature.chain, view.now_ms)?;
    let signer = certified.verify(thing, bytes, &signature.algorithm, &signature.value)?;
    if signer.uscc != department.uscc {
        return Err(Failure::new(Reason::IssuerMismatch));
    }
    trusted(view, &signer.fingerprint).await?;
    Ok(signer)
}

/// Whether the licence names this department as its issuer.
pub(super) fn issuer_is(licence: &LicenceContent, department: &Department) -> Result<(), Failure> {
    if licence.issuer.as_ref().is_some_and(|issuer| issuer.uscc == department.uscc) {
        return Ok(());
    }
    Err(Failure::new(Reason::IssuerNotAuthorised).because("the caller's department is not the issuer named"))
}

/// Whether nobody has told the hub to distrust a key. The view remembers that this was relied on.
///
/// # Errors
/// [`Reason::IssuerDistrusted`].
pub async fn trusted(view: &View, fingerprint: &[u8; 32]) -> Result<(), Failure> {
    let told = view.newest_of(Library::IssuerKey, "issuer_key", &hex(fingerprint)).await?;
    let distrusted = told.map(|o| o.body::<IssuerKeyRow>()).transpose()?.is_some_and(|key| key.distrusted);
    if distrusted { Err(Failure::new(Reason::IssuerDistrusted)) } else { Ok(()) }
}

/// A digest of a file, or none.
fn file_digest(digest: &Bytes, field: &str) -> Result<Bytes, Failure> {
    if digest.is_empty() || digest.len() == 32 {
        return Ok(digest.clone());
    }
    Err(Failure::field(field, "应为 SM3 摘要，32 字节。", "Is an SM3 digest, 32 bytes."))
}

/// The first row of a licence: version 1, valid from its day of issue.
pub(super) fn first_row(
    content: Bytes,
    signature: DepartmentSignature,
    fingerprint: &[u8; 32],
    licence: &LicenceContent,
    now_ms: u64,
) -> LicenceRow {
    LicenceRow {
        content_sha256: Bytes::copy_from_slice(&Sha256::digest(&content)),
        content,
        signature: Some(signature),
        issuer_certificate_sha256: Bytes::copy_from_slice(fingerprint),
        verified_at_ms: now_ms,
        licence_version: 1,
        state: LicenceState::Valid as i32,
        state_since: number_of(&licence.issued_on),
        ..LicenceRow::default()
    }
}

fn prepared_here(view: &View, content: &Bytes, ticket: &Bytes) -> Result<LicenceContent, Failure> {
    let expected = view.vault().mac(TICKET, content);
    // A mac over public bytes: comparing in constant time keeps it from being guessed byte by byte.
    let differ =
        expected.len() != ticket.len() || expected.iter().zip(ticket.iter()).fold(0, |d, (a, b)| d | (a ^ b)) != 0;
    if differ {
        return Err(Failure::new(Reason::LicenceBytesDiffer));
    }
    canonical::decode(content).map_err(|_| Failure::new(Reason::LicenceBytesDiffer))
}

async fn newest(
    view: &View,
    id: &LicenceId,
) -> Result<(crate::library::record::Opened, LicenceRow, LicenceContent), Failure> {
    let opened = view.newest_of(Library::Licence, "licence", &licence_series(id)).await?;
    let opened = opened.ok_or(Failure::new(Reason::TargetUnknown))?;
    let row: LicenceRow = opened.body()?;
    let licence = row.licence()?;
    Ok((opened, row, licence))
}

fn write(
    view: &View,
    permit: &Permit,
    kind: &LicenceType,
    licence: &LicenceContent,
    series: &str,
    row: &LicenceRow,
    previous: u64,
) -> Result<Write, Failure> {
    let source = Source {
        department: permit.system().department.clone(),
        system: permit.system().uri.clone(),
        batch: licence.item_code.clone(),
        source_time_ms: view.now_ms,
    };
    let stored = stored(kind, series, row, source);
    let links: Vec<_> = holder_keys(view.vault(), licence).map(|key| (LinkKind::Holder, key)).collect();
    view.write(Library::Licence, &stored, previous, &links)
}

/// A licence's row as it is kept.
pub(super) fn stored(kind: &LicenceType, series: &str, row: &LicenceRow, source: Source) -> Row {
    Row {
        format: 1,
        code_type: "licence".into(),
        code: series.to_owned(),
        resource: kind.resource.clone(),
        removed: false,
        valid_from: row.state_since,
        source: Some(source),
        quality_flags: Vec::new(),
        salt: Bytes::new(),
        body: row.encode_to_vec().into(),
    }
}

/// Where links from a licence's holders begin.
pub(super) fn holder_keys(vault: &Vault, licence: &LicenceContent) -> impl Iterator<Item = IndexKey> {
    let codes = licence.holders.iter().filter_map(|holder| holder.code.as_ref());
    codes.map(|code| vault.index_key(Library::Licence.number(), &code.code_type, &code.code))
}

async fn department_of(view: &View, permit: &Permit) -> Result<Department, Failure> {
    department_named(view, &permit.system().department).await
}

pub(super) async fn department_named(view: &View, code: &str) -> Result<Department, Failure> {
    let opened = view.newest_of(Library::Department, "department", code).await?;
    opened.ok_or(Failure::new(Reason::DepartmentUnknown))?.body()
}

async fn type_of(view: &View, type_code: &str) -> Result<LicenceType, Failure> {
    let opened = view.newest_of(Library::LicenceType, "licence_type", type_code).await?;
    opened.ok_or(Failure::new(Reason::LicenceTypeUnknown))?.body()
}

/// A type that licences are issued of today, by this department among others.
pub(super) async fn issued_type(view: &View, type_code: &str, department: &Department) -> Result<LicenceType, Failure> {
    let kind = type_of(view, type_code).await?;
    if kind.retired {
        return Err(Failure::new(Reason::LicenceTypeUnknown));
    }
    authorised(&kind, department)?;
    Ok(kind)
}

fn authorised(kind: &LicenceType, department: &Department) -> Result<(), Failure> {
    if kind.issuer_usccs.contains(&department.uscc) { Ok(()) } else { Err(Failure::new(Reason::IssuerNotAuthorised)) }
}

pub(super) fn parse_id(text: &str, field: &str) -> Result<LicenceId, Failure> {
    LicenceId::parse(text).map_err(|fault| Failure::field(field, fault.zh(), fault.en()))
}

fn number_of(date: &Option<Date>) -> u32 {
    date.as_ref().and_then(day::from_proto).map_or(0, day::number)
}

/// Puts a licence type, or its next version.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::RoleNotAllowed`] for a department that does not define the type,
/// [`Reason::StateChangedMeanwhile`].
pub async fn put_type(
    view: &View,
    permit: &Permit,
    request: &PutLicenceTypeRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let mut kind = request.licence_type.clone().unwrap_or_default();
    let mut faults = Vec::new();
    if let Err(fault) = LicenceTypeCode::parse(&kind.type_code) {
        faults.push(FieldFault::new("licence_type.type_code", fault.zh(), fault.en()));
    }
    if kind.name.trim().is_empty() {
        faults.push(FieldFault::new("licence_type.name", "缺少名称。", "A name is required."));
    }
    if kind.resource.trim().is_empty() {
        faults.push(FieldFault::new("licence_type.resource", "缺少对应的信息资源。", "Name the catalogue resource."));
    }
    for (n, uscc) in kind.issuer_usccs.iter().enumerate() {
        if let Err(fault) = Uscc::parse(uscc) {
            faults.push(FieldFault::new(format!("licence_type.issuer_usccs[{n}]"), fault.zh(), fault.en()));
        }
    }
    if !faults.is_empty() {
        return Err(Failure::malformed(faults));
    }
    if !permit.has(Role::DataAuthority) {
        // The type code itself begins with the credit code of the body that defines it (GB/T 36904).
        let department = department_of(view, permit).await?;
        let defined_by = kind.defining_authority.as_ref().map(|a| a.uscc.as_str());
        if !kind.type_code.starts_with(&department.uscc) || defined_by != Some(department.uscc.as_str()) {
            return Err(Failure::new(Reason::RoleNotAllowed));
        }
    }
    let resource = view.newest_of(Library::Resource, "resource", &kind.resource).await?;
    let resource: Option<Resource> = resource.map(|o| o.body()).transpose()?;
    if !resource.is_some_and(|r| r.licence_type == kind.type_code && r.view_of.is_empty()) {
        return Err(Failure::new(Reason::ResourceUnknown));
    }
    let previous = kind.version;
    kind.version = 0;
    let code = kind.type_code.clone();
    let write =
        crate::library::catalogue::put_row(view, Library::LicenceType, "licence_type", &code, &kind, previous, &[])
            .await?;
    Ok(ordered.transition(vec![(write, code)], None))
}

/// Distrusts an issuer's key, or takes that back.
///
/// # Errors
/// [`Reason::RequestMalformed`].
pub async fn distrust(
    view: &View,
    request: &DistrustIssuerKeyRequest,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let mut faults = Vec::new();
    if request.certificate_sha256.len() != 32 {
        faults.push(FieldFault::new("certificate_sha256", "应为 32 字节。", "Must be 32 bytes."));
    }
    if request.document_number.trim().is_empty() {
        faults.push(FieldFault::new("document_number", "缺少文号。", "Name the document that orders it."));
    }
    if !faults.is_empty() {
        return Err(Failure::malformed(faults));
    }
    let row = IssuerKeyRow {
        distrusted: !request.trusted_again,
        document_number: request.document_number.clone(),
        reason: request.reason.clone(),
    };
    let code = hex(&request.certificate_sha256);
    let previous = view.newest_of(Library::IssuerKey, "issuer_key", &code).await?.map_or(0, |o| o.version);
    let write =
        crate::library::catalogue::put_row(view, Library::IssuerKey, "issuer_key", &code, &row, previous, &[]).await?;
    Ok(ordered.transition(vec![(write, code)], None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::library::v1::HolderCode as Code;
    use crate::wire::proto::licence::v1::Holder;

    #[test]
    fn a_holder_named_twice_is_a_fault_of_the_second_field() {
        let uscc = Uscc::make("11", "331099", "00000001").unwrap().as_str().to_owned();
        let code = Code { code_type: "001".into(), code: uscc };
        let holder = Holder { name: "甲".into(), code: Some(code) };
        let request = PrepareLicenceRequest { holders: vec![holder.clone(), holder], ..Default::default() };
        let refused =
            content_of(&request, &LicenceType::default(), &Department::default(), "hub.test", "").unwrap_err();
        let fields: Vec<&str> = refused.fields.iter().map(|fault| fault.field.as_str()).collect();
        assert!(fields.contains(&"holders[1].code"), "{fields:?}");
        assert!(!fields.contains(&"holders[0].code"), "{fields:?}");
    }
}
