//! The decision: a permit, or a refusal that says nothing about existence.
use super::caller::Caller;
use super::grant::{EVERY_SCOPE, covers, mode_of, term_covers};
use super::known::Known;
use super::quota::Quota;
use super::role::{Operation, allowed_roles};
use super::seal::{self, SealPermit};
use super::throttle::Throttle;
use crate::failure::{Failure, Reason};
use crate::library::day;
use crate::library::question::{Asked, Mode, Question};
use crate::library::record::View;
use crate::library::schema::Library;
use crate::wire::proto::catalogue::v1::{Resource, Role, SharingClass, System};
use crate::wire::proto::receipt::v1::GrantRef;
use std::sync::Arc;

/// The decision-maker, with the little it remembers between questions.
#[derive(Debug)]
pub struct Policy {
    known: Known,
    quota: Quota,
    throttle: Throttle,
}

/// A decision in the caller's favour, good for one question or change. Only [`Policy`] makes one.
#[must_use]
#[derive(Clone, Debug)]
pub struct Permit {
    system: Arc<System>,
    candidates: Vec<Candidate>,
    seal: Option<Arc<SealPermit>>,
}

/// One grant that covers the question, with the resource it opens.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// How the statement names the grant.
    pub grant: GrantRef,
    /// The resource.
    pub resource: Arc<Resource>,
    /// The fields it opens.
    pub fields: Arc<[String]>,
    /// How far.
    pub mode: Mode,
}

impl Candidate {
    /// The resource whose records it opens: a view's are those of what it is a view of.
    fn whole(&self) -> &str {
        if self.resource.view_of.is_empty() { &self.resource.code } else { &self.resource.view_of }
    }
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

    /// The seal its answers are to bear; `None` where none was asked for.
    #[must_use]
    pub fn seal(&self) -> Option<&Arc<SealPermit>> {
        self.seal.as_ref()
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
        Self { known: Known::default(), quota: Quota::new(questions_per_day), throttle: Throttle::default() }
    }

    /// Decides a question: the system is known and enabled, has a role that may ask, and a grant covers what it asks; where it is asked
    /// sealed, the grant names the seal and the seal's binding covers the question.
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
        let mut candidates = Vec::new();
        let scope = asked.question.scope();
        let filed = self.known.filed(view, &caller.uri, scope.as_deref().unwrap_or(EVERY_SCOPE)).await?;
        for filed in filed.iter() {
            let grant = &filed.grant;
            if covers(grant, &asked.question, &asked.purpose, view.now_ms).is_err() {
                continue;
            }
            let Some(resource) = self.known.resource(view, &grant.resource).await? else { continue };
            // A resource closed after the grant was given opens nothing any more.
            if resource.sharing_class() == SharingClass::NotShared || !wanted(&asked.question, &resource) {
                continue;
            }
            let reference = GrantRef { id: grant.id.clone(), version: grant.version };
            let (fields, mode) = (filed.fields.clone(), mode_of(grant));
            candidates.push((Candidate { grant: reference, resource, fields, mode }, grant.quota_per_day));
        }
        let mut permitted_seal = None;
        if let (Some(id), false) = (&asked.seal, candidates.is_empty()) {
            let names = |grant: &str| filed.iter().any(|f| f.grant.id == grant && seal::grant_names(&f.grant, id));
            candidates.retain(|(candidate, _)| names(&candidate.grant.id));
            let (department, question) = (&system.department, &asked.question);
            permitted_seal = seal::permitted(view, id, department, question, &asked.purpose).await?;
            if candidates.is_empty() || permitted_seal.is_none() {
                return Ok(Decision::Refused(Refusal { reason: Reason::SealNotAllowed }));
            }
        }
        // Where several grants cover a record, the one that opens most answers; the same one every time.
        candidates.sort_by(|(a, _), (b, _)| b.mode.cmp(&a.mode).then_with(|| a.grant.id.cmp(&b.grant.id)));
        let (candidates, exhausted) = self.charged(view, candidates);
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
        Ok(Decision::Permitted(Permit { system, candidates, seal: permitted_seal }))
    }

    /// Of the grants that open the same records, the first that is not used up today: it alone can answer, so it alone is charged.
    fn charged(&self, view: &View, candidates: Vec<(Candidate, u32)>) -> (Vec<Candidate>, Option<Failure>) {
        let today = day::number(view.today());
        let (mut charged, mut exhausted) = (Vec::<Candidate>::new(), None);
        for (candidate, quota) in candidates {
            if charged.iter().any(|earlier| earlier.whole() == candidate.whole()) {
                continue;
            }
            match self.quota.take(&candidate.grant.id, quota, today, view.now_ms, 1) {
                Ok(()) => charged.push(candidate),
                Err(failure) => exhausted = Some(failure),
            }
        }
        (charged, exhausted)
    }

    /// Decides by role alone: changes, and what holds nobody's data.
    ///
    /// # Errors
    /// Damage and store faults.
    pub async fn admit(&self, view: &View, caller: &Caller, operation: Operation) -> Result<Decision, Failure> {
        let refused = |reason| Ok(Decision::Refused(Refusal { reason }));
        let Some(known) = self.known.system(view, &caller.uri).await? else {
            return refused(Reason::SystemDisabled);
        };
        let system = &known.system;
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
        Ok(Decision::Permitted(Permit { system: system.clone(), candidates: Vec::new(), seal: None }))
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
        let filed = self.known.filed(view, system, EVERY_SCOPE).await?;
        let in_force = filed.iter().filter(|filed| term_covers(&filed.grant, view.today())).count();
        Ok(u32::try_from(in_force).unwrap_or(u32::MAX))
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
            // Types of licences choose among licences; they say nothing of a base record asked for beside them.
            let any_type = licence_types.is_empty() || library != Some(Library::Licence);
            by_library && (any_type || licence_types.contains(&resource.licence_type))
        }
        _ => true,
    }
}
