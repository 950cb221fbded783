//! Five misses on one code by one department in ten minutes stop that department from matching that code.
//!
//! Guessing a name to a known number, or a number to a known name, is what a match invites; the pair is slowed, nobody else.
use crate::failure::{Failure, Reason};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MISSES_MAX: usize = 5;
const WINDOW_MS: u64 = 10 * 60 * 1_000;
/// Pairs remembered at most; beyond it the oldest windows are dropped first.
const PAIRS_MAX: usize = 100_000;

/// Department, and the keyed hash of the code it missed on.
type Pair = (String, [u8; 16]);

/// The recent misses of each pair of department and subject (by keyed hash, so no code stands in memory for long).
#[derive(Debug, Default)]
pub struct Throttle {
    misses: Mutex<HashMap<Pair, VecDeque<u64>>>,
}

impl Throttle {
    /// Whether the department may match this subject now. The try counts as a miss until [`Throttle::take_back`]: many at once would
    /// otherwise all be admitted before the first of them has missed.
    ///
    /// # Errors
    /// [`Reason::MatchThrottled`] with the time until the oldest miss leaves the window.
    pub fn admit(&self, department: &str, subject_ref: &[u8; 16], now_ms: u64) -> Result<(), Failure> {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        if misses.len() >= PAIRS_MAX {
            misses.retain(|_, times| times.back().is_some_and(|at| now_ms.saturating_sub(*at) < WINDOW_MS));
        }
        if misses.len() >= PAIRS_MAX {
            // Still full of live pairs: somebody guesses on a grand scale, and nobody is admitted until a window ends.
            return Err(Failure::new(Reason::MatchThrottled).retry_after(Duration::from_millis(WINDOW_MS)));
        }
        let times = misses.entry((department.to_owned(), *subject_ref)).or_default();
        times.retain(|at| now_ms.saturating_sub(*at) < WINDOW_MS);
        match times.front() {
            Some(oldest) if times.len() >= MISSES_MAX => {
                let wait = WINDOW_MS.saturating_sub(now_ms.saturating_sub(*oldest));
                Err(Failure::new(Reason::MatchThrottled).retry_after(Duration::from_millis(wait)))
            }
            _ => {
                times.push_back(now_ms);
                Ok(())
            }
        }
    }

    /// The newest try did not miss.
    pub fn take_back(&self, department: &str, subject_ref: &[u8; 16]) {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (department.to_owned(), *subject_ref);
        if let Some(times) = misses.get_mut(&pair) {
            times.pop_back();
            if times.is_empty() {
                misses.remove(&pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_try_after_five_misses_waits_and_only_for_that_pair() {
        let throttle = Throttle::default();
        for at in 0..5 {
            assert!(throttle.admit("police", &[1; 16], at).is_ok());
            assert!(throttle.admit("police", &[9; 16], at).is_ok());
            throttle.take_back("police", &[9; 16]);
        }
        assert_eq!(throttle.admit("police", &[1; 16], 10).unwrap_err().reason, Reason::MatchThrottled);
        assert!(throttle.admit("police", &[2; 16], 10).is_ok(), "another person");
        assert!(throttle.admit("police", &[9; 16], 10).is_ok(), "who never missed");
        assert!(throttle.admit("civil", &[1; 16], 10).is_ok(), "another department");
        assert!(throttle.admit("police", &[1; 16], WINDOW_MS + 4).is_ok(), "after the window");
    }
}
