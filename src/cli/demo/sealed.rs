//! The scenario's steps about seals: one comes in and is bound, an answer bears it, and its owner sees every use.
use super::super::dev_seals::{DevSeal, DevSeals};
use super::super::{CliError, CliResult};
use super::HUB;
use super::desk::{Answer, Desk, administration, context, request_id};
use super::say::{Transcript, timed};
use crate::clock::Clock;
use crate::demo::organisation::department_of;
use crate::library::codes::LicenceId;
use crate::paper::anchors;
use crate::receipt::trust::Root;
use crate::receipt::{Options, Outcome, Trust, verify};
use crate::seal::answer;
use crate::seal::step::Profile;
use crate::wire::proto::exchange::v1::{LookUpQuestion, LookUpRequest, LookUpResponse, SealUseList, payload};
use crate::wire::proto::library::v1::{RecordKey, record_key::Key};
use crate::wire::proto::receipt::v1::{Operator, Purpose, PurposeKind};
use crate::wire::proto::seal::v1::{
    BindSealRequest, ImportSealRequest, ListSealUsesRequest, SealBinding, SealUseListQuestion,
};
use prost::Message;
use std::path::Path;
use tonic::Status;
use tonic_types::StatusExt;

/// The demo seal of market regulation.
pub(super) const SEAL: &str = "33102300000001";
const OWNER: &str = "market-regulation";
const DELEGATED: &str = "government-services";
const ITEM: &str = "330131002001";
/// An item that the one-window platform handles and the seal is not bound to.
const OTHER_ITEM: &str = "332014001001";

/// Makes the demo seal beside the hub.
pub(super) fn make(folder: &Path, clock: &Clock) -> CliResult {
    let owner = department_of(OWNER).ok_or_else(|| CliError("the demo has no market regulation".into()))?;
    let seal = DevSeal { id: SEAL.into(), uscc: owner.uscc()?.as_str().to_owned(), name: owner.name.to_owned() };
    DevSeals::make(&folder.join("seals"), &[seal], clock).map(|_| ())
}

/// Plays the steps.
pub(super) async fn play(desk: &Desk, folder: &Path, licence_id: &str, say: &mut Transcript) {
    let steps = Steps { desk, folder, licence_id };
    let flat = |said: CliResult<(String, String)>| said.map_err(|CliError(why)| why);
    let (said, took) = timed(steps.import()).await;
    say.step("市场监管局将演示印章入库并授权", "market regulation's demo seal comes in and is bound", took, flat(said));
    let (said, took) = timed(steps.sealed()).await;
    say.step(
        "一窗受理平台取得盖章的答复，离线核验回执与签章",
        "an answer is fetched sealed; receipt and seal verify offline",
        took,
        flat(said),
    );
    let (said, took) = timed(steps.outside()).await;
    say.step("授权范围以外用印：拒绝、留痕", "a use outside the binding is refused and recorded", took, flat(said));
    let (said, took) = timed(steps.uses()).await;
    say.step("市场监管局查看本局印章的全部用印记录", "the owner lists every use of its seal", took, flat(said));
}

struct Steps<'a> {
    desk: &'a Desk,
    folder: &'a Path,
    licence_id: &'a str,
}

