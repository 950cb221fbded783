//! `wuku licence`: what an issuing authority does. Its key signs here, on its own machine; the hub only ever sees signatures.
mod draft;

use super::answer::{AnswerArgs, Answered, Asked, ChangeArgs, open, open_trust, show};
use super::connection::{Connection, PurposeArgs, Stop, fresh_id, refused, request};
use super::lookup::{licence_id, parse_day};
use super::message;
use super::sign::{DepartmentKey, prepared};
use crate::clock::Clock;
use crate::edge::identity::hex;
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::receipt::Receipt;
use crate::wire::proto::catalogue::v1::WhoAmIRequest;
use crate::wire::proto::catalogue::v1::catalogue_service_client::CatalogueServiceClient;
use crate::wire::proto::exchange::v1::PreparedLicence;
use crate::wire::proto::licence::v1::licence_service_client::LicenceServiceClient;
use crate::wire::proto::licence::v1::{
    ChangeLicenceRequest, DistrustIssuerKeyRequest, IssueLicenceRequest, LicenceOrder, LicenceType,
    ListLicenceTypesRequest, OrderAction, PrepareLicenceRequest,
};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use draft::{Attempt, Draft};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

const TYPE: &str = "wuku.licence.v1.LicenceType";

/// Arguments of `wuku licence`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example (示例):
  wuku licence types
  wuku licence issue --type TYPE-CODE --number 演-2026-1 --holder 111:331099199001010018=张三 \\
      --issued-on 2026-06-30 --division 331023 --face category=C1 \\
      --signing-key department.key --signing-cert department.pem
  wuku licence change LICENCE-ID --action revoke --document 天市监处〔2026〕1号 --reason 违法经营 \\
      --effective 2026-07-01 --signing-key department.key --signing-cert department.pem")]
pub struct LicenceArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Prepare, sign and issue a new licence (制证、签名、签发)
    #[command(after_help = "\
Everything may stand in a file, flags come on top (内容可放在 JSON 或 TOML 文件中):
  {\"typeCode\": \"…\", \"number\": \"…\", \"holders\": [{\"code\": \"111:…\", \"name\": \"…\"}], \"issuedOn\": \"2026-06-30\",
   \"division\": \"331023\", \"faceFields\": {\"category\": \"C1\"}}
Example (示例): wuku licence issue --file licence.json --signing-key department.key --signing-cert department.pem")]
    Issue {
        #[command(flatten)]
        draft: Box<Draft>,
        #[command(flatten)]
        signing: Signing,
        #[command(flatten)]
        shared: Box<SignedArgs>,
    },
    /// Change a licence by a signed order (凭命令变更证照)
    #[command(after_help = "\
Amend and renew bring a new version: give its content as for `issue`.
Example (示例): wuku licence change LICENCE-ID --action suspend --document 天公交〔2026〕2号 --reason 记满12分 \\
    --effective 2026-07-01 --signing-key department.key --signing-cert department.pem")]
    Change {
        /// Licence identifier (电子证照标识)
        id: String,
        /// What to do (操作)
        #[arg(long, value_enum)]
        action: ActionWord,
        /// Number of the document that orders it (文号)
        #[arg(long)]
        document: String,
        /// Why, in a sentence (原因)
        #[arg(long)]
        reason: String,
        /// From which day (生效日期)
        #[arg(long, value_name = "DAY", value_parser = parse_day)]
        effective: CalendarDate,
        /// Restore: the ruling, or the document cancelling the transfer (裁定或取消转出的文号)
        #[arg(long, value_name = "DOCUMENT", required_if_eq("action", "restore"))]
        ruling: Option<String>,
        #[command(flatten)]
        draft: Box<Draft>,
        #[command(flatten)]
        signing: Signing,
        #[command(flatten)]
        shared: Box<SignedArgs>,
    },
    /// List the licence types and their face fields (证照类型目录)
    #[command(after_help = "Example (示例): wuku licence types --json")]
    Types {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON (以 JSON 输出)
        #[arg(long)]
        json: bool,
    },
    /// Distrust an issuer's key: its licences need a person from now on (停止信任签发密钥)
    #[command(
        after_help = "Example (示例): wuku licence distrust department.pem --document 天数〔2026〕3号 --reason 密钥遗失"
    )]
    Distrust {
        /// The issuer's certificate, PEM (签发证书)
        certificate: PathBuf,
        /// Number of the document that orders it (文号)
        #[arg(long)]
        document: String,
        /// Why (原因)
        #[arg(long, default_value = "")]
        reason: String,
        /// Take the distrust back (恢复信任)
        #[arg(long)]
        trusted_again: bool,
        #[command(flatten)]
        shared: Box<ChangeArgs>,
    },
}

