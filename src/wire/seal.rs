//! The question who used a seal, from its bytes.
use super::proto::seal::v1::SealUseListQuestion;
use super::question::{Faults, check_operator, nonce, purpose_of_question, seal_id};
use crate::failure::Failure;
use crate::receipt::canonical;
use crate::receipt::seal_uses::SealUsesAsked;
use bytes::Bytes;

const LIMIT_MAX: u32 = 200;
const LIMIT_DEFAULT: usize = 50;

/// What the question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looking {
    /// Back, from the newest on.
    Back,
    /// Ahead, as uses happen.
    Ahead,
}

/// Reads a question about the uses of a seal: canonical bytes, a nonce, a purpose, one direction.
///
/// # Errors
/// REQUEST_MALFORMED with every fault.
pub fn uses(bytes: Bytes, looking: Looking) -> Result<SealUsesAsked, Failure> {
    let q: SealUseListQuestion = canonical::decode(&bytes).map_err(|_| {
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
    let operator = q.operator.unwrap_or_default();
    check_operator("operator", &operator, &mut faults);
    seal_id("seal_id", &q.seal_id, &mut faults);
    match looking {
        Looking::Back if q.from_index > 0 => {
            faults.add("from_index", "只用于订阅。", "For watching only.");
        }
        Looking::Ahead if q.before_index > 0 => {
            faults.add("before_index", "不用于订阅。", "Not for watching.");
        }
        Looking::Back | Looking::Ahead => {}
    }
    let limit = match q.limit {
        0 => LIMIT_DEFAULT,
        n if n <= LIMIT_MAX => usize::try_from(n).unwrap_or(LIMIT_DEFAULT),
        _ => {
            faults.add("limit", "至多 200。", "At most 200.");
            LIMIT_DEFAULT
        }
    };
    let before = (q.before_index > 0).then_some(q.before_index);
    let (seal_id, from) = (q.seal_id, q.from_index);
    faults.finish(Some(SealUsesAsked { bytes, purpose, operator, seal_id, before, from, limit }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::receipt::v1::{Purpose, PurposeKind};
    use prost::Message;

    #[test]
    fn a_good_question_is_read_and_each_fault_is_named() {
        let purpose = Purpose { kind: PurposeKind::Audit.into(), use_cause: "check".into(), ..Purpose::default() };
        let good = SealUseListQuestion {
            nonce: Bytes::from_static(&[7; 16]),
            purpose: Some(purpose),
            seal_id: "33109900000001".into(),
            ..SealUseListQuestion::default()
        };
        let asked = uses(good.encode_to_vec().into(), Looking::Back).unwrap();
        assert_eq!((asked.limit, asked.before, asked.from), (50, None, 0));
        let faults: [(&str, Looking, fn(&mut SealUseListQuestion)); 6] = [
            ("nonce", Looking::Back, |q| q.nonce = Bytes::new()),
            ("purpose.kind", Looking::Back, |q| q.purpose = None),
            ("seal_id", Looking::Ahead, |q| q.seal_id = "印".into()),
            ("limit", Looking::Ahead, |q| q.limit = 201),
            ("from_index", Looking::Back, |q| q.from_index = 1),
            ("before_index", Looking::Ahead, |q| q.before_index = 1),
        ];
        for (field, looking, break_it) in faults {
            let mut question = good.clone();
            break_it(&mut question);
            let failure = uses(question.encode_to_vec().into(), looking).unwrap_err();
            assert!(failure.fields.iter().any(|fault| fault.field == field), "{field}: {failure}");
        }
    }
}
