//! `wuku demo`: a hub with a demo city, a scenario played against it, and then a hub to try things with.
mod city;
mod desk;
mod files;
mod papers;
mod say;
mod scenario;
mod sealed;

use super::dev_certs::{DevCerts, DevDepartment};
use super::init::{DEFAULT_SUITE, First, init, parse_suite};
use super::{CliError, CliResult, block_on};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::city::City;
use crate::demo::organisation::{DEPARTMENTS, SYSTEMS, department_of};
use crate::library::day;
use crate::library::schema::Library;
use crate::log::SuiteName;
use crate::wire::proto::catalogue::v1::Department;
use clap::Args;
use desk::Desk;
use say::Transcript;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The demo hub's name.
pub const HUB: &str = "tiantai";

/// Arguments of `wuku demo`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArgs {
    #[command(subcommand)]
    only: Option<Only>,
    /// Residents of the city (居民人数)
    #[arg(long, default_value_t = 20_000)]
    people: u64,
    /// Licences issued while loading; each is prepared, signed and issued one by one (签发证照数)
    #[arg(long, default_value_t = 2_000)]
    licences: usize,
    /// What the city is made from; the same seed makes the same city
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
    /// Where everything is written; an earlier demo there is removed (目录)
    #[arg(long, default_value = "data/demo")]
    folder: PathBuf,
    /// The hub's suite, sm2 or ed25519 (密码套件)
    #[arg(long, default_value = DEFAULT_SUITE.as_str(), value_parser = parse_suite)]
    suite: SuiteName,
    /// Exit after the scenario; non-zero if a step did not end as expected (演示后退出)
    #[arg(long)]
    once: bool,
}

/// Parts of the demo by themselves.
#[derive(clap::Subcommand, Debug)]
enum Only {
    /// Write files of a city to import: residents, and licences signed by their authority (生成导入文件)
    Files(files::FilesArgs),
}

/// Runs `wuku demo`.
///
/// # Errors
/// Whatever keeps the hub from being made; a step of the scenario that did not end as expected.
pub fn run(args: &DemoArgs, clock: &Clock) -> CliResult {
    match &args.only {
        Some(Only::Files(files)) => files::run(files, clock),
        None => block_on(demo(args, clock)),
    }
}

async fn demo(args: &DemoArgs, clock: &Clock) -> CliResult {
    let mut say = Transcript::of_environment();
    let folder = fresh_folder(&args.folder)?;
    let city = City::new(args.seed, args.people, day::of_ms(clock.now_ms())).map_err(CliError)?;
    say.title("五库 · 天台县演示", "Wuku demo: Tiantai county (real places, nobody real)");

    let config = make_hub(&folder, args.suite, clock, &mut say).await?;
    let seal = papers::seal(&folder, clock)?;
    std::fs::write(folder.join("wuku.toml"), format!("{CONFIG}{}", papers::SETTINGS))?;
    let mut server = Server::start(&folder).await?;
    let desk = Desk::open(&folder, &server.address)?;
    city::load(&desk, &city, &folder, args.licences, &mut say).await?;
    scenario::play(&desk, &city, &seal, &folder, &mut say).await?;
    server.stop().await?;
    scenario::check_store(&config, clock, &mut say).await?;

    let failed = say.finish();
    if failed > 0 {
        return Err(CliError(format!(
            "{failed} step(s) did not end as expected; the hub's log is {}",
            folder.join("hub.log").display()
        )));
    }
    if args.once {
        return Ok(());
    }
    let mut server = Server::start(&folder).await?;
    say.serving(&folder, &server.address, &city)?;
    tokio::signal::ctrl_c().await?;
    server.stop().await
}

/// A running hub with the demo's catalogue and grants, to be filled and measured by [`wuku bench`](super::bench).
pub(super) struct Founded {
    folder: PathBuf,
    server: Server,
    desk: Desk,
    say: Transcript,
}

impl Founded {
    /// Makes it in an empty folder; `settings` is added to its configuration.
    ///
    /// # Errors
    /// Whatever keeps the hub from being made or started.
    pub(super) async fn make(folder: &Path, suite: SuiteName, clock: &Clock, settings: &str) -> CliResult<Self> {
        let mut say = Transcript::of_environment();
        let folder = fresh_folder(folder)?;
        make_hub(&folder, suite, clock, &mut say).await?;
        std::fs::write(folder.join("wuku.toml"), format!("{CONFIG}{settings}"))?;
        let server = Server::start(&folder).await?;
        let desk = Desk::open(&folder, &server.address)?;
        city::found(&desk, &mut say).await?;
        Ok(Self { folder, server, desk, say })
    }

    /// Imports everything of one library.
    ///
    /// # Errors
    /// An import that did not take every row.
    pub(super) async fn load(&mut self, city: &City, library: Library) -> CliResult {
        city::load_library(&self.desk, city, &self.folder, library, &mut self.say).await
    }

