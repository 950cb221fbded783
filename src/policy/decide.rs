//! The decision: a permit, or a refusal that says nothing about existence.
use super::caller::Caller;
use super::grant::{EVERY_SCOPE, covers, mode_of, scope_index, term_covers};
use super::quota::Quota;
use super::role::{Operation, allowed_roles};
use super::throttle::Throttle;
use crate::failure::{Failure, Reason};
use crate::library::day;
use crate::library::question::{Asked, Mode, Question};
use crate::library::record::{LinkKind, Opened, View};
use crate::library::schema::Library;
use crate::store::key_space::IndexKey;
use crate::wire::proto::catalogue::v1::{Grant, GrantState, Resource, Role, SharingClass, System};
use crate::wire::proto::receipt::v1::GrantRef;

/// Grants read at once.
const GRANTS_A_PAGE: usize = 64;

/// The decision-maker, with the little it remembers between questions.
#[derive(Debug)]
pub struct Policy {
    quota: Quota,
    throttle: Throttle,
}

/// A decision in the caller's favour, good for one question or change. Only [`Policy`] makes one.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    system: System,
    candidates: Vec<Candidate>,
}

/// One grant that covers the question, with the resource it opens.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// How the statement names the grant.
    pub grant: GrantRef,
    /// The resource.
    pub resource: Resource,
    /// The fields it opens.
    pub fields: Vec<String>,
    /// How far.
    pub mode: Mode,
}

/// A refusal by policy: recorded like any answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason given to the caller.
    pub reason: Reason,
}

/// What was decided.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Go on with this permit.
    Permitted(Permit),
    /// Record the refusal and say so.
    Refused(Refusal),
}

impl Permit {
    /// The calling system, as the catalogue has it.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Whether the system has a role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.system.roles().any(|r| r == role)
    }

    /// The grant that opens a resource.
    #[must_use]
    pub fn candidate_for(&self, resource: &str) -> Option<&Candidate> {
        let opens = |c: &&Candidate| c.resource.code == resource || c.resource.view_of == resource;
        self.candidates.iter().find(opens)
    }

    /// All grants that cover the question.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

impl Default for Policy {
    /// As the default configuration has it.
    fn default() -> Self {
        Self::new(crate::config::Quota::default().questions_per_day)
    }
}

impl Policy {
    /// A policy that remembers nothing yet; grants that name no quota have this many questions a day.
    #[must_use]
    pub fn new(questions_per_day: u32) -> Self {
        Self { quota: Quota::new(questions_per_day), throttle: Throttle::default() }
    }

    /// Decides a question: the system is known and enabled, has a role that may ask, and a grant covers what it asks.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`], [`Reason::MatchThrottled`]: counted, not recorded one by one. Damage and store faults.
    pub async fn decide(&self, view: &View, caller: &Caller, asked: &Asked) -> Result<Decision, Failure> {
        let operation = match asked.question {
            Question::LookUp { .. } => Operation::LookUp,
            Question::Match { .. } => Operation::Match,
            Question::Derive(_) => Operation::Derive,
            Question::Holder { .. } => Operation::LookUpHolder,
            Question::Area { .. } => Operation::LookUpArea,
        };
        let system = match self.admit(view, caller, operation).await? {
            Decision::Permitted(permit) => permit.system,
            refused => return Ok(refused),
        };
        let (mut candidates, mut exhausted) = (Vec::new(), None);
        for grant in self.filed_grants(view, caller, &asked.question).await? {
            if covers(&grant, &asked.question, &asked.purpose, view.now_ms).is_err() {
                continue;
            }
            let Some(resource) = view.newest_of(Library::Resource, "resource", &grant.resource).await? else {
                continue;
            };
            let mut resource: Resource = resource.body()?;
            // A resource closed after the grant was given opens nothing any more.
            if resource.sharing_class() == SharingClass::NotShared || !wanted(&asked.question, &resource) {
                continue;
            }
            if !resource.view_of.is_empty() {
                covered_as_whole(view, &mut resource).await?;
            }
            let today = day::number(view.today());
            // A grant that is used up covers nothing today; another may.
            if let Err(failure) = self.quota.take(&grant.id, grant.quota_per_day, today, view.now_ms, 1) {
                exhausted = Some(failure);
                continue;
            }
            let mode = mode_of(&grant);
            let reference = GrantRef { id: grant.id, version: grant.version };
            candidates.push(Candidate { grant: reference, resource, fields: grant.fields, mode });
        }
        // Where several grants cover a record, the one that opens most answers; the same one every time.
        candidates.sort_by(|a, b| b.mode.cmp(&a.mode).then_with(|| a.grant.id.cmp(&b.grant.id)));
        if let (true, Some(failure)) = (candidates.is_empty(), exhausted) {
            return Err(failure);
        }
        if candidates.is_empty() {
            return Ok(Decision::Refused(Refusal { reason: Reason::PurposeNotGranted }));
        }
        if let (Question::Match { .. }, Some(subject)) = (&asked.question, asked.question.subject()) {
            let subject_ref = view.vault().subject_ref(&subject.code_type, &subject.code);
            self.throttle.admit(&caller.department, &subject_ref, view.now_ms)?;
        }
        Ok(Decision::Permitted(Permit { system, candidates }))
    }

