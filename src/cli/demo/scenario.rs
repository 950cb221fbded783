//! The scenario: what departments, clerks and auditors do with the hub on a day, each step held against what must come out.
use super::super::{CliError, CliResult, fsck, hub};
use super::city::{import, issue};
use super::desk::{Answer, Desk, context, request_id};
use super::say::{Transcript, timed};
use super::{City, HUB, papers};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::licences::LicenceDraft;
use crate::demo::paper::DemoSeal;
use crate::library::codes::HolderCode;
use crate::library::day;
use crate::receipt::report::Language;
use crate::receipt::trust::Root;
use crate::receipt::{Options, Trust, verify};
use crate::wire::proto::exchange::v1::{
    AgeAtLeast, AreaQuestion, AsOf, DeriveQuestion, DeriveRequest, HolderQuestion, LookUpAreaRequest,
    LookUpHolderRequest, LookUpQuestion, LookUpRequest, MatchQuestion, MatchRequest, RecordedItem, Truth,
    area_question, derive_question, payload,
};
use crate::wire::proto::intake::v1::{ImportPhase, ImportScope};
use crate::wire::proto::library::v1::{
    HolderCode as WireCode, LicenceState, Point, Record, RecordKey, record_key::Key,
};
use crate::wire::proto::licence::v1::{LicenceOrder, OrderAction};
use crate::wire::proto::receipt::v1::Outcome;
use prost::Message;
use std::path::Path;
use tonic::Code;
use tonic_types::StatusExt;

type Said = Result<(String, String), String>;

/// An item that the one-window platform and most systems of the demo handle.
const WINDOW_ITEM: &str = "332014001001";
const FOOD_ITEM: &str = "330131002001";

/// Plays every step.
pub(super) async fn play(desk: &Desk, city: &City, seal: &DemoSeal, folder: &Path, say: &mut Transcript) -> CliResult {
    say.title("场景", "Scenario");
    let hard = city.hard_cases()?;
    let stage = Stage { desk, city, folder, zh: say.zh() };

    let (said, took) = timed(stage.bad_rows()).await;
    say.step("公安局导入一份含十二处错误的文件", "police import a file with a dozen bad rows", took, flat(said));

    let (issued, took) = timed(stage.issue_food_permit()).await;
    let licence_id = issued.as_ref().map_or_else(|_| String::new(), |(id, _)| id.clone());
    let said = issued.map(|(_, said)| said);
    say.step(
        "市场监管局准备、签名、签发食品经营许可证",
        "market regulation prepares, signs and issues a food permit",
        took,
        flat(said),
    );

    let (said, took) = timed(stage.fetch(&licence_id, LicenceState::Valid)).await;
    say.step("一窗受理平台按证照标识查询", "the one-window platform fetches it by identifier", took, flat(said));

    let (said, took) = timed(stage.by_holder(&licence_id, hard.firm.uscc.as_str())).await;
    say.step("一窗受理平台按持证主体查询（一证通办）", "… and by holder", took, flat(said));

    let paper = papers::paper(seal, &licence_id, folder);
    let (said, took) = timed(stage.bring(&paper, ("valid", "有效"))).await;
    say.step("窗口核验群众带来的证照文件", "a paper somebody brings is judged", took, flat(said));

    let forged = paper.as_ref().map_err(|e| CliError(e.0.clone())).and_then(|paper| papers::forged(paper));
    let (said, took) = timed(stage.bring(&forged, ("not-valid", "有效"))).await;
    say.step("改动一个词的同一文件", "the same with one word altered", took, flat(said));

    let (said, took) = timed(stage.matching(&hard.adult.code, &hard.adult.name)).await;
    say.step("社保系统比对姓名与公民身份号码", "social security matches a name and an ID number", took, flat(said));

    let (said, took) = timed(stage.age(&hard.adult.code, &hard.minor.code)).await;
    say.step(
        "就业系统核验是否年满十八周岁，不取出生日期",
        "employment asks whether a person is 18, without the birth date",
        took,
        flat(said),
    );

    let (said, took) = timed(stage.nothing(&hard.nobody, Outcome::Absent)).await;
    say.step(
        "查询一个不存在的人：未查到，也有回执",
        "a question about nobody: ABSENT, with a receipt",
        took,
        flat(said),
    );

    let (said, took) = timed(stage.nothing(&hard.not_covered, Outcome::NotCovered)).await;
    say.step("查询覆盖范围以外的证件：不在覆盖范围", "one outside the coverage: NOT_COVERED", took, flat(said));

    let (said, took) = timed(stage.refused(&hard.adult.code, &hard.nobody)).await;
    say.step(
        "无许可的查询：拒绝、留痕、不透露有无",
        "a question without a grant: refused, recorded, silent about existence",
        took,
        flat(said),
    );

    let (revoked, took) = timed(stage.revoke(&licence_id)).await;
    let position = revoked.as_ref().map_or(0, |(position, _)| *position);
    say.step(
        "市场监管局依文书吊销该许可证",
        "market regulation revokes the permit by order",
        took,
        flat(revoked.map(|(_, said)| said)),
    );

    let (said, took) = timed(stage.fetch(&licence_id, LicenceState::Revoked)).await;
    say.step("下一次查询即答：已吊销", "the next question says REVOKED", took, flat(said));

    let (said, took) = timed(stage.bring(&paper, ("valid", "已吊销"))).await;
    say.step(
        "再核验那份文件：文件完好，证照已吊销",
        "the good paper again: unaltered, its licence revoked",
        took,
        flat(said),
    );

    let (said, took) = timed(stage.last_month(&hard.revoked_firm.uscc.to_string())).await;
    say.step(
        "被吊销的营业执照在吊销之前某日的状态（有效时间）",
        "what stood on an earlier day (valid time)",
        took,
        flat(said),
    );

    let (said, took) = timed(stage.before(&licence_id, position)).await;
    say.step(
        "吊销前一刻枢纽所存的状态（记录位置）",
        "what the hub held just before the revocation (recorded position)",
        took,
        flat(said),
    );

    let (said, took) = timed(stage.district(hard.place.longitude_e9, hard.place.latitude_e9)).await;
    say.step("某坐标位于哪个县", "which district a coordinate lies in", took, flat(said));

    let (said, took) = timed(stage.evidence(&hard.adult.code)).await;
    say.step(
        "保存一份答复的证据并离线核验；改动一个字节即被拒绝",
        "evidence saved, checked offline; one byte changed is rejected",
        took,
        flat(said),
    );
    super::sealed::play(desk, folder, &licence_id, say).await;
    Ok(())
}

