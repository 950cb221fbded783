//! Questions from what was typed: codes brought into their canonical form, canonical bytes, a fresh nonce in each.
use super::{RecordArgs, Shared, What};
use crate::cli::connection::{Stop, fresh};
use crate::library::codes::{CalendarDate, Division, HolderCode, LicenceId, Uscc};
use crate::library::day;
use crate::limits::BATCH_ITEMS_MAX;
use crate::receipt::canonical;
use crate::wire::proto::exchange::v1 as x;
use crate::wire::proto::library::v1 as lib;
use bytes::Bytes;
use std::io::Read as _;
use std::path::Path;

/// A question in its bytes, by the rpc it goes to.
#[derive(Clone, Debug)]
pub(super) enum Ready {
    LookUp(Bytes),
    Match(Bytes),
    Derive(Bytes),
    Holder(Bytes),
    Area(Bytes),
    Batch(Vec<Bytes>),
}

impl Ready {
    /// The questions as sent.
    pub(super) fn questions(&self) -> Vec<Bytes> {
        match self {
            Self::LookUp(q) | Self::Match(q) | Self::Derive(q) | Self::Holder(q) | Self::Area(q) => vec![q.clone()],
            Self::Batch(all) => all.clone(),
        }
    }
}

/// The question of a command line.
pub(super) fn ready(what: &What) -> Result<Ready, Stop> {
    use lib::record_key::Key as K;
    use x::derive_question::Fact as F;
    let shared = what.shared();
    match what {
        What::Licence { id, complete, record } => {
            look_up(record, K::LicenceId(licence(id)?), *complete).map(Ready::LookUp)
        }
        What::Person { code, code_type, record } => {
            look_up(record, K::Person(holder(Some(code_type), code)?), false).map(Ready::LookUp)
        }
        What::Entity { uscc, record } => look_up(record, K::Uscc(entity(uscc)?), false).map(Ready::LookUp),
        What::Credit { subject, record_id, code_type, record } => {
            let subject = Some(holder(code_type.as_deref(), subject)?);
            let key = lib::CreditKey { subject, record_id: record_id.clone() };
            look_up(record, K::Credit(key), false).map(Ready::LookUp)
        }
        What::Feature { code, record } => look_up(record, K::FeatureCode(code.clone()), false).map(Ready::LookUp),
        What::Match { code, name, code_type, .. } => {
            let holder = Some(holder(code_type.as_deref(), code)?);
            let context = Some(context(shared)?);
            Ok(Ready::Match(bytes(&x::MatchQuestion { context, holder, name: name.clone() })))
        }
        What::Age { code, years, code_type, .. } => {
            let person = Some(holder(Some(code_type), code)?);
            derive(shared, F::AgeAtLeast(x::AgeAtLeast { person, years: *years }))
        }
        What::ValidOn { id, day, .. } => {
            let day = day.map(day::to_proto);
            derive(shared, F::LicenceValidOn(x::LicenceValidOn { licence_id: licence(id)?, day }))
        }
        What::NotListed { code, category, day, code_type, .. } => {
            let (subject, day) = (Some(holder(code_type.as_deref(), code)?), day.map(day::to_proto));
            derive(shared, F::NotListedOn(x::NotListedOn { subject, category: category.clone(), day }))
        }
        What::RegisteredIn { code, division, code_type, .. } => {
            let subject = Some(holder(code_type.as_deref(), code)?);
            let division = Division::parse(division).map_err(|fault| wrong(&fault))?.as_str().to_owned();
            derive(shared, F::RegisteredIn(x::RegisteredIn { subject, division }))
        }
        What::Represents { code, uscc, code_type, .. } => {
            let person = Some(holder(Some(code_type), code)?);
            derive(shared, F::Represents(x::Represents { person, uscc: entity(uscc)? }))
        }
        What::Holder { code, code_type, types, libraries, fields, .. } => {
            let question = x::HolderQuestion {
                context: Some(context(shared)?),
                holder: Some(holder(code_type.as_deref(), code)?),
                licence_types: types.clone(),
                libraries: libraries.iter().map(|word| word.library().into()).collect(),
                fields: fields.clone(),
            };
            Ok(Ready::Holder(bytes(&question)))
        }
        What::Area { point, within, kind, fields, limit, page_token, .. } => {
            use x::area_question::Where as W;
            let question = x::AreaQuestion {
                context: Some(context(shared)?),
                r#where: point.map(W::Point).or_else(|| within.clone().map(W::WithinFeature)),
                kind: kind.clone(),
                fields: fields.clone(),
                limit: *limit,
                page_token: page_token.clone(),
            };
            Ok(Ready::Area(bytes(&question)))
        }
        What::Batch { file, record } => batch(record, &text_of(file)?),
    }
}

