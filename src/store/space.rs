//! Room on the disk: who may still write when it gets scarce.
//!
//! An engine that meets a full disk in the middle of a write stops for good, and a log has lost promised entries that way. So the
//! free space is divided before anything is full, from the bottom up:
//!
//! - the **margin**: what the engine may need to finish what it has begun ([`Store::headroom_bytes`]: write-ahead log, flush,
//!   compaction). Nobody's.
//! - the **reserve**: an hour of questions at the present rate, between a floor and a ceiling. Only questions may use it, since
//!   even a question is an entry of the log.
//! - **the rest**: everybody's.
//!
//! Between two looks at the disk every write is taken off what is left, twice over: once for the write-ahead log, once for the
//! table file. Nothing is stored here: a crash leaves the disk as it is, and the next start looks at it anew.
//!
//! [`Store::headroom_bytes`]: super::Store::headroom_bytes
use crate::failure::{Failure, Reason};
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The reserve lasts so long at the present rate.
const RESERVE_S: u64 = 3_600;
/// The present rate is that of about so many seconds.
const RATE_OVER_S: f64 = 60.0;
/// Bytes on disk for two bytes of rows: keys stand in index and filter blocks too, every batch leaves a row of its id, and what is
/// compacted away lies there for a while.
const DISK_FOR_TWO: u64 = 3;
/// Having been short, a level is left again only with this part of the reserve to spare, so that it does not flicker.
const SPARE_PART: u64 = 8;
/// Before somebody is refused the disk is looked at once more, where the last look is older than this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// When a caller refused for space may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What is to be written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum For {
    /// Entries alone: answers, refusals, housekeeping of the log.
    Question,
    /// Records, grants, imports. What says nothing is one.
    #[default]
    Change,
    /// Removing rows, which is how space comes back: always let through, out of the margin.
    Clearing,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For everybody.
    Plenty,
    /// For questions alone.
    Low,
    /// For nobody.
    Out,
}

/// What an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceSettings {
    /// The reserve is not less than this, in bytes.
    pub reserve_bytes_min: u64,
    /// And not more.
    pub reserve_bytes_max: u64,
}

/// What was seen at the last look, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free for this process; `None` where the file system does not tell.
    pub free: Option<u64>,
    /// Kept for the engine.
    pub margin: u64,
    /// Kept for questions.
    pub reserve: u64,
    /// A second of questions.
    pub rate: u64,
    /// What follows from it.
    pub level: Level,
}

type Measure = Box<dyn Fn() -> Seen + Send + Sync>;

/// Free bytes where the file system tells them, and what the engine needs to itself.
struct Seen {
    free: Option<u64>,
    margin: u64,
}

/// The one gate that everything written passes. Cheap to clone.
#[derive(Clone)]
pub struct Space(Arc<Shared>);

struct Shared {
    measure: Measure,
    settings: SpaceSettings,
    /// What changes and questions may still write until the next look.
    left: [AtomicI64; 2],
    /// Bytes of questions since the last look.
    asked: AtomicU64,
    rate: Mutex<Rate>,
    looked: Mutex<Instant>,
    look_again_after: Duration,
    room: watch::Sender<Room>,
}

/// A mean that forgets, and knows how much it has seen so far.
#[derive(Default)]
struct Rate {
    sum: f64,
    weight: f64,
}

impl Space {
    /// A gate that refuses nothing: for tests, and for commands that only look.
    #[must_use]
    pub fn boundless() -> Self {
        let settings = SpaceSettings { reserve_bytes_min: 0, reserve_bytes_max: 0 };
        Self::measured(|| (None, 0), settings, Duration::MAX)
    }

    /// The room on the file system of `folder`, looked at once now; `margin` says what the engine needs to itself.
    pub fn of(folder: &Path, margin: impl Fn() -> u64 + Send + Sync + 'static, settings: SpaceSettings) -> Self {
        let folder = folder.to_path_buf();
        Self::measured(move || (free_bytes(&folder), margin()), settings, LOOK_AGAIN_AFTER)
    }

    /// A gate over any measure of free bytes and margin.
    fn measured(
        measure: impl Fn() -> (Option<u64>, u64) + Send + Sync + 'static,
        settings: SpaceSettings,
        look_again_after: Duration,
    ) -> Self {
        let room = Room { free: None, margin: 0, reserve: 0, rate: 0, level: Level::Plenty };
        let seen = move || {
            let (free, margin) = measure();
            Seen { free, margin }
        };
        let space = Self(Arc::new(Shared {
            measure: Box::new(seen),
            settings,
            left: [const { AtomicI64::new(0) }; 2],
            asked: AtomicU64::new(0),
            rate: Mutex::default(),
            looked: Mutex::new(Instant::now()),
            look_again_after,
            room: watch::channel(room).0,
        }));
        space.look();
        space
    }

