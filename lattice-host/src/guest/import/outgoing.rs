//! A call that a guest is about to make.

use crate::guest::{
    active_calls::ActiveCalls,
    actor::ActorContext,
    state::{Guest, charge_copies, running_context},
    usage::OutgoingPermit,
};
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    name::LinkName,
    serve::CallerInstance,
    stream::Body,
};
use std::sync::Arc;
use wasmtime::StoreContextMut;

/// A call that a guest is about to make, with everything that it needs from the guest's store.
pub(super) struct OutgoingCall {
    actor: Arc<ActorContext>,
    link: LinkName,
    context: Context,
    caller: CallerInstance,
    _permit: OutgoingPermit,
}

impl OutgoingCall {
    /// Prepares a call of `function` by the running guest.
    ///
    /// # Errors
    /// Fails with [`CallError::Overloaded`] when the instance has as many calls in flight as it may
    /// have.
    pub(super) fn new(
        mut store: StoreContextMut<'_, Guest>,
        function: &FunctionRef,
    ) -> Result<Self, CallError> {
        let link = match &store.data().calls {
            ActiveCalls::Single(call) => call.link_for(function),
            ActiveCalls::Concurrent(_) => LinkName::default(),
        };
        charge_copies(&mut store);
        let context = running_context(&mut store);
        let guest = store.data();
        let most = guest.actor.limits.outgoing.get();
        let permit = guest.usage.try_acquire(most);
        let permit = permit.ok_or_else(|| CallError::Overloaded {
            component: guest.actor.id.clone(),
        })?;
        Ok(Self {
            actor: guest.actor.clone(),
            link,
            context: context.nested(),
            caller: guest.as_caller(),
            _permit: permit,
        })
    }

    /// Makes the call.
    pub(super) async fn send(
        self,
        function: &FunctionRef,
        arguments: Bytes,
    ) -> Result<Bytes, CallError> {
        if self.caller != CallerInstance::Here {
            // The function's type has no handles, which is checked with the result.
            let result = self.pass(function, arguments.into()).await;
            return result.map(|body| body.bytes);
        }
        self.actor
            .caller
            .invoke_via(function, &self.link, arguments, self.context)
            .await
    }

    /// Makes the call, with streams and handles.
    pub(super) async fn pass(
        self,
        function: &FunctionRef,
        arguments: Body,
    ) -> Result<Body, CallError> {
        let options = (self.caller, self.context);
        let call = self
            .actor
            .caller
            .pass_via(function, &self.link, arguments, options);
        call.await
    }
}
