//! Calls to another host in this host's own name.

use super::{Client, OutgoingCall};
use crate::{
    call::{CallError, Context, FunctionRef},
    stream::Body,
    wire::{Origin, Source},
};
use bytes::Bytes;

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
        let source = Source::Host(self.origin().host.clone());
        let call = OutgoingCall::ungranted(&source, &target, function, args, context);
        self.check(&call)?;
        let peer = self.transport.peer(host);
        let result = self.call_remote(&peer, &call, 0).await;
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
