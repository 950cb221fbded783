//! `wuku trust`: shows the trust file, drafts its next issue, and signs it with the root key, which is kept offline.
use super::{CliError, CliResult};
use crate::log::{LogKey, Origin, VerifierKey};
use crate::receipt::trust::{KeyState, Root, Trust, TrustedKey, TrustedLog, fingerprint};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Arguments of `wuku trust`.
#[derive(Args, Debug)]
pub struct TrustArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show a trust file and its fingerprint (查看信任文件及其指纹)
    Show(ShowArgs),
    /// Draft the next issue of a trust file with a key added; signs it too where the root key is at hand (增列密钥)
    AddKey(AddKeyArgs),
    /// Draft the next issue with a key closed at a size, or marked as in other hands (停用密钥)
    Retire(RetireArgs),
    /// Sign a draft with the root key, on a machine without network (用根密钥签署)
    Sign(SignArgs),
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// The trust file (信任文件)
    file: PathBuf,
    /// The root key as published (name+id+key), or the fingerprint; without it the file is shown as it was handed over
    #[arg(long, value_name = "VKEY_OR_FINGERPRINT")]
    root_key: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct AddKeyArgs {
    /// The present trust file (现用信任文件)
    #[arg(long, value_name = "TRUST_NOTE")]
    trust: PathBuf,
    /// The new key (name+id+key); its name is the log's origin. A log not yet listed is added (新密钥)
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// The least size it signs for: the log's size at its making (起始规模)
    #[arg(long)]
    from_size: u64,
    /// Close a log: no entry of it is later than this second (关闭日志)
    #[arg(long, value_name = "ORIGIN@UNIX_SECONDS")]
    close: Vec<At<Origin>>,
    /// A key that signs no size above this any more, by its key id (停用密钥)
    #[arg(long, value_name = "KEY_ID@SIZE")]
    retire: Vec<At<String>>,
    /// A key in other hands, by its key id: nothing under it is good until refreshed (密钥已泄露)
    #[arg(long, value_name = "KEY_ID")]
    compromised: Vec<String>,
    /// Where to write the draft, to be signed elsewhere (草稿)
    #[arg(long, value_name = "FILE", required_unless_present = "root_key")]
    draft: Option<PathBuf>,
    /// The root key file, to sign at once; needs --out (根密钥文件)
    #[arg(long, value_name = "FILE", requires = "out")]
    root_key: Option<PathBuf>,
    /// Where to write the signed trust file
    #[arg(long, value_name = "FILE", requires = "root_key")]
    out: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct RetireArgs {
    /// The present trust file (现用信任文件)
    #[arg(long, value_name = "TRUST_NOTE")]
    trust: PathBuf,
    /// A key that signs no size above this any more, by its key id, as `wuku rotate log-key switch` printed it (停用密钥)
    #[arg(long, value_name = "KEY_ID@SIZE", required_unless_present = "compromised")]
    key: Vec<At<String>>,
    /// A key in other hands, by its key id: nothing under it is good until refreshed (密钥已泄露)
    #[arg(long, value_name = "KEY_ID")]
    compromised: Vec<String>,
    /// Where to write the draft, to be signed with `wuku trust sign` (草稿)
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
}

#[derive(Args, Debug)]
struct SignArgs {
    /// The draft (草稿)
    #[arg(long)]
    draft: PathBuf,
    /// The root key file (根密钥文件)
    #[arg(long)]
    root_key: PathBuf,
    /// Where to write the signed trust file; one that is there must be an earlier issue (签署后的信任文件)
    #[arg(long)]
    out: PathBuf,
}

/// `WHAT@NUMBER`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At<T> {
    what: T,
    number: u64,
}

impl<T> At<T> {
    fn parse(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Self, String> {
        let (what, number) = text.rsplit_once('@').ok_or("there is no @ in it")?;
        let number = number.parse().map_err(|_| "no number behind the @")?;
        Ok(Self { what: read(what).ok_or("nothing known before the @")?, number })
    }
}

impl FromStr for At<Origin> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Origin::parse)
    }
}

impl FromStr for At<String> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, |id| (!id.is_empty()).then(|| id.to_owned()))
    }
}

/// Runs `wuku trust`.
///
/// # Errors
/// In words.
pub fn run(args: &TrustArgs) -> CliResult {
    match &args.action {
        Action::Show(args) => show(args),
        Action::AddKey(args) => add_key(args),
        Action::Retire(args) => retire(args),
        Action::Sign(args) => {
            let draft = String::from_utf8(read(&args.draft)?).map_err(|_| CliError("the draft is no text".into()))?;
            let trust = Trust::parse_json(&draft)?;
            sign(&trust, &args.root_key, &args.out)
        }
    }
}

