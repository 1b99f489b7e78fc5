//! Guests that speak `wasi:http`.
//!
//! Their requests and responses are resources of wasmtime-wasi-http, so that they are served
//! natively and not transcoded. To all others, a guest that serves HTTP has the function `handle`
//! of `lattice:http/handler`, under [several names](crate::http::exchange::SERVED_AS).
//!
//! ```text
//! call ──► instance ──► head of the response ──► result of the call
//!             │                                      │
//!             └── runs on, in a task ── body ────────┘── its reader
//! ```
//!
//! * Version 0.2 ([`incoming`]): a fresh instance for each request, or an exclusive warm one. If
//!   the guest has returned and the body is whole by the time that the head is there, nothing of it
//!   is left. Otherwise it runs on in a task.
//! * Version 0.3 ([`shared`]): an instance serves several requests, each as a task of its store.
//!
//! The task ends with the guest, when the reader of the body is gone, and when nothing of the
//! bodies has moved for [`Limits::kept`](crate::Limits::kept). A body is whole only if the guest
//! has ended it: what ends the instance breaks it ([`written`]).
//!
//! The requests that guests make ([`outgoing`]) are calls over the link of the interface that they
//! import.

mod flow;
mod incoming;
mod outgoing;
mod response;
mod service;
#[cfg(feature = "p3")]
mod shared;
mod state;
mod written;

pub(crate) use outgoing::add_to_linker;
pub(super) use service::HttpService;

use lattice_core::name::InterfaceName;
use wasmtime_wasi_http::p2;
#[cfg(feature = "p3")]
use wasmtime_wasi_http::p3;

/// What of a component serves requests.
pub(crate) struct HttpExports {
    pub(crate) export: HttpExport,
    /// The interfaces that it exports for that.
    pub(crate) interfaces: Vec<InterfaceName>,
}

/// How a component serves requests.
pub(crate) enum HttpExport {
    /// By `wasi:http/incoming-handler`, version 0.2.
    Incoming(p2::bindings::ProxyIndices),
    /// By `wasi:http/handler`, version 0.3.
    #[cfg(feature = "p3")]
    Handler(p3::bindings::ServiceIndices),
}
