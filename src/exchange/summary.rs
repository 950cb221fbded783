//! Once a minute: one statement a caller about what stopped its requests, and one for all who were turned away at the door.
use super::Exchange;
use crate::failure::Failure;
use crate::policy::Caller;
use crate::receipt::recorder::{Finding, Mutations};
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::exchange::v1::payload::Answer;
use crate::wire::proto::exchange::v1::{Summary, SummaryCount};
use crate::wire::proto::receipt::v1::{Kind, Outcome, Purpose, PurposeKind};
use std::collections::BTreeMap;

/// Who stands for all strangers; no certificate can carry this name, the department being the hub itself.
const STRANGERS: &str = "hub/unauthenticated";

impl Exchange {
    /// Records the running counts. `handshakes` are those that failed since the start, by how they ended.
    ///
    /// # Errors
    /// What keeps a summary from being recorded; its counts then go into the next.
    pub async fn sum_up(&self, handshakes: &[(&'static str, u64)]) -> Result<(), Failure> {
        let tally = self.recorder.tally();
        let strangers = format!("wuku://{}/{STRANGERS}", self.hub);
        for (ended, count) in tally.handshakes_since(handshakes) {
            tally.note_many(&strangers, &format!("HANDSHAKE_{}", ended.to_uppercase()), count);
        }
        let mut failed = None;
        for (caller, reasons) in tally.take() {
            if let Err(failure) = self.record_summary(&caller, &reasons).await {
                tally.give_back(&caller, reasons);
                failed = Some(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn record_summary(&self, caller: &str, reasons: &BTreeMap<String, u64>) -> Result<(), Failure> {
        let view = self.view().await?;
        let purpose = Purpose {
            kind: PurposeKind::Administration as i32,
            use_cause: "summary of the last minute".into(),
            ..Purpose::default()
        };
        let words = ordered(self.suite(), Kind::Summary, "", Repeatable::None, Some(&purpose), None, &[])?;
        let counts = reasons.iter().map(|(reason, count)| SummaryCount { reason: reason.clone(), count: *count });
        let summary = Summary { counts: counts.collect(), since_ms: view.now_ms.saturating_sub(60_000) };
        let finding = Finding {
            kind: Kind::Summary,
            question: words.question,
            outcome: Outcome::Done,
            answer: Answer::Summary(summary),
            subject: None,
            records: Vec::new(),
            grant: None,
            purpose: words.purpose,
            operator: words.operator,
            caller_signature: None,
        };
        let caller =
            Caller { uri: caller.to_owned(), department: String::new(), serial: String::new(), fingerprint: [0; 32] };
        let _recorded = self.recorder.record(&view, &caller, vec![finding], Mutations::default(), None).await?;
        Ok(())
    }
}
