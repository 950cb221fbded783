//! The only place that asks the operating system for the time.
//!
//! Everything else takes a [`Clock`], so that tests can move it and the sequencer can refuse one that runs backwards.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time in Unix milliseconds. Monotonicity is *not* promised here; the sequencer enforces it.
#[derive(Clone)]
pub struct Clock {
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    steady: Option<Arc<Steady>>,
}

/// A second source that nobody sets, to notice that the first was.
struct Steady {
    now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Least lead of the wall clock seen so far, in milliseconds: set back it may be, and begins anew there.
    lead_ms: AtomicI64,
}

impl Clock {
    /// The operating system's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]
        let now_ms = || {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        };
        let begun = Instant::now();
        Self::from_fn(now_ms).held_against(move || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// A clock of the caller's own making, for tests and for replays.
    #[must_use]
    pub fn from_fn(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { now_ms: Arc::new(now_ms), steady: None }
    }

    /// The same clock, held from now on against one that only runs forward, in milliseconds of any beginning.
    #[must_use]
    pub fn held_against(self, steady_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let lead_ms = AtomicI64::new(lead(self.now_ms(), steady_ms()));
        Self { steady: Some(Arc::new(Steady { now_ms: Box::new(steady_ms), lead_ms })), ..self }
    }

    /// Now, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.now_ms)()
    }

    /// How far the clock has been put ahead since this process began, in milliseconds; 0 for a clock that is held against nothing.
    #[must_use]
    pub fn put_ahead_ms(&self) -> u64 {
        let Some(steady) = &self.steady else { return 0 };
        let now = lead(self.now_ms(), (steady.now_ms)());
        let least = steady.lead_ms.fetch_min(now, Ordering::Relaxed).min(now);
        u64::try_from(now.saturating_sub(least)).unwrap_or(0)
    }
}

fn lead(wall_ms: u64, steady_ms: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(wall_ms).saturating_sub(signed(steady_ms))
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn a_clock_that_is_put_ahead_is_noticed_and_one_that_runs_on_or_back_is_not() {
        let (wall, steady) = (Arc::new(AtomicU64::new(1_000_000)), Arc::new(AtomicU64::new(7)));
        let (reads, beats) = (wall.clone(), steady.clone());
        let clock = Clock::from_fn(move || reads.load(Ordering::SeqCst));
        let clock = clock.held_against(move || beats.load(Ordering::SeqCst));
        let passes = |wall_ms: u64, steady_ms: u64| {
            wall.fetch_add(wall_ms, Ordering::SeqCst);
            steady.fetch_add(steady_ms, Ordering::SeqCst);
            clock.put_ahead_ms()
        };
        assert_eq!(passes(60_000, 60_000), 0);
        assert_eq!(passes(86_400_000, 1_000), 86_399_000);
        wall.fetch_sub(86_399_000, Ordering::SeqCst);
        assert_eq!(clock.put_ahead_ms(), 0, "corrected");
        wall.fetch_sub(500_000, Ordering::SeqCst);
        assert_eq!(clock.put_ahead_ms(), 0, "set back: the sequencer's own rule");
        assert_eq!(passes(3_000, 1_000), 2_000, "and held against from there");
        assert!(Clock::system().put_ahead_ms() < 1_000);
    }
}