fn look_up(record: &RecordArgs, key: lib::record_key::Key, complete: bool) -> Result<Bytes, Stop> {
    Ok(bytes(&x::LookUpQuestion {
        context: Some(context(&record.shared)?),
        key: Some(lib::RecordKey { key: Some(key) }),
        fields: record.fields.clone(),
        complete_licence: complete,
        mode: record.mode.map(|word| word.mode().into()).unwrap_or_default(),
    }))
}

fn derive(shared: &Shared, fact: x::derive_question::Fact) -> Result<Ready, Stop> {
    Ok(Ready::Derive(bytes(&x::DeriveQuestion { context: Some(context(shared)?), fact: Some(fact) })))
}

/// Every line a question of its own; a line that is no key is named by its number.
fn batch(record: &RecordArgs, text: &str) -> Result<Ready, Stop> {
    use lib::record_key::Key as K;
    let mut questions = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            ["licence", id] => licence(id).map(K::LicenceId),
            ["person", code] => holder(Some("111"), code).map(K::Person),
            ["person", code, code_type] => holder(Some(code_type), code).map(K::Person),
            ["entity", uscc] => entity(uscc).map(K::Uscc),
            ["credit", subject, record_id] => holder(None, subject)
                .map(|code| K::Credit(lib::CreditKey { subject: Some(code), record_id: (*record_id).to_owned() })),
            ["feature", code] => Ok(K::FeatureCode((*code).to_owned())),
            _ => Err(Stop::usage("应为 licence、person、entity、credit 或 feature 加代码。Not a key; see --help.")),
        };
        let key = key.map_err(|stop| Stop::usage(format!("line {}: {}", n + 1, stop.text)))?;
        questions.push(look_up(record, key, false)?);
    }
    match questions.len() {
        1..=BATCH_ITEMS_MAX => Ok(Ready::Batch(questions)),
        n => Err(Stop::usage(format!("a batch has 1 to {BATCH_ITEMS_MAX} keys, not {n} (批量查询 1 至 200 项)"))),
    }
}

fn context(shared: &Shared) -> Result<x::Context, Stop> {
    let as_of = x::AsOf {
        valid_on: shared.on.map(day::to_proto),
        recorded_position: shared.position.unwrap_or_default(),
        recorded_time_s: shared.recorded_at.unwrap_or_default(),
    };
    let seen = match &shared.seen {
        Some(path) => std::fs::read(path).map_err(|e| Stop::usage(format!("{}: {e}", path.display())))?,
        None => Vec::new(),
    };
    Ok(x::Context {
        nonce: Bytes::copy_from_slice(&fresh::<32>()?),
        purpose: Some(shared.purpose.of_question()),
        operator: shared.purpose.operator(),
        as_of: (as_of != x::AsOf::default()).then_some(as_of),
        seen: seen.into(),
        seal_id: shared.sealed_by.clone().unwrap_or_default(),
    })
}

fn bytes<M: prost::Message>(question: &M) -> Bytes {
    canonical::encode(question).into()
}