/// The department's signing key; not the key that connects.
#[derive(Args, Debug)]
struct Signing {
    /// The department's signing key, PKCS#8 PEM, ECDSA P-256 (签发私钥)
    #[arg(long, env = "WUKU_SIGNING_KEY", value_name = "PEM", hide_env_values = true)]
    signing_key: PathBuf,
    /// Its certificate chain, PEM, the signer's first (签发证书链)
    #[arg(long, env = "WUKU_SIGNING_CERT", value_name = "PEM", hide_env_values = true)]
    signing_cert: PathBuf,
}

/// What a signed change takes.
#[derive(Args, Debug)]
struct SignedArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    purpose: PurposeArgs,
    #[command(flatten)]
    attempt: Attempt,
    #[command(flatten)]
    answer: AnswerArgs,
}

impl SignedArgs {
    fn done(&self, payload: Bytes, receipt: Option<Receipt>, id: &str, clock: &Clock) -> Result<(), Stop> {
        show(&self.answer, &[(Answered::one(payload, receipt)?, Asked::Change(id))], None, clock).map(|_| ())
    }
}

impl Signing {
    fn load(&self) -> Result<DepartmentKey, Stop> {
        Ok(DepartmentKey::load(&self.signing_key, &self.signing_cert)?)
    }
}

/// What an order does, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ActionWord {
    /// 变更：新内容的新版本
    Amend,
    /// 延续：新期限的新版本
    Renew,
    /// 暂扣
    Suspend,
    /// 暂扣发还
    Resume,
    /// 撤销
    Rescind,
    /// 吊销
    Revoke,
    /// 注销
    Cancel,
    /// 失效
    Lapse,
    /// 办理转出
    TransferOut,
    /// 恢复：须写明裁定
    Restore,
}

impl ActionWord {
    fn action(self) -> OrderAction {
        match self {
            Self::Amend => OrderAction::Amend,
            Self::Renew => OrderAction::Renew,
            Self::Suspend => OrderAction::Suspend,
            Self::Resume => OrderAction::Resume,
            Self::Rescind => OrderAction::Rescind,
            Self::Revoke => OrderAction::Revoke,
            Self::Cancel => OrderAction::Cancel,
            Self::Lapse => OrderAction::Lapse,
            Self::TransferOut => OrderAction::TransferOut,
            Self::Restore => OrderAction::Restore,
        }
    }

    fn brings_a_version(self) -> bool {
        matches!(self, Self::Amend | Self::Renew)
    }
}

/// Runs `wuku licence`.
///
/// # Errors
/// Content that does not fit (2); a refusal, bytes that are not what was asked for, a receipt that does not hold (1).
pub async fn run(args: &LicenceArgs, clock: &Clock) -> Result<(), Stop> {
    match &args.what {
        What::Issue { draft, signing, shared } => {
            let key = signing.load()?;
            let draft = draft.request(&shared.purpose, "", day::of_ms(clock.now_ms()))?;
            issue(shared, &key, &draft, clock).await
        }
        What::Change { id, action, document, reason, effective, ruling, draft, signing, shared } => {
            let key = signing.load()?;
            let id = licence_id(id)?;
            let draft = match action.brings_a_version() {
                true => Some(draft.request(&shared.purpose, &id, day::of_ms(clock.now_ms()))?),
                false => None,
            };
            let order = LicenceOrder {
                action: action.action().into(),
                licence_id: id,
                document_number: document.clone(),
                reason: reason.clone(),
                effective_on: Some(day::to_proto(*effective)),
                ruling_document: ruling.clone().unwrap_or_default(),
                ..LicenceOrder::default()
            };
            change(shared, &key, order, draft.as_ref(), clock).await
        }
        What::Types { connection, json } => types(connection, *json).await,
        What::Distrust { certificate, document, reason, trusted_again, shared } => {
            let mut message = DistrustIssuerKeyRequest {
                request_id: String::new(),
                certificate_sha256: fingerprint(certificate)?,
                document_number: document.clone(),
                reason: reason.clone(),
                trusted_again: *trusted_again,
                purpose: shared.purpose.of_change(),
            };
            eprintln!("wuku: certificate (证书) {}", hex(&message.certificate_sha256));
            let id = shared.id()?;
            message.request_id.clone_from(&id);
            let mut client = LicenceServiceClient::new(shared.connection.open().await?);
            let reply = client
                .distrust_issuer_key(request(message))
                .await
                .map_err(|status| shared.stopped(&status))?
                .into_inner();
            shared.done(reply.payload, reply.receipt, &id, clock)
        }
    }
}

