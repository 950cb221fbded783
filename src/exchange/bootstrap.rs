//! The first system of a new hub. Once there is one, this does nothing more: every later change walks the road.
use super::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::catalogue;
use crate::library::record::View;
use crate::library::transition::Ordered;
use crate::log::SuiteName;
use crate::policy::Caller;
use crate::receipt::recorder::Mutations;
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1::{Department, PutDepartmentRequest, System};
use crate::wire::proto::receipt::v1::{Kind, Purpose, PurposeKind};
use prost::Message;

impl Exchange {
    /// Puts the first department and its system, as entries of kind BOOTSTRAP.
    ///
    /// # Errors
    /// [`Reason::TransitionNotAllowed`] where the hub has systems already.
    pub async fn bootstrap(&self, department: &Department, system: &System) -> Result<(), Failure> {
        let view = self.view().await?;
        if !catalogue::systems(&view, None, 1).await?.0.is_empty() {
            return Err(Failure::new(Reason::TransitionNotAllowed).because("the hub has systems already"));
        }
        let caller = Caller {
            uri: format!("wuku://{}/hub/init", self.hub),
            department: "hub".into(),
            serial: String::new(),
            fingerprint: [0; 32],
        };
        let request = PutDepartmentRequest { department: Some(department.clone()), ..PutDepartmentRequest::default() };
        let words = bootstrap_words(self.suite(), &department.encode_to_vec())?;
        let transition = catalogue::put_department(&view, &request, &words).await?;
        self.write_first(&view, &caller, transition.finding.into_inner(), transition.mutations).await?;
        let view = self.view().await?;
        let words = bootstrap_words(self.suite(), &system.encode_to_vec())?;
        let transition = catalogue::first_system(&view, system, &words).await?;
        self.write_first(&view, &caller, transition.finding.into_inner(), transition.mutations).await
    }

    async fn write_first(
        &self,
        view: &View,
        caller: &Caller,
        finding: crate::receipt::recorder::Finding,
        mutations: Mutations,
    ) -> Result<(), Failure> {
        let _recorded = self.recorder.record(view, caller, vec![finding], mutations, None).await?;
        Ok(())
    }
}

fn bootstrap_words(suite: SuiteName, body: &[u8]) -> Result<Ordered, Failure> {
    let purpose =
        Purpose { kind: PurposeKind::Administration as i32, use_cause: "wuku init".into(), ..Purpose::default() };
    ordered(suite, Kind::Bootstrap, "", Repeatable::None, Some(&purpose), None, &[body])
}
