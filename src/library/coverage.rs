//! What a missing record means: absent, not covered, or not known because the load is overdue.
use super::codes::CalendarDate;
use super::day;
use crate::wire::proto::catalogue::v1::Resource;
use crate::wire::proto::exchange::v1::Absence;
use crate::wire::proto::receipt::v1::Outcome;

/// What can be said of a key for which a resource holds no record on a day.
#[must_use]
pub fn missing(resource: &Resource, code_type: &str, code: &str, today: CalendarDate) -> (Outcome, Absence) {
    let (outcome, reason) = judge(resource, code_type, code, today);
    let absence = Absence {
        resource: resource.code.clone(),
        reason: reason.to_owned(),
        last_complete_load: resource.last_complete_load,
        update_cycle_days: resource.update_cycle_days,
    };
    (outcome, absence)
}

fn judge(resource: &Resource, code_type: &str, code: &str, today: CalendarDate) -> (Outcome, &'static str) {
    if !covers_key(resource, code_type, code) {
        return (Outcome::NotCovered, "KEY_OUTSIDE_COVERAGE");
    }
    if resource.update_cycle_days == 0 {
        return (Outcome::Absent, "ABSENT"); // kept current record by record
    }
    let Some(loaded) = resource.last_complete_load.as_ref().and_then(day::from_proto) else {
        return (Outcome::Uncertain, "NEVER_LOADED");
    };
    let cycle = i32::try_from(resource.update_cycle_days).unwrap_or(i32::MAX);
    match loaded.plus_days(cycle) {
        Some(due) if today > due => (Outcome::Uncertain, "LOAD_OVERDUE"),
        _ => (Outcome::Absent, "ABSENT"),
    }
}

/// Whether a key lies in the declared coverage: its type is listed, and the division in it (if it holds one) begins with a
/// listed prefix.
#[must_use]
pub fn covers_key(resource: &Resource, code_type: &str, code: &str) -> bool {
    let types = &resource.coverage_code_types;
    if !types.is_empty() && !types.iter().any(|t| t == code_type) {
        return false;
    }
    let divisions = &resource.coverage_divisions;
    match division_in(code_type, code) {
        Some(division) if !divisions.is_empty() => divisions.iter().any(|prefix| division.starts_with(prefix.as_str())),
        _ => true,
    }
}

/// The six division digits a key itself holds: citizen IDs begin with them, a USCC has them after two characters.
fn division_in<'c>(code_type: &str, code: &'c str) -> Option<&'c str> {
    match code_type {
        "111" if code.len() == 18 && !code.starts_with('9') => code.get(0..6),
        "001" => code.get(2..8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Resource), code: &str, expected: (Outcome, &str)) {
        let today = CalendarDate::new(2026, 3, 10).unwrap();
        let mut resource = Resource {
            code: "r".into(),
            coverage_divisions: vec!["3310".into()],
            coverage_code_types: vec!["111".into()],
            update_cycle_days: 7,
            last_complete_load: CalendarDate::new(2026, 3, 3).map(day::to_proto),
            ..Resource::default()
        };
        change(&mut resource);
        let (outcome, absence) = missing(&resource, "111", code, today);
        assert_eq!((outcome, absence.reason.as_str()), expected);
    }

    #[test]
    fn absent_not_covered_and_uncertain_are_told_apart() {
        let inside = "331099199001010013";
        check(|_| {}, inside, (Outcome::Absent, "ABSENT"));
        check(|_| {}, "110105199001010013", (Outcome::NotCovered, "KEY_OUTSIDE_COVERAGE"));
        check(|r| r.coverage_code_types = vec!["414".into()], inside, (Outcome::NotCovered, "KEY_OUTSIDE_COVERAGE"));
        check(|r| r.update_cycle_days = 6, inside, (Outcome::Uncertain, "LOAD_OVERDUE"));
        check(|r| r.last_complete_load = None, inside, (Outcome::Uncertain, "NEVER_LOADED"));
        check(|r| (r.update_cycle_days, r.last_complete_load) = (0, None), inside, (Outcome::Absent, "ABSENT"));
    }
}
