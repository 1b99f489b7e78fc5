//! Whether a call from another host may run here: its target, its deadline, its fence, and its
//! grant, which is a link or an open wormhole.

use super::{
    Server,
    component::RunningComponent,
    queue::{Arguments, QueueSlot},
};
use crate::{
    call::{CallError, Context, MAX_HOPS, ReceivedChain},
    id::Fence,
    link::Link,
    name::{ComponentId, LinkName},
    stream,
    wire::{CallEnvelope, Origin, Source},
};
use std::sync::Arc;
use tokio::time::Instant;

/// A call that has a place in its component's queue. Its grant is still to be checked.
pub(super) struct Admitted {
    pub(super) component: Arc<RunningComponent>,
    pub(super) slot: QueueSlot,
    pub(super) call: CallEnvelope,
    pub(super) context: Context,
    /// What its chain has taken here before.
    pub(super) chain: Option<ReceivedChain>,
}

/// What allows a call, as this host's own copy of the store has it.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) link: Option<Arc<Link>>,
    /// The name of the link that the record of a wormhole has.
    pub(super) wormhole_link: Option<LinkName>,
}

impl Server {
    /// `received` is when the call reached this process. Its time counts from then on: a call that
    /// waits here must not run after its caller has given up.
    pub(super) fn admit(
        &self,
        call: CallEnvelope,
        sender: &Origin,
        received: Instant,
        arguments: Arguments,
    ) -> Result<Admitted, CallError> {
        let component = self.callee(&call, sender)?;
        if call.hops > MAX_HOPS {
            return Err(CallError::TooManyHops { limit: MAX_HOPS });
        }
        let mut context = Context::received(received + call.deadline_left, call.hops, call.trace);
        if !component.is_meant_by(Fence::new(call.fence)) {
            return Err(component.stopping());
        }
        let slot = RunningComponent::admit(component.clone(), &context, arguments).inspect_err(
            |error| {
                let link = self.link_of(&component, &call);
                component.note_refused((&call.source, link.as_ref()), call.function, error);
            },
        )?;
        Ok(Admitted {
            chain: ReceivedChain::of(&call.marks, &mut context),
            slot,
            component,
            call,
            context,
        })
    }

    /// Whether this host's table has the link that the caller has used, or a later revision.
    pub(super) fn has_seen_link(&self, call: &CallEnvelope) -> bool {
        let table = self.connection.replica.links();
        table.has_seen(call.incarnation, call.link_revision)
    }

    /// Waits until this host's table has the link that the caller has used, or a later revision.
    pub(super) async fn wait_for_link(
        &self,
        call: &CallEnvelope,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let replica = &self.connection.replica;
        replica
            .wait_for(call.incarnation, call.link_revision, deadline)
            .await
            .map_err(|_| CallError::LinkTableBehind)
    }

    /// Checks the grant of a call in this host's own table, and that its function takes handles if
    /// there are any. The caller has checked both by itself. Handles that are refused are still in
    /// the envelope, and their sender drops them because the call did not run.
    pub(super) fn granted(
        &self,
        component: &RunningComponent,
        call: &CallEnvelope,
    ) -> Result<Granted, CallError> {
        let granted = self.grant_of(component, call)?;
        let has_places = || {
            let places = component.exports.places_of(call.function);
            places.is_none_or(|places| places.arguments)
        };
        if call.has_handles && !has_places() {
            return Err(stream::unplaced_arguments());
        }
        Ok(granted)
    }

    fn grant_of(
        &self,
        component: &RunningComponent,
        call: &CallEnvelope,
    ) -> Result<Granted, CallError> {
        let Some(interface) = component.exports.interface_of(call.function) else {
            // The caller knows the names and fills them in.
            return Err(CallError::NotExported {
                component: component.id.clone(),
                interface: String::new(),
                function: String::new(),
            });
        };
        let source = match &call.source {
            Source::Component(source) => source,
            Source::Operator => {
                let allowed = self.allow_operator(&component.id);
                return allowed.map(|()| Granted::default());
            }
            // `callee` has checked the host.
            Source::Host(_) => return Ok(Granted::default()),
            Source::Wormhole(id) => {
                let link = self.let_through(id, &component.id, interface)?;
                return Ok(Granted {
                    link: None,
                    wormhole_link: Some(link),
                });
            }
        };
        match self.link_to(component, (source, interface, &call.link)) {
            Some(link) => Ok(Granted {
                link: Some(link),
                wormhole_link: None,
            }),
            None => Err(CallError::NotLinked {
                source_id: source.clone(),
                interface: interface.to_owned(),
                link: call.link.clone(),
            }),
        }
    }

    /// Returns the link of a call that is refused before its grant is checked, if it has one.
    fn link_of(&self, component: &RunningComponent, call: &CallEnvelope) -> Option<Arc<Link>> {
        let Source::Component(source) = &call.source else {
            return None;
        };
        let interface = component.exports.interface_of(call.function)?;
        self.link_to(component, (source, interface, &call.link))
    }

    /// Returns the link to `component` with this source, interface and name.
    fn link_to(
        &self,
        component: &RunningComponent,
        (source, interface, name): (&ComponentId, &str, &LinkName),
    ) -> Option<Arc<Link>> {
        let table = self.connection.replica.links();
        let grant = table.resolve(source, interface, name)?;
        (grant.link.target == component.id).then(|| grant.link.clone())
    }

    /// Checks that operators may call. Operator calls are always logged and can be disabled.
    pub(crate) fn allow_operator(&self, component: &ComponentId) -> Result<(), CallError> {
        if !self.connection.operator_calls {
            return Err(CallError::OperatorDenied);
        }
        tracing::info!(host = %self.origin().host, %component, "an operator calls");
        Ok(())
    }
}
