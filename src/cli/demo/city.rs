//! Loading the demo city through the same doors as anybody: catalogue, grants, imports, licences.
use super::super::{CliError, CliResult};
use super::desk::{At, Desk, administration, context, request_id};
use super::say::{Transcript, timed};
use super::{City, HUB};
use crate::cli::sign::{self, DepartmentKey};
use crate::demo::bad_rows::write_csv;
use crate::demo::grants::{DemoGrant, grants};
use crate::demo::licences::LicenceDraft;
use crate::demo::messages::{draft_message, licence_type_message};
use crate::demo::organisation::{DEPARTMENTS, DemoResource, LICENCE_TYPES, SYSTEMS, resources};
use crate::demo::places::HOME;
use crate::library::day;
use crate::library::licence::SignedThing;
use crate::library::schema::Library;
use crate::wire::proto::catalogue::v1::{
    AllowedPurpose, ApplyGrantRequest, DecideGrantRequest, Department, Grant, GrantState, PutDepartmentRequest,
    PutResourceRequest, PutSystemRequest, Resource, ResourceField, System,
};
use crate::wire::proto::exchange::v1::{Payload, payload};
use crate::wire::proto::intake::v1::{
    ImportFormat, ImportOpening, ImportPart, ImportPhase, ImportRequest, ImportResponse, ImportScope, Manifest,
    import_request::Message as Up,
};
use crate::wire::proto::licence::v1::{LicenceOrder, PrepareLicenceRequest, PutLicenceTypeRequest};
use futures_util::{StreamExt, TryStreamExt, stream};
use prost::Message;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Bytes of one part of a file on its way up.
const PART_BYTES: usize = 256 << 10;
/// Calls under way at once.
const AT_ONCE: usize = 32;

/// Loads everything; says how long each part took.
pub(super) async fn load(desk: &Desk, city: &City, folder: &Path, licences: usize, say: &mut Transcript) -> CliResult {
    say.title("装载", "Loading");
    found(desk, say).await?;
    for library in [Library::Population, Library::LegalEntity, Library::Credit, Library::Geospatial] {
        load_library(desk, city, folder, library, say).await?;
    }
    let (count, took) = timed(issue_licences(desk, city, licences)).await;
    let (count, s) = (count?, took.as_secs_f64());
    say.note(
        &format!("电子证照：准备、签名、签发 {count} 件（{s:.1} 秒）"),
        &format!("licences: {count} prepared, signed and issued ({s:.1} s)"),
    );
    Ok(())
}

/// Catalogue and grants.
pub(super) async fn found(desk: &Desk, say: &mut Transcript) -> CliResult {
    let (done, took) = timed(catalogue(desk)).await;
    done?;
    let s = took.as_secs_f64();
    say.note(
        &format!("目录：24 个部门、37 个系统、40 个信息资源、8 个证照类型（{s:.1} 秒）"),
        &format!("catalogue: 24 departments, 37 systems, 40 resources, 8 licence types ({s:.1} s)"),
    );
    let (count, took) = timed(apply_for_grants(desk)).await;
    let (count, s) = (count?, took.as_secs_f64());
    say.note(
        &format!("共享许可：{count} 份申请并答复（{s:.1} 秒）"),
        &format!("grants: {count} applied for and decided ({s:.1} s)"),
    );
    Ok(())
}

