//! `wuku recover`: what an operator does when the hub refuses to start.
//!
//! `--new-log` opens a new log after a restore from a backup that is older than what others have seen; `--tail` cuts off the write that
//! a power cut left unfinished, where the engine cannot tell it from damage.
use super::{CliError, CliResult, block_on, hub};
use crate::clock::Clock;
use crate::config::{Config, Keys};
use crate::edge::trust::read_file;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::{LogKey, Origin, SuiteName, in_suite};
use crate::receipt::recover::{Loss, NewLog, RecoverFault, cut_tails, new_log};
use crate::receipt::trust::{Root, Trust, known_keys};
use crate::store::Store;
use crate::store::rocks::{Rocks, RocksError};
use crate::store::vault::suite_of;
use crate::store::wal::Cut;
use clap::{ArgGroup, Args};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments of `wuku recover`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("how").required(true).args(["new_log", "tail"]))]
pub struct RecoverArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// Open a new log with a new key; the old one ends (另立新日志)
    #[arg(long)]
    new_log: bool,
    /// Cut off the unfinished write at the end of the engine's log, unless something recorded would be lost (截去未写完的尾部)
    #[arg(long)]
    tail: bool,
    /// Where to write the new log key; default: the configured key file with the new number behind it (新日志密钥)
    #[arg(long, value_name = "FILE", conflicts_with = "tail")]
    new_key: Option<PathBuf>,
    /// A checkpoint of the old log that somebody holds, at most one a file; repeat for several (他人持有的检查点)
    #[arg(long, value_name = "FILE", conflicts_with = "tail")]
    seen: Vec<PathBuf>,
    /// The fence's disk is gone for good (防回退文件确已丢失)
    #[arg(long, conflicts_with = "tail")]
    fence_lost: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `wuku recover`.
///
/// # Errors
/// In words; run again after a crash, it finishes what was begun.
pub fn run(args: &RecoverArgs, clock: &Clock) -> CliResult {
    let config = Config::load(&args.config)?;
    if args.tail {
        return block_on(tail(&config, args.json, clock));
    }
    let (new, key, path) = block_on(recover(&config, args, clock))?;
    let NewLog { origin, old_origin, size, time_s, restored, known } = &new;
    let draft = format!(
        "wuku trust add-key --trust {} --key {key} --from-size {size} --close {old_origin}@{time_s} --draft trust.json",
        config.trust.file.display()
    );
    if args.json {
        println!(
            "{:#}",
            json!({
                "origin": origin.to_string(), "oldOrigin": old_origin.to_string(), "vkey": key, "keyFile": path,
                "fromSize": size, "oldLogClosedAt": time_s, "restored": restored, "known": known, "next": draft,
            })
        );
    } else {
        println!("{origin}");
    }
    let lost = known.saturating_sub(*restored);
    eprintln!(
        "wuku: {origin} goes on from the first {restored} entries of {old_origin}; {lost} entries seen by others are lost"
    );
    eprintln!(
        "wuku: 新日志 {origin} 承接原日志前 {restored} 条；他人见过的 {lost} 条已丢失，其证据凭原检查点仍可核验。"
    );
    eprintln!("wuku: next (接下来):");
    eprintln!("  1. hub.origin_number = {}, keys.log_key_file = {path:?}", origin.number());
    eprintln!("  2. {draft}");
    eprintln!(
        "     then, where the root key is (在根密钥所在处): wuku trust sign --draft trust.json --root-key FILE --out trust.note"
    );
    eprintln!("  3. wuku serve");
    Ok(())
}

/// Cuts off what the engine's log ends in and nobody can read. Where the store opens, there is nothing to cut.
async fn tail(config: &Config, json: bool, clock: &Clock) -> CliResult {
    let (folder, settings) = (&config.data.path, hub::settings(config));
    let tails = match Rocks::open(folder, &settings, clock.clone()) {
        Ok(_) => {
            return Err(CliError(
                "the store opens, there is no tail to cut: start the hub (库可打开，无需截断)".into(),
            ));
        }
        Err(RocksError::LogTail { tails, .. }) => tails,
        Err(other) => return Err(other.into()),
    };
    let origin = Origin::parse(&config.origin()).ok_or_else(|| CliError("hub.name makes no origin".into()))?;
    let open = || match Rocks::open_to_read(folder, &settings, clock.clone()) {
        Ok(store) => Ok(Arc::new(store) as Arc<dyn Store>),
        Err(error) => Err(error.to_string()),
    };
    let left = cut_tails(tails, &config.fence.path, &origin, open).await?;
    if json {
        let cuts = left.cuts.iter().map(
            |Cut { tail, bytes, kept }| json!({"file": tail.file, "at": tail.at, "cutBytes": bytes, "kept": kept}),
        );
        println!("{:#}", json!({"cuts": cuts.collect::<Vec<_>>(), "size": left.size}));
    }
    for Cut { tail, bytes, kept } in &left.cuts {
        eprintln!("wuku: {tail}: {bytes} bytes were cut off and are kept in {} (已截去，原字节留存)", kept.display());
    }
    eprintln!("wuku: the log has {} entries, all that the fence has seen (日志条目齐全)", left.size);
    eprintln!("wuku: next (接下来): wuku fsck, wuku serve");
    Ok(())
}

