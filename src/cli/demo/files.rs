//! `wuku demo files`: what departments would bring, by the million, without a hub.
//!
//! Two licence types, identity cards and driving licences, both issued by the police. Signed with an Ed25519 key that is kept
//! with the certificates, so that the same options make the same bytes again.
use super::super::{CliError, CliResult};
use super::{HUB, make_certs};
use crate::cli::dev_certs::{Authority, DevCerts, DevDepartment, Validity};
use crate::cli::sign::DepartmentKey;
use crate::clock::Clock;
use crate::demo::city::City;
use crate::demo::files::{write_licences, write_people};
use crate::demo::messages::department_message;
use crate::demo::organisation::{DemoLicenceType, licence_type, resource_of};
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::library::licence::SignedThing;
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// Days the certificate is good for.
const DAYS: u64 = 14;

/// Arguments of `wuku demo files`.
#[derive(Args, Debug)]
pub(super) struct FilesArgs {
    /// Residents of the city (居民人数)
    #[arg(long, default_value_t = 1_000_000)]
    people: u64,
    /// Licences at most, identity cards first, then driving licences (证照数)
    #[arg(long, default_value_t = 1_000_000)]
    licences: u64,
    /// Folder to write to (输出目录)
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Certificates, as `wuku demo` or `wuku dev-certs` made them; made there if there are none [default: certs in the folder]
    #[arg(long, value_name = "FOLDER")]
    certs: Option<PathBuf>,
    /// The hub they are for (枢纽名称)
    #[arg(long, default_value = HUB)]
    hub: String,
    /// What the city is made from; the same seed makes the same city
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
    /// The day the city stands on; by default today
    #[arg(long, value_name = "YYYY-MM-DD")]
    today: Option<String>,
}

/// Writes the files; says as JSON what was written and who brings it.
///
/// # Errors
/// What the system says; a number of people out of range.
pub(super) fn run(args: &FilesArgs, clock: &Clock) -> CliResult {
    let today = match &args.today {
        Some(text) => CalendarDate::parse(text).map_err(|fault| CliError(fault.en()))?,
        None => day::of_ms(clock.now_ms()),
    };
    let city = City::new(args.seed, args.people, today).map_err(CliError)?;
    std::fs::create_dir_all(&args.to)?;
    let folder = args.certs.clone().unwrap_or_else(|| args.to.join("certs"));
    let certs = DevCerts::open(&folder, clock);
    let certs = match certs.authority(Authority::Issuer).certificate.exists() {
        true => certs,
        false => make_certs(&folder, &args.hub, clock)?,
    };
    let mut files = Vec::new();
    let path = args.to.join("population.csv");
    let rows = write_people(&city, create(&path)?)?;
    files.push(written("population", &path, rows)?);
    let mut left = args.licences;
    for key in ["id-card", "driving"] {
        let kind = licence_type(key).ok_or_else(|| CliError(format!("the demo has no type {key}")))?;
        if left == 0 {
            break;
        }
        let key = key_of(kind, &certs, clock)?;
        let sign = |bytes: &[u8]| key.sign(SignedThing::Licence, bytes).map_err(io::Error::other);
        let path = args.to.join(format!("{}.csv", kind.resource));
        let rows = write_licences(&city, &args.hub, kind, left, &sign, create(&path)?)?;
        files.push(written(kind.resource, &path, rows)?);
        left = left.saturating_sub(rows);
    }
    let said = serde_json::json!({ "hub": args.hub, "seed": args.seed, "people": args.people, "today": today.to_string(),
        "certs": folder, "files": files });
    std::fs::write(args.to.join("files.json"), format!("{said:#}\n"))?;
    println!("{said:#}");
    Ok(())
}

/// The police's Ed25519 key, made where it is not there yet.
fn key_of(kind: &DemoLicenceType, certs: &DevCerts, clock: &Clock) -> CliResult<DepartmentKey> {
    let department = department_message(kind)?;
    let pair = certs.issuer_ed25519(&department.uscc);
    if !pair.certificate.exists() {
        let department = DevDepartment { uscc: department.uscc, name: department.name };
        certs.make_issuer_ed25519(&department, Validity::days(clock, DAYS))?;
    }
    Ok(DepartmentKey::load(&pair.key, &pair.certificate)?)
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(1 << 20, File::create(path)?))
}

/// One file: the resource it is for, and the system of the department that brings it.
fn written(resource: &str, path: &Path, rows: u64) -> CliResult<serde_json::Value> {
    let resource = resource_of(resource).ok_or_else(|| CliError(format!("the demo has no resource {resource}")))?;
    Ok(serde_json::json!({ "file": path, "resource": resource.code, "department": resource.owner(),
        "system": resource.lead, "rows": rows, "bytes": std::fs::metadata(path)?.len() }))
}
