//! Power cuts under load: data folder and fence on a disk that forgets what was not synced ([`crate::power_disk`]).
//!
//! The power goes at an operation of the disk chosen by chance, or after half a second: while the hub starts, flushes, writes its
//! manifest, or answers four clerks. Then the hub must open what is left, or name the unfinished tail that `wuku recover --tail` cuts
//! off, and everything that was acknowledged must be there. Thirty cuts, 200 in the long form, `WUKU_CUTS` for as many as one likes.
use crate::chance::Rng;
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::kills::{Oracle, Told, city, held, load, lost};
use crate::power_disk::Disk;
use crate::power_fuse::Mount;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const CUTS: u64 = 30;
const CUTS_LONG: u64 = 200;
/// A sync of a disk with moving parts takes this long; here it is long enough for cuts to fall into it.
const SYNC: Duration = Duration::from_millis(2);
/// What the control's disk does not sync: the engine's log and the fence, as with `sync = false`.
const UNSYNCED: &[&str] = &[".log", "slot-"];
/// What a hub says in the moment between the power's going and its own end.
const LAST_WORDS: [&str; 5] = ["RecordingStopped", "RecordingPaused", "StoreUnavailable", "Internal", "OutcomeUnknown"];

/// A hub, and the disk it stands on.
struct Machine {
    hub: Hub,
    disk: Arc<Mutex<Disk>>,
    mount: Option<Mount>,
    point: TempDir,
    tails_cut: u64,
}

impl Machine {
    async fn new(rng: &mut Rng) -> Self {
        let point = tempfile::tempdir().unwrap();
        let disk = Arc::new(Mutex::new(Disk::new(rng.fork())));
        let mount = Some(Mount::new(disk.clone(), point.path(), SYNC));
        let at = point.path().to_path_buf();
        let hub = city(move |config| {
            config.data.path = at.join("data");
            config.fence.path = at.join("fence");
        })
        .await;
        Self { hub, disk, mount, point, tails_cut: 0 }
    }

    /// Load until the power goes, at the latest after so long; then everything that was running is dead.
    async fn cut(&mut self, oracle: &Arc<Mutex<Oracle>>, told: Told, rng: &mut Rng, at_most: Duration) {
        let clerks = load(&self.hub, oracle, told, rng);
        let until = tokio::time::Instant::now() + at_most;
        while tokio::time::Instant::now() < until && !self.disk.lock().unwrap().is_off() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.disk.lock().unwrap().off();
        self.hub.kill();
        for clerk in clerks {
            clerk.await.unwrap();
        }
        oracle.lock().unwrap().surprises.retain(|said| !LAST_WORDS.contains(&said.as_str()));
    }

    /// The power comes back, and the hub is started; the power may go again at operation `next_cut` from then on.
    fn power(&mut self, next_cut: Option<u64>) -> Result<(), String> {
        self.mount = None;
        {
            let mut disk = self.disk.lock().unwrap();
            disk.on();
            if let Some(operation) = next_cut {
                disk.cut_at(operation);
            }
        }
        self.mount = Some(Mount::new(self.disk.clone(), self.point.path(), SYNC));
        self.hub.try_start()
    }

    /// The power comes back for good until the next round, whatever it takes.
    fn recover(&mut self, cut_during_start: Option<u64>) {
        let mut next_cut = cut_during_start;
        loop {
            let started = self.power(next_cut);
            let off = {
                let mut disk = self.disk.lock().unwrap();
                disk.cut_at(u64::MAX); // from here on the round decides
                disk.is_off()
            };
            if off && started.is_ok() {
                self.hub.kill(); // it went in the very moment in which the hub began to answer
            }
            if off {
                next_cut = None; // it went while the hub was starting: what is left must open too
                continue;
            }
            let Err(why) = started else { return };
            assert!(why.contains("wuku recover --tail"), "the folder does not open: {why}");
            let cut = self.hub.wuku(&["recover", "--tail"]);
            assert!(cut.status.success(), "{why}\nrecover --tail: {}", String::from_utf8_lossy(&cut.stderr));
            self.tails_cut += 1;
            self.hub.try_start().unwrap_or_else(|why| panic!("after recover --tail: {why}"));
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_change_is_lost_when_the_power_goes() {
    let usual = if figure::long() { CUTS_LONG } else { CUTS };
    let cuts = std::env::var("WUKU_CUTS").map_or(usual, |n| n.parse().unwrap());
    let mut rng = Rng::seeded();
    let mut machine = Machine::new(&mut rng).await;
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    while machine.disk.lock().unwrap().taken().cuts < cuts {
        let within = 1 << rng.between(4, 12);
        let operation = rng.between(1, within); // soon as often as late
        machine.disk.lock().unwrap().cut_at(operation);
        machine.cut(&oracle, Told::WhenAcknowledged, &mut rng, Duration::from_millis(600)).await;
        let again = rng.between(0, 3) == 0;
        machine.recover(again.then(|| rng.between(20, 400)));
        let problems = held(&machine.hub, &oracle).await;
        let taken = machine.disk.lock().unwrap().taken();
        assert!(problems.is_empty(), "cut {} at operation {operation}: {problems:#?}", taken.cuts);
        oracle.lock().unwrap().file();
    }
    oracle.lock().unwrap().unfile();
    let problems = lost(&machine.hub, &oracle).await;
    assert!(problems.is_empty(), "after the last cut: {problems:#?}");
    let (taken, acknowledged) = (machine.disk.lock().unwrap().taken(), oracle.lock().unwrap().acknowledged);
    eprintln!("{taken:?}; {} tails cut by command; {acknowledged} changes acknowledged", machine.tails_cut);
    assert!(taken.pages_dropped + taken.pages_torn > cuts / 4, "the disk forgets nothing: {taken:?}");
    assert!(acknowledged as u64 > cuts, "the load does not load");
    figure::note("power", "power cuts survived", taken.cuts as f64, "cuts", Target::AtLeast(usual as f64));
    figure::note("power", "acknowledged changes lost", 0.0, "changes", Target::Exactly(0.0));
    figure::note("power", "acknowledged changes", acknowledged as f64, "changes", Target::None);
    figure::note("power", "unsynced pages dropped", taken.pages_dropped as f64, "pages", Target::None);
    figure::note("power", "pages torn at 512 bytes", taken.pages_torn as f64, "pages", Target::None);
    figure::note("power", "unsynced names lost", taken.names_lost as f64, "names", Target::None);
    figure::note("power", "tails cut by command", machine.tails_cut as f64, "tails", Target::None);
    machine.hub.end().await; // every entry once, every evidence of every round still good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_sync_loses_acknowledged_changes_and_is_caught() {
    let mut rng = Rng::seeded();
    let mut machine = Machine::new(&mut rng).await;
    machine.disk.lock().unwrap().lie_about(UNSYNCED);
    let oracle = Arc::new(Mutex::new(Oracle::default()));
    for cut in 1..=20 {
        machine.cut(&oracle, Told::WhenAcknowledged, &mut rng, Duration::from_millis(500)).await;
        machine.recover(None);
        let problems = lost(&machine.hub, &oracle).await;
        if !problems.is_empty() {
            eprintln!("caught at cut {cut}: {} acknowledged changes are missing", problems.len());
            return machine.hub.end_damaged();
        }
    }
    panic!("twenty cuts of a disk that does not sync, and nothing was missed: the disk or the oracle does not look");
}
