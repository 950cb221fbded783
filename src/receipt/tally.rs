//! What stopped requests that are no entries by themselves (malformed, over quota, overloaded), counted for a summary a minute.
//!
//! A crash loses the running minute's counts; nothing that was answered depends on them.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Callers remembered at most; further ones are counted together under an empty name.
const CALLERS_MAX: usize = 10_000;

/// Counts by caller and reason.
pub type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// The running counts. Cheap to clone; all clones count into the same place.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>, Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    /// Counts one reason for a caller.
    pub fn note(&self, caller: &str, reason: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.contains_key(caller) || counts.len() < CALLERS_MAX;
        let caller = if known { caller } else { "" };
        *counts.entry(caller.to_owned()).or_default().entry(reason.to_owned()).or_default() += 1;
    }

    /// How many more handshakes failed than at the last call, by how they ended.
    #[must_use]
    pub fn handshakes_since(&self, totals: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
        let mut last = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            totals.iter().map(|(ended, total)| (*ended, total.saturating_sub(last.insert(ended, *total).unwrap_or(0))));
        fresh.filter(|(_, count)| *count > 0).collect()
    }

    /// Counts a reason for a caller so many times.
    pub fn note_many(&self, caller: &str, reason: &str, count: u64) {
        self.give_back(caller, BTreeMap::from([(reason.to_owned(), count)]));
    }

    /// Takes what was counted and begins anew.
    #[must_use]
    pub fn take(&self) -> Counts {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives counts back that could not be recorded.
    pub fn give_back(&self, caller: &str, reasons: BTreeMap<String, u64>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.entry(caller.to_owned()).or_default();
        for (reason, count) in reasons {
            *own.entry(reason).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_taken_once_and_given_back_whole() {
        let tally = Tally::default();
        tally.note("a", "QUOTA_EXCEEDED");
        tally.note("a", "QUOTA_EXCEEDED");
        tally.note("b", "REQUEST_MALFORMED");
        let mut taken = tally.take();
        assert_eq!(taken.get("a").and_then(|r| r.get("QUOTA_EXCEEDED")), Some(&2));
        assert!(tally.take().is_empty());
        tally.note("a", "QUOTA_EXCEEDED");
        tally.give_back("a", taken.remove("a").unwrap());
        assert_eq!(tally.take().get("a").and_then(|r| r.get("QUOTA_EXCEEDED")), Some(&3));
    }
}
