//! The service that answers the requests of every ingress: from a request to the wormhole, through
//! its rules, to the actor and back.

use super::{
    auth::Gate,
    body::{InFlight, Origin, Pace, Reaper, RequestBody, RequestFate, Times, WormholeBody},
    config::{IngressLimits, Settings},
    forwarded::{Client, REQUEST_ID},
    head::{
        announced, has_no_body, has_other_codings, is_too_large, join_cookies,
        remove_cookies_of_page, remove_named_by_connection, wants_upgrade,
    },
    limit::Rates,
    network::IpNetwork,
    passed_on::passed_on,
    request_id,
    respond::Rejection,
    route::{Destination, base_domain},
    trace,
};
use crate::http::{
    exchange::{self, RequestOptions, SendError},
    figures::ReceivedRequests,
    spans::RequestSpan,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, EXPECT},
    request::Parts,
};
use http_body::Body;
use lattice_core::{
    Lattice,
    call::Context,
    wormholes::{Wormhole, Wormholes},
};
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task,
};
use tokio::time::Instant;
use tracing::Instrument as _;

/// Serves the requests for the wormholes of a lattice, inside a server of your own. From
/// [`wormhole_service`]. Cheap to clone.
///
/// It is a [`tower_service::Service`] that never fails. Put a [`ClientAddress`] into the
/// extensions of each request if rates per client or [trusted proxies](Self::trusted_proxies) are
/// to work; without it, all clients count as one. Say it with [`https`](Self::https) if the server
/// is reached over TLS. The timeouts and limits of connections are those of the server that it is
/// part of, and the others are those of [`IngressLimits`].
#[derive(Clone)]
pub struct WormholeService {
    inner: Arc<Inner>,
    /// Whether clients reach the server over TLS. An ingress knows it for each connection.
    is_https: bool,
}

/// The address of a request's client, for [`WormholeService`]: put it into the request's
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub SocketAddr);

struct Inner {
    wormholes: Wormholes,
    settings: Settings,
    gate: Gate,
    rates: Rates,
    reaper: Arc<Reaper>,
    figures: ReceivedRequests,
}

/// How a request came in.
pub(super) struct Arrival {
    pub(super) peer: Option<IpAddr>,
    pub(super) is_https: bool,
    /// Kept until the response has ended.
    pub(super) in_flight: InFlight,
}

/// Returns a service that serves the requests for the wormholes of a lattice, for a server of your
/// own. A host isn't needed for it.
///
/// ```
/// use http_body_util::{BodyExt as _, Empty};
/// use lattice_core::Lattice;
/// use lattice_host::http::wormhole_service;
/// use tower_service::Service as _;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let lattice = Lattice::in_memory("dev").await?;
/// let mut wormholes = wormhole_service(&lattice);
///
/// // With axum: `Router::new().route("/health", get(health)).fallback_service(wormholes)`.
/// let request = http::Request::get("http://quiet-harbor-4821.localhost/");
/// let response = wormholes.call(request.body(Empty::<bytes::Bytes>::new())?).await?;
/// assert_eq!(response.status(), 404);
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "not found\n");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn wormhole_service(lattice: &Lattice) -> WormholeService {
    WormholeService::new(lattice.wormholes(), Settings::default())
}

impl WormholeService {
    pub(super) fn new(wormholes: Wormholes, mut settings: Settings) -> Self {
        settings.limits = settings.limits.bounded();
        let reaper = Arc::new(Reaper::new(settings.limits.body_idle));
        let inner = Inner {
            wormholes,
            settings,
            gate: Gate::default(),
            rates: Rates::default(),
            reaper,
            figures: ReceivedRequests::default(),
        };
        Self {
            inner: Arc::new(inner),
            is_https: false,
        }
    }

    /// Adds a base domain, as [`Ingress::domain`](super::Ingress::domain) does. A text that isn't a
    /// host name has no effect.
    #[must_use]
    pub fn domain(self, base: &str) -> Self {
        self.with(|settings| settings.domains.extend(base_domain(base)))
    }

    /// Believes the headers of these proxies, as
    /// [`Ingress::trusted_proxies`](super::Ingress::trusted_proxies) does.
    #[must_use]
    pub fn trusted_proxies(self, networks: impl IntoIterator<Item = IpNetwork>) -> Self {
        self.with(|settings| settings.proxies.extend(networks))
    }

    /// Begins a trace for each request, as
    /// [`Ingress::own_traces`](super::Ingress::own_traces) does.
    #[must_use]
    pub fn own_traces(self) -> Self {
        self.with(|settings| settings.own_traces = true)
    }

    /// Sets the limits, of which those of connections have no effect.
    #[must_use]
    pub fn limits(self, limits: IngressLimits) -> Self {
        self.with(|settings| settings.limits = limits)
    }

