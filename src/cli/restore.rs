//! `wuku restore`: a backup checked whole, then put in place. What may be started afterwards, the fence decides.
use super::backup::bytes_bar;
use super::operator::beside;
use super::{CliError, CliResult, block_on, fsck, hub};
use crate::clock::Clock;
use crate::config::Config;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::{Origin, SuiteName, in_suite};
use crate::receipt::fsck::Report;
use crate::receipt::head;
use crate::receipt::report::Language;
use crate::receipt::start::{StartFault, may_start};
use crate::receipt::trust::{Root, Trust};
use crate::store::Store;
use crate::store::backup::{BackupError, Manifest, copy_data, make_folder, sync_folder};
use crate::store::rocks::Rocks;
use crate::store::vault::{Kek, Vault, VaultError};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Arguments of `wuku restore`.
#[derive(Args, Debug)]
#[command(after_help = "\
The data folder of the configuration must not be there (move what is left of it away; never delete it before the hub runs again).
  1. Every file is copied and hashed against the backup's manifest.
  2. The copy is opened with the key-encryption key, and the whole store is held against its log, as by `wuku fsck`.
  3. The log must contain the backup's signed checkpoint, under a key of the trust file.
  4. Only then is it put in place. A run that was cut leaves DATA.restoring, which the next one begins anew.
What then? The fence (fence.path, kept on another disk, never in a backup) knows how far the log had come:
  - it has seen nothing newer: `wuku serve`;
  - it has seen more than was restored: the hub refuses to start. Restore a newer backup; if there is none, `wuku recover --new-log`;
  - it is lost with the machine: `wuku recover --new-log --fence-lost`, with --seen FILE for the newest checkpoints others hold.
防回退文件决定能否直接启动：未见过更新的条目则 wuku serve；见过更多则恢复更新的备份或 wuku recover --new-log；
已丢失则 wuku recover --new-log --fence-lost。
A backup made before `wuku rotate kek` opens with the earlier key only: put that one at keys.kek_file, restore, rotate again.
Exit code 0: in place, whatever the fence says (see `next` in the JSON: start, recover, recover_fence_lost, check_configuration).")]
pub struct RestoreArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// The backup (备份目录)
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// Print what was done as JSON (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// A backup that was put in place.
struct Restored {
    report: Report,
    checkpoint_size: u64,
    next: Next,
    copy_s: f64,
    verify_s: f64,
}

/// What the operator does now.
struct Next {
    word: &'static str,
    zh: String,
    en: String,
}

/// Runs `wuku restore`.
///
/// # Errors
/// In words; nothing was put in place then.
pub fn run(args: &RestoreArgs, clock: &Clock) -> CliResult {
    let config = Config::load(&args.config)?;
    let done = block_on(restore(&config, &args.from, clock))?;
    let Restored { report, checkpoint_size, next, copy_s, verify_s } = done;
    if args.json {
        println!(
            "{:#}",
            json!({
                "dataFolder": config.data.path, "origin": report.origin, "size": report.size,
                "checkpointSize": checkpoint_size, "recordVersions": report.versions, "statements": report.statements,
                "copyS": copy_s, "verifyS": verify_s, "next": next.word, "nextZh": next.zh, "nextEn": next.en,
            })
        );
    } else {
        println!("{} {}", report.origin, report.size);
    }
    eprintln!(
        "wuku: restored and verified {} entries, {} record versions in {:.1} s; in place at {}",
        report.size,
        report.versions,
        copy_s + verify_s,
        config.data.path.display()
    );
    eprintln!("wuku: 已恢复并核验 {} 条日志、{} 个记录版本。", report.size, report.versions);
    eprintln!("wuku: next (接下来): {}\n  {}", next.en, next.zh);
    Ok(())
}

async fn restore(config: &Config, from: &Path, clock: &Clock) -> CliResult<Restored> {
    let data = &config.data.path;
    if data.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::InTheWay(data.display().to_string()).into());
    }
    let manifest = Manifest::read(from)?;
    if manifest.hub != config.hub.name {
        let why = format!(
            "备份属于枢纽 {0}，配置的是 {1}。The backup is of the hub {0}, the configuration names {1}.",
            manifest.hub, config.hub.name
        );
        return Err(CliError(why));
    }
    let begun = Instant::now();
    let staging = beside(data, "restoring");
    if staging.exists() {
        std::fs::remove_dir_all(&staging)?; // what an interrupted restore left; nobody else makes that name
    }
    make_folder(&staging)?;
    let bar = bytes_bar("copying");
    bar.set_length(manifest.bytes());
    let copied = copy_data(&manifest, from, &staging, &mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let checked = match copied {
        Ok(()) => Ok((begun.elapsed().as_secs_f64(), Instant::now())),
        Err(error) => Err(CliError::from(error)),
    };
    let checked = match checked {
        Ok((copy_s, begun)) => {
            check(config, &manifest, from, &staging, clock).await.map(|found| (found, copy_s, begun))
        }
        Err(error) => Err(error),
    };
    let ((report, checkpoint_size, next), copy_s, begun) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            // Nothing half-checked is left where somebody could start a hub on it.
            std::fs::remove_dir_all(&staging)?;
            return Err(error);
        }
    };
    if data.exists() {
        std::fs::remove_dir(data)?; // empty, as seen above
    }
    std::fs::rename(&staging, data)?;
    // From here a crash leaves it in place: the fence is asked again by whoever starts the hub.
    sync_folder(data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(Restored { report, checkpoint_size, next, copy_s, verify_s: begun.elapsed().as_secs_f64() })
}

