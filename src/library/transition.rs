//! A change that was checked whole and waits for the log: what it writes, on which conditions, and what is said about it.
use super::question::Subject;
use super::record::Write;
use super::schema::Library;
use super::verified::Verified;
use crate::receipt::recorder::{Finding, Mutations};
use crate::wire::proto::exchange::v1::payload::Answer;
use crate::wire::proto::exchange::v1::{Change, ChangedRecord};
use crate::wire::proto::receipt::v1::{Kind, Operator, Outcome, Purpose};
use bytes::Bytes;

/// Who changes and why, as the request said it: what the statement repeats.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// What kind of statement it makes.
    pub kind: Kind,
    /// The recorded question: digests, never the content.
    pub question: Bytes,
    /// Why.
    pub purpose: Purpose,
    /// Who sat behind the system.
    pub operator: Operator,
}

/// A checked change. Made only in `library`.
#[must_use]
pub struct Transition {
    /// What is said.
    pub finding: Verified<Finding>,
    /// What is written with it.
    pub mutations: Mutations,
}

impl Ordered {
    /// The transition that makes these writes. `names` are those of the records, empty where a name would name a person.
    pub(super) fn transition(&self, writes: Vec<(Write, String)>, subject: Option<Subject>) -> Transition {
        let mut mutations = Mutations::default();
        let mut records = Vec::with_capacity(writes.len());
        let mut changed = Vec::with_capacity(writes.len());
        for (write, name) in writes {
            changed.push(ChangedRecord { library: write.record.library, name, version: write.record.version });
            records.push(write.record);
            mutations.checks.extend(write.checks);
            mutations.puts.extend(write.puts);
            mutations.fresh.extend(write.fresh);
            mutations.stamped.extend(write.stamped);
        }
        let answer = Answer::Change(Change { records: changed, ..Change::default() });
        let finding = Verified::new(self.finding(answer, subject, records));
        Transition { finding, mutations }
    }

    /// The transition of one step of an import: `change` says how many rows and which root, `records` only what is named one by one.
    /// The rows were judged by the schema gate when the file was checked and again in the step; each is written on the condition
    /// that its record is as it was then.
    pub(crate) fn import_step(
        &self,
        mutations: Mutations,
        change: Change,
        records: Vec<crate::wire::proto::receipt::v1::RecordVersion>,
    ) -> Transition {
        Transition { finding: Verified::new(self.finding(Answer::Change(change), None, records)), mutations }
    }

    /// What is said of a change that took effect.
    pub(super) fn finding(
        &self,
        answer: Answer,
        subject: Option<Subject>,
        records: Vec<crate::wire::proto::receipt::v1::RecordVersion>,
    ) -> Finding {
        Finding {
            kind: self.kind,
            question: self.question.clone(),
            outcome: Outcome::Done,
            answer,
            subject,
            records,
            grant: None,
            purpose: self.purpose.clone(),
            operator: self.operator.clone(),
            caller_signature: None,
        }
    }
}

/// The subject of a catalogue row.
#[must_use]
pub(super) fn catalogue_subject(library: Library, code: &str) -> Option<Subject> {
    match library {
        Library::Grant => Some(Subject::new("grant", code)),
        Library::System => Some(Subject::new("system", code)),
        Library::Resource => Some(Subject::new("resource", code)),
        _ => None,
    }
}