/// The store checked whole, with the hub stopped.
pub(super) async fn check_store(config: &Config, clock: &Clock, say: &mut Transcript) -> CliResult {
    let store = hub::open_store(config, clock)?;
    let (report, took) = timed(fsck::walk(config, &store)).await;
    let said = match report {
        Ok(report) if report.is_clean() => Ok((
            format!("日志 {} 条、记录版本 {} 个、链接 {} 条，无异常", report.size, report.versions, report.links),
            format!(
                "{} entries, {} record versions, {} links, nothing wrong",
                report.size, report.versions, report.links
            ),
        )),
        Ok(report) => Err(fsck::to_text(&report, Language::of_environment())),
        Err(CliError(why)) => Err(why),
    };
    say.step("全库核验（fsck）", "the whole store checked (fsck)", took, said);
    Ok(())
}

fn flat(said: CliResult<(String, String)>) -> Said {
    said.map_err(|CliError(why)| why)
}

struct Stage<'a> {
    desk: &'a Desk,
    city: &'a City,
    folder: &'a Path,
    zh: bool,
}

impl Stage<'_> {
    async fn bad_rows(&self) -> CliResult<(String, String)> {
        let file = self.folder.join("mistakes.csv");
        let mistakes = self.city.write_rows_with_mistakes(std::fs::File::create(&file)?)?;
        let rows = u64::try_from(self.city.rows_with_mistakes()?.len())?;
        let report = import(self.desk, "population", "population", &file, rows, ImportScope::Increment).await?;
        std::fs::remove_file(&file)?;
        let refused: Vec<u64> = report.first_quarantined.iter().map(|q| q.row).collect();
        let expected: Vec<u64> = mistakes.iter().map(|(row, _)| *row).collect();
        expect(
            report.phase() == ImportPhase::Done && refused == expected,
            &format!("refused rows {refused:?}, expected {expected:?}"),
        )?;
        let mut lines = Vec::new();
        for row in &report.first_quarantined {
            for fault in &row.faults {
                let text = if self.zh { &fault.text_zh } else { &fault.text_en };
                lines.push(format!("row {:>2}  {:<18} {}  {text}", row.row, fault.field, fault.reason));
            }
        }
        let zh = format!("{} 行中拒绝 {} 行，其余生效：\n{}", rows, refused.len(), lines.join("\n"));
        Ok((zh, format!("{} of {rows} rows refused, the others are in effect:\n{}", refused.len(), lines.join("\n"))))
    }

    async fn issue_food_permit(&self) -> CliResult<(String, (String, String))> {
        let hard = self.city.hard_cases()?;
        let drafts = self.city.licences_of_firm(hard.expired_permit_firm.index)?;
        let food = drafts
            .into_iter()
            .find(|draft| draft.kind.key == "food")
            .ok_or_else(|| CliError("no food permit".into()))?;
        let today = self.city.today();
        let draft = LicenceDraft {
            number: format!("{}-N", food.number),
            holders: vec![(HolderCode::of_organisation(&hard.firm.uscc), hard.firm.name.clone())],
            issued_on: today,
            valid_from: today,
            valid_until: today.plus_years(5),
            order: None,
            ..food
        };
        let key = self.desk.key_of("market-regulation")?;
        let id = issue(self.desk, &key, &draft).await?;
        let zh = format!("证照标识 {id}，持证主体 {}", hard.firm.name);
        Ok((id.clone(), (zh, format!("identifier {id}, holder {}", hard.firm.name))))
    }

    async fn look_up(&self, system: &str, item: &str, question: LookUpQuestion) -> CliResult<Answer> {
        let mut with_context = context(item)?;
        with_context.as_of = question.context.and_then(|c| c.as_of);
        let question = LookUpQuestion { context: Some(with_context), ..question };
        let request = LookUpRequest { question: question.encode_to_vec().into(), ..LookUpRequest::default() };
        let response = self.desk.at(system)?.exchange().look_up(request).await?.into_inner();
        Answer::read(response.payload, response.receipt)
    }

    async fn fetch(&self, licence_id: &str, expected: LicenceState) -> CliResult<(String, String)> {
        let fields = vec!["type_name".to_owned(), "holder_name".to_owned(), "valid_until".to_owned()];
        let question = LookUpQuestion { key: licence_key(licence_id), fields, ..LookUpQuestion::default() };
        let answer = self.look_up("one-window", FOOD_ITEM, question).await?;
        let record = record_of(&answer)?;
        let state = record.licence.as_ref().map_or(LicenceState::Unspecified, |l| l.state());
        expect(state == expected, &format!("state {}", state.as_str_name()))?;
        let shown = shown(&record);
        let place = place(&answer);
        Ok((
            format!("{}；{shown}；{}", state_zh(state), place.0),
            format!("{}; {shown}; {}", state.as_str_name(), place.1),
        ))
    }

    async fn by_holder(&self, licence_id: &str, uscc: &str) -> CliResult<(String, String)> {
        let holder = Some(WireCode { code_type: "001".into(), code: uscc.to_owned() });
        let fields = vec!["licence_id".to_owned(), "type_name".to_owned()];
        let question =
            HolderQuestion { context: Some(context(FOOD_ITEM)?), holder, fields, ..HolderQuestion::default() };
        let request =
            LookUpHolderRequest { question: question.encode_to_vec().into(), ..LookUpHolderRequest::default() };
        let response = self.desk.at("one-window")?.exchange().look_up_holder(request).await?.into_inner();
        let mut names = Vec::new();
        let mut found = false;
        for item in response.items {
            let record = record_of(&Answer::of_item(item, &response.checkpoint)?)?;
            found |= record.fields.iter().any(|f| f.value == licence_id);
            names.extend(record.fields.iter().filter(|f| f.name == "type_name").map(|f| f.value.clone()));
        }
        expect(found, "the licence just issued is not among the holder's")?;
        Ok((format!("{} 件：{}", names.len(), names.join("、")), format!("{}: {}", names.len(), names.join(", "))))
    }

    async fn matching(&self, code: &HolderCode, name: &str) -> CliResult<(String, String)> {
        let mut truths = Vec::new();
        for name in [name, "某某某"] {
            let question =
                MatchQuestion { context: Some(context(WINDOW_ITEM)?), holder: Some(wire(code)), name: name.to_owned() };
            let request = MatchRequest { question: question.encode_to_vec().into(), ..MatchRequest::default() };
            let response = self.desk.at("social-security")?.exchange().r#match(request).await?.into_inner();
            match Answer::read(response.payload, response.receipt)?.payload.answer {
                Some(payload::Answer::Match(answer)) => truths.push(answer.truth()),
                other => return Err(CliError(format!("no match answer: {other:?}"))),
            }
        }
        expect(truths == [Truth::Yes, Truth::No], &format!("{truths:?}"))?;
        Ok(("正确姓名：相符；错误姓名：不符".into(), "right name: YES; wrong name: NO".into()))
    }

    async fn age(&self, adult: &HolderCode, minor: &HolderCode) -> CliResult<(String, String)> {
        let mut truths = Vec::new();
        for person in [adult, minor] {
            let fact = derive_question::Fact::AgeAtLeast(AgeAtLeast { person: Some(wire(person)), years: 18 });
            let question = DeriveQuestion { context: Some(context("332014002001")?), fact: Some(fact) };
            let request = DeriveRequest { question: question.encode_to_vec().into(), ..DeriveRequest::default() };
            let response = self.desk.at("employment")?.exchange().derive(request).await?.into_inner();
            match Answer::read(response.payload, response.receipt)?.payload.answer {
                Some(payload::Answer::Derive(answer)) => truths.push(answer.truth()),
                other => return Err(CliError(format!("no derived answer: {other:?}"))),
            }
        }
        expect(truths == [Truth::Yes, Truth::No], &format!("{truths:?}"))?;
        Ok((
            "成年人：是；未成年人：否；答复中没有出生日期".into(),
            "adult: YES; minor: NO; no birth date in the answer".into(),
        ))
    }

    async fn nothing(&self, person: &HolderCode, expected: Outcome) -> CliResult<(String, String)> {
        let answer = self.look_up("one-window", WINDOW_ITEM, person_question(person, &["name"])).await?;
        expect(answer.payload.outcome() == expected, answer.payload.outcome().as_str_name())?;
        let Some(payload::Answer::Absence(absence)) = &answer.payload.answer else {
            return Err(CliError("no absence in the answer".into()));
        };
        let place = place(&answer);
        Ok((format!("{}；{}", absence.reason, place.0), format!("{}; {}", absence.reason, place.1)))
    }

    async fn bring(&self, paper: &CliResult<Vec<u8>>, expected: (&str, &str)) -> CliResult<(String, String)> {
        let paper = paper.as_ref().map_err(|error| CliError(error.0.clone()))?;
        papers::judged(self.desk, FOOD_ITEM, paper, expected).await
    }

    async fn refused(&self, there: &HolderCode, nobody: &HolderCode) -> CliResult<(String, String)> {
        let mut seen = Vec::new();
        for person in [there, nobody] {
            let question =
                LookUpQuestion { context: Some(context("330512001001")?), ..person_question(person, &["phone"]) };
            let request = LookUpRequest { question: question.encode_to_vec().into(), ..LookUpRequest::default() };
            let Err(status) = self.desk.at("legal-aid")?.exchange().look_up(request).await else {
                return Err(CliError("it was answered".into()));
            };
            expect(status.code() == Code::PermissionDenied, &status.to_string())?;
            let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            seen.push((reason, status.message().to_owned(), refusal_index(&status).is_some()));
        }
        expect(seen.first() == seen.last() && seen.iter().all(|(_, _, recorded)| *recorded), &format!("{seen:?}"))?;
        let reason = seen.first().map(|(reason, ..)| reason.clone()).unwrap_or_default();
        Ok((
            format!("{reason}，已留痕并附回执；查有此人与查无此人答复相同"),
            format!("{reason}, recorded, with a receipt; the same for somebody and nobody"),
        ))
    }

    async fn revoke(&self, licence_id: &str) -> CliResult<(u64, (String, String))> {
        let context = context(FOOD_ITEM)?;
        let order = LicenceOrder {
            hub: HUB.to_owned(),
            action: OrderAction::Revoke as i32,
            licence_id: licence_id.to_owned(),
            document_number: "天市监罚〔2026〕17号".into(),
            reason: "演示：严重违反食品安全管理规定".into(),
            effective_on: Some(day::to_proto(self.city.today())),
            ..LicenceOrder::default()
        };
        let key = self.desk.key_of("market-regulation")?;
        let request = key.change(&order, &request_id()?, context.purpose, context.operator)?;
        let response = self.desk.at("food-permit")?.licences().change_licence(request).await?.into_inner();
        let answer = Answer::read(response.payload, response.receipt)?;
        expect(answer.payload.outcome() == Outcome::Done, answer.payload.outcome().as_str_name())?;
        let place = place(&answer);
        let document = order.document_number;
        Ok((answer.receipt.leaf_index, (format!("{document}；{}", place.0), format!("{document}; {}", place.1))))
    }

    async fn before(&self, licence_id: &str, position: u64) -> CliResult<(String, String)> {
        let as_of = AsOf { recorded_position: position, ..AsOf::default() };
        let question = LookUpQuestion { key: licence_key(licence_id), ..as_of_question(as_of) };
        let answer = self.look_up("one-window", FOOD_ITEM, question).await?;
        let state = state_of(&answer)?;
        expect(state == LicenceState::Valid, state.as_str_name())?;
        Ok((format!("位置 {position}：{}", state_zh(state)), format!("position {position}: {}", state.as_str_name())))
    }

    async fn last_month(&self, uscc: &str) -> CliResult<(String, String)> {
        let hard = self.city.hard_cases()?;
        let drafts = self.city.licences_of_firm(hard.revoked_firm.index)?;
        let draft = drafts.into_iter().find(|d| d.kind.key == "business" && d.order.is_some());
        let draft = draft.ok_or_else(|| CliError("no revoked business licence".into()))?;
        let revoked_on =
            draft.order.as_ref().map(|order| order.effective_on).ok_or_else(|| CliError("no order".into()))?;
        let earlier = revoked_on.plus_days(-1).filter(|day| *day >= draft.valid_from);
        let earlier = earlier.ok_or_else(|| CliError("it was revoked on its first day".into()))?;
        let holder = Some(WireCode { code_type: "001".into(), code: uscc.to_owned() });
        let mut states = Vec::new();
        for valid_on in [Some(day::to_proto(earlier)), None] {
            let mut context = context("330131001001")?;
            context.as_of = valid_on.map(|valid_on| AsOf { valid_on: Some(valid_on), ..AsOf::default() });
            let question = HolderQuestion {
                context: Some(context),
                holder: holder.clone(),
                licence_types: vec![draft.kind.type_code()?.as_str().to_owned()],
                ..HolderQuestion::default()
            };
            let request =
                LookUpHolderRequest { question: question.encode_to_vec().into(), ..LookUpHolderRequest::default() };
            let response = self.desk.at("one-window")?.exchange().look_up_holder(request).await?.into_inner();
            let item = response.items.into_iter().next().ok_or_else(|| CliError("no item".into()))?;
            states.push(state_of(&Answer::of_item(item, &response.checkpoint)?)?);
        }
        expect(states == [LicenceState::Valid, LicenceState::Revoked], &format!("{states:?}"))?;
        Ok((format!("{earlier}：有效；今天：已吊销"), format!("{earlier}: VALID; today: REVOKED")))
    }

    async fn district(&self, longitude_e9: i64, latitude_e9: i64) -> CliResult<(String, String)> {
        let question = AreaQuestion {
            context: Some(context("330117001001")?),
            r#where: Some(area_question::Where::Point(Point { longitude_e9, latitude_e9 })),
            kind: "division".into(),
            fields: vec!["name".into(), "division".into()],
            ..AreaQuestion::default()
        };
        let request = LookUpAreaRequest { question: question.encode_to_vec().into(), ..LookUpAreaRequest::default() };
        let response = self.desk.at("construction")?.exchange().look_up_area(request).await?.into_inner();
        let mut names = Vec::new();
        for item in response.items {
            let record = record_of(&Answer::of_item(item, &response.checkpoint)?)?;
            names.extend(record.fields.iter().filter(|f| f.name == "name").map(|f| f.value.clone()));
        }
        expect(names.iter().any(|name| name.contains("天台")), &format!("{names:?}"))?;
        let degrees = |e9: i64| format!("{}.{:04}", e9 / 1_000_000_000, e9 % 1_000_000_000 / 100_000);
        let (e, n) = (degrees(longitude_e9), degrees(latitude_e9));
        Ok((format!("{e}°E {n}°N：{}", names.join("、")), format!("{e} E, {n} N: {}", names.join(", "))))
    }

    async fn evidence(&self, person: &HolderCode) -> CliResult<(String, String)> {
        let answer = self.look_up("one-window", WINDOW_ITEM, person_question(person, &["name"])).await?;
        let file = self.folder.join("evidence.json");
        std::fs::write(&file, answer.evidence())?;
        let trust = Trust::open(&std::fs::read(self.folder.join("trust.note"))?, Root::ByHand)?;
        let now_s = Clock::system().now_ms() / 1_000;
        let options = Options { now_s: Some(now_s), ..Options::default() };
        let mut bytes = std::fs::read(&file)?;
        let good = verify(&bytes, &trust, &options);
        expect(good.good, &format!("the evidence is not good: {:?}", good.failed_step))?;
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        let bad = verify(&bytes, &trust, &options);
        expect(!bad.good, "evidence with one byte changed was taken for good")?;
        let step = bad.failed_step.map_or("UNREADABLE", |step| step.as_str());
        let name = file.display();
        Ok((
            format!("{name}：有效；改动第 {middle} 字节：{step}"),
            format!("{name}: good; byte {middle} changed: {step}"),
        ))
    }
}

