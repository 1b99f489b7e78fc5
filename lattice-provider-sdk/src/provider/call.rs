//! A call, as its handler receives it.

use super::Provider;
use bytes::Bytes;
use lattice_core::{
    call::Context,
    link::Link,
    name::{ComponentId, LinkName},
    serve::{CallerInstance, Request},
    stream::Handles,
    wire::{FunctionKey, Source, TraceContext},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A call, as its handler receives it: the caller, the link, the deadline, and the link's binding.
///
/// Calls that the handler makes inherit its deadline and trace, and count as one more hop.
pub struct Call<P: Provider> {
    function: FunctionKey,
    component: ComponentId,
    source: Source,
    link: Option<Arc<Link>>,
    wormhole_link: Option<LinkName>,
    context: Context,
    is_local: bool,
    binding: Arc<P::Binding>,
}

impl<P: Provider> Call<P> {
    /// Splits a request into the call, its encoded arguments, and the handles in them.
    pub(crate) fn new(request: Request, binding: Arc<P::Binding>) -> (Self, Bytes, Handles) {
        let Request {
            component,
            function,
            source,
            link,
            wormhole_link,
            args,
            handles,
            context,
            caller,
            ..
        } = request;
        let call = Self {
            function,
            component,
            source,
            link,
            wormhole_link,
            context,
            is_local: matches!(caller, CallerInstance::Here | CallerInstance::Instance(_)),
            binding,
        };
        (call, args, handles)
    }

    /// Returns the binding that [`Provider::link`] made for the link, or, for a call without one,
    /// the one that [`Provider::operator`] or [`Provider::wormhole`] made.
    ///
    /// A link's config is only passed to [`Provider::link`]. Keep the parts that handlers need in
    /// the binding.
    pub fn binding(&self) -> &P::Binding {
        &self.binding
    }

    /// Returns who made the call.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the calling component, or `None` if an operator or a wormhole calls, which
    /// [`source`](Self::source) tells apart.
    pub fn caller(&self) -> Option<&ComponentId> {
        match &self.source {
            Source::Component(id) => Some(id),
            _ => None,
        }
    }

    /// Returns the link that grants the call, or `None` if an operator or a wormhole calls.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_deref()
    }

    /// Returns the name of the link that grants the call, or the one in the record of the wormhole
    /// in whose name it is made. `None` if an operator calls.
    pub fn link_name(&self) -> Option<&LinkName> {
        let link = self.link().map(|link| &link.name);
        link.or(self.wormhole_link.as_ref())
    }

    /// Returns the id under which this provider was called.
    pub fn component(&self) -> &ComponentId {
        &self.component
    }

    /// Returns the key of the called function.
    pub fn function(&self) -> FunctionKey {
        self.function
    }

    /// Returns the time at which the caller stops waiting. The handler's future is dropped then.
    pub fn deadline(&self) -> Instant {
        self.context.deadline
    }

    /// Returns the time left until the deadline.
    pub fn time_left(&self) -> Duration {
        self.context.left()
    }

    /// Returns whether the caller is in this process, so that neither the call nor its result is
    /// sent over the bus. A caller in another process of the same machine isn't local.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Returns the number of calls that led to this one: 0 when the caller wasn't called itself.
    pub fn hops(&self) -> u8 {
        self.context.hops
    }

    /// Returns the caller's W3C trace context, if it sent one.
    pub fn trace(&self) -> Option<TraceContext> {
        self.context.trace
    }

    /// Returns the call's context, for
    /// [`ClientCall::on_behalf_of`](crate::ClientCall::on_behalf_of) in tasks that the handler
    /// spawns.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl<P: Provider> fmt::Debug for Call<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("component", &self.component)
            .field("function", &self.function)
            .field("source", &self.source)
            .field("link", &self.link.as_ref().map(|link| link.key()))
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
