//! From a reply to what is printed: is it our answer, does its receipt hold, save it, show it.
//!
//! An answer to another question is refused even without a trust file; with one, the receipt is checked as `wuku verify` does,
//! with our own question in hand.
use super::connection::{Connection, PurposeArgs, Stop, recorded, refused, request_id, save};
use super::words;
use crate::clock::Clock;
use crate::log::VerifierKey;
use crate::log::checkpoint::SignedCheckpoint;
use crate::receipt::canonical;
use crate::receipt::question::message_name;
use crate::receipt::readable;
use crate::receipt::report::Language;
use crate::receipt::statement::PAYLOAD_NAME;
use crate::receipt::trust::{Root, Trust};
use crate::receipt::verify::{Options, Verdict, verify_message};
use crate::receipt::{Evidence, Kind, Outcome, Receipt, Statement};
use crate::wire::proto::exchange::v1::{AppliedSeal, ChangeQuestion, Payload, RecordedItem};
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tonic::Status;

/// What to do with an answer.
#[derive(Args, Clone, Debug, Default)]
pub struct AnswerArgs {
    /// Save the answer with its receipt; several answers go to FILE.1.json, FILE.2.json … (保存证据)
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Check the receipt against this trust file (信任文件)
    #[arg(long, env = "WUKU_TRUST", value_name = "TRUST_NOTE", hide_env_values = true)]
    pub trust: Option<PathBuf>,
    /// The root key as published, or the fingerprint of the trust file (根密钥或信任文件指纹)
    #[arg(long, value_name = "VKEY_OR_FINGERPRINT", requires = "trust")]
    pub root_key: Option<String>,
    /// Print JSON (以 JSON 输出)
    #[arg(long)]
    pub json: bool,
}

/// What every change takes.
#[derive(Args, Clone, Debug)]
pub struct ChangeArgs {
    /// Where the hub is.
    #[command(flatten)]
    pub connection: Connection,
    /// Why and who.
    #[command(flatten)]
    pub purpose: PurposeArgs,
    /// The id of an earlier attempt, to retry it (请求编号)
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// What to do with the acknowledgement.
    #[command(flatten)]
    pub answer: AnswerArgs,
}

impl ChangeArgs {
    /// The id of this change; see [`request_id`].
    ///
    /// # Errors
    /// As [`request_id`].
    pub fn id(&self) -> Result<String, Stop> {
        request_id(self.request_id.as_deref())
    }

    /// A refusal in words, its receipt saved.
    #[must_use]
    pub fn stopped(&self, status: &Status) -> Stop {
        refused(status, self.answer.evidence.as_deref())
    }

    /// Shows the recorded acknowledgement of the change with this id.
    ///
    /// # Errors
    /// As [`show`].
    pub fn done(&self, payload: Bytes, receipt: Option<Receipt>, id: &str, clock: &Clock) -> Result<(), Stop> {
        show(&self.answer, &[(Answered::one(payload, receipt)?, Asked::Change(id))], None, clock).map(|_| ())
    }
}

/// What the answer must be an answer to.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// This question, byte for byte; our nonce is in it.
    Question(&'a [u8]),
    /// The change with this id.
    Change(&'a str),
    /// A preparation: it has no id, its content is looked at before signing.
    Preparation,
}

/// One recorded answer, complete.
#[derive(Clone, Debug)]
pub struct Answered {
    /// A serialised `Payload`.
    pub payload: Bytes,
    /// Its receipt with its checkpoint.
    pub receipt: Receipt,
    /// The seal on it, where one was asked for.
    pub seal: Option<AppliedSeal>,
}

impl Answered {
    /// The answer of a reply with one.
    ///
    /// # Errors
    /// Where the hub left the receipt out.
    pub fn one(payload: Bytes, receipt: Option<Receipt>) -> Result<Self, Stop> {
        let receipt = receipt.ok_or_else(|| Stop::failed("the hub gave no receipt (答复没有回执)"))?;
        Ok(Self { payload, receipt, seal: None })
    }

    /// The answers of a reply with several, each with the checkpoint they share.
    ///
    /// # Errors
    /// As [`one`](Self::one).
    pub fn several(items: Vec<RecordedItem>, checkpoint: &Bytes) -> Result<Vec<Self>, Stop> {
        let one = |item: RecordedItem| {
            let mut answered = Self { seal: item.seal, ..Self::one(item.payload, item.receipt)? };
            answered.receipt.checkpoint = checkpoint.clone();
            Ok(answered)
        };
        items.into_iter().map(one).collect()
    }
}

/// An answer that is ours, opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What it says.
    pub payload: Payload,
    kind: Kind,
    index: u64,
    time_s: u64,
    size: u64,
    origin: String,
    verdict: Option<Verdict>,
}

