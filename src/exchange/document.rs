//! Papers down the one road: who may bring one is decided before a byte of it is taken in, and again when it has been judged; what the hub
//! holds of the licence it names is said under a permit of its own.
use super::{Exchange, refusal};
use crate::failure::Failure;
use crate::library::document::{self, DocumentAsked, NamedLicence};
use crate::paper::report::Report;
use crate::policy::{Caller, Decision, Operation};
use crate::receipt::recorder::{Mutations, Recorded};

impl Exchange {
    /// Whether the caller may have a paper judged. `Some`: refused, and that is recorded.
    ///
    /// # Errors
    /// What stopped it.
    pub async fn may_bring(&self, caller: &Caller, asked: &DocumentAsked) -> Result<Option<Recorded>, Failure> {
        let view = self.view().await?;
        match self.policy.admit(&view, caller, Operation::VerifyDocument).await? {
            Decision::Permitted(_) => Ok(None),
            Decision::Refused(refusal) => {
                let findings = vec![refusal::of_document(asked, refusal)];
                Ok(Some(self.recorder.record(&view, caller, findings, Mutations::default(), None).await?))
            }
        }
    }

    /// Answers with the verdict on a judged paper: recorded with the paper's hash, never with the paper.
    ///
    /// # Errors
    /// What stopped it; then nothing was answered.
    pub async fn verify_document(
        &self,
        caller: &Caller,
        asked: &DocumentAsked,
        report: &Report,
    ) -> Result<Recorded, Failure> {
        let view = self.view().await?;
        let finding = match self.policy.admit(&view, caller, Operation::VerifyDocument).await? {
            Decision::Permitted(permit) => {
                let mut licence = None;
                if let NamedLicence::One(id) = NamedLicence::of(report) {
                    let about = asked.about(&id);
                    // No grant is no failure here: the caller learns of its own file what can be seen of it, and nothing of the library.
                    if let Decision::Permitted(granted) = self.policy.decide(&view, caller, &about).await? {
                        licence = Some((granted, about));
                    }
                }
                document::answer(&view, &permit, asked, report, licence.as_ref()).await?.into_inner() // Verified
            }
            Decision::Refused(refusal) => refusal::of_document(asked, refusal),
        };
        Ok(self.recorder.record(&view, caller, vec![finding], Mutations::default(), None).await?)
    }
}
