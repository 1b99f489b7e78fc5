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
//! Each node also serves requests about handles and about failed calls, which have functions of
//! their own. These are also served for nodes that send no heartbeats, because a node that only
//! calls can hold handles too, and can ask on behalf of a person.

use super::{ServeLimits, Server, component::RunningComponent};
use crate::{
    call::{CallError, Ran},
    name::{ComponentId, NameError},
    serve::Service,
    wire::{CallEnvelope, Origin, Source},
};
use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// What every node itself answers to other hosts.
#[derive(Default)]
pub(super) struct NodeRpc {
    handles: ArcSwapOption<RunningComponent>,
    failures: ArcSwapOption<RunningComponent>,
}

impl NodeRpc {
    pub(super) fn all(&self) -> [&ArcSwapOption<RunningComponent>; 2] {
        [&self.handles, &self.failures]
    }
}

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
        let component = self.own("handles", service)?;
        self.node_rpc.handles.store(Some(component));
        Ok(())
    }

    /// Handles the requests of other hosts about failed calls with `service` from now on.
    pub(crate) fn serve_failures(&self, service: Arc<dyn Service>) -> Result<(), NameError> {
        let component = self.own("failures", service)?;
        self.node_rpc.failures.store(Some(component));
        Ok(())
    }

    /// Makes a component of what the node itself answers to other hosts.
    fn own(
        &self,
        name: &str,
        service: Arc<dyn Service>,
    ) -> Result<Arc<RunningComponent>, NameError> {
        let (name, limits) = (ComponentId::new(name)?, ServeLimits::default());
        let shared = (&self.connection.budgets.calls, &self.connection.auth);
        let component = RunningComponent::new(name, service, limits, None, shared);
        component.blocking.keep_on_runner();
        Ok(Arc::new(component))
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
                let own = self.node_rpc.all();
                let about_node = own
                    .into_iter()
                    .filter_map(arc_swap::ArcSwapAny::load_full)
                    .find(|rpc| rpc.exports.interface_of(call.function).is_some());
                let peers = self.connection.presence.current();
                let is_known = about_node.is_some() || peers.contains(sender);
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
                if is_replica && about_node.is_none() {
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
                    about_node.or_else(|| self.host_rpc.load_full())
                }
            }
            _ => self.component(&call.target),
        };
        component.ok_or_else(|| CallError::NotServed {
            component: call.target.clone(),
        })
    }
}