fn expect(holds: bool, otherwise: &str) -> CliResult {
    if holds { Ok(()) } else { Err(CliError(otherwise.to_owned())) }
}

fn wire(code: &HolderCode) -> WireCode {
    WireCode { code_type: code.code_type().as_str().to_owned(), code: code.code().to_owned() }
}

fn licence_key(licence_id: &str) -> Option<RecordKey> {
    Some(RecordKey { key: Some(Key::LicenceId(licence_id.to_owned())) })
}

fn person_question(person: &HolderCode, fields: &[&str]) -> LookUpQuestion {
    LookUpQuestion {
        key: Some(RecordKey { key: Some(Key::Person(wire(person))) }),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..LookUpQuestion::default()
    }
}

fn as_of_question(as_of: AsOf) -> LookUpQuestion {
    let context = crate::wire::proto::exchange::v1::Context { as_of: Some(as_of), ..Default::default() };
    LookUpQuestion { context: Some(context), ..LookUpQuestion::default() }
}

fn record_of(answer: &Answer) -> CliResult<Record> {
    match &answer.payload.answer {
        Some(payload::Answer::Record(record)) => Ok(record.clone()),
        other => {
            Err(CliError(format!("no record in the answer: {} {other:?}", answer.payload.outcome().as_str_name())))
        }
    }
}

