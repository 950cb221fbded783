//! The one verifier: is this evidence good?
//!
//! Keys and origin come from the verifier's own [`Trust`], never from the receipt. Sizes and lengths are checked first; every value
//! is taken from one place, the one that is authenticated; what is echoed must match. Good means "true then": whether it is
//! still so is another question to the hub.

use std::fmt;

use super::evidence;
use super::question::{self, Echo};
use super::statement::{self, BLIND_BYTES, PAYLOAD_NAME, payload_digest};
use super::trust::{KeyState, TrustedLog};
use super::{Evidence, Kind, Outcome, Receipt, Statement, Trust, canonical};
use crate::limits::NONCE_BYTES;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::entry::{SALT_BYTES, commitment, statement_entry};
use crate::log::merkle::{HASH_BYTES, ProofError, leaf_hash, root_from_inclusion};
use crate::log::{Hash, Suite, in_suite};
use crate::wire::proto::exchange::v1::{Payload, payload::Answer};

/// How far a verifier's clock may be behind the hub's, seconds.
const CLOCK_SKEW_S_MAX: u64 = 300;
/// How far apart judging and deciding may lie, milliseconds. Deadlines are far shorter.
const VALID_AT_MS_MAX: u64 = 60_000;

/// What the verifier knows beside evidence and trust file. Everything left out is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Now, Unix seconds: gives the age, and refuses entries from the future.
    pub now_s: Option<u64>,
    /// Oldest entry that is still good, seconds. Needs `now_s`.
    pub max_age_s: Option<u64>,
    /// The nonce of the question that the verifier asked (for a change: its request id).
    pub nonce: Option<&'a [u8]>,
    /// The question that the verifier asked, as sent.
    pub question: Option<&'a [u8]>,
}

/// What was found. Where `good` is false, the rest is what the evidence claims, for a person to look into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// True only where every step held.
    pub good: bool,
    /// The first step that failed.
    pub failed_step: Option<Step>,
    /// What exactly, where there is more to say than the step does.
    pub detail: &'static str,
    /// Origin of the log.
    pub origin: String,
    /// Leaf index of the entry.
    pub index: u64,
    /// Size of the checkpoint.
    pub size: u64,
    /// Time of the entry, Unix seconds.
    pub time_s: u64,
    /// Age of the entry, seconds, where the verifier said what time it is.
    pub age_s: Option<u64>,
    /// The statement.
    pub statement: Option<Statement>,
    /// The payload.
    pub payload: Option<Payload>,
}

