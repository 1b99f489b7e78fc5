//! What typed clients make their calls by.

use crate::world::Interface;
use bytes::Bytes;
use lattice_core::{
    Component,
    call::{CallError, Context, FunctionRef},
    name::LinkName,
    node::Caller,
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::{
    future::Future,
    sync::{Arc, LazyLock},
};

static DEFAULT_LINK: LazyLock<LinkName> = LazyLock::new(LinkName::default);

/// Something that can make calls:
///
/// * a [`Component`], as `lattice.component("greeter")` gives it: calls that component in the name of an operator;
/// * a [`Caller`], as `lattice.caller(id)` gives it: calls in the name of a component, to whatever its link called
///   `default` leads to;
/// * a [`Through`]: the same over a link of another name.
pub trait Invoke: Send + Sync {
    /// Calls `function`; arguments and result are encoded.
    ///
    /// # Errors
    /// A [`CallError`], by the context's deadline.
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
        self.call(function, &DEFAULT_LINK, args, context)
    }
}

/// Calls in the name of a component through its link of a certain name.
#[derive(Debug, Clone)]
pub struct Through {
    caller: Caller,
    link: LinkName,
}

impl Through {
    /// Calls by way of `caller`'s link called `link`.
    pub fn new(caller: Caller, link: LinkName) -> Self {
        Self { caller, link }
    }
}

impl Invoke for Through {
    fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        self.caller.call(function, &self.link, args, context)
    }
}

/// The arguments of a call, as a tuple.
pub fn encoded(args: &impl Encode) -> Result<Bytes, CallError> {
    to_bytes(args).map_err(|error| CallError::BadArguments {
        reason: error.to_string(),
    })
}

/// One call of a generated client: the function at `index` of `interface`.
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
