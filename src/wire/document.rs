//! Papers: the question from its bytes, and a report as the message that carries it.
use super::proto::document::v1::{
    Check, DocumentFault, DocumentQuestion, DocumentSignature, DocumentStep, DocumentVerdict,
};
use super::question::{Faults, check_operator, nonce, purpose_of_question};
use crate::failure::{Failure, Reason};
use crate::library::document::DocumentAsked;
use crate::paper::container::LIMITS;
use crate::paper::report::Report;
use crate::receipt::canonical;
use crate::seal::step::Profile;
use bytes::Bytes;
use serde_json::Value;

/// Reads a question about a paper: canonical bytes, a nonce, a purpose, the file's hash and length.
///
/// # Errors
/// REQUEST_MALFORMED with every fault; DOCUMENT_TOO_LARGE before a byte of the file is taken in.
pub fn document(bytes: Bytes, usual: Profile) -> Result<DocumentAsked, Failure> {
    let q: DocumentQuestion = canonical::decode(&bytes).map_err(|_| {
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
    let file_sm3 = <[u8; 32]>::try_from(q.file_sm3.as_ref()).ok();
    if file_sm3.is_none() {
        faults.add("file_sm3", "应为文件的 SM3 摘要，32 字节。", "Is the file's SM3, 32 bytes.");
    }
    let profile = if q.profile.is_empty() { Ok(usual) } else { Profile::parse(&q.profile) };
    let profile = profile.map_err(|names| faults.add("profile", "没有这种核验规则。", names)).ok();
    let file_bytes = usize::try_from(q.file_bytes).unwrap_or(usize::MAX);
    if file_bytes == 0 {
        faults.add("file_bytes", "文件是空的。", "The file is empty.");
    }
    let asked = file_sm3.zip(profile).map(|(file_sm3, profile)| DocumentAsked {
        bytes,
        purpose,
        operator,
        file_sm3,
        file_bytes,
        profile,
    });
    let asked = faults.finish(asked)?;
    if asked.file_bytes > LIMITS.file_bytes {
        return Err(Failure::new(Reason::DocumentTooLarge));
    }
    Ok(asked)
}

/// A report as its message: field by field the JSON that `wuku document verify --json` prints, so that there is one list of them.
#[must_use]
pub fn verdict(report: &Report, file_sm3: &[u8; 32]) -> DocumentVerdict {
    let json = &report.json;
    DocumentVerdict {
        verdict: text(json, "verdict"),
        words: report.words.0.clone(),
        words_en: report.words.1.clone(),
        kind: text(json, "kind"),
        sm3: Bytes::copy_from_slice(file_sm3),
        profile: text(json, "profile"),
        anchored: report.trusted,
        reason: text(json, "reason"),
        detail: text(json, "detail"),
        faults: each(json, "faults")
            .map(|fault| DocumentFault { fault: text(fault, "fault"), detail: text(fault, "detail") })
            .collect(),
        uncovered: texts(json, "uncovered"),
        signatures: each(json, "signatures").map(signature).collect(),
        licence: None,
    }
}

fn signature(json: &Value) -> DocumentSignature {
    DocumentSignature {
        id: text(json, "id"),
        r#type: text(json, "type"),
        container: text(json, "container"),
        references_ok: json
            .get("references_ok")
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default(),
        references_bad: texts(json, "references_bad"),
        uncovered: texts(json, "uncovered"),
        data_hash: text(json, "data_hash"),
        signature: text(json, "signature"),
        seal_signature: text(json, "seal_signature"),
        seal_file: text(json, "seal_file"),
        signer_in_list: check(json, "signer_in_list"),
        signer_valid_at_signing: check(json, "signer_valid_at_signing"),
        seal_valid_at_signing: check(json, "seal_valid_at_signing"),
        maker_valid_at_creation: check(json, "maker_valid_at_creation"),
        maker_valid_at_signing: check(json, "maker_valid_at_signing"),
        signed_at: text(json, "signed_at"),
        seal_name: text(json, "seal_name"),
        steps: each(json, "steps")
            .map(|step| DocumentStep {
                step: text(step, "step"),
                outcome: text(step, "outcome"),
                detail: text(step, "detail"),
            })
            .collect(),
        verdict: text(json, "verdict"),
        reasons: texts(json, "reasons"),
        seal_id: text(json, "seal_id"),
        signer: text(json, "signer"),
        signer_uscc: text(json, "signer_uscc"),
        seal_owner: 0,
    }
}

fn text(json: &Value, field: &str) -> String {
    json.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn each<'a>(json: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    json.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn texts(json: &Value, field: &str) -> Vec<String> {
    each(json, field).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn check(json: &Value, field: &str) -> i32 {
    match json.get(field).and_then(Value::as_bool) {
        None => Check::Unspecified.into(),
        Some(true) => Check::Yes.into(),
        Some(false) => Check::No.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::chain::Anchors;
    use crate::seal::judge::Grounds;
    use crate::wire::proto::receipt::v1::{Purpose, PurposeKind};
    use prost::Message;

    const SIGNED: &[u8] = include_bytes!("../../tests/samples/ofd/relative-paths-ofdxml-uncovered.ofd");

    fn question() -> DocumentQuestion {
        DocumentQuestion {
            nonce: Bytes::from_static(&[7; 16]),
            purpose: Some(Purpose { kind: PurposeKind::Audit.into(), use_cause: "x".into(), ..Purpose::default() }),
            file_sm3: Bytes::from_static(&[1; 32]),
            file_bytes: 5,
            ..DocumentQuestion::default()
        }
    }

    fn read(question: &DocumentQuestion) -> Result<DocumentAsked, Failure> {
        document(question.encode_to_vec().into(), Profile::Gbt2020)
    }

    #[test]
    fn a_question_names_the_file_and_every_fault_of_it_is_said_at_once() {
        assert_eq!(read(&question()).unwrap().profile, Profile::Gbt2020);
        let strict = DocumentQuestion { profile: "strict-2025".into(), ..question() };
        assert_eq!(read(&strict).unwrap().profile, Profile::Strict2025);
        let wrong = DocumentQuestion { profile: "any".into(), purpose: None, ..DocumentQuestion::default() };
        let fields: Vec<String> = read(&wrong).unwrap_err().fields.into_iter().map(|fault| fault.field).collect();
        for field in ["nonce", "purpose.kind", "file_sm3", "profile", "file_bytes"] {
            assert!(fields.iter().any(|found| found == field), "{field}: {fields:?}");
        }
        let large = DocumentQuestion { file_bytes: 20 * 1024 * 1024 + 1, ..question() };
        assert_eq!(read(&large).unwrap_err().reason, Reason::DocumentTooLarge);
        assert!(document(Bytes::from_static(b"\x08\x01"), Profile::Gbt2020).is_err());
    }

    #[test]
    fn every_field_of_a_report_is_in_its_message() {
        let grounds = Grounds { anchors: &Anchors::default(), now_s: 1_795_305_600, issuer: None };
        let report = crate::paper::report::of_file(SIGNED, Profile::Gbt2020, grounds);
        let said = verdict(&report, &[3; 32]);
        assert_eq!((said.verdict.as_str(), said.kind.as_str(), said.anchored), ("valid-but-uncovered", "ofd", false));
        assert_eq!(said.uncovered, ["OFD.xml"]);
        let [one] = said.signatures.as_slice() else { panic!("{said:?}") };
        assert_eq!((one.references_ok, one.signer_in_list(), one.seal_file.as_str()), (20, Check::Yes, "absent"));
        assert_eq!(one.signed_at, "2020-08-17T11:13:29Z");
        assert!(one.steps.len() > 15 && one.steps.iter().all(|step| !step.outcome.is_empty()));
        // Whatever the JSON names and the message has a field for is there.
        for (name, value) in report.json["signatures"][0].as_object().unwrap() {
            if let (Some(text), true) = (value.as_str(), name != "trust" && name != "encoding" && name != "maker") {
                assert!(format!("{one:?}").contains(text), "{name}: {text}");
            }
        }
    }
}
