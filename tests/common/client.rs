//! One calling system. Every answer it gets is verified against the trust file before a test sees it.
use crate::harness::{HUB, Proofs};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use wuku::failure::Reason;
use wuku::receipt::statement::PAYLOAD_NAME;
use wuku::receipt::trust::Trust;
use wuku::receipt::verify::{Options, verify};
use wuku::receipt::{Evidence, Outcome, Receipt, Statement, evidence};
use wuku::wire::proto::catalogue::v1::catalogue_service_client::CatalogueServiceClient;
use wuku::wire::proto::exchange::v1::exchange_service_client::ExchangeServiceClient;
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::exchange::v1::{
    Absence, AreaQuestion, BatchLookUpRequest, Change, Context, DeriveAnswer, DeriveQuestion, DeriveRequest,
    HolderQuestion, LookUpAreaRequest, LookUpHolderRequest, LookUpQuestion, LookUpRequest, MatchAnswer, MatchQuestion,
    MatchRequest, Payload, RecordedItem,
};
use wuku::wire::proto::intake::v1::intake_service_client::IntakeServiceClient;
use wuku::wire::proto::library::v1::{Date, HolderCode, Record, RecordKey, record_key::Key};
use wuku::wire::proto::licence::v1::licence_service_client::LicenceServiceClient;
use wuku::wire::proto::receipt::v1::receipt_service_client::ReceiptServiceClient;
use wuku::wire::proto::receipt::v1::{Operator, Purpose, PurposeKind};

/// A system, connected.
#[derive(Clone)]
pub struct Caller {
    /// As in its certificate.
    pub uri: String,
    /// Its connection.
    pub channel: Channel,
    /// Its own copy of the trust file.
    pub trust: Arc<Trust>,
    /// Where the harness keeps what was said.
    pub proofs: Proofs,
}

/// A recorded answer whose receipt is good.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The answer.
    pub payload: Payload,
    /// What stands in the log.
    pub statement: Statement,
    /// The answer with its receipt.
    pub evidence: Evidence,
}

/// What `Caller::got` takes: payload and receipt of any response.
pub trait Answered {
    /// Payload and receipt.
    fn parts(self) -> (Bytes, Option<Receipt>);
}

macro_rules! answered {
    ($($package:ident: $($message:ident)*;)*) => { $($(
        impl Answered for wuku::wire::proto::$package::v1::$message {
            fn parts(self) -> (Bytes, Option<Receipt>) { (self.payload, self.receipt) }
        }
    )*)* };
}

answered! {
    exchange: LookUpResponse MatchResponse DeriveResponse RecordedItem;
    licence: PrepareLicenceResponse IssueLicenceResponse ChangeLicenceResponse PutLicenceTypeResponse DistrustIssuerKeyResponse;
    catalogue: PutDepartmentResponse PutSystemResponse PutResourceResponse ApplyGrantResponse DecideGrantResponse
        WithdrawGrantResponse;
    receipt: ListAccessesResponse;
    intake: ReleaseImportResponse;
    seal: ImportSealResponse BindSealResponse ListSealUsesResponse WatchSealUsesResponse;
    document: VerifyDocumentResponse;
}

impl Caller {
    /// Its exchange client.
    pub fn exchange(&self) -> ExchangeServiceClient<Channel> {
        ExchangeServiceClient::new(self.channel.clone())
    }

    /// Its licence client.
    pub fn licence(&self) -> LicenceServiceClient<Channel> {
        LicenceServiceClient::new(self.channel.clone())
    }

    /// Its catalogue client.
    pub fn catalogue(&self) -> CatalogueServiceClient<Channel> {
        CatalogueServiceClient::new(self.channel.clone())
    }

    /// Its intake client.
    pub fn intake(&self) -> IntakeServiceClient<Channel> {
        IntakeServiceClient::new(self.channel.clone())
    }

    /// Its receipt client.
    pub fn receipt(&self) -> ReceiptServiceClient<Channel> {
        ReceiptServiceClient::new(self.channel.clone())
    }

