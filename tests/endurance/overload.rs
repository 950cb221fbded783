//! More than the hub can take: it goes on answering as many as it can, soon, and tells the rest to come back.
//!
//! The hub gets a fifth of one CPU, the generator the rest; five times what the hub can do for a minute, six seconds in the short form.
use crate::client::licence;
use crate::figure::{Target, long, note};
use crate::harness::Hub;
use crate::load::{Asker, Gate, Quota, Report, Watcher, asker, joined, seconds, stall};
use crate::world::{DESK, FOOD, FOOD_FIELDS, WINDOW, draft, full_grant};
use std::time::Duration;

const CPU_PERCENT: u32 = 20;

/// A hub on a fifth of a CPU with a licence that the window and the desk, of two departments, may ask for.
struct Stage {
    hub: Hub,
    quota: Quota,
    window: Asker,
    desk: Asker,
}

impl Stage {
    async fn set() -> Self {
        let hub = Hub::tuned(|config| {
            config.logging.filter = "warn".into();
            config.quota.questions_per_day = 1_000_000_000;
        })
        .await;
        hub.grant_food().await;
        hub.grant(DESK, full_grant(FOOD, &FOOD_FIELDS)).await;
        let id = hub.issue(draft()).await;
        let question = licence(&id, &["licence_id", "type_name", "valid_until"]);
        let (window, desk) = (asker(&hub, WINDOW, &question), asker(&hub, DESK, &question));
        let quota = Quota::put(hub.pid(), CPU_PERCENT);
        Self { hub, quota, window, desk }
    }

    /// What it can do: the better of two closed loops.
    async fn peak(&self) -> f64 {
        let mut best = 0.0_f64;
        for in_flight in [16, 48] {
            let report = joined(self.window.closed(in_flight, seconds(3, 15))).await;
            report.say(&format!("closed loop, {in_flight} in flight"));
            best = best.max(report.good_per_s());
        }
        best
    }

    async fn end(self) {
        drop(self.quota);
        self.hub.end_large().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_times_what_it_can_take_leaves_the_hub_answering_as_much_as_it_can() {
    let stage = Stage::set().await;
    let peak = stage.peak().await;
    let calm = joined(stage.window.open(peak * 0.7, seconds(4, 30))).await;
    calm.say("at 70 %");
    let watcher = Watcher::start(stage.hub.pid(), Duration::from_millis(200));
    let storm = joined(stage.window.open(peak * 5.0, seconds(6, 60))).await;
    let (second, last) = watcher.thirds();
    storm.say("at 500 %");
    let after = joined(stage.window.open(peak * 0.7, seconds(6, 15))).await;
    after.say("at 70 % again");
    assert!(storm.refused > 0, "five times too much and nobody was told to come back");
    assert!(storm.failed.is_empty(), "{:?}: overload is UNAVAILABLE and nothing else", storm.failed);

    let missed = calm.missed_share().max(storm.missed_share()).max(after.missed_share());
    note("overload", "capacity on a fifth of a CPU", peak, "calls/s", Target::None);
    note("overload", "generator missed", missed * 100.0, "%", Target::AtMost(1.0));
    note("overload", "goodput at 5x over peak", storm.good_per_s() / peak, "", Target::AtLeast(0.9));
    note(
        "overload",
        "accepted p99 at 5x over that at 70 %",
        storm.ms_at(99.0) / calm.ms_at(99.0),
        "",
        Target::AtMost(5.0),
    );
    note("overload", "RSS of last third over second", last.rss_mib / second.rss_mib, "", Target::AtMost(1.05));
    note("overload", "normal again after", normal_again(&after, &calm), "s", Target::AtMost(5.0));
    assert!(after.between(Duration::from_secs(5), after.took).good_per_s() > peak * 0.7 * 0.5, "it does not recover");

    // The control: a hub that stalls is not one that holds out.
    let (pid, gate) = (stage.hub.pid(), Gate::of(2));
    let stalled = stage.window.open_at(peak * 0.7, Duration::from_secs(3), &gate);
    gate.pass().await;
    gate.pass().await;
    tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(500));
        stall(pid, Duration::from_secs(2));
    })
    .await
    .unwrap();
    let stalled = joined(stalled).await;
    stalled.say("stalled, for control");
    assert!(
        stalled.ms_at(99.0) > 5.0 * calm.ms_at(99.0).min(250.0),
        "a stall of two seconds is not seen in the latency"
    );
    stage.end().await;
}

/// Seconds until the rest of a load goes as a calm one does: answered in nearly full number, in at most twice the time.
fn normal_again(after: &Report, calm: &Report) -> f64 {
    let share = calm.good_per_s() * 0.95;
    let mut from = after.took;
    while from > Duration::ZERO {
        let second = after.between(from - Duration::from_secs(1), from);
        if second.good_per_s() < share || second.ms_at(99.0) > calm.ms_at(99.0) * 2.0 {
            break;
        }
        from -= Duration::from_secs(1);
    }
    from.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_departments_flood_is_its_own() {
    let stage = Stage::set().await;
    let peak = stage.peak().await;
    let lasts = seconds(5, 30);
    let alone = joined(stage.window.open(peak * 0.3, lasts)).await;
    alone.say("the window alone");
    let (beside, flood) = beside(&stage.window, peak * 0.3, &stage.desk, peak * 5.0, lasts).await;
    beside.say("the window beside a flood");
    flood.say("the flood");
    let ratio = beside.good_per_s() / alone.good_per_s();
    note("overload", "a department's rate beside another's flood", ratio, "of its own", Target::AtLeast(0.8));
    note("overload", "its p50 beside the flood over alone", beside.ms_at(50.0) / alone.ms_at(50.0), "", Target::None);
    assert!(ratio > 0.5 || !long(), "a flood drowns the other departments: {ratio}");
    assert!(flood.refused > 0 && beside.good.len() > 10);

    // The control: inside one department there is no fair share, and the figure shows it.
    let (within, flood) = self::beside(&stage.window, peak * 0.3, &stage.window, peak * 5.0, lasts).await;
    flood.say("the flood of its own department");
    within.say("the window beside its own department's flood");
    let own = within.good_per_s() / alone.good_per_s();
    note("overload", "control: beside its own department's flood", own, "of its own", Target::AtMost(0.8));
    assert!(own < ratio, "a flood of one's own department is felt no more than another's: nothing was measured");
    stage.end().await;
}

/// A steady load, measured in the middle of a flood: both connected before either begins.
async fn beside(steady: &Asker, rate: f64, flood: &Asker, flood_rate: f64, lasts: Duration) -> (Report, Report) {
    let (gate, settle) = (Gate::of(2), Duration::from_secs(2));
    let flood = flood.open_at(flood_rate, settle + lasts, &gate);
    let steady = joined(steady.open_at(rate, settle + lasts, &gate)).await;
    let flood = joined(flood).await;
    (steady.between(settle, settle + lasts), flood)
}
