//! Durations in settings.

use lattice_core::quantity::parse_duration;
use serde::{Deserialize, Deserializer, de};
use std::time::Duration;

/// Reads a duration such as `500ms` or `10s`, which isn't zero.
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let duration = parse_duration(&text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| {
        de::Error::custom("invalid duration: write a whole number of ms, s, m or h, such as `10s`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_without_a_unit_are_refused() {
        #[derive(Debug, Deserialize)]
        struct Timed(#[serde(deserialize_with = "duration")] Duration);
        let timed: Timed = serde_json::from_str(r#""250ms""#).expect("a duration");
        assert_eq!(timed.0, Duration::from_millis(250));
        for text in [r#""250""#, r#""0s""#, r#""soon""#] {
            assert!(serde_json::from_str::<Timed>(text).is_err(), "{text}");
        }
    }
}
