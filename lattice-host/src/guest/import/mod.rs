//! Calls that guests make to other components, wherever these run.

mod failure_value;
mod outgoing;

use super::{nesting, state::Guest};
use crate::transcode::{Asyncness, FunctionPlan, ImportHandler, PassFuture, ReplyFuture};
use bytes::Bytes;
use failure_value::FailureValue;
use futures_util::future::BoxFuture;
use lattice_core::{
    call::{CallError, FunctionRef, Part},
    name::{FunctionName, InterfaceName},
    stream::Body,
};
use outgoing::OutgoingCall;
use std::{future::ready, sync::Arc};
use wasmtime::{Error, StoreContextMut, component::types::ComponentItem};

/// An imported function of an interface whose types are all that the host knows about it.
pub(crate) struct RemoteFunction {
    function: Arc<FunctionRef>,
    failure: Option<Arc<FailureValue>>,
    asyncness: Asyncness,
}

/// A call that a guest made failed, and the function's type can't report that, so the guest traps.
#[derive(Debug, thiserror::Error)]
#[error("a call of `{interface}#{function}` failed: {error}")]
pub(super) struct CallFailed {
    interface: InterfaceName,
    function: FunctionName,
    // This isn't a source, because the message contains it and a printed chain of errors should not
    // repeat it.
    error: CallError,
}

impl RemoteFunction {
    pub(crate) fn new(
        interface: InterfaceName,
        function: FunctionName,
        plan: &FunctionPlan,
        item: &ComponentItem,
    ) -> Self {
        Self {
            function: Arc::new(FunctionRef::new(interface, function, plan.signature())),
            failure: FailureValue::of(item).map(Arc::new),
            asyncness: plan.asyncness(),
        }
    }
}

impl ImportHandler<Guest> for RemoteFunction {
    fn call(&self, store: StoreContextMut<'_, Guest>, arguments: Bytes) -> ReplyFuture {
        let (outgoing, function) = (
            OutgoingCall::new(store, &self.function),
            self.function.clone(),
        );
        self.reply(async move { outgoing?.send(&function, arguments).await })
    }

    fn pass(&self, store: StoreContextMut<'_, Guest>, arguments: Body) -> PassFuture {
        let (outgoing, function) = (
            OutgoingCall::new(store, &self.function),
            self.function.clone(),
        );
        self.reply(async move { outgoing?.pass(&function, arguments).await })
    }

    fn too_large(&self, store: StoreContextMut<'_, Guest>) -> ReplyFuture {
        self.refused(CallError::TooLarge {
            what: Part::Arguments,
            limit: store.data().actor.limits.result.as_u64(),
        })
    }

    /// The guest has made more calls at once than the host holds arguments for.
    fn no_room(&self, store: StoreContextMut<'_, Guest>) -> ReplyFuture {
        let guest = store.data();
        if let Some(reason) = guest.usage.refusal_to_report() {
            tracing::warn!(
                component = %guest.actor.id,
                function = %self.function.function(),
                %reason,
                "a call that the actor made was refused, because the host has no room for its arguments"
            );
        }
        self.refused(CallError::Overloaded {
            component: guest.actor.id.clone(),
        })
    }
}

impl RemoteFunction {
    /// Returns the result of a call, or its error as the function's type can report it.
    fn reply<R: From<Bytes> + 'static>(
        &self,
        result: impl Future<Output = Result<R, CallError>> + Send + 'static,
    ) -> BoxFuture<'static, wasmtime::Result<R>> {
        let (function, failure) = (self.function.clone(), self.failure.clone());
        let reply = async move {
            let reported = |error| failed(error, &function, failure.as_deref());
            result.await.or_else(|error| Ok(reported(error)?.into()))
        };
        match self.asyncness {
            Asyncness::Sync => Box::pin(reply),
            Asyncness::Async => Box::pin(nesting::import(reply)),
        }
    }

    fn refused(&self, error: CallError) -> ReplyFuture {
        let failed = failed(error, &self.function, self.failure.as_deref());
        Box::pin(ready(failed))
    }
}

/// Reports a failed call as a value of the function's result if its type can hold it, and as a trap
/// otherwise.
fn failed(
    error: CallError,
    function: &FunctionRef,
    failure: Option<&FailureValue>,
) -> wasmtime::Result<Bytes> {
    match failure {
        Some(failure) => failure.encode(&error).map_err(Error::new),
        None => Err(Error::new(CallFailed {
            interface: function.interface().clone(),
            function: function.function().clone(),
            error,
        })),
    }
}
