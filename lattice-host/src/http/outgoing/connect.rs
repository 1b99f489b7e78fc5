//! Makes connections: waits for the right to one, resolves the name, checks every address, and
//! connects to exactly one of those that were checked.

use super::{
    address::{Prohibited, Reach},
    allow::AllowList,
    permits::Permits,
    resolve::Resolve,
    socket::Socket,
    target::{Flaw, Host, Scheme, Target},
};
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};
use tower_service::Service;

/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 16;
/// How long an address has before the next one is tried beside it, by RFC 8305.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// What a link's connections are made with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector(Arc<ConnectorParts>);

pub(super) struct ConnectorParts {
    pub(super) allow: Arc<AllowList>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) permits: Arc<Permits>,
    /// How long it may take to connect.
    pub(super) within: Duration,
    /// How long a part may wait to be written.
    pub(super) stalled: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("`{0}` isn't where a request can be sent")]
    Uri(String, #[source] Flaw),
    #[error("`{0}` isn't in the link's `allow`")]
    NotAllowed(Target),
    #[error("there are as many connections to `{0}` as the link may have")]
    Limit(Target),
    #[error("the name `{name}` wasn't resolved")]
    Dns { name: Host, source: io::Error },
    #[error("the name `{0}` wasn't resolved in time")]
    DnsTimeout(Host),
    #[error("the name `{0}` has no address")]
    NoAddress(Host),
    #[error("`{host}` can't be connected to")]
    Prohibited { host: Host, source: Prohibited },
    #[error("`{target}` can't be connected to")]
    Tcp { target: Target, source: io::Error },
    #[error("`{0}` wasn't connected to in time")]
    Timeout(Target),
    #[error("TLS wasn't ready in time")]
    TlsTimeout,
}

impl Connector {
    pub(super) fn new(parts: ConnectorParts) -> Self {
        Self(Arc::new(parts))
    }

    async fn connect(self, uri: Uri, until: Instant) -> Result<Socket, ConnectError> {
        let parts = &*self.0;
        let target = target(&uri).map_err(|flaw| ConnectError::Uri(uri.to_string(), flaw))?;
        // Requests were checked already. Nothing is connected to that wasn't.
        let Some(reach) = parts.allow.reach(&target) else {
            return Err(ConnectError::NotAllowed(target));
        };
        let authority = target.to_string();
        let Ok(Ok(permit)) = timeout_at(until, parts.permits.acquire(&authority)).await else {
            return Err(ConnectError::Limit(target));
        };
        let addresses = self.addresses(&target.host, until).await?;
        let addresses = allowed(addresses, reach, &target.host)?;
        let stream = match timeout_at(until, connect_to_any(addresses, target.port)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(ConnectError::Tcp { target, source }),
            Err(_) => return Err(ConnectError::Timeout(target)),
        };
        // Small parts aren't held back. This only fails for a connection that is gone.
        let _ = stream.set_nodelay(true);
        Ok(Socket::new(stream, parts.stalled, permit))
    }

    /// Returns the addresses of a host. One that is an address isn't resolved.
    async fn addresses(&self, host: &Host, until: Instant) -> Result<Vec<IpAddr>, ConnectError> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        match timeout_at(until, self.0.resolver.resolve(name)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(ConnectError::NoAddress(host.clone())),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(source)) => Err(ConnectError::Dns {
                name: host.clone(),
                source,
            }),
            Err(_) => Err(ConnectError::DnsTimeout(host.clone())),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Socket;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Socket, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let until = Instant::now() + self.0.within;
        self.clone().connect(uri, until).boxed()
    }
}

/// A connector with TLS, for which there is as much time as for the rest.
#[derive(Clone)]
pub(super) struct TlsConnector {
    pub(super) inner: HttpsConnector<Connector>,
    pub(super) within: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for TlsConnector {
    type Response = MaybeHttpsStream<Socket>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        // Not before the inner one, which has started its own clock and knows what it waits for.
        let until = Instant::now() + self.within;
        async move {
            let connected = timeout_at(until, connecting).await;
            connected.unwrap_or_else(|_| Err(ConnectError::TlsTimeout.into()))
        }
        .boxed()
    }
}

fn target(uri: &Uri) -> Result<Target, Flaw> {
    let scheme = Scheme::parse(uri.scheme_str().unwrap_or_default())?;
    let authority = uri.authority().ok_or(Flaw::Host)?;
    Target::parse(scheme, authority.as_str())
}

