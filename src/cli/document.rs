//! `wuku document verify`: offline as `wuku-verify` does, or with `--hub` by the hub, which records the verdict and may say more of the
//! licence the paper names.
use super::answer::{AnswerArgs, Answered, Asked, refusal, show};
use super::connection::{Connection, PurposeArgs, Stop, fresh};
use crate::clock::Clock;
use crate::paper::command::{self, VerifyArgs};
use crate::paper::judge::{Verdict, sm3_of};
use crate::paper::report::exit_code;
use crate::receipt::canonical;
use crate::wire::proto::document::v1::document_service_client::DocumentServiceClient;
use crate::wire::proto::document::v1::verify_document_request::Message as Up;
use crate::wire::proto::document::v1::{DocumentQuestion, VerifyDocumentRequest};
use crate::wire::proto::exchange::v1::payload::Answer;
use bytes::Bytes;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Request;

/// Bytes of one part of the upload.
const PART_BYTES: usize = 256 << 10;
/// How long an upload and its judging may take.
const DEADLINE: Duration = Duration::from_secs(50);

/// Arguments of `wuku document`.
#[derive(Args, Debug)]
pub struct DocumentArgs {
    #[command(subcommand)]
    command: DocumentCommand,
}

#[derive(Subcommand, Debug)]
enum DocumentCommand {
    /// Judge a paper: exit 0 whole document unaltered and signed, 1 not valid, 2 unreadable, 3 content left uncovered, 4 no anchor
    /// vouches for the signers (with --require-anchor) (核验文件)
    #[command(after_help = "\
Example (示例): wuku document verify paper.ofd --anchors /etc/wuku/anchors --json
  wuku document verify paper.ofd --hub https://localhost:7443 --ca client-ca.pem --cert window.pem --key window.key \\
    --item ITEM-CODE --reference CASE-1 --cause 核对材料 --evidence verdict.json --trust trust.note")]
    Verify(Box<Verify>),
}

#[derive(Args, Debug)]
struct Verify {
    #[command(flatten)]
    paper: VerifyArgs,
    /// Have this hub judge it, by its own anchors: the verdict comes with a receipt, and under a grant with what the licence library holds
    /// (由枢纽核验并留痕)
    #[arg(long, value_name = "URL", requires_all = ["ca", "cert", "key"], conflicts_with_all = ["signature", "seal", "anchors", "issuer"])]
    hub: Option<String>,
    /// Authority of the hub's certificate, PEM (枢纽证书的 CA)
    #[arg(long, env = "WUKU_CA", value_name = "PEM", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// Our client certificate, PEM (客户端证书)
    #[arg(long, env = "WUKU_CERT", value_name = "PEM", hide_env_values = true)]
    cert: Option<PathBuf>,
    /// Its private key, PEM (客户端私钥)
    #[arg(long, env = "WUKU_KEY", value_name = "PEM", hide_env_values = true)]
    key: Option<PathBuf>,
    #[command(flatten)]
    purpose: PurposeArgs,
    /// Save the verdict with its receipt (保存证据)
    #[arg(long, value_name = "FILE", requires = "hub")]
    evidence: Option<PathBuf>,
    /// Check the receipt against this trust file (信任文件)
    #[arg(long, env = "WUKU_TRUST", value_name = "TRUST_NOTE", hide_env_values = true)]
    trust: Option<PathBuf>,
    /// The root key as published, or the fingerprint of the trust file (根密钥或信任文件指纹)
    #[arg(long, value_name = "VKEY_OR_FINGERPRINT", requires = "trust")]
    root_key: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn run(args: &DocumentArgs, clock: &Clock) -> ExitCode {
    let DocumentCommand::Verify(args) = &args.command;
    let Some(hub) = &args.hub else { return command::verify(&args.paper, clock) };
    match super::block_on(async { Ok(by_hub(args, hub, clock).await) }) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(Stop { text, code })) => {
            eprintln!("wuku: {text}");
            ExitCode::from(code)
        }
        Err(super::CliError(why)) => {
            eprintln!("wuku: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn by_hub(args: &Verify, hub: &str, clock: &Clock) -> Result<u8, Stop> {
    let file = args.paper.read_file().map_err(Stop::usage)?;
    let missing = || Stop::usage("--hub needs --ca, --cert and --key (须给出证书)");
    let connection = Connection {
        hub: hub.to_owned(),
        ca: args.ca.clone().ok_or_else(missing)?,
        cert: args.cert.clone().ok_or_else(missing)?,
        key: args.key.clone().ok_or_else(missing)?,
    };
    let question: Bytes = canonical::encode(&DocumentQuestion {
        nonce: Bytes::copy_from_slice(&fresh::<32>()?),
        purpose: Some(args.purpose.of_question()),
        operator: args.purpose.operator(),
        file_sm3: Bytes::copy_from_slice(&sm3_of(&file)),
        file_bytes: u64::try_from(file.len()).unwrap_or(u64::MAX),
        profile: args.paper.profile_given().unwrap_or_default().to_owned(),
    })
    .into();
    let answer = AnswerArgs {
        evidence: args.evidence.clone(),
        trust: args.trust.clone(),
        root_key: args.root_key.clone(),
        json: args.paper.json,
    };
    let mut client = DocumentServiceClient::new(connection.open().await?);
    let bar = bar(file.len());
    let sent = bar.clone();
    let first = std::iter::once(Up::Question(question.clone()));
    let parts: Vec<Bytes> = file.chunks(PART_BYTES).map(Bytes::copy_from_slice).collect();
    let parts = parts.into_iter().map(move |part| {
        sent.inc(u64::try_from(part.len()).unwrap_or_default());
        Up::Part(part)
    });
    let messages = first.chain(parts).map(|message| VerifyDocumentRequest { message: Some(message) });
    let mut request = Request::new(tokio_stream::iter(messages));
    request.set_timeout(DEADLINE);
    let reply = client.verify_document(request).await;
    bar.finish_and_clear();
    let reply = reply.map_err(|status| refusal(&answer, &status, Asked::Question(&question), clock))?.into_inner();
    let answered = Answered::one(reply.payload, reply.receipt)?;
    let opened = show(&answer, &[(answered, Asked::Question(&question))], None, clock)?;
    let Some(Answer::Document(verdict)) = opened.into_iter().next().and_then(|item| item.payload.answer) else {
        return Err(Stop::failed("the hub's answer is no verdict (答复不是核验结论)"));
    };
    let known =
        Verdict::from_name(&verdict.verdict).ok_or_else(|| Stop::failed("a verdict this version does not know"))?;
    Ok(exit_code(known, verdict.anchored, args.paper.require_anchor))
}

/// The bar on a terminal; nothing elsewhere.
fn bar(bytes: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(bytes).unwrap_or(u64::MAX)).with_message("上传 sent");
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {bytes}/{total_bytes} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
