//! `wuku lookup`: every kind of question, with a fresh nonce each, its answer checked to be ours.
mod question;

use super::answer::{AnswerArgs, Answered, Asked, refusal, show};
use super::connection::{ANSWER_BYTES_MAX, Connection, PurposeArgs, Stop, request};
use crate::clock::Clock;
use crate::library::codes::CalendarDate;
use crate::wire::proto::exchange::v1::exchange_service_client::ExchangeServiceClient;
use crate::wire::proto::exchange::v1::{
    AnswerMode, BatchLookUpRequest, DeriveRequest, LookUpAreaRequest, LookUpHolderRequest, LookUpRequest, MatchRequest,
};
use crate::wire::proto::library::v1::{Library, Point};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use question::{Ready, parse_instant, parse_point};
pub(super) use question::{holder, licence as licence_id, parse_day};
use serde_json::{Value, json};
use std::path::PathBuf;
use tonic::Status;

/// Arguments of `wuku lookup`.
#[derive(Args, Debug)]
#[command(after_help = "\
Where and why may stand in the environment (地址、证书、用途可放在环境变量中):
  export WUKU_HUB=https://localhost:7443 WUKU_CA=client-ca.pem WUKU_CERT=window.pem WUKU_KEY=window.key
  export WUKU_ITEM=ITEM-CODE WUKU_REFERENCE=CASE-1 WUKU_CAUSE=核对材料 WUKU_OPERATOR=0042
Then (然后):
  wuku lookup person 331099199001010018 --fields name,sex
  wuku lookup licence LICENCE-ID --complete --evidence answer.json --trust trust.note
  wuku lookup age 331099199001010018 18
