//! Calls that a host makes to another host in its own name, in no component's name and over no
//! link.
//!
//! They are sent like other calls: with a deadline, through bounded queues, and large ones in their
//! own lane. Only live hosts that call in their own name are served. The service decides which
//! requests it accepts.
//!
//! A component whose service says so also takes calls of hosts that serve another replica of it:
//! replicas of a provider pass each other what was meant for one of them.
//!
//! Each node also serves requests about handles, which have a function of their own. These are also
//! served for nodes that send no heartbeats, because a node that only calls can hold handles too.

use super::{ServeLimits, Server, component::RunningComponent};
use crate::{
    call::{CallError, Ran},
    name::{ComponentId, NameError},
    serve::Service,
    wire::{CallEnvelope, Origin, Source},
};
use std::sync::Arc;

impl Server {
    /// Handles the calls of other hosts with `service` from now on.
    pub(crate) fn serve_host_rpc(
        &self,
        name: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
    ) {
        let shared = (&self.connection.budgets.calls, &self.connection.auth);
        let component = RunningComponent::new(name, service, limits, None, shared);
        self.host_rpc.store(Some(Arc::new(component)));
    }

    /// Handles the requests of other hosts about handles with `service` from now on.
    pub(crate) fn serve_handles(&self, service: Arc<dyn Service>) -> Result<(), NameError> {
        let (name, limits) = (ComponentId::new("handles")?, ServeLimits::default());
        let shared = (&self.connection.budgets.calls, &self.connection.auth);
        let component = RunningComponent::new(name, service, limits, None, shared);
        self.handle_rpc.store(Some(Arc::new(component)));
        Ok(())
    }

    /// Resolves the callee: the component that the call names, or, for a call of a host, what
    /// serves host RPC.
    pub(super) fn callee(
        &self,
        call: &CallEnvelope,
        sender: &Origin,
    ) -> Result<Arc<RunningComponent>, CallError> {
        let component = match &call.source {
            Source::Host(host) => {
                let handles = self.handle_rpc.load_full();
                let is_of =
                    |rpc: &Arc<RunningComponent>| rpc.exports.interface_of(call.function).is_some();
                let about_handles = handles.filter(is_of);
                let peers = self.connection.presence.current();
                let is_known = about_handles.is_some() || peers.contains(sender);
                if *host != sender.host || !is_known {
                    return Err(CallError::Unrecognised {
                        ran: Ran::No,
                        message:
                            "a call of a host that isn't known here, or in the name of another host"
                                .to_owned(),
                    });
                }
                let is_host_rpc = call.target == self.origin().host.as_component();
                let is_replica = !is_host_rpc && peers.serving(&call.target).contains(sender);
                if is_replica && about_handles.is_none() {
                    let replica = self.component(&call.target);
                    let takes = |one: &Arc<RunningComponent>| one.service().takes_replicas();
                    if replica.as_ref().is_some_and(|one| !takes(one)) {
                        return Err(CallError::Unrecognised {
                            ran: Ran::No,
                            message:
                                "a call of another replica, which this component takes none of"
                                    .to_owned(),
                        });
                    }
                    replica
                } else {
                    about_handles.or_else(|| self.host_rpc.load_full())
                }
            }
            _ => self.component(&call.target),
        };
        component.ok_or_else(|| CallError::NotServed {
            component: call.target.clone(),
        })
    }
}
