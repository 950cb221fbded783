//! Answers in words for a person at a desk (facts, section 8: 有效, 已过期, 已撤销 …), Chinese under a zh locale, else English.
//!
//! For reading only: nothing is decided on it. Programs take `--json`.
use crate::edge::identity::hex;
use crate::library::schema::Library;
use crate::receipt::report::Language;
use crate::receipt::{Kind, Outcome};
use crate::wire::proto::document::v1::{Check, DocumentVerdict, SealOwner};
use crate::wire::proto::exchange::v1::{Absence, Access, ListedSealUse, Payload, Truth, payload::Answer};
use crate::wire::proto::library::v1::{
    Date, Geometry, IssuerStanding, LicenceStanding, LicenceState, Provenance, Record,
};
use crate::wire::proto::receipt::v1::PurposeKind;

/// One line: what, and its value.
pub type Row = (String, String);

/// A text in Chinese and English.
type Both = (&'static str, &'static str);

/// Rows under each other, values in one column. Wide characters count two.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let widest = rows.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let line = |(label, value): &Row| {
        let gap = " ".repeat(widest.saturating_sub(width(label)));
        format!("  {label}{gap}  {}\n", value.replace('\n', " "))
    };
    rows.iter().map(line).collect()
}

/// Columns a text takes on a terminal; CJK takes two each.
fn width(text: &str) -> usize {
    text.chars().map(|c| if u32::from(c) >= 0x1100 { 2 } else { 1 }).sum()
}

/// What an answer says: a headline, and its rows.
#[must_use]
pub fn of_payload(payload: &Payload, language: Language) -> (String, Vec<Row>) {
    let say = |both: Both| language.pick(both).to_owned();
    let outcome = Outcome::try_from(payload.outcome).unwrap_or_default();
    let mut rows = Vec::new();
    let headline = match &payload.answer {
        Some(Answer::Record(record)) => {
            of_record(record, language, &mut rows);
            match &record.licence {
                Some(standing) => say(state(standing)),
                None => say(of_outcome(outcome)),
            }
        }
        Some(Answer::Absence(absence)) => {
            of_absence(absence, language, &mut rows);
            say(of_outcome(outcome))
        }
        Some(Answer::Match(answer)) => {
            truth(answer.truth(), &answer.reason, ("相符", "match"), ("不符", "no match"), language)
        }
        Some(Answer::Derive(answer)) => truth(answer.truth(), &answer.reason, ("是", "yes"), ("否", "no"), language),
        Some(Answer::Refusal(refusal)) => {
            let text = language.pick((refusal.text_zh.as_str(), refusal.text_en.as_str()));
            rows.push((refusal.reason.clone(), text.to_owned()));
            say(of_outcome(Outcome::Refused))
        }
        Some(Answer::PreparedLicence(prepared)) => {
            rows.push((say(("证照标识", "licence")), prepared.licence_id.clone()));
            say(("待签发", "ready to be signed"))
        }
        Some(Answer::Change(change)) => {
            for changed in &change.records {
                let library = u16::try_from(changed.library).ok().and_then(Library::from_number);
                let library = library.map_or_else(|| changed.library.to_string(), |l| say(of_library(l)));
                let name = [changed.name.as_str(), &format!("v{}", changed.version)].join(" ");
                rows.push((library, name.trim().to_owned()));
            }
            if change.rows > 0 {
                rows.push((say(("行数", "rows")), change.rows.to_string()));
            }
            say(of_outcome(outcome))
        }
        Some(Answer::AccessList(list)) => {
            rows.extend(list.accesses.iter().map(|access| of_access(access, language)));
            if list.next_before_index > 0 {
                rows.push((say(("下一页", "next page")), format!("--before {}", list.next_before_index)));
            }
            format!("{}: {}", say(("查询记录", "accesses")), list.accesses.len())
        }
        Some(Answer::SealUse(used)) => {
            rows.push((say(("签名时间", "signed")), instant(used.signed_at_s.saturating_mul(1_000))));
            rows.push((say(("用印方式", "signer")), used.signer.clone()));
            say(("用印", "seal applied"))
        }
        Some(Answer::SealUseList(list)) => {
            rows.extend(list.uses.iter().map(|used| of_seal_use(used, language)));
            if list.next_before_index > 0 {
                rows.push((say(("下一页", "next page")), format!("--before {}", list.next_before_index)));
            }
            format!("{}: {}", say(("用印记录", "uses of the seal")), list.uses.len())
        }
        Some(Answer::Summary(summary)) => {
            rows.extend(summary.counts.iter().map(|count| (count.reason.clone(), count.count.to_string())));
            format!("{} {}", say(("汇总，自", "summary since")), instant(summary.since_ms))
        }
        Some(Answer::Document(verdict)) => {
            of_document(verdict, language, &mut rows);
            language.pick((verdict.words.as_str(), verdict.words_en.as_str())).to_owned()
        }
        None => say(of_outcome(outcome)),
    };
    (headline, rows)
}

