//! Times, in whole seconds since 1970-01-01 00:00 UTC, and their texts.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;

/// Returns the time of the host's clock.
pub(crate) fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_secs())
}

/// Returns the day in UTC, such as `2026-03-01`.
pub(crate) fn day(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Returns the day that was so many days before.
pub(crate) fn day_before(seconds: u64, days: u64) -> String {
    day(seconds.saturating_sub(days * DAY))
}

/// Returns the time in UTC, such as `2026-03-01T12:00:00Z`.
pub(crate) fn moment(seconds: u64) -> String {
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", day(seconds))
}

/// Returns the year, the month and the day of the month of a day since 1970-01-01, by Howard
/// Hinnant's `civil_from_days`: its years begin in March, so that a leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let since_march_of_0 = days + 719_468;
    let (era, day_of_era) = (since_march_of_0 / 146_097, since_march_of_0 % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = (months_since_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}
