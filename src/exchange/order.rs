//! Every change the hub can make, and which check of the library each goes through.
use super::Exchange;
use crate::failure::Failure;
use crate::intake;
use crate::library::record::View;
use crate::library::transition::{Ordered, Transition};
use crate::library::{catalogue, licence, seal};
use crate::policy::Permit;
use crate::wire::proto::catalogue::v1 as c;
use crate::wire::proto::licence::v1 as l;
use crate::wire::proto::seal::v1 as s;

/// A change as requested.
#[allow(missing_docs, reason = "each is the request of the rpc of that name")]
pub enum Order<'a> {
    PrepareLicence(&'a l::PrepareLicenceRequest),
    IssueLicence(&'a l::IssueLicenceRequest),
    ChangeLicence(&'a l::ChangeLicenceRequest),
    PutLicenceType(&'a l::PutLicenceTypeRequest),
    DistrustIssuerKey(&'a l::DistrustIssuerKeyRequest),
    PutDepartment(&'a c::PutDepartmentRequest),
    PutSystem(&'a c::PutSystemRequest),
    PutResource(&'a c::PutResourceRequest),
    ApplyGrant(&'a c::ApplyGrantRequest),
    DecideGrant(&'a c::DecideGrantRequest),
    WithdrawGrant(&'a c::WithdrawGrantRequest),
    ImportSeal(&'a s::ImportSealRequest),
    BindSeal(&'a s::BindSealRequest),
    Import(&'a intake::Step<'a>),
}

impl Exchange {
    /// Checks a change whole.
    pub(super) async fn check(
        &self,
        view: &View,
        permit: &Permit,
        order: &Order<'_>,
        ordered: &Ordered,
    ) -> Result<Transition, Failure> {
        let issuers = self.issuers.load();
        match order {
            Order::PrepareLicence(r) => licence::prepare(view, permit, &self.hub, r, ordered).await,
            Order::IssueLicence(r) => licence::issue(view, permit, &issuers, r, ordered).await,
            Order::ChangeLicence(r) => licence::change(view, permit, &self.hub, &issuers, r, ordered).await,
            Order::PutLicenceType(r) => licence::put_type(view, permit, r, ordered).await,
            Order::DistrustIssuerKey(r) => licence::distrust(view, r, ordered).await,
            Order::PutDepartment(r) => catalogue::put_department(view, r, ordered).await,
            Order::PutSystem(r) => catalogue::put_system(view, permit, &self.hub, r, ordered).await,
            Order::PutResource(r) => catalogue::put_resource(view, r, ordered).await,
            Order::ApplyGrant(r) => catalogue::apply(view, permit, r, ordered).await.map(|(transition, _)| transition),
            Order::DecideGrant(r) => catalogue::decide(view, permit, r, ordered).await,
            Order::WithdrawGrant(r) => catalogue::withdraw(view, permit, r, ordered).await,
            Order::ImportSeal(r) => {
                let office = self.office()?;
                let judged = office.judge(&r.esl, view.now_ms / 1_000).await?;
                seal::import(view, permit, r, &judged, office.profile(), ordered).await
            }
            Order::BindSeal(r) => seal::bind(view, permit, r, ordered).await,
            Order::Import(step) => intake::check(view, permit, step, ordered).await,
        }
    }
}
