//! Checkpoints that callers have seen, and questions about the past.
use super::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::licence::{SignedThing, trusted, verify_question};
use crate::library::look_up::{self, Answered};
use crate::library::question::{Asked, Question, Recorded};
use crate::library::record::{Moment, View};
use crate::library::schema::Library;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::in_suite;
use crate::policy::Caller;
use crate::receipt::head;
use crate::receipt::sequencer::{Draft, Unit};
use crate::store::space::For;
use crate::wire::proto::catalogue::v1::Department;
use crate::wire::proto::exchange::v1::{Truth, payload::Answer};
use crate::wire::proto::receipt::v1::{CallerSignature, PublicEvent, Tick, public_event::Event};
use prost::Message;

impl Exchange {
    /// A view in which every recorded time asked about is past, and every checkpoint seen by the caller begins our log. Questions
    /// that are signed are signed by who asks.
    pub(super) async fn view_for(&self, caller: &Caller, questions: &[Asked]) -> Result<View, Failure> {
        let mut view = self.view().await?;
        let asked_s = questions.iter().filter_map(|asked| match asked.as_of.recorded {
            Some(Recorded::Second(second)) => Some(second),
            _ => None,
        });
        if let Some(second) = asked_s.max().filter(|second| *second >= view.newest_time_s) {
            if second >= view.now_ms / 1_000 {
                return Err(Failure::new(Reason::RecordedTimeTooNew));
            }
            // No entry is newer than the second asked about: a public tick makes it past, at most one a second.
            self.tick().await?;
            view = self.view().await?;
            if second >= view.newest_time_s {
                return Err(Failure::new(Reason::RecordedTimeTooNew));
            }
        }
        for asked in questions {
            if let Some(signature) = &asked.caller_signature {
                self.signed_by(&view, caller, &asked.bytes, signature).await?;
            }
        }
        for asked in questions.iter().filter(|asked| !asked.seen.is_empty()) {
            self.hold_against(&view, &asked.seen).await?;
        }
        Ok(view)
    }

    /// Whether a question is signed by who asks: with the certificate of its connection, or with a certificate of its department that a
    /// CA listed for issuers vouches for. TLS here knows no SM2; so a system signs with SM2.
    async fn signed_by(
        &self,
        view: &View,
        caller: &Caller,
        question: &[u8],
        signature: &CallerSignature,
    ) -> Result<(), Failure> {
        if verify_question(question, signature, &caller.fingerprint)?.is_some() {
            return Ok(());
        }
        let certified = self.issuers.load().certify(&signature.chain, view.now_ms)?;
        let signer = certified.verify(SignedThing::Question, question, &signature.algorithm, &signature.value)?;
        let department = view.newest_of(Library::Department, "department", &caller.department).await?;
        let department: Department = department.ok_or(Failure::new(Reason::DepartmentUnknown))?.body()?;
        if signer.uscc != department.uscc {
            return Err(Failure::new(Reason::IssuerMismatch).because("the question is signed by another department"));
        }
        trusted(view, &signer.fingerprint).await
    }

    pub(super) async fn tick(&self) -> Result<u64, Failure> {
        let event = PublicEvent { format: 1, hub: self.hub.clone(), event: Some(Event::Tick(Tick::default())) };
        let drafts = vec![Draft::Public(event.encode_to_vec().into())];
        let unit = Unit { occasion: For::Question, drafts, ..Unit::default() };
        Ok(self.recorder.ledger().record(unit).await?.first_index)
    }

    /// A checkpoint with our signature that is no prefix of our log convicts us: recording stops, and the note is in the log file.
    async fn hold_against(&self, view: &View, seen: &[u8]) -> Result<(), Failure> {
        let unknown = |why: String| Failure::new(Reason::CheckpointUnknown).because(why);
        let signed = SignedCheckpoint::parse(seen).map_err(|e| unknown(e.to_string()))?;
        let checkpoint = &signed.checkpoint;
        // A key that was retired or lost signs nothing that could convict us any more beyond its sizes.
        let ours = self.log_keys.load().iter().any(|trusted| trusted.vouches_for(&signed));
        if !ours {
            return Err(unknown("not signed by a key of this log".into()));
        }
        // A head that was released is durable; the view may be a moment older than it.
        let view_size = view.position.max(self.recorder.ledger().latest().head.size);
        if checkpoint.size > view_size {
            return Err(self.two_histories(seen, "a caller has seen a longer log than we hold"));
        }
        let fresh = self.view().await?;
        let (suite, fresh) = (self.recorder.ledger().suite(), fresh.snapshot().as_ref());
        let root = in_suite!(suite, S => head::root_at::<S>(fresh, checkpoint.size).await?);
        if root != checkpoint.root {
            return Err(self.two_histories(seen, "a caller has seen another log of our signature"));
        }
        Ok(())
    }

    fn two_histories(&self, seen: &[u8], why: &str) -> Failure {
        tracing::error!(seen = %String::from_utf8_lossy(seen), reason = why, "two histories under our signature");
        self.recorder.ledger().convict(why, seen);
        Failure::new(Reason::RecordingStopped).because(why)
    }

    /// The day and the position a question looks at. A recorded second stands for the entries up to its end.
    pub(super) async fn moment(&self, view: &View, asked: &Asked) -> Result<Moment, Failure> {
        let position = match asked.as_of.recorded {
            None => None,
            Some(Recorded::Position(position)) if position > view.position => {
                let zh = "记录位置超出日志长度。";
                return Err(Failure::field("context.as_of.recorded_position", zh, "Lies beyond the log."));
            }
            Some(Recorded::Position(position)) => Some(position),
            Some(Recorded::Second(second)) => Some(first_after(view, second).await?),
        };
        Ok(look_up::moment(view, asked.as_of.valid_on, position))
    }

    /// A match that did not miss gives back the try it was admitted with.
    pub(super) fn remember_match(&self, view: &View, caller: &Caller, asked: &Asked, answered: &Answered) {
        let Question::Match { .. } = asked.question else { return };
        let missed = answered
            .findings
            .clone()
            .into_inner()
            .iter()
            .any(|finding| matches!(&finding.answer, Answer::Match(answer) if answer.truth() == Truth::No));
        if let (false, Some(subject)) = (missed, asked.question.subject()) {
            self.policy.matched(caller, &view.vault().subject_ref(&subject.code_type, &subject.code));
        }
    }
}

/// The index of the first entry later than a second: times never go down, so a binary search finds it.
async fn first_after(view: &View, second: u64) -> Result<u64, Failure> {
    let (mut low, mut high) = (0, view.position);
    while low < high {
        let middle = low + (high - low) / 2;
        if head::entry_at(view.snapshot().as_ref(), middle).await?.time_s() > second {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}
