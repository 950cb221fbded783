//! Listing the catalogue, page by page. Lists hold nobody's data.
use crate::failure::{Failure, Reason};
use crate::library::record::{LinkKind, View};
use crate::library::schema::Library;
use crate::store::key_space::IndexKey;
use crate::wire::proto::catalogue::v1::{Department, Grant, Resource, System};
use crate::wire::proto::licence::v1::LicenceType;
use crate::wire::proto::seal::v1::Seal;
use prost::Message;

/// A page and the key it ended at, where more follows.
type Page<M> = (Vec<M>, Option<IndexKey>);

/// Departments.
///
/// # Errors
/// Damage and store faults.
pub async fn departments(view: &View, after: Option<IndexKey>, limit: usize) -> Result<Page<Department>, Failure> {
    table(view, Library::Department, after, limit, |department: Department, version| Department {
        version,
        ..department
    })
    .await
}

/// Systems.
///
/// # Errors
/// Damage and store faults.
pub async fn systems(view: &View, after: Option<IndexKey>, limit: usize) -> Result<Page<System>, Failure> {
    table(view, Library::System, after, limit, |system: System, version| System { version, ..system }).await
}

/// Resources.
///
/// # Errors
/// Damage and store faults.
pub async fn resources(view: &View, after: Option<IndexKey>, limit: usize) -> Result<Page<Resource>, Failure> {
    table(view, Library::Resource, after, limit, |resource: Resource, version| Resource { version, ..resource }).await
}

/// Licence types.
///
/// # Errors
/// Damage and store faults.
pub async fn licence_types(view: &View, after: Option<IndexKey>, limit: usize) -> Result<Page<LicenceType>, Failure> {
    table(view, Library::LicenceType, after, limit, |kind: LicenceType, version| LicenceType { version, ..kind }).await
}

/// Seals, without their files.
///
/// # Errors
/// Damage and store faults.
pub async fn seals(view: &View, after: Option<IndexKey>, limit: usize) -> Result<Page<Seal>, Failure> {
    table(view, Library::Seal, after, limit, |seal: Seal, version| Seal { version, esl: Default::default(), ..seal })
        .await
}

/// Grants of a system, or on a resource where `system` is empty.
///
/// # Errors
/// Damage and store faults.
pub async fn grants(
    view: &View,
    system: &str,
    resource: &str,
    after: Option<IndexKey>,
    limit: usize,
) -> Result<Page<Grant>, Failure> {
    let (kind, from) = if system.is_empty() {
        (LinkKind::ResourceGrants, view.index_key(Library::Grant, "resource", resource))
    } else {
        (LinkKind::SystemGrants, view.index_key(Library::Grant, "system", system))
    };
    let filled = |grant: Grant, version| Grant { version, ..grant };
    let (mut grants, next) = listed(view, kind, &from, Library::Grant, after, limit, filled).await?;
    if !system.is_empty() && !resource.is_empty() {
        grants.retain(|grant| grant.resource == resource);
    }
    Ok((grants, next))
}

async fn table<M: Message + Default>(
    view: &View,
    library: Library,
    after: Option<IndexKey>,
    limit: usize,
    filled: impl Fn(M, u64) -> M,
) -> Result<Page<M>, Failure> {
    let from = view.index_key(library, "table", "");
    listed(view, LinkKind::Table, &from, library, after, limit, filled).await
}

async fn listed<M: Message + Default>(
    view: &View,
    kind: LinkKind,
    from: &IndexKey,
    library: Library,
    after: Option<IndexKey>,
    limit: usize,
    filled: impl Fn(M, u64) -> M,
) -> Result<Page<M>, Failure> {
    let mut links = view.links(kind, from, Some(library), after, limit.saturating_add(1)).await?;
    let more = links.len() > limit;
    links.truncate(limit);
    let next = links.last().map(|(_, key)| *key).filter(|_| more);
    let mut page = Vec::with_capacity(links.len());
    for (_, index_key) in links {
        // An index without its record is damage, never a shorter list.
        let opened = view.newest(library, &index_key).await?;
        let opened = opened.ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a listed row is missing"))?;
        page.push(filled(opened.body()?, opened.version));
    }
    Ok((page, next))
}