impl Opened {
    /// Its receipt holds, or was not to be checked.
    ///
    /// # Errors
    /// The step that failed.
    pub fn must_hold(&self) -> Result<(), Stop> {
        let Some(step) = self.verdict.as_ref().and_then(|verdict| verdict.failed_step) else { return Ok(()) };
        let (zh, en) = (step.text_zh(), step.text_en());
        Err(Stop::failed(format!("回执不成立：{zh}\n  entry {}: the receipt does not hold: {en} [{step}]", self.index)))
    }
}

/// A trust file, opened.
///
/// # Errors
/// A file that cannot be read or is not believed.
pub fn open_trust(path: &Path, root_key: Option<&str>) -> Result<Trust, Stop> {
    let failed = |e: String| Stop::failed(format!("{}: {e}", path.display()));
    let note = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let opened = match root_key.map(|text| (text, VerifierKey::parse(text.trim()))) {
        None => Trust::open(&note, Root::ByHand),
        Some((_, Ok(key))) => Trust::open(&note, Root::Key(&key)),
        Some((text, Err(_))) => Trust::open(&note, Root::Fingerprint(text)),
    };
    opened.map_err(|e| failed(e.to_string()))
}

/// Is it the answer to what was asked? With a trust file: does its receipt hold?
///
/// # Errors
/// An answer that does not open or answers something else. A receipt that does not hold is in the verdict.
pub fn open(answered: &Answered, asked: Asked<'_>, trust: Option<&Trust>, now_s: u64) -> Result<Opened, Stop> {
    let broken = |what: &str| Stop::failed(format!("the hub's answer does not open: {what} (答复无法读取)"));
    let payload: Payload = canonical::decode(&answered.payload).map_err(|_| broken("payload"))?;
    let statement: Statement = canonical::decode(&answered.receipt.statement).map_err(|_| broken("statement"))?;
    let signed = SignedCheckpoint::parse(&answered.receipt.checkpoint).map_err(|_| broken("checkpoint"))?;
    let mut options = Options { now_s: Some(now_s), ..Options::default() };
    let ours = match asked {
        Asked::Question(question) => {
            options.question = Some(question);
            payload.question == question
        }
        Asked::Change(id) => {
            options.nonce = Some(id.as_bytes());
            canonical::decode::<ChangeQuestion>(&payload.question).is_ok_and(|question| question.request_id == id)
        }
        Asked::Preparation => true,
    };
    if !ours {
        return Err(Stop::failed(
            "答复不是对本次提问的：随机数或内容不符，请勿采用。\n  The answer is to another question; do not use it.",
        ));
    }
    let verdict = trust.map(|trust| {
        let evidence = Evidence {
            payload_name: PAYLOAD_NAME.to_owned(),
            payload: answered.payload.clone(),
            receipt: Some(answered.receipt.clone()),
        };
        verify_message(&evidence, trust, &options)
    });
    Ok(Opened {
        payload,
        kind: Kind::try_from(statement.kind).unwrap_or_default(),
        index: answered.receipt.leaf_index,
        time_s: answered.receipt.time_s,
        size: signed.checkpoint.size,
        origin: signed.checkpoint.origin.to_string(),
        verdict,
    })
}

/// A refusal in words. Where the hub recorded it, it must be the refusal of what was asked, and is checked and saved like any
/// answer.
#[must_use]
pub fn refusal(args: &AnswerArgs, status: &Status, asked: Asked<'_>, clock: &Clock) -> Stop {
    let stop = refused(status, args.evidence.as_deref());
    let Some(item) = recorded(status) else { return stop };
    let checked = || -> Result<bool, Stop> {
        let trust = args.trust.as_deref().map(|path| open_trust(path, args.root_key.as_deref())).transpose()?;
        let answered = Answered::one(item.payload, item.receipt)?;
        open(&answered, asked, trust.as_ref(), clock.now_ms() / 1_000)?.must_hold()?;
        Ok(trust.is_some())
    };
    let text = match checked() {
        Ok(false) => return stop,
        Ok(true) => "回执已核验。Its receipt was checked.".to_owned(),
        Err(wrong) => wrong.text,
    };
    Stop { text: format!("{}\n  {text}", stop.text), ..stop }
}

