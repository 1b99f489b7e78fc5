//! Requests and responses as the values of calls, and back.
//!
//! `wit/lattice-http` declares the call: one function `handle`, whose request and response have a
//! head, a body that streams, and trailers that come later. This module converts them to and from
//! the types of the crate `http`, with a [`Body`] that hyper and wasmtime-wasi-http take.
//!
//! * Headers that belong to a connection are left out in both directions, and so is `host`, in
//!   whose place a request has its authority.
//! * As much of a body as is there with the head, up to [16 KiB](body::WITH_HEAD), travels with it.
//!   So a small message is one value without streams.
//! * A body that breaks gives its reader an error, never an end. The [`ErrorCode`] with which it
//!   broke arrives in place of the trailers.

mod body;
mod failure;
mod headers;
mod length;
mod message;
mod send;
mod served;

pub(crate) use body::Body;
pub(crate) use failure::{SendError, code_of_broken, code_of_call, code_of_wasi, wasi_of_code};
pub(crate) use headers::{is_of_connection, named_by_connection};
pub(crate) use length::{check_length, expected_length, expected_request_length};
pub(crate) use message::{
    request_from_wire, request_to_wire, response_from_wire, response_to_wire,
};
pub(crate) use send::send;
pub(crate) use served::{SERVED_AS, ServedAs, handle_of, handle_types, is_handle};

pub(crate) use bindings::lattice::http::{
    handler::{Handler, HandlerClient},
    types::{
        DnsErrorPayload, ErrorCode, FieldSizePayload, Header, Request, RequestOptions, Response,
        TlsAlertReceivedPayload,
    },
    verifier::{Head, Refusal, Verdict, VerifierClient},
};

/// The name of the interface whose function is called.
pub(crate) const HANDLER: &str = "lattice:http/handler@0.1.0";

/// The types of the calls, a trait for those that serve them, and clients of those that make them.
pub(crate) mod bindings {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:http-exchange;
        world exchange {
            import lattice:http/handler@0.1.0;
            import lattice:http/verifier@0.1.0;
            export lattice:http/handler@0.1.0;
        }
    " });
}
