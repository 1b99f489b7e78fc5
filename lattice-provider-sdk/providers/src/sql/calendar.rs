//! Days, times and moments as numbers and texts.

use super::database::{Date, Datetime, Error, Time};

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;
/// Years beyond these can't be counted in days of 32 bits; no database has them.
const YEARS: std::ops::RangeInclusive<i32> = -5_000_000..=5_000_000;

/// Returns the day that is so many days after 1970-01-01.
pub(super) fn date(days: i32) -> Date {
    // Days since 0000-03-01, in eras of 400 years: leap days are then at the ends of years.
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Date {
        year: year as i32,
        month: month as u8,
        day: day as u8,
    }
}

/// Returns the time that is so many microseconds after midnight, in a day.
pub(super) fn time(micros: i64) -> Time {
    let seconds = micros / 1_000_000;
    Time {
        hour: (seconds / 3_600) as u8,
        minute: (seconds / 60 % 60) as u8,
        second: (seconds % 60) as u8,
        microsecond: (micros % 1_000_000) as u32,
    }
}

/// Returns the day and time so many microseconds after 1970-01-01 00:00, if its day can be counted.
pub(super) fn datetime(micros: i64) -> Option<Datetime> {
    let days = i32::try_from(micros.div_euclid(DAY)).ok()?;
    Some(Datetime {
        date: date(days),
        time: time(micros.rem_euclid(DAY)),
    })
}

/// Returns a day as text, such as `2026-01-31`; years before 1 as `0044-03-15 BC`.
pub(super) fn date_text(date: &Date) -> Result<String, Error> {
    let (text, era) = date_parts(date)?;
    Ok(text + era)
}

/// Returns a time as text, such as `13:05:09.000001`.
pub(super) fn time_text(time: &Time) -> Result<String, Error> {
    let Time {
        hour,
        minute,
        second,
        microsecond,
    } = *time;
    if hour > 23 || minute > 59 || second > 59 || microsecond > 999_999 {
        return Err(Error::Parameter(format!(
            "{hour}:{minute}:{second} and {microsecond} microseconds isn't a time of day"
        )));
    }
    Ok(format!(
        "{hour:02}:{minute:02}:{second:02}.{microsecond:06}"
    ))
}

/// Returns a day and time as text, such as `2026-01-31 13:05:09.000001`.
pub(super) fn datetime_text(datetime: &Datetime) -> Result<String, Error> {
    let (date, era) = date_parts(&datetime.date)?;
    Ok(format!("{date} {}{era}", time_text(&datetime.time)?))
}

/// Returns a moment as text, such as `2026-01-31 13:05:09.000001+00:00`.
pub(super) fn timestamp_text(micros: i64) -> Result<String, Error> {
    let moment = datetime(micros)
        .ok_or_else(|| Error::Parameter(format!("{micros} microseconds is too far from 1970")))?;
    let (date, era) = date_parts(&moment.date)?;
    Ok(format!("{date} {}+00:00{era}", time_text(&moment.time)?))
}

fn date_parts(date: &Date) -> Result<(String, &'static str), Error> {
    let Date { year, month, day } = *date;
    if !YEARS.contains(&year) || day == 0 || day > days_in(year, month) {
        return Err(Error::Parameter(format!(
            "there is no day {day} of month {month} in year {year}"
        )));
    }
    // Year 0 is 1 BC.
    let (shown, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    Ok((format!("{shown:04}-{month:02}-{day:02}"), era))
}

/// Returns how many days a month has; none if there is no such month.
fn days_in(year: i32, month: u8) -> u8 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_484, "2026-01-31"),
            (-719_528, "0001-01-01 BC"),
            (-719_529, "0002-12-31 BC"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date_text(&date(days)).as_deref(), Ok(text), "{days}");
        }
    }

    #[test]
    fn moments_are_counted_in_microseconds() {
        assert_eq!(
            timestamp_text(-1).as_deref(),
            Ok("1969-12-31 23:59:59.999999+00:00")
        );
        assert_eq!(
            timestamp_text(20_484 * DAY + 47_109_000_001).as_deref(),
            Ok("2026-01-31 13:05:09.000001+00:00")
        );
        assert!(datetime(i64::MAX).is_some(), "about 292,000 years");
    }

    #[test]
    fn a_day_or_a_time_that_does_not_exist_is_refused() {
        for (year, month, day) in [(2026, 2, 29), (2026, 13, 1), (2026, 0, 1), (2026, 1, 0)] {
            let date = Date { year, month, day };
            assert!(matches!(date_text(&date), Err(Error::Parameter(_))));
        }
        let leap = Date {
            year: 2024,
            month: 2,
            day: 29,
        };
        assert!(date_text(&leap).is_ok());
        let time = Time {
            hour: 24,
            minute: 0,
            second: 0,
            microsecond: 0,
        };
        assert!(matches!(time_text(&time), Err(Error::Parameter(_))));
    }
}
