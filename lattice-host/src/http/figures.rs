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
use tokio::time::Instant as Moment;

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

/// A request that goes out and has no outcome yet. Dropping it counts one that was given up.
pub(super) struct SentRequest<'a> {
    all: &'a SentRequests,
    method: &'static str,
    began: Moment,
    deadline: Moment,
    outcome: Option<Result<StatusCode, String>>,
}

/// The method, and the status or the error.
type SentKey = (&'static str, Result<StatusCode, String>);

impl Default for SentRequests {
    fn default() -> Self {
        Self(DurationSeries::new(MOST_SERIES))
    }
}

impl SentRequests {
    /// Begins to count a request, which is given up at the latest at the deadline of its call.
    pub(super) fn begin(&self, method: &str, deadline: Moment) -> SentRequest<'_> {
        SentRequest {
            all: self,
            method: names::method(method),
            began: Moment::now(),
            deadline,
            outcome: None,
        }
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

impl SentRequest<'_> {
    /// Counts the response, or the code of the error.
    pub(super) fn end(mut self, sent: Result<StatusCode, &dyn std::fmt::Debug>) {
        self.outcome = Some(sent.map_err(variant));
    }
}

impl Drop for SentRequest<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        let given_up = || Err(names::given_up(self.deadline).to_owned());
        let key = (self.method, outcome.unwrap_or_else(given_up));
        self.all.0.record(&key, self.began.elapsed(), || ());
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
        let deadline = Moment::now() + std::time::Duration::from_mins(1);
        for error in [Error::Dns { code: 1 }, Error::Dns { code: 2 }, Error::Plain] {
            requests.begin("GET", deadline).end(Err(&error));
        }
        let sent = requests.begin("GET", deadline);
        sent.end(Ok(StatusCode::NOT_FOUND));
        let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
        requests.add_metrics(&mut metrics);
        let error = |error| metrics.total(is::HTTP_CLIENT.name, &[("error.type", error)]);
        assert_eq!(
            ["Dns", "Plain", "404"].map(error),
            [2.0, 1.0, 1.0].map(Some)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_given_up_is_counted_as_that() {
        let (requests, limit) = (SentRequests::default(), std::time::Duration::from_secs(2));
        drop(requests.begin("GET", Moment::now() + limit));
        let late = requests.begin("GET", Moment::now() + limit);
        tokio::time::advance(limit).await;
        drop(late);
        let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
        requests.add_metrics(&mut metrics);
        for kind in ["cancelled", "timeout"] {
            let attributes = [("http.request.method", "GET"), ("error.type", kind)];
            let count = metrics.total(is::HTTP_CLIENT.name, &attributes);
            assert_eq!(count, Some(1.0), "{kind}");
        }
    }
}
