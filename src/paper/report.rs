//! The verdict on a paper: fields for programs, words for clerks. Field names and words are never renamed.
use serde_json::{Value, json};

use super::Kind;
use super::container::{LIMITS, Patience, Unreadable};
use super::judge::{Fault, PaperReport, PaperSignature, Verdict, hash_of, is_trusted, paper};
use super::reasons;
use crate::gm::Encoding;
use crate::seal::asn1::show_time;
use crate::seal::certificate::Certificate;
use crate::seal::judge::{self, Check, Container, Grounds, SealReport, SignatureReport};
use crate::seal::ses::Seal;
use crate::seal::step::{Finding, Outcome, Profile, Step};

/// A verdict with all that was found out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// For programs.
    pub json: Value,
    /// For a clerk: Chinese, English.
    pub words: (String, String),
    /// A line or two for each signature: Chinese, English.
    pub lines: Vec<(String, String)>,
    /// Whether configured anchors vouch for whoever signed and made the seals.
    pub trusted: bool,
    /// Licence identifiers the paper names.
    pub named: Vec<Named>,
    /// Who made each signature of the paper, in the order of `signatures`; `None`: nobody known.
    pub signers: Vec<Option<Certificate>>,
}

/// A licence identifier (证照标识) as a paper names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As written.
    pub value: String,
    /// Whether it stands in content that a good signature covers.
    pub covered: bool,
}

/// What the field calls a licence identifier in a paper's custom data (GB/T 36903: 证照标识, its short name, names met in interfaces).
const LICENCE_ID_NAMES: [&str; 5] = ["证照标识", "ZZBS", "certIdentifier", "certificate_identifier", "licence_id"];

/// The exit code where an anchor was demanded and no configured one vouches for who signed.
pub const NOT_ANCHORED_CODE: u8 = 4;

impl Report {
    /// Why the file cannot be read, where it cannot: a word of [`reasons::REASONS`].
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.json.get("reason").and_then(Value::as_str)
    }

    /// The exit code: that of the verdict, or 4 where `require_anchor` and what would be 0 or 3 rests on nobody's word.
    #[must_use]
    pub const fn code(&self, require_anchor: bool) -> u8 {
        exit_code(self.verdict, self.trusted, require_anchor)
    }
}

/// As [`Report::code`], of a verdict that came from elsewhere.
#[must_use]
pub const fn exit_code(verdict: Verdict, trusted: bool, require_anchor: bool) -> u8 {
    match verdict {
        Verdict::Valid | Verdict::NotAnchored | Verdict::PartlyCovered if require_anchor && !trusted => {
            NOT_ANCHORED_CODE
        }
        verdict => verdict.code(),
    }
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Valid, Self::NotAnchored, Self::NotValid, Self::PartlyCovered, Self::NotVerified, Self::Unreadable];

    /// By its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotAnchored => "valid-but-not-anchored",
            Self::NotValid => "not-valid",
            Self::PartlyCovered => "valid-but-uncovered",
            Self::NotVerified => "not-verified",
            Self::Unreadable => "unreadable",
        }
    }

    /// 0 whole document unaltered under good signatures, 1 not valid, 2 unreadable, 3 valid but content left uncovered. Whether
    /// anybody vouches for the signers is not in it; see [`Report::code`].
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Valid | Self::NotAnchored => 0,
            Self::NotValid | Self::NotVerified => 1,
            Self::Unreadable => 2,
            Self::PartlyCovered => 3,
        }
    }
}

/// Judges whatever file somebody brings.
#[must_use]
pub fn of_file(bytes: &[u8], profile: Profile, grounds: Grounds<'_>) -> Report {
    of_file_within(bytes, profile, grounds, Patience::default())
}