/// A holder code in canonical form. Without a type: a citizen's number if it is one, else a unified social credit code if it
/// is one; the check digits of both leave next to no doubt.
pub(in crate::cli) fn holder(code_type: Option<&str>, code: &str) -> Result<lib::HolderCode, Stop> {
    let parsed = match code_type {
        Some(code_type) => HolderCode::parse(code_type, code),
        None => HolderCode::parse("111", code).or_else(|fault| HolderCode::parse("001", code).map_err(|_| fault)),
    };
    let parsed = parsed.map_err(|fault| wrong(&fault))?;
    said_otherwise(code, parsed.code());
    Ok(lib::HolderCode { code_type: parsed.code_type().as_str().to_owned(), code: parsed.code().to_owned() })
}

/// A unified social credit code in canonical form.
fn entity(text: &str) -> Result<String, Stop> {
    let parsed = Uscc::parse(text).map_err(|fault| wrong(&fault))?;
    said_otherwise(text, parsed.as_str());
    Ok(parsed.as_str().to_owned())
}

/// A licence identifier in canonical form; a wrong check character is asked for as it is, and said.
pub(in crate::cli) fn licence(text: &str) -> Result<String, Stop> {
    let (id, flag) = LicenceId::parse_lenient(text).map_err(|fault| wrong(&fault))?;
    if let Some(flag) = flag {
        eprintln!("wuku: {text}: {} ({})", flag.zh(), flag.name());
    }
    let canonical = id.to_string();
    said_otherwise(text, &canonical);
    Ok(canonical)
}

fn said_otherwise(typed: &str, asked: &str) {
    if typed != asked {
        eprintln!("wuku: asking for {asked} (按规范写法查询)");
    }
}

fn wrong(fault: &crate::library::codes::CodeFault) -> Stop {
    Stop::usage(format!("{}\n  {}", fault.zh(), fault.en()))
}

/// A small text file, or standard input for `-`.
fn text_of(path: &Path) -> Result<String, Stop> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|e| Stop::usage(format!("{}: {e}", path.display())))
}

/// A day as typed.
pub(in crate::cli) fn parse_day(text: &str) -> Result<CalendarDate, String> {
    CalendarDate::parse(text).map_err(|fault| format!("{} {}", fault.zh(), fault.en()))
}

/// A second as typed: Unix seconds, or `YYYY-MM-DDThh:mm:ss` with `Z` or an offset (RFC 3339); a fraction is cut.
pub(super) fn parse_instant(text: &str) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| "too large".to_owned());
    }
    rfc_3339(text).ok_or_else(|| "use Unix seconds or RFC 3339, as 2026-06-30T09:00:00+08:00".to_owned())
}

fn rfc_3339(text: &str) -> Option<u64> {
    let (day, rest) = text.split_once(['T', 't', ' '])?;
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, date] = parts.as_slice() else { return None };
    let number = |text: &str, digits: usize| -> Option<i64> {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let day = CalendarDate::new(
        u16::try_from(number(year, 4)?).ok()?,
        u8::try_from(number(month, 2)?).ok()?,
        u8::try_from(number(date, 2)?).ok()?,
    )?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at_checked(zone)?;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let seconds = number(hours, 2)?.checked_mul(3_600)?.checked_add(number(minutes, 2)?.checked_mul(60)?)?;
            if zone.starts_with('-') { seconds.checked_neg()? } else { seconds }
        }
    };
    let time = match time.split_once('.') {
        Some((whole, part)) if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => whole,
        Some(_) => return None,
        None => time,
    };
    let parts: Vec<i64> = time.split(':').map(|part| number(part, 2)).collect::<Option<_>>()?;
    let [hour @ 0..=23, minute @ 0..=59, second @ 0..=60] = parts.as_slice() else { return None };
    let days = i64::from(day.day_number()).checked_mul(86_400)?;
    let within = hour.checked_mul(3_600)?.checked_add(minute.checked_mul(60)?)?.checked_add(*second)?;
    u64::try_from(days.checked_add(within)?.checked_sub(offset)?).ok()
}

