//! From when until when a certificate is valid: two dates deep in its DER.

use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The tag of a certificate's version.
const VERSION: u8 = 0xa0;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    from: SystemTime,
    until: SystemTime,
}

impl Validity {
    /// Reads the dates of a certificate. `None` when they aren't where they belong.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if let Some((_, after)) = element(rest, VERSION) {
            rest = after;
        }
        // Its number, the algorithm of its signature, and who issued it.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            rest = element(rest, tag)?.1;
        }
        let (dates, _) = element(rest, SEQUENCE)?;
        let (from, rest) = date(dates)?;
        let (until, _) = date(rest)?;
        Some(Self { from, until })
    }

    /// Says what is wrong at this time, if anything is.
    pub(super) fn at(self, now: SystemTime) -> Result<(), &'static str> {
        if now < self.from {
            Err("is not valid yet")
        } else if now > self.until {
            Err("has expired")
        } else {
            Ok(())
        }
    }
}

/// Returns the content of the first element, which must have this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (length as usize, rest)
    } else {
        let (digits, rest) = rest.split_at_checked((length & 0x7f) as usize)?;
        if !(1..=4).contains(&digits.len()) {
            return None;
        }
        let length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
        (length, rest)
    };
    rest.split_at_checked(length)
}

/// Returns the date of the first element, and what follows it.
fn date(bytes: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (text, rest, year_digits) = if let Some((text, rest)) = element(bytes, UTC_TIME) {
        (text, rest, 2)
    } else {
        let (text, rest) = element(bytes, GENERALIZED_TIME)?;
        (text, rest, 4)
    };
    let text = text.strip_suffix(b"Z")?;
    let (year, fields) = text.split_at_checked(year_digits)?;
    let year = match (number(year)?, year_digits) {
        (year @ 0..50, 2) => year + 2000,
        (year, 2) => year + 1900,
        (year, _) => year,
    };
    let mut fields = fields.chunks(2).map(number);
    let mut field = || fields.next().flatten();
    let (month, day) = (field()?, field()?);
    let (hour, minute, second) = (field()?, field()?, field()?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && year >= 1970;
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), rest))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Counts the days of the Gregorian calendar, in years that begin in March.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days_of_years = 365 * year + year / 4 - year / 100 + year / 400;
    let days_of_months = (153 * month + 2) / 5;
    // The days from the first of March of the year 0 to 1970.
    days_of_years + days_of_months + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        let mut bytes = vec![tag, text.len() as u8];
        bytes.extend_from_slice(text.as_bytes());
        let (time, rest) = date(&bytes)?;
        assert!(rest.is_empty());
        let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("later");
        Some(since.as_secs())
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "000229120000Z", 951_825_600),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
            (GENERALIZED_TIME, "19700301000000Z", 5_097_600),
        ] {
            assert_eq!(seconds(tag, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "Z",
            "700101000000",
            "7001010000Z",
            "701301000000Z",
            "70010100000aZ",
        ] {
            assert_eq!(seconds(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(seconds(GENERALIZED_TIME, "19691231235959Z"), None);
    }

    #[test]
    fn broken_der_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x82, 1],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x30, 0xff],
        ] {
            assert_eq!(element(bytes, SEQUENCE), None, "{bytes:?}");
            assert_eq!(Validity::of(bytes), None, "{bytes:?}");
        }
    }
}
