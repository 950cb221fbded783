//! How many may be in at once, and how many of them one department may be.
//!
//! Two promises. *Refuse rather than queue*: while calls take longer than they should, fewer are let in, so that those let in are
//! still answered soon (additive increase, multiplicative decrease, on the time calls take). *One department's flood is its own*:
//! the last quarter of the places is for departments that hold less than an even share of them; whoever holds more while others
//! are in and is refused over and over is told apart from the rest ([`NoPlace::Flooding`]), is kept to its even share, and what it
//! holds takes no place from those who do not flood, as long as there are no more calls in than configured.
//!
//! Knows departments by name and time by what it is told; nothing of HTTP.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{CALL_MS_WANTED, IN_FLIGHT_LEAST};

/// How long the calls of one judgement are counted. Longer than the period of a CPU quota (100 ms), whose pauses are no queue.
const WINDOW: Duration = Duration::from_millis(500);

/// A number of places, shared by departments.
#[derive(Debug)]
pub struct Share {
    most: usize,
    adapts: bool,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    /// Places there are now.
    places: usize,
    taken: usize,
    /// Names stay: they are of certificates that verified, so there are only so many.
    by_department: HashMap<Arc<str>, Department>,
    /// Departments that hold any.
    active: usize,
    window: Window,
}

#[derive(Debug, Default)]
struct Department {
    /// Places held.
    held: usize,
    /// How often it was refused in the window of this number.
    refused: (u64, usize),
    /// The last window in which it flooded.
    flooded: Option<u64>,
}

impl Department {
    /// Counts a refusal; gives how many there were in this window.
    fn refuse(&mut self, now: u64) -> usize {
        let (window, times) = self.refused;
        let times = if window == now { times.saturating_add(1) } else { 1 };
        self.refused = (now, times);
        times
    }

    /// Whether it floods in this window or did in the last.
    fn floods(&self, now: u64) -> bool {
        self.flooded.is_some_and(|window| now.wrapping_sub(window) <= 1)
    }
}

#[derive(Debug)]
struct Window {
    number: u64,
    began: Instant,
    /// Calls that took longer than they should, and those that did not.
    slow: usize,
    quick: usize,
    /// Whether somebody was refused for want of places.
    full: bool,
}

impl Window {
    fn new(number: u64, began: Instant) -> Self {
        Self { number, began, slow: 0, quick: 0, full: false }
    }
}

/// A place that is held; given back when dropped.
#[derive(Debug)]
pub struct Place {
    share: Arc<Share>,
    department: Arc<str>,
    /// When it was taken, if the time it is held says how busy the hub is.
    measured_from: Option<Instant>,
}

/// Why there was no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All that may be had are taken.
    Full,
    /// The department holds its even share or more while another holds places too, and was refused more often of late than there
    /// are places.
    Flooding,
}

impl Share {
    /// So many places, always.
    #[must_use]
    pub fn fixed(most: usize) -> Arc<Self> {
        Self::new(most, false)
    }

    /// At most so many places, fewer while calls take long.
    #[must_use]
    pub fn adapting(most: usize) -> Arc<Self> {
        Self::new(most, true)
    }

    fn new(most: usize, adapts: bool) -> Arc<Self> {
        // Begun with few: places that prove too many must first be emptied, those that prove too few are doubled in three seconds.
        let places = if adapts { most.min(IN_FLIGHT_LEAST * 2) } else { most };
        let inside = Inside {
            places,
            taken: 0,
            by_department: HashMap::new(),
            active: 0,
            window: Window::new(0, Instant::now()),
        };
        Arc::new(Self { most, adapts, inside: Mutex::new(inside) })
    }

    /// A place for a department. `measured` where the time it is held says how busy the hub is, which it does not for streams that
    /// wait for something.
    ///
    /// # Errors
    /// [`NoPlace`]: come back later.
    pub fn enter(self: &Arc<Self>, department: &Arc<str>, measured: bool) -> Result<Place, NoPlace> {
        let now = Instant::now();
        let mut inside = self.lock();
        if self.adapts {
            inside.judge(now, self.most);
        }
        let window = inside.window.number;
        let known = inside.by_department.get(department);
        let (mine, floods) = known.map_or((0, false), |known| (known.held, known.floods(window)));
        // One more than there are: whoever comes next finds room.
        let even = (inside.places / inside.active.saturating_add(usize::from(mine == 0)).saturating_add(1)).max(1);
        if inside.taken >= self.most || !inside.has_room(mine < even, floods) {
            return Err(inside.refuse(department, mine >= even));
        }
        inside.taken += 1;
        if let Some(department) = inside.by_department.get_mut(department) {
            department.held += 1;
        } else {
            let first = Department { held: 1, ..Department::default() };
            inside.by_department.insert(Arc::clone(department), first);
        }
        inside.active += usize::from(mine == 0);
        drop(inside);
        let measured_from = measured.then_some(now);
        Ok(Place { share: Arc::clone(self), department: Arc::clone(department), measured_from })
    }

