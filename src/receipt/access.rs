//! Who looked at a subject: the ledger rows of its reference, newest first, each read from the statement it points to.
//!
//! What this file promises: every line of a list was opened under the commitment of the log entry it names, and that statement is
//! about the subject asked for. A line that does not open is damage, never left out.
use super::recorder::{Finding, KeptStatement, Recorder};
use super::{head, statement};
use crate::failure::{Failure, Reason};
use crate::library::question::Subject;
use crate::library::record::{View, from_store};
use crate::log::entry::{Entry, commitment};
use crate::log::{SuiteName, in_suite};
use crate::policy::Permit;
use crate::store::{Direction, key_space};
use crate::wire::proto::exchange::v1::{Access, AccessList, payload::Answer};
use crate::wire::proto::receipt::v1::{Kind, Operator, Outcome, Purpose, Statement};
use bytes::Bytes;

/// The question, after the edge has parsed it.
#[derive(Clone, Debug)]
pub struct AccessAsked {
    /// The question as sent.
    pub bytes: Bytes,
    /// Why: audit or correction.
    pub purpose: Purpose,
    /// Who sits behind the system.
    pub operator: Operator,
    /// Whom it is about.
    pub subject: Subject,
    /// Only entries before this index; `None` from the newest.
    pub before: Option<u64>,
    /// At most so many, 1 to 200.
    pub limit: usize,
}

/// A list of which every line was opened under its entry's commitment. Made only here and for the uses of seals beside.
#[must_use]
#[derive(Clone, Debug)]
pub struct Attested(pub(super) Finding);

impl Attested {
    /// The list, to be recorded.
    #[must_use]
    pub fn into_finding(self) -> Finding {
        self.0
    }
}

/// Reads one page of who looked at a subject. Nothing recorded after the view's moment is in it.
///
/// # Errors
/// [`Reason::RecordDamaged`] where ledger, entry and statement do not belong together; store faults.
pub async fn list(
    view: &View,
    _permit: &Permit,
    recorder: &Recorder,
    asked: &AccessAsked,
) -> Result<Attested, Failure> {
    let subject_ref = view.vault().subject_ref(&asked.subject.code_type, &asked.subject.code);
    let mut range = key_space::ledger_of(&subject_ref);
    if let Some(before) = asked.before {
        range = range.before_key(&key_space::ledger(&subject_ref, before));
    }
    let wanted = asked.limit.saturating_add(1); // one more tells whether a page follows
    let page = view.snapshot().scan(range, Direction::Reverse, wanted).await.map_err(from_store)?;
    let mut accesses = Vec::with_capacity(page.rows.len());
    for (key, _) in page.rows {
        let (_, index) = key_space::parse_ledger(&key).ok_or_else(|| damaged("a ledger row with a strange key"))?;
        accesses.push(access(view, recorder, &subject_ref, index).await?);
    }
    let more = accesses.len() > asked.limit;
    accesses.truncate(asked.limit);
    let next_before_index = accesses.last().map_or(0, |access| access.index).saturating_mul(u64::from(more));
    let outcome = if accesses.is_empty() { Outcome::Absent } else { Outcome::Found };
    let answer = Answer::AccessList(AccessList { accesses, next_before_index });
    Ok(Attested(finding(asked, outcome, answer)))
}

/// What is recorded of such a question, however it ended.
#[must_use]
pub fn finding(asked: &AccessAsked, outcome: Outcome, answer: Answer) -> Finding {
    Finding {
        kind: Kind::AccessList,
        question: asked.bytes.clone(),
        outcome,
        answer,
        subject: Some(asked.subject.clone()), // who looks at this list is on the list
        records: Vec::new(),
        grant: None,
        purpose: asked.purpose.clone(),
        operator: asked.operator.clone(),
        caller_signature: None,
    }
}

async fn access(view: &View, recorder: &Recorder, subject_ref: &[u8; 16], index: u64) -> Result<Access, Failure> {
    let snapshot = view.snapshot().as_ref();
    let kept = recorder.kept_statement(snapshot, index).await?;
    let entry = head::entry_at(snapshot, index).await?;
    let said = committed(recorder.ledger().suite(), &kept, &entry)?;
    if said.subject_ref.as_ref() != subject_ref {
        return Err(damaged(format!("the ledger leads to entry {index}, which is about another subject")));
    }
    Ok(Access {
        index,
        time_s: entry.time_s(),
        kind: said.kind,
        caller: said.caller,
        operator: said.operator,
        purpose: said.purpose,
        outcome: said.outcome,
    })
}

/// The statement of an entry, if salt and statement give the entry's commitment.
///
/// # Errors
/// [`Reason::RecordDamaged`].
pub fn committed(suite: SuiteName, kept: &KeptStatement, entry: &Entry) -> Result<Statement, Failure> {
    let Entry::Statement { commitment: expected, .. } = entry else {
        return Err(damaged("the entry is no statement"));
    };
    let salt = kept.salt.as_ref().try_into().map_err(|_| damaged("a salt that is not 32 bytes"))?;
    if in_suite!(suite, S => commitment::<S>(salt, &kept.statement)) != *expected {
        return Err(damaged("statement and salt do not give the entry's commitment"));
    }
    statement::parse(&kept.statement).map_err(damaged)
}

pub(super) fn damaged(why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::RecordDamaged).because(format!("log: {why}"))
}
