//! Changes from their requests: the request id is there, purpose and operator are sane, the recorded question holds digests.
use super::proto::exchange::v1::ChangeQuestion;
use super::proto::receipt::v1::{Kind, Operator, Purpose};
use super::question::{Faults, check_operator, check_purpose};
use crate::failure::{Failure, Reason};
use crate::library::transition::Ordered;
use crate::log::SuiteName;
use bytes::Bytes;
use prost::Message;

const REQUEST_ID_CHARS_MAX: usize = 64;

/// Whether a change may go on under this request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatable {
    /// A change: the id is required.
    Required,
    /// Nothing is changed: no id.
    None,
}

/// What a change's statement repeats of its request; the parts as digests of the log's suite.
///
/// # Errors
/// REQUEST_ID_MISSING, REQUEST_MALFORMED.
pub fn ordered(
    suite: SuiteName,
    kind: Kind,
    request_id: &str,
    repeatable: Repeatable,
    purpose: Option<&Purpose>,
    operator: Option<&Operator>,
    parts: &[&[u8]],
) -> Result<Ordered, Failure> {
    if repeatable == Repeatable::Required && request_id.is_empty() {
        return Err(Failure::new(Reason::RequestIdMissing));
    }
    let mut faults = Faults::default();
    request_id_is_sane(request_id, &mut faults);
    let purpose = purpose.filter(|p| **p != Purpose::default());
    let operator = operator.filter(|o| **o != Operator::default());
    if let Some(purpose) = purpose {
        check_purpose("purpose", purpose, &mut faults);
    }
    if let Some(operator) = operator {
        check_operator("operator", operator, &mut faults);
    }
    faults.finish(Some(()))?;
    let question = ChangeQuestion {
        request_id: request_id.to_owned(),
        purpose: purpose.cloned(),
        operator: operator.cloned(),
        digests: parts.iter().map(|part| Bytes::copy_from_slice(&suite.hash(&[part]))).collect(),
    };
    Ok(Ordered {
        kind,
        question: question.encode_to_vec().into(),
        purpose: purpose.cloned().unwrap_or_default(),
        operator: operator.cloned().unwrap_or_default(),
    })
}

/// At most 64 visible ASCII characters; empty is checked elsewhere.
pub fn request_id_is_sane(request_id: &str, faults: &mut Faults) {
    if request_id.len() > REQUEST_ID_CHARS_MAX || !request_id.bytes().all(|b| b.is_ascii_graphic()) {
        let zh = "请求编号应为至多 64 个可见 ASCII 字符。";
        faults.add("request_id", zh, "At most 64 visible ASCII characters.");
    }
}
