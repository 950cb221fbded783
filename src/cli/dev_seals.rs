//! Seals to try the hub with: an SM2 authority, a seal maker, signers and seals, valid for days, all saying DEV and 演示.
//!
//! Official seals are made by the city's seal system; nothing here is used then. Private keys are written with mode 0600 into the output
//! folder and nowhere else. What is written: `anchors/` (for `seals.anchors`), `seals/<id>.esl` (for `wuku seal import`), `signers/<id>.pem`
//! and `.key` (for `seals.software_keys`, or for a seal system of one's own).
use super::{CliError, CliResult};
use crate::clock::Clock;
use crate::gm::PrivateKey;
use crate::seal::maker::{Authority, Pair, Subject, demo_seal};
use crate::seal::ses::Picture;
use crate::seal::write::SealDraft;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const DAY_S: u64 = 86_400;
const AUTHORITY_DAYS: u64 = 30;
const SEAL_DAYS: u64 = 14;
/// A clock a little behind ours shall not find them not yet valid.
const BACKDATE_S: u64 = 3_600;

/// Arguments of `wuku dev-seals`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example (示例): wuku dev-seals --folder data/seals --seal 33109900000001=11331099MB00000021=演示县市场监督管理局")]
pub struct DevSealsArgs {
    /// An empty folder to write to (输出目录)
    #[arg(long)]
    folder: PathBuf,
    /// A seal, as ID=USCC=NAME of the department; may be given several times (印章)
    #[arg(long = "seal", value_name = "ID=USCC=NAME", required = true)]
    seals: Vec<String>,
}

/// Runs `wuku dev-seals`.
///
/// # Errors
/// A folder that is in use, an argument of another form, what the system says.
pub fn run(args: &DevSealsArgs, clock: &Clock) -> CliResult {
    let mut seals = Vec::new();
    for text in &args.seals {
        let parts: Vec<&str> = text.splitn(3, '=').collect();
        let [id, uscc, name] = parts.as_slice() else { return Err(CliError(format!("{text:?} is not ID=USCC=NAME"))) };
        seals.push(DevSeal { id: (*id).to_owned(), uscc: (*uscc).to_owned(), name: (*name).to_owned() });
    }
    DevSeals::make(&args.folder, &seals, clock)?;
    let shown = args.folder.display();
    eprintln!("wuku: demo seals in {shown}; never for production (演示印章，仅供开发，不具法律效力)");
    Ok(())
}

/// A seal to be made.
#[derive(Clone, Debug)]
pub struct DevSeal {
    /// Its identifier: 14 digits beginning with a division code, as filed seals have.
    pub id: String,
    /// Its department's credit code.
    pub uscc: String,
    /// Its department's name.
    pub name: String,
}

/// A folder of demo seals.
#[derive(Clone, Debug)]
pub struct DevSeals {
    folder: PathBuf,
}

impl DevSeals {
    /// Makes authority, maker, signers and seals.
    ///
    /// # Errors
    /// A folder that holds seals already; else what failed.
    pub fn make(folder: &Path, seals: &[DevSeal], clock: &Clock) -> CliResult<Self> {
        let made = Self::open(folder);
        if made.anchors().exists() {
            return Err(CliError(format!("{} holds seals already; choose an empty folder", folder.display())));
        }
        for part in ["anchors", "seals", "signers"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let now_s = clock.now_ms() / 1_000;
        let from_s = now_s.saturating_sub(BACKDATE_S);
        let (last_s, until_s) = (now_s + AUTHORITY_DAYS * DAY_S, now_s + SEAL_DAYS * DAY_S);
        let authority = Authority::make("DEV 演示印章根证书", from_s, last_s)?;
        let maker = Subject { common_name: "DEV 演示制章系统", organisation: "DEV 演示制章单位" };
        let maker = authority.issue(maker, from_s, until_s)?;
        let root = pem("CERTIFICATE", &authority.own().certificate);
        fs::write(made.anchors().join("seal-maker.pem"), &root)?;
        fs::write(made.anchors().join("signer.pem"), &root)?;
        fs::write(made.anchors().join("authority.crl"), authority.revocation_list(&[], from_s, last_s)?)?;
        for seal in seals {
            made.one(seal, &authority, &maker, (from_s, until_s))?;
        }
        Ok(made)
    }

    /// A folder made before.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Whom to believe, as `seals.anchors` and `--seal-anchors` take it.
    #[must_use]
    pub fn anchors(&self) -> PathBuf {
        self.folder.join("anchors")
    }

    /// A seal's file.
    #[must_use]
    pub fn esl(&self, id: &str) -> PathBuf {
        self.folder.join("seals").join(format!("{id}.esl"))
    }

    /// Certificates and keys of the signers, as `seals.software_keys` takes them.
    #[must_use]
    pub fn signers(&self) -> PathBuf {
        self.folder.join("signers")
    }

    fn one(&self, seal: &DevSeal, authority: &Authority, maker: &Pair, (from_s, until_s): (u64, u64)) -> CliResult {
        let organisation = format!("{}{}", seal.uscc, seal.name);
        let subject = Subject { common_name: &seal.id, organisation: &organisation };
        let signer = authority.issue(subject, from_s, until_s)?;
        let draft = SealDraft {
            vendor: "WUKU-DEV".to_owned(),
            id: seal.id.clone(),
            kind: 1,
            name: format!("{}电子证照专用章（演示）", seal.name),
            signers: vec![signer.certificate.clone()],
            created_s: from_s,
            valid_from_s: from_s,
            valid_until_s: until_s,
            picture: Picture { kind: String::new(), data: Vec::new(), width_mm: 0, height_mm: 0 }, // drawn by the maker
            extensions: Vec::new(),
        };
        fs::write(self.esl(&seal.id), demo_seal(draft, maker)?)?;
        let file = self.signers().join(&seal.id);
        fs::write(file.with_extension("pem"), pem("CERTIFICATE", &signer.certificate))?;
        write_key(&file.with_extension("key"), &signer.key)
    }
}

fn write_key(path: &Path, key: &PrivateKey) -> CliResult {
    let text = key.to_pkcs8_pem()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn pem(label: &str, der: &[u8]) -> String {
    let digits = STANDARD.encode(der);
    let lines: Vec<&str> = digits.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::anchors;
    use crate::seal::judge::{self, Grounds};
    use crate::seal::ses::Seal;
    use crate::seal::step::Profile;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn demo_seals_stand_under_their_own_anchors_and_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::from_fn(|| 1_773_115_200_000);
        let wanted = DevSeal { id: "33109900000001".into(), uscc: "11331099MB00000021".into(), name: "某局".into() };
        let made = DevSeals::make(folder.path(), std::slice::from_ref(&wanted), &clock).unwrap();
        let seal = Seal::parse(&fs::read(made.esl(&wanted.id)).unwrap()).unwrap();
        assert!(seal.name.contains("演示"));
        let anchors = anchors::read(&[made.anchors().to_str().unwrap().to_owned()]).unwrap();
        let now_s = 1_773_115_200;
        let report = judge::seal(seal, now_s, Grounds { anchors: &anchors, now_s, issuer: None });
        assert_eq!(Profile::Strict2025.reasons(&report.findings), vec![]);
        let key = made.signers().join("33109900000001.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(crate::seal::signer::SoftwareSigner::open(&made.signers()).is_ok());
        assert!(DevSeals::make(folder.path(), &[wanted], &clock).is_err(), "it never writes over seals");
    }
}
