//! `wuku licence`: what an issuing authority does. Its key signs here, on its own machine; the hub only ever sees signatures.
use super::answer::{Answered, Asked, ChangeArgs, open, open_trust};
use super::connection::{Connection, PurposeArgs, Stop, request};
use super::lookup::{licence_id, parse_day};
use super::message;
use super::sign::{DepartmentKey, prepared};
use crate::clock::Clock;
use crate::edge::identity::hex;
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::wire::proto::catalogue::v1::WhoAmIRequest;
use crate::wire::proto::catalogue::v1::catalogue_service_client::CatalogueServiceClient;
use crate::wire::proto::exchange::v1::PreparedLicence;
use crate::wire::proto::licence::v1::licence_service_client::LicenceServiceClient;
use crate::wire::proto::licence::v1::{
    DistrustIssuerKeyRequest, LicenceOrder, LicenceType, ListLicenceTypesRequest, OrderAction, PrepareLicenceRequest,
};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

const PREPARE: &str = "wuku.licence.v1.PrepareLicenceRequest";
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
        shared: Box<ChangeArgs>,
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
        shared: Box<ChangeArgs>,
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

/// The content of a licence.
#[derive(Args, Debug, Default)]
struct Draft {
    /// Content as JSON or TOML, - for standard input (内容文件)
    #[arg(long)]
    file: Option<PathBuf>,
    /// Licence type, 21 characters (证照类型代码)
    #[arg(long = "type", value_name = "CODE")]
    type_code: Option<String>,
    /// The number printed on it (证照编号)
    #[arg(long)]
    number: Option<String>,
    /// A holder; may be given several times (持证主体)
    #[arg(long = "holder", value_name = "TYPE:CODE=NAME")]
    holders: Vec<String>,
    /// Day of issue; today where not given (颁发日期)
    #[arg(long, value_name = "DAY")]
    issued_on: Option<String>,
    /// First valid day; the day of issue where not given (有效期起)
    #[arg(long, value_name = "DAY")]
    valid_from: Option<String>,
    /// Last valid day, whole; long-term where not given (有效期止，缺省为长期)
    #[arg(long, value_name = "DAY")]
    valid_until: Option<String>,
    /// Division (属地行政区划代码)
    #[arg(long)]
    division: Option<String>,
    /// A face field; may be given several times (照面字段)
    #[arg(long = "face", value_name = "NAME=VALUE")]
    face: Vec<String>,
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

impl Draft {
    /// The request to prepare it; `previous` is the version it takes the place of.
    fn request(
        &self,
        purpose: &PurposeArgs,
        previous: &str,
        today: CalendarDate,
    ) -> Result<PrepareLicenceRequest, Stop> {
        let mut value = message::value(self.file.as_deref(), &[])?;
        let texts = [
            ("type_code", &self.type_code),
            ("number", &self.number),
            ("issued_on", &self.issued_on),
            ("valid_from", &self.valid_from),
            ("valid_until", &self.valid_until),
            ("division", &self.division),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                message::set(&mut value, name, json!(text));
            }
        }
        if !self.holders.is_empty() {
            let holders: Result<Vec<Value>, Stop> = self.holders.iter().map(|text| holder(text)).collect();
            message::set(&mut value, "holders", holders?.into());
        }
        let mut draft: PrepareLicenceRequest = message::read(PREPARE, &value)?;
        for text in &self.face {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Stop::usage(format!("{text}: use NAME=VALUE (应为 名称=值)")))?;
            draft.face_fields.retain(|field| field.name != name);
            draft.face_fields.push(crate::wire::proto::library::v1::Field {
                name: name.to_owned(),
                value: value.to_owned(),
                masked: false,
            });
        }
        let issued_on = draft.issued_on.unwrap_or_else(|| day::to_proto(today));
        draft.issued_on = Some(issued_on);
        draft.valid_from = draft.valid_from.or(Some(issued_on));
        draft.previous_licence_id = previous.to_owned();
        draft.purpose = purpose.of_change().or(draft.purpose);
        draft.operator = purpose.operator().or(draft.operator);
        if draft.item_code.is_empty() {
            draft.item_code = purpose.item.clone().unwrap_or_default();
        }
        Ok(draft)
    }
}

fn holder(text: &str) -> Result<Value, Stop> {
    let form = || Stop::usage(format!("{text}: use TYPE:CODE=NAME (应为 代码类型:代码=姓名)"));
    let (code, name) = text.split_once('=').ok_or_else(form)?;
    if !code.contains(':') {
        return Err(form());
    }
    Ok(json!({ "code": code, "name": name }))
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

/// Prepares, looks, signs, issues. A crash before the last step leaves nothing in the library.
async fn issue(
    shared: &ChangeArgs,
    key: &DepartmentKey,
    draft: &PrepareLicenceRequest,
    clock: &Clock,
) -> Result<(), Stop> {
    let channel = shared.connection.open().await?;
    let ready = prepare(shared, &channel, draft, clock).await?;
    let id = shared.id()?;
    let message = key.issue(draft, &ready, &id)?;
    let mut client = LicenceServiceClient::new(channel);
    let reply = client.issue_licence(request(message)).await.map_err(|status| shared.stopped(&status))?.into_inner();
    shared.done(reply.payload, reply.receipt, &id, clock)
}

/// Signs the order, for amend and renew the new version too, and hands both in.
async fn change(
    shared: &ChangeArgs,
    key: &DepartmentKey,
    order: LicenceOrder,
    draft: Option<&PrepareLicenceRequest>,
    clock: &Clock,
) -> Result<(), Stop> {
    let channel = shared.connection.open().await?;
    let who = CatalogueServiceClient::new(channel.clone()).who_am_i(request(WhoAmIRequest {})).await?.into_inner();
    let order = LicenceOrder { hub: who.hub, ..order };
    let (id, message) = match draft {
        Some(draft) => {
            let ready = prepare(shared, &channel, draft, clock).await?;
            let id = shared.id()?;
            let message = key.replace(&order, draft, &ready, &id)?;
            (id, message)
        }
        None => {
            let id = shared.id()?;
            let message = key.change(&order, &id, shared.purpose.of_change(), shared.purpose.operator())?;
            (id, message)
        }
    };
    let mut client = LicenceServiceClient::new(channel);
    let reply = client.change_licence(request(message)).await.map_err(|status| shared.stopped(&status))?.into_inner();
    shared.done(reply.payload, reply.receipt, &id, clock)
}

/// The bytes to sign, as the hub prepared and recorded them.
async fn prepare(
    shared: &ChangeArgs,
    channel: &Channel,
    draft: &PrepareLicenceRequest,
    clock: &Clock,
) -> Result<PreparedLicence, Stop> {
    let mut client = LicenceServiceClient::new(channel.clone());
    let reply =
        client.prepare_licence(request(draft.clone())).await.map_err(|status| shared.stopped(&status))?.into_inner();
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
    fn what_is_not_a_holder_or_a_face_field_is_a_wrong_use() {
        for flag in [["--holder", "123=x"], ["--holder", "111:123"], ["--face", "a"], ["--issued-on", "tomorrow"]] {
            let What::Issue { draft, shared, .. } = line(&[&["issue"][..], &flag].concat()).unwrap().what else {
                panic!()
            };
            assert_eq!(draft.request(&shared.purpose, "", today()).unwrap_err().code, 2, "{flag:?}");
        }
    }
}