fn state_of(answer: &Answer) -> CliResult<LicenceState> {
    Ok(record_of(answer)?.licence.map_or(LicenceState::Unspecified, |l| l.state()))
}

fn shown(record: &Record) -> String {
    record.fields.iter().map(|f| f.value.clone()).collect::<Vec<_>>().join(" · ")
}

/// Where the log holds an answer.
fn place(answer: &Answer) -> (String, String) {
    let index = answer.receipt.leaf_index;
    (format!("日志第 {index} 条"), format!("log entry {index}"))
}

/// The leaf of a refusal's receipt, from the status details.
fn refusal_index(status: &tonic::Status) -> Option<u64> {
    #[derive(Clone, PartialEq, Message)]
    struct RpcStatus {
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let proof = details.into_iter().find(|any| any.type_url.ends_with("wuku.exchange.v1.RecordedItem"))?;
    RecordedItem::decode(proof.value.as_slice()).ok()?.receipt.map(|receipt| receipt.leaf_index)
}

fn state_zh(state: LicenceState) -> &'static str {
    match state {
        LicenceState::Valid => "有效",
        LicenceState::Suspended => "暂扣中",
        LicenceState::Rescinded => "已撤销",
        LicenceState::Cancelled => "已注销",
        LicenceState::Lapsed => "已失效",
        LicenceState::TransferredOut => "已转出",
        LicenceState::Revoked => "已吊销",
        LicenceState::NotYetValid => "未到生效日期",
        LicenceState::Unspecified => "状态不明",
    }
}
