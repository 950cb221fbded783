//! SealService: seals in, bound, listed; who used them, as a list and as it happens. Decides nothing.
use super::caller::Called;
use super::licence_service::{change, page_size};
use super::page::PageTokens;
use super::stack::{Deadline, RequestId};
use super::status::{answered, to_status};
use crate::exchange::{Exchange, Following, Order};
use crate::failure::Failure;
use crate::library::catalogue;
use crate::policy::{Caller, Operation, Permit};
use crate::receipt::seal_uses::SealUsesAsked;
use crate::seal::signer::SignerKind;
use crate::store::key_space::IndexKey;
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1::Role;
use crate::wire::proto::receipt::v1::Kind;
use crate::wire::proto::seal::v1::seal_service_server::SealService;
use crate::wire::proto::seal::v1::{
    BindSealRequest, BindSealResponse, ImportSealRequest, ImportSealResponse, ListSealUsesRequest,
    ListSealUsesResponse, ListSealsRequest, ListSealsResponse, Seal, WatchSealUsesRequest, WatchSealUsesResponse,
};
use crate::wire::seal::{Looking, uses};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// A watched seal is looked at so often at most, however fast the log grows.
const LOOK_AT_MOST: Duration = Duration::from_millis(100);
/// So long before its deadline a stream ends well instead of being cut off.
const BEFORE_DEADLINE: Duration = Duration::from_millis(100);

/// The service.
#[derive(Clone)]
pub struct SealRpc {
    exchange: Arc<Exchange>,
    stopping: watch::Receiver<bool>,
}

impl SealRpc {
    /// The service over a hub; watchers are let go when `stopping` says so.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>, stopping: watch::Receiver<bool>) -> Self {
        Self { exchange, stopping }
    }

    async fn seals(
        &self,
        called: &Called<ListSealsRequest>,
        tokens: &PageTokens<'_>,
    ) -> Result<ListSealsResponse, Failure> {
        let view = self.exchange.view().await?;
        let permit = self.exchange.admit(&view, &called.caller, Operation::ListSeals).await?;
        let after = tokens.read(&called.message.page_token)?.map(IndexKey);
        let (mut seals, next) = catalogue::seals(&view, after, page_size(called.message.page_size)?).await?;
        seals.retain(|seal| may_see(&permit, seal));
        let signer = self.exchange.seals.as_ref().and_then(|office| office.signer()).map_or("", SignerKind::as_str);
        let next_page_token = next.map(|key| tokens.make(&key.0)).unwrap_or_default();
        Ok(ListSealsResponse { seals, next_page_token, signer: signer.to_owned() })
    }
}

/// Who oversees sees all; others their own and those delegated to them.
fn may_see(permit: &Permit, seal: &Seal) -> bool {
    let oversees = [Role::DataAuthority, Role::Auditor, Role::AuditAdministrator];
    let department = &permit.system().department;
    let delegated = seal.binding.as_ref().is_some_and(|b| b.delegated_departments.contains(department));
    oversees.iter().any(|role| permit.has(*role)) || seal.owner_department == *department || delegated
}

#[tonic::async_trait]
impl SealService for SealRpc {
    type WatchSealUsesStream = ReceiverStream<Result<WatchSealUsesResponse, Status>>;

