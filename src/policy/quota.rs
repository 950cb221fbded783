//! How often a grant may be used a day.
use crate::failure::{Failure, Reason};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Use of each grant today, in this process.
///
/// Kept in memory: a restart forgets the use of the running day, so a grant may be used up to once more than its quota on a day
/// with a restart. The entries of the log are the exact account.
#[derive(Debug)]
pub struct Quota {
    per_day_default: u32,
    used: Mutex<HashMap<String, (u32, u32)>>,
}

impl Quota {
    /// No use yet; grants that name no quota have this one.
    #[must_use]
    pub fn new(per_day_default: u32) -> Self {
        Self { per_day_default, used: Mutex::default() }
    }

    /// Takes `count` uses of a grant on a day (`YYYYMMDD`), or says that they are used up.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`] with the time to midnight in Asia/Shanghai.
    pub fn take(&self, grant: &str, per_day: u32, day: u32, now_ms: u64, count: u32) -> Result<(), Failure> {
        let limit = if per_day == 0 { self.per_day_default } else { per_day };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match used.get_mut(grant) {
            Some(entry) => entry,
            None => used.entry(grant.to_owned()).or_insert((day, 0)),
        };
        if entry.0 != day {
            *entry = (day, 0);
        }
        let next = entry.1.saturating_add(count);
        if next > limit {
            let ms_of_day = (now_ms + 8 * 3_600_000) % 86_400_000;
            let wait = Duration::from_millis(86_400_000 - ms_of_day);
            return Err(Failure::new(Reason::QuotaExceeded).retry_after(wait));
        }
        entry.1 = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_holds_for_its_day_and_returns_the_next() {
        let quota = Quota::new(1);
        assert!(quota.take("g", 2, 20_260_101, 0, 2).is_ok());
        let refused = quota.take("g", 2, 20_260_101, 0, 1).unwrap_err();
        assert_eq!(refused.reason, Reason::QuotaExceeded);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(16 * 3_600)));
        assert!(quota.take("other", 2, 20_260_101, 0, 1).is_ok());
        assert!(quota.take("g", 2, 20_260_102, 0, 1).is_ok());
        assert!(quota.take("unsaid", 0, 20_260_102, 0, 1).is_ok());
        assert!(quota.take("unsaid", 0, 20_260_102, 0, 1).is_err(), "the hub's default is one");
    }
}
