//! What a run showed: flat keys with the unit last, as JSON or as lines for a person.
use super::load::{Outcome, Pace, Plan, is_answer};
use super::process::machine;
use super::rpc::Checked;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What was run, for whoever reads the figures later.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) mode: &'static str,
    pub(super) seed: u64,
    /// Residents of the city asked about; 0 where subjects came from a file.
    pub(super) residents: u64,
    /// Commit the binary was built from, as told.
    pub(super) commit: String,
}

/// From this share of its core on, the generator is what was measured.
const SATURATED: f64 = 0.97;
/// And in the open loop from this part of calls that were missed, or so many microseconds late at the 99th percentile.
const MISSED: f64 = 0.01;
const LATE_US: u64 = 1_000;

/// The figures of a run.
pub(super) fn figures(about: &About, plan: &Plan, outcome: &Outcome, checked: &Checked) -> Map<String, Value> {
    let seconds = outcome.measured.as_secs_f64().max(1e-9);
    let per_s = |count: u64| round(count as f64 / seconds);
    let of = |wanted: &dyn Fn(u8) -> bool| {
        outcome.by_code.iter().filter(|(code, _)| wanted(**code)).map(|(_, count)| count).sum::<u64>()
    };
    let answered = of(&is_answer);
    let shed = |code| matches!(code, 8 | 14);
    let mean = |bytes: u64| bytes.checked_div(answered).unwrap_or_default();
    let quantile = |q: f64| outcome.latency_us.value_at_quantile(q);
    let share = |cpu: std::time::Duration| round_to(cpu.as_secs_f64() / seconds, 1_000.0);
    let client = share(outcome.client_cpu);
    let missed = outcome.missed as f64 / (outcome.offered.max(1)) as f64;
    let late = outcome.late_us.value_at_quantile(0.99);
    let (loop_kind, in_flight, saturated) = match plan.pace {
        Pace::Closed(in_flight) => ("closed", in_flight, client > SATURATED),
        Pace::Open(_) => ("open", 0, missed > MISSED || late > LATE_US),
    };
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| _ = map.insert(key.to_owned(), value);
    put("mode", json!(about.mode));
    put("loop", json!(loop_kind));
    put("connections", json!(outcome.connections));
    put("in_flight", json!(in_flight));
    put("measured_s", json!(round_to(seconds, 1_000.0)));
    put("answers_per_s", json!(per_s(answered)));
    put("items_per_s", json!(per_s(outcome.items)));
    put("p50_us", json!(quantile(0.5)));
    put("p99_us", json!(quantile(0.99)));
    put("p999_us", json!(quantile(0.999)));
    put("max_us", json!(outcome.latency_us.max()));
    put("answered", json!(answered));
    put("refused", json!(of(&|code| code == 7)));
    put("shed", json!(of(&shed)));
    put("failed", json!(of(&|code| !is_answer(code) && !shed(code))));
    put("lost", json!(outcome.lost));
    let statuses: Vec<String> = outcome.by_code.iter().map(|(code, count)| format!("{code}:{count}")).collect();
    put("statuses", json!(statuses.join(" ")));
    put("reopened", json!(outcome.reopened));
    put("came_back", json!(outcome.came_back));
    if let Pace::Open(rate) = plan.pace {
        put("rate_per_s", json!(round(rate)));
        put("offered", json!(outcome.offered));
        put("sent", json!(outcome.sent));
        put("missed", json!(outcome.missed));
        put("missed_ratio", json!(round_to(missed, 10_000.0)));
        put("late_p99_us", json!(late));
    }
    put("request_bytes", json!(mean(outcome.bytes.0).saturating_sub(super::link::FRAME_HEAD as u64)));
    put("reply_bytes", json!(mean(outcome.bytes.1)));
    if let Some(server) = outcome.server {
        put("server_cpu_s", json!(round_to(server.cpu.as_secs_f64(), 100.0)));
        put("server_cpu_share", json!(share(server.cpu)));
        let micros = server.cpu.as_secs_f64() * 1e6 / outcome.items.max(1) as f64;
        put("server_cpu_per_item_us", json!(round_to(micros, 10.0)));
        put("server_rss_mib", json!(server.rss_mib));
        put("server_rss_peak_mib", json!(server.rss_peak_mib));
    }
    put("client_cpu_share", json!(client));
    put("client_saturated", json!(saturated));
    put("receipts_good", json!(checked.good));
    put("receipts_bad", json!(checked.bad));
    put("found", json!(checked.found));
    put("residents", json!(about.residents));
    put("seed", json!(about.seed));
    put("machine", json!(machine()));
    put("version", json!(env!("CARGO_PKG_VERSION")));
    put("commit", json!(about.commit));
    map
}