/// Returns the addresses that may be connected to. Fails if there are none.
fn allowed(addresses: Vec<IpAddr>, reach: Reach, host: &Host) -> Result<Vec<IpAddr>, ConnectError> {
    let mut refused = None;
    let mut allowed = Vec::new();
    for address in addresses {
        match reach.check(address) {
            Ok(()) if allowed.contains(&address) => {}
            Ok(()) => allowed.push(address),
            Err(prohibited) => refused = Some(prohibited),
        }
    }
    match refused {
        Some(source) if allowed.is_empty() => Err(ConnectError::Prohibited {
            host: host.clone(),
            source,
        }),
        _ => Ok(alternating(allowed)),
    }
}

/// Orders addresses so that both families come early, and keeps as many as are tried.
fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = addresses.first().map(IpAddr::is_ipv6) else {
        return addresses;
    };
    let (mut same, mut other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    same.reverse();
    other.reverse();
    let mut ordered = Vec::new();
    while ordered.len() < MOST_ADDRESSES && !(same.is_empty() && other.is_empty()) {
        ordered.extend(same.pop());
        ordered.extend(other.pop());
    }
    ordered.truncate(MOST_ADDRESSES);
    ordered
}

/// Connects to the first of the addresses that accepts: a next one is tried when one fails, or
/// takes long.
async fn connect_to_any(addresses: Vec<IpAddr>, port: u16) -> io::Result<TcpStream> {
    let mut rest = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no address");
    loop {
        if attempts.is_empty() {
            match rest.next() {
                Some(address) => attempts.push(connect_to(address, port)),
                None => return Err(failed),
            }
        }
        tokio::select! {
            biased;
            Some(connected) = attempts.next() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    failed = error;
                    attempts.extend(rest.next().map(|address| connect_to(address, port)));
                }
            },
            () = sleep(NEXT_AFTER), if rest.len() > 0 => {
                attempts.extend(rest.next().map(|address| connect_to(address, port)));
            }
        }
    }
}

async fn connect_to(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect(SocketAddr::new(address, port)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    const ANY: Reach = Reach {
        private: true,
        loopback: true,
    };
    const PUBLIC: Reach = Reach {
        private: false,
        loopback: false,
    };

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        let parsed = texts.iter().map(|text| text.parse().expect("an address"));
        parsed.collect()
    }

    fn host() -> Host {
        Host::Name("example.com".to_owned())
    }

    #[test]
    fn only_allowed_addresses_are_tried() {
        let mixed = || addresses(&["10.0.0.1", "8.8.8.8", "169.254.169.254", "8.8.8.8", "::1"]);
        let tried = allowed(mixed(), PUBLIC, &host()).expect("one is allowed");
        assert_eq!(tried, addresses(&["8.8.8.8"]));
        let tried = allowed(mixed(), ANY, &host()).expect("three are allowed");
        assert_eq!(tried, addresses(&["10.0.0.1", "::1", "8.8.8.8"]));
        let none = allowed(addresses(&["10.0.0.1", "::ffff:8.8.8.8"]), PUBLIC, &host());
        assert!(matches!(none, Err(ConnectError::Prohibited { .. })));
    }

    #[test]
    fn both_families_come_early_and_few_are_tried() {
        let four = |end: u8| IpAddr::from([1, 1, 1, end]);
        let mut many: Vec<IpAddr> = (0..40).map(four).collect();
        many.extend(addresses(&["2606::1", "2606::2"]));
        let tried = alternating(many);
        assert_eq!(tried.len(), MOST_ADDRESSES);
        assert_eq!(
            tried[..4],
            [
                four(0),
                "2606::1".parse().expect("one"),
                four(1),
                "2606::2".parse().expect("one")
            ]
        );
        assert!(alternating(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let server = server.expect("a listener");
        let port = server.local_addr().expect("bound").port();
        // Nothing listens at the second loopback address.
        let both = addresses(&["127.0.0.2", "127.0.0.1"]);
        let stream = connect_to_any(both, port).await.expect("connected");
        let peer = stream.peer_addr().expect("connected").ip();
        assert_eq!(peer, Ipv4Addr::LOCALHOST);
        let none = connect_to_any(addresses(&["127.0.0.2"]), port).await;
        let kind = none.map(drop).expect_err("refused").kind();
        assert_eq!(kind, io::ErrorKind::ConnectionRefused);
        assert!(connect_to_any(Vec::new(), port).await.is_err());
    }
}
