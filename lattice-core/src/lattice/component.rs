//! Calls in the name of an operator: tools, tests, services that belong to no component.

use super::Lattice;
use crate::{
    call::{CallError, Context, DEFAULT_DEADLINE, FunctionRef},
    client::OutgoingCall,
    name::{ComponentId, FunctionName, InterfaceName, NameError},
    types::ComponentTypes,
    value::{self, Decode, Encode},
    wire::Source,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{marker::PhantomData, sync::Arc, time::Duration};

/// A component that an operator may call: anyone who holds the lattice key, unless that is switched off.
#[derive(Debug, Clone)]
pub struct Component {
    lattice: Lattice,
    id: Result<ComponentId, NameError>,
}

/// A call that is not under way yet: `.await` it.
#[must_use = "a call does nothing until it is awaited"]
#[derive(Debug)]
pub struct Call<R> {
    component: Component,
    interface: String,
    function: String,
    args: Result<Bytes, CallError>,
    context: Option<Context>,
    timeout: Option<Duration>,
    idempotent: bool,
    result: PhantomData<fn() -> R>,
}

impl Component {
    pub(super) fn new(lattice: Lattice, id: Result<ComponentId, NameError>) -> Self {
        Self { lattice, id }
    }

    /// Calls a function with the tuple of its arguments: `("Ada",)` for one, `()` for none. Answers its result, which is
    /// `()` for a function without one. A WIT `result` is a Rust `Result`.
    ///
    /// The types must be those of the function: they are checked by what they encode to.
    ///
    /// # Errors
    /// A [`CallError`], within 2 s unless [`timeout`](Call::timeout) says otherwise.
    ///
    /// # Cancel safety
    /// Dropping the future frees everything on this side; a call that has left may still run.
    pub fn call<R: Decode>(&self, interface: &str, function: &str, args: impl Encode) -> Call<R> {
        let args = value::to_bytes(&args).map_err(|error| CallError::BadArguments {
            reason: error.to_string(),
        });
        self.prepare(interface, function, args)
    }

    /// The same with arguments and result as encoded bytes.
    pub fn call_bytes(&self, interface: &str, function: &str, args: Bytes) -> BytesCall {
        BytesCall(self.prepare(interface, function, Ok(args)))
    }

    /// Calls a function whose type the caller was built with, as generated clients do: a callee with another type
    /// refuses it as [`SchemaMismatch`](CallError::SchemaMismatch).
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
        let target = self.id.clone()?;
        let node = self.lattice.calling_node(context.deadline).await?;
        let call = OutgoingCall::ungranted(&Source::Operator, &target, function, args, context);
        node.parts().client.call(call).await
    }

    /// What the component exports and imports, as its hosts published it: for tools that call what they were never
    /// compiled with.
    ///
    /// # Errors
    /// [`CallError::NotServed`] when it does not run now, and [`CallError::StoreUnavailable`].
    ///
    /// # Cancel safety
    /// Dropping the future does nothing.
    pub async fn types(&self) -> Result<Arc<ComponentTypes>, CallError> {
        let target = self.id.clone()?;
        let deadline = Context::new(DEFAULT_DEADLINE).deadline;
        let node = self.lattice.calling_node(deadline).await?;
        node.parts().client.types_of(&target, deadline).await
    }

    fn prepare<R>(
        &self,
        interface: &str,
        function: &str,
        args: Result<Bytes, CallError>,
    ) -> Call<R> {
        Call {
            component: self.clone(),
            interface: interface.to_owned(),
            function: function.to_owned(),
            args,
            context: None,
            timeout: None,
            idempotent: false,
            result: PhantomData,
        }
    }
}

impl<R> Call<R> {
    /// Ends the call after `timeout`: 2 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call on behalf of another one: its deadline, hops and trace are inherited.
    pub fn on_behalf_of(mut self, context: &Context) -> Self {
        self.context = Some(context.nested());
        self
    }

    /// Says that the call may run twice without harm.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    async fn send(self) -> Result<Bytes, CallError> {
        let Component { lattice, id } = self.component;
        let target = id?;
        let interface = InterfaceName::new(&self.interface)?;
        let function = FunctionName::new(&self.function)?;
        let args = self.args?;
        let context = match self.context {
            Some(context) => self
                .timeout
                .map_or(context, |timeout| context.shrunk(timeout)),
            None => Context::new(self.timeout.unwrap_or(DEFAULT_DEADLINE)),
        };
        let client = &lattice.calling_node(context.deadline).await?.parts().client;
        let types = client.types_of(&target, context.deadline).await?;
        let signature = types
            .export(&interface)
            .and_then(|(_, functions)| functions.functions.get(&function))
            .ok_or_else(|| CallError::not_exported(&target, &interface, &function))?;
        let function = FunctionRef::new(interface, function, signature);
        let call = OutgoingCall {
            idempotent: self.idempotent,
            ..OutgoingCall::ungranted(&Source::Operator, &target, &function, args, context)
        };
        client.call(call).await
    }
}

impl<R: Decode + 'static> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let bytes = self.send().await?;
            value::from_bytes(&bytes).map_err(|error| CallError::BadResult {
                reason: error.to_string(),
            })
        })
    }
}

/// A call whose arguments and result stay encoded: `.await` it.
#[must_use = "a call does nothing until it is awaited"]
#[derive(Debug)]
pub struct BytesCall(Call<()>);

impl BytesCall {
    /// Sets what [`Call`]'s methods set: `call.with(|call| call.timeout(…))`.
    pub fn with(self, set: impl FnOnce(Call<()>) -> Call<()>) -> Self {
        Self(set(self.0))
    }
}

impl IntoFuture for BytesCall {
    type Output = Result<Bytes, CallError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.send())
    }
}
