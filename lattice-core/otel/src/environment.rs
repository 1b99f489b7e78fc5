//! The standard variables of OpenTelemetry, for what the program doesn't set itself.

use crate::InstallError;
use http::{HeaderName, HeaderValue};
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

    /// The value of a variable of one signal or, if that has none, of the one of all signals, with
    /// its name. `what` is the end of both names.
    fn of_signal(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name());
        let all = format!("OTEL_EXPORTER_OTLP_{what}");
        let mut names = [own, all].into_iter();
        names.find_map(|name| self.value(&name).map(|value| (name, value)))
    }

    /// The headers that the collector wants with a signal, such as a key.
    pub(crate) fn headers(&self, signal: Signal) -> Result<Vec<(String, String)>, InstallError> {
        let Some((variable, given)) = self.of_signal(signal, "HEADERS") else {
            return Ok(Vec::new());
        };
        let pairs = given.split(',').map(str::trim);
        let pairs = pairs.filter(|pair| !pair.is_empty()).enumerate();
        pairs
            .map(|(before, pair)| {
                let header = header(pair);
                // What it is stays unsaid: it may be a key.
                header.ok_or_else(|| InstallError::Header {
                    variable: variable.clone(),
                    place: before + 1,
                })
            })
            .collect()
    }

    /// How long one request for a signal may take.
    pub(crate) fn timeout(&self, signal: Signal) -> Result<Duration, InstallError> {
        let Some((name, value)) = self.of_signal(signal, "TIMEOUT") else {
            return Ok(DEFAULT_TIMEOUT);
        };
        match value.parse() {
            Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
            _ => Err(InstallError::variable(&name, &value, "milliseconds")),
        }
    }

    /// Checks that nothing asks for a protocol that isn't there.
    pub(crate) fn check_protocol(&self) -> Result<(), InstallError> {
        for signal in Signal::ALL {
            let asked = self.of_signal(signal, "PROTOCOL");
            if let Some((name, value)) = asked
                && value != "http/protobuf"
            {
                return Err(InstallError::variable(&name, &value, "`http/protobuf`"));
            }
        }
        Ok(())
    }

    /// Whether the attributes of the process that the variables name have this one.
    pub(crate) fn names_attribute(&self, key: &str) -> bool {
        let all = self.value("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut pairs = all.split(',').filter_map(|pair| pair.split_once('='));
        pairs.any(|(name, _)| name.trim() == key)
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

/// Reads a header, `name=value`, with an encoded value.
fn header(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let name = HeaderName::try_from(name.trim()).ok()?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    HeaderValue::try_from(&*value).ok()?;
    Some((name.as_str().to_owned(), value.into_owned()))
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
        let grpc = [("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")];
        let error = with(&grpc, |all| all.check_protocol()).expect_err("nor for one signal");
        assert!(error.to_string().contains("_LOGS_PROTOCOL"), "{error}");
        let zipkin = [("OTEL_TRACES_EXPORTER", "zipkin")];
        assert!(with(&zipkin, |all| all.is_off(Signal::Traces)).is_err());
        let none = [("OTEL_LOGS_EXPORTER", "none")];
        assert!(matches!(
            with(&none, |all| all.is_off(Signal::Logs)),
            Ok(true)
        ));
        let zero = [("OTEL_EXPORTER_OTLP_TIMEOUT", "0")];
        assert!(with(&zero, |all| all.timeout(Signal::Logs)).is_err());
        assert!(with(&[("OTEL_BSP_MAX_QUEUE_SIZE", "0")], |all| all.queue()).is_err());
    }

    #[test]
    fn headers_are_pairs_with_encoded_values() {
        let headers = |variables: &[_]| {
            let headers = with(variables, |all| all.headers(Signal::Traces));
            headers.map_err(|error| error.to_string())
        };
        let all = ("OTEL_EXPORTER_OTLP_HEADERS", "key=a%20b, other = c=d ,");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let both = vec![pair("key", "a b"), pair("other", "c=d")];
        assert_eq!(headers(&[all]), Ok(both));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "key=own");
        assert_eq!(headers(&[all, own]), Ok(vec![pair("key", "own")]));
        assert_eq!(headers(&[]), Ok(Vec::new()));
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
        for wrong in ["secret", "a=1,k y=secret", "a=1,key=secret%0a", "=secret"] {
            let variables = [("OTEL_EXPORTER_OTLP_METRICS_HEADERS", wrong)];
            let error = with(&variables, |all| all.headers(Signal::Metrics)).expect_err(wrong);
            let error = error.to_string();
            assert!(error.contains("_METRICS_HEADERS"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn one_signal_may_have_its_own_time() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "500"),
        ];
        let time = |signal| with(&variables, |all| all.timeout(signal)).ok();
        assert_eq!(time(Signal::Traces), Some(Duration::from_millis(500)));
        assert_eq!(time(Signal::Logs), Some(Duration::from_secs(2)));
    }

    #[test]
    fn attributes_of_the_process_are_known_by_their_whole_names() {
        let variables = [("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=shop,x.id=1")];
        let names = |key: &str| with(&variables, |all| all.names_attribute(key));
        assert!(names("service.name") && names("a"));
        assert!(!names("name") && !names("id") && !names("shop"));
    }

    #[test]
    fn it_can_be_switched_off() {
        assert!(with(&[("OTEL_SDK_DISABLED", "TRUE")], |all| all.is_disabled()));
        assert!(!with(&[("OTEL_SDK_DISABLED", "1")], |all| all.is_disabled()));
    }
}
