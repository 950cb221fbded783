//! Clocks that go back, far ahead, or stand still: the real process, its clock moved from outside by libfaketime.
//!
//! Held throughout, and once more at the end of each test: time never goes down in the log, nothing is answered that is not recorded,
//! and health says what to do. That libfaketime reaches the hub is not believed but seen in the receipts.
use crate::client::{Caller, Proved, licence, reason};
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{WINDOW, draft};
use std::path::Path;
use std::time::{Duration, Instant};
use wuku::clock::Clock;
use wuku::failure::Reason;

const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// A hub whose clock can be moved, a window that may ask, and a licence to ask for.
struct Moved {
    hub: Hub,
    window: Caller,
    id: String,
}

impl Moved {
    async fn new() -> Self {
        let mut hub = Hub::new().await;
        hub.grant_food().await;
        let id = hub.issue(draft()).await;
        assert!(hub.stop().await.success());
        let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
        let library = library.expect("libfaketime is missing: deploy/install-build-deps.sh --test installs it");
        hub.environment = [
            ("LD_PRELOAD", *library),
            ("FAKETIME_TIMESTAMP_FILE", hub.path("clock").to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        set(&hub, "+0");
        hub.start();
        let window = hub.caller(WINDOW);
        Self { hub, window, id }
    }

    fn set(&self, clock: &str) {
        set(&self.hub, clock);
    }

    async fn ask(&self) -> Result<Proved, Reason> {
        self.window.look_up(&licence(&self.id, &["number"])).await.map_err(|status| reason(&status))
    }

    /// Refused as paused, several times over; health says why in both languages, and what to do.
    async fn paused(&self, words: &[&str]) {
        for _ in 0..3 {
            assert_eq!(self.ask().await.err(), Some(Reason::RecordingPaused));
        }
        let health = self.hub.admin("/readyz").await;
        assert!(health.starts_with("HTTP/1.1 503"), "{health}");
        for word in words {
            assert!(health.contains(word), "{word} is missing in {health}");
        }
    }

    /// Goes on by itself, within so many seconds.
    async fn goes_on(&self, within_s: u64) -> Duration {
        let begun = Instant::now();
        loop {
            match self.ask().await {
                Ok(_) => break,
                Err(reason) => assert_eq!(reason, Reason::RecordingPaused),
            }
            assert!(begun.elapsed() < Duration::from_secs(within_s), "recording does not go on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(self.hub.admin("/readyz").await.starts_with("HTTP/1.1 200"));
        begun.elapsed()
    }
}

/// Sets the hub's clock: `+5` five seconds ahead, `-30` behind, a date for one that stands still. Replaced whole, never half-written.
fn set(hub: &Hub, clock: &str) {
    std::fs::write(hub.path("clock.new"), format!("{clock}\n")).unwrap();
    std::fs::rename(hub.path("clock.new"), hub.path("clock")).unwrap();
}

fn now_s() -> u64 {
    Clock::system().now_ms() / 1_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_back_pauses_recording_until_it_has_caught_up() {
    let mut moved = Moved::new().await;
    moved.ask().await.unwrap();
    moved.set("-60");
    moved.paused(&["behind the newest entry", "recording goes on by itself", "recover --new-log", "校时"]).await;
    // A restart changes nothing about it.
    assert!(moved.hub.stop().await.success());
    moved.hub.start();
    moved.window = moved.hub.caller(WINDOW);
    moved.paused(&["behind the newest entry"]).await;
    moved.set("+0");
    let took = moved.goes_on(5).await;
    figure::note("clock", "goes on after a clock set back is right", took.as_secs_f64(), "s", Target::AtMost(5.0));
    moved.hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_a_little_ahead_is_believed_and_its_correction_costs_just_that_long() {
    let moved = Moved::new().await;
    moved.set("+6");
    let ahead = moved.ask().await.unwrap();
    let lead_s = ahead.receipt().time_s.saturating_sub(now_s());
    assert!((4..=6).contains(&lead_s), "libfaketime does not reach the hub: {lead_s} s ahead"); // the control of this harness
    moved.set("+0");
    moved.paused(&["behind the newest entry"]).await;
    let took = moved.goes_on(15).await;
    figure::note("clock", "paused after six seconds ahead", took.as_secs_f64(), "s", Target::AtMost(8.0));
    let after = moved.ask().await.unwrap();
    assert!(after.receipt().time_s >= ahead.receipt().time_s, "time never goes down");
    moved.hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_put_far_ahead_is_not_believed_so_that_no_entry_of_a_time_to_come_stops_the_log_for_years() {
    let mut moved = Moved::new().await;
    let before = moved.ask().await.unwrap();
    for far in ["+2h", "+9d", "+40d", "+10y"] {
        moved.set(far);
        if ["+2h", "+9d"].contains(&far) {
            moved.paused(&["put ahead", "correct it", "restart the hub", "拨快"]).await;
        } else {
            // Certificates are out of date then, so nobody is let in; the hub itself must not record anything either.
            moved.ask().await.unwrap_err();
            assert!(moved.hub.admin("/readyz").await.contains("put ahead"));
        }
        moved.set("+0");
        moved.goes_on(5).await;
    }
    let after = moved.ask().await.unwrap();
    assert!(after.receipt().time_s <= now_s() + 1, "nothing was recorded in the time to come");
    assert!(after.receipt().time_s >= before.receipt().time_s);
    // Nor does a hub start in it: its own certificates and revocation lists say what time it can be.
    assert!(moved.hub.stop().await.success());
    moved.set("+10y");
    let why = moved.hub.try_start().unwrap_err();
    assert!(
        why.contains("expired") && why.contains("set this machine's clock") && why.contains("校正本机时钟"),
        "{why}"
    );
    moved.set("+0");
    moved.hub.start();
    moved.hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_stands_still_stops_nothing_and_takes_no_time_back() {
    let mut moved = Moved::new().await;
    let before = moved.ask().await.unwrap();
    let (utc, zone) = ("%Y-%m-%d %H:%M:%S", ("TZ", "UTC"));
    let still = std::process::Command::new("date").arg(format!("+{utc}")).env(zone.0, zone.1).output().unwrap();
    assert!(moved.hub.stop().await.success());
    moved.hub.environment.push((zone.0.into(), zone.1.into()));
    moved.hub.start();
    moved.window = moved.hub.caller(WINDOW);
    moved.set(std::str::from_utf8(&still.stdout).unwrap().trim());
    moved.goes_on(3).await; // it may stand a moment behind the newest entry, which is allowed for
    let first = moved.ask().await.unwrap().receipt().time_s;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let mut last = (0, 0);
    for _ in 0..20 {
        let proved = moved.ask().await.unwrap();
        let receipt = proved.receipt();
        assert_eq!(receipt.time_s, first, "the clock does not stand still");
        assert!((receipt.leaf_index, receipt.time_s) > last, "size strictly up");
        last = (receipt.leaf_index, receipt.time_s);
    }
    assert!(first >= before.receipt().time_s);
    moved.set("+0");
    moved.goes_on(5).await;
    moved.hub.end().await;
}
