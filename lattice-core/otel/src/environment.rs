//! The standard variables of OpenTelemetry, for what the program doesn't set itself.

use crate::InstallError;
use percent_encoding::percent_decode_str;
use std::{env, time::Duration};

/// The collector of this machine, where the specification says to send to.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
/// How long one request may take, as the specification says.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(crate) const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The path below the endpoint of all signals.
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
            Self::Logs => "v1/logs",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }
}

/// Reads variables. Tests give others than those of the process.
pub(crate) struct Environment<'e>(pub(crate) &'e dyn Fn(&str) -> Option<String>);

impl Environment<'static> {
    /// The variables of this process.
    pub(crate) const PROCESS: Self = Self(&|name| env::var(name).ok());
}

impl Environment<'_> {
    /// The value of a variable, if it isn't empty.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Whether telemetry is switched off altogether.
    pub(crate) fn is_disabled(&self) -> bool {
        let value = self.value("OTEL_SDK_DISABLED");
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether a variable names a collector.
    pub(crate) fn has_endpoint(&self) -> bool {
        let of_signals = Signal::ALL.map(endpoint_variable);
        let all = ["OTEL_EXPORTER_OTLP_ENDPOINT".to_owned()];
        let mut names = all.iter().chain(&of_signals);
        names.any(|name| self.value(name).is_some())
    }

    /// Whether a signal isn't sent.
    pub(crate) fn is_off(&self, signal: Signal) -> Result<bool, InstallError> {
        let name = format!("OTEL_{}_EXPORTER", signal.name());
        match self.value(&name).as_deref() {
            None | Some("otlp") => Ok(false),
            Some("none") => Ok(true),
            Some(other) => Err(InstallError::variable(&name, other, "`otlp` or `none`")),
        }
    }

    /// Where a signal is sent, with the endpoint that the program has set, if it has.
    pub(crate) fn url(&self, signal: Signal, set: Option<&str>) -> String {
        let below = |base: &str| format!("{}/{}", base.trim_end_matches('/'), signal.path());
        if let Some(base) = set {
            return below(base);
        }
        if let Some(own) = self.value(&endpoint_variable(signal)) {
            return own;
        }
        let all = self.value("OTEL_EXPORTER_OTLP_ENDPOINT");
        below(all.as_deref().unwrap_or(DEFAULT_ENDPOINT))
    }

    /// The headers that the collector wants with a signal, such as a key.
    pub(crate) fn headers(&self, signal: Signal) -> Vec<(String, String)> {
        let own = self.value(&format!("OTEL_EXPORTER_OTLP_{}_HEADERS", signal.name()));
        let given = own.or_else(|| self.value("OTEL_EXPORTER_OTLP_HEADERS"));
        let pairs = given.as_deref().unwrap_or_default().split(',');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8_lossy();
                (name.trim().to_owned(), value.into_owned())
            })
            .collect()
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Result<Duration, InstallError> {
        let name = "OTEL_EXPORTER_OTLP_TIMEOUT";
        let Some(value) = self.value(name) else {
            return Ok(DEFAULT_TIMEOUT);
        };
        match value.parse() {
            Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
            _ => Err(InstallError::variable(name, &value, "milliseconds")),
        }
    }

    /// Checks that nothing asks for a protocol that isn't there.
    pub(crate) fn check_protocol(&self) -> Result<(), InstallError> {
        let name = "OTEL_EXPORTER_OTLP_PROTOCOL";
        match self.value(name).as_deref() {
            None | Some("http/protobuf") => Ok(()),
            Some(other) => Err(InstallError::variable(name, other, "`http/protobuf`")),
        }
    }

    /// The most spans that wait to be sent.
    pub(crate) fn queue(&self) -> Result<usize, InstallError> {
        let name = "OTEL_BSP_MAX_QUEUE_SIZE";
        let Some(value) = self.value(name) else {
            return Ok(2_048);
        };
        match value.parse() {
            Ok(spans) if spans > 0 => Ok(spans),
            _ => Err(InstallError::variable(name, &value, "a number of spans")),
        }
    }

    /// The share of traces that are sampled. All samplers follow the decision of the caller, where
    /// there is one.
    pub(crate) fn ratio(&self) -> Result<f64, InstallError> {
        let name = "OTEL_TRACES_SAMPLER";
        let Some(sampler) = self.value(name) else {
            return Ok(1.0);
        };
        match &*sampler {
            "always_on" | "parentbased_always_on" => Ok(1.0),
            "always_off" | "parentbased_always_off" => Ok(0.0),
            "traceidratio" | "parentbased_traceidratio" => {
                let name = "OTEL_TRACES_SAMPLER_ARG";
                let Some(value) = self.value(name) else {
                    return Ok(1.0);
                };
                let ratio = value.parse().ok().filter(|ratio| is_share(*ratio));
                ratio.ok_or_else(|| InstallError::variable(name, &value, "a number from 0 to 1"))
            }
            other => Err(InstallError::variable(
                name,
                other,
                "`always_on`, `always_off` or `traceidratio`, or one of them after `parentbased_`",
            )),
        }
    }
}

