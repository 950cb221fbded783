//! `wuku document verify` and `wuku-verify document verify`: one set of arguments, one judge. Needs no hub.
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::container::{LIMITS, Unreadable};
use super::{anchors, report};
use crate::clock::Clock;
use crate::receipt::report::Language;
use crate::seal::judge::Grounds;
use crate::seal::step::Profile;

/// Arguments of `document`.
#[derive(Args, Clone, Debug)]
pub struct DocumentArgs {
    #[command(subcommand)]
    command: DocumentCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum DocumentCommand {
    /// Judge a paper: exit 0 whole document unaltered and signed, 1 not valid, 2 unreadable, 3 content left uncovered, 4 no anchor
    /// vouches for the signers (with --require-anchor) (核验文件)
    Verify(VerifyArgs),
}

/// Arguments of `document verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The paper: OFD is judged; PDF, images and scans are recognised and said to be not verified (文件)
    #[arg(required_unless_present_any = ["signature", "seal"])]
    file: Option<PathBuf>,
    /// A Signature.xml without its paper, with --signed-value (签名描述文件)
    #[arg(long, requires = "signed_value", conflicts_with_all = ["file", "seal"], value_name = "SIGNATURE_XML")]
    signature: Option<PathBuf>,
    /// The SignedValue.dat that belongs to --signature (签名值文件)
    #[arg(long, requires = "signature", value_name = "SIGNED_VALUE")]
    signed_value: Option<PathBuf>,
    /// A seal without a signature (印章文件)
    #[arg(long, conflicts_with = "file", value_name = "FILE.esl")]
    seal: Option<PathBuf>,
    /// How strictly outcomes become a verdict: strict-2025, gbt-2020, lenient-history; without it gbt-2020, or the hub's own (核验规则)
    #[arg(long, value_parser = Profile::parse)]
    profile: Option<Profile>,
    /// Whom to believe: a folder, USE=FILE.pem, or a PEM file for signers and seal makers; repeatable. Uses: seal-maker, signer,
    /// time-stamp, licence-issuer, intermediate, revocation (信任锚)
    #[arg(long, value_name = "ANCHORS")]
    anchors: Vec<String>,
    /// Whom nobody configured vouches for is a failure: exit 4 in place of 0 and 3 (须有信任锚)
    #[arg(long)]
    pub require_anchor: bool,
    /// The authority the paper should be from: its unified social credit code (颁证机构统一社会信用代码)
    #[arg(long, value_name = "USCC")]
    issuer: Option<String>,
    /// Print everything found out as JSON (以 JSON 输出)
    #[arg(long)]
    pub json: bool,
}

impl VerifyArgs {
    /// The paper's bytes, at most one more than a paper may have.
    ///
    /// # Errors
    /// Why it cannot be read, or that none was named.
    pub fn read_file(&self) -> Result<Vec<u8>, String> {
        read(self.file.as_deref().ok_or("no file given")?)
    }

    /// The profile, where one was asked for.
    #[must_use]
    pub fn profile_given(&self) -> Option<&'static str> {
        self.profile.map(Profile::as_str)
    }
}

/// Runs the command.
#[must_use]
pub fn run(args: &DocumentArgs, clock: &Clock) -> ExitCode {
    let DocumentCommand::Verify(args) = &args.command;
    verify(args, clock)
}

/// Judges what the arguments name and prints the verdict.
#[must_use]
pub fn verify(args: &VerifyArgs, clock: &Clock) -> ExitCode {
    let language = Language::of_environment();
    let report = match judge(args, clock.now_ms() / 1_000) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("{why}");
            report::unreadable(&Unreadable::new("no-file", why))
        }
    };
    if args.json {
        println!("{:#}", report.json);
    } else {
        println!("{}", language.pick((&report.words.0, &report.words.1)));
        for (zh, en) in &report.lines {
            println!("  {}", language.pick((zh, en)));
        }
    }
    if args.anchors.is_empty() {
        eprint!("{}", language.pick(NO_ANCHORS));
    }
    ExitCode::from(report.code(args.require_anchor))
}

const NO_ANCHORS: (&str, &str) = (
    "提示：未给出信任锚，签名者与制章者的身份未核对，只核对了文件与签名是否相符。\n",
    "note: no anchors given; who signer and seal maker are was not checked, only that paper and signature belong together\n",
);

fn judge(args: &VerifyArgs, now_s: u64) -> Result<report::Report, String> {
    let profile = args.profile.unwrap_or_default();
    let anchors = anchors::read(&args.anchors)?;
    let grounds = Grounds { anchors: &anchors, now_s, issuer: args.issuer.as_deref() };
    if let (Some(description), Some(value)) = (&args.signature, &args.signed_value) {
        return Ok(report::of_pair(&read(description)?, &read(value)?, profile, grounds));
    }
    if let Some(seal) = &args.seal {
        return Ok(report::of_seal(&read(seal)?, profile, grounds));
    }
    Ok(report::of_file(&args.read_file()?, profile, grounds))
}

/// A file, at most one byte longer than a paper may be: longer ones are refused by their length.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(LIMITS.file_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{}: {error}", path.display()))
}
