//! The `wuku-verify` command: checks evidence and judges papers offline, with no hub, no network, no database.
use clap::{Parser, Subcommand};
use wuku::clock::Clock;
use wuku::paper::command::{self, DocumentArgs};
use wuku::receipt::report::{VerifyArgs, run};

/// Checks evidence offline against a trust file. Exit 0 good, 1 bad, 2 unreadable.
/// 离线核验证据：退出码 0 有效，1 无效，2 无法读取。
#[derive(Parser)]
#[command(name = "wuku-verify", version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Command {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    args: Option<VerifyArgs>,
}

#[derive(Subcommand)]
enum Other {
    /// Judge a paper somebody brings: OFD, seal, signature (核验文件)
    Document(DocumentArgs),
}

fn main() -> std::process::ExitCode {
    let clock = Clock::system();
    match Command::parse() {
        Command { other: Some(Other::Document(args)), .. } => command::run(&args, &clock),
        Command { args: Some(args), .. } => run(&args, &clock),
        Command { .. } => std::process::ExitCode::from(2),
    }
}