    /// Says that clients reach the server over TLS, so that actors get `https` as the scheme of a
    /// request and as `x-forwarded-proto`. By default, they get `http`. The scheme in the URI of a
    /// request is never used, because it comes from the client.
    ///
    /// For a server with both, set all else up first, and then call this on a clone: the two share
    /// the rates of wormholes.
    ///
    /// [Trusted proxies](Self::trusted_proxies) say it for each request.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.is_https = true;
        self
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.inner.settings.clone();
        change(&mut settings);
        Self {
            is_https: self.is_https,
            ..Self::new(self.inner.wormholes.clone(), settings)
        }
    }

    /// Counts its requests in `figures`. It has to be the only handle.
    pub(super) fn counted_in(mut self, figures: &ReceivedRequests) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.figures = figures.clone();
        }
        self
    }

    /// Answers a request.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        arrival: Arrival,
    ) -> Response<WormholeBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let inner = &*self.inner;
        let from = (arrival.peer, arrival.is_https);
        let client = Client::of(&parts.headers, from, &inner.settings.proxies);
        let given = parts.headers.get(REQUEST_ID);
        let given = given.filter(|id| client.is_proxied && request_id::is_plain(id));
        let id = given.cloned().unwrap_or_else(request_id::create);
        let (method, version) = (parts.method.clone(), parts.version);
        let counted = inner.figures.begin(&method, client.is_https);

        let mut known = Known::default();
        let request = Incoming {
            parts,
            body,
            client,
            arrival,
            id: id.clone(),
        };
        let served = inner.serve(request, &mut known).await;
        let mut response = served.unwrap_or_else(|rejection| {
            rejection.log(&id, known.wormhole.as_deref());
            let closes = rejection.closes && version < Version::HTTP_2;
            let mut response = rejection.into_response(&id);
            if closes {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        });
        let fails = |status: StatusCode| status.is_server_error();
        known.span.responded(response.status(), fails);
        let through = known.wormhole.as_ref().map(|wormhole| wormhole.id.as_str());
        counted.end(response.status(), through);
        response.headers_mut().insert(REQUEST_ID, id);
        if has_no_body(&method, response.status()) {
            *response.body_mut() = WormholeBody::none();
        }
        response
    }
}

/// A request that arrived.
struct Incoming<B> {
    parts: Parts,
    body: B,
    client: Client,
    arrival: Arrival,
    id: HeaderValue,
}

/// What becomes known of a request while it is served.
struct Known {
    wormhole: Option<Arc<Wormhole>>,
    span: RequestSpan,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            wormhole: None,
            span: RequestSpan::none(),
        }
    }
}

/// Where a request leads, and until when.
struct Way {
    wormhole: Arc<Wormhole>,
    context: Context,
    until: Option<Instant>,
}

impl Inner {
    /// Serves a request, and says through which wormhole.
    async fn serve<B>(
        &self,
        mut request: Incoming<B>,
        known: &mut Known,
    ) -> Result<Response<WormholeBody>, Rejection>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (parts, client) = (&mut request.parts, &request.client);
        let wormhole = self.route(parts, client, request.arrival.peer, &request.id)?;
        known.wormhole = Some(wormhole.clone());
        let now = Instant::now();
        let counted = self.rates.count(&wormhole, client.address, now);
        counted.map_err(Rejection::too_many)?;

