//! Who used a seal: listed on the small road of [`accesses`](super::accesses), or page by page as it happens.
use super::{Exchange, refusal};
use crate::failure::{Failure, Reason};
use crate::library::record::View;
use crate::library::schema::Library;
use crate::policy::{Caller, Decision, Operation, Permit, Refusal};
use crate::receipt::recorder::{Mutations, Recorded};
use crate::receipt::seal_uses::{self, SealUsesAsked};
use crate::wire::proto::catalogue::v1::Role;
use crate::wire::proto::receipt::v1::Outcome;
use crate::wire::proto::seal::v1::Seal;

/// What came of a look at the uses that follow.
pub enum Following {
    /// A recorded page of them, and where to go on.
    Page(Recorded, u64),
    /// None yet, and where to go on.
    Nothing(u64),
    /// The recorded refusal.
    Refused(Recorded),
}

impl Exchange {
    /// Says who used a seal, newest first. Recorded, a refusal too.
    ///
    /// # Errors
    /// What stopped it; then nothing was answered.
    pub async fn seal_uses(&self, caller: &Caller, asked: &SealUsesAsked) -> Result<Recorded, Failure> {
        let view = self.view().await?;
        let finding = match self.may_see_uses(&view, caller, Operation::ListSealUses, &asked.seal_id).await? {
            Decision::Permitted(permit) => seal_uses::list(&view, &permit, &self.recorder, asked).await?.into_finding(),
            Decision::Refused(refused) => seal_uses::finding(asked, Outcome::Refused, refusal::said(refused)),
        };
        Ok(self.recorder.record(&view, caller, vec![finding], Mutations::default(), None).await?)
    }

    /// The uses of a seal from an index on, as one recorded page. The right to see them is decided anew each time.
    ///
    /// # Errors
    /// What stopped it; then nothing was answered.
    pub async fn seal_uses_from(
        &self,
        caller: &Caller,
        asked: &SealUsesAsked,
        from: u64,
    ) -> Result<Following, Failure> {
        let view = self.view().await?;
        let record = |finding| self.recorder.record(&view, caller, vec![finding], Mutations::default(), None);
        match self.may_see_uses(&view, caller, Operation::WatchSealUses, &asked.seal_id).await? {
            Decision::Refused(refused) => {
                let finding = seal_uses::finding(asked, Outcome::Refused, refusal::said(refused));
                Ok(Following::Refused(record(finding).await?))
            }
            Decision::Permitted(permit) => {
                match seal_uses::following(&view, &permit, &self.recorder, asked, from).await? {
                    (Some(page), next) => Ok(Following::Page(record(page.into_finding()).await?, next)),
                    (None, next) => Ok(Following::Nothing(next)),
                }
            }
        }
    }

    /// Auditors, and the seal's own department. Who may not learns nothing of whether the seal is there.
    async fn may_see_uses(
        &self,
        view: &View,
        caller: &Caller,
        operation: Operation,
        seal_id: &str,
    ) -> Result<Decision, Failure> {
        let permit: Permit = match self.policy.admit(view, caller, operation).await? {
            Decision::Permitted(permit) => permit,
            refused => return Ok(refused),
        };
        if permit.has(Role::Auditor) || permit.has(Role::AuditAdministrator) {
            return Ok(Decision::Permitted(permit));
        }
        let seal = view.newest_of(Library::Seal, "seal", seal_id).await?;
        let seal: Option<Seal> = seal.map(|opened| opened.body()).transpose()?;
        if seal.is_some_and(|seal| seal.owner_department == permit.system().department) {
            return Ok(Decision::Permitted(permit));
        }
        Ok(Decision::Refused(Refusal { reason: Reason::RoleNotAllowed }))
    }
}
