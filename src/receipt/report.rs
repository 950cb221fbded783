//! `wuku verify FILE` and `wuku-verify FILE`: one set of arguments, one verifier, one report.
//!
//! Data on standard output, everything else on standard error. Exit 0 good, 1 bad, 2 unreadable.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::evidence::EVIDENCE_BYTES_MAX;
use super::trust::{Root, Trust, TrustError};
use super::verify::{Options, Step, Verdict, verify};
use super::{Kind, Outcome, question, readable};
use crate::clock::Clock;
use crate::log::VerifierKey;
#[cfg(feature = "verify")]
use crate::seal::{answer, asn1::show_time, step::Profile};

/// What the command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyArgs {
    /// The evidence file (证据文件)
    pub file: PathBuf,
    /// The trust file of the hub (信任文件)
    #[arg(long, value_name = "TRUST_NOTE")]
    pub trust: PathBuf,
    /// The root key as published (name+id+key), or the fingerprint of this trust file; without it the file is believed as it
    /// was handed over (根密钥或信任文件指纹)
    #[arg(long, value_name = "VKEY_OR_FINGERPRINT")]
    pub root_key: Option<String>,
    /// Oldest evidence that is still good, in seconds or with a unit: 90s, 15m, 24h, 30d (最长时限)
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub max_age: Option<u64>,
    /// The nonce of your own question, in hex: only its answer is good (提问随机数)
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    pub nonce: Option<Nonce>,
    /// The seal on the answer, to be checked as well; `wuku lookup --sealed-by` saves it (答复上的签章)
    #[cfg(feature = "verify")]
    #[arg(long, value_name = "FILE")]
    pub seal: Option<PathBuf>,
    /// Whom to believe about the seal: as --anchors of `document verify` (印章信任锚)
    #[cfg(feature = "verify")]
    #[arg(long, value_name = "ANCHORS", requires = "seal")]
    pub seal_anchors: Vec<String>,
    /// How strictly the seal is judged: strict-2025, gbt-2020, lenient-history (印章核验规则)
    #[cfg(feature = "verify")]
    #[arg(long, default_value = "gbt-2020", value_parser = Profile::parse)]
    pub seal_profile: Profile,
    /// Print the verdict as JSON (以 JSON 输出)
    #[arg(long)]
    pub json: bool,
}

/// A nonce typed in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(Vec<u8>);

/// What the command gives back.
#[derive(Clone, Debug)]
pub struct Report {
    /// The verdict; `None` when the trust file or the evidence file could not be read at all.
    pub verdict: Option<Verdict>,
    /// Whether the seal given beside the evidence is valid and over this answer; `None` where none was given.
    pub sealed: Option<bool>,
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
}

impl Report {
    /// 0 good, 1 bad, 2 unreadable.
    #[must_use]
    pub fn code(&self) -> u8 {
        match &self.verdict {
            Some(verdict) if verdict.good && self.sealed != Some(false) => 0,
            Some(verdict) if verdict.failed_step != Some(Step::Readable) => 1,
            _ => 2,
        }
    }
}

/// Runs the command: reads both files, verifies, prints.
#[must_use]
pub fn run(args: &VerifyArgs, clock: &Clock) -> ExitCode {
    let report = check(args, clock.now_ms() / 1000, Language::of_environment());
    print!("{}", report.out);
    eprint!("{}", report.err);
    ExitCode::from(report.code())
}

/// Reads both files and verifies.
#[must_use]
pub fn check(args: &VerifyArgs, now_s: u64, language: Language) -> Report {
    let unreadable = |path: &Path, why: String| {
        let shown = json!({"verdict": "unreadable", "failedStep": Step::Readable.as_str(), "detail": why});
        let out = if args.json { format!("{shown}\n") } else { String::new() };
        Report { verdict: None, sealed: None, out, err: format!("{}: {why}\n", path.display()) }
    };
    let trust = match read(&args.trust).and_then(|bytes| open(&bytes, args.root_key.as_deref())) {
        Ok(trust) => trust,
        Err(why) => return unreadable(&args.trust, why),
    };
    let evidence = match read(&args.file) {
        Ok(bytes) => bytes,
        Err(why) => return unreadable(&args.file, why),
    };
    let nonce = args.nonce.as_ref().map(|nonce| nonce.0.as_slice());
    let options = Options { now_s: Some(now_s), max_age_s: args.max_age, nonce, question: None };
    let verdict = verify(&evidence, &trust, &options);
    let (sealed, shown, lines) = match seal_beside(args, &evidence, &verdict, now_s, language) {
        Ok(found) => found,
        Err((path, why)) => return unreadable(&path, why),
    };
    let out = if args.json {
        let mut json = to_json(&verdict);
        if let (Some(object), Some(shown)) = (json.as_object_mut(), shown) {
            object.insert("seal".to_owned(), shown);
            // Who reads the verdict alone must not take a bad seal for a good answer.
            if sealed == Some(false) && verdict.good {
                object.insert("verdict".to_owned(), "bad".into());
                object.insert("failedStep".to_owned(), "SEAL".into());
            }
        }
        format!("{json:#}\n")
    } else {
        let text = to_text(&verdict, language);
        // The first line is what is read: a bad seal must not stand below a good word.
        let text = match text.split_once('\n').filter(|_| sealed == Some(false) && verdict.good) {
            Some((_, rest)) => format!("{}\n{rest}", language.pick(BAD_SEAL)),
            None => text,
        };
        text + &lines
    };
    let err = match args.root_key {
        Some(_) => String::new(),
        None => language.pick(BY_HAND).to_owned(),
    };
    Report { verdict: Some(verdict), sealed, out, err }
}

