//! Guests that import `wasi:blobstore@0.2.0-draft`.
//!
//! Its values and streams are resources of wasmtime-wasi in the guest's own store, so they are
//! served natively and not transcoded. Each operation is a call over the guest's link for
//! `wasi:blobstore/blobstore@0.2.0-draft`, of a function of `lattice:blobstore/store` that the
//! target has under that name.
//!
//! ```text
//! outgoing-value ── write-body ──► output-stream ──► pipe ──► stream of `put-object`
//!       │                                              │
//!       ├── write-data begins the call, in a task ─────┘
//!       ├── finish ends the stream, and waits for the call
//!       └── dropping it breaks the stream: nothing is stored
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `call` | calls over the guest's link, and their errors as strings |
//! | `pipe` | the bytes between a guest and the call that takes them |
//! | `outgoing`, `incoming` | values that are written and read |
//! | `container` | containers, and the operations on their objects |
//! | `store` | operations on containers |

mod call;
mod container;
mod incoming;
mod outgoing;
mod pipe;
mod store;

pub(crate) use call::types;

use super::Guest;
use wasmtime::{StoreContextMut, component::Linker};

/// What imported functions get of the guest.
type Store<'s> = StoreContextMut<'s, Guest>;
/// What imported functions return to the guest.
type Answer<R> = wasmtime::Result<(Result<R, String>,)>;

/// Defines the interfaces of `wasi:blobstore` that guests import.
///
/// # Errors
/// Fails when one of them is defined already.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:blobstore/types@0.2.0-draft")?;
    outgoing::add_to_linker(&mut types)?;
    incoming::add_to_linker(&mut types)?;
    let mut container = linker.instance("wasi:blobstore/container@0.2.0-draft")?;
    container::add_to_linker(&mut container)?;
    store::add_to_linker(&mut linker.instance(call::INTERFACE_NAME)?)
}
