//! `wuku init`: a new hub. Everything it makes must not be there yet; `wuku serve` makes nothing.
use super::{CliError, CliResult, block_on, hub};
use crate::clock::Clock;
use crate::config::{Config, Stage};
use crate::log::{HubName, LogKey, Origin, SuiteName};
use crate::receipt::sequencer::{Draft, Unit};
use crate::receipt::trust::{KeyState, Trust, TrustedKey, TrustedLog, fingerprint};
use crate::store::Store;
use crate::store::fence::Fence;
use crate::store::rocks::Rocks;
use crate::store::vault::{Kek, Vault};
use crate::telemetry::Metrics;
use crate::wire::proto::catalogue::v1::{Department, Role, System};
use crate::wire::proto::receipt::v1::{LogOpened, PublicEvent, public_event::Event};
use clap::Args;
use prost::Message;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments of `wuku init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// Where to write the root key that signs the trust file; take it offline afterwards (根密钥，写出后离线保存)
    #[arg(long)]
    root_key: PathBuf,
    /// Department code of the data authority (数据主管部门代码)
    #[arg(long)]
    authority_department: String,
    /// Its name (名称)
    #[arg(long)]
    authority_name: String,
    /// Its unified social credit code (统一社会信用代码)
    #[arg(long)]
    authority_uscc: String,
    /// Its division (行政区划代码)
    #[arg(long)]
    authority_division: String,
    /// The name of its first system in the certificate: wuku://<hub>/<department>/<this> (首个系统)
    #[arg(long, default_value = "console")]
    authority_system: String,
}

/// What `wuku init` needs to know.
#[derive(Clone, Debug)]
pub struct First {
    /// The data authority.
    pub department: Department,
    /// Its first system's name.
    pub system: String,
}

/// Runs `wuku init`.
///
/// # Errors
/// What is there already, what cannot be made, in words.
pub fn run(args: &InitArgs, clock: &Clock) -> CliResult {
    let config = Config::load(&args.config)?;
    if let Err(faults) = config.check(clock, Stage::Init) {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(CliError(format!("the configuration is not whole:\n{}", all.join("\n"))));
    }
    let department = Department {
        code: args.authority_department.clone(),
        name: args.authority_name.clone(),
        uscc: args.authority_uscc.clone(),
        division: args.authority_division.clone(),
        version: 0,
    };
    let first = First { department, system: args.authority_system.clone() };
    let print = block_on(init(&config, &args.root_key, &first, clock))?;
    eprintln!("wuku: hub {} is made. Trust file: {}", config.hub.name, config.trust.file.display());
    eprintln!("wuku: take {} offline now; the hub never needs it (请立即将根密钥离线保存)", args.root_key.display());
    eprintln!("wuku: fingerprint of the trust file, for publication (信任文件指纹，请公布):");
    println!("{print}");
    Ok(())
}

/// Makes the hub; gives the trust file's fingerprint.
///
/// # Errors
/// As [`run`]. What was made before the failure is left for the operator to look at; init refuses to touch it again.
pub async fn init(config: &Config, root_key: &Path, first: &First, clock: &Clock) -> CliResult<String> {
    let origin = Origin::parse(&config.origin()).ok_or_else(|| CliError("hub.name makes no origin".into()))?;
    let hub_name = HubName::parse(&config.hub.name).ok_or_else(|| CliError("hub.name is no hub's name".into()))?;
    let suite = SuiteName::Ed25519;
    let log_key = LogKey::generate(&origin.to_string(), suite)?;
    let root = LogKey::generate(&hub_name.root_key_name(), suite)?;
    write_secret(root_key, &root.to_text())?;
    write_secret(&config.keys.log_key_file, &log_key.to_text())?;
    let trust = Trust {
        hub: hub_name,
        epoch: 1,
        logs: vec![TrustedLog {
            origin: origin.clone(),
            suite,
            keys: vec![TrustedKey {
                key: log_key.verifier().clone(),
                from_size: 0,
                to_size: None,
                state: KeyState::Active,
            }],
            closed_at_s: None,
        }],
    };
    let note = trust.sign(&root)?;
    write_new(&config.trust.file, &note, 0o644)?;
    let kek = Kek::create(&config.keys.kek_file, &config.data.path)?;
    let store: Arc<dyn Store> = Arc::new(Rocks::create(&config.data.path, &hub::settings(config), clock.clone())?);
    drop(Vault::create(&kek, store.as_ref()).await?);
    Fence::create(&config.fence.path)?;
    let opened = LogOpened {
        origin: origin.to_string(),
        suite: suite.as_str().to_owned(),
        vkey: log_key.verifier().to_string(),
        ..LogOpened::default()
    };
    let event = PublicEvent { format: 1, hub: config.hub.name.clone(), event: Some(Event::LogOpened(opened)) };
    let exchange = hub::open(config, store, clock, &Metrics::new()).await?;
    let unit = Unit { drafts: vec![Draft::Public(event.encode_to_vec().into())], ..Unit::default() };
    exchange.recorder.ledger().record(unit).await.map_err(crate::failure::Failure::from)?;
    let system = System {
        uri: format!("wuku://{}/{}/{}", config.hub.name, first.department.code, first.system),
        name: format!("{} console", first.department.name),
        department: first.department.code.clone(),
        roles: vec![Role::DataAuthority as i32],
        enabled: true,
        ..System::default()
    };
    exchange.bootstrap(&first.department, &system).await?;
    Ok(fingerprint(&note))
}

fn write_secret(path: &Path, text: &str) -> CliResult {
    write_new(path, format!("{}\n", text.trim_end()).as_bytes(), 0o600)
}

/// Writes a file that must not be there yet, durably.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> CliResult {
    let failed = |e: std::io::Error| CliError(format!("{}: {e}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}
