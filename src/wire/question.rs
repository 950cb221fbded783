//! Questions from their bytes: canonical, every code a type, every fault named at once.
use super::proto::exchange::v1 as x;
use super::proto::library::v1 as lib;
use super::proto::receipt::v1::{CallerSignature, Kind, Operator, Purpose, PurposeKind};
use crate::failure::{Failure, FieldFault};
use crate::library::codes::{CalendarDate, CodeFault, Division, HolderCode, LicenceId, LicenceTypeCode, Uscc};
use crate::library::day;
use crate::library::question::{AsOf, Asked, Fact, Mode, Place, Question, RecordKey, Recorded};
use crate::library::schema::Library;
use crate::limits::{NONCE_BYTES, USE_CAUSE_CHARS_MAX};
use crate::receipt::canonical;
use bytes::Bytes;
use prost::Message;

const TEXT_CHARS_MAX: usize = 128;
const FIELDS_MAX: usize = 100;
const SEEN_BYTES_MAX: usize = 2_048;
const SEAL_ID_CHARS_MAX: usize = 64;

/// Collects what is wrong while a message is read.
#[derive(Default)]
pub struct Faults(Vec<FieldFault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, field: impl Into<String>, zh: impl Into<String>, en: impl Into<String>) {
        self.0.push(FieldFault::new(field, zh.into(), en.into()));
    }

    fn code<T>(&mut self, field: &str, parsed: Result<T, CodeFault>) -> Option<T> {
        parsed.map_err(|fault| self.add(field, fault.zh(), fault.en())).ok()
    }

    /// The value, unless something was wrong.
    ///
    /// # Errors
    /// REQUEST_MALFORMED with every fault.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Failure> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Failure::malformed(self.0)),
        }
    }
}

/// Reads a look-up question.
///
/// # Errors
/// REQUEST_MALFORMED with every fault; so do all of these.
pub fn look_up(bytes: Bytes, kind: Kind, signature: Option<CallerSignature>) -> Result<Asked, Failure> {
    let q: x::LookUpQuestion = decode(&bytes)?;
    let mut faults = Faults::default();
    let context = context(q.context, &mut faults);
    let key = record_key(q.key, &mut faults);
    fields(&q.fields, &mut faults);
    let mode = mode(q.mode, &mut faults);
    let question =
        key.map(|key| Question::LookUp { key, fields: q.fields, complete: q.complete_licence, mode: mode.flatten() });
    asked(kind, bytes, context, question, signature, faults)
}

/// Reads a match question.
#[allow(clippy::missing_errors_doc)]
pub fn matching(bytes: Bytes, signature: Option<CallerSignature>) -> Result<Asked, Failure> {
    let q: x::MatchQuestion = decode(&bytes)?;
    let mut faults = Faults::default();
    let context = context(q.context, &mut faults);
    let holder = holder("holder", q.holder, &mut faults);
    if q.name.trim().is_empty() || q.name.chars().count() > TEXT_CHARS_MAX {
        faults.add("name", "缺少姓名或名称，或超过 128 个字符。", "A name of at most 128 characters is required.");
    }
    let question = holder.map(|holder| Question::Match { holder, name: q.name });
    asked(Kind::Match, bytes, context, question, signature, faults)
}

/// Reads a derived-fact question.
#[allow(clippy::missing_errors_doc)]
pub fn derive(bytes: Bytes, signature: Option<CallerSignature>) -> Result<Asked, Failure> {
    use x::derive_question::Fact as F;
    let q: x::DeriveQuestion = decode(&bytes)?;
    let mut faults = Faults::default();
    let context = context(q.context, &mut faults);
    let fact = match q.fact {
        None => {
            faults.add("fact", "未说明要问的事实。", "Name one fact.");
            None
        }
        Some(F::AgeAtLeast(f)) => {
            let person = holder("fact.person", f.person, &mut faults);
            let years = u16::try_from(f.years).ok().filter(|y| (1..=150).contains(y));
            if years.is_none() {
                faults.add("fact.years", "年龄应为 1 至 150。", "Years are 1 to 150.");
            }
            person.zip(years).map(|(person, years)| Fact::AgeAtLeast { person, years })
        }
        Some(F::LicenceValidOn(f)) => {
            let day = date("fact.day", f.day, &mut faults);
            let licence = faults.code("fact.licence_id", LicenceId::parse(&f.licence_id));
            licence.zip(day).map(|(licence, day)| Fact::LicenceValidOn { licence, day })
        }
        Some(F::NotListedOn(f)) => {
            let subject = holder("fact.subject", f.subject, &mut faults);
            let day = date("fact.day", f.day, &mut faults);
            if f.category.is_empty() || f.category.chars().count() > TEXT_CHARS_MAX {
                faults.add("fact.category", "缺少名单类别。", "Name the list.");
            }
            subject.zip(day).map(|(subject, day)| Fact::NotListedOn { subject, category: f.category, day })
        }
        Some(F::RegisteredIn(f)) => {
            let subject = holder("fact.subject", f.subject, &mut faults);
            let division = faults.code("fact.division", Division::parse(&f.division));
            subject.zip(division).map(|(subject, division)| Fact::RegisteredIn { subject, division })
        }
        Some(F::Represents(f)) => {
            let person = holder("fact.person", f.person, &mut faults);
            let entity = faults.code("fact.uscc", Uscc::parse(&f.uscc));
            person.zip(entity).map(|(person, entity)| Fact::Represents { person, entity })
        }
    };
    asked(Kind::Derive, bytes, context, fact.map(Question::Derive), signature, faults)
}

