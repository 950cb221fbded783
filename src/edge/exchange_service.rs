//! ExchangeService: from messages to questions, and from what is recorded to responses. Decides nothing.
use super::caller::Called;
use super::page::PageTokens;
use super::status::answered;
use crate::exchange::{Exchange, Reply, Request as Repeat};
use crate::failure::{Failure, Reason};
use crate::library::question::Asked;
use crate::limits::BATCH_ITEMS_MAX;
use crate::receipt::recorder::Recorded;
use crate::wire::order::request_id_is_sane;
use crate::wire::proto::exchange::v1::exchange_service_server::ExchangeService;
use crate::wire::proto::exchange::v1::{
    BatchLookUpRequest, BatchLookUpResponse, DeriveRequest, DeriveResponse, LookUpAreaRequest, LookUpAreaResponse,
    LookUpHolderRequest, LookUpHolderResponse, LookUpRequest, LookUpResponse, MatchRequest, MatchResponse,
    RecordedItem,
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
        Ok(Response::new(LookUpResponse { payload: item.payload().clone(), receipt: Some(item.receipt().clone()) }))
    }

    async fn batch_look_up(
        &self,
        request: Request<BatchLookUpRequest>,
    ) -> Result<Response<BatchLookUpResponse>, Status> {
        let called = Called::of(request)?;
        let BatchLookUpRequest { questions, request_id } = called.message.clone();
        let asked = batch(questions);
        let reply = self.ask(&called, &request_id, asked).await?;
        let (items, checkpoint) = shared(&reply.recorded);
        Ok(Response::new(BatchLookUpResponse { items, checkpoint }))
    }

    async fn r#match(&self, request: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        let called = Called::of(request)?;
        let MatchRequest { question, request_id, caller_signature } = called.message.clone();
        let asked = question::matching(question, caller_signature).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        let item = answered(&reply.recorded, called.request.as_ref())?;
        Ok(Response::new(MatchResponse { payload: item.payload().clone(), receipt: Some(item.receipt().clone()) }))
    }

    async fn derive(&self, request: Request<DeriveRequest>) -> Result<Response<DeriveResponse>, Status> {
        let called = Called::of(request)?;
        let DeriveRequest { question, request_id, caller_signature } = called.message.clone();
        let asked = question::derive(question, caller_signature).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        let item = answered(&reply.recorded, called.request.as_ref())?;
        Ok(Response::new(DeriveResponse { payload: item.payload().clone(), receipt: Some(item.receipt().clone()) }))
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
        let (items, checkpoint) = shared(&reply.recorded);
        Ok(Response::new(LookUpHolderResponse { items, checkpoint, truncated: reply.next.is_some() }))
    }

    async fn look_up_area(&self, request: Request<LookUpAreaRequest>) -> Result<Response<LookUpAreaResponse>, Status> {
        let called = Called::of(request)?;
        let LookUpAreaRequest { question, request_id } = called.message.clone();
        let tokens = PageTokens::new(&self.exchange, &called.caller, "area");
        let asked = question::by_place(question, |token| tokens.read(token)).map(|q| vec![q]);
        let reply = self.ask(&called, &request_id, asked).await?;
        answered(&reply.recorded, called.request.as_ref())?;
        let (items, checkpoint) = shared(&reply.recorded);
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

/// The items of a reply without their checkpoint, and the checkpoint they share.
fn shared(recorded: &Recorded) -> (Vec<RecordedItem>, Bytes) {
    let checkpoint = recorded.items().first().map(|item| item.receipt().checkpoint.clone()).unwrap_or_default();
    let items = recorded.items().iter().map(|item| RecordedItem {
        payload: item.payload().clone(),
        receipt: Some(Receipt { checkpoint: Bytes::new(), ..item.receipt().clone() }),
    });
    (items.collect(), checkpoint)
}