/// The copy opens, is clean, and contains the signed checkpoint. Says what the hub would say at its start.
async fn check(
    config: &Config,
    manifest: &Manifest,
    from: &Path,
    copy: &Path,
    clock: &Clock,
) -> CliResult<(Report, u64, Next)> {
    let signed = SignedCheckpoint::parse(manifest.checkpoint.as_bytes())
        .map_err(|e| BackupError::Manifest(format!("checkpoint: {e}")))?;
    let store: Arc<dyn Store> = Arc::new(Rocks::open(copy, &hub::settings(config), clock.clone())?);
    let kek = Kek::load(&config.keys.kek_file, copy)?;
    let vault = match Vault::open(&kek, store.as_ref()).await {
        Err(VaultError::WrongKek) => {
            return Err(CliError(format!(
                "{0} 打不开此备份：若备份早于 wuku rotate kek，请放回当时的密钥再恢复。{0} does not open this backup: if it was made before \
                 `wuku rotate kek`, put the key of that time there, then restore.",
                config.keys.kek_file.display()
            )));
        }
        opened => opened?,
    };
    let report = fsck::walk_with(&vault, &config.hub.name, None, store.as_ref()).await?;
    if !report.is_clean() {
        let text = fsck::to_text(&report, Language::of_environment());
        return Err(CliError(format!(
            "备份与其日志不符，未恢复。The backup does not fit its log; nothing was restored.\n{text}"
        )));
    }
    let wrong = |why: &str| {
        CliError(format!(
            "备份的检查点不成立，未恢复：{why}。The backup's checkpoint does not hold; nothing was restored: {why}."
        ))
    };
    let snapshot = store.snapshot().await?;
    let checkpoint = &signed.checkpoint;
    if checkpoint.origin.to_string() != report.origin || checkpoint.size > report.size {
        return Err(wrong("the copy does not reach it"));
    }
    let root = in_suite!(vault.suite(), S => head::root_at::<S>(snapshot.as_ref(), checkpoint.size).await?);
    if root != checkpoint.root {
        return Err(wrong("the copy has another root at its size"));
    }
    let trust = open_trust(config, from)?;
    let keys = trust.log(&checkpoint.origin).map(|log| log.keys.as_slice()).unwrap_or_default();
    if !keys.iter().any(|trusted| trusted.vouches_for(&signed)) {
        return Err(wrong("its signature is by no key of the trust file"));
    }
    let next = next(config, store.as_ref(), vault.suite()).await?;
    Ok((report, checkpoint.size, next))
}

/// By the operator's own trust file; by the one in the backup where that is lost too.
fn open_trust(config: &Config, from: &Path) -> CliResult<Trust> {
    let own = std::fs::read(&config.trust.file);
    let note = match own {
        Ok(note) => note,
        Err(_) => {
            eprintln!(
                "wuku: {} is not there; believing the backup's own trust.note (改用备份内的信任文件)",
                config.trust.file.display()
            );
            std::fs::read(from.join("trust.note"))?
        }
    };
    Ok(Trust::open(&note, Root::ByHand)?)
}

async fn next(config: &Config, store: &dyn Store, suite: SuiteName) -> CliResult<Next> {
    let origin = Origin::parse(&config.origin()).ok_or_else(|| CliError("hub.name makes no origin".into()))?;
    let fence = &config.fence.path;
    let compared = in_suite!(suite, S => may_start::<S>(store, fence, &origin).await.map(|_| ()));
    Ok(match compared {
        Ok(()) => Next {
            word: "start",
            zh: "防回退文件没有见过更新的条目：wuku serve。".into(),
            en: "the fence has seen nothing newer: wuku serve.".into(),
        },
        Err(fault) => {
            let word = match &fault {
                StartFault::FenceUnreadable(_) => "recover_fence_lost",
                StartFault::FenceAhead { .. }
                | StartFault::OtherRoot { .. }
                | StartFault::OtherOrigin { .. }
                | StartFault::SeenElsewhere { .. } => "recover",
                _ => "check_configuration",
            };
            let zh = format!("{}{}", fault.text_zh(), fault.remedy_zh());
            Next { word, zh, en: format!("{} {}", fault.text_en(), fault.remedy_en()) }
        }
    })
}