/// Reads a question by holder.
#[allow(clippy::missing_errors_doc)]
pub fn by_holder(bytes: Bytes) -> Result<Asked, Failure> {
    let q: x::HolderQuestion = decode(&bytes)?;
    let mut faults = Faults::default();
    let context = context(q.context, &mut faults);
    let holder = holder("holder", q.holder, &mut faults);
    fields(&q.fields, &mut faults);
    if q.licence_types.len() > FIELDS_MAX || q.libraries.len() > FIELDS_MAX {
        faults.add("licence_types", "类型或基础库过多。", "Too many types or libraries.");
    }
    for (n, code) in q.licence_types.iter().enumerate() {
        faults.code(&format!("licence_types[{n}]"), LicenceTypeCode::parse(code));
    }
    let mut libraries = Vec::new();
    for (n, number) in q.libraries.iter().enumerate() {
        match u16::try_from(*number)
            .ok()
            .and_then(Library::from_number)
            .filter(|l| l.is_base() && *l != Library::Geospatial)
        {
            Some(library) => libraries.push(library),
            None => faults.add(format!("libraries[{n}]"), "该库不能按持证主体查询。", "This library has no holders."),
        }
    }
    let question =
        holder.map(|holder| Question::Holder { holder, licence_types: q.licence_types, libraries, fields: q.fields });
    asked(Kind::Holder, bytes, context, question, None, faults)
}

/// Reads a question by place; `after` is the key its page token held.
#[allow(clippy::missing_errors_doc)]
pub fn by_place(bytes: Bytes, after: impl FnOnce(&str) -> Result<Option<[u8; 16]>, Failure>) -> Result<Asked, Failure> {
    use x::area_question::Where as W;
    let q: x::AreaQuestion = decode(&bytes)?;
    let mut faults = Faults::default();
    let context = context(q.context, &mut faults);
    fields(&q.fields, &mut faults);
    let place = match q.r#where {
        Some(W::Point(p)) => {
            let inside =
                p.longitude_e9.unsigned_abs() <= 180_000_000_000 && p.latitude_e9.unsigned_abs() <= 90_000_000_000;
            if !inside {
                faults.add(
                    "where.point",
                    "坐标超出范围（单位为 1e-9 度）。",
                    "Outside the globe; the unit is 1e-9 degree.",
                );
            }
            Some(Place::Point(p.longitude_e9, p.latitude_e9))
        }
        Some(W::WithinFeature(code)) if !code.is_empty() && code.len() <= TEXT_CHARS_MAX => Some(Place::Within(code)),
        _ => {
            faults.add("where", "未说明位置。", "Name a point or a feature.");
            None
        }
    };
    if q.kind.len() > TEXT_CHARS_MAX {
        faults.add("kind", "要素类别过长。", "The kind is too long.");
    }
    let limit = match q.limit {
        0 => 50,
        n @ 1..=200 => usize::try_from(n).unwrap_or(50),
        _ => {
            faults.add("limit", "至多 200。", "At most 200.");
            50
        }
    };
    let after = after(&q.page_token)?;
    let question = place.map(|place| Question::Area { place, kind: q.kind, fields: q.fields, limit, after });
    asked(Kind::Area, bytes, context, question, None, faults)
}

struct Context {
    purpose: Purpose,
    operator: Operator,
    as_of: AsOf,
    seen: Bytes,
    seal: Option<String>,
}

fn asked(
    kind: Kind,
    bytes: Bytes,
    context: Option<Context>,
    question: Option<Question>,
    caller_signature: Option<CallerSignature>,
    faults: Faults,
) -> Result<Asked, Failure> {
    let (context, question) = faults.finish(context.zip(question))?;
    let Context { purpose, operator, as_of, seen, seal } = context;
    Ok(Asked { kind, bytes, purpose, operator, as_of, seen, caller_signature, question, seal })
}

