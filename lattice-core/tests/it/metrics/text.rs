//! Metrics as text, read back by a parser that allows nothing else.

use crate::exposition::{Exposed, parse};
use lattice_core::telemetry::metrics::{
    Distribution, Exposition, INSTRUMENTS, Kind, MOST_SERIES, Metrics, OVERFLOW, Value,
    instruments as is,
};
use std::time::SystemTime;

fn empty() -> Metrics {
    Metrics::new(SystemTime::UNIX_EPOCH)
}

fn both(metrics: &Metrics) -> [Exposed; 2] {
    [Exposition::Prometheus, Exposition::OpenMetrics].map(|exposition| {
        let text = metrics.to_text(exposition);
        let parsed = parse(&text, exposition == Exposition::OpenMetrics);
        parsed.unwrap_or_else(|reason| panic!("{reason}\n{text}"))
    })
}

fn times() -> Distribution {
    let mut times = Distribution::empty();
    times.counts[3] = 2;
    *times.counts.last_mut().expect("one") = 1;
    times.sum = 20.002;
    times
}

#[test]
fn every_instrument_can_be_exposed() {
    let mut metrics = empty();
    for instrument in INSTRUMENTS {
        let value = match instrument.kind {
            Kind::Histogram => Value::from(times()),
            _ => Value::from(7_u64),
        };
        let attributes = instrument.attributes.iter();
        let attributes = attributes.map(|name| (*name, "value".to_owned()));
        metrics.family(instrument).add(attributes, value);
    }
    for exposed in both(&metrics) {
        assert_eq!(exposed.types.len(), INSTRUMENTS.len());
    }
}

#[test]
fn names_and_values_are_those_that_collectors_make() {
    let mut metrics = empty();
    metrics.set(&is::NOT_GRANTED, 3_u64);
    metrics.set(&is::UPTIME, 0.25);
    let method = [("rpc.method", "a:b/c/d".to_owned())];
    metrics.family(&is::SERVER_CALLS).add(method, times());
    let text = metrics.to_text(Exposition::OpenMetrics);
    for line in [
        "# TYPE lattice_call_not_granted counter\n",
        "\nlattice_call_not_granted_total 3\n",
        "# UNIT lattice_host_uptime_seconds seconds\nlattice_host_uptime_seconds 0.25\n",
        "\nrpc_server_call_duration_seconds_bucket{rpc_method=\"a:b/c/d\",le=\"0.001\"} 2\n",
        "\nrpc_server_call_duration_seconds_bucket{rpc_method=\"a:b/c/d\",le=\"10.0\"} 2\n",
        "\nrpc_server_call_duration_seconds_bucket{rpc_method=\"a:b/c/d\",le=\"+Inf\"} 3\n",
        "\nrpc_server_call_duration_seconds_sum{rpc_method=\"a:b/c/d\"} 20.002\n",
        "\nrpc_server_call_duration_seconds_count{rpc_method=\"a:b/c/d\"} 3\n# EOF\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = metrics.to_text(Exposition::Prometheus);
    assert!(
        text.contains("# TYPE lattice_call_not_granted_total counter\n"),
        "{text}"
    );
    assert!(!text.contains("EOF") && !text.contains("# UNIT"), "{text}");
}

#[test]
fn any_text_can_be_the_value_of_a_label() {
    let awkward = "a\\b\"c\nd{e=\"f\"} 1 ✓";
    let mut metrics = empty();
    let of = [("lattice.component", awkward.to_owned())];
    metrics.family(&is::COMPONENT_CALLS).add(of, 1_u64);
    for exposed in both(&metrics) {
        let name = "lattice_component_calls_total";
        let found = exposed.total(name, &[("lattice_component", awkward)]);
        assert_eq!(found, Some(1.0), "{exposed:?}");
    }
}

#[test]
fn what_would_be_too_many_series_is_one_that_says_so() {
    let mut metrics = empty();
    let more = 250;
    for number in 0..MOST_SERIES + more {
        let of = || [("lattice.component", format!("c{number}"))];
        metrics.family(&is::COMPONENT_CALLS).add(of(), 2_u64);
    }
    let name = is::COMPONENT_CALLS.name;
    let other = metrics.total(name, &[(OVERFLOW, "true")]);
    assert_eq!(other, Some(2.0 * more as f64));
    for exposed in both(&metrics) {
        let name = "lattice_component_calls_total";
        assert_eq!(exposed.samples.len(), MOST_SERIES + 1);
        let other = exposed.total(name, &[("otel_metric_overflow", "true")]);
        assert_eq!(other, Some(2.0 * more as f64));
    }
}

/// The largest text that there can be, with names of an ordinary length.
#[test]
fn the_text_of_all_series_that_may_be_is_bounded() {
    let mut metrics = empty();
    for instrument in INSTRUMENTS {
        let family = metrics.family(instrument);
        for number in 0..2 * MOST_SERIES {
            let value = format!("example:interface/of-some-length/{number}");
            let attributes = instrument.attributes.iter().take(1);
            let attributes = attributes.map(|name| (*name, value.clone()));
            match instrument.kind {
                Kind::Histogram => family.add(attributes, times()),
                _ => family.add(attributes, 7_u64),
            }
        }
    }
    let text = metrics.to_text(Exposition::Prometheus);
    assert!(text.len() < 24 << 20, "{} bytes", text.len());
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    // 18 buckets and one more, a sum and a count for each histogram.
    let of_one = |kind| if kind == Kind::Histogram { 21 } else { 1 };
    let most: usize = INSTRUMENTS.iter().map(|one| of_one(one.kind)).sum();
    assert_eq!(lines, most * (MOST_SERIES + 1));
}

#[test]
fn open_metrics_is_for_those_who_ask_for_it() {
    for (accept, expected) in [
        ("", Exposition::Prometheus),
        ("*/*", Exposition::Prometheus),
        (
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Exposition::Prometheus,
        ),
        (
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5",
            Exposition::OpenMetrics,
        ),
        ("application/openmetrics-text;q=0", Exposition::Prometheus),
    ] {
        assert_eq!(Exposition::accepted(accept), expected, "{accept}");
    }
    assert!(
        Exposition::OpenMetrics
            .media_type()
            .contains("openmetrics-text")
    );
}

#[test]
fn the_parser_refuses_what_is_not_valid() {
    for wrong in [
        "a 1",
        "a 1\n",
        "# TYPE a gauge\na 1\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a b\n# TYPE a gauge\na{b=\"c} 1\n",
        "# HELP a b\n# TYPE a gauge\na{b=\"\\c\"} 1\n",
        "# HELP a b\n# TYPE a gauge\na one\n",
        "# HELP a b\n# TYPE a counter\na 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_count 2\n",
        "# HELP a b\n# TYPE a gauge\na 1\n# EOF\n",
    ] {
        assert!(parse(wrong, false).is_err(), "{wrong}");
    }
}
