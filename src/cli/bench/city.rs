//! A hub with a city in it, made to be measured: where it lies, what it was made from, whose certificates it has.
use super::super::dev_certs::DevCerts;
use super::super::{CliError, CliResult, demo};
use super::link::Target;
use crate::clock::Clock;
use crate::demo::city::City;
use crate::demo::organisation::system_of;
use crate::library::codes::CalendarDate;
use crate::library::day;
use clap::Args;
use serde_json::{Value, json};
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
    /// Licences in it (证照数)
    #[arg(long, default_value_t = 2_000)]
    licences: usize,
    /// What the city is made from
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
    /// Print what was loaded and how fast as one JSON line (以 JSON 输出)
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
    demo::build(&args.folder, &city, args.licences, clock, &settings()).await?;
    let took_s = begun.elapsed().as_secs_f64();
    let about =
        json!({ "seed": args.seed, "people": args.people, "licences": args.licences, "day": today.to_string() });
    std::fs::write(args.folder.join(ABOUT), about.to_string())?;
    let said = json!({ "residents": args.people, "licences": args.licences, "prepare_s": took_s });
    if args.json {
        println!("{said}");
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
        Ok(Self { folder: folder.to_owned(), seed, people, today })
    }

    /// The city itself.
    ///
    /// # Errors
    /// As [`City::new`].
    pub(super) fn city(&self) -> CliResult<City> {
        City::new(self.seed, self.people, self.today).map_err(CliError)
    }

    /// Residents.
    pub(super) fn people(&self) -> u64 {
        self.people
    }

    /// Its hub as called by one of its systems.
    ///
    /// # Errors
    /// No such system, or a certificate that cannot be used.
    pub(super) fn target(&self, hub: &str, system: &str) -> CliResult<Target> {
        let system = system_of(system).ok_or_else(|| CliError(format!("the city has no system {system}")))?;
        let certs = self.folder.join("certs");
        let pair = DevCerts::open(&certs, &Clock::system()).system(system.department, system.code);
        Target::new(hub, &certs.join("client-ca.pem"), &pair.certificate, &pair.key)
    }

    /// The trust file its receipts are checked with.
    pub(super) fn trust(&self) -> PathBuf {
        self.folder.join("trust.note")
    }
}
