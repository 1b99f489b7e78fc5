//! A call that is being prepared.

use super::{Caller, Client, ClientHandle, Component, OutgoingCall};
use crate::{
    call::{CallError, Context, DEFAULT_DEADLINE, FunctionRef},
    id::Source,
    name::{ComponentId, FunctionName, InterfaceName, IntoName, LinkName, NameError},
    stream::Body,
    value::{self, Decode, Encode},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{marker::PhantomData, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A call that is made when it is awaited. `R` is the type of its result, and `A` is its
/// permission: a link of a [`Caller`], or the right of an [`Operator`](super::Operator).
#[must_use = "a call does nothing until it is awaited"]
#[derive(Debug)]
pub struct Call<R, A = Granted> {
    authority: A,
    interface: Result<InterfaceName, NameError>,
    function: Result<FunctionName, NameError>,
    args: Result<Bytes, CallError>,
    context: Option<Context>,
    timeout: Option<Duration>,
    idempotent: bool,
    result: PhantomData<fn() -> R>,
}

/// A call that a link allows.
#[derive(Debug)]
pub struct Granted {
    caller: Caller,
    link: Result<LinkName, NameError>,
}

/// A call that the operator's right allows.
#[derive(Debug)]
pub struct Bypass {
    component: Component,
}

/// A result that stays encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded(pub Bytes);

/// A type as which the result of a call can be read: any type that decodes, or [`Encoded`].
pub trait CallResult: Sized {
    /// Reads an encoded result.
    ///
    /// # Errors
    /// [`CallError::BadResult`] when it is of another type.
    fn read(bytes: Bytes) -> Result<Self, CallError>;
}

impl<R, A: Authority> Call<R, A> {
    pub(super) fn new(
        authority: A,
        interface: impl IntoName<InterfaceName>,
        function: impl IntoName<FunctionName>,
        args: Result<Bytes, CallError>,
    ) -> Self {
        Self {
            authority,
            interface: interface.into_name(),
            function: function.into_name(),
            args,
            context: None,
            timeout: None,
            idempotent: false,
            result: PhantomData,
        }
    }

    /// Ends the call after `timeout`. By default it ends with the call that it is made inside of,
    /// or after 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call on behalf of another one, whose deadline, hops and trace it inherits. Needed
    /// only in tasks that a service has spawned: elsewhere they are inherited automatically.
    pub fn on_behalf_of(mut self, context: &Context) -> Self {
        self.context = Some(context.nested());
        self
    }

    /// Declares that the call may run twice without harm.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    async fn send(self) -> Result<Bytes, CallError> {
        let (interface, function, args) = (self.interface?, self.function?, self.args?);
        let inherited = self
            .context
            .or_else(|| Context::current().map(Context::nested));
        let context = match (inherited, self.timeout) {
            (Some(context), Some(timeout)) => context.shrunk(timeout),
            (Some(context), None) => context,
            (None, timeout) => Context::new(timeout.unwrap_or(DEFAULT_DEADLINE)),
        };
        let options = Options {
            context,
            idempotent: self.idempotent,
        };
        self.authority
            .send(interface, function, args, options)
            .await
    }
}

impl<R> Call<R> {
    /// Makes the call over the link with this name instead of the caller's own, which is `default`
    /// unless [`Caller::via`] set another.
    pub fn via(mut self, link: impl IntoName<LinkName>) -> Self {
        self.authority.link = link.into_name();
        self
    }
}

impl<R: CallResult + 'static, A: Authority> IntoFuture for Call<R, A> {
    type Output = Result<R, CallError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { R::read(self.send().await?) })
    }
}

impl<T: Decode> CallResult for T {
    fn read(bytes: Bytes) -> Result<Self, CallError> {
        value::from_bytes(&bytes).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}

impl CallResult for Encoded {
    fn read(bytes: Bytes) -> Result<Self, CallError> {
        Ok(Self(bytes))
    }
}

/// Encodes the arguments of a call.
pub(super) fn encoded(args: &impl Encode) -> Result<Bytes, CallError> {
    value::to_bytes(args).map_err(|error| CallError::BadArguments {
        reason: error.to_string(),
    })
}

/// How a call is sent.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    context: Context,
    idempotent: bool,
}

/// The permission of a call: [`Granted`] or [`Bypass`].
pub trait Authority: Send + 'static {
    /// Makes the call.
    #[doc(hidden)]
    fn send(
        self,
        interface: InterfaceName,
        function: FunctionName,
        args: Bytes,
        options: Options,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send;
}

impl Granted {
    pub(super) fn by(caller: &Caller) -> Self {
        Self {
            link: Ok(caller.default_link().clone()),
            caller: caller.clone(),
        }
    }
}

impl Authority for Granted {
    async fn send(
        self,
        interface: InterfaceName,
        function: FunctionName,
        args: Bytes,
        Options {
            context,
            idempotent,
        }: Options,
    ) -> Result<Bytes, CallError> {
        let (caller, link) = (self.caller, self.link?);
        let client = caller.handle().client(context.deadline).await?;
        let grant = caller.grant(client, &interface, &interface.compat(), &link)?;
        let target = grant.target();
        let function = reference(client, target, interface, function, context.deadline).await?;
        let declared = caller.is_idempotent(&grant, function.function());
        let mut call = OutgoingCall {
            incarnation: grant.incarnation(),
            permission: grant.permission(),
            idempotent: idempotent || declared,
            ..OutgoingCall::ungranted(caller.as_source(), target, &function, args, context)
        };
        client.call(&mut call).await.and_then(Body::plain)
    }
}

impl Bypass {
    pub(super) fn to(component: &Component) -> Self {
        Self {
            component: component.clone(),
        }
    }
}

impl Authority for Bypass {
    async fn send(
        self,
        interface: InterfaceName,
        function: FunctionName,
        args: Bytes,
        Options {
            context,
            idempotent,
        }: Options,
    ) -> Result<Bytes, CallError> {
        let target = self.component.id().as_ref().map_err(Clone::clone)?;
        let handle: &ClientHandle = self.component.handle();
        let client = handle.client(context.deadline).await?;
        let function = reference(client, target, interface, function, context.deadline).await?;
        let mut call = OutgoingCall {
            idempotent,
            ..OutgoingCall::ungranted(&Source::Operator, target, &function, args, context)
        };
        client.call(&mut call).await.and_then(Body::plain)
    }
}

/// The function with the type that `target` was published with.
async fn reference(
    client: &Arc<Client>,
    target: &ComponentId,
    interface: InterfaceName,
    function: FunctionName,
    deadline: Instant,
) -> Result<FunctionRef, CallError> {
    let types = client.types_of(target, deadline).await?;
    let signature = types
        .export(&interface)
        .and_then(|(_, functions)| functions.signatures(&function).next())
        .ok_or_else(|| CallError::not_exported(target, &interface, &function))?;
    Ok(FunctionRef::new(interface, function, signature))
}