macro_rules! steps {
    ($($(#[$doc:meta])* $variant:ident $name:literal $zh:literal $en:literal;)*) => {
        /// A step of the verifier. The names are part of the contract and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])* $variant,)* }

        impl Step {
            /// All steps, in the order they are taken.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];
            /// Its name, UPPER_SNAKE_CASE.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            /// What is wrong when it fails, in Chinese.
            #[must_use]
            pub const fn text_zh(self) -> &'static str { match self { $(Self::$variant => $zh,)* } }
            /// What is wrong when it fails, in English.
            #[must_use]
            pub const fn text_en(self) -> &'static str { match self { $(Self::$variant => $en,)* } }
        }
    };
}

steps! {
    /// The file is canonical JSON of an evidence.
    Readable "READABLE" "文件不是规范格式的证据。" "The file is not evidence in its one form.";
    /// Receipt, salt and path are there and have lengths they can have.
    ReceiptForm "RECEIPT_FORM" "回执缺项或长度不对。" "Part of the receipt is missing or has a wrong length.";
    /// The checkpoint is a note with one line, and rebuilds to the same bytes.
    CheckpointForm "CHECKPOINT_FORM" "检查点不是恰有一行签名的规范格式。" "The checkpoint is not in its one form with exactly one signature line.";
    /// The trust file has a log of that origin.
    OriginTrusted "ORIGIN_TRUSTED" "信任文件中没有这一日志。" "The trust file has no such log.";
    /// The trust file has the key that the signature line names.
    KeyTrusted "KEY_TRUSTED" "信任文件中没有签名所用的密钥。" "The trust file does not have the signing key.";
    /// The key is in nobody else's hands.
    KeyNotCompromised "KEY_NOT_COMPROMISED" "签名密钥已泄露，须换用现用密钥的检查点。" "The signing key is compromised; refresh the evidence under a live key.";
    /// The key signs for that size.
    KeyCoversSize "KEY_COVERS_SIZE" "签名密钥不适用于该日志规模。" "The key does not sign for a log of that size.";
    /// The signature is good.
    Signature "SIGNATURE" "检查点签名不成立。" "The checkpoint's signature does not verify.";
    /// The leaf index is below the size.
    IndexInTree "INDEX_IN_TREE" "叶序号不在日志之内。" "The leaf index is not inside the log.";
    /// The path is exactly as long as index and size prescribe.
    PathLength "PATH_LENGTH" "包含路径长度不对。" "The inclusion path has the wrong length.";
    /// The rebuilt entry and the path lead to the signed root.
    Root "ROOT" "陈述不在日志中：重算的根与签名的根不同。" "The statement is not in the log: the rebuilt root is not the signed one.";
    /// The statement is canonical and keeps the rules of statements.
    StatementForm "STATEMENT_FORM" "陈述不合规范。" "The statement breaks a rule.";
    /// The statement's hub is the trust file's and the origin's.
    Hub "HUB" "陈述出自另一枢纽。" "The statement is another hub's.";
    /// The decision is not later than the entry.
    DecidedBeforeEntry "DECIDED_BEFORE_ENTRY" "决定时间晚于入链时间。" "The decision is later than its entry.";
    /// The position decided from is not after the entry itself.
    PositionBeforeEntry "POSITION_BEFORE_ENTRY" "所依据的日志位置在本条之后。" "The position decided from lies after the entry itself.";
    /// The log was open then.
    LogOpen "LOG_OPEN" "入链时间晚于日志关闭时间。" "The entry is later than the closing of its log.";
    /// The payload's message name is the statement's and known.
    PayloadName "PAYLOAD_NAME" "载荷类型与陈述不符。" "The payload's type is not the statement's.";
    /// The payload's digest is the statement's.
    PayloadDigest "PAYLOAD_DIGEST" "载荷与陈述中的摘要不符。" "The payload does not have the digest stated.";
    /// The payload is canonical and keeps the rules of payloads.
    PayloadForm "PAYLOAD_FORM" "载荷不合规范。" "The payload breaks a rule.";
    /// Payload and statement have one outcome, and the answer fits it.
    Outcome "OUTCOME" "载荷与陈述的结果不一致。" "Payload and statement do not agree on the outcome.";
    /// The instant judged at and the decision lie together.
    ValidAt "VALID_AT" "判断时刻与决定时间不符。" "The instant judged at does not fit the time of the decision.";
    /// The question is canonical, of the statement's kind, with a nonce of 16 to 64 bytes.
    QuestionForm "QUESTION_FORM" "问题不合规范或与业务类别不符。" "The question breaks a rule or is of another kind.";
    /// Purpose and operator of the statement are the question's.
    QuestionEcho "QUESTION_ECHO" "陈述的用途或经办人与问题不一致。" "Purpose or operator of the statement are not the question's.";
    /// The nonce is the one the verifier sent.
    Nonce "NONCE" "不是对本次提问的答复：随机数不符。" "Not the answer to your question: another nonce.";
    /// The question is the one the verifier sent.
    Question "QUESTION" "不是对本次提问的答复：问题不符。" "Not the answer to your question: another question.";
    /// The entry is not from the future.
    NotFromFuture "NOT_FROM_FUTURE" "入链时间晚于现在。" "The entry's time is still to come.";
    /// The entry is not older than the verifier wants.
    MaxAge "MAX_AGE" "证据超过所要求的时限。" "The evidence is older than asked for.";
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a step fails, with what exactly.
type Checked<T> = Result<T, (Step, &'static str)>;

/// Verifies an evidence file. Never panics, whatever the bytes.
#[must_use]
pub fn verify(evidence_json: &[u8], trust: &Trust, options: &Options<'_>) -> Verdict {
    match evidence::from_json(evidence_json) {
        Ok(evidence) => verify_message(&evidence, trust, options),
        Err(_) => Verdict { failed_step: Some(Step::Readable), ..Verdict::default() },
    }
}

/// Verifies evidence that a client has in hand as a message: payload and receipt of an answer.
#[must_use]
pub fn verify_message(evidence: &Evidence, trust: &Trust, options: &Options<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    match steps(&mut verdict, evidence, trust, options) {
        Ok(()) => verdict.good = true,
        Err((step, detail)) => (verdict.failed_step, verdict.detail) = (Some(step), detail),
    }
    verdict
}

fn steps(verdict: &mut Verdict, evidence: &Evidence, trust: &Trust, options: &Options<'_>) -> Checked<()> {
    let receipt = evidence.receipt.as_ref().ok_or((Step::ReceiptForm, "no receipt"))?;
    (verdict.index, verdict.time_s) = (receipt.leaf_index, receipt.time_s);
    let salt = receipt.salt.as_ref().try_into().map_err(|_| (Step::ReceiptForm, "salt is not 32 bytes"))?;
    if receipt.path.len() % HASH_BYTES != 0 {
        return Err((Step::ReceiptForm, "path is no whole number of hashes"));
    }
    let signed = SignedCheckpoint::parse(&receipt.checkpoint).map_err(|_| (Step::CheckpointForm, ""))?;
    verdict.origin = signed.checkpoint.origin.to_string();
    verdict.size = signed.checkpoint.size;
    let log = signature(&signed, trust)?;
    let digest = in_suite!(log.suite, S => inclusion::<S>(evidence, receipt, salt, &signed)?);

    let statement = statement::parse(&receipt.statement).map_err(|error| match error {
        statement::StatementError::NotCanonical => (Step::StatementForm, "not canonical"),
        statement::StatementError::Field(rule) => (Step::StatementForm, rule),
    })?;
    verdict.statement = Some(statement.clone());
    context(&statement, receipt, log, trust)?;

    if evidence.payload_name != statement.payload_name || evidence.payload_name != PAYLOAD_NAME {
        return Err((Step::PayloadName, ""));
    }
    if statement.payload_digest != digest.as_slice() {
        return Err((Step::PayloadDigest, ""));
    }
    let payload: Payload = canonical::decode(&evidence.payload).map_err(|_| (Step::PayloadForm, "not canonical"))?;
    verdict.payload = Some(payload.clone());
    let echo = content(&payload, &statement)?;
    expectations(verdict, &payload, &echo, options)
}

/// The checkpoint is signed by a key that the trust file has for that log and size.
fn signature<'t>(signed: &SignedCheckpoint, trust: &'t Trust) -> Checked<&'t TrustedLog> {
    let checkpoint = &signed.checkpoint;
    let log = trust.log(&checkpoint.origin).ok_or((Step::OriginTrusted, ""))?;
    let trusted = log.keys.iter().find(|trusted| trusted.key.made(&signed.line)).ok_or((Step::KeyTrusted, ""))?;
    if trusted.state == KeyState::Compromised {
        return Err((Step::KeyNotCompromised, ""));
    }
    if !trusted.covers(checkpoint.size) {
        return Err((Step::KeyCoversSize, ""));
    }
    if !trusted.key.verify(checkpoint.to_text().as_bytes(), &signed.line.signature) {
        return Err((Step::Signature, ""));
    }
    Ok(log)
}

/// The rebuilt entry is in the tree. Gives the digest of the payload at hand, in the same suite.
fn inclusion<S: Suite>(
    evidence: &Evidence,
    receipt: &Receipt,
    salt: &[u8; SALT_BYTES],
    signed: &SignedCheckpoint,
) -> Checked<Hash> {
    let entry = statement_entry(receipt.time_s, &commitment::<S>(salt, &receipt.statement));
    let leaf = leaf_hash::<S>(&entry);
    let root = root_from_inclusion::<S>(&leaf, receipt.leaf_index, signed.checkpoint.size, &receipt.path).map_err(
        |error| match error {
            ProofError::OutsideTree => (Step::IndexInTree, ""),
            _ => (Step::PathLength, ""),
        },
    )?;
    if root != signed.checkpoint.root {
        return Err((Step::Root, ""));
    }
    Ok(payload_digest::<S>(&evidence.payload_name, &evidence.payload))
}

/// The statement fits the log, the entry and the trust file.
fn context(statement: &Statement, receipt: &Receipt, log: &TrustedLog, trust: &Trust) -> Checked<()> {
    if statement.hub != trust.hub.as_str() || statement.hub != log.origin.hub().as_str() {
        return Err((Step::Hub, ""));
    }
    // decided_ms ≥ (time_s + 1)·1000, without overflow.
    if statement.decided_ms / 1000 > receipt.time_s {
        return Err((Step::DecidedBeforeEntry, ""));
    }
    if statement.position > receipt.leaf_index {
        return Err((Step::PositionBeforeEntry, ""));
    }
    if log.closed_at_s.is_some_and(|closed| receipt.time_s > closed) {
        return Err((Step::LogOpen, ""));
    }
    Ok(())
}

/// The payload keeps its own rules and says what the statement says.
fn content(payload: &Payload, statement: &Statement) -> Checked<Echo> {
    if payload.format != statement::FORMAT {
        return Err((Step::PayloadForm, "format is not 1"));
    }
    if payload.blind.len() != BLIND_BYTES {
        return Err((Step::PayloadForm, "blind is not 16 bytes"));
    }
    let refused = matches!(payload.answer, Some(Answer::Refusal(_)));
    if payload.outcome != statement.outcome || refused != (payload.outcome == i32::from(Outcome::Refused)) {
        return Err((Step::Outcome, ""));
    }
    let kind = Kind::try_from(statement.kind).unwrap_or_default();
    let echo = question::read(kind, &payload.question).map_err(|_| (Step::QuestionForm, "not canonical"))?;
    if echo.is_nonce && !NONCE_BYTES.contains(&echo.nonce.len()) {
        return Err((Step::QuestionForm, "nonce is not 16 to 64 bytes"));
    }
    // Asked as of another time, the instant judged at is that time's; else it is the decision's own.
    let apart = payload.valid_at_ms.abs_diff(statement.decided_ms);
    if payload.valid_at_ms == 0 || (echo.as_of.is_none() && apart > VALID_AT_MS_MAX) {
        return Err((Step::ValidAt, ""));
    }
    if echo.purpose != statement.purpose || echo.operator != statement.operator {
        return Err((Step::QuestionEcho, ""));
    }
    Ok(echo)
}

/// What only the verifier knows: what it asked, and what time it is.
fn expectations(verdict: &mut Verdict, payload: &Payload, echo: &Echo, options: &Options<'_>) -> Checked<()> {
    if options.nonce.is_some_and(|nonce| nonce != echo.nonce) {
        return Err((Step::Nonce, ""));
    }
    if options.question.is_some_and(|question| question != payload.question) {
        return Err((Step::Question, ""));
    }
    let Some(now_s) = options.now_s else {
        return if options.max_age_s.is_none() { Ok(()) } else { Err((Step::MaxAge, "the time now is not known")) };
    };
    let age_s = now_s.saturating_sub(verdict.time_s);
    verdict.age_s = Some(age_s);
    if verdict.time_s.saturating_sub(now_s) > CLOCK_SKEW_S_MAX {
        return Err((Step::NotFromFuture, ""));
    }
    if options.max_age_s.is_some_and(|max| age_s > max) {
        return Err((Step::MaxAge, ""));
    }
    Ok(())
}
