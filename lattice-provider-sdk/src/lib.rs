//! Write native capability providers for a lattice from WIT.
//!
//! Draft.

mod call;
mod client;
mod config;
mod dispatch;
mod provider;
mod serve;
mod service;
mod sessions;
pub mod value;
pub mod world;

pub use bytes::Bytes;
pub use call::Call;
pub use client::{Invoke, Through};
pub use lattice_core::{
    Lattice,
    call::{CallError, Context},
    link::Link,
    node::{ServeLimits, Serving},
};
pub use lattice_provider_macros::provider;
pub use provider::{Provider, Refusal, Stateless};
pub use serve::{ServeError, serve, serve_within};
pub use service::IntoService;

/// What generated code needs. No part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        client::{encoded, invoke},
        dispatch::{answer, arguments, unknown},
        value::{Bits, Blob, known_bits},
    };
    pub use serde;
}