/// Whether this is a share of traces.
pub(crate) fn is_share(ratio: f64) -> bool {
    (0.0..=1.0).contains(&ratio)
}

fn endpoint_variable(signal: Signal) -> String {
    format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.name())
}

#[cfg(test)]
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method is one of a single lifetime, and not of all"
)]
mod tests {
    use super::*;

    fn with<T>(variables: &[(&str, &str)], read: impl Fn(&Environment<'_>) -> T) -> T {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read(&Environment(&value))
    }

    #[test]
    fn a_signal_goes_where_the_nearest_variable_says() {
        let url = |variables: &[_], set| with(variables, |all| all.url(Signal::Traces, set));
        assert_eq!(url(&[], None), "http://localhost:4318/v1/traces");
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(url(&[all], None), "http://collector:4318/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces/in");
        assert_eq!(url(&[all, own], None), "http://traces/in");
        let set = Some("http://set:1");
        assert_eq!(url(&[all, own], set), "http://set:1/v1/traces");
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], |all| all
            .has_endpoint()));
        assert!(with(&[own], |all| all.has_endpoint()));
    }

    #[test]
    fn a_sampler_becomes_a_share() {
        let ratio = |sampler, share| {
            let variables = [
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", share),
            ];
            with(&variables, |all| all.ratio()).map_err(|error| error.to_string())
        };
        assert_eq!(with(&[], |all| all.ratio()).ok(), Some(1.0));
        assert_eq!(ratio("always_off", ""), Ok(0.0));
        assert_eq!(ratio("parentbased_traceidratio", "0.01"), Ok(0.01));
        assert_eq!(ratio("traceidratio", ""), Ok(1.0));
        for wrong in ["1.1", "-0.1", "NaN", "some"] {
            let error = ratio("traceidratio", wrong).expect_err(wrong);
            assert!(error.contains("OTEL_TRACES_SAMPLER_ARG"), "{error}");
        }
        let error = ratio("jaeger_remote", "").expect_err("it isn't there");
        assert!(error.contains("`always_on`"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let grpc = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let error = with(&grpc, |all| all.check_protocol()).expect_err("it isn't there");
        assert!(error.to_string().contains("`http/protobuf`"), "{error}");
        let zipkin = [("OTEL_TRACES_EXPORTER", "zipkin")];
        assert!(with(&zipkin, |all| all.is_off(Signal::Traces)).is_err());
        let none = [("OTEL_LOGS_EXPORTER", "none")];
        assert!(matches!(
            with(&none, |all| all.is_off(Signal::Logs)),
            Ok(true)
        ));
        assert!(with(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")], |all| all.timeout()).is_err());
        assert!(with(&[("OTEL_BSP_MAX_QUEUE_SIZE", "0")], |all| all.queue()).is_err());
    }

    #[test]
    fn headers_are_pairs_with_encoded_values() {
        let headers = |variables: &[_]| with(variables, |all| all.headers(Signal::Traces));
        let all = ("OTEL_EXPORTER_OTLP_HEADERS", "key=a%20b, other = c ,broken");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers(&[all]), [pair("key", "a b"), pair("other", "c")]);
        let own = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "key=own");
        assert_eq!(headers(&[all, own]), [pair("key", "own")]);
        assert!(headers(&[]).is_empty());
    }

    #[test]
    fn it_can_be_switched_off() {
        assert!(with(&[("OTEL_SDK_DISABLED", "TRUE")], |all| all.is_disabled()));
        assert!(!with(&[("OTEL_SDK_DISABLED", "1")], |all| all.is_disabled()));
    }
}
