//! A call that a guest is about to make.

use crate::guest::{
    actor::ActorContext,
    state::{Guest, charge_copies, outgoing},
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
pub(in crate::guest) struct OutgoingCall {
    actor: Arc<ActorContext>,
    /// The link that was chosen for the call that the guest serves.
    chosen: Option<LinkName>,
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
    pub(in crate::guest) fn new(
        mut store: StoreContextMut<'_, Guest>,
        function: &FunctionRef,
    ) -> Result<Self, CallError> {
        charge_copies(&mut store);
        let (chosen, context) = outgoing(&mut store, function);
        let guest = store.data();
        let most = guest.actor.limits.outgoing.get();
        let permit = guest.usage.try_acquire(most);
        let permit = permit.ok_or_else(|| CallError::Overloaded {
            component: guest.actor.id.clone(),
        })?;
        Ok(Self {
            actor: guest.actor.clone(),
            chosen,
            context: context.nested(),
            caller: guest.as_caller(),
            _permit: permit,
        })
    }

    /// Returns the actor that calls.
    #[cfg(any(feature = "blobstore", feature = "http"))]
    pub(in crate::guest) fn actor(&self) -> &Arc<ActorContext> {
        &self.actor
    }

    /// Returns the link that was chosen for the call that the guest serves, if one was.
    #[cfg(feature = "http")]
    pub(in crate::guest) fn chosen(&self) -> Option<&LinkName> {
        self.chosen.as_ref()
    }

    /// Makes it a call over the link with this name.
    #[cfg(feature = "http")]
    pub(in crate::guest) fn over(&mut self, link: LinkName) {
        self.chosen = Some(link);
    }

    /// Returns the context of the call.
    #[cfg(feature = "http")]
    pub(in crate::guest) fn context(&self) -> Context {
        self.context
    }

    /// Gives it another context, whose deadline is earlier.
    #[cfg(feature = "http")]
    pub(in crate::guest) fn within(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// Makes the call.
    pub(super) async fn send(
        &self,
        function: &FunctionRef,
        arguments: Bytes,
    ) -> Result<Bytes, CallError> {
        if self.caller != CallerInstance::Here {
            // The function's type has no handles, which is checked with the result.
            let result = self.pass(function, arguments.into()).await;
            return result.map(|body| body.bytes);
        }
        let call = self
            .actor
            .caller
            .invoke_via(function, self.link(), arguments, self.context);
        call.await
    }

    /// Makes the call, with streams and handles.
    pub(in crate::guest) async fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
    ) -> Result<Body, CallError> {
        let options = (self.caller.clone(), self.context);
        let call = self
            .actor
            .caller
            .pass_via(function, self.link(), arguments, options);
        call.await
    }

    /// The link that the call goes over.
    fn link(&self) -> &LinkName {
        match &self.chosen {
            Some(link) => link,
            None => LinkName::default_name(),
        }
    }
}