fn decode<M: Message + Default>(bytes: &Bytes) -> Result<M, Failure> {
    canonical::decode(bytes).map_err(|_| {
        Failure::field(
            "question",
            "问题不是规范编码的消息（字段须按编号升序，不含默认值和未知字段）。",
            "The question is no canonical message: fields ascending, no defaults, nothing unknown.",
        )
    })
}

fn context(context: Option<x::Context>, faults: &mut Faults) -> Option<Context> {
    let Some(context) = context else {
        faults.add("context", "缺少随机数、用途和经办人。", "Nonce, purpose and operator are required.");
        return None;
    };
    nonce("context.nonce", &context.nonce, faults);
    let purpose = context.purpose.unwrap_or_default();
    purpose_of_question("context.purpose", &purpose, faults);
    let operator = context.operator.unwrap_or_default();
    check_operator("context.operator", &operator, faults);
    if context.seen.len() > SEEN_BYTES_MAX {
        faults.add("context.seen", "检查点过长。", "The checkpoint is too long.");
    }
    let as_of = as_of(context.as_of, faults);
    if !context.seal_id.is_empty() {
        seal_id("context.seal_id", &context.seal_id, faults);
    }
    let seal = Some(context.seal_id).filter(|id| !id.is_empty());
    Some(Context { purpose, operator, as_of, seen: context.seen, seal })
}

/// Visible ASCII, at most 64 characters, as esID is.
pub fn seal_id(field: &str, id: &str, faults: &mut Faults) {
    if id.is_empty() || id.len() > SEAL_ID_CHARS_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        faults.add(
            field,
            "印章标识为 1 至 64 个可见 ASCII 字符。",
            "A seal's identifier has 1 to 64 visible ASCII characters.",
        );
    }
}

/// 16 to 64 bytes.
pub fn nonce(field: &str, nonce: &[u8], faults: &mut Faults) {
    if !NONCE_BYTES.contains(&nonce.len()) {
        faults.add(field, "随机数应为 16 至 64 字节。", "The nonce has 16 to 64 bytes.");
    }
}

/// Whether a purpose says what its kind needs: item and case for handling and pre-check, task or policy code for those.
pub fn purpose_of_question(field: &str, purpose: &Purpose, faults: &mut Faults) {
    let (needs_item, needs_reference) = match purpose.kind() {
        PurposeKind::Handling | PurposeKind::PreCheck => (true, true),
        PurposeKind::Supervision | PurposeKind::Policy => (false, true),
        PurposeKind::Correction | PurposeKind::Audit => (false, false),
        PurposeKind::Administration | PurposeKind::Unspecified => {
            faults.add(format!("{field}.kind"), "未说明用途类别。", "Say which kind of purpose.");
            (false, false)
        }
    };
    if needs_item && purpose.item.trim().is_empty() {
        faults.add(format!("{field}.item"), "缺少事项编码。", "Name the service item.");
    }
    if needs_reference && purpose.reference.trim().is_empty() {
        faults.add(format!("{field}.reference"), "缺少办件、任务或政策编号。", "Name the case, task or policy.");
    }
    if purpose.use_cause.trim().is_empty() {
        faults.add(format!("{field}.use_cause"), "缺少申请事由。", "Say in a few words what it is for.");
    }
    check_purpose(field, purpose, faults);
}

/// Lengths of a purpose, for changes too.
pub fn check_purpose(field: &str, purpose: &Purpose, faults: &mut Faults) {
    if purpose.use_cause.chars().count() > USE_CAUSE_CHARS_MAX {
        faults.add(format!("{field}.use_cause"), "申请事由超过 200 个字符。", "At most 200 characters.");
    }
    for (name, text) in [("item", &purpose.item), ("reference", &purpose.reference)] {
        if text.chars().count() > TEXT_CHARS_MAX {
            faults.add(format!("{field}.{name}"), "超过 128 个字符。", "At most 128 characters.");
        }
    }
}

/// Lengths of an operator.
pub fn check_operator(field: &str, operator: &Operator, faults: &mut Faults) {
    for (name, text) in [("id", &operator.id), ("window", &operator.window)] {
        if text.chars().count() > TEXT_CHARS_MAX {
            faults.add(format!("{field}.{name}"), "超过 128 个字符。", "At most 128 characters.");
        }
    }
}

