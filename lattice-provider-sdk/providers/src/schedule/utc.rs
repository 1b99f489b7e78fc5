//! Points in time for the search of cron expressions, in UTC and to the second.

use croner::{
    errors::CronError,
    time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday},
};
use std::cmp::Ordering;

const DAY: i64 = 86_400;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Utc(pub(super) i64);

impl CronDateTime for Utc {
    fn to_civil(&self) -> CivilDateTime {
        let (days, second) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY) as u32);
        let (year, month, day) = date_of(days);
        let date = CivilDate::from_ymd_opt(year, month, day);
        let time = CivilTime::from_hms_opt(second / 3_600, second / 60 % 60, second % 60);
        CivilDateTime::new(
            date.expect("a date of the calendar"),
            time.expect("within a day"),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        // 1970-01-01 was a Thursday.
        let days = (self.0.div_euclid(DAY) + 4).rem_euclid(7);
        Weekday::from_days_from_sunday(days as u32)
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let days = days_of(civil.year(), civil.month(), civil.day());
        let time = civil.hour() * 3_600 + civil.minute() * 60 + civil.second();
        Ok(Resolution::Single(Self(days * DAY + i64::from(time))))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(seconds).map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from
/// March, so that the leap day is the last one, in eras of 400 years.
fn days_of(year: i32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = i64::from((month + 9) % 12);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year * 365 + year / 4 - year / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns the year, month and day that are this many days after 1970-01-01.
fn date_of(days: i64) -> (i32, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text, weekday) in [
            (0, "1970-01-01T00:00:00", Weekday::Thursday),
            (951_782_400, "2000-02-29T00:00:00", Weekday::Tuesday),
            (1_709_251_199, "2024-02-29T23:59:59", Weekday::Thursday),
            (1_709_251_200, "2024-03-01T00:00:00", Weekday::Friday),
            (4_107_542_400, "2100-03-01T00:00:00", Weekday::Monday),
            (-1, "1969-12-31T23:59:59", Weekday::Wednesday),
        ] {
            let utc = Utc(seconds);
            assert_eq!(utc.to_civil().to_string(), text);
            assert_eq!(utc.civil_weekday(), weekday, "{text}");
        }
    }

    #[test]
    fn every_day_of_400_years_is_converted_both_ways() {
        for days in (-1_000..146_097).step_by(13) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), days);
            let utc = Utc(days * DAY + 3_723);
            let back = utc.resolve_civil(utc.to_civil()).expect("resolves");
            assert_eq!(back, Resolution::Single(utc));
        }
    }
}
