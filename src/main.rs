//! The `wuku` command.
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    wuku::cli::run(wuku::cli::Cli::parse())
}
