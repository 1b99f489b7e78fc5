//! Calls in the name of one component, through its links.

use super::{
    Call, ClientHandle, Granted, OutgoingCall,
    builder::Encoded,
    call::{Passing, Permission},
};
use crate::{
    call::{CallError, Context, FunctionRef},
    id::{Origin, Source},
    link::{Link, LinkEntry},
    name::{ComponentId, FunctionName, InterfaceName, IntoName, LinkName, NameError},
    serve::CallerInstance,
    server::OpenWormhole,
    store::Incarnation,
    stream::Body,
    value::{Decode, Encode},
};
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// Calls in the name of one component, through its links: no link, no call. Cheap to clone.
///
/// One that [`Wormholes::caller`](crate::wormholes::Wormholes::caller) returns calls in the name of
/// a wormhole, which allows it as long as it is open.
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
    link: LinkName,
    /// Whether each of its calls may run twice without harm.
    idempotent: bool,
}

/// The permission of a call, and the incarnation of the store that the callee's table must have, if
/// there is a revision to wait for.
pub(super) enum Grant {
    Link(Arc<LinkEntry>, Option<Incarnation>),
    Wormhole(OpenWormhole),
}

impl Caller {
    pub(crate) fn new(client: ClientHandle, source: Source) -> Self {
        Self {
            client,
            source,
            link: LinkName::default(),
            idempotent: false,
        }
    }

    /// Returns in whose name it calls: a component's, or a wormhole's.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Declares that every call of this handle may run twice without harm, so that one that may
    /// have run is retried on another replica. Calls with streams or handles in their arguments are
    /// never retried.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
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
    pub fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        self.invoke_via(function, &self.link, args, context)
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
        let client = self.client.client(context.deadline).await?;
        let grant = self.grant(client, function.interface(), function.compat(), link)?;
        // Not passed on to another function: a future keeps what it is given for as long as it
        // lasts, and has to stay small enough for the allocator's fast path.
        let mut call = OutgoingCall {
            idempotent: self.is_idempotent(&grant, function.function()),
            permission: grant.permission(),
            incarnation: grant.incarnation(),
            ..OutgoingCall::ungranted(&self.source, grant.target(), function, args, context)
        };
        client.call(&mut call).await.and_then(Body::plain)
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
        let mut call = OutgoingCall {
            incarnation: grant.incarnation(),
            source: &self.source,
            target: grant.target(),
            idempotent: self.is_idempotent(&grant, function.function()),
            permission: grant.permission(),
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
        client.call(&mut call).await
    }

    /// Notes that an instance that has called as [`CallerInstance::Instance`] has ended. Until
    /// then, its calls to a component go to the replica with which it has passed streams or
    /// handles.
    #[doc(hidden)]
    pub fn instance_ended(&self, instance: u64) {
        if let Some(client) = self.client.existing() {
            client.instance_ended(instance);
        }
    }

    /// Returns the component's links for an interface, by name. Empty before its first call, if it
    /// belongs to no host, and for a wormhole.
    pub fn links(&self, interface: &InterfaceName) -> Vec<Arc<Link>> {
        let (Some(client), Some(id)) = (self.client.existing(), self.source.component()) else {
            return Vec::new();
        };
        let table = client.connection.replica.links();
        let entries = table.by_source(id).map(|entry| &entry.link);
        let links = entries.filter(|link| link.interface.is_compatible(interface));
        let mut links: Vec<Arc<Link>> = links.cloned().collect();
        links.sort_by(|one, other| one.name.cmp(&other.name));
        links
    }

    /// Returns the boot of the host on which it calls, or `None` before its first call, if it
    /// belongs to no host.
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

    /// Returns whether a call may run twice without harm.
    pub(super) fn is_idempotent(&self, grant: &Grant, function: &FunctionName) -> bool {
        let declared = match grant {
            Grant::Link(entry, _) => entry.link.idempotent.contains(function),
            Grant::Wormhole(_) => false,
        };
        self.idempotent || declared
    }

    /// Looks up the link or the wormhole that allows a call.
    pub(super) fn grant(
        &self,
        client: &super::Client,
        interface: &InterfaceName,
        compat: &str,
        link: &LinkName,
    ) -> Result<Grant, CallError> {
        let refused = || client.connection.counts.calls.count_not_granted();
        let source = match &self.source {
            Source::Component(source) => source,
            Source::Wormhole(id) => {
                let open = client.server.open_wormhole(id, compat);
                return open.map(Grant::Wormhole).inspect_err(|_| refused());
            }
            Source::Operator | Source::Host(_) => return Err(CallError::OperatorDenied),
        };
        let table = client.connection.replica.links();
        let Some(entry) = table.resolve(source, compat, link) else {
            refused();
            return Err(CallError::NotLinked {
                source_id: source.clone(),
                interface: interface.to_string(),
                link: link.clone(),
            });
        };
        // There is no revision to wait for if the store has lost the link.
        let held = table.is_held(&entry.key);
        let incarnation = (!held).then(|| table.incarnation());
        Ok(Grant::Link(entry.clone(), incarnation))
    }
}

impl Grant {
    /// Returns the component that the call goes to.
    pub(super) fn target(&self) -> &ComponentId {
        match self {
            Self::Link(entry, _) => &entry.link.target,
            Self::Wormhole(wormhole) => &wormhole.target,
        }
    }

    pub(super) fn permission(&self) -> Permission<'_> {
        match self {
            Self::Link(entry, _) => Permission::Link(entry),
            Self::Wormhole(wormhole) => Permission::Wormhole(wormhole),
        }
    }

    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        match self {
            Self::Link(_, incarnation) => *incarnation,
            Self::Wormhole(wormhole) => Some(wormhole.incarnation),
        }
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