/// Everything of one of the four imported libraries.
pub(super) async fn load_library(
    desk: &Desk,
    city: &City,
    folder: &Path,
    library: Library,
    say: &mut Transcript,
) -> CliResult {
    let (resource, lead) = match library {
        Library::Population => ("population", "population"),
        Library::LegalEntity => ("legal-entity", "registration"),
        Library::Credit => ("credit", "credit"),
        _ => ("geospatial", "planning"),
    };
    let file = folder.join(format!("{}.csv", library.code()));
    let rows = write_csv(library, city.rows(library), std::io::BufWriter::new(std::fs::File::create(&file)?))?;
    let (report, took) = timed(import(desk, lead, resource, &file, rows, ImportScope::Snapshot)).await;
    let (report, s) = (report?, took.as_secs_f64());
    std::fs::remove_file(&file)?; // plain data has no place beside a hub
    if report.phase() != ImportPhase::Done || report.rows_applied != rows {
        return Err(CliError(format!("{resource}: {} of {rows} rows applied, {}", report.rows_applied, report.reason)));
    }
    say.note(
        &format!("{}：导入 {rows} 行（{s:.1} 秒）", library.zh()),
        &format!("{}: {rows} rows imported ({s:.1} s)", library.code()),
    );
    Ok(())
}

async fn catalogue(desk: &Desk) -> CliResult {
    let authority = desk.at("catalogue")?;
    let purpose = || Some(administration("建立目录 catalogue"));
    for department in DEPARTMENTS.iter().filter(|d| d.code != "data-bureau") {
        let department = Department {
            code: department.code.to_owned(),
            name: department.name.to_owned(),
            uscc: department.uscc()?.as_str().to_owned(),
            division: HOME.to_owned(),
            version: 0,
        };
        let request =
            PutDepartmentRequest { request_id: request_id()?, department: Some(department), purpose: purpose() };
        authority.catalogue().put_department(request).await?;
    }
    for system in SYSTEMS.iter().filter(|s| s.code != "catalogue") {
        let system = System {
            uri: system.uri(HUB),
            name: system.name.to_owned(),
            department: system.department.to_owned(),
            roles: system.roles.iter().map(|role| *role as i32).collect(),
            enabled: true,
            ..System::default()
        };
        let request = PutSystemRequest { request_id: request_id()?, system: Some(system), purpose: purpose() };
        authority.catalogue().put_system(request).await?;
    }
    let (whole, views): (Vec<_>, Vec<_>) = resources().partition(DemoResource::is_whole);
    for resource in whole.iter().chain(&views) {
        let request = PutResourceRequest {
            request_id: request_id()?,
            resource: Some(resource_of(resource, &whole)?),
            purpose: purpose(),
        };
        authority.catalogue().put_resource(request).await?;
    }
    for kind in &LICENCE_TYPES {
        put_licence_type(&authority, kind).await?;
    }
    Ok(())
}

fn resource_of(resource: &DemoResource, whole: &[DemoResource]) -> CliResult<Resource> {
    let same = |w: &&DemoResource| w.library == resource.library && w.licence == resource.licence;
    let view_of = match whole.iter().find(same) {
        Some(whole) if !resource.is_whole() => whole.code.to_owned(),
        _ => String::new(),
    };
    let licence_type = crate::demo::organisation::licence_type(resource.licence);
    let licence_type = licence_type.map(|kind| kind.type_code()).transpose()?;
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let field = |name: &str| {
        let core = resource.library.field(name);
        ResourceField {
            name: name.to_owned(),
            title_zh: core.map_or_else(String::new, |spec| spec.title_zh.to_owned()),
            ..ResourceField::default()
        }
    };
    let fields = if resource.is_whole() { Vec::new() } else { resource.fields().into_iter().map(field).collect() };
    Ok(Resource {
        code: resource.code.to_owned(),
        name: resource.name.to_owned(),
        library: i32::from(resource.library.number()),
        source_department: resource.owner().to_owned(),
        sharing_class: resource.sharing as i32,
        sharing_condition: resource.condition.to_owned(),
        update_cycle_days: resource.cycle_days,
        coverage_divisions: strings(resource.coverage_divisions()),
        coverage_code_types: strings(resource.coverage_code_types()),
        licence_type: licence_type.map_or_else(String::new, |code| code.as_str().to_owned()),
        fields,
        view_of,
        ..Resource::default()
    })
}

