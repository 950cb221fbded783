//! One file per subcommand. Data goes to standard output, everything else to standard error.
pub mod answer; // from a reply to what is printed
pub mod backup; // the data, copied while the hub answers
pub mod bench; // load on a running hub, and the baseline
pub mod catalogue; // departments, systems, resources, licence types
pub mod check; // is the configuration whole
pub mod client; // how a command reaches a hub
pub mod connection; // what every command that talks to a hub shares
pub mod demo; // a city, a scenario, a hub to try
pub mod dev_certs; // certificates to try it with
pub mod dev_seals; // seals to try it with
pub mod document; // a paper judged, offline or by a hub
pub mod explain; // what a reason means
pub mod fsck; // the store held against its log
pub mod grant; // what a system may ask
pub mod hub; // a hub put together from its configuration
pub mod import; // sends a source department's file
pub mod init; // makes a new hub
pub mod licence; // what an issuing authority does
pub mod log; // what the log shows to everybody
pub mod lookup; // every kind of question
pub mod message; // any message from JSON or TOML
pub mod operator; // what a command has the running hub do
mod pools; // of memory, for the engine
pub mod recover; // a new log after a loss
pub mod restore; // a backup checked whole and put in place
pub mod rotate; // another key while the hub answers
pub mod seal; // a department's seals
pub mod serve; // answers until it is told to stop
pub mod sign; // what a department does with its own key
pub mod trust; // the list of log keys, and its signature
pub mod words; // answers for a person at a desk

use crate::clock::Clock;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// 五库：电子证照与政务数据共享交换枢纽。Electronic licence and data-sharing exchange hub.
#[derive(Parser, Debug)]
#[command(name = "wuku", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a new hub: data folder, keys, fence, trust file, first system (新建枢纽)
    Init(init::InitArgs),
    /// Answer over mutual TLS until told to stop (启动服务)
    Serve(serve::ServeArgs),
    /// Check a configuration fully, without opening a port (检查配置)
    Check(check::CheckArgs),
    /// Say what a reason means and what to do about it (解释错误原因)
    Explain(explain::ExplainArgs),
    /// Issue and change licences, with the department's own key (签发与变更证照)
    Licence(licence::LicenceArgs),
    /// Ask the hub: a record, a match, a fact, a holder, a place (查询)
    Lookup(lookup::LookupArgs),
    /// Apply for, decide, withdraw and list what a system may ask (共享许可)
    Grant(grant::GrantArgs),
    /// Departments, systems, resources, licence types (目录)
    Catalogue(catalogue::CatalogueArgs),
    /// Import, bind and list seals; who used them (电子印章)
    Seal(seal::SealArgs),
    /// Checkpoints, entries and proofs of the log; who looked at a subject (日志与证明)
    Log(log::LogArgs),
    /// Check evidence offline against a trust file (离线核验证据)
    Verify(crate::receipt::report::VerifyArgs),
    /// Judge a paper somebody brings: OFD, seal, signature; offline, or by a hub (核验文件)
    Document(document::DocumentArgs),
    /// Hold the whole store against its log, with the hub at rest: exit 0 clean, 1 findings, 2 unreadable (核对数据)
    Fsck(fsck::FsckArgs),
    /// Import a file under its department's signed manifest; goes on where it stopped (导入)
    Import(import::ImportArgs),
    /// Make a demo city, play a scenario against it, keep serving (演示)
    Demo(demo::DemoArgs),
    /// Put load on a running hub and say how it did (压测)
    Bench(Box<bench::BenchArgs>),
    /// Copy the data while the hub answers (备份)
    Backup(backup::BackupArgs),
    /// Check a backup whole and put it in place (恢复)
    Restore(restore::RestoreArgs),
    /// Another log key or key-encryption key while the hub answers; how certificates change (轮换密钥)
    Rotate(rotate::RotateArgs),
    /// Open a new log after a restore from too old a backup (恢复后另立新日志)
    Recover(recover::RecoverArgs),
    /// Show, draft or sign the trust file (信任文件)
    Trust(trust::TrustArgs),
    /// Make certificates to try a hub with; never for production (生成开发用证书)
    DevCerts(dev_certs::DevCertsArgs),
    /// Make demo seals whose face says 演示, with the authority and signers they need (演示印章)
    DevSeals(dev_seals::DevSealsArgs),
}

/// Runs the command line.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let clock = Clock::system();
    match cli.command {
        Command::Init(args) => said(init::run(&args, &clock)),
        Command::Serve(args) => said(serve::run(&args, &clock)),
        Command::Check(args) => check::run(&args, &clock),
        Command::Explain(args) => explain::run(&args),
        Command::Licence(args) => connection::run(licence::run(&args, &clock)),
        Command::Lookup(args) => connection::run(lookup::run(&args, &clock)),
        Command::Grant(args) => connection::run(grant::run(&args, &clock)),
        Command::Catalogue(args) => connection::run(catalogue::run(&args, &clock)),
        Command::Seal(args) => connection::run(seal::run(&args, &clock)),
        Command::Log(args) => connection::run(log::run(&args, &clock)),
        Command::Verify(args) => crate::receipt::report::run(&args, &clock),
        Command::Document(args) => document::run(&args, &clock),
        Command::Fsck(args) => fsck::run(&args, &clock),
        Command::Import(args) => connection::run(import::run(&args)),
        Command::Demo(args) => said(demo::run(&args, &clock)),
        Command::Bench(args) => said(bench::run(&args, &clock)),
        Command::Backup(args) => said(backup::run(&args, &clock)),
        Command::Restore(args) => said(restore::run(&args, &clock)),
        Command::Rotate(args) => said(rotate::run(&args, &clock)),
        Command::Recover(args) => said(recover::run(&args, &clock)),
        Command::Trust(args) => said(trust::run(&args)),
        Command::DevCerts(args) => said(dev_certs::run(&args, &clock)),
        Command::DevSeals(args) => said(dev_seals::run(&args, &clock)),
    }
}

/// Why a command ended without doing what it was asked, in words for a person.
#[derive(Debug)]
pub struct CliError(pub String);

impl<E: std::fmt::Display> From<E> for CliError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What a command gives back.
pub type CliResult<T = ()> = Result<T, CliError>;

fn said(result: CliResult) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError(why)) => {
            eprintln!("wuku: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a future to its end on a runtime of its own.
///
/// # Errors
/// Where the system gives no threads, or what the future says.
pub fn block_on<T>(future: impl Future<Output = CliResult<T>>) -> CliResult<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}
