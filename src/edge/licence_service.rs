//! LicenceService: preparing, issuing and changing licences; licence types; distrust of issuer keys.
use super::caller::Called;
use super::page::PageTokens;
use super::status::answered;
use crate::exchange::{Exchange, Order, Request as Repeat};
use crate::failure::Failure;
use crate::library::catalogue;
use crate::library::transition::Ordered;
use crate::policy::Operation;
use crate::receipt::recorder::RecordedItem;
use crate::store::key_space::IndexKey;
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::licence::v1::licence_service_server::LicenceService;
use crate::wire::proto::licence::v1::{
    ChangeLicenceRequest, ChangeLicenceResponse, DistrustIssuerKeyRequest, DistrustIssuerKeyResponse,
    IssueLicenceRequest, IssueLicenceResponse, ListLicenceTypesRequest, ListLicenceTypesResponse,
    PrepareLicenceRequest, PrepareLicenceResponse, PutLicenceTypeRequest, PutLicenceTypeResponse,
};
use crate::wire::proto::receipt::v1::Kind;
use prost::Message;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct LicenceRpc {
    exchange: Arc<Exchange>,
}

impl LicenceRpc {
    /// The service over a hub.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange }
    }
}

/// Walks a change down the one road and gives its recorded acknowledgement.
pub(super) async fn change<T: Message>(
    exchange: &Exchange,
    called: &Called<T>,
    operation: Operation,
    order: Order<'_>,
    ordered: Result<Ordered, Failure>,
    request_id: &str,
) -> Result<RecordedItem, Status> {
    let ordered = ordered.map_err(|failure| {
        exchange.note(&called.caller, &failure);
        called.failed(&failure)
    })?;
    let message = called.message.encode_to_vec();
    let repeat = Repeat { id: request_id, message: &message };
    let recorded = exchange.change(&called.caller, operation, order, &ordered, repeat).await;
    let recorded = recorded.map_err(|failure| {
        exchange.note(&called.caller, &failure);
        called.failed(&failure)
    })?;
    answered(&recorded, called.request.as_ref())
}

/// Rows a page may have: 0 means 50, at most 200.
pub(super) fn page_size(asked: u32) -> Result<usize, Failure> {
    match asked {
        0 => Ok(50),
        n @ 1..=200 => Ok(usize::try_from(n).unwrap_or(50)),
        _ => Err(Failure::field("page_size", "至多 200。", "At most 200.")),
    }
}

#[tonic::async_trait]
impl LicenceService for LicenceRpc {
    async fn prepare_licence(
        &self,
        request: Request<PrepareLicenceRequest>,
    ) -> Result<Response<PrepareLicenceResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let bytes = m.encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::PrepareLicence,
            "",
            Repeatable::None,
            m.purpose.as_ref(),
            m.operator.as_ref(),
            &[&bytes],
        );
        let order = Order::PrepareLicence(m);
        let item = change(&self.exchange, &called, Operation::PrepareLicence, order, ordered, "").await?;
        Ok(Response::new(PrepareLicenceResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn issue_licence(
        &self,
        request: Request<IssueLicenceRequest>,
    ) -> Result<Response<IssueLicenceResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let signature = m.signature.clone().unwrap_or_default().value;
        // A file's digest is named only where one was given: requests without one are recorded as they always were.
        let parts: [&[u8]; 3] = [&m.content, &signature, &m.file_sm3];
        let parts = parts.get(..if m.file_sm3.is_empty() { 2 } else { 3 }).unwrap_or_default();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::IssueLicence,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            m.operator.as_ref(),
            parts,
        );
        let order = Order::IssueLicence(m);
        let item = change(&self.exchange, &called, Operation::IssueLicence, order, ordered, &m.request_id).await?;
        Ok(Response::new(IssueLicenceResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn change_licence(
        &self,
        request: Request<ChangeLicenceRequest>,
    ) -> Result<Response<ChangeLicenceResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let signature = m.signature.clone().unwrap_or_default().value;
        let parts: [&[u8]; 4] = [&m.order, &signature, &m.new_content, &m.new_file_sm3];
        let parts = parts.get(..if m.new_file_sm3.is_empty() { 3 } else { 4 }).unwrap_or_default();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::ChangeLicence,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            m.operator.as_ref(),
            parts,
        );
        let order = Order::ChangeLicence(m);
        let item = change(&self.exchange, &called, Operation::ChangeLicence, order, ordered, &m.request_id).await?;
        Ok(Response::new(ChangeLicenceResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn put_licence_type(
        &self,
        request: Request<PutLicenceTypeRequest>,
    ) -> Result<Response<PutLicenceTypeResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.licence_type.clone().unwrap_or_default().encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::LicenceTypeChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::PutLicenceType(m);
        let item = change(&self.exchange, &called, Operation::PutLicenceType, order, ordered, &m.request_id).await?;
        Ok(Response::new(PutLicenceTypeResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn list_licence_types(
        &self,
        request: Request<ListLicenceTypesRequest>,
    ) -> Result<Response<ListLicenceTypesResponse>, Status> {
        let called = Called::of(request)?;
        let tokens = PageTokens::new(&self.exchange, &called.caller, "licence-types");
        let page = async {
            let view = self.exchange.view().await?;
            let _permit = self.exchange.admit(&view, &called.caller, Operation::ListLicenceTypes).await?;
            let after = tokens.read(&called.message.page_token)?.map(IndexKey);
            catalogue::licence_types(&view, after, page_size(called.message.page_size)?).await
        };
        let (licence_types, next) = page.await.map_err(|failure| called.failed(&failure))?;
        let next_page_token = next.map(|key| tokens.make(&key.0)).unwrap_or_default();
        Ok(Response::new(ListLicenceTypesResponse { licence_types, next_page_token }))
    }

    async fn distrust_issuer_key(
        &self,
        request: Request<DistrustIssuerKeyRequest>,
    ) -> Result<Response<DistrustIssuerKeyResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let ordered = ordered(
            self.exchange.suite(),
            Kind::DistrustIssuer,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&m.certificate_sha256, m.document_number.as_bytes()],
        );
        let order = Order::DistrustIssuerKey(m);
        let item = change(&self.exchange, &called, Operation::DistrustIssuerKey, order, ordered, &m.request_id).await?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(DistrustIssuerKeyResponse { payload, receipt }))
    }
}