const BAD_SEAL: (&str, &str) =
    ("无效：枢纽当时确有此答复，但所附签章不成立。", "BAD: the hub said so then, but the seal beside it is not good.");

/// What is said of a seal beside the evidence: whether it is valid, as JSON, in lines.
type SealSaid = (Option<bool>, Option<Value>, String);

#[cfg(not(feature = "verify"))]
fn seal_beside(_: &VerifyArgs, _: &[u8], _: &Verdict, _: u64, _: Language) -> Result<SealSaid, (PathBuf, String)> {
    Ok((None, None, String::new()))
}

#[cfg(feature = "verify")]
fn seal_beside(
    args: &VerifyArgs,
    evidence: &[u8],
    verdict: &Verdict,
    now_s: u64,
    language: Language,
) -> Result<SealSaid, (PathBuf, String)> {
    let Some(path) = &args.seal else { return Ok((None, None, String::new())) };
    let anchors = crate::paper::anchors::read(&args.seal_anchors).map_err(|why| (path.clone(), why))?;
    let signature = read(path).map_err(|why| (path.clone(), why))?;
    let payload = super::evidence::from_json(evidence).map(|evidence| evidence.payload).unwrap_or_default();
    let digest = verdict.statement.as_ref().map(|said| said.payload_digest.clone()).unwrap_or_default();
    let sealed = answer::check(&signature, &payload, &digest, args.seal_profile, &anchors, now_s);
    let (good, report) = (sealed.reasons.is_empty(), &sealed.report);
    let seal = report.seal.as_ref().map(|seal| &seal.seal);
    let signer = report.signer.as_ref().map(|signer| signer.shown());
    let signed_at = report.signed_at_s.map(show_time);
    let steps: serde_json::Map<String, Value> =
        report.findings.iter().map(|f| (f.step.as_str().to_owned(), f.outcome.as_str().into())).collect();
    let json = json!({
        "verdict": if good { "valid" } else { "not-valid" },
        "sealId": seal.map(|seal| &seal.id),
        "sealName": seal.map(|seal| &seal.name),
        "signer": signer,
        "signedAt": signed_at,
        "profile": sealed.profile.as_str(),
        "anchored": !args.seal_anchors.is_empty(),
        "reasons": sealed.reasons.iter().map(|step| step.as_str()).collect::<Vec<_>>(),
        "steps": steps,
    });
    let word = if good {
        ("签章有效，且盖在本答复上", "the seal is valid and on this answer")
    } else {
        ("签章无效或不在本答复上", "the seal is not valid, or not on this answer")
    };
    let mut lines = vec![format!("  {}", language.pick(word))];
    let named = seal.map(|seal| format!("{} · {}", seal.name, seal.id)).unwrap_or_default();
    lines.push(format!("  {}  {named} · {}", language.pick(("印章", "seal")), signed_at.unwrap_or_default()));
    lines.push(format!("  {}  {}", language.pick(("签章者", "signer")), signer.unwrap_or_default()));
    lines.extend(sealed.reasons.iter().map(|step| format!("    {} [{}]", language.pick(step.words()), step.as_str())));
    if args.seal_anchors.is_empty() {
        lines.push(format!("  {}", language.pick(NO_SEAL_ANCHORS)));
    }
    Ok((Some(good), Some(json), lines.join("\n") + "\n"))
}

#[cfg(feature = "verify")]
const NO_SEAL_ANCHORS: (&str, &str) = (
    "提示：未给出印章信任锚，制章者与签章者的身份未核对",
    "note: no --seal-anchors; who made the seal and signed was not checked",
);

const BY_HAND: (&str, &str) = (
    "提示：未给出根密钥，信任文件按原样采信。\n",
    "note: no root key given; the trust file is believed as it was handed over\n",
);

