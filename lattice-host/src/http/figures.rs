//! What is counted of requests: those that come in through wormholes, and those that go out.

use super::names::{self, variant};
use http::{Method, StatusCode};
use lattice_core::{
    measure::{DurationSeries, MOST_SERIES},
    telemetry::metrics::{Metrics, instruments as is},
};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// What a request is counted with that its client gave up.
const ABANDONED: &str = lattice_core::trace::CANCELLED;

/// The requests that this process has sent to the web, over all of its providers.
pub(super) static SENT: LazyLock<SentRequests> = LazyLock::new(SentRequests::default);

/// Counts the requests that come in. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub(crate) struct ReceivedRequests(Arc<Received>);

struct Received {
    times: DurationSeries<ReceivedKey, ()>,
    /// Requests without a response yet: over HTTP, and over HTTPS.
    active: [AtomicU64; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ReceivedKey {
    method: &'static str,
    is_https: bool,
    /// `None` if the client gave the request up.
    status: Option<StatusCode>,
    wormhole: Option<Arc<str>>,
}

/// A request that has no response yet. Dropping it counts one that was given up.
pub(super) struct ReceivedRequest {
    all: Arc<Received>,
    key: ReceivedKey,
    began: Instant,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            times: DurationSeries::new(MOST_SERIES),
            active: <[AtomicU64; 2]>::default(),
        }
    }
}

impl ReceivedRequests {
    /// Counts a request that has come in.
    pub(super) fn begin(&self, method: &Method, is_https: bool) -> ReceivedRequest {
        self.0.active[usize::from(is_https)].fetch_add(1, Ordering::Relaxed);
        ReceivedRequest {
            all: self.0.clone(),
            key: ReceivedKey {
                method: names::method(method.as_str()),
                is_https,
                status: None,
                wormhole: None,
            },
            began: Instant::now(),
        }
    }

    /// Adds the metrics of the requests.
    pub(crate) fn add_metrics(&self, metrics: &mut Metrics) {
        let recorded = self.0.times.read();
        let family = metrics.family(&is::HTTP_SERVER);
        for (key, (), times) in recorded.series {
            let attributes = [
                ("http.request.method", key.method.to_owned()),
                ("url.scheme", scheme(key.is_https).to_owned()),
            ];
            let status = key.status.map(|status| {
                let status = status.as_str().to_owned();
                ("http.response.status_code", status)
            });
            let error = match key.status {
                None => Some(ABANDONED.to_owned()),
                Some(status) if status.is_server_error() => Some(status.as_str().to_owned()),
                Some(_) => None,
            };
            let error = error.map(|error| ("error.type", error));
            let wormhole = key.wormhole.as_deref();
            let wormhole = wormhole.map(|id| ("lattice.wormhole", id.to_owned()));
            let more = status.into_iter().chain(error).chain(wormhole);
            family.add(attributes.into_iter().chain(more), times);
        }
        if let Some(other) = recorded.other {
            family.add_other(other);
        }
        let family = metrics.family(&is::HTTP_ACTIVE);
        for is_https in [false, true] {
            let active = self.0.active[usize::from(is_https)].load(Ordering::Relaxed);
            family.add([("url.scheme", scheme(is_https).to_owned())], active);
        }
    }
}

impl ReceivedRequest {
    /// Counts the response, and the wormhole that the request was for, if there is one.
    pub(super) fn end(mut self, status: StatusCode, wormhole: Option<&str>) {
        self.key.status = Some(status);
        self.key.wormhole = wormhole.map(Arc::from);
    }
}

impl Drop for ReceivedRequest {
    fn drop(&mut self) {
        let active = &self.all.active[usize::from(self.key.is_https)];
        active.fetch_sub(1, Ordering::Relaxed);
        self.all
            .times
            .record(&self.key, self.began.elapsed(), || ());
    }
}