async fn recover(config: &Config, args: &RecoverArgs, clock: &Clock) -> CliResult<(NewLog, String, PathBuf)> {
    let store = hub::open_store(config, clock)?;
    let configured = Origin::parse(&config.origin()).ok_or_else(|| CliError("hub.name makes no origin".into()))?;
    let old_key = read_key(&config.keys, &config.keys.log_key_file)?;
    let trust = read_file(&config.trust.file).ok().and_then(|note| Trust::open(&note, Root::ByHand).ok());
    let old_keys = known_keys(old_key.verifier(), trust.as_ref());
    let mut seen = Vec::new();
    for path in &args.seen {
        let note = SignedCheckpoint::parse(&read_file(path)?);
        seen.push(note.map_err(|e| CliError(format!("{}: {e}", path.display())))?);
    }
    let next = configured.next().ok_or_else(|| CliError("origins have run out".into()))?;
    let path = args.new_key.clone().unwrap_or_else(|| numbered(&config.keys.log_key_file, next.number()));
    let loss = Loss {
        store: store.as_ref(),
        fence: &config.fence.path,
        fence_lost: args.fence_lost,
        seen: &seen,
        old_keys: &old_keys,
        configured: &configured,
    };
    // The new log goes on from the restored entries: their hashes are of the store's suite.
    let suite = suite_of(store.as_ref()).await?;
    let new =
        in_suite!(suite, S => new_log::<S>(loss, clock, |origin| keep_key(&config.keys, &path, origin, suite)).await?);
    let key = read_key(&config.keys, &path)?.verifier().to_string();
    Ok((new, key, path))
}

/// The key of the new log: made and kept durably, or the one an earlier run has kept.
fn keep_key(keys: &Keys, path: &Path, origin: &Origin, suite: SuiteName) -> Result<LogKey, RecoverFault> {
    let failed = |e: std::io::Error| RecoverFault::Key(format!("{}: {e}", path.display()));
    if path.exists() {
        let key = read_key(keys, path).map_err(|CliError(why)| RecoverFault::Key(why))?;
        let verifier = key.verifier();
        if (verifier.name(), verifier.suite()) == (&origin.to_string(), suite) {
            return Ok(key);
        }
        let (path, name, of) = (path.display(), verifier.name(), verifier.suite());
        return Err(RecoverFault::Key(format!("{path} holds the key of {name} in suite {of}")));
    }
    let failed_key = |e: crate::device::KeyFault| RecoverFault::Key(e.to_string());
    let key = crate::device::generate(keys, &origin.to_string(), suite).map_err(failed_key)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = crate::device::text(keys, &key).map_err(failed_key)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // The name must survive too: a log whose key vanished with the power cannot go on.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(key)
}

fn read_key(keys: &Keys, path: &Path) -> CliResult<LogKey> {
    Ok(crate::device::read(keys, path)?)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_key_is_kept_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = numbered(&folder.path().join("log.key"), 2);
        assert!(path.ends_with("log.key.2"));
        let (second, third) = (Origin::parse("hub/wuku/2").unwrap(), Origin::parse("hub/wuku/3").unwrap());
        let made = keep_key(&Keys::default(), &path, &second, SuiteName::Sm2).unwrap();
        assert_eq!(made.verifier().suite(), SuiteName::Sm2);
        assert_eq!(keep_key(&Keys::default(), &path, &second, SuiteName::Sm2).unwrap().verifier(), made.verifier());
        assert!(matches!(keep_key(&Keys::default(), &path, &third, SuiteName::Sm2), Err(RecoverFault::Key(_))));
        assert!(matches!(keep_key(&Keys::default(), &path, &second, SuiteName::Ed25519), Err(RecoverFault::Key(_))));
    }
}