/// As [`of_file`], but no longer than patience lasts: then it is unreadable, `too-slow`.
#[must_use]
pub fn of_file_within(bytes: &[u8], profile: Profile, grounds: Grounds<'_>, patience: Patience<'_>) -> Report {
    let kind = Kind::of(bytes);
    let mut report = match kind {
        _ if bytes.len() > LIMITS.file_bytes => {
            unreadable(&Unreadable::new("too-large", format!("more than {} bytes", LIMITS.file_bytes)))
        }
        Kind::Ofd => match paper(bytes, profile, grounds, patience) {
            Ok(judged) => of_paper(&judged),
            Err(error) => unreadable(&error),
        },
        Kind::Pdf | Kind::Image(_) => of_verdict(
            Verdict::NotVerified,
            (
                "需人工核对：此类文件只留存，不核验".to_owned(),
                "not verified: files of this kind are kept, not judged".to_owned(),
            ),
        ),
        Kind::Unknown => unreadable(&Unreadable::new("unknown-kind", "neither OFD, PDF nor an image")),
    };
    report.set("kind", json!(kind.as_str()));
    report.set("sm3", json!(hash_of(bytes)));
    report.set("profile", json!(profile.as_str()));
    report
}

/// Judges a signature's value over a `Signature.xml` without the paper around them.
#[must_use]
pub fn of_pair(description: &[u8], value: &[u8], profile: Profile, grounds: Grounds<'_>) -> Report {
    let judged = judge::signature(value, description, None, grounds);
    let reasons = profile.reasons(&judged.findings);
    let trusted = is_trusted(&judged);
    let verdict = match (reasons.is_empty(), judged.unprotected, trusted) {
        (false, ..) => Verdict::NotValid,
        (true, Some(_), _) => Verdict::PartlyCovered,
        (true, None, false) => Verdict::NotAnchored,
        (true, None, true) => Verdict::Valid,
    };
    let words = match verdict {
        Verdict::Valid => (
            "有效：签名与签名描述相符（未见原文件，内容未核对）",
            "valid: signature and description belong together (the paper itself was not there)",
        ),
        Verdict::NotAnchored => (
            "需人工核对：签名与签名描述相符，签名者身份未核对（未见原文件，内容未核对）",
            "check by hand: signature and description belong together, who signed was not checked (the paper itself was not there)",
        ),
        Verdict::PartlyCovered => (
            "需人工核对：签名相符，签名者身份未经核对",
            "check by hand: the signature fits, but nobody vouches for who the signer is",
        ),
        _ => ("印章无效", "not valid"),
    };
    let mut report = of_verdict(verdict, (words.0.to_owned(), words.1.to_owned()));
    report.trusted = trusted;
    let fields = signature_fields(&judged, &reasons);
    report.lines = lines("-", &judged, &reasons);
    report.set("kind", json!("signature"));
    report.set("profile", json!(profile.as_str()));
    report.set("trust", json!(trust(trusted)));
    report.set("signatures", json!([fields]));
    report
}

/// Judges a seal on its own, as if used now.
#[must_use]
pub fn of_seal(bytes: &[u8], profile: Profile, grounds: Grounds<'_>) -> Report {
    let seal = match Seal::parse(bytes) {
        Ok(seal) => seal,
        Err(error) => return unreadable(&Unreadable::new("bad-seal", error.to_string())),
    };
    let judged = judge::seal(seal, grounds.now_s, grounds);
    let reasons = profile.reasons(&judged.findings);
    let trusted = judged.findings.iter().any(|f| f.step == Step::MakerCertificate && f.outcome == Outcome::Ok);
    let (verdict, words) = match (reasons.is_empty(), trusted) {
        (false, _) => (Verdict::NotValid, ("印章无效", "the seal is not good")),
        (true, true) => (Verdict::Valid, ("印章有效", "the seal is good")),
        (true, false) => (
            Verdict::NotAnchored,
            (
                "需人工核对：印章未被改动，制章者身份未核对",
                "check by hand: the seal is unaltered, who made it was not checked",
            ),
        ),
    };
    let mut report = of_verdict(verdict, (words.0.to_owned(), words.1.to_owned()));
    report.trusted = trusted;
    report.lines = why(&reasons, &judged.findings);
    let seal = &judged.seal;
    report.set("kind", json!("seal"));
    report.set("profile", json!(profile.as_str()));
    report.set("trust", json!(trust(trusted)));
    report.set(
        "seal",
        json!({
            "container": seal.generation.as_str(),
            "seal_name": seal.name,
            "seal_id": seal.id,
            "vendor": seal.vendor,
            "maker": judged.maker,
            "created_at": show_time(seal.created_s),
            "valid_from": show_time(seal.valid_from_s),
            "valid_until": show_time(seal.valid_until_s),
            "seal_signature": judged.signature.as_str(),
            "seal_valid_now": judged.valid_when_used,
            "maker_valid_at_creation": judged.maker_valid_at_creation,
            "maker_valid_now": judged.maker_valid_when_used,
            "steps": steps(&judged.findings),
            "verdict": verdict.as_str(),
        }),
    );
    report
}

