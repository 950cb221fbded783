//! `wuku init`: a new hub. Everything it makes must not be there yet; `wuku serve` makes nothing.
use super::{CliError, CliResult, block_on, hub};
use crate::clock::Clock;
use crate::config::{Config, Stage};
use crate::exchange::Exchange;
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
    /// Hash, signature and cipher of log and store, for ever: sm2 (SM3, SM2, SM4) or ed25519 (SHA-256, Ed25519, AES) (密码套件)
    #[arg(long, default_value = DEFAULT_SUITE.as_str(), value_parser = parse_suite)]
    suite: SuiteName,
}

/// What a hub gets whose operator does not say.
pub const DEFAULT_SUITE: SuiteName = SuiteName::Sm2;

/// Reads the name of a suite from a command line.
///
/// # Errors
/// In words, for any other word.
pub fn parse_suite(name: &str) -> Result<SuiteName, String> {
    SuiteName::parse(name).ok_or_else(|| "sm2 or ed25519 (应为 sm2 或 ed25519)".to_owned())
}

/// What `wuku init` needs to know.
#[derive(Clone, Debug)]
pub struct First {
    /// The data authority.
    pub department: Department,
    /// Its first system's name.
    pub system: String,
    /// The hub's suite.
    pub suite: SuiteName,
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
    let first = First { department, system: args.authority_system.clone(), suite: args.suite };
    let print = block_on(init(&config, &args.root_key, &first, clock))?;
    let (name, suite, trust) = (&config.hub.name, args.suite, config.trust.file.display());
    eprintln!("wuku: hub {name} is made, suite {suite} (密码套件). Trust file: {trust}");
    eprintln!("wuku: take {} offline now; the hub never needs it (请立即将根密钥离线保存)", args.root_key.display());
    eprintln!("wuku: fingerprint of the trust file, for publication (信任文件指纹，请公布):");
    println!("{print}");
    Ok(())
}

/// Makes the hub; gives the trust file's fingerprint.
///
/// Every target is looked at before the first is written. What fails half-way takes away again what it made. A kill half-way leaves
/// some of it beside a mark, which says to the next `init`, and to `serve`, that it belongs to no hub.
///
/// # Errors
/// As [`run`].
pub async fn init(config: &Config, root_key: &Path, first: &First, clock: &Clock) -> CliResult<String> {
    let origin = Origin::parse(&config.origin()).ok_or_else(|| CliError("hub.name makes no origin".into()))?;
    let hub_name = HubName::parse(&config.hub.name).ok_or_else(|| CliError("hub.name is no hub's name".into()))?;
    let suite = first.suite;
    let targets = targets(config, root_key);
    look_first(config, &targets)?;
    let mark = mark(config);
    let mut made = Made(vec![mark.clone()]);
    write_new(&mark, UNFINISHED.as_bytes(), 0o600)?;
    made.0.extend(targets.into_iter().map(|(_, path)| path));
    let log_key = crate::device::generate(&config.keys, &origin.to_string(), suite)?;
    eprintln!("wuku: the log key: {}", crate::device::keeping(&log_key));
    let root = LogKey::generate(&hub_name.root_key_name(), suite)?;
    write_secret(root_key, &root.to_text())?;
    write_secret(&config.keys.log_key_file, &crate::device::text(&config.keys, &log_key)?)?;
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
    drop(Vault::create(&kek, store.as_ref(), suite).await?);
    Fence::create(&config.fence.path)?;
    let opened = LogOpened {
        origin: origin.to_string(),
        suite: suite.as_str().to_owned(),
        vkey: log_key.verifier().to_string(),
        ..LogOpened::default()
    };
    let event = PublicEvent { format: 1, hub: config.hub.name.clone(), event: Some(Event::LogOpened(opened)) };
    let exchange = hub::open(config, store, clock, &Metrics::new()).await?;
    let mut written = exchange.recorder.ledger().follow();
    let first_entries = begin(config, &exchange, event, first).await;
    // The sequencer ends with its last handle, and the fence with it: until then they write where a failure takes everything away.
    drop(exchange);
    while written.changed().await.is_ok() {}
    first_entries?;
    // From here a crash leaves a whole hub that says it is unfinished: nobody has been told of it, so it is made again.
    let folder = mark.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The removal must survive too: a power cut would bring the mark back beside a hub that has long been answering.
    let removed = std::fs::remove_file(&mark).and_then(|()| std::fs::File::open(folder)?.sync_all());
    removed.map_err(|e| CliError(format!("{}: {e}", mark.display())))?;
    made.0.clear();
    Ok(fingerprint(&note))
}