    /// Asks for one record.
    pub async fn look_up(&self, question: &LookUpQuestion) -> Result<Proved, Status> {
        let request = LookUpRequest { question: question.encode_to_vec().into(), ..LookUpRequest::default() };
        self.exchange().look_up(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Asks for several records.
    pub async fn batch(&self, questions: &[LookUpQuestion]) -> Result<Vec<Proved>, Status> {
        let questions = questions.iter().map(|q| q.encode_to_vec().into()).collect();
        let request = BatchLookUpRequest { questions, ..BatchLookUpRequest::default() };
        let response = self.exchange().batch_look_up(request).await?.into_inner();
        Ok(self.items(response.items, &response.checkpoint))
    }

    /// Asks whether name and code belong together.
    pub async fn r#match(&self, question: &MatchQuestion) -> Result<Proved, Status> {
        let request = MatchRequest { question: question.encode_to_vec().into(), ..MatchRequest::default() };
        self.exchange().r#match(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Asks for a derived fact.
    pub async fn derive(&self, question: &DeriveQuestion) -> Result<Proved, Status> {
        let request = DeriveRequest { question: question.encode_to_vec().into(), ..DeriveRequest::default() };
        self.exchange().derive(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Asks for everything of a holder.
    pub async fn holder(&self, question: &HolderQuestion) -> Result<Vec<Proved>, Status> {
        let request =
            LookUpHolderRequest { question: question.encode_to_vec().into(), ..LookUpHolderRequest::default() };
        let response = self.exchange().look_up_holder(request).await?.into_inner();
        Ok(self.items(response.items, &response.checkpoint))
    }

    /// Asks for features by place.
    pub async fn area(&self, question: &AreaQuestion) -> Result<(Vec<Proved>, String), Status> {
        let request = LookUpAreaRequest { question: question.encode_to_vec().into(), ..LookUpAreaRequest::default() };
        let response = self.exchange().look_up_area(request).await?.into_inner();
        Ok((self.items(response.items, &response.checkpoint), response.next_page_token))
    }

    /// Recorded items with the checkpoint they share.
    pub fn items(&self, items: Vec<RecordedItem>, checkpoint: &Bytes) -> Vec<Proved> {
        let whole = |item: RecordedItem| {
            let receipt = item.receipt.unwrap();
            assert!(receipt.checkpoint.is_empty(), "the checkpoint is sent once");
            RecordedItem { receipt: Some(Receipt { checkpoint: checkpoint.clone(), ..receipt }), ..item }
        };
        items.into_iter().map(|item| self.got(whole(item))).collect()
    }

    /// Verifies a response against the trust file, as a file that was saved and read again, and keeps it for the end of the test.
    pub fn got(&self, response: impl Answered) -> Proved {
        let (payload, receipt) = response.parts();
        let evidence = Evidence { payload_name: PAYLOAD_NAME.to_owned(), payload, receipt };
        let verdict = verify(&evidence::to_json(&evidence), &self.trust, &Options::default());
        assert!(verdict.good, "{:?} {}", verdict.failed_step, verdict.detail);
        let (payload, statement) = (verdict.payload.unwrap(), verdict.statement.unwrap());
        assert_eq!((statement.hub.as_str(), statement.caller.as_str()), (HUB, self.uri.as_str()));
        self.proofs.lock().unwrap().push(evidence.clone());
        Proved { payload, statement, evidence }
    }

    /// The recorded refusal in a status: its reason, and the proof that it was recorded.
    pub fn refused(&self, status: &Status) -> (Reason, Proved) {
        let reason = reason(status);
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        let whole = RpcStatus::decode(status.details()).unwrap();
        let item = whole.details.iter().find(|any| any.type_url.ends_with("/wuku.exchange.v1.RecordedItem")).unwrap();
        let proved = self.got(RecordedItem::decode(item.value.as_slice()).unwrap());
        assert_eq!(proved.payload.outcome(), Outcome::Refused);
        match &proved.payload.answer {
            Some(Answer::Refusal(refusal)) => assert_eq!(refusal.reason, reason.name()),
            other => panic!("{other:?}"),
        }
        (reason, proved)
    }
}

impl Proved {
    /// The outcome.
    pub fn outcome(&self) -> Outcome {
        self.payload.outcome()
    }

    /// The receipt.
    pub fn receipt(&self) -> &Receipt {
        self.evidence.receipt.as_ref().unwrap()
    }

    /// Outcome and record of a look-up that found something.
    pub fn record(&self) -> &Record {
        match &self.payload.answer {
            Some(Answer::Record(record)) => record,
            other => panic!("no record: {other:?}"),
        }
    }

    /// The text of a field; `None` where it is not in the answer.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.record().fields.iter().find(|f| f.name == name).map(|f| f.value.as_str())
    }

    /// Why nothing was found.
    pub fn absence(&self) -> &Absence {
        match &self.payload.answer {
            Some(Answer::Absence(absence)) => absence,
            other => panic!("no absence: {other:?}"),
        }
    }

    /// The answer to a match.
    pub fn matched(&self) -> &MatchAnswer {
        match &self.payload.answer {
            Some(Answer::Match(answer)) => answer,
            other => panic!("no match: {other:?}"),
        }
    }

    /// The answer to a derived fact.
    pub fn derived(&self) -> &DeriveAnswer {
        match &self.payload.answer {
            Some(Answer::Derive(answer)) => answer,
            other => panic!("no derived fact: {other:?}"),
        }
    }

    /// A change that took effect.
    pub fn change(&self) -> &Change {
        assert_eq!(self.outcome(), Outcome::Done);
        match &self.payload.answer {
            Some(Answer::Change(change)) => change,
            other => panic!("no change: {other:?}"),
        }
    }
}

/// `google.rpc.Status`, to read a detail of the hub's own.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The reason in a status, with everything a status must carry beside it.
pub fn reason(status: &Status) -> Reason {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    let reason = Reason::from_name(&info.reason).unwrap();
    assert_eq!((info.domain.as_str(), status.code() as i32), ("wuku", reason.code()), "{status:?}");
    let said = status.get_details_localized_message().unwrap();
    assert!(said.locale == "zh-CN" && said.message.starts_with(reason.text_zh()), "{said:?}");
    assert!(status.message().starts_with(reason.text_en()), "{status:?}");
    reason
}

/// The reason a call failed with.
pub fn failed<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    reason(&result.unwrap_err())
}

/// The fields a malformed request was blamed for.
pub fn blamed(status: &Status) -> BTreeSet<String> {
    let blamed = status.get_details_bad_request().map(|bad| bad.field_violations);
    blamed.into_iter().flatten().map(|v| v.field).collect()
}

/// So many random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A fresh request id.
pub fn request_id() -> String {
    let bytes: [u8; 16] = random();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Handling a case of the item that all test grants name.
pub fn handling() -> Purpose {
    Purpose {
        kind: PurposeKind::Handling as i32,
        item: crate::world::ITEM.into(),
        reference: "TT-2026-000001".into(),
        use_cause: "办理食品经营许可".into(),
    }
}

/// Running the hub.
pub fn administration() -> Purpose {
    let use_cause = "目录维护".into();
    Purpose { kind: PurposeKind::Administration as i32, use_cause, ..Purpose::default() }
}

/// Nonce, purpose, operator.
pub fn context() -> Context {
    Context {
        nonce: Bytes::copy_from_slice(&random::<16>()),
        purpose: Some(handling()),
        operator: Some(Operator { id: "window-7".into(), window: "7".into() }),
        ..Context::default()
    }
}

/// Asks for these fields of a licence.
pub fn licence(id: &str, fields: &[&str]) -> LookUpQuestion {
    by_key(Key::LicenceId(id.to_owned()), fields)
}

/// Asks for these fields of a person.
pub fn person(code: &str, fields: &[&str]) -> LookUpQuestion {
    by_key(Key::Person(citizen(code)), fields)
}

/// Asks for these fields of the record under a key.
pub fn by_key(key: Key, fields: &[&str]) -> LookUpQuestion {
    LookUpQuestion {
        context: Some(context()),
        key: Some(RecordKey { key: Some(key) }),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..LookUpQuestion::default()
    }
}

/// A citizen ID.
pub fn citizen(code: &str) -> HolderCode {
    HolderCode { code_type: "111".into(), code: code.into() }
}

/// A day.
pub fn date(year: i32, month: i32, day: i32) -> Date {
    Date { year, month, day }
}