Exit code 0: answered, absent included; 1: refused or failed; 2: used wrongly.")]
pub struct LookupArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// One licence by its identifier (按证照标识查询)
    #[command(
        after_help = "Example (示例): wuku lookup licence LICENCE-ID --fields number,holder_name --on 2026-06-30"
    )]
    Licence {
        /// Licence identifier, GB/T 36904 (电子证照标识)
        id: String,
        /// Ask for the complete licence with its issuer's signature (要求证照原文及签发签名)
        #[arg(long)]
        complete: bool,
        #[command(flatten)]
        record: Box<RecordArgs>,
    },
    /// One person's base record by code; persons cannot be searched (按代码查询人口信息)
    #[command(after_help = "Example (示例): wuku lookup person 331099199001010018 --fields name --mode masked")]
    Person {
        /// The code; a 15-digit number is upgraded (证件号码)
        code: String,
        /// Type of the code, GB/T 36903 (代码类型)
        #[arg(long, default_value = "111")]
        code_type: String,
        #[command(flatten)]
        record: Box<RecordArgs>,
    },
    /// One legal entity by unified social credit code (按统一社会信用代码查询法人)
    #[command(after_help = "Example (示例): wuku lookup entity 91331099MA00000000 --fields name,status")]
    Entity {
        /// The code (统一社会信用代码)
        uscc: String,
        #[command(flatten)]
        record: Box<RecordArgs>,
    },
    /// One credit record by subject and number (查询一条信用记录)
    #[command(
        after_help = "Example (示例): wuku lookup credit 91331099MA00000000 P-2026-17 --fields category,authority"
    )]
    Credit {
        /// Whom it is about (主体代码)
        subject: String,
        /// The source's number of the record (记录编号)
        record_id: String,
        /// Type of the subject's code; guessed from its form where not given (代码类型)
        #[arg(long)]
        code_type: Option<String>,
        #[command(flatten)]
        record: Box<RecordArgs>,
    },
    /// One geospatial feature by its code (按要素代码查询)
    #[command(after_help = "Example (示例): wuku lookup feature 331023 --fields name,geometry")]
    Feature {
        /// Feature code (要素代码)
        code: String,
        #[command(flatten)]
        record: Box<RecordArgs>,
    },
    /// Do a name and a code belong together? (姓名与代码是否相符)
    #[command(after_help = "Example (示例): wuku lookup match 331099199001010018 张三")]
    Match {
        /// The code (证件号码或统一社会信用代码)
        code: String,
        /// The name as written (姓名或名称)
        name: String,
        /// Type of the code; guessed from its form where not given (代码类型)
        #[arg(long)]
        code_type: Option<String>,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// Is a person at least so many years old? (是否已满若干周岁)
    #[command(after_help = "Example (示例): wuku lookup age 331099199001010018 18")]
    Age {
        /// The person's code (证件号码)
        code: String,
        /// Years (周岁)
        years: u32,
        /// Type of the code (代码类型)
        #[arg(long, default_value = "111")]
        code_type: String,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// Is a licence valid on a day? (证照在某日是否有效)
    #[command(after_help = "Example (示例): wuku lookup valid-on LICENCE-ID 2026-06-30")]
    ValidOn {
        /// Licence identifier (电子证照标识)
        id: String,
        /// The day; today where not given (日期)
        #[arg(value_parser = parse_day)]
        day: Option<CalendarDate>,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// Is a subject on no list of a category? (是否未列入名单)
    #[command(after_help = "Example (示例): wuku lookup not-listed 91331099MA00000000 blacklist --day 2026-06-30")]
    NotListed {
        /// Whom it is about (主体代码)
        code: String,
        /// blacklist, penalty, commitment_breach … (名单类别)
        category: String,
        /// The day; today where not given (日期)
        #[arg(long, value_parser = parse_day)]
        day: Option<CalendarDate>,
        /// Type of the code; guessed from its form where not given (代码类型)
        #[arg(long)]
        code_type: Option<String>,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// Is a person or entity registered in a division? (是否登记在某行政区划内)
    #[command(after_help = "Example (示例): wuku lookup registered-in 331099199001010018 331023")]
    RegisteredIn {
        /// Whom it is about (主体代码)
        code: String,
        /// Division; a county contains its townships (行政区划代码)
        division: String,
        /// Type of the code; guessed from its form where not given (代码类型)
        #[arg(long)]
        code_type: Option<String>,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// Is a person an entity's legal representative? (是否为法定代表人)
    #[command(after_help = "Example (示例): wuku lookup represents 331099199001010018 91331099MA00000000")]
    Represents {
        /// The person's code (证件号码)
        code: String,
        /// The entity (统一社会信用代码)
        uscc: String,
        /// Type of the person's code (代码类型)
        #[arg(long, default_value = "111")]
        code_type: String,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// Everything you may see of one holder (一证通办：按持证主体查询)
    #[command(
        after_help = "Example (示例): wuku lookup holder 331099199001010018 --libraries licence,credit --fields number"
    )]
    Holder {
        /// The holder's code (证件号码或统一社会信用代码)
        code: String,
        /// Type of the code; guessed from its form where not given (代码类型)
        #[arg(long)]
        code_type: Option<String>,
        /// Only these licence types, comma between (证照类型)
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        /// Only these libraries; licences where not given (库)
        #[arg(long, value_enum, value_delimiter = ',')]
        libraries: Vec<LibraryWord>,
        /// Fields wanted, comma between (字段)
        #[arg(long, value_delimiter = ',')]
        fields: Vec<String>,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// What a point lies in, or what lies within a feature (坐标所在区域，或区域内的要素)
    #[command(after_help = "Example (示例): wuku lookup area --point 121.03,29.14 --kind division --fields name,code")]
    Area {
        /// LONGITUDE,LATITUDE in degrees, CGCS2000 (坐标)
        #[arg(long, value_parser = parse_point, allow_hyphen_values = true, conflicts_with = "within", required_unless_present = "within")]
        point: Option<Point>,
        /// Feature code (要素代码)
        #[arg(long)]
        within: Option<String>,
        /// division, parcel, building, address_point … (要素类别)
        #[arg(long)]
        kind: String,
        /// Fields wanted, comma between; `geometry` is one (字段)
        #[arg(long, value_delimiter = ',')]
        fields: Vec<String>,
        /// At most so many, 1 to 200 (至多)
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        /// Where the page before ended (上一页的结尾)
        #[arg(long, default_value = "")]
        page_token: String,
        #[command(flatten)]
        shared: Box<Shared>,
    },
    /// At most 200 records, each with its own outcome and receipt (批量查询)
    #[command(after_help = "\
The file has one key a line; empty lines and lines beginning with # are skipped:
  licence LICENCE-ID
  person 331099199001010018 [TYPE]
  entity 91331099MA00000000
  credit SUBJECT RECORD-ID
  feature 331023
Example (示例): wuku lookup batch keys.txt --fields name,number --evidence out.json")]
    Batch {
        /// File with the keys, - for standard input (键文件)
        file: PathBuf,
        #[command(flatten)]
        record: Box<RecordArgs>,
    },
}

/// What a question about a record takes.
#[derive(Args, Debug)]
struct RecordArgs {
    /// Fields wanted, comma between; none asks only whether it is there and stands (字段)
    #[arg(long, value_delimiter = ',')]
    fields: Vec<String>,
    /// Ask for less than the grant gives (答复方式)
    #[arg(long, value_enum)]
    mode: Option<ModeWord>,
    #[command(flatten)]
    shared: Shared,
}

/// What every question takes.
#[derive(Args, Debug)]
struct Shared {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    purpose: PurposeArgs,
    /// As it stood on this day, YYYY-MM-DD (有效时间)
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    on: Option<CalendarDate>,
    /// What the hub held when its log had this many entries (记录位置)
    #[arg(long, value_name = "SIZE", conflicts_with = "recorded_at", value_parser = clap::value_parser!(u64).range(1..))]
    position: Option<u64>,
    /// What the hub held at the end of this second: RFC 3339 or Unix seconds (记录时间)
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    recorded_at: Option<u64>,
    /// The newest checkpoint you know, as a file: the hub must continue it (已知检查点)
    #[arg(long, value_name = "CHECKPOINT")]
    seen: Option<PathBuf>,
    /// Ask for the answer sealed as well; with --evidence FILE.json the seal goes to FILE.seal (用印：印章标识)
    #[arg(long, value_name = "SEAL")]
    sealed_by: Option<String>,
    #[command(flatten)]
    answer: AnswerArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeWord {
    /// Whether it is there and stands (只答有无)
    YesNo,
    /// Masked values (脱敏)
    Masked,
    /// Full values (完整)
    Full,
}

impl ModeWord {
    fn mode(self) -> AnswerMode {
        match self {
            Self::YesNo => AnswerMode::YesNo,
            Self::Masked => AnswerMode::Masked,
            Self::Full => AnswerMode::Full,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LibraryWord {
    /// 人口库
    Population,
    /// 法人库
    LegalEntity,
    /// 信用库
    Credit,
    /// 电子证照库
    Licence,
}

impl LibraryWord {
    fn library(self) -> Library {
        match self {
            Self::Population => Library::Population,
            Self::LegalEntity => Library::LegalEntity,
            Self::Credit => Library::Credit,
            Self::Licence => Library::Licence,
        }
    }
}

impl What {
    fn shared(&self) -> &Shared {
        match self {
            Self::Licence { record, .. }
            | Self::Person { record, .. }
            | Self::Entity { record, .. }
            | Self::Credit { record, .. }
            | Self::Feature { record, .. }
            | Self::Batch { record, .. } => &record.shared,
            Self::Match { shared, .. }
            | Self::Age { shared, .. }
            | Self::ValidOn { shared, .. }
            | Self::NotListed { shared, .. }
            | Self::RegisteredIn { shared, .. }
            | Self::Represents { shared, .. }
            | Self::Holder { shared, .. }
            | Self::Area { shared, .. } => shared,
        }
    }
}

/// Runs `wuku lookup`.
///
/// # Errors
/// A code that is none (2); a refusal, an answer that is not ours, a receipt that does not hold (1).
pub async fn run(args: &LookupArgs, clock: &Clock) -> Result<(), Stop> {
    let shared = args.what.shared();
    let ready = question::ready(&args.what)?;
    let (answers, listing) = ask(shared, &ready, clock).await?;
    let questions = ready.questions();
    let asked = |n: usize| match &ready {
        Ready::Batch(_) => questions.get(n),
        _ => questions.first(),
    };
    let mut pairs = Vec::with_capacity(answers.len());
    for (n, answered) in answers.into_iter().enumerate() {
        let question = asked(n).ok_or_else(|| Stop::failed("more answers than questions (答复多于问题)"))?;
        pairs.push((answered, Asked::Question(question)));
    }
    if matches!(ready, Ready::Batch(_)) && pairs.len() != questions.len() {
        return Err(Stop::failed("fewer answers than questions (答复少于问题)"));
    }
    show(&shared.answer, &pairs, listing, clock)?;
    let bare = pairs.iter().any(|(answered, _)| answered.seal.is_none());
    if shared.sealed_by.is_some() && bare {
        return Err(Stop::failed("asked sealed, but an answer bears no seal (要求用印，答复却没有签章)"));
    }
    Ok(())
}

/// Asks, and gives the answers with what stands beside them.
async fn ask(shared: &Shared, ready: &Ready, clock: &Clock) -> Result<(Vec<Answered>, Option<Value>), Stop> {
    let channel = shared.connection.open().await?;
    let mut client = ExchangeServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let questions = ready.questions();
    let stopped = |status: Status| {
        refusal(&shared.answer, &status, Asked::Question(questions.first().map_or(&[], |q| q.as_ref())), clock)
    };
    let one = |payload: Bytes, receipt, seal| Ok((vec![Answered { seal, ..Answered::one(payload, receipt)? }], None));
    match ready.clone() {
        Ready::LookUp(question) => {
            let message = LookUpRequest { question, ..Default::default() };
            let reply = client.look_up(request(message)).await.map_err(stopped)?.into_inner();
            one(reply.payload, reply.receipt, reply.seal)
        }
        Ready::Match(question) => {
            let message = MatchRequest { question, ..Default::default() };
            let reply = client.r#match(request(message)).await.map_err(stopped)?.into_inner();
            one(reply.payload, reply.receipt, reply.seal)
        }
        Ready::Derive(question) => {
            let message = DeriveRequest { question, ..Default::default() };
            let reply = client.derive(request(message)).await.map_err(stopped)?.into_inner();
            one(reply.payload, reply.receipt, reply.seal)
        }
        Ready::Holder(question) => {
            let message = LookUpHolderRequest { question, ..Default::default() };
            let reply = client.look_up_holder(request(message)).await.map_err(stopped)?.into_inner();
            if reply.truncated {
                eprintln!("wuku: more records exist than one answer holds (记录多于一次答复的上限)");
            }
            let listing = json!({ "truncated": reply.truncated });
            Ok((Answered::several(reply.items, &reply.checkpoint)?, Some(listing)))
        }
        Ready::Area(question) => {
            let message = LookUpAreaRequest { question, ..Default::default() };
            let reply = client.look_up_area(request(message)).await.map_err(stopped)?.into_inner();
            if !reply.next_page_token.is_empty() {
                eprintln!("wuku: more (还有): --page-token {}", reply.next_page_token);
            }
            let listing = json!({ "nextPageToken": reply.next_page_token });
            Ok((Answered::several(reply.items, &reply.checkpoint)?, Some(listing)))
        }
        Ready::Batch(questions) => {
            let message = BatchLookUpRequest { questions, ..Default::default() };
            let reply = client.batch_look_up(request(message)).await.map_err(stopped)?.into_inner();
            Ok((Answered::several(reply.items, &reply.checkpoint)?, Some(json!({}))))
        }
    }
}
