//! The requests that guests make: calls over a link of the interface that they import.

use crate::{
    engine::CallMode,
    guest::{Guest, import::OutgoingCall, nesting},
    http::{
        authorities,
        exchange::{
            self, ErrorCode, RequestOptions, check_length, code_of_call, code_of_wasi,
            expected_request_length, handle_of, wasi_of_code,
        },
    },
    transcode::Asyncness,
};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    id::Source,
    link::Link,
    name::InterfaceName,
    stream::Body,
    sync::Mutex,
};
use lattice_provider_sdk::Invoke;
use std::{sync::Arc, time::Duration};
use tracing::Level;
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{
    Error, RequestOptions as WasiOptions, WasiBody, WasiHttp, WasiHttpView,
    p2::{
        self,
        bindings::http::{outgoing_handler::Host as _, types as p2_types},
        types::{HostFutureIncomingResponse, HostOutgoingRequest},
    },
};

/// The interface by which a guest of version 0.2 makes requests.
const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.12";

/// Defines the interfaces of `wasi:http` that guests import whose instances take calls like this.
///
/// # Errors
/// Fails when one of them is defined already.
#[cfg_attr(
    not(feature = "p3"),
    expect(unused_variables, reason = "only version 0.3 depends on it")
)]
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>, mode: CallMode) -> wasmtime::Result<()> {
    let options = p2::bindings::LinkOptions::default();
    p2_types::add_to_linker::<_, WasiHttp>(linker, &options.into(), Guest::http)?;
    let function = function_of(OUTGOING)?;
    linker
        .instance(OUTGOING)?
        .func_wrap("handle", move |store, parameters| {
            handle(store, &function, parameters)
        })?;
    #[cfg(feature = "p3")]
    if mode == CallMode::Concurrent {
        super::shared::add_to_linker(linker)?;
    }
    Ok(())
}

/// Returns the function that a request of a guest calls.
pub(super) fn function_of(interface: &str) -> wasmtime::Result<Arc<FunctionRef>> {
    let name = InterfaceName::new(interface)?;
    Ok(Arc::new(handle_of(name)))
}

/// The parameters of `wasi:http/outgoing-handler.handle`.
type Parameters = (
    Resource<HostOutgoingRequest>,
    Option<Resource<p2_types::RequestOptions>>,
);
type Handled = Result<Resource<HostFutureIncomingResponse>, p2_types::ErrorCode>;

fn handle(
    mut store: StoreContextMut<'_, Guest>,
    function: &Arc<FunctionRef>,
    (request, options): Parameters,
) -> wasmtime::Result<(Handled,)> {
    let next = OutgoingRequest::new(&mut store, function, Asyncness::Sync);
    let guest = store.data_mut();
    guest.next_request(Some(next));
    let handled = guest.http().handle(request, options);
    // A request that isn't valid wasn't made.
    guest.next_request(None);
    match handled {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// A request that a guest is about to make.
pub(super) struct OutgoingRequest {
    call: Result<OutgoingCall, CallError>,
    function: Arc<FunctionRef>,
    asyncness: Asyncness,
}

impl OutgoingRequest {
    /// Prepares a request of the running guest, by a function of this kind.
    pub(super) fn new(
        store: &mut StoreContextMut<'_, Guest>,
        function: &Arc<FunctionRef>,
        asyncness: Asyncness,
    ) -> Self {
        Self {
            asyncness,
            call: OutgoingCall::new(store.as_context_mut(), function),
            function: function.clone(),
        }
    }

    /// Makes the request.
    pub(super) async fn send(
        self,
        request: Request<WasiBody>,
        options: WasiOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let response = match self.asyncness {
            // In a task of its own.
            Asyncness::Sync => self.exchange(request, options).await,
            // Inside of the guest's store.
            Asyncness::Async => nesting::import(self.exchange(request, options)).await,
        };
        let response = response.map_err(wasi_of_code)?;
        Ok(response.map(|body| body.map_err(wasi_of_code).boxed_unsync()))
    }

    async fn exchange(
        self,
        request: Request<WasiBody>,
        options: WasiOptions,
    ) -> Result<Response<exchange::Body>, ErrorCode> {
        let mut call = self.call.map_err(|error| code_of_call(&error))?;
        let links = call.actor().caller.links(self.function.interface());
        let link = authorities::choose(&links, call.chosen(), request.uri());
        let Some(link) = link else {
            refused(&call, &self.function, (links.as_slice(), request.uri()));
            return Err(ErrorCode::HttpRequestDenied);
        };
        call.over(link.name.clone());
        let context = call.context();
        let caller = Via(Arc::new(Linked {
            source: Source::Component(call.actor().id.clone()),
            function: self.function,
            call: Mutex::new(Some(call)),
        }));
        let length = expected_request_length(request.headers())?;
        let request = request.map(|body| {
            let body = body.map_err(code_of_wasi);
            match length {
                Some(length) => check_length(body, length, ErrorCode::HttpRequestBodySize),
                None => body.boxed_unsync(),
            }
        });
        let sent = exchange::send(caller, request, &wire_options(options), context).await;
        sent.map_err(exchange::SendError::into_code)
    }
}

/// Says which link a request lacks.
fn refused(call: &OutgoingCall, function: &FunctionRef, (links, uri): (&[Arc<Link>], &Uri)) {
    let (actor, interface) = (call.actor(), function.interface());
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let mut message = match call.chosen() {
        Some(link) => format!(
            "a request to `{authority}` was denied, because the link `{link}` of `{}` for `{interface}`, which the actor has chosen, doesn't exist or doesn't take it; put one whose config has no `authorities`, or `{{ \"authorities\": [\"{authority}\"] }}`",
            actor.id
        ),
        None => format!(
            "a request to `{authority}` was denied, because no link of `{}` for `{interface}` takes it; put one named `default`, or one whose config has `{{ \"authorities\": [\"{authority}\"] }}`, to an actor that serves HTTP or to the provider `http`",
            actor.id
        ),
    };
    message.extend(links.iter().filter_map(|link| malformed(link)));
    actor.log.message(Level::WARN, "wasi:http", &message);
}

/// Says that a link takes nothing because of its config.
fn malformed(link: &Link) -> Option<String> {
    authorities::is_malformed(link).then(|| {
        format!(
            "; the link `{}` takes nothing, because the `authorities` of its config aren't a list of strings",
            link.name
        )
    })
}

fn wire_options(options: WasiOptions) -> RequestOptions {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    RequestOptions {
        connect_timeout: options.connect_timeout.map(nanos),
        first_byte_timeout: options.first_byte_timeout.map(nanos),
        between_bytes_timeout: options.between_bytes_timeout.map(nanos),
    }
}

/// Makes one call over the guest's link.
#[derive(Clone)]
struct Via(Arc<Linked>);

struct Linked {
    source: Source,
    function: Arc<FunctionRef>,
    call: Mutex<Option<OutgoingCall>>,
}

impl Invoke for Via {
    async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let result = self.pass(function, args.into(), context).await?;
        Ok(result.bytes)
    }

    async fn pass(
        &self,
        _: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> Result<Body, CallError> {
        let call = self.0.call.lock().take();
        let Some(call) = call else {
            let reason = "a request is made once".to_owned();
            return Err(CallError::BadArguments { reason });
        };
        call.within(context).pass(&self.0.function, arguments).await
    }

    fn source(&self) -> Source {
        self.0.source.clone()
    }
}
