//! What the source department signed: read canonically, held against catalogue, caller and signature.
use super::licences::office_of;
use super::state::ImportId;
use crate::failure::{Failure, FieldFault, Reason};
use crate::library::licence::{IssuerTrust, SignedThing, trusted};
use crate::library::record::View;
use crate::library::schema::Library;
use crate::policy::Permit;
use crate::receipt::canonical::{self, NotCanonical};
use crate::wire::proto::catalogue::v1::{Department, Resource};
use crate::wire::proto::intake::v1::{ImportFormat, ImportOpening, ImportScope, Manifest};

/// A source's clock may stand this far ahead of ours.
const SOURCE_AHEAD_MS: u64 = 24 * 3_600 * 1_000;

/// A manifest that may be imported: whose it is, and that they signed it, is verified.
pub(super) struct Admitted {
    pub(super) id: ImportId,
    pub(super) manifest: Manifest,
}

/// Reads a manifest from its only form.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, NotCanonical> {
    canonical::decode(bytes)
}

/// Verifies an opening: form, hub, resource, lead source, signature.
///
/// # Errors
/// [`Reason::RequestMalformed`], [`Reason::ResourceUnknown`], [`Reason::NotLeadSource`], for licences [`Reason::LicenceTypeUnknown`] and
/// [`Reason::IssuerNotAuthorised`]; [`Reason::IssuerMismatch`], [`Reason::IssuerDistrusted`], and those of [`IssuerTrust::verify`].
pub(super) async fn admit(
    view: &View,
    permit: &Permit,
    hub: &str,
    issuers: &IssuerTrust,
    opening: &ImportOpening,
) -> Result<Admitted, Failure> {
    let manifest = decode(&opening.manifest).map_err(|_| {
        let zh = "不是规范编码的清单。";
        Failure::field("opening.manifest", zh, "Not a manifest in canonical encoding.")
    })?;
    check_form(&manifest, hub, view.now_ms)?;
    let resource = resource_of(view, &manifest.resource).await?;
    let system = permit.system();
    if library_of(&resource)? == Library::Licence {
        // Whoever may issue a type may bring what it has issued.
        if manifest.scope() == ImportScope::Snapshot {
            let zh = "证照只按增量导入：证照凭签名的变更单变更，不因文件中没有而移除。";
            let en = "Licences come as increments: they end by signed orders, never by being left out of a file.";
            return Err(Failure::field("manifest.scope", zh, en));
        }
        office_of(view, &system.department, hub, &resource).await?;
    } else if resource.source_department != system.department {
        return Err(Failure::new(Reason::NotLeadSource));
    }
    if manifest.system != system.uri {
        return Err(Failure::new(Reason::NotLeadSource));
    }
    let signature = opening.signature.clone().unwrap_or_default();
    let signer = issuers.verify(SignedThing::Manifest, &opening.manifest, &signature, view.now_ms)?;
    let department = view.newest_of(Library::Department, "department", &resource.source_department).await?;
    let department: Department = department.ok_or(Failure::new(Reason::DepartmentUnknown))?.body()?;
    if signer.uscc != department.uscc {
        return Err(Failure::new(Reason::IssuerMismatch));
    }
    trusted(view, &signer.fingerprint).await?;
    Ok(Admitted { id: ImportId::of_manifest(&opening.manifest), manifest })
}

/// The resource as it stands, with the version it has.
pub(super) async fn resource_of(view: &View, code: &str) -> Result<Resource, Failure> {
    let opened = view.newest_of(Library::Resource, "resource", code).await?;
    let opened = opened.filter(|o| !o.row.removed).ok_or(Failure::new(Reason::ResourceUnknown))?;
    let resource: Resource = opened.body()?;
    Ok(Resource { version: opened.version, ..resource })
}

/// The library a resource belongs to, if rows of files may go into it.
///
/// # Errors
/// [`Reason::RequestMalformed`] for the hub's own records.
pub(super) fn library_of(resource: &Resource) -> Result<Library, Failure> {
    let library = u16::try_from(resource.library).ok().and_then(Library::from_number);
    library.filter(|l| l.is_base()).ok_or_else(|| {
        let (zh, en) = ("不是五类基础库的信息资源。", "Is no resource of a base library.");
        Failure::field("manifest.resource", zh, en)
    })
}

fn check_form(manifest: &Manifest, hub: &str, now_ms: u64) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let mut demand = |held: bool, field: &str, zh: &'static str, en: &'static str| {
        if !held {
            faults.push(FieldFault::new(format!("manifest.{field}"), zh, en));
        }
    };
    demand(manifest.format == 1, "format", "应为 1。", "Must be 1.");
    demand(manifest.hub == hub, "hub", "清单不是给本枢纽的。", "The manifest is for another hub.");
    demand(
        matches!(manifest.scope(), ImportScope::Snapshot | ImportScope::Increment),
        "scope",
        "须写明全量或增量。",
        "Say snapshot or increment.",
    );
    let formats = [ImportFormat::CsvUtf8, ImportFormat::CsvGb18030, ImportFormat::JsonLines];
    demand(formats.contains(&manifest.file_format()), "file_format", "未知的文件格式。", "Not a known file format.");
    demand(manifest.file_bytes > 0, "file_bytes", "文件为空。", "The file is empty.");
    demand(manifest.file_sha256.len() == 32, "file_sha256", "应为 32 字节。", "Must be 32 bytes.");
    demand(
        manifest.source_time_ms > 0 && manifest.source_time_ms <= now_ms.saturating_add(SOURCE_AHEAD_MS),
        "source_time_ms",
        "来源时间缺失或在将来。",
        "The source's time is missing or lies in the future.",
    );
    demand(manifest.batch.chars().count() <= 200, "batch", "批次名至多 200 个字符。", "At most 200 characters.");
    if faults.is_empty() { Ok(()) } else { Err(Failure::malformed(faults)) }
}
