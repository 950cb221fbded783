//! The question who looked at a subject, from its bytes.
use super::proto::receipt::v1::{AccessQuestion, PurposeKind};
use super::question::{Faults, check_operator, nonce, purpose_of_question};
use crate::failure::Failure;
use crate::library::codes::{HolderCode, LicenceId};
use crate::library::question::Subject;
use crate::receipt::access::AccessAsked;
use crate::receipt::canonical;
use bytes::Bytes;

const LIMIT_MAX: u32 = 200;
const LIMIT_DEFAULT: usize = 50;
const CODE_CHARS_MAX: usize = 128;
/// Subjects that are no holders and have no code with a check of its own.
const PLAIN_TYPES: [&str; 6] = ["feature", "credit", "grant", "system", "resource", "seal"];

/// Reads an access question: canonical bytes, a nonce, a purpose of kind audit or correction, a canonical subject.
///
/// # Errors
/// REQUEST_MALFORMED with every fault.
pub fn accesses(bytes: Bytes) -> Result<AccessAsked, Failure> {
    let q: AccessQuestion = canonical::decode(&bytes).map_err(|_| {
        Failure::field(
            "question",
            "问题不是规范编码的消息（字段须按编号升序，不含默认值和未知字段）。",
            "The question is no canonical message: fields ascending, no defaults, nothing unknown.",
        )
    })?;
    let mut faults = Faults::default();
    nonce("nonce", &q.nonce, &mut faults);
    let purpose = q.purpose.unwrap_or_default();
    purpose_of_question("purpose", &purpose, &mut faults);
    if !matches!(purpose.kind(), PurposeKind::Audit | PurposeKind::Correction | PurposeKind::Unspecified) {
        faults.add("purpose.kind", "用途须为审计或数据纠错。", "The purpose must be AUDIT or CORRECTION.");
    }
    let operator = q.operator.unwrap_or_default();
    check_operator("operator", &operator, &mut faults);
    let subject = subject(q.subject_type, q.subject_code, &mut faults);
    let limit = match q.limit {
        0 => LIMIT_DEFAULT,
        n if n <= LIMIT_MAX => usize::try_from(n).unwrap_or(LIMIT_DEFAULT),
        _ => {
            faults.add("limit", "至多 200。", "At most 200.");
            LIMIT_DEFAULT
        }
    };
    let before = (q.before_index > 0).then_some(q.before_index);
    faults.finish(subject.map(|subject| AccessAsked { bytes, purpose, operator, subject, before, limit }))
}

fn subject(code_type: String, code: String, faults: &mut Faults) -> Option<Subject> {
    let field = "subject_code";
    let wrong = if code_type == "licence" {
        match LicenceId::parse_lenient(&code) {
            Ok((id, _)) if id.to_string() == code => None,
            Ok((id, _)) => Some((format!("应写作 {id}。"), format!("Is written {id}."))),
            Err(fault) => Some((fault.zh(), fault.en())),
        }
    } else if PLAIN_TYPES.contains(&code_type.as_str()) {
        let sane = (1..=CODE_CHARS_MAX).contains(&code.chars().count());
        (!sane).then(|| ("应为 1 至 128 个字符。".into(), "Has 1 to 128 characters.".into()))
    } else {
        HolderCode::parse_canonical(&code_type, &code).err().map(|fault| (fault.zh(), fault.en()))
    };
    match wrong {
        None => Some(Subject::new(code_type, code)),
        Some((zh, en)) => {
            faults.add(field, zh, en);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;
    use crate::wire::proto::receipt::v1::Purpose;
    use prost::Message;

    fn good() -> AccessQuestion {
        let purpose = Purpose { kind: PurposeKind::Audit.into(), use_cause: "complaint".into(), ..Purpose::default() };
        AccessQuestion {
            nonce: Bytes::from_static(&[7; 16]),
            purpose: Some(purpose),
            subject_type: "system".into(),
            subject_code: "wuku://hub/police/population".into(),
            ..AccessQuestion::default()
        }
    }

    #[test]
    fn a_good_question_is_read_and_each_fault_is_named() {
        let bytes = Bytes::from(good().encode_to_vec());
        let asked = accesses(bytes.clone()).unwrap();
        assert_eq!((asked.limit, asked.before, asked.bytes), (50, None, bytes.clone()));
        let faults: [(&str, fn(&mut AccessQuestion)); 7] = [
            ("nonce", |q| q.nonce = Bytes::from_static(&[7; 15])),
            ("purpose.kind", |q| q.purpose.as_mut().unwrap().kind = PurposeKind::Supervision.into()),
            ("purpose.kind", |q| q.purpose = None),
            ("limit", |q| q.limit = 201),
            ("subject_code", |q| q.subject_code.clear()),
            ("subject_code", |q| q.subject_type = "111".into()),
            ("subject_code", |q| q.subject_type = "nothing".into()),
        ];
        for (field, break_it) in faults {
            let mut question = good();
            break_it(&mut question);
            let failure = accesses(question.encode_to_vec().into()).unwrap_err();
            assert_eq!(failure.reason, Reason::RequestMalformed);
            assert!(failure.fields.iter().any(|fault| fault.field == field), "{field}: {failure}");
        }
        let twice = [bytes.as_ref(), bytes.as_ref()].concat();
        assert_eq!(accesses(twice.into()).unwrap_err().fields[0].field, "question");
    }
}
