//! Figures against targets: one line on stderr, and one in the file that `make endurance` makes its table of.
use serde_json::json;
use std::io::Write;

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "each harness takes what fits")]
pub enum Target {
    /// Not less than this.
    AtLeast(f64),
    /// Not more than this.
    AtMost(f64),
    /// Just this.
    Exactly(f64),
    /// Told, not judged.
    None,
}

/// Whether the long form was asked for (`WUKU_ENDURANCE=long`).
pub fn long() -> bool {
    std::env::var("WUKU_ENDURANCE").is_ok_and(|form| form == "long")
}

/// Notes a figure of a harness. It asserts nothing: a harness asserts what must never fail, and `make endurance` judges the rest.
pub fn note(harness: &str, name: &str, value: f64, unit: &str, target: Target) {
    let (sign, wanted, met) = match target {
        Target::AtLeast(least) => (">=", Some(least), value >= least),
        Target::AtMost(most) => ("<=", Some(most), value <= most),
        Target::Exactly(just) => ("=", Some(just), (value - just).abs() < f64::EPSILON),
        Target::None => ("", None, true),
    };
    let form = if long() { "long" } else { "short" };
    eprintln!("{harness}: {name} {value} {unit} (wanted {sign} {wanted:?}): {}", if met { "met" } else { "NOT MET" });
    let Ok(path) = std::env::var("WUKU_FIGURES") else { return };
    let line = json!({
        "harness": harness, "name": name, "value": value, "unit": unit, "sign": sign, "target": wanted, "met": met, "form": form,
    });
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}
