//! What a handler knows of the call that it serves.

use crate::Provider;
use bytes::Bytes;
use lattice_core::{
    call::Context,
    link::Link,
    name::{ComponentId, LinkName},
    serve::Request,
    wire::{FunctionKey, Source, TraceContext},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One call, as the handler sees it: who calls over which link, by when, and the link's binding.
///
/// Pass `call` on as the context of calls made on behalf of this one: they inherit its deadline and trace, and count as one
/// hop more.
pub struct Call<P: Provider> {
    function: FunctionKey,
    component: ComponentId,
    source: Source,
    link: Option<Arc<Link>>,
    context: Context,
    binding: Arc<P::Binding>,
}

impl<P: Provider> Call<P> {
    /// The call and its arguments.
    pub(crate) fn new(request: Request, binding: Arc<P::Binding>) -> (Self, Bytes) {
        let Request {
            component,
            function,
            source,
            link,
            args,
            context,
            ..
        } = request;
        let call = Self {
            function,
            component,
            source,
            link,
            context,
            binding,
        };
        (call, args)
    }

    /// The binding that [`Provider::link`] made for the link; for a call over no link, what [`Provider::operator`] made.
    ///
    /// This is where a link's config is found: keep of it in the binding what the handlers need.
    pub fn binding(&self) -> &P::Binding {
        &self.binding
    }

    /// Who calls.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The component that calls; `None` when it is an operator.
    pub fn caller(&self) -> Option<&ComponentId> {
        match &self.source {
            Source::Component(id) => Some(id),
            _ => None,
        }
    }

    /// The link that grants the call; `None` when an operator calls.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_deref()
    }

    /// The name of the link that grants the call; `None` when an operator calls.
    pub fn link_name(&self) -> Option<&LinkName> {
        self.link().map(|link| &link.name)
    }

    /// The id under which this provider was called.
    pub fn component(&self) -> &ComponentId {
        &self.component
    }

    /// Which function was called.
    pub fn function(&self) -> FunctionKey {
        self.function
    }

    /// When the caller stops waiting; the future of the handler is dropped then.
    pub fn deadline(&self) -> Instant {
        self.context.deadline
    }

    /// How long the caller still waits.
    pub fn time_left(&self) -> Duration {
        self.context.left()
    }

    /// How many calls led here; 0 when nobody called the caller.
    pub fn hops(&self) -> u8 {
        self.context.hops
    }

    /// The caller's W3C trace context, when it sent one.
    pub fn trace(&self) -> Option<TraceContext> {
        self.context.trace
    }

    /// The context for calls made on behalf of this one.
    pub fn nested(&self) -> Context {
        self.context.nested()
    }
}

impl<P: Provider> From<&Call<P>> for Context {
    fn from(call: &Call<P>) -> Self {
        call.nested()
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
