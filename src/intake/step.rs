//! What one change of an import writes: a chunk of rows with the state that says so, or a release.
//!
//! The statement of a chunk names no rows one by one: two hundred record versions would make every import statement twenty
//! kilobytes that nobody reads. It carries an RFC 9162 root instead, over the chunk's rows **in the order of their index keys**, so
//! that whoever has the store can gather the rows stamped with the entry's index, sort them and compute the root again.
use super::licences::office_of;
use super::manifest::resource_of;
use super::state::{Import, ImportId, Stored};
use super::validate::Plan;
use crate::failure::{Failure, Reason};
use crate::library::catalogue::put_row;
use crate::library::day;
use crate::library::licence::{Certified, IssuerTrust, trusted};
use crate::library::record::{LinkKind, Row, View, Write, write};
use crate::library::schema::Library;
use crate::library::transition::{Ordered, Transition};
use crate::log::merkle::leaf_hash;
use crate::log::{Frontier, Hash, SuiteName, in_suite};
use crate::policy::Permit;
use crate::receipt::recorder::Mutations;
use crate::store::key_space::{self, IndexKey};
use crate::store::{Check, Key};
use crate::wire::proto::catalogue::v1::Resource;
use crate::wire::proto::exchange::v1::{Change, ChangedRecord};
use crate::wire::proto::intake::v1::{ImportPhase, ImportScope};
use crate::wire::proto::receipt::v1::RecordVersion;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;

/// One change of an import.
pub struct Step<'a>(pub(super) Kind<'a>);

pub(super) enum Kind<'a> {
    /// Rows take effect.
    Chunk(Chunk<'a>),
    /// A held import goes on.
    Release(ImportId),
    /// Nothing new: asks for the answer kept under the request id.
    Recall,
}

/// Rows that take effect together with the state that says so.
pub(super) struct Chunk<'a> {
    pub(super) import: &'a Import,
    pub(super) plan: &'a Plan,
    /// In the order of their index keys.
    pub(super) rows: &'a [Planned],
    /// Rows of the file found unfit only now.
    pub(super) aside: &'a [(Key, Bytes)],
    /// The state after the chunk.
    pub(super) after: &'a Stored,
    /// Whom the signers of licences are judged by now.
    pub(super) issuers: Arc<IssuerTrust>,
}

/// The next version of a record, decided on the version before it, sealed.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) index_key: IndexKey,
    write: Write,
    /// Links that end with it.
    deletes: Vec<Key>,
    /// Licences: whose certificate it was signed with.
    signer: Option<Arc<Certified>>,
    bytes: usize,
}

impl Planned {
    /// Seals the version after `previous` (0: the first) with its links: from its resource, from its holders, from the cells of the
    /// index of places.
    ///
    /// # Errors
    /// [`Reason::Internal`] where the vault cannot seal.
    pub(super) fn of(
        plan: &Plan,
        index_key: IndexKey,
        row: Row,
        previous: u64,
        holders: &[IndexKey],
        cells: &[u64],
        signer: Option<Arc<Certified>>,
    ) -> Result<Self, Failure> {
        let mut links = Vec::with_capacity(holders.len().saturating_add(1));
        let mut deletes = Vec::new();
        let from = plan.resource_key;
        if row.removed {
            // The link says what the resource holds now. Other links stay: a question about an earlier day needs them.
            deletes.push(key_space::link(LinkKind::Resource as u8, &from.0, plan.library.number(), &index_key.0));
        } else if plan.library != Library::Licence {
            // No snapshot removes licences, so nobody asks which a resource holds.
            links.push((LinkKind::Resource, from));
        }
        links.extend(holders.iter().map(|holder| (LinkKind::Holder, *holder)));
        let mut write = write(&plan.vault, plan.library, index_key, row, previous, &links)?;
        write.puts.extend(cells.iter().map(|cell| (key_space::cell(*cell, &index_key), Bytes::new())));
        let rows = write.puts.iter().chain(&write.fresh).chain(&write.stamped);
        let bytes = rows.map(|(key, body)| key.len() + body.len() + 32).sum();
        Ok(Self { index_key, write, deletes, signer, bytes })
    }

    /// Rows it writes or removes.
    pub(super) fn mutations(&self) -> usize {
        self.write.puts.len() + self.write.fresh.len() + self.write.stamped.len() + self.deletes.len()
    }

