//! Lengths of time in configs.

use lattice_provider_sdk::Refusal;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, time::Duration};

/// A length of time, written as a whole number with its unit: `500ms`, `30s`, `5m` or `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// Creates a period. In a config it has whole milliseconds.
    pub const fn new(length: Duration) -> Self {
        Self(length)
    }

    /// Creates a period of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Returns its length.
    pub const fn length(self) -> Duration {
        self.0
    }

    /// Checks that the setting `name` is between two lengths.
    pub(crate) fn check(self, name: &str, least: Duration, most: Duration) -> Result<(), Refusal> {
        if (least..=most).contains(&self.0) {
            return Ok(());
        }
        Err(Refusal::new(format!(
            "`{name}` is {self}; it must be from {} to {}",
            Self(least),
            Self(most)
        )))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis > 0 && millis.is_multiple_of(length) {
                return write!(f, "{}{unit}", millis / length);
            }
        }
        write!(f, "{millis}ms")
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(PeriodVisitor)
    }
}

/// As it is written: a string.
impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

struct PeriodVisitor;

impl de::Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as `500ms`, `30s`, `5m` or `1h`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
        let length = lattice_core::quantity::parse_duration(text);
        let invalid = || E::invalid_value(de::Unexpected::Str(text), &self);
        length.map(Period).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_as_it_is_written() {
        for text in ["500ms", "30s", "5m", "1h", "90s", "1500ms", "0ms"] {
            let json = format!("\"{text}\"");
            let period: Period = serde_json::from_str(&json).expect(text);
            assert_eq!(serde_json::to_string(&period).expect("JSON"), json);
        }
        for text in ["\"\"", "\"5\"", "\"-1s\"", "5", "null"] {
            assert!(serde_json::from_str::<Period>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_period_out_of_its_range_is_refused_by_name() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(Period::seconds(60).check("wait", second, minute), Ok(()));
        let refusal = Period::seconds(90).check("wait", second, minute);
        assert_eq!(
            refusal.expect_err("too long").reason(),
            "`wait` is 90s; it must be from 1s to 1m"
        );
    }
}