/// The figures for a person.
pub(super) fn text(figures: &Map<String, Value>, outcome: &Outcome, checked: &Checked) -> String {
    let n = |key: &str| figures.get(key).and_then(Value::as_f64).unwrap_or_default();
    let s = |key: &str| figures.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut text = String::new();
    let mut line = |name: &str, what: String| _ = writeln!(text, "{name:<22}{what}");
    line("machine 机器", s("machine"));
    line(
        "build 版本",
        format!("wuku {} commit {} seed {} residents {}", s("version"), s("commit"), n("seed"), n("residents")),
    );
    let how = match s("loop").as_str() {
        "open" => format!("open loop, {} offered a second", n("rate_per_s")),
        _ => format!("closed loop, {} in flight each", n("in_flight")),
    };
    line("load 负载", format!("{}: {} connections, {how}, {} s", s("mode"), n("connections"), n("measured_s")));
    line("rate 吞吐", format!("{} answers/s, {} items/s", n("answers_per_s"), n("items_per_s")));
    line(
        "latency 时延",
        format!("p50 {} µs, p99 {} µs, p99.9 {} µs, max {} µs", n("p50_us"), n("p99_us"), n("p999_us"), n("max_us")),
    );
    if figures.contains_key("offered") {
        let counts = ["offered", "sent", "missed", "late_p99_us"].map(n);
        line(
            "generator 发生器",
            format!("offered {}, sent {}, missed {}, p99 {} µs late", counts[0], counts[1], counts[2], counts[3]),
        );
    }
    let counts = ["answered", "refused", "shed", "failed", "lost", "reopened"].map(|key| format!("{key} {}", n(key)));
    line("outcomes 结果", format!("{} (gRPC statuses {})", counts.join(", "), s("statuses")));
    line("bytes 字节", format!("{} out, {} back", n("request_bytes"), n("reply_bytes")));
    if figures.contains_key("server_cpu_s") {
        line(
            "server 服务端",
            format!(
                "{} CPU s ({:.0} % of a core, {} µs an item), RSS {} MiB, at most {} MiB",
                n("server_cpu_s"),
                n("server_cpu_share") * 100.0,
                n("server_cpu_per_item_us"),
                n("server_rss_mib"),
                n("server_rss_peak_mib")
            ),
        );
    }
    line("client 客户端", format!("{:.0} % of a core", n("client_cpu_share") * 100.0));
    line(
        "receipts 回执",
        format!("{} of a sample verified, {} bad; {} found a record", checked.good, checked.bad, checked.found),
    );
    if figures.get("client_saturated") == Some(&Value::Bool(true)) {
        line("WARNING 注意", "the generator itself was at its limit: the server may be faster (发生器已饱和)".into());
    }
    if let Some(why) = &checked.first_fault {
        line("WARNING 注意", format!("a receipt does not verify: {why}"));
    }
    if let Some(why) = &outcome.first_loss {
        line("WARNING 注意", format!("calls were lost: {why}"));
    }
    text
}

fn round(value: f64) -> f64 {
    round_to(value, 10.0)
}

fn round_to(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