fn as_of(as_of: Option<x::AsOf>, faults: &mut Faults) -> AsOf {
    let Some(as_of) = as_of else { return AsOf::default() };
    let valid_on = date("context.as_of.valid_on", as_of.valid_on, faults).flatten();
    let recorded = match (as_of.recorded_position, as_of.recorded_time_s) {
        (0, 0) => None,
        (position, 0) => Some(Recorded::Position(position)),
        (0, second) => Some(Recorded::Second(second)),
        _ => {
            let zh = "记录位置与记录时间只能给一个。";
            faults.add("context.as_of", zh, "Give a recorded position or a recorded time, not both.");
            None
        }
    };
    AsOf { valid_on, recorded }
}

/// `Some(None)` where no day was given.
fn date(field: &str, date: Option<lib::Date>, faults: &mut Faults) -> Option<Option<CalendarDate>> {
    let Some(date) = date else { return Some(None) };
    let day = day::from_proto(&date);
    if day.is_none() {
        faults.add(field, "没有这一天。", "There is no such day.");
    }
    day.map(Some)
}

fn mode(mode: i32, faults: &mut Faults) -> Option<Option<Mode>> {
    match x::AnswerMode::try_from(mode) {
        Ok(x::AnswerMode::Unspecified) => Some(None),
        Ok(x::AnswerMode::YesNo) => Some(Some(Mode::YesNo)),
        Ok(x::AnswerMode::Masked) => Some(Some(Mode::Masked)),
        Ok(x::AnswerMode::Full) => Some(Some(Mode::Full)),
        Err(_) => {
            faults.add("mode", "未知的答复方式。", "Unknown answer mode.");
            None
        }
    }
}

fn fields(fields: &[String], faults: &mut Faults) {
    if fields.len() > FIELDS_MAX {
        faults.add("fields", "字段过多。", "Too many fields.");
    }
    for (n, field) in fields.iter().enumerate() {
        if field.is_empty() || field.len() > TEXT_CHARS_MAX || fields.iter().take(n).any(|earlier| earlier == field) {
            faults.add(format!("fields[{n}]"), "字段名为空、过长或重复。", "Empty, too long, or named twice.");
        }
    }
}

fn holder(field: &str, code: Option<lib::HolderCode>, faults: &mut Faults) -> Option<HolderCode> {
    let Some(code) = code else {
        faults.add(field, "缺少持证主体代码。", "A holder code is required.");
        return None;
    };
    let field = format!("{field}.code");
    faults.code(&field, HolderCode::parse_canonical(&code.code_type, &code.code))
}

fn record_key(key: Option<lib::RecordKey>, faults: &mut Faults) -> Option<RecordKey> {
    use lib::record_key::Key as K;
    let Some(key) = key.and_then(|key| key.key) else {
        faults.add("key", "未说明要查的记录。", "Name one record.");
        return None;
    };
    match key {
        K::Person(code) => {
            let holder = holder("key.person", Some(code), faults)?;
            if !holder.code_type().is_person() {
                faults.add("key.person.code_type", "不是自然人的代码类型。", "Is no type of a person's code.");
            }
            Some(RecordKey::Person(holder))
        }
        K::Uscc(text) => {
            faults.code("key.uscc", canonical_text(&text, Uscc::parse(&text), Uscc::as_str)).map(RecordKey::Entity)
        }
        K::Credit(credit) => {
            let subject = holder("key.credit.subject", credit.subject, faults)?;
            if credit.record_id.is_empty() || credit.record_id.chars().count() > TEXT_CHARS_MAX {
                faults.add("key.credit.record_id", "缺少记录编号。", "The source's number of the record is required.");
            }
            Some(RecordKey::Credit { subject, record_id: credit.record_id })
        }
        K::FeatureCode(code) => {
            if code.is_empty() || code.len() > TEXT_CHARS_MAX {
                faults.add("key.feature_code", "缺少要素代码。", "A feature code is required.");
            }
            Some(RecordKey::Feature(code))
        }
        K::LicenceId(text) => faults.code("key.licence_id", LicenceId::parse(&text)).map(RecordKey::Licence),
    }
}

/// A key that was sent in another form than its canonical one is malformed: the recorded question names the canonical key.
fn canonical_text<T>(text: &str, parsed: Result<T, CodeFault>, canonical: impl Fn(&T) -> &str) -> Result<T, CodeFault> {
    let parsed = parsed?;
    if canonical(&parsed) == text {
        return Ok(parsed);
    }
    Err(CodeFault::new(
        crate::library::codes::CodeKind::Uscc,
        crate::library::codes::Problem::NotCanonical { should_be: canonical(&parsed).to_owned() },
    ))
}