/// The verdict as JSON: `verdict`, `failedStep`, `index`, `size`, `origin`, `age` in seconds, the question, and what was stated.
#[must_use]
pub fn to_json(verdict: &Verdict) -> Value {
    let word = match verdict.failed_step {
        None => "good",
        Some(Step::Readable) => "unreadable",
        Some(_) => "bad",
    };
    let statement = verdict.statement.as_ref();
    let kind = statement.and_then(|s| Kind::try_from(s.kind).ok()).unwrap_or_default();
    let question = verdict.payload.as_ref().and_then(|p| readable::to_json(question::message_name(kind), &p.question));
    let answer = verdict.payload.as_ref().and_then(|payload| {
        let mut shown = readable::to_json(super::statement::PAYLOAD_NAME, &super::canonical::encode(payload))?;
        let fields = shown.as_object_mut()?;
        for key in ["format", "question", "blind"] {
            fields.remove(key);
        }
        Some(shown)
    });
    let stated = statement.and_then(|s| readable::to_json("wuku.receipt.v1.Statement", &super::canonical::encode(s)));
    json!({
        "verdict": word,
        "failedStep": verdict.failed_step.map(Step::as_str),
        "detail": (!verdict.detail.is_empty()).then_some(verdict.detail),
        "origin": (!verdict.origin.is_empty()).then_some(&verdict.origin),
        "index": verdict.index,
        "size": verdict.size,
        "timeS": verdict.time_s,
        "age": verdict.age_s,
        "question": question,
        "answer": answer,
        "statement": stated,
    })
}

/// The verdict in a few lines for a person.
#[must_use]
pub fn to_text(verdict: &Verdict, language: Language) -> String {
    let mut lines = Vec::new();
    match verdict.failed_step {
        None => lines.push(language.pick(("有效：枢纽当时确有此答复。", "GOOD: the hub said so then.")).to_owned()),
        Some(step) => {
            let text = language.pick((step.text_zh(), step.text_en()));
            let detail = if verdict.detail.is_empty() { String::new() } else { format!(" ({})", verdict.detail) };
            lines.push(format!("{} {text} [{step}]{detail}", language.pick(("无效：", "BAD:"))));
        }
    }
    let mut line = |label: (&str, &str), value: String| lines.push(format!("  {}  {value}", language.pick(label)));
    if !verdict.origin.is_empty() {
        line(("日志", "log"), verdict.origin.clone());
        line(("序号/规模", "index of size"), format!("{} / {}", verdict.index, verdict.size));
    }
    if let Some(age_s) = verdict.age_s {
        line(("距今", "age"), age(age_s));
    }
    if let Some(statement) = &verdict.statement {
        line(("调用方", "asked by"), statement.caller.clone());
        if let Some(purpose) = &statement.purpose {
            let parts = [purpose.item.as_str(), &purpose.reference, &purpose.use_cause];
            line(("用途", "purpose"), parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" · "));
        }
        line(("结果", "outcome"), Outcome::try_from(statement.outcome).unwrap_or_default().as_str_name().to_owned());
    }
    lines.join("\n") + "\n"
}

/// Chinese or English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// 中文.
    Chinese,
    /// English.
    English,
}

impl Language {
    /// Chinese under a `zh` locale, else English.
    #[must_use]
    pub fn of_environment() -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
        let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
        if locale.starts_with("zh") { Self::Chinese } else { Self::English }
    }

    /// The text in this language.
    #[must_use]
    pub const fn pick<'a>(self, (chinese, english): (&'a str, &'a str)) -> &'a str {
        match self {
            Self::Chinese => chinese,
            Self::English => english,
        }
    }
}

fn open(trust_note: &[u8], root_key: Option<&str>) -> Result<Trust, String> {
    let opened = match root_key.map(|text| (text, VerifierKey::parse(text.trim()))) {
        None => Trust::open(trust_note, Root::ByHand),
        Some((_, Ok(key))) => Trust::open(trust_note, Root::Key(&key)),
        Some((text, Err(_))) => Trust::open(trust_note, Root::Fingerprint(text)),
    };
    opened.map_err(|error: TrustError| error.to_string())
}

/// A file, at most one byte longer than evidence may be: longer ones are unreadable anyway.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(EVIDENCE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| error.to_string())
}

/// Seconds, in the largest two units.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn parse_age(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(|c: char| c.is_ascii_alphabetic()) {
        Some(digits) => (digits, text.get(digits.len()..).unwrap_or_default()),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("use s, m, h or d".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number".to_owned())?;
    number.checked_mul(seconds).ok_or_else(|| "too long".to_owned())
}

fn parse_nonce(text: &str) -> Result<Nonce, String> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.ok_or("not hex")?;
    let (pairs, []) = digits.as_chunks::<2>() else { return Err("an odd number of hex digits".to_owned()) };
    Ok(Nonce(pairs.iter().map(|[high, low]| high << 4 | low).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_nonces_are_read_as_people_write_them() {
        assert_eq!(["90", "90s", "15m", "24h", "30d"].map(|a| parse_age(a).unwrap()), [90, 90, 900, 86_400, 2_592_000]);
        assert!(["", "d", "1w", "-1", "99999999999999999999d"].iter().all(|a| parse_age(a).is_err()));
        assert_eq!(parse_nonce("00fFa0"), Ok(Nonce(vec![0, 255, 160])));
        assert!(parse_nonce("0").is_err() && parse_nonce("zz").is_err());
        assert_eq!(age(59), "59 s");
        assert_eq!(age(86_400 * 3 + 3_600), "3 d 1 h");
    }
}