    /// Host and port of the running hub, and its process.
    pub(super) fn place(&self) -> (&str, Option<u32>) {
        (&self.server.address, self.server.child.id())
    }

    /// Stops it.
    ///
    /// # Errors
    /// A hub that did not end well.
    pub(super) async fn stop(mut self) -> CliResult {
        self.server.stop().await
    }
}

/// An empty folder; only one that an earlier demo made is removed.
fn fresh_folder(folder: &Path) -> CliResult<PathBuf> {
    let mark = folder.join("wuku-demo");
    if folder.exists() {
        if !mark.exists() && folder.read_dir()?.next().is_some() {
            return Err(CliError(format!("{} is not empty and no demo made it: give --folder", folder.display())));
        }
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    std::fs::write(mark, "made by `wuku demo`; removed by the next one\n")?;
    Ok(folder.canonicalize()?)
}

/// Certificates, configuration, hub.
async fn make_hub(folder: &Path, suite: SuiteName, clock: &Clock, say: &mut Transcript) -> CliResult<Config> {
    make_certs(&folder.join("certs"), HUB, clock)?;
    sealed::make(folder, clock)?;
    std::fs::write(folder.join("wuku.toml"), CONFIG)?;
    let config = Config::load(&folder.join("wuku.toml"))?;
    let authority = department_of("data-bureau").ok_or_else(|| CliError("the demo has no data authority".into()))?;
    let first = First {
        department: Department {
            code: authority.code.to_owned(),
            name: authority.name.to_owned(),
            uscc: authority.uscc()?.as_str().to_owned(),
            division: crate::demo::places::HOME.to_owned(),
            version: 0,
        },
        system: "catalogue".to_owned(),
        suite,
    };
    // On a runtime of its own: what `init` began in the background still holds the store until that runtime has ended.
    let root = folder.join("root.key");
    let made = std::thread::scope(|scope| scope.spawn(|| block_on(init(&config, &root, &first, clock))).join());
    let print = made.map_err(|_| CliError("making the hub has panicked".into()))??;
    say.note(
        &format!("枢纽 {HUB} 已建立（套件 {suite}）：37 个系统证书、24 个部门签名证书；信任文件指纹 {print}"),
        &format!(
            "hub {HUB} made (suite {suite}): certificates of 37 systems and 24 departments; fingerprint of the trust file {print}"
        ),
    );
    Ok(config)
}

/// Certificates of all systems and departments of the demo.
fn make_certs(folder: &Path, hub: &str, clock: &Clock) -> CliResult<DevCerts> {
    let systems: Vec<(&str, &str)> = SYSTEMS.iter().map(|s| (s.department, s.code)).collect();
    let mut departments = Vec::new();
    for department in DEPARTMENTS {
        departments
            .push(DevDepartment { uscc: department.uscc()?.as_str().to_owned(), name: department.name.to_owned() });
    }
    Ok(DevCerts::make(folder, hub, &systems, &departments, clock)?)
}

const CONFIG: &str = r#"# Written by `wuku demo`.
[hub]
name = "tiantai"
[data]
path = "hub"
[keys]
kek_file = "keys/kek"
log_key_file = "keys/log.key"
[fence]
path = "fence"
[listen]
address = "127.0.0.1:0"
admin_address = "127.0.0.1:0"
tls_certificate_file = "certs/server.pem"
tls_key_file = "certs/server.key"
client_ca_file = "certs/client-ca.pem"
client_crl_files = ["certs/client-ca.crl"]
[issuers]
ca_file = "certs/issuer-ca.pem"
crl_files = ["certs/issuer-ca.crl"]
[trust]
file = "trust.note"
# Demo seals with software keys, not a certified device.
[seals]
anchors = "seals/anchors"
software_keys = "seals/signers"
"#;

/// The real hub, in a process of its own.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    async fn start(folder: &Path) -> CliResult<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("hub.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--json", "--config"])
            .arg(folder.join("wuku.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| CliError("the hub has no output".into()))?;
        let line = BufReader::new(out).lines().next_line().await?;
        let ended = || CliError(format!("the hub did not start; see {}", folder.join("hub.log").display()));
        let ready: serde_json::Value = serde_json::from_str(&line.ok_or_else(ended)?)?;
        let address = ready.get("address").and_then(|a| a.as_str()).ok_or_else(ended)?.to_owned();
        Ok(Self { child, address })
    }

    /// Asks it to drain and waits for its end.
    async fn stop(&mut self) -> CliResult {
        if let Some(id) = self.child.id() {
            // Command `kill` rather than unsafe libc: the demo needs it twice.
            Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        }
        let status = self.child.wait().await?;
        if status.success() { Ok(()) } else { Err(CliError(format!("the hub ended with {status}"))) }
    }
}
