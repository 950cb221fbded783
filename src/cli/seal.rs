//! `wuku seal`: seals of a department, what they may be used for, and who used them.
use super::answer::{AnswerArgs, Answered, Asked, ChangeArgs, refusal, show};
use super::catalogue::print;
use super::connection::{Connection, PurposeArgs, Stop, fresh, request};
use crate::clock::Clock;
use crate::receipt::canonical;
use crate::wire::proto::library::v1::Library;
use crate::wire::proto::seal::v1::seal_service_client::SealServiceClient;
use crate::wire::proto::seal::v1::{
    BindSealRequest, ImportSealRequest, ListSealUsesRequest, ListSealsRequest, Seal, SealBinding, SealUseListQuestion,
    WatchSealUsesRequest,
};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use tonic::transport::Channel;

const SEAL: &str = "wuku.seal.v1.Seal";

/// Arguments of `wuku seal`.
#[derive(Args, Debug)]
#[command(after_help = "\
The hub makes no seals: it holds those of the city's seal system (枢纽不制章，只保管和使用印章系统制作的印章).
Example (示例):
  wuku seal import market.esl --owner market-regulation
  wuku seal bind 33109900000001 --replaces 1 --items ITEM-CODE --types LICENCE-TYPE --delegate civil
  wuku lookup licence LICENCE-ID --sealed-by 33109900000001 --evidence answer.json
  wuku seal uses 33109900000001")]
pub struct SealArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Take in a seal file of the city's seal system; it is judged first (印章入库)
    #[command(after_help = "Example (示例): wuku seal import market.esl --owner market-regulation")]
    Import {
        /// The seal file, .esl (印章文件)
        file: PathBuf,
        /// The department it belongs to (所属部门)
        #[arg(long)]
        owner: String,
        /// The version it takes the place of; 0 for a new one (原版本)
        #[arg(long, default_value_t = 0)]
        replaces: u64,
        #[command(flatten)]
        change: Box<ChangeArgs>,
    },
    /// Say what a seal may be used for, by whom; what is not named is refused (印章授权)
    #[command(after_help = "\
Example (示例): wuku seal bind 33109900000001 --replaces 1 --items ITEM-CODE --types LICENCE-TYPE --libraries population
  wuku seal bind 33109900000001 --replaces 2 --items ITEM-CODE --types LICENCE-TYPE --disable")]
    Bind {
        /// Seal identifier (印章标识)
        id: String,
        /// The version it takes the place of (原版本)
        #[arg(long)]
        replaces: u64,
        /// Service items, comma between (事项编码)
        #[arg(long, value_delimiter = ',', required = true)]
        items: Vec<String>,
        /// Licence types whose answers may bear it, comma between (证照类型)
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        /// Base libraries whose answers may bear it, comma between (基础库)
        #[arg(long, value_enum, value_delimiter = ',')]
        libraries: Vec<LibraryWord>,
        /// Departments that may use it beside its owner, comma between (受托单位)
        #[arg(long, value_delimiter = ',')]
        delegate: Vec<String>,
        /// Not used for anything at present (停用)
        #[arg(long)]
        disable: bool,
        #[command(flatten)]
        change: Box<ChangeArgs>,
    },
    /// List the seals you may see (印章列表)
    #[command(after_help = "Example (示例): wuku seal list --json")]
    List {
        #[command(flatten)]
        connection: Connection,
        /// Print JSON (以 JSON 输出)
        #[arg(long)]
        json: bool,
    },
    /// Who used a seal; recorded like every question (用印记录)
    #[command(after_help = "Example (示例): wuku seal uses 33109900000001 --purpose audit --watch")]
    Uses {
        /// Seal identifier (印章标识)
        id: String,
        /// Only entries before this index (此前)
        #[arg(long, conflicts_with = "watch")]
        before: Option<u64>,
        /// At most so many (至多)
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// Stay, and show uses as they happen, oldest first (持续订阅)
        #[arg(long)]
        watch: bool,
        /// Where to begin watching: an index (起始序号)
        #[arg(long, default_value_t = 0, requires = "watch")]
        from: u64,
        #[command(flatten)]
        ask: Box<UsesArgs>,
    },
}

#[derive(Args, Debug)]
struct UsesArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    purpose: PurposeArgs,
    #[command(flatten)]
    answer: AnswerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LibraryWord {
    /// 人口库
    Population,
    /// 法人库
    LegalEntity,
    /// 信用库
    Credit,
    /// 地理空间库
    Geospatial,
}

impl LibraryWord {
    fn number(self) -> i32 {
        let library = match self {
            Self::Population => Library::Population,
            Self::LegalEntity => Library::LegalEntity,
            Self::Credit => Library::Credit,
            Self::Geospatial => Library::Geospatial,
        };
        library as i32
    }
}

