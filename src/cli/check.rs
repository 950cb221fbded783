//! `wuku check`: the configuration, whole, before a port opens.
use crate::clock::Clock;
use crate::config::{Config, Stage};
use crate::device;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `wuku check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// Check what `wuku init` needs: keys, data folder, fence and trust file are still to be made
    #[arg(long)]
    before_init: bool,
    /// Print the faults as JSON, one a line
    #[arg(long)]
    json: bool,
}

/// Checks; exit 0 whole, 1 faults.
#[must_use]
pub fn run(args: &CheckArgs, clock: &Clock) -> ExitCode {
    let stage = if args.before_init { Stage::Init } else { Stage::Serve };
    let faults = match Config::load(&args.config) {
        Err(fault) => vec![fault],
        Ok(config) => {
            let keeping = if config.keys.pkcs11.is_some() { device::IN_TOKEN } else { device::SOFTWARE };
            eprintln!("wuku: log key (日志密钥): {keeping}");
            config.check(clock, stage).err().unwrap_or_default()
        }
    };
    for fault in &faults {
        if args.json {
            let said = |said: &crate::config::Said| serde_json::json!({"zh": said.zh, "en": said.en});
            println!(
                "{}",
                serde_json::json!({"field": fault.field, "fault": said(&fault.wrong), "remedy": said(&fault.remedy)})
            );
        } else {
            println!("{fault}");
        }
    }
    if faults.is_empty() {
        eprintln!("wuku: {} is whole (配置无误)", args.config.display());
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
