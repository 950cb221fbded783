//! Days of the Gregorian calendar, without a clock or a time zone.

use super::{CodeFault, CodeKind, Problem};
use std::fmt;

/// A day that exists, from 1800-01-01 to 9999-12-31. Canonical text: `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalendarDate {
    year: u16,
    month: u8,
    day: u8,
}

impl CalendarDate {
    /// The day, if the calendar has it.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let real = (1800..=9999).contains(&year) && (1..=days_in_month(year, month)?).contains(&day);
        real.then_some(Self { year, month, day })
    }

    /// Reads `YYYY-MM-DD`, `YYYYMMDD`, `YYYY/M/D` or `YYYY年M月D日`, the forms found in source data.
    ///
    /// # Errors
    /// [`Problem::NoSuchDate`] with the text as it was.
    pub fn parse(text: &str) -> Result<Self, CodeFault> {
        let text = super::clean(text);
        if text.is_empty() {
            return Err(CodeFault::new(CodeKind::Date, Problem::Empty));
        }
        Self::read(&text).ok_or_else(|| CodeFault::new(CodeKind::Date, Problem::NoSuchDate { text }))
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            return Self::from_digits(text);
        }
        let text = text.strip_suffix('日').unwrap_or(text);
        let parts: Vec<&str> = text.split(['-', '/', '.', '年', '月']).collect();
        let [year, month, day] = parts.as_slice() else { return None };
        let plain = |part: &str, least: usize, most: usize| {
            (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        };
        if !(plain(year, 4, 4) && plain(month, 1, 2) && plain(day, 1, 2)) {
            return None;
        }
        Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// Reads exactly eight digits `YYYYMMDD`.
    pub fn from_digits(text: &str) -> Option<Self> {
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Self::new(text.get(0..4)?.parse().ok()?, text.get(4..6)?.parse().ok()?, text.get(6..8)?.parse().ok()?)
    }

    /// Year, 1800–9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// Month, 1–12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// Day of the month, 1–31.
    pub fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01, negative before.
    pub fn day_number(self) -> i32 {
        // Howard Hinnant's days_from_civil: years counted from March, eras of 400 years.
        let (y, m, d) = (i32::from(self.year), i32::from(self.month), i32::from(self.day));
        let y = if m <= 2 { y - 1 } else { y };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The day with this number of days since 1970-01-01, if in range.
    pub fn from_day_number(days: i32) -> Option<Self> {
        let z = days.checked_add(719_468)?;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        Self::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?)
    }

    /// The day so many days later (earlier when negative), if in range.
    pub fn plus_days(self, days: i32) -> Option<Self> {
        Self::from_day_number(self.day_number().checked_add(days)?)
    }

    /// The same day so many years later; 29 February becomes 1 March in a common year.
    pub fn plus_years(self, years: u16) -> Option<Self> {
        let year = self.year.checked_add(years)?;
        Self::new(year, self.month, self.day).or_else(|| Self::new(year, 3, 1))
    }

    /// `YYYYMMDD`, as codes hold it.
    pub fn digits(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for CalendarDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn days_in_month(year: u16, month: u8) -> Option<u8> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_found_in_source_data_means_the_same_day() {
        for text in
            ["2024-02-29", "20240229", "2024/2/29", "2024.02.29", "2024年2月29日", "２０２４-02-29", " 2024-02-29 "]
        {
            assert_eq!(CalendarDate::parse(text).unwrap().to_string(), "2024-02-29", "{text}");
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for text in [
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-04-31",
            "0000-01-01",
            "24-01-01",
            "2024-1",
            "2024-01-01x",
            "+024-01-01",
        ] {
            assert!(CalendarDate::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn day_numbers_and_days_are_one_to_one(days in -62_000i32..2_900_000) {
            let date = CalendarDate::from_day_number(days).unwrap();
            proptest::prop_assert_eq!(date.day_number(), days);
            proptest::prop_assert_eq!(CalendarDate::parse(&date.to_string()).unwrap(), date);
            proptest::prop_assert_eq!(CalendarDate::from_digits(&date.digits()).unwrap(), date);
        }

        #[test]
        fn any_text_is_a_date_or_a_fault(text in "\\PC{0,20}") {
            let _ = CalendarDate::parse(&text);
        }
    }
}
