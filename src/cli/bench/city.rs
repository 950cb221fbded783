//! A hub with a city in it, made to be measured: where it lies, what it was made from, whose certificates it has.
use super::super::demo::Founded;
use super::super::dev_certs::DevCerts;
use super::super::init::parse_suite;
use super::super::{CliError, CliResult};
use super::import::{Imported, files, import};
use super::link::Target;
use super::process::used;
use crate::clock::Clock;
use crate::demo::city::City;
use crate::demo::organisation::system_of;
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::library::schema::Library;
use crate::log::SuiteName;
use crate::wire::proto::intake::v1::ImportScope;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `wuku bench prepare`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example (示例):
  wuku bench prepare --folder data/bench --people 100000
  wuku serve --config data/bench/wuku.toml &
  wuku bench single --city data/bench --hub https://localhost:7443 --server-pid $!")]
pub(super) struct PrepareArgs {
    /// An empty folder; an earlier city there is removed (目录)
    #[arg(long, default_value = "data/bench")]
    folder: PathBuf,
    /// Residents of the city (居民人数)
    #[arg(long, default_value_t = 100_000)]
    people: u64,
    /// Licences in it, brought as files by the authority that signed them (证照数)
    #[arg(long, default_value_t = 0)]
    licences: u64,
    /// The hub's suite; the targets of speed are for ed25519 (密码套件)
    #[arg(long, default_value = "ed25519", value_parser = parse_suite)]
    suite: SuiteName,
    /// Only residents and licences: no legal entities, credit records, places (只装人口与证照)
    #[arg(long)]
    people_only: bool,
    /// What the city is made from
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
    /// Print what was loaded and how fast as one JSON line, the last of the output (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// A folder made by `wuku bench prepare`.
pub(super) struct CityFolder {
    folder: PathBuf,
    seed: u64,
    people: u64,
    today: CalendarDate,
}

/// The file that says what a city was made from.
const ABOUT: &str = "bench.json";

/// Makes the hub, loads the city through the same doors as anybody, stops the hub.
///
/// # Errors
/// Whatever keeps the hub from being made or loaded.
pub(super) async fn prepare(args: &PrepareArgs, clock: &Clock) -> CliResult {
    let today = day::of_ms(clock.now_ms());
    let city = City::new(args.seed, args.people, today).map_err(CliError)?;
    let begun = Instant::now();
    let mut hub = Founded::make(&args.folder, args.suite, clock, &settings()).await?;
    let about = json!({ "seed": args.seed, "people": args.people, "licences": args.licences, "day": today.to_string(), "suite": args.suite.as_str() });
    std::fs::write(args.folder.join(ABOUT), about.to_string())?;
    if !args.people_only {
        for library in [Library::LegalEntity, Library::Credit, Library::Geospatial] {
            hub.load(&city, library).await?;
        }
    }
    let folder = CityFolder::open(&args.folder)?;
    let (address, pid) = hub.place();
    let url = format!("https://localhost:{}", address.rsplit(':').next().unwrap_or_default());
    let mut said = Map::new();
    let (mut licences, mut licences_s) = (0_u64, 0.0);
    for file in files(&folder, args.people, args.licences, args.seed)? {
        let scope = if file.is_licences() { ImportScope::Increment } else { ImportScope::Snapshot };
        let Imported { rows, took } = import(&folder, &url, &file, scope, clock).await?;
        let took = took.as_secs_f64();
        eprintln!("wuku: {} {rows} rows in {took:.1} s", file.resource);
        if file.is_licences() {
            (licences, licences_s) = (licences.saturating_add(rows), licences_s + took);
        } else {
            said.insert("import_population_rows".into(), json!(rows));
            said.insert("import_population_rows_per_s".into(), json!((rows as f64 / took).round()));
        }
    }
    if licences > 0 {
        said.insert("import_licence_rows".into(), json!(licences));
        said.insert("import_licence_rows_per_s".into(), json!((licences as f64 / licences_s).round()));
    }
    if let Some(used) = pid.and_then(used) {
        said.insert("import_rss_peak_mib".into(), json!(used.rss_peak_mib));
    }
    hub.stop().await?;
    let took_s = begun.elapsed().as_secs_f64();
    said.insert("residents".into(), json!(args.people));
    said.insert("prepare_s".into(), json!((took_s * 10.0).round() / 10.0));
    if args.json {
        println!("{}", Value::Object(said));
    } else {
        eprintln!("wuku: {} is ready (已就绪, {took_s:.1} s)", args.folder.display());
    }
    Ok(())
}

/// What differs from the defaults: a day's quota is not what is measured.
fn settings() -> String {
    format!("[quota]\nquestions_per_day = {}\n", u32::MAX)
}

impl CityFolder {
    /// Opens one.
    ///
    /// # Errors
    /// A folder that `wuku bench prepare` did not make.
    pub(super) fn open(folder: &Path) -> CliResult<Self> {
        let path = folder.join(ABOUT);
        let text = std::fs::read_to_string(&path)
            .map_err(|e| CliError(format!("{}: {e}; make one with `wuku bench prepare`", path.display())))?;
        let about: Value = serde_json::from_str(&text)?;
        let number = |key: &str| about.get(key).and_then(Value::as_u64);
        let today = about.get("day").and_then(Value::as_str).and_then(|day| CalendarDate::parse(day).ok());
        let (Some(seed), Some(people), Some(today)) = (number("seed"), number("people"), today) else {
            return Err(CliError(format!("{} does not say what the city was made from", path.display())));
        };
        Ok(Self { folder: folder.canonicalize()?, seed, people, today })
    }

    /// The city itself.
    ///
    /// # Errors
    /// As [`City::new`].
    pub(super) fn city(&self) -> CliResult<City> {
        City::new(self.seed, self.people, self.today).map_err(CliError)
    }

    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Residents.
    pub(super) fn people(&self) -> u64 {
        self.people
    }

    /// The day it stands on.
    pub(super) fn today(&self) -> CalendarDate {
        self.today
    }

    /// Its certificates.
    pub(super) fn certs(&self) -> DevCerts {
        DevCerts::open(&self.folder.join("certs"), &Clock::system())
    }

    /// The authority of its hub's certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.join("certs/client-ca.pem")
    }

    /// Its hub as called by one of its systems.
    ///
    /// # Errors
    /// No such system, or a certificate that cannot be used.
    pub(super) fn target(&self, hub: &str, system: &str) -> CliResult<Target> {
        let system = system_of(system).ok_or_else(|| CliError(format!("the city has no system {system}")))?;
        let pair = self.certs().system(system.department, system.code);
        Target::new(hub, &self.ca(), &pair.certificate, &pair.key)
    }

    /// The trust file its receipts are checked with.
    pub(super) fn trust(&self) -> PathBuf {
        self.folder.join("trust.note")
    }
}
