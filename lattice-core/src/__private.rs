//! The internals of this crate that `lattice-sim` and the standard providers need. Not part of the
//! public API: anything here may change in any release.

#[cfg(feature = "apps")]
pub use crate::agent::leases::{Guard, Leases, MARGIN, RENEW, TERM};
#[cfg(feature = "nats")]
pub use crate::nats::client::client_of_its_own as nats_client;
pub use crate::{
    bus::queue::{QueueReader, QueueWriter, queue},
    entropy::{
        random::Random,
        simulated::{StandIn, on},
    },
    store::{
        check::{check_ops, check_ttl},
        state::{Cursor, StoreContents},
    },
    transport::{
        session::alone,
        streams::{Assembly, Step},
    },
};

use crate::{
    Lattice,
    call::Context,
    membership::epoch,
    name::{ComponentId, HostId},
    node::Node,
    serve::{CallerInstance, Request},
    server::{Arguments, component::RunningComponent},
    store::record::Records,
    wire::{FunctionKey, Source},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;

/// Returns the epoch of a host that starts now.
pub async fn boot_epoch(records: &Records, chosen: Option<&HostId>) -> u64 {
    epoch::epoch(records, chosen).await
}

/// Returns a call without arguments that an operator makes.
pub fn operator_request(
    component: ComponentId,
    function: FunctionKey,
    context: Context,
) -> Request {
    Request {
        component,
        function,
        source: Source::Operator,
        link: None,
        wormhole_link: None,
        args: Bytes::new(),
        handles: Vec::new(),
        caller: CallerInstance::Here,
        context,
    }
}

/// Returns whether `node` answers `request` with a value, at once.
pub fn answers_now(node: &Node, request: Request) -> bool {
    let Some(component) = node.parts().server.component(&request.component) else {
        return false;
    };
    let arguments = Arguments::of_this_process(&request.args);
    let Ok(_slot) = RunningComponent::admit(&*component, &request.context, arguments) else {
        return false;
    };
    let progress = component.begin(request, Instant::now());
    matches!(component.finish(progress).now_or_never(), Some(Ok(_)))
}

/// Returns how many calls run in a component that `node` serves.
pub fn running(node: &Node, component: &ComponentId) -> usize {
    let component = node.parts().server.component(component);
    component.map_or(0, |component| component.in_flight())
}

/// Returns how many calls of `lattice` itself wait for a reply from another host.
pub fn waiting(lattice: &Lattice) -> usize {
    let own = lattice.own_node().now_or_never();
    own.and_then(Result::ok).map_or(0, Node::in_flight)
}
