//! Calls of typed clients.

use crate::{
    flow::{self, AnyInvoke, Attached, Encoded, Env},
    world::Interface,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use lattice_core::{
    Component,
    call::{CallError, Context, FunctionRef},
    client::Caller,
    id::Source,
    stream::Body,
    value::{Decode, Encode, from_bytes, to_bytes},
};
use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

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

    /// Calls `function` like [`invoke`](Self::invoke), with arguments and a result that may have
    /// streams and handles in them. By default, it can't pass any.
    ///
    /// # Errors
    /// Fails like [`invoke`](Self::invoke).
    fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> impl Future<Output = Result<Body, CallError>> + Send {
        async move {
            if arguments.handles.is_empty() {
                let result = self.invoke(function, arguments.bytes, context).await;
                return result.map(Body::from);
            }
            Err(CallError::BadArguments {
                reason: "this caller passes no streams and handles".to_owned(),
            })
        }
    }

    /// Returns in whose name it calls, which is who holds the handles in the results. By default,
    /// that of an operator.
    fn source(&self) -> Source {
        Source::Operator
    }
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

    fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> impl Future<Output = Result<Body, CallError>> + Send {
        I::pass(self, function, arguments, context)
    }

    fn source(&self) -> Source {
        I::source(self)
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

    fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> impl Future<Output = Result<Body, CallError>> + Send {
        I::pass(self, function, arguments, context)
    }

    fn source(&self) -> Source {
        I::source(self)
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

    fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> impl Future<Output = Result<Body, CallError>> + Send {
        Self::pass(self, function, arguments, context)
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

    fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> impl Future<Output = Result<Body, CallError>> + Send {
        Self::pass(self, function, arguments, context)
    }

    fn source(&self) -> Source {
        self.source().clone()
    }
}

impl<I: Invoke + 'static> AnyInvoke for I {
    fn any_pass<'a>(
        &'a self,
        function: &'a FunctionRef,
        arguments: Body,
        context: Context,
    ) -> BoxFuture<'a, Result<Body, CallError>> {
        self.pass(function, arguments, context).boxed()
    }

    fn any_source(&self) -> Source {
        self.source()
    }
}

impl Invoke for Attached {
    async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let result = self.pass(function, args.into(), context).await?;
        Ok(result.bytes)
    }

    async fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> Result<Body, CallError> {
        match &self.caller {
            Some(caller) => caller.any_pass(function, arguments, context).await,
            None => Err(self.missing()),
        }
    }

    fn source(&self) -> Source {
        let caller = self.caller.as_ref();
        caller.map_or(Source::Operator, |caller| caller.any_source())
    }
}

/// Encodes the arguments of a call, given as a tuple.
pub fn encoded(args: &impl Encode) -> Result<Bytes, CallError> {
    to_bytes(args).map_err(|error| CallError::BadArguments {
        reason: error.to_string(),
    })
}

/// A call of a generated client. It is made when it is awaited.
///
/// Inside a call that this process serves, it inherits the deadline, hops and trace of that call.
/// Elsewhere it ends after 2 s.
///
/// ```
/// use lattice_provider_sdk::{Lattice, client};
/// use std::time::Duration;
///
/// client!({ inline: "
///     package example:hello@0.1.0;
///     interface greeter { greet: func(name: string) -> string; }
/// " });
/// use example::hello::greeter::GreeterClient;
///
/// async fn greet(lattice: &Lattice) -> Result<String, Box<dyn std::error::Error>> {
///     let greeter = GreeterClient::new(lattice.caller("web")?);
///     Ok(greeter.greet("Ada").timeout(Duration::from_millis(50)).await?)
/// }
/// # fn main() {}
/// ```
#[must_use = "a call does nothing until it is awaited"]
#[derive(Debug)]
pub struct ClientCall<'a, R, I> {
    caller: &'a I,
    function: &'a FunctionRef,
    args: Result<Encoded, CallError>,
    /// Of a function that passes streams or handles.
    env: Option<Env>,
    context: Option<Context>,
    timeout: Option<Duration>,
    result: PhantomData<fn() -> R>,
}

impl<R, I> ClientCall<'_, R, I> {
    /// Ends the call after `timeout`, or with the call that it is made inside of if that ends
    /// earlier.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call on behalf of another one, whose deadline, hops and trace it inherits. It is
    /// needed only in tasks that a handler has spawned. Elsewhere they are inherited automatically.
    pub fn on_behalf_of(mut self, context: &Context) -> Self {
        self.context = Some(context.nested());
        self
    }

    /// Makes the call with this context, whose deadline, hops and trace it has. For work that no
    /// call has asked for, such as that of a [`WorkSpan`](crate::WorkSpan): elsewhere, it wouldn't
    /// count as one more hop.
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Returns the context of the call if it is made now.
    fn context(&self) -> Context {
        match (self.context, self.timeout) {
            (Some(context), Some(timeout)) => context.shrunk(timeout),
            (Some(context), None) => context,
            (None, Some(timeout)) => Context::within(timeout),
            (None, None) => Context::default(),
        }
    }
}

impl<'a, R: Decode + 'a, I: Invoke> IntoFuture for ClientCall<'a, R, I> {
    type Output = Result<R, CallError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let context = self.context();
        let (caller, function) = (self.caller, self.function);
        let arguments = match self.args {
            Ok(arguments) => arguments,
            Err(error) => return async move { Err(error) }.boxed(),
        };
        let Some(env) = self.env else {
            // The future of most calls: nothing but that of the caller.
            let result = caller.invoke(function, arguments.start().bytes, context);
            return result.map(|result| plain(&result?)).boxed();
        };
        Box::pin(async move {
            let result = caller.pass(function, arguments.start(), context);
            let Body { bytes, handles } = result.await?;
            flow::decode(&bytes, handles, &env, bad_result)
        })
    }
}

fn plain<R: Decode>(result: &Bytes) -> Result<R, CallError> {
    from_bytes(result).map_err(|error| bad_result(error.to_string()))
}

/// Returns a call of the function at `index` of `interface`, for generated clients.
pub fn call<'a, R, I: Invoke>(
    caller: &'a I,
    interface: &'static Interface,
    index: usize,
    args: Result<Bytes, CallError>,
) -> ClientCall<'a, R, I> {
    ClientCall {
        caller,
        function: interface.reference(index),
        args: args.map(Encoded::from),
        env: None,
        context: None,
        timeout: None,
        result: PhantomData,
    }
}

/// Returns a call like [`call`], of a function that passes streams or handles. Its arguments are
/// given as a tuple.
pub fn passing_call<'a, R, I: Invoke + Clone + 'static>(
    caller: &'a I,
    interface: &'static Interface,
    index: usize,
    args: impl Encode,
) -> ClientCall<'a, R, I> {
    let env = Env::of_client(Arc::new(caller.clone()));
    let args = flow::encode(args, &env, |reason| CallError::BadArguments { reason });
    ClientCall {
        caller,
        function: interface.reference(index),
        args,
        env: Some(env),
        context: None,
        timeout: None,
        result: PhantomData,
    }
}

fn bad_result(reason: String) -> CallError {
    CallError::BadResult { reason }
}