    /// Lets so many bytes of rows be written, or says why not.
    ///
    /// # Errors
    /// [`Reason::StorageLow`].
    pub fn admit(&self, occasion: For, bytes: usize) -> Result<(), Failure> {
        let [changes, questions] = &self.0.left;
        let left = match occasion {
            For::Change => changes,
            For::Question => questions,
            For::Clearing => return Ok(()),
        };
        if left.load(Ordering::Relaxed) <= 0 {
            self.look_again();
        }
        if left.load(Ordering::Relaxed) <= 0 {
            return Err(Failure::new(Reason::StorageLow).retry_after(RETRY_AFTER).because(self.words()));
        }
        // Many at once may each see the last byte free: what they take beyond it comes out of the margin, which is larger by far.
        let taken = i64::try_from(bytes.saturating_mul(2)).unwrap_or(i64::MAX);
        changes.fetch_sub(taken, Ordering::Relaxed);
        questions.fetch_sub(taken, Ordering::Relaxed);
        if occasion == For::Question {
            self.0.asked.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Looks at the disk. Blocks for as long as the file system takes to answer.
    pub fn look(&self) {
        let now = Instant::now();
        let before = std::mem::replace(&mut *self.0.looked.lock().unwrap_or_else(PoisonError::into_inner), now);
        self.look_after(now.duration_since(before));
    }

    /// Before anybody is refused: what was taken off since the last look is more than what was written.
    fn look_again(&self) {
        if self.0.looked.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= self.0.look_again_after {
            self.look();
        }
    }

    fn look_after(&self, passed: Duration) {
        let Seen { free, margin } = (self.0.measure)();
        let asked = self.0.asked.swap(0, Ordering::Relaxed);
        let rate = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner).seen(asked, passed);
        let hour = rate.saturating_mul(RESERVE_S).saturating_mul(DISK_FOR_TWO) / 2;
        let SpaceSettings { reserve_bytes_min, reserve_bytes_max } = self.0.settings;
        let reserve = hour.min(reserve_bytes_max).max(reserve_bytes_min);
        let before = self.0.room.borrow().level;
        let spare = reserve / SPARE_PART;
        let line = |base: u64, short: bool| if short { base.saturating_add(spare) } else { base };
        let for_questions = line(margin, before == Level::Out);
        let for_changes = line(margin.saturating_add(reserve), before != Level::Plenty);
        let left = |line: u64| match free {
            None => i64::MAX / 2,
            Some(free) => i64::try_from(free).unwrap_or(i64::MAX / 2).saturating_sub_unsigned(line),
        };
        let left = [left(for_changes), left(for_questions)];
        self.0.left.iter().zip(left).for_each(|(kept, now)| kept.store(now, Ordering::Relaxed));
        let level = match left {
            [_, questions] if questions <= 0 => Level::Out,
            [changes, _] if changes <= 0 => Level::Low,
            _ => Level::Plenty,
        };
        self.0.room.send_replace(Room { free, margin, reserve, rate, level });
    }

    /// What was seen at the last look.
    #[must_use]
    pub fn room(&self) -> Room {
        *self.0.room.borrow()
    }

    /// Follows the room.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Room> {
        self.0.room.subscribe()
    }

    /// Why something is refused, for an operator; `None` while there is plenty.
    #[must_use]
    pub fn short(&self) -> Option<String> {
        (self.room().level != Level::Plenty).then(|| self.words())
    }

    /// Looks every so often for as long as the hub runs, tells the metrics, and says when the level moves.
    pub async fn keep_looking(self, every: Duration, metrics: Metrics) {
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let before = self.room().level;
            let space = self.clone();
            // A panic in there would be a bug; the old figures then stand, and what is written goes on being taken off them.
            let _looked = tokio::task::spawn_blocking(move || space.look()).await;
            let Room { free, margin, reserve, level, .. } = self.room();
            let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            metrics.storage_free_bytes.set(free.map_or(-1, gauge));
            metrics.storage_kept_bytes.set(gauge(margin.saturating_add(reserve)));
            metrics.storage_level.set(level as i64);
            match level {
                _ if level == before => {}
                Level::Plenty => tracing::info!("there is room on the disk again: changes and imports go on"),
                Level::Low => tracing::warn!(why = self.words(), "changes and imports are refused"),
                Level::Out => tracing::error!(why = self.words(), "nothing is recorded, so nothing is answered"),
            }
        }
    }

    fn words(&self) -> String {
        let Room { free, margin, reserve, rate, level } = self.room();
        let mib = |bytes: u64| bytes >> 20;
        let free = free.unwrap_or(u64::MAX);
        let (over, wanted) = (free.saturating_sub(margin), margin.saturating_add(reserve));
        let who = match level {
            Level::Out => "questions too are refused (查询也已停止)".to_owned(),
            _ => match over.checked_div(rate.saturating_mul(DISK_FOR_TWO) / 2) {
                Some(left) => format!("questions go on for about {} minutes (查询尚可继续约 {0} 分钟)", left / 60),
                None => "questions go on (查询照常)".to_owned(),
            },
        };
        format!(
            "storage is low: {} MiB free; changes and imports need {} MiB, of which {} MiB are the engine's own; {who} \
             (存储空间不足：余 {0} MiB，变更和导入需 {1} MiB)",
            mib(free),
            mib(wanted),
            mib(margin)
        )
    }
}

