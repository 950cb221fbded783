//! Calendar days in Asia/Shanghai (UTC+8, no daylight saving since 1991) and their forms on the wire and in rows.
use super::codes::CalendarDate;
use crate::wire::proto::library::v1::Date;

const SHANGHAI_OFFSET_MS: i64 = 8 * 3_600 * 1_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The day an instant falls on.
#[must_use]
pub fn of_ms(unix_ms: u64) -> CalendarDate {
    let days =
        i64::try_from(unix_ms).unwrap_or(i64::MAX - SHANGHAI_OFFSET_MS).saturating_add(SHANGHAI_OFFSET_MS) / DAY_MS;
    i32::try_from(days).ok().and_then(CalendarDate::from_day_number).unwrap_or_else(last_day)
}

/// The hour of the day of an instant, 0 to 23.
#[must_use]
pub fn hour_of_ms(unix_ms: u64) -> u32 {
    let ms = i64::try_from(unix_ms).unwrap_or(0).saturating_add(SHANGHAI_OFFSET_MS) % DAY_MS;
    u32::try_from(ms / 3_600_000).unwrap_or(0)
}

/// `YYYYMMDD` as a number, as rows hold it.
#[must_use]
pub fn number(day: CalendarDate) -> u32 {
    u32::from(day.year()) * 10_000 + u32::from(day.month()) * 100 + u32::from(day.day())
}

/// The day of a number made by [`number`]; `None` for 0.
#[must_use]
pub fn from_number(number: u32) -> Option<CalendarDate> {
    let year = u16::try_from(number / 10_000).ok()?;
    CalendarDate::new(year, u8::try_from(number / 100 % 100).ok()?, u8::try_from(number % 100).ok()?)
}

/// The wire form.
#[must_use]
pub fn to_proto(day: CalendarDate) -> Date {
    Date { year: i32::from(day.year()), month: i32::from(day.month()), day: i32::from(day.day()) }
}

/// The day of a wire form; `None` where the calendar has no such day.
#[must_use]
pub fn from_proto(date: &Date) -> Option<CalendarDate> {
    CalendarDate::new(u16::try_from(date.year).ok()?, u8::try_from(date.month).ok()?, u8::try_from(date.day).ok()?)
}

fn last_day() -> CalendarDate {
    #[expect(clippy::unwrap_used, reason = "9999-12-31 is a day of the calendar")]
    CalendarDate::new(9999, 12, 31).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_shanghai() {
        let midnight = 1_767_196_800_000; // 2026-01-01T00:00:00+08:00
        assert_eq!(of_ms(midnight).to_string(), "2026-01-01");
        assert_eq!(of_ms(midnight - 1).to_string(), "2025-12-31");
        assert_eq!((hour_of_ms(midnight), hour_of_ms(midnight - 1)), (0, 23));
    }

    #[test]
    fn a_day_survives_its_stored_and_its_wire_form() {
        let day = CalendarDate::new(2024, 2, 29).unwrap();
        assert_eq!(from_number(number(day)), Some(day));
        assert_eq!(from_proto(&to_proto(day)), Some(day));
        assert_eq!(from_number(20_230_229), None);
        assert_eq!(from_proto(&Date { year: 2023, month: 13, day: 1 }), None);
    }
}
