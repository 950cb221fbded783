//! The `wuku-verify` command: checks evidence offline, with no hub, no network, no database.
use clap::Parser;
use wuku::clock::Clock;
use wuku::receipt::report::{VerifyArgs, run};

/// Checks evidence offline against a trust file. Exit 0 good, 1 bad, 2 unreadable.
/// 离线核验证据：退出码 0 有效，1 无效，2 无法读取。
#[derive(Parser)]
#[command(name = "wuku-verify", version)]
struct Command {
    #[command(flatten)]
    args: VerifyArgs,
}

fn main() -> std::process::ExitCode {
    run(&Command::parse().args, &Clock::system())
}
