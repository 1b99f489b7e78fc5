//! The requests of guests of version 0.3.

use super::super::outgoing::{OutgoingRequest, function_of};
use crate::{guest::Guest, transcode::Asyncness};
use wasmtime::{
    AsContextMut as _,
    component::{Accessor, Linker, Resource},
};
use wasmtime_wasi_http::{
    WasiHttp, WasiHttpView,
    p3::{
        self,
        bindings::http::{client, types},
    },
};

/// The interfaces by which a guest makes requests, and their functions. The second one is that of
/// a middleware, which passes a request on.
const INTERFACES: [(&str, &str); 2] = [
    ("wasi:http/client@0.3.0", "send"),
    ("wasi:http/handler@0.3.0", "handle"),
];

/// Defines the interfaces of `wasi:http` 0.3 that guests import.
///
/// # Errors
/// Fails when one of them is defined already.
pub(in crate::guest::http) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, WasiHttp>(linker, Guest::http)?;
    for (interface, name) in INTERFACES {
        let function = function_of(interface)?;
        linker.instance(interface)?.func_wrap_concurrent(
            name,
            move |accessor: &Accessor<Guest>, (request,): (Resource<p3::Request>,)| {
                let next = accessor.with(|mut store| {
                    OutgoingRequest::new(&mut store.as_context_mut(), &function, Asyncness::Async)
                });
                Box::pin(send(accessor, next, request))
            },
        )?;
    }
    Ok(())
}

type Sent = Result<Resource<p3::Response>, types::ErrorCode>;

async fn send(
    accessor: &Accessor<Guest>,
    next: OutgoingRequest,
    request: Resource<p3::Request>,
) -> wasmtime::Result<(Sent,)> {
    // Taken in the same turn, before anything is waited for.
    accessor.with(|mut store| store.data_mut().next_request(Some(next)));
    let http = accessor.with_getter::<WasiHttp>(Guest::http);
    let sent = <WasiHttp as client::HostWithStore<Guest>>::send(&http, request).await;
    // A request that isn't valid wasn't made.
    accessor.with(|mut store| store.data_mut().next_request(None));
    match sent {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
