//! The state of wasmtime-wasi-http in the store of an instance.

use super::{outgoing::OutgoingRequest, written::WrittenBodies};
use crate::guest::{ActorContext, CapabilityState, Guest, PanicText};
use http::Request;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Most bytes of a part of a body that a guest writes at once. It is what a stream of the lattice
/// takes at once, too, and bounds the memory that a body takes on its way.
const CHUNK: usize = 64 << 10;

/// The state of one instance.
struct HttpState {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

/// What the host decides of the guest's requests.
#[derive(Default)]
pub(super) struct Hooks {
    /// The request that the guest is about to make.
    next: Option<OutgoingRequest>,
    /// The bodies of its requests and responses.
    written: WrittenBodies,
}

impl CapabilityState for HttpState {
    fn new(_: &ActorContext, _: &PanicText) -> Self {
        Self {
            ctx: WasiHttpCtx::new(),
            hooks: Hooks::default(),
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (HttpState { ctx, hooks }, table) = self.capability::<HttpState>();
        WasiHttpCtxView { hooks, table, ctx }
    }
}

impl Guest {
    /// Sets the request that the guest is about to make, or takes it back.
    pub(super) fn next_request(&mut self, next: Option<OutgoingRequest>) {
        self.capability::<HttpState>().0.hooks.next = next;
    }

    /// Returns the bodies that the guest writes.
    pub(super) fn written_bodies(&mut self) -> WrittenBodies {
        self.capability::<HttpState>().0.hooks.written.clone()
    }

    /// Breaks the bodies that the guest has not ended. Call this before its store is dropped.
    pub(in crate::guest) fn settle_bodies(&mut self) {
        if let Some(state) = self.used_capability::<HttpState>() {
            state.hooks.written.settle();
        }
    }
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    /// The authority is in the URI.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Worker,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Worker), Error>> + Send> {
        let next = self.next.take();
        let request = request.map(|body| self.written.watch(body));
        Box::new(async move {
            let next = next.ok_or(Error::HttpRequestDenied)?;
            let response = next.send(request, options.unwrap_or_default()).await?;
            let worker: Worker = Box::new(async { Ok(()) });
            Ok((response, worker))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    #[cfg(feature = "p3")]
    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}