/// A report on something that could not be read.
#[must_use]
pub fn unreadable(error: &Unreadable) -> Report {
    let (zh, en) = reasons::words(error.reason).unwrap_or((error.reason, error.reason));
    let words = (format!("无法读取：{zh}"), format!("unreadable: {en} ({})", error.detail));
    let mut report = of_verdict(Verdict::Unreadable, words);
    report.set("reason", json!(error.reason));
    report.set("detail", json!(error.detail));
    report
}

fn of_verdict(verdict: Verdict, words: (String, String)) -> Report {
    let json = json!({"verdict": verdict.as_str(), "words": words.0, "words_en": words.1});
    Report { verdict, json, words, lines: Vec::new(), trusted: false, named: Vec::new(), signers: Vec::new() }
}

impl Report {
    fn set(&mut self, key: &str, value: Value) {
        if let Some(fields) = self.json.as_object_mut() {
            fields.insert(key.to_owned(), value);
        }
    }
}

fn of_paper(judged: &PaperReport) -> Report {
    let mut report = of_verdict(judged.verdict, paper_words(judged));
    report.trusted = judged.trusted;
    report.named = named(judged);
    report.signers = judged.signatures.iter().map(|s| s.report.signer.clone()).collect();
    report.lines = judged.signatures.iter().flat_map(|s| lines(&s.entry.id, &s.report, &s.reasons)).collect();
    report
        .lines
        .extend(judged.uncovered.iter().map(|part| (format!("未受保护：{part}"), format!("not covered: {part}"))));
    let faults: Vec<Value> =
        judged.faults.iter().map(|(fault, detail)| json!({"fault": fault.as_str(), "detail": detail})).collect();
    let documents: Vec<Value> = judged
        .bodies
        .iter()
        .map(|body| {
            json!({
                "id": body.id,
                "title": body.title,
                "root": body.root,
                "pages": body.pages.len(),
                "attachments": body.attachments,
                "custom_tags": body.custom_tags,
                "annotations": body.annotations,
                "custom_data": body.custom_data.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
            })
        })
        .collect();
    let named: Vec<&str> = report.named.iter().map(|named| named.value.as_str()).collect();
    report.set("licence_ids", json!(named));
    report.set("trust", json!(trust(judged.trusted)));
    report.set("faults", json!(faults));
    report.set("uncovered", json!(judged.uncovered));
    report.set("documents", json!(documents));
    report.set("signatures", json!(judged.signatures.iter().map(paper_signature).collect::<Vec<_>>()));
    report
}

/// The identifiers in custom data. They stand in OFD.xml, so they are covered where it is and every signature is good.
fn named(judged: &PaperReport) -> Vec<Named> {
    let good = matches!(judged.verdict, Verdict::Valid | Verdict::NotAnchored | Verdict::PartlyCovered);
    let covered = good && !judged.uncovered.iter().any(|part| part == "OFD.xml");
    let data = judged.bodies.iter().flat_map(|body| &body.custom_data);
    data.filter(|(name, _)| LICENCE_ID_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|(_, value)| Named { value: value.clone(), covered })
        .collect()
}