/// A paper: what is wrong with it, each signature, what is not covered, and the licence it names.
fn of_document(verdict: &DocumentVerdict, language: Language, rows: &mut Vec<Row>) {
    let say = |both: Both| language.pick(both).to_owned();
    if !verdict.reason.is_empty() {
        rows.push((say(("原因", "reason")), format!("{} {}", verdict.reason, verdict.detail)));
    }
    rows.extend(verdict.faults.iter().map(|fault| (fault.fault.clone(), fault.detail.clone())));
    for signature in &verdict.signatures {
        let word = match (signature.verdict.as_str(), signature.seal_owner()) {
            ("valid", SealOwner::Differs) => ("有效，但不是颁证机构的印章", "good, but not the issuing authority's"),
            ("valid", _) => ("有效", "good"),
            ("valid-but-not-anchored", _) => ("签名相符，签名者身份未核对", "fits, who signed was not checked"),
            _ => ("无效", "NOT GOOD"),
        };
        let name = if signature.seal_name.is_empty() { &signature.signer } else { &signature.seal_name };
        let reasons = signature.reasons.join(", ");
        let text = [name.as_str(), signature.signed_at.as_str(), language.pick(word), reasons.as_str()];
        let text: Vec<&str> = text.into_iter().filter(|part| !part.is_empty()).collect();
        rows.push((format!("{} {}", say(("签名", "signature")), signature.id), text.join("  ")));
    }
    rows.extend(verdict.uncovered.iter().map(|part| (say(("未受保护", "not covered")), part.clone())));
    if let Some(licence) = &verdict.licence {
        rows.push((say(("证照标识", "licence")), licence.licence_id.clone()));
        let words = language.pick((licence.words.as_str(), licence.words_en.as_str()));
        rows.push((say(("证照库", "in the library")), words.to_owned()));
        if !licence.covered {
            let text = ("所在内容无有效签名保护", "named where no good signature covers it");
            rows.push((say(("证照标识", "licence")), say(text)));
        }
        let file = match licence.file_matches() {
            Check::Yes => ("与签发时提交的文件一致", "the file handed in when it was issued"),
            Check::No => ("与签发时提交的文件不一致", "another file than the one handed in when it was issued"),
            Check::Unspecified => return,
        };
        rows.push((say(("文件", "file")), say(file)));
    }
}

/// The clerk's word for a licence's state. A distrusted issuer comes first: a person must look.
#[must_use]
pub fn state(standing: &LicenceStanding) -> Both {
    if standing.issuer_standing() == IssuerStanding::IssuerDistrusted { DISTRUSTED } else { state_beneath(standing) }
}

const DISTRUSTED: Both = ("需人工核对（签发密钥已停止信任）", "needs a person: the issuer's key is distrusted");

/// The word for the state itself, whoever signed.
fn state_beneath(standing: &LicenceStanding) -> Both {
    match standing.state() {
        LicenceState::Valid => ("有效", "valid"),
        LicenceState::Suspended => ("暂扣中", "suspended"),
        LicenceState::Rescinded => ("已撤销", "rescinded"),
        LicenceState::Cancelled => ("已注销", "cancelled"),
        LicenceState::Revoked => ("已吊销", "revoked"),
        LicenceState::TransferredOut => ("已转出", "transferred out"),
        LicenceState::NotYetValid => ("尚未生效", "not yet valid"),
        LicenceState::Lapsed if !standing.successor_licence_id.is_empty() => {
            ("已换新版", "replaced by a newer version")
        }
        LicenceState::Lapsed if !standing.document_number.is_empty() => ("已失效", "lapsed by order"),
        LicenceState::Lapsed => ("已过期", "expired"),
        LicenceState::Unspecified => ("状态不明", "state not stated"),
    }
}

