//! The transcript: one line a step with its time, Chinese under a zh locale, else English.
use super::{City, CliResult};
use crate::receipt::report::Language;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the demo tells.
pub(super) struct Transcript {
    zh: bool,
    step: u32,
    failed: u32,
}

impl Transcript {
    pub(super) fn of_environment() -> Self {
        Self { zh: matches!(Language::of_environment(), Language::Chinese), step: 0, failed: 0 }
    }

    pub(super) fn zh(&self) -> bool {
        self.zh
    }

    fn pick<'t>(&self, zh: &'t str, en: &'t str) -> &'t str {
        if self.zh { zh } else { en }
    }

    pub(super) fn title(&self, zh: &str, en: &str) {
        println!("\n── {} ──", self.pick(zh, en));
    }

    pub(super) fn note(&self, zh: &str, en: &str) {
        println!("   {}", self.pick(zh, en));
    }

    /// A step that is over: what it was, whether it ended as expected, what came out.
    pub(super) fn step(&mut self, zh: &str, en: &str, took: Duration, outcome: Result<(String, String), String>) {
        self.step += 1;
        let took = format!("{:.1} ms", took.as_secs_f64() * 1_000.0);
        let title = self.pick(zh, en);
        match outcome {
            Ok((found_zh, found_en)) => {
                println!("✔ {:02} {title}  ({took})", self.step);
                for line in self.pick(&found_zh, &found_en).lines() {
                    println!("      {line}");
                }
            }
            Err(why) => {
                self.failed += 1;
                println!("✘ {:02} {title}  ({took})\n      {why}", self.step);
            }
        }
    }

    /// How many steps did not end as expected.
    pub(super) fn finish(&self) -> u32 {
        println!();
        let zh = format!("共 {} 步，{} 步与预期不符", self.step, self.failed);
        println!("{}", self.pick(&zh, &format!("{} steps, {} not as expected", self.step, self.failed)));
        self.failed
    }

    /// How to go on by hand.
    pub(super) fn serving(&self, folder: &Path, address: &str, city: &City) -> CliResult {
        let person = city.hard_cases()?.adult;
        let folder = folder.display();
        self.title(
            "枢纽继续运行，按 Ctrl-C 停止。可以这样提问：",
            "The hub keeps serving; Ctrl-C stops it. Ask it something:",
        );
        println!(
            "   export WUKU_HUB=https://{address} WUKU_CA={folder}/certs/client-ca.pem\n   \
             export WUKU_CERT={folder}/certs/systems/government-services.one-window.pem \
             WUKU_KEY={folder}/certs/systems/government-services.one-window.key\n   \
             wuku lookup person {code} --fields name,address --item 332014001001 --reference CASE-1 --cause demo --evidence answer.json\n   \
             wuku verify answer.json --trust {folder}/trust.note",
            code = person.code.code(),
        );
        Ok(())
    }
}

/// Runs a future and times it.
pub(super) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let result = future.await;
    (result, begun.elapsed())
}