/// `LONGITUDE,LATITUDE` in degrees, read digit by digit: no rounding between what was typed and what is asked.
pub(super) fn parse_point(text: &str) -> Result<lib::Point, String> {
    let form = || "use LONGITUDE,LATITUDE in degrees, as 121.03,29.14".to_owned();
    let (longitude, latitude) = text.split_once([',', '，']).ok_or_else(form)?;
    let point = lib::Point {
        longitude_e9: degrees(longitude.trim()).ok_or_else(form)?,
        latitude_e9: degrees(latitude.trim()).ok_or_else(form)?,
    };
    let inside =
        point.longitude_e9.unsigned_abs() <= 180_000_000_000 && point.latitude_e9.unsigned_abs() <= 90_000_000_000;
    if inside { Ok(point) } else { Err("outside the globe; longitude comes first (经度在前)".to_owned()) }
}

fn degrees(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || part.len() > 9 || !plain(whole) || !plain(part) {
        return None;
    }
    let e9: i64 = format!("{whole}{part:0<9}").parse().ok()?;
    Some(if negative { -e9 } else { e9 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lookup::LookupArgs;
    use crate::receipt::Kind;
    use crate::wire::proto::receipt::v1::PurposeKind;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        lookup: LookupArgs,
    }

    const PLACE: [&str; 8] = ["--hub", "https://h:1", "--ca", "a", "--cert", "c", "--key", "k"];
    const WHY: [&str; 6] = ["--item", "I", "--reference", "R", "--cause", "核对"];
    const ID: &str = "11010519491231002X";

    fn read(words: &[&str]) -> Result<Ready, Stop> {
        let line = ["wuku"].iter().chain(words).chain(&PLACE).chain(&WHY);
        let line = Line::try_parse_from(line).unwrap_or_else(|e| panic!("{words:?}: {e}"));
        ready(&line.lookup.what)
    }

    #[test]
    fn every_kind_of_question_typed_is_one_the_hub_reads() {
        let id = LicenceId::make(
            &crate::library::codes::LicenceTypeCode::parse("11100000000013338W001").unwrap(),
            &Uscc::parse("11331023MB0T74698J").unwrap(),
            "12345678901234567890",
            1,
        );
        let id = id.unwrap().to_string();
        let uscc = "91460100MA5THWMM2J";
        let lines: &[&[&str]] = &[
            &["licence", &id, "--complete", "--fields", "number,holder_name", "--on", "2026-06-30"],
            &["person", "11010519491231002x", "--mode", "masked", "--operator", "7", "--window", "3"],
            &["entity", uscc, "--position", "12"],
            &["credit", uscc, "P-1", "--recorded-at", "2026-06-30T09:00:00+08:00"],
            &["feature", "331023", "--mode", "yes-no"],
        ];
        for words in lines {
            let Ready::LookUp(bytes) = read(words).unwrap() else { panic!("{words:?}") };
            crate::wire::question::look_up(bytes, Kind::LookUp, None).unwrap();
        }
        let Ready::Match(bytes) = read(&["match", ID, "张·三"]).unwrap() else { panic!() };
        crate::wire::question::matching(bytes, None).unwrap();
        let facts: &[&[&str]] = &[
            &["age", ID, "18"],
            &["valid-on", &id, "2026-06-30"],
            &["not-listed", uscc, "blacklist", "--day", "2026-06-30"],
            &["registered-in", ID, "331023"],
            &["represents", ID, uscc],
        ];
        for words in facts {
            let Ready::Derive(bytes) = read(words).unwrap() else { panic!("{words:?}") };
            crate::wire::question::derive(bytes, None).unwrap();
        }
        let Ready::Holder(bytes) = read(&["holder", uscc, "--libraries", "licence,credit"]).unwrap() else { panic!() };
        crate::wire::question::by_holder(bytes).unwrap();
        for words in
            [&["area", "--point", "-121.03,29.14", "--kind", "division"], &["area", "--within", "f", "--kind", "k"]]
        {
            let Ready::Area(bytes) = read(words).unwrap() else { panic!("{words:?}") };
            crate::wire::question::by_place(bytes, |_| Ok(None)).unwrap();
        }
    }

    #[test]
    fn purpose_and_a_fresh_nonce_stand_in_every_question() {
        let question = || {
            let Ready::LookUp(bytes) = read(&["person", ID]).unwrap() else { panic!() };
            canonical::decode::<x::LookUpQuestion>(&bytes).unwrap().context.unwrap()
        };
        let (one, two) = (question(), question());
        assert_eq!(one.nonce.len(), 32);
        assert_ne!(one.nonce, two.nonce);
        let purpose = one.purpose.unwrap();
        assert_eq!((purpose.kind(), purpose.item.as_str()), (PurposeKind::Handling, "I"));
        assert_eq!((one.as_of, one.operator), (None, None));
    }

    #[test]
    fn a_code_that_is_none_is_a_wrong_use_and_says_what_is_wrong() {
        for words in
            [&["person", "110105194912310021"][..], &["entity", "1"], &["registered-in", ID, "9"], &["licence", "x"]]
        {
            let stop = read(words).unwrap_err();
            assert_eq!(stop.code, 2, "{words:?}");
            assert!(!stop.text.is_ascii(), "{}", stop.text);
        }
        for words in
            [&["person"][..], &["area", "--kind", "k"], &["feature", "f", "--position", "1", "--recorded-at", "1"]]
        {
            let line = ["wuku"].iter().chain(words).chain(&PLACE);
            assert_eq!(Line::try_parse_from(line).err().map(|e| e.exit_code()), Some(2), "{words:?}");
        }
    }

    #[test]
    fn a_batch_has_one_question_a_line_and_names_the_line_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        write(&format!("# people\nperson {ID}\n\nentity 91460100MA5THWMM2J\nfeature 331023\n"));
        let Ready::Batch(questions) = read(&["batch", path, "--fields", "name"]).unwrap() else { panic!() };
        assert_eq!(questions.len(), 3);
        for question in questions {
            crate::wire::question::look_up(question, Kind::BatchItem, None).unwrap();
        }
        write(&format!("person {ID}\nperson 1\n"));
        assert!(read(&["batch", path]).unwrap_err().text.starts_with("line 2: "));
        write(&"feature x\n".repeat(BATCH_ITEMS_MAX + 1));
        assert_eq!(read(&["batch", path]).unwrap_err().code, 2);
        write("\n");
        assert_eq!(read(&["batch", path]).unwrap_err().code, 2);
    }

    #[test]
    fn instants_and_points_are_read_exactly() {
        assert_eq!(parse_instant("1782781200"), Ok(1_782_781_200));
        for text in
            ["2026-06-30T09:00:00+08:00", "2026-06-30T01:00:00Z", "2026-06-30T01:00:00.9z", "2026-06-29T23:30:00-01:30"]
        {
            assert_eq!(parse_instant(text), Ok(1_782_781_200), "{text}");
        }
        for text in [
            "",
            "2026-06-30",
            "2026-02-30T00:00:00Z",
            "2026-06-30T24:00:00Z",
            "2026-06-30T01:00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(parse_instant(text).is_err(), "{text}");
        }
        let point = parse_point("121.030000001, -29.1").unwrap();
        assert_eq!((point.longitude_e9, point.latitude_e9), (121_030_000_001, -29_100_000_000));
        for text in ["121", "29.14,121.03", "1.0000000001,2", "a,b", "1,", "+1,2"] {
            assert!(parse_point(text).is_err(), "{text}");
        }
    }
}