/// Runs `wuku seal`.
///
/// # Errors
/// A file that cannot be read (2); a refusal, a seal that does not stand (1).
pub async fn run(args: &SealArgs, clock: &Clock) -> Result<(), Stop> {
    match &args.what {
        What::Import { file, owner, replaces, change } => {
            let esl = std::fs::read(file).map_err(|e| Stop::usage(format!("{}: {e}", file.display())))?;
            let id = change.id()?;
            let message = ImportSealRequest {
                request_id: id.clone(),
                esl: esl.into(),
                owner_department: owner.clone(),
                version: *replaces,
                purpose: change.purpose.of_change(),
            };
            let mut client = SealServiceClient::new(change.connection.open().await?);
            let reply = client.import_seal(request(message)).await.map_err(|status| change.stopped(&status))?;
            let reply = reply.into_inner();
            change.done(reply.payload, reply.receipt, &id, clock)
        }
        What::Bind { id: seal_id, replaces, items, types, libraries, delegate, disable, change } => {
            let id = change.id()?;
            let binding = SealBinding {
                enabled: !disable,
                items: items.clone(),
                licence_types: types.clone(),
                libraries: libraries.iter().map(|library| library.number()).collect(),
                delegated_departments: delegate.clone(),
            };
            let message = BindSealRequest {
                request_id: id.clone(),
                seal_id: seal_id.clone(),
                binding: Some(binding),
                version: *replaces,
                purpose: change.purpose.of_change(),
            };
            let mut client = SealServiceClient::new(change.connection.open().await?);
            let reply = client.bind_seal(request(message)).await.map_err(|status| change.stopped(&status))?;
            let reply = reply.into_inner();
            change.done(reply.payload, reply.receipt, &id, clock)
        }
        What::List { connection, json } => {
            let (seals, signer) = all(connection.open().await?).await?;
            print(*json, SEAL, &seals, |seal| (seal.id.clone(), of_seal(seal)));
            let shown = match signer.as_str() {
                "" => "用印未配置 no signer configured",
                "software" => "软件密钥，非认证设备，仅供演示 software key, not a certified device: for demos only",
                other => other,
            };
            eprintln!("wuku: signer (用印方式): {shown}");
            Ok(())
        }
        What::Uses { id, before, limit, watch, from, ask } => {
            let question = SealUseListQuestion {
                nonce: Bytes::copy_from_slice(&fresh::<32>()?),
                purpose: Some(ask.purpose.of_audit()),
                operator: ask.purpose.operator(),
                seal_id: id.clone(),
                before_index: before.unwrap_or_default(),
                from_index: *from,
                limit: *limit,
            };
            uses(ask, canonical::encode(&question).into(), *watch, clock).await
        }
    }
}

async fn uses(ask: &UsesArgs, question: Bytes, watch: bool, clock: &Clock) -> Result<(), Stop> {
    let mut client = SealServiceClient::new(ask.connection.open().await?);
    let asked = Asked::Question(&question);
    let stopped = |status| refusal(&ask.answer, &status, asked, clock);
    if !watch {
        let message = ListSealUsesRequest { question: question.clone() };
        let reply = client.list_seal_uses(request(message)).await.map_err(stopped)?.into_inner();
        show(&ask.answer, &[(Answered::one(reply.payload, reply.receipt)?, asked)], None, clock)?;
        return Ok(());
    }
    let message = WatchSealUsesRequest { question: question.clone() };
    // No deadline of ours: the hub ends the stream with its own, and says where to go on.
    let mut pages = client.watch_seal_uses(message).await.map_err(stopped)?.into_inner();
    let mut next = 0;
    loop {
        match pages.message().await {
            Ok(Some(page)) => {
                show(&ask.answer, &[(Answered::one(page.payload, page.receipt)?, asked)], None, clock)?;
                next = page.next_from_index;
            }
            Ok(None) => break,
            Err(status) if next == 0 => return Err(stopped(status)),
            Err(_) => break,
        }
    }
    eprintln!("wuku: the stream has ended; go on with (订阅已结束，继续请用): --watch --from {next}");
    Ok(())
}

fn of_seal(seal: &Seal) -> String {
    let binding = seal.binding.clone().unwrap_or_default();
    let state = match (&seal.binding, binding.enabled) {
        (None, _) => "未授权 not bound",
        (Some(_), false) => "已停用 disabled",
        (Some(_), true) => "可用 enabled",
    };
    let scopes = binding.licence_types.len().saturating_add(binding.libraries.len());
    format!(
        "{} · {} · {state} · {} 个事项 items · {scopes} 类 scopes · {} · v{}",
        seal.name,
        seal.owner_department,
        binding.items.len(),
        seal.ownership,
        seal.version
    )
}

async fn all(channel: Channel) -> Result<(Vec<Seal>, String), Stop> {
    let mut client = SealServiceClient::new(channel);
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListSealsRequest { page_size: 200, page_token };
        let reply = client.list_seals(request(message)).await?.into_inner();
        all.extend(reply.seals);
        if reply.next_page_token.is_empty() {
            return Ok((all, reply.signer));
        }
        page_token = reply.next_page_token;
    }
}