    /// About the bytes it takes in a batch.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Checks one step of an import whole.
///
/// # Errors
/// [`Reason::NotLeadSource`], [`Reason::ResourceUnknown`], [`Reason::TransitionNotAllowed`], [`Reason::TargetUnknown`],
/// [`Reason::RoleNotAllowed`] for a release by who imported.
pub async fn check(view: &View, permit: &Permit, step: &Step<'_>, ordered: &Ordered) -> Result<Transition, Failure> {
    match &step.0 {
        Kind::Chunk(chunk) => check_chunk(view, permit, chunk, ordered).await,
        Kind::Release(id) => check_release(view, permit, *id, ordered).await,
        Kind::Recall => Err(Failure::new(Reason::TransitionNotAllowed)),
    }
}

async fn check_chunk(
    view: &View,
    permit: &Permit,
    chunk: &Chunk<'_>,
    ordered: &Ordered,
) -> Result<Transition, Failure> {
    let import = chunk.import;
    if import.phase() != ImportPhase::Applying {
        return Err(Failure::new(Reason::TransitionNotAllowed));
    }
    let mut resource = resource_of(view, &import.manifest.resource).await?;
    let library = chunk.plan.library;
    let leads = library == Library::Licence || permit.system().department == resource.source_department;
    if permit.system().uri != import.manifest.system || !leads {
        return Err(Failure::new(Reason::NotLeadSource));
    }
    check_licences(view, permit, chunk, &resource).await?;
    let from = &chunk.plan.resource_key;
    let next_resource = key_space::record_row(Library::Resource.number(), from, resource.version.saturating_add(1));
    // Who the lead source is was read in this view; it must still be so at the commit.
    let mut mutations = Mutations { checks: vec![Check::Absent(next_resource)], ..Mutations::default() };
    let mut leaves: Vec<Hash> = Vec::with_capacity(chunk.rows.len());
    let suite = view.vault().suite();
    for Planned { write, deletes, .. } in chunk.rows {
        leaves.push(row_leaf(suite, &write.record));
        mutations.checks.extend(write.checks.iter().cloned());
        mutations.puts.extend(write.puts.iter().cloned());
        mutations.fresh.extend(write.fresh.iter().cloned());
        mutations.stamped.extend(write.stamped.iter().cloned());
        mutations.deletes.extend(deletes.iter().cloned());
    }
    mutations.puts.extend(chunk.aside.iter().cloned());
    let mut change = Change { rows: leaves.len() as u64, rows_root: rows_root(suite, &leaves), ..Change::default() };
    let mut records = Vec::new();
    if chunk.after.phase() == ImportPhase::Done && import.manifest.scope() == ImportScope::Snapshot {
        // Complete as of the day the source speaks of, known only now that the last row is in.
        let said = day::of_ms(import.manifest.source_time_ms).min(view.today());
        let before = resource.last_complete_load.as_ref().and_then(day::from_proto);
        resource.last_complete_load = Some(day::to_proto(before.map_or(said, |before| before.max(said))));
        let previous = std::mem::take(&mut resource.version);
        let code = resource.code.clone();
        let write = put_row(view, Library::Resource, "resource", &code, &resource, previous, &[]).await?;
        change.records.push(ChangedRecord { library: write.record.library, name: code, version: write.record.version });
        records.push(write.record);
        mutations.puts.extend(write.puts);
        mutations.fresh.extend(write.fresh);
        mutations.stamped.extend(write.stamped);
    }
    let (moved, state) = import.moved_to(view.vault(), chunk.after)?;
    mutations.checks.push(moved);
    mutations.puts.push(state);
    Ok(ordered.import_step(mutations, change, records))
}

/// Whether licences may still be taken as they were judged: the type and its authority, the certificates they were signed with. What
/// is read here must still be so at the commit.
///
/// # Errors
/// [`Reason::StateChangedMeanwhile`]: they are to be judged anew. What does not allow any of them.
async fn check_licences(view: &View, permit: &Permit, chunk: &Chunk<'_>, resource: &Resource) -> Result<(), Failure> {
    let Some(licences) = &chunk.plan.licences else { return Ok(()) };
    let anew = || Failure::new(Reason::StateChangedMeanwhile);
    let hub = &chunk.import.manifest.hub;
    if office_of(view, &permit.system().department, hub, resource).await? != licences.office {
        return Err(anew());
    }
    let mut judged: HashSet<&[u8; 32]> = HashSet::new();
    for signer in chunk.rows.iter().filter_map(|row| row.signer.as_ref()) {
        if judged.insert(signer.fingerprint()) {
            chunk.issuers.certify(signer.chain(), view.now_ms).map_err(|_| anew())?;
            trusted(view, signer.fingerprint()).await.map_err(|_| anew())?;
        }
    }
    Ok(())
}

/// A held import goes on when a second person says so.
async fn check_release(view: &View, permit: &Permit, id: ImportId, ordered: &Ordered) -> Result<Transition, Failure> {
    let import = Import::load(view.snapshot().as_ref(), view.vault(), id).await?;
    let import = import.ok_or(Failure::new(Reason::TargetUnknown))?;
    if import.phase() != ImportPhase::Held {
        return Err(Failure::new(Reason::TransitionNotAllowed));
    }
    if permit.system().uri == import.stored.caller_uri {
        return Err(Failure::new(Reason::RoleNotAllowed).because("who imported may not release"));
    }
    let mut after = import.stored.clone();
    after.set_phase(ImportPhase::Applying);
    after.released_by = permit.system().uri.clone();
    after.reason = String::new();
    let (check, row) = import.moved_to(view.vault(), &after)?;
    let mutations = Mutations { checks: vec![check], puts: vec![row], ..Mutations::default() };
    let version = import.version.saturating_add(1);
    let released = ChangedRecord { library: u32::from(Library::Import.number()), name: id.to_string(), version };
    Ok(ordered.import_step(mutations, Change { records: vec![released], ..Change::default() }, Vec::new()))
}

/// Leaf of a row: `H(0x00 ‖ library u16 ‖ index key[16] ‖ version u64 ‖ H(row plaintext))`.
pub(super) fn row_leaf(suite: SuiteName, record: &RecordVersion) -> Hash {
    let library = u16::try_from(record.library).unwrap_or(u16::MAX).to_be_bytes();
    let version = record.version.to_be_bytes();
    let leaf = [&library, record.index_key.as_ref(), &version, record.digest.as_ref()].concat();
    in_suite!(suite, S => leaf_hash::<S>(&leaf))
}

/// RFC 9162 root over leaves.
pub(super) fn rows_root(suite: SuiteName, leaves: &[Hash]) -> Bytes {
    let root = in_suite!(suite, S => Frontier::<S>::new().append(leaves).into_frontier().root());
    Bytes::copy_from_slice(&root)
}
