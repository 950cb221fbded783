//! `wuku rotate`: another key for what keys protect, while the hub answers.
use super::operator::{Command, beside, command, next_to, read_log_key};
use super::trust::{replace, with_key};
use super::{CliError, CliResult, block_on};
use crate::clock::Clock;
use crate::config::{Config, Keys};
use crate::edge::trust::read_file;
use crate::log::{LogKey, VerifierKey};
use crate::receipt::trust::{Root, Trust};
use crate::store::vault::Kek;
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Arguments of `wuku rotate`.
#[derive(Args, Debug)]
#[command(after_help = "\
Run it on the hub's own machine, as the user the hub runs as or as root. No call fails meanwhile, and what was proved stays proved.

Log key (日志密钥), in three steps, for who verifies must know the new key before anything is signed with it:
  1. wuku rotate log-key prepare --draft trust.json       makes keys.log_key_file.next and drafts the trust file with both keys
     wuku trust sign --draft trust.json --root-key FILE --out trust.note       where the root key is kept, offline
     put it at trust.file: the hub shows it to callers at once (GetTrust); publish its fingerprint, give callers time to fetch it
  2. wuku rotate log-key switch                           the log says so under the old key, and goes on under the new one
  3. wuku trust retire --trust trust.note --key ID@SIZE --draft trust.json     as printed by step 2; sign it and put it there as before
     then destroy the old key.
  A key in other hands: the same, and in step 3 `--compromised ID` instead; evidence under it then needs `wuku log inclusion` anew.

Key-encryption key (密钥加密密钥): wuku rotate kek. The old one is kept beside the new: backups made before open with it only.

TLS certificate and key, client CA, revocation lists (TLS 证书、客户端 CA、吊销列表): replace the files, each by a rename. The hub reads
  them again every listen.reload_check_ms, and at once on SIGHUP (systemctl reload wuku); a set that does not fit together is refused
  whole, and the old one stays in force. A new CA: it needs a name of its own; append its certificate to listen.client_ca_file and its
  list to listen.client_crl_files' file, issue the new certificates, then take the old CA and its list out.
  Who lost trust gets nothing more on connections that are open, either.")]
pub struct RotateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The key that signs the log (日志密钥)
    #[command(subcommand)]
    LogKey(LogKeyStep),
    /// The key that wraps the data keys (密钥加密密钥)
    Kek(Shared),
}

#[derive(Subcommand, Debug)]
enum LogKeyStep {
    /// Make the new key and draft the trust file that lists it beside the old one (准备)
    Prepare {
        /// Where to write the draft, to be signed with the root key elsewhere (草稿)
        #[arg(long, value_name = "FILE")]
        draft: PathBuf,
        #[command(flatten)]
        shared: Shared,
    },
    /// Go on under the new key, once the trust file in force lists it (切换)
    Switch(Shared),
}

