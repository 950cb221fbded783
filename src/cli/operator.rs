//! What an operator may have a hub do beside answering: by the operator's door where it runs, or on the folder where it rests.
use super::{CliError, CliResult, hub};
use crate::clock::Clock;
use crate::config::{Config, Keys};
use crate::edge::operator::{Act, ask};
use crate::edge::receipt_service::TrustNote;
use crate::exchange::{Exchange, Switched};
use crate::log::LogKey;
use crate::receipt::trust::{Root, Trust};
use crate::store::Limited;
use crate::store::backup::{DATA, make_folder};
use crate::store::rewrap::{Rewrapped, rewrap};
use crate::store::rocks::Rocks;
use crate::store::vault::Kek;
use crate::telemetry::Metrics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What may be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Copy the data as it stands into `to`/data.
    Copy {
        /// A folder that is not there yet, absolute.
        to: PathBuf,
    },
    /// How far the log is, and which key signs.
    Status,
    /// Wrap the hub's keys by the key-encryption key in the file beside the configured one ([`next_to`]).
    RewrapKeys,
    /// Sign the log with the key in the file beside the configured one.
    SwitchLogKey,
}

/// A hub with everything a command needs.
pub struct Running {
    /// Its configuration.
    pub config: Config,
    /// The hub.
    pub exchange: Arc<Exchange>,
    /// Its engine, for what the contract does not have.
    pub rocks: Arc<Limited<Rocks>>,
    /// The trust file in force.
    pub trust_note: TrustNote,
}

/// Where the next key waits until it is in force.
#[must_use]
pub fn next_to(path: &Path) -> PathBuf {
    beside(path, "next")
}

/// A file beside another, with something behind its name.
#[must_use]
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// Has the hub of this configuration do it: the running one, or one put together for this command alone.
///
/// # Errors
/// What the hub says; what keeps it from being opened.
pub async fn command(config: &Config, command: &Command, clock: &Clock) -> CliResult<Value> {
    if let Some(done) = ask(&config.data.path, &serde_json::to_value(command)?).await? {
        return Ok(done);
    }
    eprintln!(
        "wuku: no hub runs on {}; working on the folder itself (枢纽未运行，直接处理数据目录)",
        config.data.path.display()
    );
    let rocks = hub::open_rocks(config, clock)?;
    let exchange = hub::open(config, rocks.clone(), clock, &Metrics::new()).await?;
    let running = Running { config: config.clone(), exchange, rocks, trust_note: TrustNote::default() };
    running.act(command.clone()).await
}

/// What the operator's door of a running hub does.
#[must_use]
pub fn door(running: Running) -> Act {
    let running = Arc::new(running);
    Arc::new(move |command| {
        let running = Arc::clone(&running);
        Box::pin(async move {
            let command: Command =
                serde_json::from_value(command).map_err(|e| format!("不认识的命令 not a command: {e}"))?;
            tracing::info!(?command, "asked by the operator");
            let done = running.act(command).await;
            if let Err(CliError(why)) = &done {
                tracing::error!(why, "what the operator asked for was not done");
            }
            done.map_err(|CliError(why)| why)
        })
    })
}

impl Running {
    async fn act(&self, command: Command) -> CliResult<Value> {
        match command {
            Command::Copy { to } => self.copy(&to).await,
            Command::Status => {
                let ledger = self.exchange.recorder.ledger();
                Ok(json!({ "size": ledger.latest().head.size, "vkey": ledger.verifier().to_string() }))
            }
            Command::RewrapKeys => self.rewrap_keys().await,
            Command::SwitchLogKey => self.switch_log_key().await,
        }
    }

    /// The signed checkpoint is taken first: whatever it covers is in the copy.
    async fn copy(&self, to: &Path) -> CliResult<Value> {
        if !to.is_absolute() || [&self.config.data.path, &self.config.fence.path].iter().any(|own| inside(to, own)) {
            return Err(CliError(format!(
                "{0}：备份目录须为绝对路径，且不在数据目录和防回退目录之内。{0} must be absolute, and neither in the data folder nor in the fence's.",
                to.display()
            )));
        }
        // The copy begins by writing out what is in memory: with the disk short that could cost the hub its engine.
        if let Some(short) = self.exchange.recorder.ledger().space().short() {
            return Err(CliError(format!("磁盘空间不足，未作备份。The disk is short, no backup was made: {short}")));
        }
        let checkpoint = self.exchange.recorder.ledger().latest().checkpoint;
        make_folder(to)?;
        let (rocks, data) = (self.rocks.clone(), to.join(DATA));
        tokio::task::spawn_blocking(move || rocks.engine().copy_to(&data)).await??;
        Ok(json!({ "checkpoint": String::from_utf8_lossy(&checkpoint) }))
    }

    async fn rewrap_keys(&self) -> CliResult<Value> {
        let (path, data) = (&self.config.keys.kek_file, &self.config.data.path);
        let (old, new) = (Kek::load(path, data)?, Kek::load(&next_to(path), data)?);
        let keys = match rewrap(&old, &new, self.exchange.store.as_ref()).await? {
            Rewrapped::Done(keys) => keys,
            Rewrapped::Already => 0,
        };
        Ok(json!({ "keys": keys }))
    }

    async fn switch_log_key(&self) -> CliResult<Value> {
        let key = read_log_key(&self.config.keys, &next_to(&self.config.keys.log_key_file))?;
        adopt_trust(&self.config, &self.exchange, &self.trust_note)?;
        let note = self.trust_note.load_full().ok_or_else(|| CliError("there is no trust file".into()))?;
        let trust = Trust::open(&note, Root::ByHand)?;
        let Switched { old, new, old_to_size } = self.exchange.rotate_log_key(key, &trust).await?;
        Ok(json!({ "old": old.id_hex(), "new": new.id_hex(), "oldToSize": old_to_size }))
    }
}

/// Takes the trust file over where it is a later issue; false where it is the one in force. The operator's own hand puts it there:
/// the hub does not hold the root key it is signed with.
///
/// # Errors
/// A file that cannot be read, is of another hub or no later issue; the one in force stays.
pub fn adopt_trust(config: &Config, exchange: &Exchange, note: &TrustNote) -> CliResult<bool> {
    let path = &config.trust.file;
    let bytes = crate::edge::trust::read_file(path)?;
    let held = note.load_full();
    if held.as_ref().is_some_and(|held| held.as_ref() == bytes.as_slice()) {
        return Ok(false);
    }
    let wrong = |why: String| CliError(format!("{}: {why}", path.display()));
    let trust = Trust::open(&bytes, Root::ByHand).map_err(|e| wrong(e.to_string()))?;
    if trust.hub.as_str() != config.hub.name {
        return Err(wrong(format!("it is of the hub {} (属于另一枢纽)", trust.hub)));
    }
    let held = held.and_then(|held| Trust::open(&held, Root::ByHand).ok());
    if let Some(held) = held.filter(|held| held.epoch >= trust.epoch) {
        return Err(wrong(format!("epoch {} is not later than {} (期号未增)", trust.epoch, held.epoch)));
    }
    exchange.know(&trust);
    note.store(Some(Arc::new(bytes.into())));
    Ok(true)
}

/// The key of a log key file.
///
/// # Errors
/// Whatever keeps the key from being used: see [`crate::device::KeyFault`].
pub fn read_log_key(keys: &Keys, path: &Path) -> CliResult<LogKey> {
    Ok(crate::device::read(keys, path)?)
}

/// Whether a path, as far as it exists, lies inside a folder.
fn inside(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    path.ancestors().find_map(|part| part.canonicalize().ok()).is_some_and(|real| real.starts_with(&folder))
}