/// Opens, saves and prints answers; `more` stands beside the items in JSON.
///
/// # Errors
/// As [`open`], a receipt that does not hold, an item that was refused, a file that cannot be written. What could be saved and
/// printed was.
pub fn show(
    args: &AnswerArgs,
    answers: &[(Answered, Asked<'_>)],
    listing: Option<Value>,
    clock: &Clock,
) -> Result<Vec<Opened>, Stop> {
    let trust = args.trust.as_deref().map(|path| open_trust(path, args.root_key.as_deref())).transpose()?;
    if let Some(path) = &args.evidence {
        for (n, (answered, _)) in answers.iter().enumerate() {
            let path = if answers.len() == 1 && listing.is_none() { path.clone() } else { numbered(path, n + 1) };
            save(&path, &answered.payload, &answered.receipt)?;
            eprintln!("wuku: evidence (证据): {}", path.display());
            if let Some(seal) = &answered.seal {
                let path = path.with_extension("seal");
                std::fs::write(&path, &seal.signature).map_err(|e| Stop::failed(format!("{}: {e}", path.display())))?;
                eprintln!("wuku: seal (签章): {}", path.display());
            }
        }
    }
    let now_s = clock.now_ms() / 1_000;
    let opened = answers.iter().map(|(answered, asked)| open(answered, *asked, trust.as_ref(), now_s));
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    if args.json {
        println!("{:#}", whole_json(&opened, listing));
    } else {
        let language = Language::of_environment();
        let texts: Vec<String> = opened.iter().map(|item| to_text(item, language)).collect();
        print!("{}", texts.join("\n"));
    }
    opened.iter().try_for_each(Opened::must_hold)?;
    if opened.iter().any(|item| item.payload.outcome == i32::from(Outcome::Refused)) {
        return Err(Stop::failed("有被拒绝的项目。Some items were refused."));
    }
    Ok(opened)
}

/// `FILE.json` → `FILE.1.json`; without `.json` the same.
fn numbered(path: &Path, n: usize) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".json").unwrap_or(&name);
    path.with_file_name(format!("{stem}.{n}.json"))
}

/// One item as an object, or the items of a listing with what stands beside them.
fn whole_json(opened: &[Opened], listing: Option<Value>) -> Value {
    let mut items: Vec<Value> = opened.iter().map(to_json).collect();
    match listing {
        None if items.len() == 1 => items.pop().unwrap_or_default(),
        None => json!({ "items": items }),
        Some(mut listing) => {
            if let Some(object) = listing.as_object_mut() {
                object.insert("items".into(), items.into());
            }
            listing
        }
    }
}

/// The answer as JSON: outcome, answer, question, receipt facts, verdict where it was checked.
#[must_use]
pub fn to_json(item: &Opened) -> Value {
    let outcome = Outcome::try_from(item.payload.outcome).unwrap_or_default().as_str_name();
    let mut answer = readable::to_json(PAYLOAD_NAME, &canonical::encode(&item.payload)).unwrap_or_default();
    if let Some(fields) = answer.as_object_mut() {
        for key in ["format", "question", "blind", "outcome", "validAtMs"] {
            fields.remove(key);
        }
    }
    json!({
        "outcome": outcome.strip_prefix("OUTCOME_").unwrap_or(outcome),
        "validAtMs": item.payload.valid_at_ms,
        "answer": answer,
        "question": readable::to_json(message_name(item.kind), &item.payload.question),
        "receipt": { "origin": item.origin, "index": item.index, "size": item.size, "timeS": item.time_s },
        "verified": item.verdict.as_ref().map(|verdict| verdict.good),
        "failedStep": item.verdict.as_ref().and_then(|v| v.failed_step).map(|step| step.as_str()),
    })
}