    fn leave(&self, department: &str, took: Option<Duration>) {
        let mut inside = self.lock();
        inside.taken = inside.taken.saturating_sub(1);
        if let Some(department) = inside.by_department.get_mut(department) {
            department.held = department.held.saturating_sub(1);
            let gone = department.held == 0;
            inside.active = inside.active.saturating_sub(usize::from(gone));
        }
        match took {
            Some(took) if took > Duration::from_millis(CALL_MS_WANTED) => inside.window.slow += 1,
            Some(_) => inside.window.quick += 1,
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Counts a refusal and says what it is for.
    fn refuse(&mut self, department: &str, holds_its_share: bool) -> NoPlace {
        self.window.full = true;
        let window = self.window.number;
        let Some(department) = self.by_department.get_mut(department) else { return NoPlace::Full };
        let times = department.refuse(window);
        let beside_others = self.active > 1;
        if !(holds_its_share && beside_others && times > self.places) {
            return NoPlace::Full;
        }
        department.flooded = Some(window);
        NoPlace::Flooding
    }

    /// Whether one more may come in, of a department that holds less than an even share or not, and floods or not.
    fn has_room(&self, less_than_even: bool, floods: bool) -> bool {
        if floods {
            return less_than_even && self.taken < self.places;
        }
        let open = if less_than_even { self.places } else { self.places - self.places / 4 };
        self.taken < open || self.held_by_the_calm() < open
    }

    /// Places of departments that do not flood.
    fn held_by_the_calm(&self) -> usize {
        let calm = self.by_department.values().filter(|department| !department.floods(self.window.number));
        calm.map(|department| department.held).sum()
    }

    /// At the end of a window: half the places where nearly all calls were slow, a fifth fewer where most were; an eighth more where
    /// places were wanting and most were not, also where no call ended at all, or streams that hold every place would keep it so.
    fn judge(&mut self, now: Instant, most: usize) {
        if now.saturating_duration_since(self.window.began) < WINDOW {
            return;
        }
        let next = Window::new(self.window.number.wrapping_add(1), now);
        let Window { slow, quick, full, .. } = std::mem::replace(&mut self.window, next);
        if slow > quick {
            let fewer = if slow / 9 > quick { self.places / 2 } else { self.places / 5 };
            self.places = (self.places - fewer).max(IN_FLIGHT_LEAST).min(most);
        } else if full {
            self.places = self.places.saturating_add((self.places / 8).max(1)).min(most);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.share.leave(&self.department, self.measured_from.map(|from| from.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn department(name: &str) -> Arc<str> {
        name.into()
    }

    fn take(share: &Arc<Share>, name: &str, most: usize) -> Vec<Place> {
        (0..most).map_while(|_| share.enter(&department(name), true).ok()).collect()
    }

    /// Asks in vain until it is told that it floods.
    fn flood_on(share: &Arc<Share>, name: &str, places: usize) {
        let mut refused = (0..=places).map(|_| share.enter(&department(name), true).unwrap_err());
        assert!(refused.any(|why| why == NoPlace::Flooding), "asked {places} times in vain and does not flood");
    }

    #[test]
    fn a_department_alone_leaves_a_quarter_for_whoever_comes() {
        let share = Share::fixed(100);
        let flood = take(&share, "tax", 1_000);
        assert_eq!(flood.len(), 75);
        let other = take(&share, "civil", 1_000);
        assert_eq!(other.len(), 25);
        drop(flood);
        assert_eq!(take(&share, "civil", 1_000).len(), 50, "75 in all");
    }

    #[test]
    fn who_holds_less_than_an_even_share_gets_the_next_place() {
        let share = Share::fixed(100);
        let mut flood = take(&share, "tax", 1_000);
        let others = (take(&share, "civil", 10), take(&share, "police", 15));
        assert!(share.enter(&department("health"), true).is_err(), "full");
        flood.pop();
        assert!(share.enter(&department("tax"), true).is_err(), "holds more than its share");
        assert!(share.enter(&department("health"), true).is_ok());
        drop(others);
    }

    #[test]
    fn even_one_place_can_be_had() {
        let share = Share::fixed(1);
        let place = share.enter(&department("tax"), true);
        assert!(place.is_ok() && share.enter(&department("civil"), true).is_err());
        drop(place);
        assert!(share.enter(&department("civil"), true).is_ok());
    }

    #[test]
    fn who_is_refused_over_and_over_beside_another_floods_and_nobody_else_does() {
        let share = Share::fixed(100);
        let refused = |name: &str| share.enter(&department(name), true).unwrap_err();
        let flood = take(&share, "tax", 1_000);
        assert!((0..200).all(|_| refused("tax") == NoPlace::Full), "nobody else is there to be drowned");
        let other = take(&share, "civil", 25);
        assert_eq!(refused("tax"), NoPlace::Flooding);
        assert!((0..200).all(|_| refused("civil") == NoPlace::Full), "less than an even share");
        assert!((0..200).all(|_| refused("police") == NoPlace::Full), "holds nothing");
        drop((flood, other));
    }

    #[test]
    fn two_that_ask_for_a_little_too_much_do_not_flood_and_a_new_window_forgets() {
        let share = Share::adapting(1_000);
        after(&share, 40, 500, 400, true);
        let (one, other) = (take(&share, "tax", 24), take(&share, "civil", 24));
        let refused = |name: &str| share.enter(&department(name), true).unwrap_err();
        let most = IN_FLIGHT_LEAST;
        assert!((0..most).all(|_| refused("tax") == NoPlace::Full), "as often as there are places");
        assert_eq!(refused("tax"), NoPlace::Flooding);
        let more = take(&share, "civil", 1_000);
        assert_eq!(other.len() + more.len(), most * 3 / 4);
        assert!((1..most).all(|_| refused("civil") == NoPlace::Full), "once already");
        assert_eq!(refused("civil"), NoPlace::Flooding);
        drop(more);
        let even = [refused("tax"), refused("civil")];
        assert_eq!(even, [NoPlace::Flooding; 2], "both are kept to an even share");
        share.lock().window.number += 1;
        assert_eq!(refused("tax"), NoPlace::Full);
        drop((one, other));
    }

    #[test]
    fn what_a_flood_holds_takes_no_place_from_who_does_not_flood() {
        let share = Share::adapting(1_000);
        after(&share, 40, 500, 400, true);
        let flood = take(&share, "tax", 1_000);
        assert_eq!(flood.len(), IN_FLIGHT_LEAST * 3 / 4);
        let first = take(&share, "civil", 1);
        flood_on(&share, "tax", IN_FLIGHT_LEAST);
        let calm = take(&share, "civil", 1_000);
        assert_eq!(first.len() + calm.len(), IN_FLIGHT_LEAST * 3 / 4, "as if it were alone");
        assert!(share.enter(&department("tax"), true).is_err());
        share.lock().window.number += 1;
        drop(flood);
        assert!(share.enter(&department("civil"), true).is_err(), "and no more than that");
        assert_eq!(take(&share, "tax", 1_000).len(), IN_FLIGHT_LEAST / 4, "what civil leaves");
        drop((first, calm));
    }

    #[test]
    fn a_flood_does_not_let_more_in_than_configured() {
        let share = Share::fixed(100);
        let flood = take(&share, "tax", 1_000);
        let other = take(&share, "civil", 1_000);
        flood_on(&share, "tax", 100);
        assert!(share.enter(&department("police"), true).is_err());
        assert_eq!(flood.len() + other.len(), 100);
    }

    /// Places after so many windows of calls like these.
    fn after(share: &Arc<Share>, windows: usize, slow: usize, quick: usize, full: bool) -> usize {
        let mut inside = share.lock();
        for _ in 0..windows {
            let began = inside.window.began;
            inside.window = Window { number: 0, began, slow, quick, full };
            inside.judge(began + WINDOW / 2, share.most); // too early to judge
            inside.judge(began + WINDOW, share.most);
        }
        inside.places
    }

    #[test]
    fn slow_calls_make_places_few_and_quick_ones_make_them_many_again() {
        let share = Share::adapting(1_000);
        assert_eq!(after(&share, 40, 0, 900, true), 1_000, "never more than configured");
        assert_eq!(after(&share, 1, 500, 400, true), 800);
        assert_eq!(after(&share, 1, 500, 4, true), 400);
        assert_eq!(after(&share, 40, 500, 400, true), IN_FLIGHT_LEAST, "never fewer than the least");
        assert_eq!(take(&share, "tax", 1_000).len(), IN_FLIGHT_LEAST * 3 / 4);
        assert_eq!(after(&share, 40, 0, 900, false), IN_FLIGHT_LEAST, "nobody wants more");
        assert_eq!(after(&share, 40, 400, 500, true), 1_000);
        assert_eq!(after(&Share::adapting(8), 40, 500, 400, true), 8, "less than the least was configured");
    }

    #[test]
    fn only_what_is_measured_says_how_busy_the_hub_is() {
        let share = Share::adapting(1_000);
        drop(share.enter(&department("tax"), false));
        let counted = || {
            let inside = share.lock();
            (inside.window.slow, inside.window.quick)
        };
        assert_eq!(counted(), (0, 0));
        drop(share.enter(&department("tax"), true));
        share.leave("tax", Some(Duration::from_millis(CALL_MS_WANTED + 1)));
        assert_eq!(counted(), (1, 1));
    }

    #[test]
    fn streams_that_hold_more_than_all_places_do_not_shut_the_hub_for_ever() {
        let share = Share::adapting(1_000);
        after(&share, 40, 0, 900, true);
        let streams: Vec<_> = (0..700).map_while(|_| share.enter(&department("tax"), false).ok()).collect();
        after(&share, 40, 500, 400, true);
        assert!(share.enter(&department("civil"), true).is_err());
        after(&share, 40, 0, 0, true); // nothing ends, so nothing is measured
        assert!(share.enter(&department("civil"), true).is_ok());
        drop(streams);
    }
}
