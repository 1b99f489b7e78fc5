//! Metrics as text: the format that Prometheus reads, and `OpenMetrics`.
//!
//! Names are those that the collectors of OpenTelemetry make of the same metrics: dots become
//! underscores, the unit is a suffix, and a counter ends with `_total`.

use super::{Attributes, Distribution, Family, Instrument, Kind, Metrics, Value};
use std::fmt::{self, Write as _};

/// A format of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0, which ends with `# EOF`.
    OpenMetrics,
}

impl Exposition {
    /// Returns the format to answer with to a request that accepts these media types, as its header
    /// `Accept` lists them: `OpenMetrics` if it is asked for.
    pub fn accepted(accept: &str) -> Self {
        let mut types = accept.split(',').map(|one| one.split(';'));
        let is_asked_for = types.any(|mut parts| {
            let is_it = parts
                .next()
                .is_some_and(|name| name.trim() == "application/openmetrics-text");
            let is_refused = |part: &str| {
                let quality = part.trim().strip_prefix("q=");
                quality.is_some_and(|quality| quality.parse() == Ok(0.0_f64))
            };
            is_it && !parts.any(is_refused)
        });
        if is_asked_for {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the media type of the text, for the header `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Instrument {
    /// Returns its name for Prometheus, without the suffix `_total` that the samples of counters
    /// have: `lattice_queue_calls`, `rpc_client_call_duration_seconds`.
    pub fn prometheus_name(&self) -> String {
        let mut name = self.name.replace('.', "_");
        if let Some(unit) = self.prometheus_unit() {
            name.push('_');
            name.push_str(unit);
        }
        name
    }

    fn prometheus_unit(&self) -> Option<&'static str> {
        match self.unit {
            "s" => Some("seconds"),
            "By" => Some("bytes"),
            _ => None,
        }
    }
}

pub(super) fn text(metrics: &Metrics, exposition: Exposition) -> String {
    let mut text = String::new();
    for family in metrics.families() {
        // Writing to a string doesn't fail.
        let _ = write_family(&mut text, family, exposition);
    }
    if exposition == Exposition::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &Family, exposition: Exposition) -> fmt::Result {
    let instrument = family.instrument();
    let name = instrument.prometheus_name();
    let (kind, suffix) = match instrument.kind {
        Kind::Counter => ("counter", "_total"),
        Kind::Level | Kind::Gauge => ("gauge", ""),
        Kind::Histogram => ("histogram", ""),
    };
    // The older format names the samples, the newer one the family.
    let described = match exposition {
        Exposition::Prometheus => format!("{name}{suffix}"),
        Exposition::OpenMetrics => name.clone(),
    };
    let about = Escaped(instrument.about, exposition == Exposition::OpenMetrics);
    writeln!(text, "# HELP {described} {about}")?;
    writeln!(text, "# TYPE {described} {kind}")?;
    if let (Exposition::OpenMetrics, Some(unit)) = (exposition, instrument.prometheus_unit()) {
        writeln!(text, "# UNIT {described} {unit}")?;
    }
    for point in family.points() {
        let labels = Labels(&point.attributes, None);
        match &point.value {
            Value::Whole(value) => writeln!(text, "{name}{suffix}{labels} {value}")?,
            Value::Real(value) => writeln!(text, "{name}{suffix}{labels} {}", Number(*value))?,
            Value::Times(times) => write_times(text, &name, &point.attributes, times)?,
        }
    }
    Ok(())
}

fn write_times(
    text: &mut String,
    name: &str,
    attributes: &Attributes,
    times: &Distribution,
) -> fmt::Result {
    let mut so_far = 0;
    let bounds = times.bounds.iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(&times.counts) {
        so_far += count;
        let labels = Labels(attributes, Some(bound));
        writeln!(text, "{name}_bucket{labels} {so_far}")?;
    }
    let labels = Labels(attributes, None);
    writeln!(text, "{name}_sum{labels} {}", Number(times.sum))?;
    writeln!(text, "{name}_count{labels} {so_far}")
}

/// The labels of a sample, in braces, with the bound of a bucket.
struct Labels<'a>(&'a Attributes, Option<f64>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(attributes, bound) = self;
        if attributes.is_empty() && bound.is_none() {
            return Ok(());
        }
        let mut before = "{";
        for (name, value) in *attributes {
            let value = Escaped(value, true);
            write!(f, "{before}{}=\"{value}\"", name.replace('.', "_"))?;
            before = ",";
        }
        if let Some(bound) = bound {
            write!(f, "{before}le=\"{}\"", Number(*bound))?;
        }
        f.write_str("}")
    }
}

/// A text with backslashes and line ends escaped, and quotes where that is said.
struct Escaped<'a>(&'a str, bool);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, quotes) = self;
        for character in text.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if *quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number. Whole ones have a decimal point, as `OpenMetrics` wants it of bounds.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = *self;
        if number.is_nan() {
            f.write_str("NaN")
        } else if number.is_infinite() {
            f.write_str(if number > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            // The shortest text that is this number, such as `0.005` and `10.0`.
            write!(f, "{number:?}")
        }
    }
}
