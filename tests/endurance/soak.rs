//! Long at a steady load: nothing grows. Half an hour in the long form; the short one only shows that the harness measures.
use crate::client::licence;
use crate::figure::{Target, long, note};
use crate::harness::Hub;
use crate::load::{Held, Watcher, asker, joined, seconds};
use crate::world::{WINDOW, draft};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_handles_stay_where_they_are() {
    let hub = Hub::tuned(|config| {
        config.logging.filter = "warn".into();
        config.quota.questions_per_day = 1_000_000_000;
    })
    .await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let window = asker(&hub, WINDOW, &licence(&id, &["licence_id", "type_name", "valid_until"]));
    let peak = joined(window.closed(64, seconds(2, 20))).await;
    peak.say("closed loop");
    let watcher = Watcher::start(hub.pid(), Duration::from_millis(500));
    let load = joined(window.open(peak.good_per_s() * 0.7, seconds(6, 1_800))).await;
    let (second, last) = watcher.thirds();
    load.say("at 70 %");
    let target = |most| if long() { Target::AtMost(most) } else { Target::None };
    note("soak", "RSS of last third over second", last.rss_mib / second.rss_mib, "", target(1.05));
    note("soak", "handles of last third over second", last.handles / second.handles, "", target(1.05));
    let but_tables = last.handles_but_tables / second.handles_but_tables;
    note("soak", "handles that are no tables, of last third over second", but_tables, "", target(1.05));
    note("soak", "tables open in the last third", last.handles - last.handles_but_tables, "tables", Target::None);
    note("soak", "RSS at the end", Held::of(hub.pid()).rss_mib, "MiB", Target::None);
    note("soak", "answered", load.good.len() as f64, "calls", Target::None);
    note("soak", "missed", load.missed_share() * 100.0, "%", target(1.0));
    assert!(last.rss_mib > 1.0 && last.handles > 3.0, "the harness does not see the hub");
    assert!(load.good.len() as f64 > 0.5 * load.sent as f64, "at 70 % most is answered");

    // The control: twenty connections more are handles more.
    let before = Held::of(hub.pid()).handles;
    let mut callers = Vec::new();
    for _ in 0..20 {
        let caller = hub.caller(WINDOW);
        assert!(crate::load::answers(&caller, &licence(&id, &[])).await);
        callers.push(caller);
    }
    let more = Held::of(hub.pid()).handles;
    assert!(more >= before + 20.0, "twenty connections more are not seen among the handles: {before} and {more}");
    drop(callers);
    hub.end_large().await;
}

#[tokio::test]
async fn the_engine_has_one_pool_of_memory_a_core_unless_somebody_said_how_many() {
    let cores = std::thread::available_parallelism().unwrap().to_string();
    for (said, wanted) in [(vec![], cores.as_str()), (vec![("MALLOC_ARENA_MAX".into(), "5".into())], "5")] {
        let hub = Hub::make_with(said, &[], |_| {});
        let environment = std::fs::read(format!("/proc/{}/environ", hub.pid())).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let pools = environment.split('\0').find_map(|entry| entry.strip_prefix("MALLOC_ARENA_MAX="));
        assert_eq!(pools, Some(wanted));
        hub.end().await;
    }
}
