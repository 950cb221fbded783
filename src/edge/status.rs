//! The one place where what stopped a request becomes a gRPC status.
//!
//! Every status carries `google.rpc.ErrorInfo{reason, domain "wuku"}`; malformed requests name each field; what can be tried again
//! says when; a refusal by policy carries its recorded payload and receipt. What happened inside never crosses.
use super::stack::RequestId;
use crate::failure::{Failure, Fault, Reason};
use crate::receipt::recorder::{Recorded, RecordedItem};
use crate::wire::proto::exchange::v1::{Payload, RecordedItem as Item, payload::Answer};
use crate::wire::proto::receipt::v1::Outcome;
use bytes::Bytes;
use prost::Message;
use std::collections::HashMap;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of every reason.
pub const DOMAIN: &str = "wuku";

/// `google.rpc.Status`, to add a detail of our own to those of tonic-types.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The status of a failure. Logged here, where it is handled: what is the hub's fault as an error, all else as information.
pub fn to_status(failure: &Failure, request: Option<&RequestId>) -> Status {
    let id = request.map_or("", |RequestId(id)| id);
    match failure.reason.fault() {
        Fault::Hub => tracing::error!(request = id, reason = failure.reason.name(), inside = ?failure.inside, "failed"),
        _ => tracing::info!(request = id, reason = failure.reason.name(), inside = ?failure.inside, "refused"),
    }
    unlogged(failure, request)
}

/// The status of a failure that the access log alone tells of: under overload there must be no second line a call.
pub fn unlogged(failure: &Failure, request: Option<&RequestId>) -> Status {
    let details = details(failure, request.map_or("", |RequestId(id)| id));
    let mut status = Status::with_error_details(Code::from_i32(failure.reason.code()), text(failure.reason), details);
    if let Some(delay) = failure.retry_after {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert("grpc-retry-pushback-ms", ms.into());
    }
    status
}

/// The single recorded answer, or the status of the refusal that was recorded.
///
/// # Errors
/// PERMISSION_DENIED with payload and receipt in the details.
pub fn answered(recorded: &Recorded, request: Option<&RequestId>) -> Result<RecordedItem, Status> {
    let item = recorded.single().map_err(|failure| to_status(&failure, request))?;
    if item.outcome() == Outcome::Refused { Err(refused(item, request)) } else { Ok(item.clone()) }
}

fn refused(item: &RecordedItem, request: Option<&RequestId>) -> Status {
    let reason = Payload::decode(item.payload().clone()).ok().and_then(|payload| match payload.answer {
        Some(Answer::Refusal(refusal)) => Reason::from_name(&refusal.reason),
        _ => None,
    });
    let reason = reason.unwrap_or(Reason::PurposeNotGranted);
    let id = request.map_or("", |RequestId(id)| id);
    let base = Status::with_error_details(Code::PermissionDenied, text(reason), details(&reason.into(), id));
    let Ok(mut whole) = RpcStatus::decode(base.details()) else { return base };
    let proof = Item { payload: item.payload().clone(), receipt: Some(item.receipt().clone()), seal: None };
    whole.details.push(prost_types::Any {
        type_url: format!("type.googleapis.com/{}.{}", "wuku.exchange.v1", "RecordedItem"),
        value: proof.encode_to_vec(),
    });
    Status::with_details(Code::PermissionDenied, text(reason), Bytes::from(whole.encode_to_vec()))
}

fn details(failure: &Failure, request_id: &str) -> ErrorDetails {
    let mut details = ErrorDetails::with_error_info(failure.reason.name(), DOMAIN, HashMap::new());
    if !failure.fields.is_empty() {
        let violation =
            |f: &crate::failure::FieldFault| FieldViolation::new(&f.field, format!("{} / {}", f.text_zh, f.text_en));
        details.set_bad_request(failure.fields.iter().map(violation).collect::<Vec<_>>());
    }
    if let Some(delay) = failure.retry_after {
        details.set_retry_info(Some(delay));
    }
    if !request_id.is_empty() {
        details.set_request_info(request_id, "");
    }
    let reason = failure.reason;
    details.set_localized_message("zh-CN", format!("{}{}", reason.text_zh(), reason.remedy_zh()));
    details
}

fn text(reason: Reason) -> String {
    format!("{} {}", reason.text_en(), reason.remedy_en())
}

/// The request's own name, where the stack gave it one.
pub fn request_of<T>(request: &Request<T>) -> Option<RequestId> {
    request.extensions().get::<RequestId>().cloned()
}