/// Prepares, looks, signs, keeps, issues. A crash before the last step leaves nothing in the library; after it, the kept attempt
/// finds out.
async fn issue(
    shared: &SignedArgs,
    key: &DepartmentKey,
    draft: &PrepareLicenceRequest,
    clock: &Clock,
) -> Result<(), Stop> {
    let channel = shared.connection.open().await?;
    let message: IssueLicenceRequest = match shared.attempt.earlier()? {
        Some(earlier) => earlier,
        None => {
            let ready = prepare(shared, &channel, draft, clock).await?;
            let message = key.issue(draft, &ready, &fresh_id()?)?;
            shared.attempt.keep(&message)?;
            message
        }
    };
    let id = message.request_id.clone();
    eprintln!("wuku: request id {id} (请求编号)");
    let reply = LicenceServiceClient::new(channel).issue_licence(request(message)).await;
    let reply =
        reply.map_err(|status| shared.attempt.stopped(&status, shared.answer.evidence.as_deref()))?.into_inner();
    shared.done(reply.payload, reply.receipt, &id, clock)
}

/// Signs the order, for amend and renew the new version too, keeps both and hands them in.
async fn change(
    shared: &SignedArgs,
    key: &DepartmentKey,
    order: LicenceOrder,
    draft: Option<&PrepareLicenceRequest>,
    clock: &Clock,
) -> Result<(), Stop> {
    let channel = shared.connection.open().await?;
    let message: ChangeLicenceRequest = match shared.attempt.earlier()? {
        Some(earlier) => earlier,
        None => {
            let who = CatalogueServiceClient::new(channel.clone()).who_am_i(request(WhoAmIRequest {})).await?;
            let order = LicenceOrder { hub: who.into_inner().hub, ..order };
            let id = fresh_id()?;
            let message = match draft {
                Some(draft) => key.replace(&order, draft, &prepare(shared, &channel, draft, clock).await?, &id)?,
                None => key.change(&order, &id, shared.purpose.of_change(), shared.purpose.operator())?,
            };
            shared.attempt.keep(&message)?;
            message
        }
    };
    let id = message.request_id.clone();
    eprintln!("wuku: request id {id} (请求编号)");
    let reply = LicenceServiceClient::new(channel).change_licence(request(message)).await;
    let reply =
        reply.map_err(|status| shared.attempt.stopped(&status, shared.answer.evidence.as_deref()))?.into_inner();
    shared.done(reply.payload, reply.receipt, &id, clock)
}

/// The bytes to sign, as the hub prepared and recorded them.
async fn prepare(
    shared: &SignedArgs,
    channel: &Channel,
    draft: &PrepareLicenceRequest,
    clock: &Clock,
) -> Result<PreparedLicence, Stop> {
    let mut client = LicenceServiceClient::new(channel.clone());
    let reply = client
        .prepare_licence(request(draft.clone()))
        .await
        .map_err(|status| refused(&status, shared.answer.evidence.as_deref()))?
        .into_inner();
    let answered = Answered::one(reply.payload, reply.receipt)?;
    let trust =
        shared.answer.trust.as_deref().map(|path| open_trust(path, shared.answer.root_key.as_deref())).transpose()?;
    open(&answered, Asked::Preparation, trust.as_ref(), clock.now_ms() / 1_000)?.must_hold()?;
    let ready = prepared(&answered.payload)?;
    eprintln!("wuku: prepared (已准备) {}", ready.licence_id);
    Ok(ready)
}

/// SHA-256 of the first certificate of a PEM file.
fn fingerprint(path: &Path) -> Result<Bytes, Stop> {
    let failed = |e: String| Stop::usage(format!("{}: {e}", path.display()));
    let pem = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let der = CertificateDer::from_pem_slice(&pem).map_err(|e| failed(format!("no certificate: {e}")))?;
    Ok(Bytes::copy_from_slice(&Sha256::digest(der.as_ref())))
}

async fn types(connection: &Connection, json: bool) -> Result<(), Stop> {
    let all = all_types(connection.open().await?).await?;
    if json {
        let shown: Vec<Value> = all.iter().map(|kind| message::shown(TYPE, kind)).collect();
        println!("{:#}", Value::Array(shown));
        return Ok(());
    }
    for kind in &all {
        let retired = if kind.retired { " 已停用 retired" } else { "" };
        println!("{}  {}  v{}{retired}", kind.type_code, kind.name, kind.version);
        for field in &kind.face_fields {
            let required = if field.required { " *" } else { "" };
            println!("    {}  {}  {}{required}", field.name, field.title_zh, field.kind);
        }
    }
    Ok(())
}

