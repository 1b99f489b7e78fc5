//! Handles between a store and the host: what is lifted, and what is lowered.

use bytes::Bytes;
use wasmtime::ValRaw;
use wasmtime::component::__internal::{InterfaceType, LiftContext};
use wasmtime::component::{FutureAny, Lift, ResourceAny, ResourceDynamic, StreamAny};

use super::lift_error::LiftError;
use super::types::Payload;

/// A value that was lifted out of a guest, or is about to be lowered into one.
///
/// Dropping it cleans nothing up: what isn't lowered stays in the store.
#[derive(Default)]
pub(crate) struct Lifted {
    pub(crate) wire: Bytes,
    /// In the order in which a walk over the value meets them.
    pub(crate) handles: Vec<RawHandle>,
}

/// A handle in a store.
#[derive(Debug)]
pub(crate) enum RawHandle {
    /// A resource that was lifted, or one of the guest's own that goes back to it.
    Resource(ResourceAny),
    /// A resource of another instance on its way into this store.
    Foreign(ResourceDynamic),
    Stream(StreamAny, Payload),
    Future(FutureAny, Payload),
}

impl From<Bytes> for Lifted {
    fn from(wire: Bytes) -> Self {
        Self {
            wire,
            handles: Vec::new(),
        }
    }
}

impl RawHandle {
    /// Takes a resource out of the guest's table, or lends it. Wasmtime checks that the guest has
    /// it, of this type.
    pub(super) fn lift_resource(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        index: u32,
    ) -> Result<Self, LiftError> {
        let lifted = ResourceAny::linear_lift_from_flat(cx, ty, &ValRaw::u32(index));
        lifted.map(Self::Resource).map_err(|error| bad(&error))
    }

    /// Takes the end of a stream out of the guest's table.
    pub(super) fn lift_stream(
        cx: &mut LiftContext<'_>,
        (ty, payload): (InterfaceType, Payload),
        index: u32,
    ) -> Result<Self, LiftError> {
        let lifted = StreamAny::linear_lift_from_flat(cx, ty, &ValRaw::u32(index));
        let handle = lifted.map(|stream| Self::Stream(stream, payload));
        handle.map_err(|error| bad(&error))
    }

    /// Takes the end of a future out of the guest's table.
    pub(super) fn lift_future(
        cx: &mut LiftContext<'_>,
        (ty, payload): (InterfaceType, Payload),
        index: u32,
    ) -> Result<Self, LiftError> {
        let lifted = FutureAny::linear_lift_from_flat(cx, ty, &ValRaw::u32(index));
        let handle = lifted.map(|future| Self::Future(future, payload));
        handle.map_err(|error| bad(&error))
    }
}

fn bad(error: &wasmtime::Error) -> LiftError {
    LiftError::Handle(format!("{error:#}").into())
}
