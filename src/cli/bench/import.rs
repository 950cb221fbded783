//! How fast rows come in: files of a city's residents and licences, each under its department's signed manifest.
use super::super::client::Client;
use super::super::connection::Stop;
use super::super::demo;
use super::super::sign::DepartmentKey;
use super::super::{CliError, CliResult};
use super::city::CityFolder;
use super::process::used;
use crate::clock::Clock;
use crate::demo::organisation::{department_of, system_of};
use crate::library::licence::SignedThing;
use crate::wire::proto::intake::v1::{ImportFormat, ImportOpening, ImportPhase, ImportScope, Manifest};
use bytes::Bytes;
use clap::Args;
use prost::Message;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Arguments of `wuku bench import`.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// The hub, https://host:port (枢纽地址)
    #[arg(long, env = "WUKU_HUB", value_name = "URL", hide_env_values = true)]
    hub: String,
    /// A folder made by `wuku bench prepare` (城市目录)
    #[arg(long, value_name = "FOLDER")]
    city: PathBuf,
    /// Residents to bring anew: the same people as before, with other names and addresses (行数)
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// What the new names follow from; the city's own seed brings nothing new
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The hub's process, for its CPU time and memory (枢纽进程号)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Commit to name in the figures (提交号)
    #[arg(long, env = "WUKU_COMMIT", default_value = "unknown")]
    commit: String,
    /// Print the figures as one JSON line (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// Runs `wuku bench import`.
///
/// # Errors
/// An import that did not take every row.
pub(super) async fn run(args: &ImportArgs, clock: &Clock) -> CliResult {
    let folder = CityFolder::open(&args.city)?;
    let before = args.server_pid.and_then(used);
    for file in files(&folder, args.rows, 0, args.seed)? {
        // Whoever measures something else meanwhile waits for this line: the file is made, now it is sent.
        eprintln!("wuku: sending {} rows (开始导入)", file.rows);
        let Imported { rows, took } = import(&folder, &args.hub, &file, ImportScope::Increment, clock).await?;
        let server = args.server_pid.and_then(used);
        let cpu = server.zip(before).map(|(after, before)| after.cpu.saturating_sub(before.cpu).as_secs_f64());
        let rate = (rows as f64 / took.as_secs_f64()).round();
        if args.json {
            let said = serde_json::json!({ "mode": "import", "rows": rows, "import_s": took.as_secs_f64(), "rows_per_s": rate,
                "server_cpu_s": cpu, "server_rss_peak_mib": server.map(|s| s.rss_peak_mib), "commit": args.commit });
            println!("{said}");
        } else {
            println!("{}: {rows} rows in {:.1} s, {rate} rows/s", file.resource, took.as_secs_f64());
        }
    }
    Ok(())
}

/// A file to import, as `wuku demo files` describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Rows {
    file: PathBuf,
    /// Catalogue resource.
    pub(super) resource: String,
    department: String,
    system: String,
    rows: u64,
    bytes: u64,
}

impl Rows {
    /// Licences rather than residents.
    pub(super) fn is_licences(&self) -> bool {
        self.resource.starts_with("licence")
    }
}

/// The files are plain data: they go when they are no longer needed.
impl Drop for Rows {
    fn drop(&mut self) {
        let _may_be_gone = std::fs::remove_file(&self.file);
    }
}

/// Writes files of so many residents and licences of a city, by `wuku demo files`.
///
/// # Errors
/// What that command says.
pub(super) fn files(folder: &CityFolder, people: u64, licences: u64, seed: u64) -> CliResult<Vec<Rows>> {
    #[derive(Deserialize)]
    struct Written {
        files: Vec<Rows>,
    }
    let to = folder.folder().join(format!("files-{seed}"));
    let written = Command::new(std::env::current_exe()?)
        .args(["demo", "files", "--people", &people.to_string(), "--licences", &licences.to_string()])
        .args(["--seed", &seed.to_string(), "--today", &folder.today().to_string(), "--hub", demo::HUB])
        .arg("--certs")
        .arg(folder.folder().join("certs"))
        .arg("--to")
        .arg(&to)
        .output()?;
    if !written.status.success() {
        return Err(CliError(format!("wuku demo files: {}", String::from_utf8_lossy(&written.stderr))));
    }
    Ok(serde_json::from_slice::<Written>(&written.stdout)?.files)
}

/// What came in.
pub(super) struct Imported {
    /// Rows that took effect.
    pub(super) rows: u64,
    /// From the opening to the report.
    pub(super) took: Duration,
}

/// Sends a file; every row must take effect.
///
/// # Errors
/// One that did not, or what stopped the import.
pub(super) async fn import(
    folder: &CityFolder,
    hub: &str,
    rows: &Rows,
    scope: ImportScope,
    clock: &Clock,
) -> CliResult<Imported> {
    let missing = || CliError(format!("the city has no {}/{}", rows.department, rows.system));
    let (system, department) = (system_of(&rows.system), department_of(&rows.department));
    let (system, department) = system.zip(department).ok_or_else(missing)?;
    let certs = folder.certs();
    let pair = certs.issuer(department.uscc()?.as_str());
    let key = DepartmentKey::load(&pair.key, &pair.certificate)?;
    let manifest = Manifest {
        format: 1,
        hub: demo::HUB.to_owned(),
        resource: rows.resource.clone(),
        system: system.uri(demo::HUB),
        scope: scope.into(),
        file_format: ImportFormat::CsvUtf8.into(),
        file_bytes: rows.bytes,
        file_sha256: digest(&rows.file)?,
        rows: rows.rows,
        source_time_ms: clock.now_ms(),
        batch: format!("bench-{}", clock.now_ms()),
    };
    let manifest = Bytes::from(manifest.encode_to_vec());
    let signature = Some(key.sign(SignedThing::Manifest, &manifest)?);
    let opening = ImportOpening { manifest, signature, dry_run: false, operator: None };
    let pair = certs.system(system.department, system.code);
    let client = Client { endpoint: hub.to_owned(), ca: folder.ca(), certificate: pair.certificate, key: pair.key };
    let connect = || async { Ok::<_, Stop>(client.connect().await?) };
    let begun = Instant::now();
    let report = crate::cli::import::send(&rows.file, &opening, Duration::ZERO, connect, |_| {}).await;
    let (report, took) = (report.map_err(|stop| CliError(stop.text))?, begun.elapsed());
    if report.phase() != ImportPhase::Done || report.rows_applied != rows.rows {
        let (applied, all) = (report.rows_applied, rows.rows);
        return Err(CliError(format!("{}: {applied} of {all} rows applied, {}", rows.resource, report.reason)));
    }
    Ok(Imported { rows: report.rows_applied, took })
}

fn digest(path: &PathBuf) -> CliResult<Bytes> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut bytes)?;
        if count == 0 {
            return Ok(Bytes::copy_from_slice(&hash.finalize()));
        }
        hash.update(bytes.get(..count).unwrap_or_default());
    }
}