fn paper_signature(signature: &PaperSignature) -> Value {
    let mut fields = signature_fields(&signature.report, &signature.reasons);
    let uncovered: Vec<&str> = signature.uncovered.iter().map(|u| u.part.as_str()).collect();
    let of_others: Vec<&str> =
        signature.uncovered.iter().filter(|u| u.other_signature).map(|u| u.part.as_str()).collect();
    let kind = signature.entry.kind.as_deref();
    let more = json!({
        "id": signature.entry.id,
        "type": kind.unwrap_or("Seal"),
        "type_stated": kind.is_some(),
        "references_ok": signature.references_ok,
        "references_bad": signature.references_bad,
        "uncovered": uncovered,
        "uncovered_of_other_signatures": of_others,
        "seal_file": match signature.seal_file_matches { None => "absent", Some(true) => "match", Some(false) => "differs" },
        "stamps": signature.stamps,
    });
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    fields
}

/// What is known of a signature without the paper around it.
fn signature_fields(report: &SignatureReport, reasons: &[Step]) -> Value {
    let seal = report.seal.as_ref();
    let of_seal = |field: fn(&SealReport) -> Value| seal.map_or(Value::Null, field);
    let attributes = matches!(report.container, Container::Gbt35275 { attributes: true });
    let organisation = report.signer.as_ref().and_then(|signer| signer.organisation());
    json!({
        "id": Value::Null,
        "container": report.container.as_str(),
        "signed_attributes": attributes,
        "encoding": report.encoding.map(|encoding| match encoding { Encoding::Der => "der", Encoding::Raw => "raw" }),
        "data_hash": report.data_hash.as_str(),
        "signature": report.signature.as_str(),
        "seal_signature": seal.map_or(Check::Absent, |seal| seal.signature).as_str(),
        "signer_in_list": report.signer_in_list,
        "signer_valid_at_signing": report.signer_valid_at_signing,
        "seal_valid_at_signing": of_seal(|seal| json!(seal.valid_when_used)),
        "maker_valid_at_creation": of_seal(|seal| json!(seal.maker_valid_at_creation)),
        "maker_valid_at_signing": of_seal(|seal| json!(seal.maker_valid_when_used)),
        "signed_at": report.signed_at_s.map(show_time),
        "seal_name": of_seal(|seal| json!(seal.seal.name)),
        "seal_id": of_seal(|seal| json!(seal.seal.id)),
        "maker": of_seal(|seal| json!(seal.maker)),
        "signer": report.signer.as_ref().map(|signer| signer.shown()),
        "signer_organisation": organisation.as_ref().map(|o| o.name.clone()),
        "signer_uscc": organisation.and_then(|o| o.uscc),
        "trust": trust(is_trusted(report)),
        "steps": steps(&report.findings),
        "unprotected": report.unprotected,
        "reasons": reasons.iter().map(|step| step.as_str()).collect::<Vec<_>>(),
        "verdict": signature_verdict(reasons, is_trusted(report)).as_str(),
    })
}

/// The verdict on one signature by itself.
fn signature_verdict(reasons: &[Step], trusted: bool) -> Verdict {
    match (reasons.is_empty(), trusted) {
        (false, _) => Verdict::NotValid,
        (true, false) => Verdict::NotAnchored,
        (true, true) => Verdict::Valid,
    }
}

fn steps(findings: &[Finding]) -> Value {
    let step = |finding: &Finding| json!({"step": finding.step.as_str(), "outcome": finding.outcome.as_str(), "detail": finding.detail});
    json!(findings.iter().map(step).collect::<Vec<_>>())
}

const fn trust(trusted: bool) -> &'static str {
    if trusted { "anchored" } else { "not-anchored" }
}

