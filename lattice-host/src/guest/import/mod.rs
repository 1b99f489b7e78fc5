//! Calls that guests make to other components, wherever these run.

mod outgoing;

use super::{
    nesting,
    state::{Guest, count_call},
};
use crate::transcode::{
    Asyncness, FailureValue, FunctionPlan, ImportHandler, PassFuture, ReplyFuture,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    call::{CallError, FunctionRef, Part},
    name::{FunctionName, InterfaceName},
    stream::Body,
};
pub(super) use outgoing::OutgoingCall;
use std::{future::ready, sync::Arc};
use wasmtime::{Error, StoreContextMut, component::types::ComponentItem};

/// An imported function of an interface whose types are all that the host knows about it.
pub(crate) struct RemoteFunction {
    import: Arc<Import>,
    asyncness: Asyncness,
}

/// What a call of an imported function needs for as long as it runs.
struct Import {
    function: FunctionRef,
    failure: Option<FailureValue>,
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
            import: Arc::new(Import {
                function: FunctionRef::new(interface, function, plan.signature()),
                failure: FailureValue::of(item),
            }),
            asyncness: plan.asyncness(),
        }
    }
}

impl ImportHandler<Guest> for RemoteFunction {
    fn call(&self, store: StoreContextMut<'_, Guest>, arguments: Bytes) -> ReplyFuture {
        count_call(&store, arguments.len());
        let import = self.import.clone();
        let outgoing = OutgoingCall::new(store, &import.function);
        self.reply(async move {
            let result = match &outgoing {
                Ok(outgoing) => outgoing.send(&import.function, arguments).await,
                Err(error) => Err(error.clone()),
            };
            result.or_else(|error| import.failed(error))
        })
    }

    fn pass(&self, store: StoreContextMut<'_, Guest>, arguments: Body) -> PassFuture {
        count_call(&store, arguments.bytes.len());
        let import = self.import.clone();
        let outgoing = OutgoingCall::new(store, &import.function);
        self.reply(async move {
            let result = match &outgoing {
                Ok(outgoing) => outgoing.pass(&import.function, arguments).await,
                Err(error) => Err(error.clone()),
            };
            result.or_else(|error| Ok(import.failed(error)?.into()))
        })
    }

    fn too_large(&self, store: StoreContextMut<'_, Guest>) -> ReplyFuture {
        count_call(&store, store.data().actor.limits.result.as_usize());
        self.refused(CallError::TooLarge {
            what: Part::Arguments,
            limit: store.data().actor.limits.result.as_u64(),
        })
    }

    /// The guest has made more calls at once than the host holds arguments for.
    fn no_room(&self, store: StoreContextMut<'_, Guest>) -> ReplyFuture {
        let guest = store.data();
        count_call(&store, guest.actor.limits.result.as_usize());
        if let Some(reason) = guest.usage.refusal_to_report() {
            tracing::warn!(
                component = %guest.actor.id,
                function = %self.import.function.function(),
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
    fn reply<R: 'static>(
        &self,
        reply: impl Future<Output = wasmtime::Result<R>> + Send + 'static,
    ) -> BoxFuture<'static, wasmtime::Result<R>> {
        match self.asyncness {
            Asyncness::Sync => Box::pin(reply),
            Asyncness::Async => Box::pin(nesting::import(reply)),
        }
    }

    fn refused(&self, error: CallError) -> ReplyFuture {
        Box::pin(ready(self.import.failed(error)))
    }
}

impl Import {
    /// Reports a failed call as a value of the function's result if its type can hold it, and as a
    /// trap otherwise.
    fn failed(&self, error: CallError) -> wasmtime::Result<Bytes> {
        match &self.failure {
            Some(failure) => failure.encode(&error).map_err(Error::new),
            None => Err(Error::new(CallFailed {
                interface: self.function.interface().clone(),
                function: self.function.function().clone(),
                error,
            })),
        }
    }
}
