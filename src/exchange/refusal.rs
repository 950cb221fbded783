//! What is recorded of a refusal: that it was refused and why, nothing about existence.
use crate::library::document::DocumentAsked;
use crate::library::question::Asked;
use crate::library::transition::Ordered;
use crate::policy::Refusal;
use crate::receipt::access::{self, AccessAsked};
use crate::receipt::recorder::Finding;
use crate::wire::proto::exchange::v1::{Refusal as Said, payload::Answer};
use crate::wire::proto::receipt::v1::Outcome;

/// A refused question.
pub(super) fn of_question(asked: &Asked, refusal: Refusal) -> Finding {
    Finding {
        kind: asked.kind,
        question: asked.bytes.clone(),
        outcome: Outcome::Refused,
        answer: said(refusal),
        subject: asked.question.subject(),
        records: Vec::new(),
        grant: None,
        purpose: asked.purpose.clone(),
        operator: asked.operator.clone(),
        caller_signature: asked.caller_signature.clone(),
    }
}

/// A refused change.
pub(super) fn of_order(ordered: &Ordered, refusal: Refusal) -> Finding {
    Finding {
        kind: ordered.kind,
        question: ordered.question.clone(),
        outcome: Outcome::Refused,
        answer: said(refusal),
        subject: None,
        records: Vec::new(),
        grant: None,
        purpose: ordered.purpose.clone(),
        operator: ordered.operator.clone(),
        caller_signature: None,
    }
}

/// A paper that may not be brought.
pub(super) fn of_document(asked: &DocumentAsked, refusal: Refusal) -> Finding {
    asked.finding(Outcome::Refused, said(refusal))
}

/// A refused question who looked at a subject.
pub(super) fn of_accesses(asked: &AccessAsked, refusal: Refusal) -> Finding {
    access::finding(asked, Outcome::Refused, said(refusal))
}

pub(super) fn said(refusal: Refusal) -> Answer {
    Answer::Refusal(Said {
        reason: refusal.reason.name().to_owned(),
        text_zh: refusal.reason.text_zh().to_owned(),
        text_en: refusal.reason.text_en().to_owned(),
    })
}