/// The answer in a few lines for a person.
#[must_use]
pub fn to_text(item: &Opened, language: Language) -> String {
    let (headline, mut rows) = words::of_payload(&item.payload, language);
    let checked = match &item.verdict {
        None => language.pick(("未核验（可加 --trust）", "not checked (give --trust)")),
        Some(verdict) if verdict.good => language.pick(("已核验", "checked")),
        Some(_) => language.pick(("不成立", "DOES NOT HOLD")),
    };
    let time = words::instant(item.time_s.saturating_mul(1_000));
    let receipt = format!("{} #{} / {} · {time} · {checked}", item.origin, item.index, item.size);
    rows.push((language.pick(("存证回执", "receipt")).to_owned(), receipt));
    format!("{headline}\n{}", words::table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::checkpoint::Checkpoint;
    use crate::log::{LogKey, Origin, SuiteName};
    use crate::wire::proto::exchange::v1::{Change, payload::Answer};

    fn answered(question: &[u8]) -> Answered {
        let origin = Origin::parse("hub.test/wuku/1").unwrap();
        let key = LogKey::from_seed("hub.test/wuku/1", SuiteName::Ed25519, &[1; 32]).unwrap();
        let checkpoint = Checkpoint { origin, size: 9, root: [0; 32] }.sign(&key).unwrap();
        let answer = Some(Answer::Change(Change::default()));
        let payload = Payload { question: question.to_vec().into(), answer, ..Payload::default() };
        let statement = Statement { kind: Kind::IssueLicence.into(), ..Statement::default() };
        let receipt = Receipt {
            statement: canonical::encode(&statement).into(),
            leaf_index: 7,
            checkpoint: checkpoint.into(),
            ..Receipt::default()
        };
        Answered { payload: canonical::encode(&payload).into(), receipt, seal: None }
    }

    #[test]
    fn an_answer_to_another_question_is_refused_without_any_trust_file() {
        let ours = open(&answered(b"q1"), Asked::Question(b"q1"), None, 0).unwrap();
        assert_eq!((ours.index, ours.size, ours.origin.as_str()), (7, 9, "hub.test/wuku/1"));
        assert!(open(&answered(b"q2"), Asked::Question(b"q1"), None, 0).is_err());
        let change = canonical::encode(&ChangeQuestion { request_id: "r1".into(), ..ChangeQuestion::default() });
        assert!(open(&answered(&change), Asked::Change("r1"), None, 0).is_ok());
        assert!(open(&answered(&change), Asked::Change("r2"), None, 0).is_err());
    }

    #[test]
    fn with_a_trust_file_a_receipt_that_does_not_hold_is_named_by_its_step() {
        let key = LogKey::from_seed("hub.test/wuku/1", SuiteName::Ed25519, &[1; 32]).unwrap();
        let trust = Trust {
            hub: crate::log::HubName::parse("hub.test").unwrap(),
            epoch: 1,
            logs: vec![crate::receipt::trust::TrustedLog {
                origin: Origin::parse("hub.test/wuku/1").unwrap(),
                suite: SuiteName::Ed25519,
                keys: vec![crate::receipt::trust::TrustedKey {
                    key: key.verifier().clone(),
                    from_size: 0,
                    to_size: None,
                    state: crate::receipt::trust::KeyState::Active,
                }],
                closed_at_s: None,
            }],
        };
        let item = open(&answered(b"q"), Asked::Question(b"q"), Some(&trust), 0).unwrap();
        let shown = to_json(&item);
        assert_eq!((&shown["verified"], &shown["failedStep"]), (&json!(false), &json!("RECEIPT_FORM")));
        assert!(to_text(&item, Language::English).contains("DOES NOT HOLD"));
    }

    #[test]
    fn a_recorded_refusal_of_another_question_is_not_believed() {
        use prost::Message;
        let one = answered(b"q");
        let item = RecordedItem { payload: one.payload, receipt: Some(one.receipt), seal: None };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/wuku.exchange.v1.RecordedItem".into(),
            value: item.encode_to_vec(),
        };
        let details = tonic_types::pb::Status { code: 7, message: String::new(), details: vec![any] };
        let status = Status::with_details(tonic::Code::PermissionDenied, "no", details.encode_to_vec().into());
        let text =
            |question| refusal(&AnswerArgs::default(), &status, Asked::Question(question), &Clock::system()).text;
        assert!(text(b"q").contains("entry 7") && !text(b"q").contains("another question"));
        assert!(text(b"other").contains("another question"));
    }

    #[test]
    fn several_items_share_one_checkpoint_and_go_to_numbered_files() {
        let one = answered(b"q");
        let bare = RecordedItem {
            payload: one.payload.clone(),
            receipt: Some(Receipt { checkpoint: Bytes::new(), ..one.receipt.clone() }),
            seal: None,
        };
        let all = Answered::several(vec![bare.clone(), bare], &one.receipt.checkpoint).unwrap();
        assert_eq!(all[1].receipt, one.receipt);
        assert!(Answered::several(vec![RecordedItem::default()], &Bytes::new()).is_err());
        assert_eq!(numbered(Path::new("/a/b.json"), 2), Path::new("/a/b.2.json"));
        assert_eq!(numbered(Path::new("b"), 1), Path::new("b.1.json"));
    }
}