fn paper_words(judged: &PaperReport) -> (String, String) {
    let broken = judged.signatures.iter().flat_map(|s| &s.reasons);
    let altered = broken.clone().any(|step| matches!(step, Step::References | Step::DataHash));
    let (zh, en) = match judged.verdict {
        Verdict::Valid => ("有效：整份文件受签名保护且未被改动", "valid: the whole document is covered and unaltered"),
        Verdict::NotAnchored => (
            "需人工核对：文件未被改动，但签名者身份未核对（未配置信任锚，任何人都能以任何名义制作这样的文件）",
            "check by hand: the file is unaltered, but who signed was not checked (no trust anchors: anybody can make such a file under any name)",
        ),
        Verdict::PartlyCovered if judged.trusted => (
            "部分内容未受保护：签名有效，但下列内容任何人都可能改动",
            "content is not covered: the signatures are good, but anybody could have changed what is listed",
        ),
        Verdict::PartlyCovered => (
            "部分内容未受保护，需人工核对：下列内容任何人都可能改动，且签名者身份未核对（未配置信任锚）",
            "content is not covered, check by hand: anybody could have changed what is listed, and who signed was not checked (no trust anchors)",
        ),
        _ if altered => ("文件被改动", "the file was altered"),
        _ => match judged.faults.first() {
            Some((Fault::Unsigned, _)) => ("需人工核对：文件没有签名", "check by hand: nobody signed this file"),
            Some((Fault::PartsMissing, _)) => ("文件被改动：缺少内容", "the file is not whole: parts are missing"),
            Some((Fault::SeveralDocuments, _)) => {
                ("需人工核对：文件中不止一份文档", "check by hand: more than one document in the file")
            }
            Some((Fault::SignatureList, _)) => {
                ("文件被改动：签名列表异常", "the list of signatures is not as it should be")
            }
            None => ("印章无效", "a signature is not good"),
        },
    };
    (zh.to_owned(), en.to_owned())
}

fn lines(id: &str, report: &SignatureReport, reasons: &[Step]) -> Vec<(String, String)> {
    let name = report.seal.as_ref().map(|seal| seal.seal.name.clone());
    let name = name.or_else(|| report.signer.as_ref().and_then(|s| s.common_name())).unwrap_or_default();
    let at = report.signed_at_s.map(show_time).unwrap_or_default();
    let word = match signature_verdict(reasons, is_trusted(report)) {
        Verdict::Valid => ("有效", "good"),
        Verdict::NotAnchored => ("签名相符，签名者身份未核对", "fits, who signed was not checked"),
        _ => ("无效", "NOT GOOD"),
    };
    let container = report.container.as_str();
    let head = (
        format!("签名 {id} {container} {name} {at}：{}", word.0),
        format!("signature {id} {container} {name} {at}: {}", word.1),
    );
    std::iter::once(head).chain(why(reasons, &report.findings)).collect()
}

fn why(reasons: &[Step], findings: &[Finding]) -> Vec<(String, String)> {
    let line = |step: &Step| {
        let (zh, en) = step.words();
        let detail =
            findings.iter().rev().find(|f| f.step == *step && f.outcome != Outcome::Ok).map(|f| f.detail.as_str());
        let detail = detail.filter(|d| !d.is_empty()).map(|d| format!(" ({d})")).unwrap_or_default();
        (format!("  {zh} [{}]{detail}", step.as_str()), format!("  {en} [{}]{detail}", step.as_str()))
    };
    reasons.iter().map(line).collect()
}

impl Check {
    /// `ok`, `bad`, `absent`, `unknown-key`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Absent => "absent",
            Self::UnknownKey => "unknown-key",
        }
    }
}

impl Container {
    /// `SES-1`, `SES-4`, `SES-5`, `GBT35275`, `raw-sm2`, or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ses(generation) => generation.as_str(),
            Self::Gbt35275 { .. } => "GBT35275",
            Self::RawSm2 => "raw-sm2",
            Self::Unknown => "unknown",
        }
    }
}

impl Fault {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::PartsMissing => "parts-missing",
            Self::SeveralDocuments => "several-documents",
            Self::SignatureList => "signature-list",
        }
    }
}
