//! Calls to another host in this host's own name.

use super::{Caller, Client, OutgoingCall};
use crate::{
    call::{CallError, Context, FunctionRef},
    name::ComponentId,
    stream::Body,
    wire::{Origin, Source},
};
use bytes::Bytes;

impl Caller {
    /// Calls a function of another replica of the calling component, which needs no link. The
    /// replica sees a call of the host on which this one runs. It accepts it if its service
    /// [takes such calls](crate::serve::Service::takes_replicas), while it knows from heartbeats
    /// that the host serves the component.
    ///
    /// # Errors
    /// A [`CallError`], by the context's deadline.
    ///
    /// # Cancel safety
    /// As [`invoke`](Self::invoke).
    pub async fn invoke_replica(
        &self,
        on: &Origin,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let Source::Component(component) = self.source() else {
            return Err(CallError::OperatorDenied);
        };
        let client = self.handle().client(context.deadline).await?;
        client
            .call_on(on, component, function, (args, context))
            .await
    }
}

impl Client {
    /// Calls the service for host RPC on another host.
    pub(crate) async fn call_host(
        &self,
        host: &Origin,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let target = host.host.as_component();
        self.call_on(host, &target, function, (args, context)).await
    }

    /// Calls a component on another host in this host's own name.
    async fn call_on(
        &self,
        host: &Origin,
        target: &ComponentId,
        function: &FunctionRef,
        (args, context): (Bytes, Context),
    ) -> Result<Bytes, CallError> {
        let source = Source::Host(self.origin().host.clone());
        let call = OutgoingCall::ungranted(&source, target, function, args, context);
        let now = self.check(&call)?;
        let peer = self.transport.peer(host);
        let result = self.call_remote(&peer, &call, 0, now).await;
        result.and_then(Body::plain)
    }

    /// Sends what this host has dropped of another host's resources, if there is something. A
    /// component that drops a handle and then calls finds it dropped. Requests of the host itself
    /// don't wait for that: the drops are some of them. Returns whether there were any.
    pub(super) async fn send_drops(&self, host: &Origin, source: &Source) -> bool {
        if matches!(source, Source::Host(_)) {
            return false;
        }
        let ledger = &self.connection.handles;
        let Some(sent) = ledger.send_drops(self.origin(), host) else {
            return false;
        };
        sent.await;
        true
    }
}