/// Counts the requests that go out.
pub(super) struct SentRequests(DurationSeries<SentKey, ()>);

/// The method, and the status or the error.
type SentKey = (&'static str, Result<StatusCode, String>);

impl Default for SentRequests {
    fn default() -> Self {
        Self(DurationSeries::new(MOST_SERIES))
    }
}

impl SentRequests {
    /// Counts a request that has a response, or failed with this code.
    pub(super) fn count(
        &self,
        method: &str,
        began: tokio::time::Instant,
        sent: Result<StatusCode, &dyn std::fmt::Debug>,
    ) {
        let key = (names::method(method), sent.map_err(variant));
        self.0.record(&key, began.elapsed(), || ());
    }

    /// Adds the metrics of the requests.
    pub(crate) fn add_metrics(&self, metrics: &mut Metrics) {
        let recorded = self.0.read();
        let family = metrics.family(&is::HTTP_CLIENT);
        for ((method, sent), (), times) in recorded.series {
            let method = ("http.request.method", method.to_owned());
            let (status, error) = match sent {
                Ok(status) => {
                    let code = status.as_str().to_owned();
                    let is_error = status.is_client_error() || status.is_server_error();
                    (Some(code.clone()), is_error.then_some(code))
                }
                Err(error) => (None, Some(error)),
            };
            let status = status.map(|status| ("http.response.status_code", status));
            let error = error.map(|error| ("error.type", error));
            family.add([method].into_iter().chain(status).chain(error), times);
        }
        if let Some(other) = recorded.other {
            family.add_other(other);
        }
    }
}

/// Adds the metrics of the requests that this process has sent to the web.
pub(crate) fn add_sent(metrics: &mut Metrics) {
    SENT.add_metrics(metrics);
}

fn scheme(is_https: bool) -> &'static str {
    if is_https { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_request_is_active_until_it_has_a_response_or_is_given_up() {
        let requests = ReceivedRequests::default();
        let read = || {
            let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
            requests.add_metrics(&mut metrics);
            metrics
        };
        let one = requests.begin(&Method::GET, false);
        let other = requests.begin(&Method::from_bytes(b"BREW").expect("valid"), true);
        assert_eq!(read().total(is::HTTP_ACTIVE.name, &[]), Some(2.0));
        one.end(StatusCode::BAD_GATEWAY, Some("shop"));
        drop(other);
        let metrics = read();
        assert_eq!(metrics.total(is::HTTP_ACTIVE.name, &[]), Some(0.0));
        let answered = [
            ("http.request.method", "GET"),
            ("url.scheme", "http"),
            ("http.response.status_code", "502"),
            ("error.type", "502"),
            ("lattice.wormhole", "shop"),
        ];
        assert_eq!(metrics.total(is::HTTP_SERVER.name, &answered), Some(1.0));
        let given_up = [
            ("http.request.method", "_OTHER"),
            ("url.scheme", "https"),
            ("error.type", "cancelled"),
        ];
        assert_eq!(metrics.total(is::HTTP_SERVER.name, &given_up), Some(1.0));
    }

    #[test]
    fn an_error_is_counted_by_its_variant() {
        #[derive(Debug)]
        enum Error {
            #[expect(dead_code, reason = "it is only printed")]
            Dns {
                code: u16,
            },
            Plain,
        }
        let requests = SentRequests::default();
        let began = tokio::time::Instant::now();
        for error in [Error::Dns { code: 1 }, Error::Dns { code: 2 }, Error::Plain] {
            requests.count("GET", began, Err(&error));
        }
        requests.count("GET", began, Ok(StatusCode::NOT_FOUND));
        let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
        requests.add_metrics(&mut metrics);
        let error = |error| metrics.total(is::HTTP_CLIENT.name, &[("error.type", error)]);
        assert_eq!(
            ["Dns", "Plain", "404"].map(error),
            [2.0, 1.0, 1.0].map(Some)
        );
    }
}
