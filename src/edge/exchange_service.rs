//! ExchangeService: from messages to questions, and from what is recorded to responses. Decides nothing.
use super::caller::Called;
use super::page::PageTokens;
use super::status::answered;
use crate::exchange::{Exchange, Reply, Request as Repeat};
use crate::failure::{Failure, Reason};
use crate::library::question::Asked;
use crate::limits::BATCH_ITEMS_MAX;
use crate::wire::order::request_id_is_sane;
use crate::wire::proto::exchange::v1::exchange_service_server::ExchangeService;
use crate::wire::proto::exchange::v1::{
    AppliedSeal, BatchLookUpRequest, BatchLookUpResponse, DeriveRequest, DeriveResponse, LookUpAreaRequest,
    LookUpAreaResponse, LookUpHolderRequest, LookUpHolderResponse, LookUpRequest, LookUpResponse, MatchRequest,
    MatchResponse, RecordedItem,
};
use crate::wire::proto::receipt::v1::{Kind, Receipt};
use crate::wire::question::{self, Faults};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct ExchangeRpc {
    exchange: Arc<Exchange>,
}

impl ExchangeRpc {
    /// The service over a hub.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange }
    }

    async fn ask<T: Message>(
        &self,
        called: &Called<T>,
        request_id: &str,
        asked: Result<Vec<Asked>, Failure>,
    ) -> Result<Reply, Status> {
        let mut faults = Faults::default();
        request_id_is_sane(request_id, &mut faults);
        let questions = faults.finish(Some(())).and(asked).map_err(|failure| {
            self.exchange.note(&called.caller, &failure);
            called.failed(&failure)
        })?;
        // Only what may be repeated is compared with what came before.
        let message = if request_id.is_empty() { Vec::new() } else { called.message.encode_to_vec() };
        let repeat = Repeat { id: request_id, message: &message };
        self.exchange.answer(&called.caller, &questions, repeat).await.map_err(|failure| {
            self.exchange.note(&called.caller, &failure);
            called.failed(&failure)
        })
    }
}

#[tonic::async_trait]
impl ExchangeService for ExchangeRpc {
    async fn look_up(&self, request: Request<LookUpRequest>) -> Result<Response<LookUpResponse>, Status> {
        let called = Called::of(request)?;
        let LookUpRequest { question, request_id, caller_signature } = called.message.clone();
        let asked = question::look_up(question, Kind::LookUp, caller_signature).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        let item = answered(&reply.recorded, called.request.as_ref())?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(LookUpResponse { payload, receipt, seal: seal_on(&reply, 0, With::Checkpoint) }))
    }

    async fn batch_look_up(
        &self,
        request: Request<BatchLookUpRequest>,
    ) -> Result<Response<BatchLookUpResponse>, Status> {
        let called = Called::of(request)?;
        let BatchLookUpRequest { questions, request_id } = called.message.clone();
        let asked = batch(questions);
        let reply = self.ask(&called, &request_id, asked).await?;
        let (items, checkpoint) = shared(&reply);
        Ok(Response::new(BatchLookUpResponse { items, checkpoint }))
    }

    async fn r#match(&self, request: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        let called = Called::of(request)?;
        let MatchRequest { question, request_id, caller_signature } = called.message.clone();
        let asked = question::matching(question, caller_signature).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        let item = answered(&reply.recorded, called.request.as_ref())?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(MatchResponse { payload, receipt, seal: seal_on(&reply, 0, With::Checkpoint) }))
    }

    async fn derive(&self, request: Request<DeriveRequest>) -> Result<Response<DeriveResponse>, Status> {
        let called = Called::of(request)?;
        let DeriveRequest { question, request_id, caller_signature } = called.message.clone();
        let asked = question::derive(question, caller_signature).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        let item = answered(&reply.recorded, called.request.as_ref())?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(DeriveResponse { payload, receipt, seal: seal_on(&reply, 0, With::Checkpoint) }))
    }

    async fn look_up_holder(
        &self,
        request: Request<LookUpHolderRequest>,
    ) -> Result<Response<LookUpHolderResponse>, Status> {
        let called = Called::of(request)?;
        let LookUpHolderRequest { question, request_id } = called.message.clone();
        let asked = question::by_holder(question).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        answered(&reply.recorded, called.request.as_ref())?;
        let (items, checkpoint) = shared(&reply);
        Ok(Response::new(LookUpHolderResponse { items, checkpoint, truncated: reply.next.is_some() }))
    }

    async fn look_up_area(&self, request: Request<LookUpAreaRequest>) -> Result<Response<LookUpAreaResponse>, Status> {
        let called = Called::of(request)?;
        let LookUpAreaRequest { question, request_id } = called.message.clone();
        let tokens = PageTokens::new(&self.exchange, &called.caller, "area");
        let asked = question::by_place(question, |token| tokens.read(token)).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        answered(&reply.recorded, called.request.as_ref())?;
        let (items, checkpoint) = shared(&reply);
        let next_page_token = reply.next.map(|key| tokens.make(&key)).unwrap_or_default();
        Ok(Response::new(LookUpAreaResponse { items, checkpoint, next_page_token }))
    }
}

/// The questions of a batch; each fault names its item.
fn batch(questions: Vec<Bytes>) -> Result<Vec<Asked>, Failure> {
    if questions.len() > BATCH_ITEMS_MAX {
        return Err(Failure::new(Reason::BatchTooLarge));
    }
    if questions.is_empty() {
        return Err(Failure::field("questions", "至少一项。", "At least one."));
    }
    let mut asked = Vec::with_capacity(questions.len());
    let mut faults = Vec::new();
    for (n, bytes) in questions.into_iter().enumerate() {
        match question::look_up(bytes, Kind::BatchItem, None) {
            Ok(question) => asked.push(question),
            Err(failure) => faults.extend(failure.fields.into_iter().map(|mut fault| {
                fault.field = format!("questions[{n}].{}", fault.field);
                fault
            })),
        }
    }
    if faults.is_empty() { Ok(asked) } else { Err(Failure::malformed(faults)) }
}

/// Whether a receipt is sent with its checkpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Checkpoint,
    NoCheckpoint,
}

/// The seal on an item of a reply, with the record of its use.
fn seal_on(reply: &Reply, n: usize, with: With) -> Option<AppliedSeal> {
    let signature = reply.seals.get(n).cloned().flatten()?;
    let used = reply.recorded.items().get(n)?.seal_use()?;
    let mut receipt = used.receipt().clone();
    if with == With::NoCheckpoint {
        receipt.checkpoint = Bytes::new();
    }
    Some(AppliedSeal { signature, use_payload: used.payload().clone(), use_receipt: Some(receipt) })
}

/// The items of a reply without their checkpoint, and the checkpoint they share.
fn shared(reply: &Reply) -> (Vec<RecordedItem>, Bytes) {
    let items = reply.recorded.items();
    let checkpoint = items.first().map(|item| item.receipt().checkpoint.clone()).unwrap_or_default();
    let items = items.iter().enumerate().map(|(n, item)| RecordedItem {
        payload: item.payload().clone(),
        receipt: Some(Receipt { checkpoint: Bytes::new(), ..item.receipt().clone() }),
        seal: seal_on(reply, n, With::NoCheckpoint),
    });
    (items.collect(), checkpoint)
}
