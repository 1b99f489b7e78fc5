//! Durations as people write them.

use super::with_unit;
use std::time::Duration;

const MILLISECONDS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Parses a whole number of `ms`, `s`, `m` or `h`, such as `500ms` or `10 s`. Returns `None` for
/// any other text.
pub fn parse_duration(text: &str) -> Option<Duration> {
    with_unit(text, &MILLISECONDS).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_a_known_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("2 s", 2_000),
            ("1m", 60_000),
            ("3h", 10_800_000),
            ("0s", 0),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "2d",
            " 2s",
            "2s ",
            "2S",
            "1h 30m",
            "18446744073709551616ms",
            "18446744073709551615s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