fn show(args: &ShowArgs) -> CliResult {
    let bytes = read(&args.file)?;
    let trust = match args.root_key.as_deref().map(|text| (text, VerifierKey::parse(text.trim()))) {
        None => Trust::open(&bytes, Root::ByHand)?,
        Some((_, Ok(key))) => Trust::open(&bytes, Root::Key(&key))?,
        Some((text, Err(_))) => Trust::open(&bytes, Root::Fingerprint(text))?,
    };
    let print = fingerprint(&bytes);
    if args.json {
        let text: serde_json::Value = serde_json::from_str(&trust.to_json())?;
        println!("{:#}", json!({"fingerprint": print, "checkedAgainstRoot": args.root_key.is_some(), "trust": text}));
        return Ok(());
    }
    println!("{} epoch {}", trust.hub, trust.epoch);
    for log in &trust.logs {
        let closed = log.closed_at_s.map_or(String::new(), |s| format!(", closed at {s}"));
        println!("  {} {}{closed}", log.origin, log.suite);
        for key in &log.keys {
            let to = key.to_size.map_or_else(|| "…".to_owned(), |size| size.to_string());
            println!("    {} {}–{to} {}", key.key, key.from_size, key.state.as_str());
        }
    }
    println!("fingerprint (指纹): {print}");
    if args.root_key.is_none() {
        eprintln!("wuku: no root key given; shown as it was handed over (未给出根密钥，按原样显示)");
    }
    Ok(())
}

fn add_key(args: &AddKeyArgs) -> CliResult {
    let held = Trust::open(&read(&args.trust)?, Root::ByHand)?;
    let key = VerifierKey::parse(args.key.trim())?;
    let mut next = with_key(&held, key, args.from_size)?;
    for At { what, number } in &args.close {
        let log = next.logs.iter_mut().find(|log| log.origin == *what);
        log.ok_or_else(|| CliError(format!("there is no log {what}")))?.closed_at_s = Some(*number);
    }
    close_keys(&mut next, &args.retire, &args.compromised)?;
    if let Some(path) = &args.draft {
        replace(path, next.to_json().as_bytes())?;
        eprintln!("wuku: draft of epoch {} is in {} (草稿已写出)", next.epoch, path.display());
    }
    match (&args.root_key, &args.out) {
        (Some(root_key), Some(out)) => sign(&next, root_key, out),
        _ => Ok(()),
    }
}

fn retire(args: &RetireArgs) -> CliResult {
    let held = Trust::open(&read(&args.trust)?, Root::ByHand)?;
    let mut next = Trust { epoch: held.epoch.saturating_add(1), ..held };
    close_keys(&mut next, &args.key, &args.compromised)?;
    if next.logs.iter().any(|log| log.closed_at_s.is_none() && log.keys.iter().all(|key| key.state != KeyState::Active))
    {
        return Err(CliError("an open log would have no active key left (开放的日志不能没有在用密钥)".into()));
    }
    replace(&args.draft, next.to_json().as_bytes())?;
    eprintln!("wuku: draft of epoch {} is in {} (草稿已写出)", next.epoch, args.draft.display());
    Ok(())
}

fn close_keys(next: &mut Trust, retired: &[At<String>], compromised: &[String]) -> CliResult {
    for At { what, number } in retired {
        let key = key_mut(next, what)?;
        (key.to_size, key.state) = (Some(*number), KeyState::Retired);
    }
    for id in compromised {
        key_mut(next, id)?.state = KeyState::Compromised;
    }
    Ok(())
}

/// The next issue of a trust file, with a key more.
///
/// # Errors
/// A key whose name is no log's origin.
pub(super) fn with_key(held: &Trust, key: VerifierKey, from_size: u64) -> CliResult<Trust> {
    let origin = Origin::parse(key.name()).ok_or_else(|| CliError("the key's name is no log's origin".into()))?;
    let suite = key.suite();
    let mut next = Trust { epoch: held.epoch.saturating_add(1), ..held.clone() };
    let added = TrustedKey { key, from_size, to_size: None, state: KeyState::Active };
    match next.logs.iter_mut().find(|log| log.origin == origin) {
        Some(log) => log.keys.push(added),
        None => next.logs.push(TrustedLog { origin, suite, keys: vec![added], closed_at_s: None }),
    }
    Ok(next)
}

fn key_mut<'t>(trust: &'t mut Trust, id: &str) -> CliResult<&'t mut TrustedKey> {
    let found = trust.logs.iter_mut().flat_map(|log| log.keys.iter_mut()).find(|key| key.key.id_hex() == id);
    found.ok_or_else(|| CliError(format!("there is no key with id {id}")))
}

