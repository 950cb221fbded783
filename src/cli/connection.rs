//! What every command that talks to a hub shares: where it is, why and who, and a refusal in words a person can act on.
use super::CliError;
use super::client::{Client, ClientError};
use super::sign::SignError;
use crate::failure::Reason;
use crate::receipt::{Evidence, Receipt, evidence, statement};
use crate::wire::proto::exchange::v1::RecordedItem;
use crate::wire::proto::receipt::v1::{Operator, Purpose, PurposeKind};
use clap::{Args, ValueEnum};
use prost::Message;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// Longest we wait for an answer; the hub is told, so that it does not work for nobody.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest answer taken, bytes: 200 complete licences fit.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the hub is, and what to show it.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The hub, https://host:port (枢纽地址)
    #[arg(long, env = "WUKU_HUB", value_name = "URL", hide_env_values = true)]
    pub hub: String,
    /// Authority of the hub's certificate, PEM (枢纽证书的 CA)
    #[arg(long, env = "WUKU_CA", value_name = "PEM", hide_env_values = true)]
    pub ca: PathBuf,
    /// Our client certificate, PEM (客户端证书)
    #[arg(long, env = "WUKU_CERT", value_name = "PEM", hide_env_values = true)]
    pub cert: PathBuf,
    /// Its private key, PEM (客户端私钥)
    #[arg(long, env = "WUKU_KEY", value_name = "PEM", hide_env_values = true)]
    pub key: PathBuf,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Files that cannot be read, a hub that does not answer.
    pub async fn open(&self) -> Result<Channel, Stop> {
        let Self { hub, ca, cert, key } = self.clone();
        Ok(Client { endpoint: hub, ca, certificate: cert, key }.connect().await?)
    }
}

/// Why it is asked, and who sits behind it.
#[derive(Args, Clone, Debug, Default)]
pub struct PurposeArgs {
    /// What it is for (用途类别)
    #[arg(long, env = "WUKU_PURPOSE", value_enum, hide_env_values = true)]
    pub purpose: Option<PurposeWord>,
    /// Service item handled (事项编码)
    #[arg(long, env = "WUKU_ITEM", hide_env_values = true)]
    pub item: Option<String>,
    /// Case, intake, task or policy number, as the purpose calls for (办件、收件、任务或政策编号)
    #[arg(long, env = "WUKU_REFERENCE", hide_env_values = true)]
    pub reference: Option<String>,
    /// Use cause, at most 200 characters (申请事由)
    #[arg(long, env = "WUKU_CAUSE", hide_env_values = true)]
    pub cause: Option<String>,
    /// Person behind the call, by your own number for them (经办人)
    #[arg(long, env = "WUKU_OPERATOR", hide_env_values = true)]
    pub operator: Option<String>,
    /// Service window or desk (窗口)
    #[arg(long, env = "WUKU_WINDOW", hide_env_values = true)]
    pub window: Option<String>,
}

/// The kinds of purpose as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PurposeWord {
    /// Handling a case: needs item and case number (办件)
    Handling,
    /// Checking materials before intake: needs item and intake number (预审)
    PreCheck,
    /// Supervision: needs a task number (监管)
    Supervision,
    /// A policy carried out without application: needs a policy code (惠民惠企政策)
    Policy,
    /// Correcting data (数据纠错)
    Correction,
    /// Audit (审计)
    Audit,
    /// Running the hub; for changes only (运维管理)
    Administration,
}

impl PurposeWord {
    /// The kind on the wire.
    #[must_use]
    pub fn kind(self) -> PurposeKind {
        match self {
            Self::Handling => PurposeKind::Handling,
            Self::PreCheck => PurposeKind::PreCheck,
            Self::Supervision => PurposeKind::Supervision,
            Self::Policy => PurposeKind::Policy,
            Self::Correction => PurposeKind::Correction,
            Self::Audit => PurposeKind::Audit,
            Self::Administration => PurposeKind::Administration,
        }
    }
}

impl PurposeArgs {
    /// The purpose of a question; handling where none is named.
    #[must_use]
    pub fn of_question(&self) -> Purpose {
        self.of_kind(PurposeWord::Handling)
    }

    /// The purpose of a question about the hub's own records; audit where none is named.
    #[must_use]
    pub fn of_audit(&self) -> Purpose {
        self.of_kind(PurposeWord::Audit)
    }

    /// The purpose of a change, where one is given at all.
    #[must_use]
    pub fn of_change(&self) -> Option<Purpose> {
        let given = self.purpose.is_some() || [&self.item, &self.reference, &self.cause].iter().any(|t| t.is_some());
        given.then(|| self.of_question())
    }

    /// Who sits behind it, where that is given.
    #[must_use]
    pub fn operator(&self) -> Option<Operator> {
        let operator =
            Operator { id: self.operator.clone().unwrap_or_default(), window: self.window.clone().unwrap_or_default() };
        (operator != Operator::default()).then_some(operator)
    }

