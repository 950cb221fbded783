//! `wuku bench`: load on a running hub over mutual TLS, closed loop and open loop, and the baseline it is held against.
mod city;
mod disk;
mod echo;
mod import;
mod link;
mod load;
mod mix;
mod process;
mod questions;
mod report;
mod rpc;

use super::connection::PurposeArgs;
use super::{CliError, CliResult};
use crate::clock::Clock;
use crate::receipt::Trust;
use crate::receipt::trust::Root;
use city::{CityFolder, PrepareArgs};
use clap::{Args, Subcommand};
use disk::DiskArgs;
use echo::EchoServerArgs;
use import::ImportArgs;
use link::Target;
use load::{Call, Caller, End, Pace, Plan};
use questions::{Asker, Subjects};
use report::About;
use rpc::{Checked, Rpc};
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `wuku bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
On a city made for it (在专门造好的城市上):
  wuku bench prepare --folder data/bench --people 100000
  wuku serve --config data/bench/wuku.toml &
  wuku bench single --city data/bench --hub https://localhost:7443 --server-pid $!
On your own hub, with codes from a file of CODE[,NAME] lines (在自己的枢纽上，代码取自文件):
  wuku bench match --hub https://hub:7443 --ca ca.pem --cert us.pem --key us.key --codes codes.csv --item ITEM --reference CASE-1 --cause 压测
Every question is recorded like any other, and counts against your quota (每次提问照常留痕、计入额度).
Closed loop answers: how much can it do? Open loop (--rate): how long does one wait at this rate? There latency counts from the moment
a call was meant to go out.
Exit code 0: measured; 1: nothing answered, or a receipt that does not verify.")]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Base records by key, one a call (按键单查)
    Single(LoadArgs),
    /// Does a name belong to a code? (姓名代码核对)
    Match(LoadArgs),
    /// Every licence of a holder (一证通办)
    Holder(LoadArgs),
    /// Base records by key, many a call (批量查询)
    Batch {
        /// Records in a call, 1 to 200 (每批条数)
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=200))]
        size: u32,
        #[command(flatten)]
        load: LoadArgs,
    },
    /// What 37 systems of a county ask, in its proportions; --city only (县域混合负载)
    Mix(LoadArgs),
    /// The same once through, as fast as it goes: how long so many calls take; --city only (县域回放)
    Replay {
        /// Calls in all (总次数)
        #[arg(long, default_value_t = 800_000)]
        calls: u64,
        #[command(flatten)]
        load: LoadArgs,
    },
    /// Residents of a city brought anew, every row a new version; --city only (导入)
    Import(ImportArgs),
    /// The baseline: an echo with as many bytes, on `wuku bench echo-server` (基线回声)
    Echo {
        /// Bytes of each request's message (请求字节数)
        #[arg(long, default_value_t = 190)]
        request_bytes: usize,
        #[command(flatten)]
        load: LoadArgs,
    },
    /// Serve the baseline: a bare echo behind the hub's own door (基线服务)
    EchoServer(EchoServerArgs),
    /// Make a hub with a city in it to measure (造一个用于压测的枢纽)
    Prepare(PrepareArgs),
    /// How long the disk takes to make a small write durable (磁盘落盘时延)
    Disk(DiskArgs),
}

/// What every load takes.
#[derive(Args, Debug)]
struct LoadArgs {
    /// The hub, https://host:port (枢纽地址)
    #[arg(long, env = "WUKU_HUB", value_name = "URL", hide_env_values = true)]
    hub: String,
    /// A folder made by `wuku bench prepare`: questions, certificates and trust file are taken from there (城市目录)
    #[arg(long, value_name = "FOLDER")]
    city: Option<PathBuf>,
    /// Authority of the hub's certificate, PEM (枢纽证书的 CA)
    #[arg(long, env = "WUKU_CA", value_name = "PEM", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// Our client certificate, PEM (客户端证书)
    #[arg(long, env = "WUKU_CERT", value_name = "PEM", hide_env_values = true)]
    cert: Option<PathBuf>,
    /// Its private key, PEM (客户端私钥)
    #[arg(long, env = "WUKU_KEY", value_name = "PEM", hide_env_values = true)]
    key: Option<PathBuf>,
    /// CSV of codes to ask about, CODE[,NAME] a line (代码文件)
    #[arg(long, value_name = "CSV", conflicts_with = "city")]
    codes: Option<PathBuf>,
    /// Fields wanted, comma between; with --codes (字段)
    #[arg(long, value_delimiter = ',')]
    fields: Vec<String>,
    #[command(flatten)]
    purpose: PurposeArgs,
    /// Connections (连接数)
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Calls under way on each connection, closed loop (每连接并发)
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Open loop: calls a second, whatever comes back (每秒固定发出)
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Seconds measured (测量秒数)
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of load before that, not measured (预热秒数)
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Questions made ahead; after the last the first comes again (预制问题数)
    #[arg(long, default_value_t = 50_000)]
    questions: u64,
    /// The hub's process, for its CPU time and memory (枢纽进程号)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Trust file to check receipts with; that of --city by default (信任文件)
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Replies to look at, spread over the run (抽查答复数)
    #[arg(long, default_value_t = 100)]
    samples: usize,
    /// What the choice of questions follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Commit to name in the figures (提交号)
    #[arg(long, env = "WUKU_COMMIT", default_value = "unknown")]
    commit: String,
    /// Print the figures as one JSON line (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// Runs `wuku bench`.
///
/// # Errors
/// Nothing to reach, nothing answered, a receipt that does not verify.
pub fn run(args: &BenchArgs, clock: &Clock) -> CliResult {
    match &args.what {
        What::Single(load) => {
            measure("single", load, false, |load, ask| with_one(load, ask, "marriage", |a, n| a.single(n)))
        }
        What::Match(load) => {
            measure("match", load, false, |load, ask| with_one(load, ask, "registration", |a, n| a.matches(n)))
        }
        What::Holder(load) => {
            measure("holder", load, false, |load, ask| with_one(load, ask, "one-window", |a, n| a.holders(n)))
        }
        What::Batch { size, load } => measure("batch", load, false, |load, ask| {
            with_one(load, ask, "marriage", |a, n| a.batch((n / u64::from(*size)).clamp(1, 500), *size))
        }),
        What::Mix(load) => measure("mix", load, false, |load, ask| county(load, ask, load.questions)),
        What::Replay { calls, load } => measure("replay", load, true, |load, ask| county(load, ask, *calls)),
        What::Import(args) => super::block_on(import::run(args, clock)),
        What::Echo { request_bytes, load } => measure("echo", load, false, |load, ask| {
            let one = questions::call(Rpc::Echo, &echo::Echoed::of(*request_bytes), 1);
            with_one(load, ask, "marriage", |_, _| Ok(vec![one]))
        }),
        What::EchoServer(args) => super::block_on(echo::serve(args, clock)),
        What::Prepare(args) => super::block_on(city::prepare(args, clock)),
        What::Disk(args) => disk::run(args),
    }
}

/// Who asks what.
struct Ask {
    asker: Asker,
    city: Option<CityFolder>,
}

/// Every system puts its own.
fn county(load: &LoadArgs, ask: &Ask, calls: u64) -> CliResult<Vec<Caller>> {
    let city = ask.city.as_ref().ok_or_else(|| CliError("this load needs --city".into()))?;
    mix::callers(city, &load.hub, calls, load.seed)
}

/// One system puts all questions.
fn with_one(
    load: &LoadArgs,
    ask: &Ask,
    system: &str,
    make: impl FnOnce(&Asker, u64) -> CliResult<Vec<Call>>,
) -> CliResult<Vec<Caller>> {
    let target = match &ask.city {
        Some(city) => city.target(&load.hub, system)?,
        None => {
            let given = |what: &Option<PathBuf>, name: &str| {
                what.clone().ok_or_else(|| CliError(format!("--{name} is missing (or give --city)")))
            };
            Target::new(&load.hub, &given(&load.ca, "ca")?, &given(&load.cert, "cert")?, &given(&load.key, "key")?)?
        }
    };
    Ok(vec![Caller { target, calls: make(&ask.asker, load.questions)?, weight: 1 }])
}

/// Makes the questions, puts the load on, looks at a sample, prints.
fn measure(
    mode: &'static str,
    args: &LoadArgs,
    once: bool,
    callers: impl FnOnce(&LoadArgs, &Ask) -> CliResult<Vec<Caller>>,
) -> CliResult {
    let city = args.city.as_deref().map(CityFolder::open).transpose()?;
    let subjects = match (&city, &args.codes) {
        (Some(folder), _) => Subjects::City(Box::new(folder.city()?)),
        (None, Some(codes)) => Subjects::read(codes)?,
        (None, None) => {
            return Err(CliError("whom to ask about? Give --city or --codes (请给出 --city 或 --codes)".into()));
        }
    };
    let trust = args.trust.clone().or_else(|| city.as_ref().map(CityFolder::trust));
    let trust = trust.map(|path| Ok::<_, CliError>(Trust::open(&std::fs::read(path)?, Root::ByHand)?)).transpose()?;
    let about = About {
        mode,
        seed: args.seed,
        residents: city.as_ref().map_or(0, CityFolder::people),
        commit: args.commit.clone(),
    };
    let asker = Asker { subjects, purpose: args.purpose.clone(), fields: args.fields.clone(), seed: args.seed };
    let callers = callers(args, &Ask { asker, city })?;
    let seconds = |s: f64| Duration::try_from_secs_f64(s);
    let plan = Plan {
        connections: args.connections,
        pace: args.rate.map_or(Pace::Closed(args.in_flight.max(1)), Pace::Open),
        end: match once {
            true => End::Once,
            false => End::After { warm_up: seconds(args.warm_up)?, measured: seconds(args.seconds)? },
        },
        samples: if trust.is_some() { args.samples } else { 0 },
        server: args.server_pid,
    };
    // One thread, so that the generator can be given a core of its own and its share of it means something.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(load::run(callers, plan))?;
    let mut checked = Checked::default();
    for sample in &outcome.samples {
        if let Some(trust) = &trust {
            checked.look_at(sample.rpc, &sample.asked, &sample.reply, trust);
        }
    }
    let figures = report::figures(&about, &plan, &outcome, &checked);
    if args.json {
        println!("{}", serde_json::Value::Object(figures.clone()));
    } else {
        print!("{}", report::text(&figures, &outcome, &checked));
    }
    let answered = outcome.by_code.iter().any(|(code, count)| load::is_answer(*code) && *count > 0);
    match (&checked.first_fault, answered) {
        (Some(why), _) => Err(CliError(format!("a receipt does not verify (回执核验不通过): {why}"))),
        (None, false) => {
            let codes = format!("{:?}", outcome.by_code);
            Err(CliError(format!("nothing was answered: statuses {codes} {}", outcome.first_loss.unwrap_or_default())))
        }
        (None, true) => Ok(()),
    }
}