    /// Decides by role alone: changes, and what holds nobody's data.
    ///
    /// # Errors
    /// Damage and store faults.
    pub async fn admit(&self, view: &View, caller: &Caller, operation: Operation) -> Result<Decision, Failure> {
        let refused = |reason| Ok(Decision::Refused(Refusal { reason }));
        let Some(opened) = view.newest_of(Library::System, "system", &caller.uri).await? else {
            return refused(Reason::SystemDisabled);
        };
        let system: System = opened.body()?;
        if !system.enabled {
            return refused(Reason::SystemDisabled);
        }
        let pinned = &system.certificate_sha256;
        if !pinned.is_empty() && !pinned.iter().any(|pin| pin.as_ref() == caller.fingerprint) {
            return refused(Reason::SystemDisabled);
        }
        if !allowed_roles(operation).iter().any(|role| system.roles().any(|r| r == *role)) {
            return refused(Reason::RoleNotAllowed);
        }
        Ok(Decision::Permitted(Permit { system: System { version: opened.version, ..system }, candidates: Vec::new() }))
    }

    /// Takes back the try that a match was admitted with: it did not miss.
    pub fn matched(&self, caller: &Caller, subject_ref: &[u8; 16]) {
        self.throttle.take_back(&caller.department, subject_ref);
    }

    /// How many grants of a system are in force today.
    ///
    /// # Errors
    /// Damage and store faults.
    pub async fn grants_in_force(&self, view: &View, system: &str) -> Result<u32, Failure> {
        let grants = in_force(view, &scope_index(view, system, EVERY_SCOPE)).await?;
        Ok(u32::try_from(grants.len()).unwrap_or(u32::MAX))
    }

    /// The grants filed under the question's scope; by holder, all of the system's.
    async fn filed_grants(&self, view: &View, caller: &Caller, question: &Question) -> Result<Vec<Grant>, Failure> {
        let scope = question.scope().unwrap_or_else(|| EVERY_SCOPE.to_owned());
        in_force(view, &scope_index(view, &caller.uri, &scope)).await
    }
}

/// The grants in force today that are filed under a scope. Every one of them: a limit on what is read would one day hide the one
/// that counts. Those refused or withdrawn are filed there no more.
async fn in_force(view: &View, from: &IndexKey) -> Result<Vec<Grant>, Failure> {
    let (mut grants, mut after) = (Vec::new(), None);
    loop {
        let page = view.links(LinkKind::Scope, from, Some(Library::Grant), after, GRANTS_A_PAGE).await?;
        for (_, index_key) in &page {
            let grant = grant_at(view, index_key).await?;
            grants.extend(grant.filter(|g| g.state() == GrantState::Granted && term_covers(g, view.today())));
        }
        match page.last() {
            Some((_, last)) if page.len() == GRANTS_A_PAGE => after = Some(*last),
            _ => return Ok(grants),
        }
    }
}

/// Whether a resource is among those a question by holder or by place wants.
fn wanted(question: &Question, resource: &Resource) -> bool {
    match question {
        Question::Holder { licence_types, libraries, .. } => {
            let library = Library::from_number(u16::try_from(resource.library).unwrap_or(0));
            let by_library = if libraries.is_empty() {
                library == Some(Library::Licence)
            } else {
                library.is_some_and(|l| libraries.contains(&l))
            };
            by_library && (licence_types.is_empty() || licence_types.contains(&resource.licence_type))
        }
        _ => true,
    }
}

/// A view of another resource's records is covered and loaded as that one is.
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

async fn grant_at(view: &View, index_key: &IndexKey) -> Result<Option<Grant>, Failure> {
    let opened: Option<Opened> = view.newest(Library::Grant, index_key).await?;
    opened.map(|o| o.body::<Grant>().map(|grant| Grant { version: o.version, ..grant })).transpose()
}