/// Every licence type, page by page.
pub(super) async fn all_types(channel: Channel) -> Result<Vec<LicenceType>, Stop> {
    let mut client = LicenceServiceClient::new(channel);
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListLicenceTypesRequest { page_size: 200, page_token };
        let reply = client.list_licence_types(request(message)).await?.into_inner();
        all.extend(reply.licence_types);
        if reply.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = reply.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        licence: LicenceArgs,
    }

    const PLACE: [&str; 12] =
        ["--hub", "https://h:1", "--ca", "a", "--cert", "c", "--key", "k", "--signing-key", "s", "--signing-cert", "t"];

    fn line(words: &[&str]) -> Result<LicenceArgs, i32> {
        let line = ["wuku"].iter().chain(words).chain(&PLACE);
        Line::try_parse_from(line).map(|line| line.licence).map_err(|e| e.exit_code())
    }

    fn today() -> CalendarDate {
        CalendarDate::new(2026, 6, 30).unwrap()
    }

    #[test]
    fn a_licence_is_drafted_from_file_and_flags_with_todays_date() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("l.json");
        std::fs::write(&file, r#"{"typeCode": "t", "number": "1", "faceFields": {"a": "1", "b": "2"}}"#).unwrap();
        let words = ["issue", "--file", file.to_str().unwrap(), "--number", "9", "--holder", "111:123=张=三"];
        let What::Issue { draft, shared, .. } =
            line(&[&words[..], &["--face", "b=3", "--valid-until", "2027-06-30", "--item", "I"]].concat())
                .unwrap()
                .what
        else {
            panic!()
        };
        let request = draft.request(&shared.purpose, "", today()).unwrap();
        assert_eq!((request.type_code.as_str(), request.number.as_str(), request.item_code.as_str()), ("t", "9", "I"));
        assert_eq!(request.holders[0].name, "张=三");
        let face: Vec<_> = request.face_fields.iter().map(|f| (f.name.as_str(), f.value.as_str())).collect();
        assert_eq!(face, [("a", "1"), ("b", "3")]);
        assert_eq!(
            (request.issued_on, request.valid_from),
            (Some(day::to_proto(today())), Some(day::to_proto(today())))
        );
        assert_eq!(request.valid_until.map(|d| d.year), Some(2027));
    }

    #[test]
    fn an_order_names_its_document_and_a_restoring_one_its_ruling() {
        let order = |action: &str, more: &[&str]| {
            let words = ["change", "id", "--action", action, "--reason", "r", "--effective", "2026-07-01"];
            line(&[&words[..], more].concat()).map(|_| ())
        };
        assert_eq!(order("revoke", &["--document", "d"]), Ok(()));
        assert_eq!(order("revoke", &[]), Err(2));
        assert_eq!(order("restore", &["--document", "d"]), Err(2));
        assert_eq!(order("restore", &["--document", "d", "--ruling", "r"]), Ok(()));
        assert_eq!(order("forget", &["--document", "d"]), Err(2));
        for action in ["amend", "renew", "suspend", "resume", "rescind", "cancel", "lapse", "transfer-out"] {
            assert_eq!(order(action, &["--document", "d"]), Ok(()), "{action}");
        }
    }

    #[test]
    fn a_kept_attempt_is_the_same_request_again_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let attempt = Attempt { attempt: Some(folder.path().join("a")) };
        assert_eq!(attempt.earlier::<IssueLicenceRequest>().unwrap(), None);
        let message = IssueLicenceRequest { request_id: "r".into(), content: "c".into(), ..Default::default() };
        attempt.keep(&message).unwrap();
        assert_eq!(attempt.earlier().unwrap(), Some(message));
        let mode = folder.path().join("a").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(folder.path().join("a"), "rubbish").unwrap();
        assert_eq!(attempt.earlier::<IssueLicenceRequest>().unwrap_err().code, 2);
    }

    #[test]
    fn what_is_not_a_holder_or_a_face_field_is_a_wrong_use() {
        for flag in [["--holder", "123=x"], ["--holder", "111:123"], ["--face", "a"], ["--issued-on", "tomorrow"]] {
            let What::Issue { draft, shared, .. } = line(&[&["issue"][..], &flag].concat()).unwrap().what else {
                panic!()
            };
            assert_eq!(draft.request(&shared.purpose, "", today()).unwrap_err().code, 2, "{flag:?}");
        }
    }
}
