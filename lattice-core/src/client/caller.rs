//! Calls in the name of one component, through its links.

use super::{Call, ClientHandle, Granted, OutgoingCall, builder::Encoded, call::Passing};
use crate::{
    call::{CallError, Context, FunctionRef},
    id::{Origin, Source},
    link::LinkEntry,
    name::{ComponentId, FunctionName, InterfaceName, IntoName, LinkName, NameError},
    serve::CallerInstance,
    store::Incarnation,
    stream::Body,
    value::{Decode, Encode},
};
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// Calls in the name of one component, through its links: no link, no call. Cheap to clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # use lattice_core::{Lattice, call::CallError};
/// # let lattice = Lattice::in_memory("dev").await?;
/// let web = lattice.caller("web")?;
/// let refused = web.call::<String>("example:hello/greeter@0.1.0", "greet", ("Ada",)).await;
/// assert!(matches!(refused, Err(CallError::NotLinked { .. })));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Caller {
    client: ClientHandle,
    source: Source,
    id: ComponentId,
    link: LinkName,
}

/// The permission of a call.
pub(super) struct Grant {
    pub(super) entry: Arc<LinkEntry>,
    /// The incarnation of the store that the callee's table must have, if there is a revision to
    /// wait for.
    pub(super) incarnation: Option<Incarnation>,
}

impl Caller {
    pub(crate) fn new(client: ClientHandle, source: ComponentId) -> Self {
        Self {
            client,
            source: Source::Component(source.clone()),
            id: source,
            link: LinkName::default(),
        }
    }

    /// The component that calls.
    pub fn source(&self) -> &ComponentId {
        &self.id
    }

    /// Makes the calls over the link with this name instead of the one named `default`: for typed
    /// clients.
    ///
    /// # Errors
    /// [`NameError`] when the name breaks its rule.
    pub fn via(mut self, link: impl IntoName<LinkName>) -> Result<Self, NameError> {
        self.link = link.into_name()?;
        Ok(self)
    }

    /// Calls a function with the tuple of its arguments: `("Ada",)` for one, `()` for none. Returns
    /// its result, which is `()` for a function without one. A WIT `result` is a Rust `Result`.
    ///
    /// The link determines which component is called. The Rust types must be those of the function:
    /// they are checked by what they encode to. Inside a call that this process serves, the
    /// deadline and the hops of that call are inherited, see [`Context::current`].
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
    ) -> Call<R> {
        Call::new(
            Granted::by(self),
            interface,
            function,
            super::builder::encoded(&args),
        )
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
    ) -> Call<Encoded> {
        Call::new(Granted::by(self), interface, function, Ok(args))
    }

    /// Calls a function whose type the caller was built with, as generated clients do: a callee
    /// with another type refuses it as [`SchemaMismatch`](CallError::SchemaMismatch). Arguments and
    /// result are encoded.
    ///
    /// # Errors
    /// A [`CallError`], by the context's deadline.
    ///
    /// # Cancel safety
    /// Dropping the future frees everything on this side. The callee's host is notified and ends
    /// the call, unless it has run by then. If the notification is lost, the call's deadline ends
    /// it.
    pub async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        self.invoke_via(function, &self.link, args, context).await
    }

    /// Calls like [`invoke`](Self::invoke), over the link with this name.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke).
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn invoke_via(
        &self,
        function: &FunctionRef,
        link: &LinkName,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let caller = (CallerInstance::Here, None);
        let result = self.send(function, link, args.into(), (caller, context));
        result.await.and_then(Body::plain)
    }

    /// Calls like [`invoke`](Self::invoke), with arguments and a result that may have streams and
    /// handles in them. The handles are taken, also when the call fails.
    ///
    /// # Errors
    /// As [`pass_via`](Self::pass_via).
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> Result<Body, CallError> {
        let from = (CallerInstance::Here, context);
        self.pass_via(function, &self.link, arguments, from).await
    }

    /// Calls like [`invoke_via`](Self::invoke_via), with arguments and a result that may have
    /// streams and handles in them. The handles are taken, also when the call fails.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke), and [`CallError::StaleHandle`] when a handle can't be used.
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn pass_via(
        &self,
        function: &FunctionRef,
        link: &LinkName,
        arguments: Body,
        (caller, context): (CallerInstance, Context),
    ) -> Result<Body, CallError> {
        let instance = match caller {
            CallerInstance::Instance(number) => number,
            _ => 0,
        };
        let from = ((caller, Some(instance)), context);
        self.send(function, link, arguments, from).await
    }

    async fn send(
        &self,
        function: &FunctionRef,
        link: &LinkName,
        arguments: Body,
        ((caller, instance), context): ((CallerInstance, Option<u64>), Context),
    ) -> Result<Body, CallError> {
        let client = self.client.client(context.deadline).await?;
        let grant = self.grant(client, function.interface(), function.compat(), link)?;
        let call = OutgoingCall {
            incarnation: grant.incarnation,
            source: &self.source,
            target: &grant.entry.link.target,
            idempotent: grant.entry.link.idempotent.contains(function.function()),
            grant: Some(&grant.entry),
            function,
            args: arguments.bytes,
            handles: arguments.handles,
            caller,
            passing: Passing {
                has_handles: false,
                instance,
            },
            context,
            fence: None,
        };
        client.call(call).await
    }

    /// An instance that has called as [`CallerInstance::Instance`] has ended. Until then, its calls
    /// to a component go to the replica with which it has passed streams or handles.
    pub fn instance_ended(&self, instance: u64) {
        if let Some(client) = self.client.existing() {
            client.instance_ended(instance);
        }
    }

    /// The boot of the host on which it calls. `None` before its first call, if it belongs to no
    /// host.
    pub fn origin(&self) -> Option<&Origin> {
        self.client.origin()
    }

    pub(super) fn handle(&self) -> &ClientHandle {
        &self.client
    }

    pub(super) fn default_link(&self) -> &LinkName {
        &self.link
    }

    pub(super) fn as_source(&self) -> &Source {
        &self.source
    }

    /// Looks up the link that allows a call.
    pub(super) fn grant(
        &self,
        client: &super::Client,
        interface: &InterfaceName,
        compat: &str,
        link: &LinkName,
    ) -> Result<Grant, CallError> {
        let table = client.connection.replica.links();
        let Some(entry) = table.resolve(&self.id, compat, link) else {
            return Err(CallError::NotLinked {
                source_id: self.id.clone(),
                interface: interface.to_string(),
                link: link.clone(),
            });
        };
        // There is no revision to wait for if the store has lost the link.
        let held = table.is_held(&entry.key);
        Ok(Grant {
            entry: entry.clone(),
            incarnation: (!held).then(|| table.incarnation()),
        })
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("source", &self.source)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}
