//! The baseline: what `wasmtime serve` does.

use crate::{Failure, baseline::config};
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    fmt,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Sleep, sleep},
};
use wasmtime::{
    Engine, Store, StoreContextMut,
    component::{Component, GuestTaskId, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
    handler::{
        HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration,
        WorkerState, WorkerStatus,
    },
    p2, p3,
};

/// Requests at a time, and how long an instance without any is kept: the defaults of `wasmtime
/// serve`.
const REQUESTS: usize = 1_000;
const IDLE: Duration = Duration::from_secs(1);

/// How often an instance is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Requests in all.
    pub count: usize,
    /// Requests at a time.
    pub concurrent: usize,
}

impl Reuse {
    /// The defaults of `wasmtime serve` for WASI 0.2.
    pub const P2: Self = Self {
        count: 1,
        concurrent: 1,
    };
    /// The defaults of `wasmtime serve` for WASI 0.3.
    pub const P3: Self = Self {
        count: 128,
        concurrent: 16,
    };
}

/// Serves a guest on this socket, until the future is dropped.
///
/// # Errors
/// Fails when the guest can't be compiled or linked, or the socket is closed.
pub async fn serve(listener: TcpListener, guest: &Path, reuse: Reuse) -> Result<(), Failure> {
    let handler = ProxyHandler::new(Server::new(guest, reuse)?);
    let permits = Arc::new(Semaphore::new(REQUESTS));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (handler, permits) = (handler.clone(), permits.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            answer(handler.clone(), permits.clone(), request)
        });
        // Connections end with this process.
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

/// Passes a request to the guest.
async fn answer(
    handler: ProxyHandler<Server>,
    permits: Arc<Semaphore>,
    request: Request<Incoming>,
) -> Result<hyper::Response<WasiBody>, Failure> {
    let _permit = permits.acquire().await?;
    let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    handler
        .handle((), request)
        .await
        .map_err(|error| Failed(error).into())
}

/// An error of Wasmtime.
#[derive(Debug)]
struct Failed(wasmtime::Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Failed {}

/// What is the same for all instances.
struct Server {
    engine: Engine,
    guest: ProxyPre<State>,
    reuse: Reuse,
}

impl Server {
    fn new(guest: &Path, reuse: Reuse) -> Result<Self, Failure> {
        let engine = Engine::new(&config())?;
        let component = Component::from_file(&engine, guest)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        p2::add_only_http_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        p3::add_to_linker(&mut linker)?;
        let linked = linker.instantiate_pre(&component)?;
        let guest = match p3::bindings::ServicePre::new(linked.clone()) {
            Ok(guest) => ProxyPre::P3(guest),
            Err(_) => ProxyPre::P2(p2::bindings::ProxyPre::new(linked)?),
        };
        Ok(Self {
            engine,
            guest,
            reuse,
        })
    }
}

impl HandlerState for Server {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Reuse;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Reuse>> {
        let mut store = Store::new(&self.engine, State::default());
        store.set_epoch_deadline(u64::MAX / 2);
        let proxy = self.guest.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: WasiHttpView::http,
            expiration: Expiration(Box::pin(sleep(IDLE))),
            state: self.reuse,
        })
    }
}

impl WorkerState for Reuse {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.count {
            ShouldAccept::Never
        } else if concurrent >= self.concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _: Store<State>, result: wasmtime::Result<()>) {
        if let Err(error) = result {
            eprintln!("an instance ended: {error:#}");
        }
    }
}

/// Ends instances that nothing uses.
struct Expiration(Pin<Box<Sleep>>);

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        self.0.as_mut().reset((start + IDLE).into());
        self.0.as_mut().poll(context)
    }
}

/// What an instance's store holds.
#[derive(Default)]
pub struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoRequests,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Guests send no requests.
#[derive(Default)]
struct NoRequests;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _: hyper::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

/// A response, and how sending its request ends.
type Sent = (
    hyper::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);
