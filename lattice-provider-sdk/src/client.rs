//! How typed clients make their calls.

use crate::world::Interface;
use bytes::Bytes;
use lattice_core::{
    Component,
    call::{CallError, Context, FunctionRef},
    client::Caller,
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::{future::Future, sync::Arc};

/// A value that can make calls for a typed client:
///
/// * a [`Caller`], returned by `lattice.caller("web")?`, calls as a component over its link named
///   `default`, or over the one that `caller.via("slow")?` names;
/// * a [`Component`], returned by `lattice.operator().component("greeter")`, calls that component
///   as an operator, without a link.
pub trait Invoke: Send + Sync {
    /// Calls `function` with encoded arguments and returns its encoded result.
    ///
    /// # Errors
    /// Fails with a [`CallError`], at the context's deadline at the latest.
    fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send;
}

impl<I: Invoke> Invoke for &I {
    fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        I::invoke(self, function, args, context)
    }
}

impl<I: Invoke> Invoke for Arc<I> {
    fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        I::invoke(self, function, args, context)
    }
}

impl Invoke for Component {
    fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        Self::invoke(self, function, args, context)
    }
}

impl Invoke for Caller {
    fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        Self::invoke(self, function, args, context)
    }
}

/// Encodes the arguments of a call, given as a tuple.
pub fn encoded(args: &impl Encode) -> Result<Bytes, CallError> {
    to_bytes(args).map_err(|error| CallError::BadArguments {
        reason: error.to_string(),
    })
}

/// Makes one call of a generated client: calls the function at `index` of `interface`.
pub async fn invoke<I: Invoke, R: Decode>(
    caller: &I,
    interface: &'static Interface,
    index: usize,
    args: Result<Bytes, CallError>,
    context: Context,
) -> Result<R, CallError> {
    let result = caller
        .invoke(interface.reference(index), args?, context)
        .await?;
    from_bytes(&result).map_err(|error| CallError::BadResult {
        reason: error.to_string(),
    })
}
