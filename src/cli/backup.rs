//! `wuku backup`: the data as it stands at one moment, copied while the hub answers.
use super::operator::{Command, command};
use super::{CliResult, block_on};
use crate::clock::Clock;
use crate::config::Config;
use crate::log::checkpoint::SignedCheckpoint;
use crate::store::backup::{Manifest, list, sync_folder, write_synced};
use crate::store::key_space::FORMAT_VERSION;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `wuku backup`.
#[derive(Args, Debug)]
#[command(after_help = "\
Run it on the hub's own machine, as the user the hub runs as or as root; the hub goes on answering. With the hub at rest it works too.
The folder is written by the hub itself, so it must be able to. Put it on another disk: on the same one the files that never change
again are linked, not copied (在枢纽本机以其运行用户或 root 执行；目录应在另一块磁盘上).
Everything recorded before the checkpoint printed is in it. NOT in it, to be kept apart from it, for who has both reads everything:
  the key-encryption key (keys.kek_file), the log key (keys.log_key_file), the root key, TLS keys; the fence, which must never go back.
  备份不含密钥加密密钥、日志密钥、根密钥、TLS 私钥和防回退文件；密钥须与备份分开保存。
Try a backup where it will be needed (演练恢复): wuku restore --help")]
pub struct BackupArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// A folder that is not there yet (备份目录)
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Print what was made as JSON (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// Runs `wuku backup`.
///
/// # Errors
/// In words. A crash leaves a folder without manifest: remove it.
pub fn run(args: &BackupArgs, clock: &Clock) -> CliResult {
    let config = Config::load(&args.config)?;
    let to = std::path::absolute(&args.to)?;
    let manifest = block_on(make(&config, &to, clock))?;
    let SignedCheckpoint { checkpoint, .. } = SignedCheckpoint::parse(manifest.checkpoint.as_bytes())?;
    let (files, bytes) = (manifest.files.len(), manifest.bytes());
    if args.json {
        println!(
            "{:#}",
            json!({
                "folder": to, "origin": checkpoint.origin.to_string(), "size": checkpoint.size,
                "files": files, "bytes": bytes, "madeS": manifest.made_s, "checkpoint": manifest.checkpoint,
            })
        );
    } else {
        print!("{}", manifest.checkpoint);
    }
    eprintln!(
        "wuku: {} holds the first {} entries of {} at least; {files} files, {} MiB",
        to.display(),
        checkpoint.size,
        checkpoint.origin,
        bytes >> 20
    );
    eprintln!("wuku: 备份完成，至少含日志前 {} 条。", checkpoint.size);
    eprintln!(
        "wuku: no key is in it: keep {} and {} apart from it (密钥不在备份内，请另行保存)",
        config.keys.kek_file.display(),
        config.keys.log_key_file.display()
    );
    Ok(())
}

/// Makes a backup in a folder that is not there yet.
///
/// # Errors
/// As [`run`].
pub async fn make(config: &Config, to: &Path, clock: &Clock) -> CliResult<Manifest> {
    let done = command(config, &Command::Copy { to: to.to_owned() }, clock).await?;
    let checkpoint = done.get("checkpoint").and_then(|note| note.as_str()).unwrap_or_default().to_owned();
    SignedCheckpoint::parse(checkpoint.as_bytes())?;
    let trust = std::fs::read(&config.trust.file)?;
    write_synced(&to.join("trust.note"), &trust)?;
    let bar = bytes_bar("hashing");
    let files = list(to, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let manifest = Manifest {
        format: 1,
        hub: config.hub.name.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        store_format: FORMAT_VERSION,
        made_s: clock.now_ms() / 1_000,
        checkpoint,
        files: files?,
    };
    manifest.write(to)?;
    if let Some(parent) = to.parent() {
        sync_folder(parent)?;
    }
    Ok(manifest)
}

/// A bar of bytes; on standard error, and only where that is a terminal.
pub(super) fn bytes_bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{msg:9} {spinner} {bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
