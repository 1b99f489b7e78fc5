//! What typed clients make their calls by.

use crate::world::Interface;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::{future::Future, sync::Arc};

/// Something that can make calls: a component through its links, or an operator.
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

/// One call of a generated client: the function at `index` of `interface`.
pub fn invoke<I: Invoke, R: Decode>(
    caller: &I,
    interface: &'static Interface,
    index: usize,
    context: Context,
    args: &impl Encode,
) -> impl Future<Output = Result<R, CallError>> + Send {
    let args = to_bytes(args).map_err(|error| CallError::BadArguments {
        reason: error.to_string(),
    });
    async move {
        let result = caller
            .invoke(interface.reference(index), args?, context)
            .await?;
        from_bytes(&result).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}
