//! Readings as messages of OTLP.

use lattice_core::telemetry::metrics::{Family, Kind, Metrics, Point, Value, instruments};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ScopeMetrics, Sum, metric, number_data_point,
    },
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the scope that metrics of hosts have.
pub(super) const SCOPE: &str = "lattice";

/// From when until when counters have counted, in nanoseconds.
#[derive(Clone, Copy)]
struct Times {
    since: u64,
    at: u64,
}

/// Returns the metrics of one host. Instruments without series are left out.
pub(super) fn scope(metrics: &Metrics) -> ScopeMetrics {
    let times = Times {
        since: nanos(metrics.since()),
        at: nanos(metrics.at()),
    };
    let host = host(metrics);
    let families = metrics.families().iter();
    let metrics = families
        .map(|family| metric(family, times))
        .filter(|metric| !is_empty(metric));
    ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: SCOPE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            attributes: host,
            ..InstrumentationScope::default()
        }),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    }
}

/// Returns what the series of several hosts of one process are told apart by: the names of lattice
/// and host. They are those of the uptime.
fn host(metrics: &Metrics) -> Vec<KeyValue> {
    let mut families = metrics.families().iter();
    let uptime = families.find(|family| family.instrument().name == instruments::UPTIME.name);
    let point = uptime.and_then(|family| family.points().next());
    point.map(|point| attributes(&point)).unwrap_or_default()
}

fn metric(family: &Family, times: Times) -> Metric {
    let instrument = family.instrument();
    let cumulative = AggregationTemporality::Cumulative as i32;
    let data = match instrument.kind {
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: family
                .points()
                .filter_map(|point| distribution(point, times))
                .collect(),
            aggregation_temporality: cumulative,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge {
            data_points: numbers(family, times),
        }),
        kind => metric::Data::Sum(Sum {
            data_points: numbers(family, times),
            aggregation_temporality: cumulative,
            is_monotonic: kind == Kind::Counter,
        }),
    };
    Metric {
        name: instrument.name.to_owned(),
        description: instrument.about.to_owned(),
        unit: instrument.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn numbers(family: &Family, times: Times) -> Vec<NumberDataPoint> {
    let number = |point: Point| NumberDataPoint {
        attributes: attributes(&point),
        start_time_unix_nano: times.since,
        time_unix_nano: times.at,
        value: Some(match point.value {
            Value::Whole(number) => {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                number_data_point::Value::AsInt(number)
            }
            other => number_data_point::Value::AsDouble(other.number()),
        }),
        ..NumberDataPoint::default()
    };
    family.points().map(number).collect()
}

fn distribution(point: Point, times: Times) -> Option<HistogramDataPoint> {
    let attributes = attributes(&point);
    let Value::Times(durations) = point.value else {
        return None;
    };
    Some(HistogramDataPoint {
        attributes,
        start_time_unix_nano: times.since,
        time_unix_nano: times.at,
        count: durations.count(),
        sum: Some(durations.sum),
        explicit_bounds: durations.bounds.to_vec(),
        bucket_counts: durations.counts,
        ..HistogramDataPoint::default()
    })
}

fn attributes(point: &Point) -> Vec<KeyValue> {
    let attributes = point.attributes.iter();
    let attributes = attributes.map(|(name, value)| {
        let value = match (*name, value.as_str(), value.parse()) {
            // The conventions have numbers and truth values here.
            ("http.response.status_code", _, Ok(number)) => any_value::Value::IntValue(number),
            (lattice_core::telemetry::metrics::OVERFLOW, "true", _) => {
                any_value::Value::BoolValue(true)
            }
            (_, text, _) => any_value::Value::StringValue(text.to_owned()),
        };
        KeyValue {
            key: (*name).to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }
    });
    attributes.collect()
}

fn is_empty(metric: &Metric) -> bool {
    match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.is_empty(),
        Some(metric::Data::Sum(sum)) => sum.data_points.is_empty(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.is_empty(),
        _ => true,
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{instruments as is, *};
    use lattice_core::telemetry::metrics::Distribution;
    use std::time::Duration;

    #[test]
    fn the_series_of_two_hosts_of_a_process_are_told_apart_by_their_scope() {
        let scopes = ["one", "two"].map(|host| {
            let mut metrics = Metrics::new(UNIX_EPOCH);
            metrics.set(&is::SESSIONS, 2_u64);
            let names = [("lattice.host", host.to_owned())];
            metrics.family(&is::UPTIME).add(names, 0.5);
            scope(&metrics).scope.expect("it has one").attributes
        });
        let [one, two] = &scopes;
        assert_eq!(one.len(), 1, "{one:?}");
        assert_eq!(one[0].key, "lattice.host");
        assert_ne!(one, two);
    }

    #[test]
    fn a_reading_keeps_its_kinds_attributes_and_times() {
        let mut metrics = Metrics::new(UNIX_EPOCH + Duration::from_secs(1));
        metrics.set(&is::NOT_GRANTED, 3_u64);
        metrics.set(&is::UPTIME, 0.5);
        metrics.set(&is::SESSIONS, 2_u64);
        let mut durations = Distribution::empty();
        durations.counts[0] = 4;
        durations.sum = 0.25;
        let status = [("http.response.status_code", "404".to_owned())];
        metrics.family(&is::HTTP_SERVER).add(status, durations);
        // It has no series.
        metrics.family(&is::CLIENT_CALLS);
        let scope = scope(&metrics);
        assert_eq!(scope.scope.as_ref().map(|scope| &*scope.name), Some(SCOPE));
        let [not_granted, uptime, sessions, requests] = &scope.metrics[..] else {
            panic!("{scope:#?}");
        };
        let Some(metric::Data::Sum(sum)) = &not_granted.data else {
            panic!("{not_granted:#?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].start_time_unix_nano, 1_000_000_000);
        let value = number_data_point::Value::AsInt(3);
        assert_eq!(sum.data_points[0].value, Some(value));
        assert!(matches!(uptime.data, Some(metric::Data::Gauge(_))));
        let Some(metric::Data::Sum(sum)) = &sessions.data else {
            panic!("{sessions:#?}");
        };
        assert!(!sum.is_monotonic);
        let Some(metric::Data::Histogram(histogram)) = &requests.data else {
            panic!("{requests:#?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(0.25)));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        let status = point.attributes[0]
            .value
            .as_ref()
            .and_then(|any| any.value.clone());
        assert_eq!(status, Some(any_value::Value::IntValue(404)));
    }
}