    async fn import_seal(&self, request: Request<ImportSealRequest>) -> Result<Response<ImportSealResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let parts = [m.esl.as_ref(), m.owner_department.as_bytes()];
        let ordered = ordered(
            self.exchange.suite(),
            Kind::SealChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &parts,
        );
        let order = Order::ImportSeal(m);
        let item = change(&self.exchange, &called, Operation::ImportSeal, order, ordered, &m.request_id).await?;
        Ok(Response::new(ImportSealResponse { payload: item.payload().clone(), receipt: Some(item.receipt().clone()) }))
    }

    async fn bind_seal(&self, request: Request<BindSealRequest>) -> Result<Response<BindSealResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let binding = prost::Message::encode_to_vec(&m.binding.clone().unwrap_or_default());
        let parts = [m.seal_id.as_bytes(), &binding];
        let ordered = ordered(
            self.exchange.suite(),
            Kind::SealChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &parts,
        );
        let order = Order::BindSeal(m);
        let item = change(&self.exchange, &called, Operation::BindSeal, order, ordered, &m.request_id).await?;
        Ok(Response::new(BindSealResponse { payload: item.payload().clone(), receipt: Some(item.receipt().clone()) }))
    }

    async fn list_seals(&self, request: Request<ListSealsRequest>) -> Result<Response<ListSealsResponse>, Status> {
        let called = Called::of(request)?;
        let tokens = PageTokens::new(&self.exchange, &called.caller, "seals");
        self.seals(&called, &tokens).await.map(Response::new).map_err(|failure| called.failed(&failure))
    }

    async fn list_seal_uses(
        &self,
        request: Request<ListSealUsesRequest>,
    ) -> Result<Response<ListSealUsesResponse>, Status> {
        let called = Called::of(request)?;
        let asked = uses(called.message.question.clone(), Looking::Back).map_err(|failure| called.failed(&failure))?;
        let recorded = self.exchange.seal_uses(&called.caller, &asked).await;
        let recorded = recorded.map_err(|failure| called.failed(&failure))?;
        let item = answered(&recorded, called.request.as_ref())?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(ListSealUsesResponse { payload, receipt }))
    }

    async fn watch_seal_uses(
        &self,
        request: Request<WatchSealUsesRequest>,
    ) -> Result<Response<Self::WatchSealUsesStream>, Status> {
        let until = request.extensions().get::<Deadline>().and_then(|Deadline(at)| at.checked_sub(BEFORE_DEADLINE));
        let called = Called::of(request)?;
        let asked = uses(called.message.question.clone(), Looking::Ahead).map_err(|failure| called.failed(&failure))?;
        let (down, responses) = mpsc::channel(4);
        let Called { caller, request, .. } = called;
        let (exchange, stopping) = (self.exchange.clone(), self.stopping.clone());
        tokio::spawn(Watcher { exchange, caller, request, asked, down }.run(stopping, until));
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

/// One stream.
struct Watcher {
    exchange: Arc<Exchange>,
    caller: Arc<Caller>,
    request: Option<RequestId>,
    asked: SealUsesAsked,
    down: mpsc::Sender<Result<WatchSealUsesResponse, Status>>,
}

impl Watcher {
    /// Ends well shortly before the deadline and when the hub stops; else with the connection, or with what stopped it.
    async fn run(self, mut stopping: watch::Receiver<bool>, until: Option<Instant>) {
        let late = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let told = async {
            // The guard it gives must not live across an await.
            let _told = stopping.wait_for(|stop| *stop).await.is_ok();
        };
        tokio::select! {
            () = self.down.closed() => {}
            () = late => {}
            () = told => {}
            status = self.follow() => {
                let _gone = self.down.send(Err(status)).await;
            }
        }
    }

    async fn follow(&self) -> Status {
        let mut log = self.exchange.recorder.ledger().follow();
        let mut from = self.asked.from;
        loop {
            log.mark_unchanged(); // before looking: what comes while we look wakes us
            let found = match self.exchange.seal_uses_from(&self.caller, &self.asked, from).await {
                Err(failure) => return to_status(&failure, self.request.as_ref()),
                Ok(found) => found,
            };
            match found {
                Following::Refused(recorded) => {
                    return match answered(&recorded, self.request.as_ref()) {
                        Err(status) => status,
                        Ok(_) => Status::internal("a refusal that is none"),
                    };
                }
                Following::Page(recorded, next) => {
                    from = next;
                    let item = match answered(&recorded, self.request.as_ref()) {
                        Ok(item) => item,
                        Err(status) => return status,
                    };
                    let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
                    let response = WatchSealUsesResponse { payload, receipt, next_from_index: next };
                    if self.down.send(Ok(response)).await.is_err() {
                        return Status::cancelled("the watcher has gone");
                    }
                }
                Following::Nothing(next) => {
                    from = next;
                    if log.changed().await.is_err() {
                        return Status::unavailable("the log has stopped");
                    }
                    tokio::time::sleep(LOOK_AT_MOST).await;
                }
            }
        }
    }
}