    fn of_kind(&self, otherwise: PurposeWord) -> Purpose {
        Purpose {
            kind: self.purpose.unwrap_or(otherwise).kind().into(),
            item: self.item.clone().unwrap_or_default(),
            reference: self.reference.clone().unwrap_or_default(),
            use_cause: self.cause.clone().unwrap_or_default(),
        }
    }
}

/// How a command ended that did not do what it was asked.
#[derive(Debug)]
pub struct Stop {
    /// For a person, both languages.
    pub text: String,
    /// 1 refused or failed, 2 used wrongly.
    pub code: u8,
}

impl Stop {
    /// It was refused or failed.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// It was used wrongly.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::failed(words_of(&status))
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<SignError> for Stop {
    fn from(error: SignError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<CliError> for Stop {
    fn from(CliError(text): CliError) -> Self {
        Self::failed(text)
    }
}

/// Runs a command to its end: 0 done, 1 refused or failed, 2 used wrongly.
pub fn run(command: impl Future<Output = Result<(), Stop>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Stop::failed(error.to_string())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop { text, code }) => {
            eprintln!("wuku: {text}");
            ExitCode::from(code)
        }
    }
}

/// A request with our deadline.
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// Fresh random bytes.
///
/// # Errors
/// Where the system gives none.
pub fn fresh<const N: usize>() -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Stop::failed(format!("no randomness: {e}")))?;
    Ok(bytes)
}

/// A fresh id for a change: 16 random bytes in hex.
///
/// # Errors
/// As [`fresh`].
pub fn fresh_id() -> Result<String, Stop> {
    Ok(crate::edge::identity::hex(&fresh::<16>()?))
}

/// The id of a change: the one given, else a fresh one. Said on standard error before it is used, so that a retry after a lost
/// connection can name it.
///
/// # Errors
/// As [`fresh`].
pub fn request_id(given: Option<&str>) -> Result<String, Stop> {
    let id = given.map_or_else(fresh_id, |given| Ok(given.to_owned()))?;
    eprintln!("wuku: request id {id} (请求编号；重试时加 --request-id {id})");
    Ok(id)
}

/// A refusal in words; where the hub recorded it, the receipt is saved to `evidence` like any other.
#[must_use]
pub fn refused(status: &Status, evidence: Option<&Path>) -> Stop {
    let mut text = words_of(status);
    if let (Some(item), Some(path)) = (recorded(status), evidence) {
        text += &match save(path, &item.payload, &item.receipt.unwrap_or_default()) {
            Ok(()) => format!("\n  evidence of the refusal (拒绝的证据): {}", path.display()),
            Err(error) => format!("\n  {}", error.text),
        };
    }
    Stop::failed(text)
}

/// The recorded refusal in a status.
#[must_use]
pub fn recorded(status: &Status) -> Option<RecordedItem> {
    let whole = tonic_types::pb::Status::decode(status.details()).ok()?;
    let item = whole.details.iter().find(|any| any.type_url.ends_with("/wuku.exchange.v1.RecordedItem"))?;
    RecordedItem::decode(item.value.as_slice()).ok()
}

/// The hub's reason in a status.
#[must_use]
pub fn reason(status: &Status) -> Option<Reason> {
    Reason::from_name(&status.get_details_error_info()?.reason)
}

/// Writes an evidence file.
///
/// # Errors
/// What the system says.
pub fn save(path: &Path, payload: &bytes::Bytes, receipt: &Receipt) -> Result<(), Stop> {
    let whole = Evidence {
        payload_name: statement::PAYLOAD_NAME.to_owned(),
        payload: payload.clone(),
        receipt: Some(receipt.clone()),
    };
    std::fs::write(path, evidence::to_json(&whole)).map_err(|e| Stop::failed(format!("{}: {e}", path.display())))
}

/// What stopped a call, in both languages: reason, each field, the remedy, when to try again.
#[must_use]
pub fn words_of(status: &Status) -> String {
    let details = status.get_error_details();
    let mut lines = Vec::new();
    let name = details.error_info().map(|info| info.reason.as_str()).unwrap_or_default();
    match Reason::from_name(name) {
        Some(reason) => {
            lines.push(format!("{name} ({})", code_name(status.code())));
            lines.push(format!("{}{}", reason.text_zh(), reason.remedy_zh()));
            lines.push(format!("{} {}", reason.text_en(), reason.remedy_en()));
        }
        None if name.is_empty() => {
            lines.push(format!("{}: {}{}", code_name(status.code()), status.message(), causes(status)));
            lines.extend(hint(status.code()).map(str::to_owned));
        }
        None => lines.push(format!("{name} ({}): {}", code_name(status.code()), status.message())),
    }
    for fault in details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default() {
        lines.push(format!("{}: {}", fault.field, fault.description));
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        lines.push(format!("try again after (请在此后重试): {} ms", delay.as_millis()));
    }
    if let Some(info) = details.request_info() {
        lines.push(format!("request (请求): {}", info.request_id));
    }
    if let Some(receipt) = recorded(status).and_then(|item| item.receipt) {
        lines.push(format!("此次拒绝已留痕，叶序号 {0}。The refusal is entry {0} of the log.", receipt.leaf_index));
    }
    lines.join("\n  ")
}