/// The log's first entry, and the first department with its system.
async fn begin(config: &Config, exchange: &Exchange, event: PublicEvent, first: &First) -> CliResult {
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
    Ok(())
}

/// What `init` makes: the field that names it, and where.
fn targets(config: &Config, root_key: &Path) -> [(&'static str, PathBuf); 6] {
    [
        ("--root-key", root_key.to_path_buf()),
        ("keys.log_key_file", config.keys.log_key_file.clone()),
        ("trust.file", config.trust.file.clone()),
        ("keys.kek_file", config.keys.kek_file.clone()),
        ("data.path", config.data.path.clone()),
        ("fence.path", config.fence.path.clone()),
    ]
}

/// Beside the data folder while `init` runs.
#[must_use]
pub fn mark(config: &Config) -> PathBuf {
    let mut name = config.data.path.as_os_str().to_owned();
    name.push(".init-unfinished");
    name.into()
}

const UNFINISHED: &str =
    "`wuku init` is making a hub. If none is running, it was interrupted: run it again, it says what to remove.\n";

/// Refuses where something is there already, naming all of it and what to do.
fn look_first(config: &Config, targets: &[(&'static str, PathBuf)]) -> CliResult {
    let there: Vec<String> = targets
        .iter()
        .filter(|(_, path)| occupied(path))
        .map(|(field, path)| format!("  {field} = {}", path.display()))
        .collect();
    let mark = mark(config);
    if mark.exists() {
        let all = [there, vec![format!("  {}", mark.display())]].concat().join("\n");
        return Err(CliError(format!(
            "an earlier `wuku init` was interrupted. What it made belongs to no hub; remove it and run init again \
             (上次 wuku init 中断，下列文件不属于任何枢纽，删除后重新运行):\n{all}"
        )));
    }
    if !there.is_empty() {
        return Err(CliError(format!(
            "nothing was made, because this is there already (已存在，未作任何改动):\n{}\n\
             If it is a hub, start it with `wuku serve`. For a new hub choose other paths; `wuku init` never overwrites a key or a \
             record (若为已建枢纽，用 wuku serve 启动；新建枢纽请改用其他路径)",
            there.join("\n")
        )));
    }
    Ok(())
}

/// A file, or a folder with something in it.
fn occupied(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.symlink_metadata().is_ok_and(|found| !found.is_dir()),
    }
}

/// Takes away what a failed `init` made; cleared by one that succeeds.
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // The mark stands first and goes last.
        for path in self.0.iter().rev() {
            let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            if let Err(error) = gone
                && error.kind() != std::io::ErrorKind::NotFound
            {
                eprintln!("wuku: {} could not be taken away again: {error} (请手工删除)", path.display());
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev_certs::{Authority, DevCerts};

    fn ready() -> (tempfile::TempDir, Config, First) {
        let folder = tempfile::tempdir().unwrap();
        let at = |p: &str| folder.path().join(p);
        let certs = DevCerts::make(&at("certs"), "hub.test", &[], &[], &Clock::system()).unwrap();
        let mut config = Config::parse("[hub]\nname = \"hub.test\"").unwrap();
        config.data.path = at("data");
        config.keys.kek_file = at("keys/kek");
        config.keys.log_key_file = at("keys/log.key");
        config.fence.path = at("fence");
        config.trust.file = at("trust.note");
        config.listen.tls_certificate_file = certs.server().certificate;
        config.issuers.ca_file = certs.authority(Authority::Issuer).certificate;
        config.issuers.crl_files = vec![certs.crl(Authority::Issuer)];
        let uscc = crate::library::codes::Uscc::make("11", "331099", "00000001").unwrap().as_str().to_owned();
        let department =
            Department { code: "data".into(), name: "演示局".into(), uscc, division: "331023".into(), version: 0 };
        (folder, config, First { department, system: "console".into(), suite: DEFAULT_SUITE })
    }

    #[tokio::test]
    async fn each_target_that_is_there_is_named_and_nothing_is_made() {
        let (folder, config, first) = ready();
        let root = folder.path().join("root.key");
        for (field, path) in targets(&config, &root) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = if matches!(field, "data.path" | "fence.path") { path.join("slot-0") } else { path.clone() };
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "mine").unwrap();
            let CliError(why) = init(&config, &root, &first, &Clock::system()).await.unwrap_err();
            assert!(why.contains(field) && why.contains(path.to_str().unwrap()) && why.contains("已存在"), "{why}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
            std::fs::remove_file(&file).unwrap();
            let left: Vec<_> = targets(&config, &root).into_iter().filter(|(_, path)| occupied(path)).collect();
            assert!(left.is_empty() && !mark(&config).exists(), "{left:?}");
        }
        init(&config, &root, &first, &Clock::system()).await.unwrap();
        assert!(!mark(&config).exists());
    }

    #[tokio::test]
    async fn a_hub_is_of_sm2_unless_the_operator_says_otherwise() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            init: InitArgs,
        }
        let words =
            "init --root-key r --authority-department d --authority-name n --authority-uscc u --authority-division v";
        let suite = |more: &[&str]| {
            let line = <Line as clap::Parser>::try_parse_from(words.split(' ').chain(more.iter().copied()));
            line.map(|line| line.init.suite)
        };
        assert_eq!(suite(&[]).unwrap(), SuiteName::Sm2);
        assert_eq!(suite(&["--suite", "ed25519"]).unwrap(), SuiteName::Ed25519);
        assert!(suite(&["--suite", "rsa"]).is_err());
        for suite in SuiteName::ALL {
            let (folder, config, first) = ready();
            let root = folder.path().join("root.key");
            init(&config, &root, &First { suite, ..first }, &Clock::system()).await.unwrap();
            let read = |path: &Path| LogKey::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
            let (log, root) = (read(&config.keys.log_key_file), read(&root));
            assert_eq!((log.verifier().suite(), root.verifier().suite()), (suite, suite));
            let note = std::fs::read(&config.trust.file).unwrap();
            let trust = Trust::open(&note, crate::receipt::trust::Root::Key(root.verifier())).unwrap();
            assert_eq!(trust.logs[0].suite, suite);
        }
    }

    #[tokio::test]
    async fn an_init_that_fails_half_way_leaves_nothing_and_runs_again() {
        let (folder, config, mut first) = ready();
        let root = folder.path().join("root.key");
        let good = std::mem::take(&mut first.department.uscc);
        init(&config, &root, &first, &Clock::system()).await.unwrap_err();
        assert!(targets(&config, &root).iter().all(|(_, path)| !path.exists()) && !mark(&config).exists());
        first.department.uscc = good;
        init(&config, &root, &first, &Clock::system()).await.unwrap();
    }

    #[tokio::test]
    async fn an_init_that_was_killed_says_what_to_remove() {
        let (folder, config, first) = ready();
        let root = folder.path().join("root.key");
        std::fs::write(mark(&config), UNFINISHED).unwrap();
        std::fs::write(&root, "half").unwrap();
        let CliError(why) = init(&config, &root, &first, &Clock::system()).await.unwrap_err();
        assert!(why.contains("--root-key") && why.contains("interrupted") && why.contains(".init-unfinished"), "{why}");
        assert!(!why.contains("keys.kek_file"), "{why}");
        let why = crate::cli::hub::open_store(&config, &Clock::system()).err().unwrap().0;
        assert!(why.contains("wuku init"), "{why}");
        std::fs::remove_file(&root).unwrap();
        std::fs::remove_file(mark(&config)).unwrap();
        init(&config, &root, &first, &Clock::system()).await.unwrap();
    }
}
