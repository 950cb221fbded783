//! A seal on an answer of the hub: what exactly it is over, and whether it is on this one.
use super::chain::Anchors;
use super::judge::{self, Grounds, SignatureReport};
use super::step::{Profile, Step};
use crate::receipt::statement::PAYLOAD_NAME;

/// What a seal on an answer is over: `"wuku/payload/v1" ‖ 0x00 ‖ message name ‖ 0x00 ‖ payload`. Its SM3 is the dataHash, and in the `sm2`
/// suite the payload's digest.
#[must_use]
pub fn document(payload: &[u8]) -> Vec<u8> {
    [b"wuku/payload/v1\0", PAYLOAD_NAME.as_bytes(), b"\0", payload].concat()
}

/// What a seal on an answer says it protects (propertyInfo): the payload's message name, and its digest as the statement has it.
#[must_use]
pub fn property(payload_digest: &[u8]) -> String {
    let hex: String = payload_digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("wuku:payload/v1;name={PAYLOAD_NAME};digest={hex}")
}

/// What was found out about the seal on an answer.
#[derive(Clone, Debug)]
pub struct SealedAnswer {
    /// Every step.
    pub report: SignatureReport,
    /// The rules it was judged by.
    pub profile: Profile,
    /// The steps that make it not valid; none: valid, and over this answer.
    pub reasons: Vec<Step>,
}

/// Judges the seal beside an answer: `signature` is the SES_Signature, `payload_digest` the statement's.
#[must_use]
pub fn check(
    signature: &[u8],
    payload: &[u8],
    payload_digest: &[u8],
    profile: Profile,
    anchors: &Anchors,
    now_s: u64,
) -> SealedAnswer {
    let grounds = Grounds { anchors, now_s, issuer: None };
    let report = judge::signature(signature, &document(payload), Some(&property(payload_digest)), grounds);
    let mut reasons = profile.reasons(&report.findings);
    // A plain signature over the same bytes is no seal.
    if report.seal.is_none() && reasons.is_empty() {
        reasons.push(Step::SealSignature);
    }
    SealedAnswer { report, profile, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gm::sm3;
    use crate::log::{Ed25519, Sm2};
    use crate::receipt::statement::payload_digest;

    #[test]
    fn what_a_seal_is_over_is_the_payloads_digest_in_the_sm2_suite_whatever_the_logs_suite_is() {
        let sealed = sm3(&[&document(b"payload")]);
        assert_eq!(sealed, payload_digest::<Sm2>(PAYLOAD_NAME, b"payload"));
        assert_ne!(sealed, payload_digest::<Ed25519>(PAYLOAD_NAME, b"payload"));
        let named = property(&sealed);
        assert!(named.is_ascii() && named.ends_with(&sealed.map(|byte| format!("{byte:02x}")).concat()), "{named}");
    }
}
