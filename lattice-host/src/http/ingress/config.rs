//! How an ingress is set up.

use super::{network::IpNetwork, tls::TlsFiles};
use lattice_core::quantity::ByteSize;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most headers of a request by default, which is hyper's own default too.
pub(super) const DEFAULT_HEADERS: usize = 100;
/// Most headers of a request, whatever the limits say: far fewer than a map of headers holds.
const MOST_HEADERS: usize = 4_096;
/// The range of the limit of a head's size. Servers need the lower end of it.
const HEADER_BYTES: (ByteSize, ByteSize) = (ByteSize::kib(8), ByteSize::mib(1));

/// The range of every duration. A year is as good as never, and any clock can be set that far.
const DURATIONS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_hours(24 * 365));

/// An address at which a host takes requests for the wormholes of its lattice, for
/// [`HostBuilder::ingress`](crate::HostBuilder::ingress).
///
/// Every ingress serves every open wormhole. It speaks HTTP/1.1 and HTTP/2, in plain text (with
/// prior knowledge) or over TLS (by ALPN). Requests for an upgrade, such as `WebSocket`, are
/// refused, and `h2c` upgrades are ignored.
///
/// ```
/// use lattice_core::Lattice;
/// use lattice_host::{Host, http::Ingress};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let lattice = Lattice::in_memory("dev").await?;
/// // Port 0 is any free one.
/// let ingress = Ingress::http("127.0.0.1:0").domain("example.com");
/// let host = Host::builder(&lattice).ingress(ingress).start().await?;
/// println!("curl -H 'Host: name.example.com' http://{}/", host.ingress_addresses()[0]);
///
/// assert!(host.shutdown(Duration::from_secs(5)).await.is_clean());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Which wormhole a request is for
///
/// The host name of a request is compared without its port, in lower case. A wormhole with that
/// name, or with it as one of its domains, serves the request. So does wormhole `name` a request
/// for `name.example.com`, if `example.com` is a [base domain](Self::domain); `localhost` always is
/// one. A wormhole without host names serves what is left. Among several, the one with the longest
/// path does, in whole segments: `/a` is for `/a` and `/a/b` and not for `/ab`. Paths are compared
/// with letters, digits and `-._~` decoded and with repeated slashes as one. Paths with segments of
/// dots are refused, also if the slashes or backslashes around the dots are encoded.
///
/// A closed wormhole can't be told from one that doesn't exist.
///
/// # Limits
///
/// [`IngressLimits`] has the limits of connections, and defaults for the limits of wormholes. When
/// an ingress has as many connections as it may have, further ones wait in the queue of the
/// operating system until one ends.
///
/// # Two lengths in one request
///
/// A request with `Content-Length` beside `Transfer-Encoding: chunked` is read as chunked, and the
/// connection is closed after it. Two different values of `Content-Length` are answered with 400.
#[derive(Debug, Clone)]
#[must_use = "an ingress does nothing until a host has it"]
pub struct Ingress {
    pub(super) address: String,
    pub(super) tls: Option<TlsFiles>,
    pub(super) settings: Settings,
}

/// What an ingress and a [`WormholeService`](super::WormholeService) have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) domains: Vec<String>,
    pub(super) proxies: Vec<IpNetwork>,
    /// Whether the traces of clients end here.
    pub(super) own_traces: bool,
    pub(super) limits: IngressLimits,
}

impl Ingress {
    /// Takes requests in plain text at this address: `127.0.0.1:8080`.
    pub fn http(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls: None,
            settings: Settings::default(),
        }
    }

    /// Takes requests over TLS at this address, with these certificates.
    pub fn https(address: impl Into<String>, tls: TlsFiles) -> Self {
        Self {
            tls: Some(tls),
            ..Self::http(address)
        }
    }

    /// Adds a base domain: with `example.com`, a request for `name.example.com` is also one for
    /// wormhole `name`. `localhost` is always one.
    pub fn domain(mut self, base: &str) -> Self {
        self.settings.domains.push(base.to_owned());
        self
    }

    /// Believes the headers `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-host` and
    /// `x-request-id` of requests that come from these addresses. By default, none is believed, and
    /// those of a client are replaced.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNetwork>) -> Self {
        self.settings.proxies.extend(networks);
        self
    }

    /// Begins a trace for each request, unless it comes from a [trusted
    /// proxy](Self::trusted_proxies): the headers `traceparent` and `tracestate` of other clients
    /// are removed. By default, a request goes on with the trace that its client names, and with
    /// the client's decision whether that is sampled. So strangers can have all of their requests
    /// traced, whatever share of traces is sampled here.
    pub fn own_traces(mut self) -> Self {
        self.settings.own_traces = true;
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: IngressLimits) -> Self {
        self.settings.limits = limits;
        self
    }
}