fn sign(trust: &Trust, root_key: &Path, out: &Path) -> CliResult {
    let secret = zeroize::Zeroizing::new(read(root_key)?);
    let text = std::str::from_utf8(&secret).map_err(|_| CliError("the root key is no text".into()))?;
    let root = LogKey::parse(text).map_err(|e| CliError(format!("{}: {e}", root_key.display())))?;
    let note = trust.sign(&root)?;
    if out.exists() {
        // Whoever holds the earlier issue must accept this one.
        Trust::open(&read(out)?, Root::Key(root.verifier()))?.succeed(&note, root.verifier())?;
    }
    replace(out, &note)?;
    eprintln!("wuku: epoch {} is in {} (已签署)", trust.epoch, out.display());
    eprintln!("wuku: root key (根密钥公钥): {}", root.verifier());
    eprintln!("wuku: fingerprint, for publication (指纹，请公布):");
    println!("{}", fingerprint(&note));
    Ok(())
}

fn read(path: &Path) -> CliResult<Vec<u8>> {
    std::fs::read(path).map_err(|e| CliError(format!("{}: {e}", path.display())))
}

/// Writes beside and renames: a crash leaves the old file or the new one, never half of it.
///
/// # Errors
/// What the system says.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> CliResult {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.map_err(|e| CliError(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{HubName, SuiteName};

    fn key(name: &str, seed: u8) -> LogKey {
        LogKey::from_seed(name, SuiteName::Ed25519, &[seed; 32]).unwrap()
    }

    /// A folder with a root key and a trust file of one log.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = key("hub.test/root", 1);
        std::fs::write(folder.path().join("root.key"), root.to_text().as_bytes()).unwrap();
        let first = key("hub.test/wuku/1", 2).verifier().clone();
        let empty = Trust { hub: HubName::parse("hub.test").unwrap(), epoch: 0, logs: Vec::new() };
        let note = with_key(&empty, first, 0).unwrap().sign(&root).unwrap();
        std::fs::write(folder.path().join("trust.note"), note).unwrap();
        folder
    }

    fn opened(folder: &tempfile::TempDir) -> Trust {
        let note = read(&folder.path().join("trust.note")).unwrap();
        Trust::open(&note, Root::Key(key("hub.test/root", 1).verifier())).unwrap()
    }

    fn add(folder: &tempfile::TempDir, vkey: &str, close: Vec<At<Origin>>, retire: Vec<At<String>>) -> AddKeyArgs {
        AddKeyArgs {
            trust: folder.path().join("trust.note"),
            key: vkey.into(),
            from_size: 40,
            close,
            retire,
            compromised: Vec::new(),
            draft: Some(folder.path().join("draft.json")),
            root_key: None,
            out: None,
        }
    }

    fn sign_draft(folder: &tempfile::TempDir, root_key: &str) -> CliResult {
        let path = |name| folder.path().join(name);
        let args = SignArgs { draft: path("draft.json"), root_key: path(root_key), out: path("trust.note") };
        run(&TrustArgs { action: Action::Sign(args) })
    }

    #[test]
    fn a_key_is_added_in_a_draft_and_signed_elsewhere() {
        let folder = folder();
        let (old, new) = (key("hub.test/wuku/1", 2), key("hub.test/wuku/1", 3));
        let retire = At::from_str(&format!("{}@50", old.verifier().id_hex())).unwrap();
        add_key(&add(&folder, &new.verifier().to_string(), vec![], vec![retire])).unwrap();
        assert_eq!(opened(&folder).epoch, 1, "a draft changes nothing");
        sign_draft(&folder, "root.key").unwrap();
        let trust = opened(&folder);
        let keys = &trust.logs[0].keys;
        assert_eq!((trust.epoch, keys.len()), (2, 2));
        assert_eq!((keys[0].to_size, keys[0].state), (Some(50), KeyState::Retired));
        assert_eq!((keys[1].from_size, keys[1].state), (40, KeyState::Active));
        assert!(sign_draft(&folder, "root.key").is_err(), "the same issue does not follow itself");
    }

    #[test]
    fn a_new_log_is_added_and_the_old_one_closed() {
        let folder = folder();
        let new = key("hub.test/wuku/2", 3).verifier().to_string();
        let close = At::from_str("hub.test/wuku/1@1700000000").unwrap();
        add_key(&add(&folder, &new, vec![close], vec![])).unwrap();
        sign_draft(&folder, "root.key").unwrap();
        let trust = opened(&folder);
        assert_eq!(trust.logs.iter().map(|log| log.closed_at_s).collect::<Vec<_>>(), [Some(1_700_000_000), None]);
        let unknown = At::from_str("hub.test/wuku/9@1").unwrap();
        assert!(add_key(&add(&folder, &new, vec![unknown], vec![])).is_err());
    }

    #[test]
    fn another_root_does_not_sign_over_the_file() {
        let folder = folder();
        std::fs::write(folder.path().join("other.key"), key("hub.test/root", 9).to_text().as_bytes()).unwrap();
        let new = key("hub.test/wuku/1", 3).verifier().to_string();
        add_key(&add(&folder, &new, vec![], vec![])).unwrap();
        assert!(sign_draft(&folder, "other.key").is_err());
        assert_eq!(opened(&folder).epoch, 1);
    }
}
