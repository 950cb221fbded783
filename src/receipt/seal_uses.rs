//! Who used a seal: the ledger rows of its reference, each read from the statement it points to, as [`access`](super::access) does.
use super::access::{Attested, committed, damaged};
use super::recorder::{Finding, Recorder};
use super::{canonical, head};
use crate::failure::Failure;
use crate::library::record::{View, from_store};
use crate::library::seal::subject;
use crate::policy::Permit;
use crate::store::{Direction, KeyRange, key_space};
use crate::wire::proto::exchange::v1::{ListedSealUse, SealUseList, SealUseQuestion, payload::Answer};
use crate::wire::proto::receipt::v1::{Kind, Operator, Outcome, Purpose};
use bytes::Bytes;

/// Ledger rows read at once.
const ROWS_A_PAGE: usize = 64;

/// The question, after the edge has parsed it.
#[derive(Clone, Debug)]
pub struct SealUsesAsked {
    /// The question as sent.
    pub bytes: Bytes,
    /// Why.
    pub purpose: Purpose,
    /// Who sits behind the system.
    pub operator: Operator,
    /// The seal.
    pub seal_id: String,
    /// Only entries before this index; `None` from the newest.
    pub before: Option<u64>,
    /// For watching: only entries from this index on.
    pub from: u64,
    /// At most so many, 1 to 200.
    pub limit: usize,
}

/// Reads one page of uses, newest first.
///
/// # Errors
/// [`crate::failure::Reason::RecordDamaged`] where ledger, entry and statement do not belong together; store faults.
pub async fn list(
    view: &View,
    permit: &Permit,
    recorder: &Recorder,
    asked: &SealUsesAsked,
) -> Result<Attested, Failure> {
    let reference = reference(view, asked);
    let mut range = key_space::ledger_of(&reference);
    if let Some(before) = asked.before {
        range = range.before_key(&key_space::ledger(&reference, before));
    }
    let wanted = asked.limit.saturating_add(1); // one more tells whether a page follows
    let (mut uses, _) = read(view, permit, recorder, asked, range, Direction::Reverse, wanted).await?;
    let more = uses.len() > asked.limit;
    uses.truncate(asked.limit);
    let next_before_index = uses.last().map_or(0, |last| last.index).saturating_mul(u64::from(more));
    let outcome = if uses.is_empty() { Outcome::Absent } else { Outcome::Found };
    Ok(Attested(finding(asked, outcome, Answer::SealUseList(SealUseList { uses, next_before_index }))))
}

/// Reads the uses from an index on, oldest first; `None` where there is none yet. Also gives where to go on.
///
/// # Errors
/// As [`list`].
pub async fn following(
    view: &View,
    permit: &Permit,
    recorder: &Recorder,
    asked: &SealUsesAsked,
    from: u64,
) -> Result<(Option<Attested>, u64), Failure> {
    let reference = reference(view, asked);
    let range = key_space::ledger_of(&reference).from_key(&key_space::ledger(&reference, from));
    let (uses, read_to) = read(view, permit, recorder, asked, range, Direction::Forward, asked.limit).await?;
    let next = read_to.map_or(from, |last| last.saturating_add(1));
    if uses.is_empty() {
        return Ok((None, next));
    }
    let answer = Answer::SealUseList(SealUseList { uses, next_before_index: 0 });
    Ok((Some(Attested(finding(asked, Outcome::Found, answer))), next))
}

/// What is recorded of such a question, however it ended. It is about no subject: a watcher's own pages must not wake it.
#[must_use]
pub fn finding(asked: &SealUsesAsked, outcome: Outcome, answer: Answer) -> Finding {
    Finding {
        kind: Kind::SealUseList,
        question: asked.bytes.clone(),
        outcome,
        answer,
        subject: None,
        records: Vec::new(),
        grant: None,
        purpose: asked.purpose.clone(),
        operator: asked.operator.clone(),
        caller_signature: None,
    }
}

fn reference(view: &View, asked: &SealUsesAsked) -> [u8; 16] {
    let subject = subject(&asked.seal_id);
    view.vault().subject_ref(&subject.code_type, &subject.code)
}

/// At most `wanted` uses in a range of the ledger, and the index of the last row read.
async fn read(
    view: &View,
    _permit: &Permit,
    recorder: &Recorder,
    asked: &SealUsesAsked,
    range: KeyRange,
    direction: Direction,
    wanted: usize,
) -> Result<(Vec<ListedSealUse>, Option<u64>), Failure> {
    let (mut uses, mut last, mut rest) = (Vec::new(), None, Some(range));
    while let Some(next) = rest {
        let page = view.snapshot().scan(next, direction, ROWS_A_PAGE).await.map_err(from_store)?;
        for (key, _) in page.rows {
            let (reference, index) =
                key_space::parse_ledger(&key).ok_or_else(|| damaged("a ledger row with a strange key"))?;
            last = Some(index);
            uses.extend(one(view, recorder, asked, &reference, index).await?);
            if uses.len() >= wanted {
                return Ok((uses, last));
            }
        }
        rest = page.next;
    }
    Ok((uses, last))
}

/// The use an entry states; `None` for what else is said about a seal: that it was imported or bound.
async fn one(
    view: &View,
    recorder: &Recorder,
    asked: &SealUsesAsked,
    reference: &[u8; 16],
    index: u64,
) -> Result<Option<ListedSealUse>, Failure> {
    let snapshot = view.snapshot().as_ref();
    let kept = recorder.kept_statement(snapshot, index).await?;
    let entry = head::entry_at(snapshot, index).await?;
    let said = committed(recorder.ledger().suite(), &kept, &entry)?;
    if said.subject_ref.as_ref() != reference {
        return Err(damaged(format!("the ledger leads to entry {index}, which is about another subject")));
    }
    if said.kind() != Kind::SealUse {
        return Ok(None);
    }
    let question: SealUseQuestion = canonical::decode(&kept.question).map_err(damaged)?;
    if question.seal_id != asked.seal_id {
        return Err(damaged(format!("entry {index} is about the use of another seal")));
    }
    Ok(Some(ListedSealUse {
        index,
        time_s: entry.time_s(),
        outcome: said.outcome,
        seal_version: said.records.first().map_or(0, |record| record.version),
        caller: said.caller,
        operator: said.operator,
        purpose: said.purpose,
        kind: question.kind,
        payload_digest: question.payload_digest,
    }))
}
