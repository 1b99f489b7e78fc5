//! Requests for guests of version 0.2, which serve one at a time.

use super::{
    flow::Flow,
    response::{Guarded, Head, Served, Tasks, respond},
    service::Answered,
};
use crate::{
    guest::{
        HostedActor,
        active_calls::ActiveCalls,
        exclusive::{ExclusivePool, Lease},
        instance::Instance,
    },
    http::exchange::{self, wasi_of_code},
};
use http::{HeaderValue, Method, Request, header, uri};
use http_body_util::BodyExt;
use lattice_core::call::{CallError, Context};
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::bindings::{ProxyIndices, http::types::Scheme},
};

/// Serves requests in instances of their own.
pub(super) struct Incoming<'s> {
    pub(super) actor: &'s Arc<HostedActor>,
    /// Of an actor whose instances are warm.
    pub(super) pool: Option<Arc<ExclusivePool>>,
    pub(super) export: &'s ProxyIndices,
    pub(super) tasks: &'s Arc<Tasks>,
}

/// The instance of a request.
enum Held {
    Fresh(Box<Instance>),
    Warm(Box<Lease>),
}

impl Held {
    fn instance(&mut self) -> &mut Instance {
        match self {
            Self::Fresh(instance) => instance,
            Self::Warm(lease) => lease.instance(),
        }
    }
}

impl Guarded for Held {
    fn is_done(self: Box<Self>) {
        if let Self::Warm(lease) = *self {
            lease.put_back();
        }
    }
}

impl Incoming<'_> {
    /// Answers a request.
    ///
    /// # Cancel safety
    /// Dropping the future drops the instance.
    pub(super) async fn answer(
        self,
        request: Request<exchange::Body>,
        mut context: Context,
    ) -> Result<Answered, CallError> {
        let mut held = if let Some(pool) = self.pool {
            Held::Warm(Box::new(pool.lease(&mut context).await?))
        } else {
            let place = self.actor.place(&mut context).await?;
            let start = Instance::start(self.actor, place, &context, ActiveCalls::single, None);
            Held::Fresh(Box::new(start.await?))
        };
        let flow = Arc::<Flow>::default();
        let instance = held.instance();
        if let ActiveCalls::Single(call) = &mut instance.store.data_mut().calls {
            call.renewed_by(flow.renewal().clone());
        }
        let method = request.method().clone();
        let (sender, head) = oneshot::channel();
        let run = run(held, self.export.clone(), request, (flow.clone(), sender));
        let head = Head { method, head };
        respond(self.actor, (Box::pin(run), flow), head, self.tasks).await
    }
}

type Sender = oneshot::Sender<super::response::GuestHead>;

/// Runs the guest for one request.
async fn run(
    mut held: Held,
    export: ProxyIndices,
    request: Request<exchange::Body>,
    (flow, sender): (Arc<Flow>, Sender),
) -> Served {
    let instance = held.instance();
    let called = call(instance, &export, request, (flow, sender)).await;
    let result = called.map_err(|error| instance.failure(&error));
    Served {
        result,
        held: Box::new(held),
    }
}

async fn call(
    instance: &mut Instance,
    export: &ProxyIndices,
    request: Request<exchange::Body>,
    (flow, sender): (Arc<Flow>, Sender),
) -> wasmtime::Result<()> {
    let proxy = export.load(&mut instance.store, &instance.inner)?;
    let (mut parts, body) = request.into_parts();
    let scheme = match parts.uri.scheme() {
        Some(scheme) if *scheme == uri::Scheme::HTTPS => Scheme::Https,
        Some(scheme) if *scheme != uri::Scheme::HTTP => Scheme::Other(scheme.to_string()),
        _ => Scheme::Http,
    };
    if parts.uri.authority().is_none() && parts.method != Method::CONNECT {
        // Every request has an authority in this version, though it may be empty.
        let host = parts.headers.entry(header::HOST);
        host.or_insert(HeaderValue::from_static(""));
    }
    let body = flow.watch(body.map_err(wasi_of_code).boxed_unsync());
    let guest = instance.store.data_mut();
    let written = guest.written_bodies();
    let mut http = guest.http();
    let request = http.new_incoming_request(scheme, Request::from_parts(parts, body))?;
    let response = http.new_response_outparam_from_callback(move |head| {
        let head = head.map(|response| response.map(|body| written.watch(body)));
        let head = head.map_err(wasmtime_wasi_http::Error::from);
        // The caller may be gone.
        let _ = sender.send(head);
    })?;
    let usage = instance.usage.clone();
    let handler = proxy.wasi_http_incoming_handler();
    let handled = handler.call_handle(&mut instance.store, request, response);
    usage.run(handled).await
}