#[derive(Args, Debug)]
struct Shared {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// Print what was done as JSON (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// Runs `wuku rotate`.
///
/// # Errors
/// In words; each step run again after a crash finishes what was begun.
pub fn run(args: &RotateArgs, clock: &Clock) -> CliResult {
    match &args.what {
        What::LogKey(LogKeyStep::Prepare { draft, shared }) => block_on(prepare(draft, shared, clock)),
        What::LogKey(LogKeyStep::Switch(shared)) => block_on(switch(shared, clock)),
        What::Kek(shared) => block_on(kek(shared, clock)),
    }
}

async fn prepare(draft: &Path, shared: &Shared, clock: &Clock) -> CliResult {
    let config = Config::load(&shared.config)?;
    let held = Trust::open(&read_file(&config.trust.file)?, Root::ByHand)?;
    let status = command(&config, &Command::Status, clock).await?;
    let size = status.get("size").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let present = status.get("vkey").and_then(|vkey| vkey.as_str()).unwrap_or_default();
    let present = VerifierKey::parse(present)?;
    let path = next_to(&config.keys.log_key_file);
    let key = keep_log_key(&config.keys, &path, &present)?.verifier().clone();
    if held.logs.iter().flat_map(|log| &log.keys).any(|trusted| trusted.key == key) {
        return Err(CliError(format!(
            "信任文件已列入 {0}：直接运行 wuku rotate log-key switch。The trust file lists {0} already: run `wuku rotate log-key switch`.",
            key.id_hex()
        )));
    }
    let next = with_key(&held, key.clone(), size)?;
    replace(draft, next.to_json().as_bytes())?;
    if shared.json {
        println!(
            "{:#}",
            json!({ "vkey": key.to_string(), "keyFile": path, "fromSize": size, "epoch": next.epoch, "draft": draft })
        );
    } else {
        println!("{key}");
    }
    eprintln!("wuku: the new key is in {}; nothing is signed with it yet (新密钥已备好，尚未启用)", path.display());
    eprintln!("wuku: next (接下来): where the root key is (在根密钥所在处)");
    eprintln!("  wuku trust sign --draft {} --root-key FILE --out trust.note", draft.display());
    eprintln!("  put it at {}; callers fetch it; then: wuku rotate log-key switch", config.trust.file.display());
    Ok(())
}

async fn switch(shared: &Shared, clock: &Clock) -> CliResult {
    let config = Config::load(&shared.config)?;
    let (path, next) = (&config.keys.log_key_file, next_to(&config.keys.log_key_file));
    if !next.exists() {
        let why = "没有备好的新密钥：先运行 wuku rotate log-key prepare。There is no new key: run `wuku rotate log-key prepare` first.";
        return Err(CliError(format!("{}: {why}", next.display())));
    }
    let done = command(&config, &Command::SwitchLogKey, clock).await?;
    let word = |name: &str| {
        done.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default()
    };
    let (old, new, size) = (word("old"), word("new"), word("oldToSize"));
    // From here a crash leaves the hub on the new key and the old one in its file: a restart goes back to it, which is still
    // trusted. Run again, it finishes.
    let kept = beside(path, &format!("old-{}", read_log_key(&config.keys, path)?.verifier().id_hex()));
    put_in_place(path, &next, &kept)?;
    if shared.json {
        println!("{:#}", json!({ "old": old, "new": new, "oldToSize": done.get("oldToSize"), "oldKeyFile": kept }));
    } else {
        println!("{old}@{size}");
    }
    eprintln!("wuku: the log goes on under {new} (日志已改用新密钥)");
    eprintln!(
        "wuku: next (接下来): wuku trust retire --trust {} --key {old}@{size} --draft trust.json",
        config.trust.file.display()
    );
    eprintln!("  sign it, put it there, then destroy {} (签署并放置后销毁旧密钥)", kept.display());
    Ok(())
}

async fn kek(shared: &Shared, clock: &Clock) -> CliResult {
    let config = Config::load(&shared.config)?;
    let (path, next) = (&config.keys.kek_file, next_to(&config.keys.kek_file));
    if next.exists() {
        eprintln!("wuku: going on with {} of an earlier run (继续上次未完成的轮换)", next.display());
        Kek::load(&next, &config.data.path)?;
    } else {
        Kek::create(&next, &config.data.path)?;
    }
    let done = command(&config, &Command::RewrapKeys, clock).await?;
    let keys = done.get("keys").and_then(serde_json::Value::as_u64).unwrap_or_default();
    // From here a crash leaves keys under the next file: the hub opens them by it and says so; run again to finish.
    let kept = beside(path, &format!("old-{}", clock.now_ms() / 1_000));
    put_in_place(path, &next, &kept)?;
    if shared.json {
        println!("{:#}", json!({ "keys": keys, "kekFile": path, "oldKekFile": kept }));
    } else {
        println!("{}", path.display());
    }
    eprintln!("wuku: {keys} keys are wrapped by the new key in {} (已换用新的密钥加密密钥)", path.display());
    eprintln!(
        "wuku: backups made before open with {} only: keep it apart as long as they are kept (旧备份只能用旧密钥打开)",
        kept.display()
    );
    Ok(())
}

/// The old file is kept under another name, then the next one takes its place: at no moment is there none.
fn put_in_place(path: &Path, next: &Path, kept: &Path) -> CliResult {
    let failed = |e: std::io::Error| CliError(format!("{}: {e}", path.display()));
    match std::fs::hard_link(path, kept) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    std::fs::rename(next, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// The next log key: made and kept durably, or the one an earlier run has kept.
fn keep_log_key(keys: &Keys, path: &Path, present: &VerifierKey) -> CliResult<LogKey> {
    if path.exists() {
        let key = read_log_key(keys, path)?;
        if key.verifier().name() == present.name() {
            return Ok(key);
        }
        return Err(CliError(format!("{} holds the key of {}", path.display(), key.verifier().name())));
    }
    let failed = |e: std::io::Error| CliError(format!("{}: {e}", path.display()));
    let key = crate::device::generate(keys, present.name(), present.suite())?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(crate::device::text(keys, &key)?.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::SuiteName;

    #[test]
    fn the_next_key_is_made_once_and_takes_the_place_of_the_old_which_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let old = LogKey::generate("hub.test/wuku/1", SuiteName::Ed25519).unwrap();
        std::fs::write(&path, old.to_text().as_bytes()).unwrap();
        let next = keep_log_key(&Keys::default(), &next_to(&path), old.verifier()).unwrap();
        assert_eq!(
            keep_log_key(&Keys::default(), &next_to(&path), old.verifier()).unwrap().verifier(),
            next.verifier()
        );
        let other = LogKey::generate("hub.test/wuku/2", SuiteName::Ed25519).unwrap();
        assert!(keep_log_key(&Keys::default(), &next_to(&path), other.verifier()).is_err(), "the key of another log");
        let kept = beside(&path, "old-1");
        put_in_place(&path, &next_to(&path), &kept).unwrap();
        assert_eq!(read_log_key(&Keys::default(), &path).unwrap().verifier(), next.verifier());
        assert_eq!(read_log_key(&Keys::default(), &kept).unwrap().verifier(), old.verifier());
        assert!(!next_to(&path).exists());
    }
}