/// The word for an outcome.
#[must_use]
pub fn of_outcome(outcome: Outcome) -> Both {
    match outcome {
        Outcome::Found => ("查得", "found"),
        Outcome::Absent => ("未查到（覆盖范围内确无记录）", "absent: covered, and not there"),
        Outcome::NotCovered => ("不在覆盖范围，不能断言有无", "not covered: nothing can be said"),
        Outcome::Uncertain => ("不确定（数据超期未更新）", "uncertain: the load that would tell is overdue"),
        Outcome::SourceUnavailable => ("数源暂不可用", "the source did not answer"),
        Outcome::Ambiguous => ("不唯一", "more than one fits"),
        Outcome::Refused => ("无权查询", "refused"),
        Outcome::Done => ("已办结", "done"),
        Outcome::Judged => ("已核验", "judged"),
        Outcome::Unspecified => ("结果不明", "outcome not stated"),
    }
}

/// An instant in Shanghai, to the second.
#[must_use]
pub fn instant(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (minute, second) = (seconds / 60 % 60, seconds % 60);
    format!(
        "{} {:02}:{minute:02}:{second:02}",
        crate::library::day::of_ms(unix_ms),
        crate::library::day::hour_of_ms(unix_ms)
    )
}

/// A day, `YYYY-MM-DD`.
#[must_use]
pub fn day(date: &Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

fn of_record(record: &Record, language: Language, rows: &mut Vec<Row>) {
    let say = |both: Both| language.pick(both).to_owned();
    let library = u16::try_from(record.library).ok().and_then(Library::from_number);
    if let Some(library) = library {
        rows.push((say(("库", "library")), say(of_library(library))));
    }
    if let Some(standing) = &record.licence {
        of_standing(standing, language, rows);
    }
    for field in &record.fields {
        let title = match (library.and_then(|l| l.field(&field.name)), language) {
            (Some(spec), Language::Chinese) => spec.title_zh.to_owned(),
            _ => field.name.clone(),
        };
        let mark = if field.masked { language.pick(("（脱敏）", " (masked)")) } else { "" };
        rows.push((title, format!("{}{mark}", field.value)));
    }
    if let Some(geometry) = &record.geometry {
        rows.push((say(("几何", "geometry")), of_geometry(geometry)));
    }
    if let Some(complete) = &record.complete_licence {
        let text = language.pick(("已附（原文与签发机构签名）", "attached, with the issuer's signature"));
        rows.push((say(("证照原文", "complete licence")), format!("{text}, {} B", complete.content.len())));
    }
    if let Some(provenance) = &record.provenance {
        rows.push((say(("来源", "source")), of_provenance(provenance, language)));
    }
    if !record.quality_flags.is_empty() {
        rows.push((say(("质量标记", "quality")), record.quality_flags.join(", ")));
    }
}

fn of_standing(standing: &LicenceStanding, language: Language, rows: &mut Vec<Row>) {
    let say = |both: Both| language.pick(both).to_owned();
    let mut text = say(state_beneath(standing));
    if let Some(since) = &standing.since {
        text += &format!("{}{}", language.pick(("，自 ", ", since ")), day(since));
    }
    rows.push((say(("状态", "state")), text));
    if standing.issuer_standing() == IssuerStanding::IssuerDistrusted {
        rows.push((say(("签发密钥", "issuer's key")), say(DISTRUSTED)));
    }
    if !standing.document_number.is_empty() {
        rows.push((say(("文号", "document")), standing.document_number.clone()));
    }
    if !standing.successor_licence_id.is_empty() {
        rows.push((say(("新版标识", "successor")), standing.successor_licence_id.clone()));
    }
    if standing.verified_at_ms > 0 {
        let certificate = hex(&standing.issuer_certificate_sha256).chars().take(16).collect::<String>();
        rows.push((
            say(("签发签名", "issuer's signature")),
            format!(
                "{} {} ({certificate}…)",
                language.pick(("枢纽核验于", "checked by the hub")),
                instant(standing.verified_at_ms)
            ),
        ));
    }
}

fn of_provenance(provenance: &Provenance, language: Language) -> String {
    let parts = [
        provenance.department.clone(),
        provenance.system.clone(),
        provenance.batch.clone(),
        format!("{}{}", language.pick(("数据时间 ", "as of ")), instant(provenance.source_time_ms)),
        format!("{}#{}", language.pick(("入链 ", "recorded ")), provenance.recorded_index),
        format!("{}{}", language.pick(("距今 ", "age ")), crate::receipt::report::age(provenance.age_s)),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn of_geometry(geometry: &Geometry) -> String {
    let point = geometry.point.as_ref().map(|p| format!("{}, {}", degrees(p.longitude_e9), degrees(p.latitude_e9)));
    let shape = point.unwrap_or_else(|| format!("{} polygon(s)", geometry.polygons.len()));
    format!("{shape} ({})", geometry.datum)
}

/// 1e-9 degrees as degrees, exactly.
fn degrees(e9: i64) -> String {
    let sign = if e9 < 0 { "-" } else { "" };
    let (whole, part) = (e9.unsigned_abs() / 1_000_000_000, e9.unsigned_abs() % 1_000_000_000);
    format!("{sign}{whole}.{part:09}")
}

fn of_absence(absence: &Absence, language: Language, rows: &mut Vec<Row>) {
    let say = |both: Both| language.pick(both).to_owned();
    if !absence.resource.is_empty() {
        rows.push((say(("信息资源", "resource")), absence.resource.clone()));
    }
    rows.push((say(("说明", "reason")), absence.reason.clone()));
    if let Some(loaded) = &absence.last_complete_load {
        rows.push((say(("最近完整归集", "last complete load")), day(loaded)));
    }
    if absence.update_cycle_days > 0 {
        rows.push((say(("更新周期（天）", "update cycle, days")), absence.update_cycle_days.to_string()));
    }
}

fn of_access(access: &Access, language: Language) -> Row {
    let operator = access.operator.clone().unwrap_or_default();
    let purpose = access.purpose.clone().unwrap_or_default();
    let kind = purpose.kind().as_str_name();
    let kind = kind.strip_prefix("PURPOSE_KIND_").unwrap_or(kind).to_ascii_lowercase();
    let what = Kind::try_from(access.kind).unwrap_or_default().as_str_name();
    let parts = [
        access.caller.clone(),
        [operator.id, operator.window].join(" ").trim().to_owned(),
        what.strip_prefix("KIND_").unwrap_or(what).to_owned(),
        match purpose.kind() {
            PurposeKind::Unspecified => String::new(),
            _ => [kind, purpose.item, purpose.reference, purpose.use_cause].join(" ").trim().to_owned(),
        },
        language.pick(of_outcome(Outcome::try_from(access.outcome).unwrap_or_default())).to_owned(),
    ];
    let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
    (format!("#{} {}", access.index, instant(access.time_s.saturating_mul(1_000))), text)
}

fn of_seal_use(used: &ListedSealUse, language: Language) -> Row {
    let used = used.clone();
    let access = Access {
        index: used.index,
        time_s: used.time_s,
        kind: used.kind,
        caller: used.caller,
        operator: used.operator,
        purpose: used.purpose,
        outcome: used.outcome,
    };
    of_access(&access, language)
}

fn truth(truth: Truth, reason: &str, yes: Both, no: Both, language: Language) -> String {
    let word = match truth {
        Truth::Yes => yes,
        Truth::No => no,
        Truth::Unknown | Truth::Unspecified => ("不知", "unknown"),
    };
    let word = language.pick(word);
    if reason.is_empty() { word.to_owned() } else { format!("{word} ({reason})") }
}

fn of_library(library: Library) -> Both {
    match library {
        Library::Population => ("人口库", "population"),
        Library::LegalEntity => ("法人库", "legal entities"),
        Library::Credit => ("信用库", "credit"),
        Library::Geospatial => ("地理空间库", "geospatial"),
        Library::Licence => ("电子证照库", "licences"),
        Library::Department => ("部门", "department"),
        Library::System => ("业务系统", "system"),
        Library::Grant => ("共享许可", "grant"),
        Library::Resource => ("信息资源", "resource"),
        Library::LicenceType => ("证照类型", "licence type"),
        Library::IssuerKey => ("签发密钥", "issuer key"),
        Library::Import => ("导入批次", "import"),
        Library::Seal => ("电子印章", "seal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::exchange::v1::{DeriveAnswer, MatchAnswer};
    use crate::wire::proto::library::v1::Field;

    fn standing(state: LicenceState) -> LicenceStanding {
        LicenceStanding { state: state.into(), issuer_standing: IssuerStanding::Good.into(), ..Default::default() }
    }

    #[test]
    fn every_state_has_the_clerks_word_and_a_distrusted_issuer_needs_a_person() {
        let word = |state_: LicenceState| state(&standing(state_)).0;
        assert_eq!(word(LicenceState::Valid), "有效");
        assert_eq!(word(LicenceState::Suspended), "暂扣中");
        assert_eq!(word(LicenceState::Rescinded), "已撤销");
        assert_eq!(word(LicenceState::Revoked), "已吊销");
        assert_eq!(word(LicenceState::Cancelled), "已注销");
        assert_eq!(word(LicenceState::Lapsed), "已过期");
        let ordered = LicenceStanding { document_number: "文".into(), ..standing(LicenceState::Lapsed) };
        assert_eq!(state(&ordered).0, "已失效");
        let replaced = LicenceStanding { successor_licence_id: "x".into(), ..ordered };
        assert_eq!(state(&replaced).0, "已换新版");
        let distrusted = LicenceStanding {
            issuer_standing: IssuerStanding::IssuerDistrusted.into(),
            ..standing(LicenceState::Valid)
        };
        assert!(state(&distrusted).0.starts_with("需人工核对"));
    }

    #[test]
    fn a_record_is_told_with_titles_masks_and_source() {
        let field = |name: &str, value: &str, masked| Field { name: name.into(), value: value.into(), masked };
        let record = Record {
            library: 1,
            fields: vec![field("name", "张*", true), field("other", "x", false)],
            provenance: Some(Provenance { department: "police".into(), age_s: 61, ..Default::default() }),
            ..Default::default()
        };
        let payload =
            Payload { outcome: Outcome::Found.into(), answer: Some(Answer::Record(record)), ..Default::default() };
        let (headline, rows) = of_payload(&payload, Language::Chinese);
        let text = table(&rows);
        assert_eq!(headline, "查得");
        for part in ["人口库", "姓名", "张*（脱敏）", "other", "police", "1 min 1 s"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn absent_not_covered_and_uncertain_are_told_apart() {
        let mut said: Vec<_> = [Outcome::Absent, Outcome::NotCovered, Outcome::Uncertain, Outcome::SourceUnavailable]
            .map(|outcome| {
                let absence = Some(Answer::Absence(Absence { reason: "R".into(), ..Default::default() }));
                of_payload(
                    &Payload { outcome: outcome.into(), answer: absence, ..Default::default() },
                    Language::Chinese,
                )
                .0
            })
            .into();
        assert!(said[0].starts_with("未查到"), "{}", said[0]);
        said.dedup();
        assert_eq!(said.len(), 4);
    }

    #[test]
    fn yes_no_and_not_known_are_told_with_the_reason() {
        let told = |answer| of_payload(&Payload { answer: Some(answer), ..Default::default() }, Language::English).0;
        assert_eq!(told(Answer::Match(MatchAnswer { truth: Truth::Yes.into(), reason: String::new() })), "match");
        assert_eq!(told(Answer::Derive(DeriveAnswer { truth: Truth::No.into(), reason: String::new() })), "no");
        let unknown = DeriveAnswer { truth: Truth::Unknown.into(), reason: "LOAD_OVERDUE".into() };
        assert_eq!(told(Answer::Derive(unknown)), "unknown (LOAD_OVERDUE)");
    }

    #[test]
    fn columns_line_up_under_wide_characters_and_values_stay_on_their_line() {
        let row = |label: &str, value: &str| (label.to_owned(), value.to_owned());
        assert_eq!(table(&[row("姓名", "a"), row("x", "b\nc")]), "  姓名  a\n  x     b c\n");
        assert_eq!(degrees(-121_000_000_001), "-121.000000001");
        assert_eq!(instant(1_767_196_799_000), "2025-12-31 23:59:59");
    }
}
