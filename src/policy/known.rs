//! The catalogue as decided on, decoded once for as long as it stands still.
//!
//! This is no second truth: what was read under one view is used only under views of an equal [`Epoch`], which show the same rows. A
//! grant taken back is in another epoch from the moment that its taking back is acknowledged, and the very next question reads anew.
use super::grant::scope_index;
use crate::failure::{Failure, Reason};
use crate::library::record::{LinkKind, View};
use crate::library::schema::Library;
use crate::store::key_space::{self, IndexKey};
use crate::store::{Epoch, Key};
use crate::wire::proto::catalogue::v1::{Grant, GrantState, Resource, System};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Grants read at once.
const GRANTS_A_PAGE: usize = 64;
/// Things known at most; the next one begins an empty collection. A county has some hundreds.
const KNOWN_MAX: usize = 10_000;

/// A system as the catalogue has it.
#[derive(Debug)]
pub(super) struct KnownSystem {
    /// With its version.
    pub(super) system: Arc<System>,
    next_version: Key,
}

/// A grant with the fields it opens.
#[derive(Debug)]
pub(super) struct Filed {
    /// With its version.
    pub(super) grant: Grant,
    pub(super) fields: Arc<[String]>,
}

/// What the policy has read of the catalogue in one epoch.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    epoch: Option<Epoch>,
    count: usize,
    systems: HashMap<String, Arc<KnownSystem>>,
    /// By system and scope.
    filed: HashMap<String, HashMap<String, Arc<[Filed]>>>,
    resources: HashMap<String, Arc<Resource>>,
}

impl Known {
    /// A system; the view relies on what it says.
    pub(super) async fn system(&self, view: &View, uri: &str) -> Result<Option<Arc<KnownSystem>>, Failure> {
        if let Some(known) = self.find(view, |kept| kept.systems.get(uri).cloned()) {
            view.rely_on(known.next_version.clone());
            return Ok(Some(known));
        }
        let Some(opened) = view.newest_of(Library::System, "system", uri).await? else { return Ok(None) };
        let next = opened.version.saturating_add(1);
        let next_version = key_space::record_row(Library::System.number(), &opened.index_key, next);
        let system = Arc::new(System { version: opened.version, ..opened.body()? });
        let known = Arc::new(KnownSystem { system, next_version });
        self.keep(view, |kept| drop(kept.systems.insert(uri.to_owned(), known.clone())));
        Ok(Some(known))
    }

    /// The grants given that are filed under a scope of a system, whatever their term. Every one of them: a limit on what is read would
    /// one day hide the one that counts.
    pub(super) async fn filed(&self, view: &View, uri: &str, scope: &str) -> Result<Arc<[Filed]>, Failure> {
        if let Some(known) = self.find(view, |kept| kept.filed.get(uri)?.get(scope).cloned()) {
            return Ok(known);
        }
        let read: Arc<[Filed]> = read_filed(view, &scope_index(view, uri, scope)).await?.into();
        self.keep(view, |kept| {
            let of_system = kept.filed.entry(uri.to_owned()).or_default();
            of_system.insert(scope.to_owned(), read.clone());
        });
        Ok(read)
    }

    /// A resource; a view of another one is covered and loaded as that one is.
    pub(super) async fn resource(&self, view: &View, code: &str) -> Result<Option<Arc<Resource>>, Failure> {
        if let Some(known) = self.find(view, |kept| kept.resources.get(code).cloned()) {
            return Ok(Some(known));
        }
        let Some(opened) = view.newest_of(Library::Resource, "resource", code).await? else { return Ok(None) };
        let mut resource: Resource = opened.body()?;
        if !resource.view_of.is_empty() {
            covered_as_whole(view, &mut resource).await?;
        }
        let read = Arc::new(resource);
        self.keep(view, |kept| drop(kept.resources.insert(code.to_owned(), read.clone())));
        Ok(Some(read))
    }

    fn find<T>(&self, view: &View, pick: impl FnOnce(&Kept) -> Option<T>) -> Option<T> {
        let epoch = view.epoch()?;
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if kept.epoch.as_ref() == Some(epoch) { pick(&kept) } else { None }
    }

    fn keep(&self, view: &View, put: impl FnOnce(&mut Kept)) {
        let Some(epoch) = view.epoch() else { return };
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.epoch.as_ref().is_some_and(|newer| epoch.is_before(newer)) {
            return; // an older view, still being answered from
        }
        if kept.epoch.as_ref() != Some(epoch) || kept.count >= KNOWN_MAX {
            *kept = Kept { epoch: Some(epoch.clone()), ..Kept::default() };
        }
        kept.count = kept.count.saturating_add(1);
        put(&mut kept);
    }
}

async fn read_filed(view: &View, from: &IndexKey) -> Result<Vec<Filed>, Failure> {
    let (mut filed, mut after) = (Vec::new(), None);
    loop {
        let page = view.links(LinkKind::Scope, from, Some(Library::Grant), after, GRANTS_A_PAGE).await?;
        for (_, index_key) in &page {
            let Some(opened) = view.newest(Library::Grant, index_key).await? else { continue };
            let grant = Grant { version: opened.version, ..opened.body()? };
            if grant.state() == GrantState::Granted {
                let fields = grant.fields.clone().into();
                filed.push(Filed { grant, fields });
            }
        }
        match page.last() {
            Some((_, last)) if page.len() == GRANTS_A_PAGE => after = Some(*last),
            _ => return Ok(filed),
        }
    }
}

async fn covered_as_whole(view: &View, resource: &mut Resource) -> Result<(), Failure> {
    let whole = view.newest_of(Library::Resource, "resource", &resource.view_of).await?;
    let whole =
        whole.ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a view of a resource that is missing"))?;
    let whole: Resource = whole.body()?;
    resource.coverage_divisions = whole.coverage_divisions;
    resource.coverage_code_types = whole.coverage_code_types;
    resource.update_cycle_days = whole.update_cycle_days;
    resource.last_complete_load = whole.last_complete_load;
    Ok(())
}