impl Rate {
    /// Takes in what was written since the last look; gives bytes a second.
    fn seen(&mut self, bytes: u64, passed: Duration) -> u64 {
        let seconds = passed.as_secs_f64();
        if seconds > 0.0 {
            let kept = (-seconds / RATE_OVER_S).exp();
            self.sum = self.sum.mul_add(kept, bytes as f64 / seconds * (1.0 - kept));
            self.weight = self.weight.mul_add(kept, 1.0 - kept);
        }
        // Before a minute is over the mean is that of what was seen, not diluted by what was not.
        if self.weight > 0.0 { (self.sum / self.weight) as u64 } else { 0 }
    }
}

/// What an unprivileged process may still write on the file system of a folder. `None` where it does not tell: a network or user
/// file system that reports no size at all.
fn free_bytes(folder: &Path) -> Option<u64> {
    match rustix::fs::statvfs(folder) {
        Ok(seen) if seen.f_blocks > 0 => Some(seen.f_bavail.saturating_mul(seen.f_frsize)),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "the file system of the data folder does not say how much room it has");
            None
        }
    }
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Space({:?})", self.room())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MARGIN: u64 = 100 * MIB;
    const SETTINGS: SpaceSettings = SpaceSettings { reserve_bytes_min: 80 * MIB, reserve_bytes_max: 1_000 * MIB };

    fn disk(free: u64) -> (Space, Arc<AtomicU64>) {
        let free = Arc::new(AtomicU64::new(free));
        let reads = free.clone();
        (Space::measured(move || (Some(reads.load(Ordering::SeqCst)), MARGIN), SETTINGS, Duration::MAX), free)
    }

    fn may(space: &Space) -> (bool, bool) {
        let may = |occasion| match space.admit(occasion, 0) {
            Ok(()) => true,
            Err(failure) => {
                assert_eq!(failure.reason, Reason::StorageLow);
                assert!(failure.retry_after.is_some());
                false
            }
        };
        assert!(may(For::Clearing), "what gives space back is never refused");
        (may(For::Change), may(For::Question))
    }

    #[test]
    fn changes_stop_before_questions_and_both_go_on_when_space_returns() {
        let (space, free) = disk(500 * MIB);
        let at = |bytes: u64| {
            free.store(bytes, Ordering::SeqCst);
            space.look();
            (may(&space), space.room().level)
        };
        assert_eq!(at(181 * MIB), ((true, true), Level::Plenty));
        assert_eq!(at(180 * MIB), ((false, true), Level::Low));
        assert!(space.short().is_some_and(|why| why.contains("180 MiB free") && why.contains("存储空间不足")));
        assert_eq!(at(101 * MIB), ((false, true), Level::Low));
        assert_eq!(at(100 * MIB), ((false, false), Level::Out));
        assert_eq!(at(105 * MIB), ((false, false), Level::Out), "not at the first byte");
        assert_eq!(at(111 * MIB), ((false, true), Level::Low));
        assert_eq!(at(185 * MIB), ((false, true), Level::Low), "not at the first byte");
        assert_eq!(at(191 * MIB), ((true, true), Level::Plenty));
        assert_eq!(space.short(), None);
    }

    #[test]
    fn what_is_written_between_two_looks_counts_twice() {
        let (space, _free) = disk(180 * MIB + 2_000);
        assert!(space.admit(For::Change, 600).is_ok());
        assert_eq!(may(&space), (true, true));
        assert!(space.admit(For::Question, 400).is_ok());
        assert_eq!(may(&space), (false, true), "questions use up what changes may");
    }

    #[test]
    fn the_reserve_is_an_hour_of_questions_between_floor_and_ceiling() {
        let (space, _free) = disk(10_000 * MIB);
        assert_eq!(space.room().reserve, 80 * MIB, "the floor");
        let load = |bytes_a_second: usize, seconds: u64| {
            for _ in 0..seconds {
                space.admit(For::Question, bytes_a_second).unwrap();
                space.admit(For::Change, 10 << 20).unwrap(); // no question, so no part of the rate
                space.look_after(Duration::from_secs(1));
            }
            space.room()
        };
        let room = load(100_000, 3);
        assert!(room.rate.abs_diff(100_000) < 1_000, "after seconds already: {room:?}");
        assert!(room.reserve.abs_diff(540_000_000) < 6_000_000, "100 kB/s for an hour, half as much again: {room:?}");
        assert_eq!(load(10_000_000, 60).reserve, 1_000 * MIB, "the ceiling");
        assert_eq!(load(0, 3_600).reserve, 80 * MIB, "the present rate, not the largest ever seen");
    }

    #[test]
    fn a_file_system_that_does_not_tell_its_room_refuses_nothing() {
        let space = Space::measured(|| (None, MARGIN), SETTINGS, Duration::MAX);
        assert_eq!(may(&space), (true, true));
        assert_eq!(may(&Space::boundless()), (true, true));
        assert!(free_bytes(&std::env::temp_dir()).is_some_and(|free| free > 0));
        assert_eq!(free_bytes(Path::new("/proc")), None, "a file system without blocks");
    }
}
