//! The `wuku` command.
use clap::Parser as _;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// An answer is some two hundred small allocations; the C library's allocator takes a tenth of a core for them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    wuku::cli::run(wuku::cli::Cli::parse())
}
