//! ReceiptService: proofs for outsiders, and who looked at whom. Decides nothing.
use super::caller::Called;
use super::status::answered;
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::record::from_store;
use crate::log::Suite;
use crate::policy::Operation;
use crate::receipt::evidence::EVIDENCE_BYTES_MAX;
use crate::receipt::proofs;
use crate::receipt::publisher::Publisher;
use crate::receipt::trust::{Root, Trust};
use crate::receipt::verify::{Options, verify};
use crate::store::Snapshot;
use crate::wire::access;
use crate::wire::proto::receipt::v1::receipt_service_server::ReceiptService;
use crate::wire::proto::receipt::v1::{
    GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
    GetInclusionProofRequest, GetInclusionProofResponse, GetTrustRequest, GetTrustResponse, ListAccessesRequest,
    ListAccessesResponse, ListEntriesRequest, ListEntriesResponse, VerifyEvidenceRequest, VerifyEvidenceResponse,
};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use std::marker::PhantomData;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What the service needs beside the hub.
#[derive(Clone)]
pub struct Papers {
    /// The published checkpoint.
    pub publisher: Arc<Publisher>,
    /// The trust file in force.
    pub trust_note: TrustNote,
}

/// The trust file as the operator published it; `None` where there is none. Replaced while the hub runs.
pub type TrustNote = Arc<ArcSwapOption<Bytes>>;

/// The service, over a log of one suite.
#[derive(Clone)]
pub struct ReceiptRpc<S> {
    exchange: Arc<Exchange>,
    papers: Papers,
    suite: PhantomData<S>,
}

impl<S: Suite> ReceiptRpc<S> {
    /// The service over a hub.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>, papers: Papers) -> Self {
        Self { exchange, papers, suite: PhantomData }
    }

    /// Admits the caller by role; what is shown reveals counts and seconds only and is not recorded.
    async fn admit<T>(&self, called: &Called<T>, operation: Operation) -> Result<(), Failure> {
        let view = self.exchange.view().await?;
        let _permit = self.exchange.admit(&view, &called.caller, operation).await?;
        Ok(())
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Failure> {
        self.exchange.store.snapshot().await.map_err(from_store)
    }

    fn trust_note(&self) -> Result<Arc<Bytes>, Failure> {
        self.papers.trust_note.load_full().ok_or_else(|| Failure::new(Reason::TrustFileMissing))
    }

    async fn entries(&self, called: &Called<ListEntriesRequest>) -> Result<ListEntriesResponse, Failure> {
        self.admit(called, Operation::ListEntries).await?;
        let size = self.papers.publisher.published().size; // before the snapshot: what is published is in it
        let ListEntriesRequest { start, count } = called.message;
        let entries = proofs::entries(self.snapshot().await?.as_ref(), size, start, count).await?;
        Ok(ListEntriesResponse { entries, size })
    }

    async fn inclusion(&self, called: &Called<GetInclusionProofRequest>) -> Result<Bytes, Failure> {
        self.admit(called, Operation::GetInclusionProof).await?;
        let published = self.papers.publisher.published().size;
        let GetInclusionProofRequest { leaf_index, size } = called.message;
        proofs::inclusion::<S>(self.snapshot().await?.as_ref(), published, leaf_index, size).await
    }

    async fn consistency(&self, called: &Called<GetConsistencyProofRequest>) -> Result<Bytes, Failure> {
        self.admit(called, Operation::GetConsistencyProof).await?;
        let published = self.papers.publisher.published().size;
        let GetConsistencyProofRequest { old_size, new_size } = called.message;
        proofs::consistency::<S>(self.snapshot().await?.as_ref(), published, old_size, new_size).await
    }

    async fn verified(&self, called: &Called<VerifyEvidenceRequest>) -> Result<VerifyEvidenceResponse, Failure> {
        self.admit(called, Operation::VerifyEvidence).await?;
        let evidence = &called.message.evidence_json;
        if evidence.is_empty() || evidence.len() > EVIDENCE_BYTES_MAX {
            return Err(Failure::field(
                "evidence_json",
                "缺少证据文件，或文件过大。",
                "Evidence is missing or too large.",
            ));
        }
        // The hub's own file, from the operator's own hand.
        let trust = Trust::open(&self.trust_note()?, Root::ByHand)
            .map_err(|error| Failure::new(Reason::TrustFileMissing).because(error))?;
        let now_s = Some(self.exchange.clock.now_ms() / 1_000);
        let verdict = verify(evidence, &trust, &Options { now_s, ..Options::default() });
        Ok(VerifyEvidenceResponse {
            good: verdict.good,
            failed_step: verdict.failed_step.map(|step| step.as_str().to_owned()).unwrap_or_default(),
            index: verdict.index,
            size: verdict.size,
            origin: verdict.origin,
        })
    }
}

#[tonic::async_trait]
impl<S: Suite> ReceiptService for ReceiptRpc<S> {
    async fn get_trust(&self, request: Request<GetTrustRequest>) -> Result<Response<GetTrustResponse>, Status> {
        let called = Called::of(request)?;
        self.admit(&called, Operation::GetTrust).await.map_err(|failure| called.failed(&failure))?;
        let trust_note = self.trust_note().map_err(|failure| called.failed(&failure))?;
        Ok(Response::new(GetTrustResponse { trust_note: trust_note.as_ref().clone() }))
    }

    async fn verify_evidence(
        &self,
        request: Request<VerifyEvidenceRequest>,
    ) -> Result<Response<VerifyEvidenceResponse>, Status> {
        let called = Called::of(request)?;
        self.verified(&called).await.map(Response::new).map_err(|failure| called.failed(&failure))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let called = Called::of(request)?;
        self.admit(&called, Operation::GetCheckpoint).await.map_err(|failure| called.failed(&failure))?;
        let checkpoint = self.papers.publisher.published().checkpoint;
        Ok(Response::new(GetCheckpointResponse { checkpoint }))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let called = Called::of(request)?;
        self.entries(&called).await.map(Response::new).map_err(|failure| called.failed(&failure))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        let called = Called::of(request)?;
        let path = self.inclusion(&called).await.map_err(|failure| called.failed(&failure))?;
        Ok(Response::new(GetInclusionProofResponse { path }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let called = Called::of(request)?;
        let path = self.consistency(&called).await.map_err(|failure| called.failed(&failure))?;
        Ok(Response::new(GetConsistencyProofResponse { path }))
    }

    async fn list_accesses(
        &self,
        request: Request<ListAccessesRequest>,
    ) -> Result<Response<ListAccessesResponse>, Status> {
        let called = Called::of(request)?;
        let asked = access::accesses(called.message.question.clone()).map_err(|failure| called.failed(&failure))?;
        let recorded = self.exchange.accesses(&called.caller, &asked).await;
        let recorded = recorded.map_err(|failure| called.failed(&failure))?;
        let item = answered(&recorded, called.request.as_ref())?;
        Ok(Response::new(ListAccessesResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }
}