/// What the hub did not say itself, for the cases a newcomer meets first.
fn hint(code: Code) -> Option<&'static str> {
    match code {
        Code::Unimplemented => {
            Some("这个枢纽没有此项服务，请核对版本。This hub does not offer that; compare versions.")
        }
        Code::DeadlineExceeded | Code::Cancelled => Some(
            "变更可能已生效：用同一请求编号重试即可得知。A change may have taken effect: retry with the same request id.",
        ),
        Code::Unavailable | Code::Unknown => Some(
            "核对地址、CA、客户端证书是否在有效期内且未被吊销。Check address, CA, and that the client certificate is valid and not revoked.",
        ),
        _ => None,
    }
}

/// The library's own text is "transport error"; what happened stands in its causes.
fn causes(status: &Status) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(status);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::status::to_status;
    use crate::failure::{Failure, FieldFault};

    #[test]
    fn a_failure_of_the_hub_is_said_with_reason_fields_and_remedy_in_both_languages() {
        let faults = vec![
            FieldFault::new("question.key", "缺少键。", "A key is required."),
            FieldFault::new("question.nonce", "太短。", "Too short."),
        ];
        let text = words_of(&to_status(&Failure::malformed(faults), None));
        for part in ["REQUEST_MALFORMED (INVALID_ARGUMENT)", "question.key: 缺少键。", "question.nonce", "Too short."]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (zh, en) = (Reason::RequestMalformed.remedy_zh(), Reason::RequestMalformed.remedy_en());
        assert!(text.contains(zh) && text.contains(en), "{text}");
        let busy = to_status(&Failure::new(Reason::HubOverloaded), None);
        assert_eq!(reason(&busy), Some(Reason::HubOverloaded));
        assert!(words_of(&busy).contains("200 ms"), "{}", words_of(&busy));
    }

    #[test]
    fn a_recorded_refusal_is_saved_like_any_evidence() {
        let receipt = Receipt { leaf_index: 7, checkpoint: "c".into(), ..Receipt::default() };
        let item = RecordedItem { payload: "p".into(), receipt: Some(receipt.clone()), seal: None };
        let details = tonic_types::pb::Status {
            code: 7,
            message: String::new(),
            details: vec![prost_types::Any {
                type_url: "type.googleapis.com/wuku.exchange.v1.RecordedItem".into(),
                value: item.encode_to_vec(),
            }],
        };
        let status = Status::with_details(Code::PermissionDenied, "no", details.encode_to_vec().into());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.json");
        assert!(refused(&status, Some(&path)).text.contains("entry 7"));
        let saved = evidence::from_json(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((saved.payload.as_ref(), saved.receipt), (&b"p"[..], Some(receipt)));
    }

    #[test]
    fn a_status_that_is_not_the_hubs_still_says_what_to_look_at() {
        let text = words_of(&Status::unavailable("connection refused"));
        assert!(text.contains("connection refused") && text.contains("客户端证书"), "{text}");
        assert_eq!(recorded(&Status::with_details(Code::Internal, "", "rubbish".into())), None);
    }

    #[test]
    fn every_command_that_talks_to_a_hub_teaches_with_an_example() {
        use clap::CommandFactory;
        let mut whole = crate::cli::Cli::command();
        whole.build();
        whole.clone().debug_assert();
        for name in ["lookup", "licence", "grant", "catalogue", "log"] {
            let command = whole.find_subcommand(name).unwrap();
            assert!(command.get_subcommands().count() > 3, "{name}");
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                let example = format!("wuku {name} {}", sub.get_name());
                assert!(help.contains(&example), "{name} {}: {help}", sub.get_name());
            }
        }
    }

    #[test]
    fn a_change_states_a_purpose_only_where_one_is_given() {
        assert_eq!(PurposeArgs::default().of_change(), None);
        assert_eq!(PurposeArgs::default().operator(), None);
        let args = PurposeArgs { item: Some("i".into()), window: Some("3".into()), ..PurposeArgs::default() };
        assert_eq!(args.of_change().map(|p| (p.kind(), p.item)), Some((PurposeKind::Handling, "i".into())));
        assert_eq!(args.operator().map(|o| o.window), Some("3".into()));
        assert_eq!(args.of_audit().kind(), PurposeKind::Audit);
    }
}