impl Steps<'_> {
    async fn import(&self) -> CliResult<(String, String)> {
        let esl = std::fs::read(DevSeals::open(&self.folder.join("seals")).esl(SEAL))?;
        let request = ImportSealRequest {
            request_id: request_id()?,
            esl: esl.into(),
            owner_department: OWNER.into(),
            version: 0,
            purpose: Some(administration("印章入库 seal")),
        };
        let mut seals = self.desk.at("catalogue")?.seals();
        seals.import_seal(request).await?;
        let licence = LicenceId::parse(self.licence_id).map_err(|fault| CliError(fault.en()))?;
        let binding = SealBinding {
            enabled: true,
            items: vec![ITEM.into()],
            licence_types: vec![licence.type_code().to_owned()],
            delegated_departments: vec![DELEGATED.into()],
            ..SealBinding::default()
        };
        let request = BindSealRequest {
            request_id: request_id()?,
            seal_id: SEAL.into(),
            binding: Some(binding),
            version: 1,
            purpose: Some(administration("印章授权 binding")),
        };
        self.desk.at("food-permit")?.seals().bind_seal(request).await?;
        Ok((
            format!("印章 {SEAL}（演示）：限事项 {ITEM}、食品经营许可证，委托 {DELEGATED} 使用"),
            format!("seal {SEAL} (demo): for item {ITEM} and food permits, delegated to {DELEGATED}"),
        ))
    }

    async fn ask(&self, item: &str) -> CliResult<Result<LookUpResponse, Status>> {
        let question = LookUpQuestion {
            context: Some(crate::wire::proto::exchange::v1::Context { seal_id: SEAL.into(), ..context(item)? }),
            key: Some(RecordKey { key: Some(Key::LicenceId(self.licence_id.to_owned())) }),
            fields: vec!["holder_name".into()],
            ..LookUpQuestion::default()
        };
        let request = LookUpRequest { question: question.encode_to_vec().into(), ..LookUpRequest::default() };
        Ok(self.desk.at("one-window")?.exchange().look_up(request).await.map(tonic::Response::into_inner))
    }

    async fn sealed(&self) -> CliResult<(String, String)> {
        let response = self.ask(ITEM).await??;
        let seal = response.seal.clone().ok_or_else(|| CliError("the answer bears no seal".into()))?;
        let answer = Answer::read(response.payload, response.receipt)?;
        std::fs::write(self.folder.join("sealed.json"), answer.evidence())?;
        std::fs::write(self.folder.join("sealed.seal"), &seal.signature)?;
        let trust = Trust::open(&std::fs::read(self.folder.join("trust.note"))?, Root::ByHand)?;
        let now_s = Clock::system().now_ms() / 1_000;
        let verdict = verify(&answer.evidence(), &trust, &Options { now_s: Some(now_s), ..Options::default() });
        let digest = verdict.statement.as_ref().map(|said| said.payload_digest.clone()).unwrap_or_default();
        let anchors = DevSeals::open(&self.folder.join("seals")).anchors().to_string_lossy().into_owned();
        let anchors = anchors::read(&[anchors]).map_err(CliError)?;
        let check = |payload: &[u8]| {
            answer::check(&seal.signature, payload, &digest, Profile::Strict2025, &anchors, now_s).reasons
        };
        let bad = check(&answer.bytes);
        if !verdict.good || !bad.is_empty() {
            return Err(CliError(format!("receipt {:?}, seal {bad:?}", verdict.failed_step)));
        }
        if check(&[answer.bytes.as_ref(), &[0]].concat()).is_empty() {
            return Err(CliError("the seal was taken for one on another answer".into()));
        }
        let index = answer.receipt.leaf_index;
        Ok((
            format!(
                "sealed.json 与 sealed.seal：回执有效，签章每一步成立；答复为日志第 {index} 条，用印为第 {} 条",
                index + 1
            ),
            format!(
                "sealed.json and sealed.seal: the receipt is good, every step of the seal holds; answer at log entry {index}, use at {}",
                index + 1
            ),
        ))
    }

    async fn outside(&self) -> CliResult<(String, String)> {
        let Err(status) = self.ask(OTHER_ITEM).await? else { return Err(CliError("it was sealed".into())) };
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        if reason != "SEAL_NOT_ALLOWED" {
            return Err(CliError(format!("{reason}: {status}")));
        }
        Ok((format!("事项 {OTHER_ITEM}：{reason}"), format!("item {OTHER_ITEM}: {reason}")))
    }

    async fn uses(&self) -> CliResult<(String, String)> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let question = SealUseListQuestion {
            nonce: nonce.to_vec().into(),
            purpose: Some(Purpose {
                kind: PurposeKind::Audit as i32,
                use_cause: "用印检查".into(),
                ..Purpose::default()
            }),
            operator: Some(Operator { id: "keeper-1".into(), window: String::new() }),
            seal_id: SEAL.into(),
            ..SealUseListQuestion::default()
        };
        let request = ListSealUsesRequest { question: question.encode_to_vec().into() };
        let response = self.desk.at("food-permit")?.seals().list_seal_uses(request).await?.into_inner();
        let answer = Answer::read(response.payload, response.receipt)?;
        let Some(payload::Answer::SealUseList(SealUseList { uses, .. })) = answer.payload.answer else {
            return Err(CliError("no list of uses".into()));
        };
        let outcomes: Vec<Outcome> = uses.iter().map(|used| used.outcome()).collect();
        if outcomes != [Outcome::Refused, Outcome::Done] {
            return Err(CliError(format!("{outcomes:?}")));
        }
        let line = |used: &crate::wire::proto::exchange::v1::ListedSealUse, done: &str, refused: &str| {
            let who = used.caller.strip_prefix(&format!("wuku://{HUB}/")).unwrap_or(&used.caller).to_owned();
            let item = used.purpose.as_ref().map(|purpose| purpose.item.clone()).unwrap_or_default();
            format!("#{} {who} {item} {}", used.index, if used.outcome() == Outcome::Done { done } else { refused })
        };
        let zh: Vec<String> = uses.iter().map(|used| line(used, "已用印", "已拒绝")).collect();
        let en: Vec<String> = uses.iter().map(|used| line(used, "applied", "refused")).collect();
        Ok((zh.join("\n"), en.join("\n")))
    }
}
