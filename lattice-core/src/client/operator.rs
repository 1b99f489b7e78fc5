//! Calls in the name of an operator: tools, tests, services that belong to no component.

use super::{
    Call, ClientHandle, OutgoingCall,
    builder::{Bypass, Encoded, encoded},
    call::Passing,
};
use crate::{
    call::{CallError, Context, DEFAULT_DEADLINE, FunctionRef},
    id::Source,
    name::{ComponentId, FunctionName, InterfaceName, IntoName, NameError},
    stream::Body,
    types::ComponentTypes,
    value::{Decode, Encode},
};
use bytes::Bytes;
use std::sync::Arc;

/// Calls any component without a link, which every holder of the lattice key may do. Hosts
/// log such calls and can refuse them, see
/// [`deny_operator_calls`](crate::Connect::deny_operator_calls). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Operator {
    client: ClientHandle,
}

/// One component that an [`Operator`] calls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Component {
    client: ClientHandle,
    id: Result<ComponentId, NameError>,
}

impl Operator {
    pub(crate) fn new(client: ClientHandle) -> Self {
        Self { client }
    }

    /// Calls a function of `component`, see [`Component::call`].
    ///
    /// # Errors
    /// As [`Component::call`].
    pub fn call<R: Decode>(
        &self,
        component: impl IntoName<ComponentId>,
        interface: impl IntoName<InterfaceName>,
        function: impl IntoName<FunctionName>,
        args: impl Encode,
    ) -> Call<R, Bypass> {
        self.component(component).call(interface, function, args)
    }

    /// Returns a handle for several calls to one component. An invalid id fails the calls.
    pub fn component(&self, id: impl IntoName<ComponentId>) -> Component {
        Component {
            client: self.client.clone(),
            id: id.into_name(),
        }
    }
}

impl Component {
    /// Calls a function with the tuple of its arguments: `("Ada",)` for one, `()` for none. Returns
    /// its result, which is `()` for a function without one. A WIT `result` is a Rust `Result`.
    ///
    /// The Rust types must be those of the function: they are checked by what they encode to.
    ///
    /// # Errors
    /// A [`CallError`], within 2 s unless [`timeout`](Call::timeout) sets another limit.
    ///
    /// # Cancel safety
    /// Dropping the future frees everything on this side. The callee's host is notified and ends
    /// the call, unless it has run by then. If the notification is lost, the call's deadline ends
    /// it.
    pub fn call<R: Decode>(
        &self,
        interface: impl IntoName<InterfaceName>,
        function: impl IntoName<FunctionName>,
        args: impl Encode,
    ) -> Call<R, Bypass> {
        Call::new(Bypass::to(self), interface, function, encoded(&args))
    }

    /// Calls a function with encoded arguments, and returns its encoded result.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_encoded(
        &self,
        interface: impl IntoName<InterfaceName>,
        function: impl IntoName<FunctionName>,
        args: Bytes,
    ) -> Call<Encoded, Bypass> {
        Call::new(Bypass::to(self), interface, function, Ok(args))
    }

    /// Calls a function whose type the caller was built with, as generated clients do: a callee
    /// with another type refuses it as [`SchemaMismatch`](CallError::SchemaMismatch).
    ///
    /// # Errors
    /// A [`CallError`], by the context's deadline.
    ///
    /// # Cancel safety
    /// As for [`call`](Self::call).
    pub async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let target = self.id.as_ref().map_err(Clone::clone)?;
        let client = self.client.client(context.deadline).await?;
        let mut call = OutgoingCall::ungranted(&Source::Operator, target, function, args, context);
        client.call(&mut call).await.and_then(Body::plain)
    }

    /// Calls like [`invoke`](Self::invoke), with arguments and a result that may have streams and
    /// handles in them. The handles are taken, also when the call fails.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke), and [`CallError::StaleHandle`] when a handle can't be used.
    ///
    /// # Cancel safety
    /// As for [`call`](Self::call).
    pub async fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> Result<Body, CallError> {
        let target = self.id.as_ref().map_err(Clone::clone)?;
        let client = self.client.client(context.deadline).await?;
        let Body { bytes, handles } = arguments;
        let mut call = OutgoingCall {
            handles,
            passing: Passing {
                has_handles: false,
                instance: Some(0),
            },
            ..OutgoingCall::ungranted(&Source::Operator, target, function, bytes, context)
        };
        client.call(&mut call).await
    }

    /// Returns the exports and imports of the component, as its hosts published them: for tools
    /// that call interfaces that they were not compiled with.
    ///
    /// # Errors
    /// [`CallError::NotServed`] when it does not run now, and [`CallError::StoreUnavailable`].
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn types(&self) -> Result<Arc<ComponentTypes>, CallError> {
        let target = self.id.as_ref().map_err(Clone::clone)?;
        let deadline = Context::new(DEFAULT_DEADLINE).deadline;
        let client = self.client.client(deadline).await?;
        client.types_of(target, deadline).await
    }

    pub(super) fn handle(&self) -> &ClientHandle {
        &self.client
    }

    pub(super) fn id(&self) -> &Result<ComponentId, NameError> {
        &self.id
    }
}