        let limits = &wormhole.spec.limits;
        let total = limits.total_timeout.or(self.settings.limits.total_timeout);
        let until = total.and_then(|total| now.checked_add(total));
        let mut context = self.context(&wormhole, &parts.headers, until);
        known.span = RequestSpan::server(parts, &wormhole, &mut context);
        let way = Way {
            wormhole,
            context,
            until,
        };
        let served = self.serve_on(way, request, &known.span);
        served.instrument(known.span.span()).await
    }

    /// Serves a request whose wormhole is known.
    async fn serve_on<B>(
        &self,
        way: Way,
        request: Incoming<B>,
        span: &RequestSpan,
    ) -> Result<Response<WormholeBody>, Rejection>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let Way {
            wormhole,
            context,
            until,
        } = way;
        let Incoming {
            mut parts,
            body,
            client,
            arrival,
            id,
        } = request;
        let limits = &wormhole.spec.limits;
        let caller = || self.wormholes.caller(&wormhole.id);
        let gate = &self.gate;
        let passed = gate.check(&wormhole, &mut parts, client.address, (caller, &context));
        passed.await.map_err(Rejection::stopped)?;

        let most = limits.body.or(self.settings.limits.body);
        let most = most.map(lattice_core::quantity::ByteSize::as_u64);
        if most.is_some_and(|most| announced(&parts.headers).is_some_and(|length| length > most)) {
            return Err(Rejection::too_large());
        }
        let between = self.settings.limits.body_idle;
        let body = RequestBody::new(body, most, (between, until), &self.reaper);

        let method = parts.method.clone();
        let origin = Origin {
            request: id,
            wormhole,
            span: span.clone(),
        };
        let response = self.send(Request::from_parts(parts, body), &origin, context);
        let times = Times {
            pace: Pace::Always,
            between,
            until,
        };
        passed_on(
            response.await?,
            &method,
            (origin, arrival.in_flight),
            times,
            &self.reaper,
        )
    }

    /// Finds the wormhole that a request is for, and gives it the head that its actor gets.
    fn route(
        &self,
        parts: &mut Parts,
        client: &Client,
        peer: Option<IpAddr>,
        id: &HeaderValue,
    ) -> Result<Arc<Wormhole>, Rejection> {
        if wants_upgrade(parts) {
            return Err(Rejection::upgrade());
        }
        if has_other_codings(&parts.headers) {
            return Err(Rejection::bad_coding());
        }
        if is_too_large(parts, &self.settings.limits) {
            return Err(Rejection::too_many_headers());
        }
        let destination = Destination::of(parts).map_err(Rejection::bad_destination)?;
        remove_named_by_connection(&mut parts.headers);
        let table = self.wormholes.table();
        let found = destination.find(&table, &self.settings.domains);
        let wormhole = found.cloned().ok_or_else(Rejection::not_found)?;

        let path = parts.uri.path_and_query().cloned();
        let uri = destination.uri(client.scheme(), path);
        parts.uri = uri.ok_or_else(Rejection::not_found)?;
        client.write(&mut parts.headers, peer, destination.authority.as_str());
        if self.settings.own_traces && !client.is_proxied {
            trace::remove(&mut parts.headers);
        }
        parts.headers.insert(REQUEST_ID, id.clone());
        // It was answered here, when the body was first read.
        parts.headers.remove(EXPECT);
        join_cookies(&mut parts.headers);
        remove_cookies_of_page(&mut parts.headers);
        Ok(wormhole)
    }

    /// Returns the context of the calls for a request, whose deadline is that of the response's
    /// head.
    fn context(&self, wormhole: &Wormhole, headers: &HeaderMap, until: Option<Instant>) -> Context {
        let timeout = wormhole.spec.limits.head_timeout;
        let mut context = Context::new(timeout.unwrap_or(self.settings.limits.head_timeout));
        if let Some(until) = until {
            context.deadline = context.deadline.min(until);
        }
        context.trace = trace::of(headers);
        context
    }

    /// Sends a request to the wormhole's actor. Ends at once when the body of the request breaks.
    async fn send<B>(
        &self,
        request: Request<RequestBody<B>>,
        origin: &Origin,
        mut context: Context,
    ) -> Result<Response<exchange::Body>, Rejection>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        // Read again, because a verifier may have replaced it. Where there are spans, the calls
        // belong to that of the request.
        if origin.span.is_none()
            && let Some(trace) = trace::of(request.headers())
        {
            context.trace = Some(trace);
        }
        let fate = request.body().fate();
        let mut caller = self.wormholes.caller(&origin.wormhole.id);
        // By the rules of HTTP it may run twice, and it has no body that had to be sent twice.
        if fate.is_none() && request.method().is_idempotent() {
            caller = caller.idempotent();
        }
        let options = RequestOptions {
            connect_timeout: None,
            first_byte_timeout: None,
            between_bytes_timeout: None,
        };
        let sent = exchange::send(caller, request, &options, context);
        let sent = match &fate {
            Some(fate) => unless_broken(sent, fate).await?,
            None => sent.await,
        };
        sent.map_err(|error| Rejection::failed(&error))
    }
}

/// Waits for the response, or until the body of the request breaks before it.
async fn unless_broken(
    sent: impl Future<Output = Result<Response<exchange::Body>, SendError>>,
    fate: &RequestFate,
) -> Result<Result<Response<exchange::Body>, SendError>, Rejection> {
    let (sent, broken) = (pin!(sent), pin!(fate.broken()));
    let answered = tokio::select! {
        biased;
        fault = broken => return Err(Rejection::broken_request(fault)),
        answered = sent => answered,
    };
    // An actor that has noticed the same answers to a body that wasn't there.
    match fate.fault() {
        Some(fault) => Err(Rejection::broken_request(fault)),
        None => Ok(answered),
    }
}

impl<B> tower_service::Service<Request<B>> for WormholeService
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<WormholeBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<WormholeBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let client = request.extensions().get::<ClientAddress>();
        let arrival = Arrival {
            peer: client.map(|ClientAddress(address)| address.ip()),
            is_https: self.is_https,
            in_flight: None,
        };
        Box::pin(async move { Ok(service.answer(request, arrival).await) })
    }
}

impl fmt::Debug for WormholeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WormholeService")
            .field("settings", &self.inner.settings)
            .field("is_https", &self.is_https)
            .finish_non_exhaustive()
    }
}