/// The limits of an [`Ingress`]. Durations are brought into the range from 1 ms to 365 days.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngressLimits {
    /// How many connections may be open at once. 16,384 by default.
    pub connections: usize,
    /// How many requests of one HTTP/2 connection may run at once. 128 by default.
    pub streams: u32,
    /// How many headers a request may have, beyond which it is answered with 431. 100 by default,
    /// and at most 4,096.
    pub headers: usize,
    /// How large the head of a request may be, beyond which it is answered with 431. 64 KiB by
    /// default, from 8 KiB to 1 MiB.
    pub header_bytes: ByteSize,
    /// How long a TLS handshake may take. 10 s by default.
    pub handshake: Duration,
    /// How long a client may take to send the head of a request, from its first byte on, and to
    /// begin to send the first one of its connection. 15 s by default.
    pub header: Duration,
    /// How long a connection may be without requests. 75 s by default.
    pub idle: Duration,
    /// How long a body may make no progress: that of a request while the actor waits for it, that
    /// of a response whatever the reason is. 60 s by default.
    pub body_idle: Duration,
    /// How large the body of a request may be, for wormholes that don't say it. Unlimited by
    /// default, because bodies are streamed.
    pub body: Option<ByteSize>,
    /// How long the head of a response may take, with the check of the request's credentials, for
    /// wormholes that don't say it. 30 s by default.
    pub head_timeout: Duration,
    /// How long a response may take in all, for wormholes that don't say it. Unlimited by default.
    pub total_timeout: Option<Duration>,
}

impl IngressLimits {
    /// Brings the limits into the ranges in which they work.
    pub(super) fn bounded(mut self) -> Self {
        self.connections = self.connections.clamp(1, Semaphore::MAX_PERMITS);
        self.streams = self.streams.max(1);
        self.headers = self.headers.min(MOST_HEADERS);
        self.header_bytes = self.header_bytes.clamp(HEADER_BYTES.0, HEADER_BYTES.1);
        let durations = [
            &mut self.handshake,
            &mut self.header,
            &mut self.idle,
            &mut self.body_idle,
            &mut self.head_timeout,
        ];
        for duration in durations.into_iter().chain(&mut self.total_timeout) {
            *duration = (*duration).clamp(DURATIONS.0, DURATIONS.1);
        }
        self
    }
}

impl Default for IngressLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            streams: 128,
            headers: DEFAULT_HEADERS,
            header_bytes: ByteSize::kib(64),
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            body_idle: Duration::from_mins(1),
            body: None,
            head_timeout: Duration::from_secs(30),
            total_timeout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[test]
    fn durations_are_brought_into_the_range_of_the_clock() {
        for (given, expected) in [
            (Duration::ZERO, Duration::from_millis(1)),
            (Duration::MAX, Duration::from_hours(24 * 365)),
            (Duration::from_secs(7), Duration::from_secs(7)),
        ] {
            let limits = IngressLimits {
                handshake: given,
                header: given,
                idle: given,
                body_idle: given,
                head_timeout: given,
                total_timeout: Some(given),
                ..IngressLimits::default()
            };
            let limits = limits.bounded();
            for duration in [
                limits.handshake,
                limits.header,
                limits.idle,
                limits.body_idle,
                limits.head_timeout,
                limits.total_timeout.expect("it stays"),
            ] {
                assert_eq!(duration, expected);
                assert!(Instant::now().checked_add(duration).is_some());
            }
        }
        let unlimited = IngressLimits::default().bounded();
        assert_eq!(unlimited, IngressLimits::default());
    }
}