async fn put_licence_type(authority: &At, kind: &crate::demo::organisation::DemoLicenceType) -> CliResult {
    let request = PutLicenceTypeRequest {
        request_id: request_id()?,
        licence_type: Some(licence_type_message(kind)?),
        purpose: Some(administration("证照类型入目录 licence type")),
    };
    authority.licences().put_licence_type(request).await?;
    Ok(())
}

/// Each system applies for what it needs; what is not granted by rule the source department agrees to.
async fn apply_for_grants(desk: &Desk) -> CliResult<usize> {
    let all: Vec<DemoGrant> = grants().collect();
    let count = all.len();
    stream::iter(all)
        .map(|grant| async move {
            let system = desk.at(grant.system)?;
            let resource = crate::demo::organisation::resource_of(grant.resource);
            let resource = resource.ok_or_else(|| CliError(format!("no resource {}", grant.resource)))?;
            let request = ApplyGrantRequest {
                request_id: request_id()?,
                grant: Some(grant_of(&grant)),
                purpose: Some(administration("共享申请 application")),
            };
            let applied = system.catalogue().apply_grant(request).await?.into_inner();
            if applied.state() == GrantState::Applied {
                let Some(payload::Answer::Change(change)) = Payload::decode(applied.payload)?.answer else {
                    return Err(CliError("an application without a change".into()));
                };
                let grant_id = change.records.first().map(|record| record.name.clone()).unwrap_or_default();
                let request = DecideGrantRequest {
                    request_id: request_id()?,
                    grant_id,
                    agree: true,
                    reason: String::new(),
                    purpose: Some(administration("共享答复 decision")),
                };
                desk.at(resource.lead)?.catalogue().decide_grant(request).await?;
            }
            Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(count)
}

fn grant_of(grant: &DemoGrant) -> Grant {
    let items: Vec<String> = grant.items.iter().map(|item| (*item).to_owned()).collect();
    let purposes =
        grant.purposes.iter().map(|purpose| AllowedPurpose { kind: *purpose as i32, items: items.clone() }).collect();
    Grant {
        resource: grant.resource.to_owned(),
        fields: grant.fields.iter().map(|field| (*field).to_owned()).collect(),
        kinds: grant.kinds.iter().map(|kind| *kind as i32).collect(),
        facts: grant.facts.iter().map(|fact| *fact as i32).collect(),
        mode: grant.mode as i32,
        purposes,
        legal_basis: grant.legal_basis.to_owned(),
        seals: if grant.system == "one-window" { vec![super::sealed::SEAL.to_owned()] } else { Vec::new() },
        ..Grant::default()
    }
}

/// Imports a file under its department's signed manifest; gives the report.
pub(super) async fn import(
    desk: &Desk,
    system: &str,
    resource: &str,
    file: &Path,
    rows: u64,
    scope: ImportScope,
) -> CliResult<ImportResponse> {
    let at = desk.at(system)?;
    let key: DepartmentKey = desk.key_of(at.system.department)?;
    let bytes = tokio::fs::read(file).await?;
    let manifest = Manifest {
        format: 1,
        hub: HUB.to_owned(),
        resource: resource.to_owned(),
        system: at.uri(),
        scope: scope as i32,
        file_format: ImportFormat::CsvUtf8 as i32,
        file_bytes: bytes.len() as u64,
        file_sha256: Sha256::digest(&bytes).to_vec().into(),
        rows,
        source_time_ms: crate::clock::Clock::system().now_ms(),
        batch: format!("{resource}-{}", request_id()?),
    };
    let manifest = bytes::Bytes::from(manifest.encode_to_vec());
    let signature = Some(key.sign(SignedThing::Manifest, &manifest)?);
    let opening = Up::Opening(ImportOpening { manifest, signature, dry_run: false, operator: None });
    let parts = (0_u64..)
        .step_by(PART_BYTES)
        .zip(bytes.chunks(PART_BYTES).map(bytes::Bytes::copy_from_slice).collect::<Vec<_>>());
    let parts = parts.map(|(offset, bytes)| Up::Part(ImportPart { offset, bytes }));
    let up: Vec<ImportRequest> =
        std::iter::once(opening).chain(parts).map(|message| ImportRequest { message: Some(message) }).collect();
    let mut down = at.intake().import(stream::iter(up)).await?.into_inner();
    let mut last = None;
    while let Some(progress) = down.message().await? {
        last = Some(progress);
    }
    last.ok_or_else(|| CliError("the import gave no report".into()))
}

/// About `most` licences from all over the city and those of the hard cases, each prepared, signed and issued by its department.
async fn issue_licences(desk: &Desk, city: &City, most: usize) -> CliResult<usize> {
    let hard = city.hard_cases()?;
    let mut drafts: Vec<LicenceDraft> = Vec::new();
    for firm in [&hard.revoked_firm, &hard.expired_permit_firm, &hard.firm, &hard.listed_firm] {
        drafts.extend(city.licences_of_firm(firm.index)?);
    }
    for resident in [&hard.suspended_driver, &hard.adult, &hard.rare_character, &hard.dotted_name, &hard.fifteen_digits]
    {
        drafts.extend(city.licences_of_resident(resident.index)?);
    }
    let known: std::collections::HashSet<String> = drafts.iter().map(|draft| draft.serial.clone()).collect();
    // A stride through the whole city, so that all eight types are among the few: of ten licences seven are of residents.
    let wanted = u64::try_from(most.max(10))?;
    let every = |there: u64, share: u64| usize::try_from(there / (wanted * share / 10).max(1)).unwrap_or(1).max(1);
    let mut more = Vec::new();
    for index in (0..city.people()).step_by(every(city.people(), 4)) {
        more.extend(city.licences_of_resident(index)?);
    }
    for index in (0..city.firms_count()).step_by(every(city.firms_count(), 1)) {
        more.extend(city.licences_of_firm(index)?);
    }
    for index in (0..city.parcels_count()).step_by(every(city.parcels_count(), 1)) {
        more.push(city.licence_of_parcel(index)?);
    }
    drafts.extend(more.into_iter().filter(|draft| !known.contains(&draft.serial)));
    let count = drafts.len();
    let mut keys = std::collections::HashMap::new();
    for kind in &LICENCE_TYPES {
        if !keys.contains_key(kind.department) {
            keys.insert(kind.department, desk.key_of(kind.department)?);
        }
    }
    let keys = &keys;
    stream::iter(drafts)
        .map(|draft| async move {
            let key = keys.get(draft.kind.department).ok_or_else(|| CliError("a type without a department".into()))?;
            issue(desk, key, &draft).await.map(|_| ())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(count)
}

/// Prepares, signs, issues; and if the draft says so, changes its state by a signed order. Gives the identifier.
pub(super) async fn issue(desk: &Desk, key: &DepartmentKey, draft: &LicenceDraft) -> CliResult<String> {
    let at = desk.at(draft.kind.system)?;
    let context = context(draft.kind.item_code)?;
    let asked = PrepareLicenceRequest {
        purpose: context.purpose.clone(),
        operator: context.operator.clone(),
        ..draft_message(draft)?
    };
    let prepared = at.licences().prepare_licence(asked.clone()).await?.into_inner();
    let prepared = sign::prepared(&prepared.payload)?;
    let request = key.issue(&asked, &prepared, &request_id()?)?;
    at.licences().issue_licence(request).await?;
    if let Some(order) = &draft.order {
        let order = LicenceOrder {
            hub: HUB.to_owned(),
            action: order.action as i32,
            licence_id: prepared.licence_id.clone(),
            document_number: order.document_number.clone(),
            reason: order.reason.to_owned(),
            effective_on: Some(day::to_proto(order.effective_on)),
            ..LicenceOrder::default()
        };
        let request = key.change(&order, &request_id()?, context.purpose, context.operator)?;
        at.licences().change_licence(request).await?;
    }
    Ok(prepared.licence_id)
}
