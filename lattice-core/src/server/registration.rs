//! Putting a component into service on a node, and taking it out.

use super::{
    ServeLimits, Server, component::RunningComponent, discovery, life, published::StoreEpoch,
};
use crate::{
    bus::{BusError, Subscription},
    drained::Drained,
    id::Fence,
    name::{ComponentId, HostId, NameError},
    serve::{Service, Site},
    type_store::PublishError,
    wire::Beat,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio_util::task::AbortOnDropHandle;

/// Discovery questions about a component that wait for this node at most.
const QUESTIONS: usize = 256;

/// Why a component was not put into service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The component's id is invalid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// This node serves a component with that id already.
    #[error(
        "host `{host}` already serves component `{component}`; stop it first, or choose another id"
    )]
    AlreadyServed {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// This node serves as many components as it can announce to others.
    #[error(
        "host `{host}` serves {limit} components already, and can't announce more; serve `{component}` on another host, or start one more"
    )]
    Full {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// How many components a host serves at most.
        limit: usize,
    },
    /// The node has said goodbye.
    #[error("host `{host}` is leaving; start a new one")]
    Leaving {
        /// The host.
        host: HostId,
    },
    /// The component did not start.
    #[error("component `{component}` did not start: {reason}")]
    Start {
        /// The component.
        component: ComponentId,
        /// Its own reason.
        reason: String,
    },
    /// The bus did not take the subscription.
    #[error("the bus did not take the subscription for component `{component}`")]
    Bus {
        /// The component.
        component: ComponentId,
        /// The error of the bus.
        source: BusError,
    },
    /// The component's types could not be published.
    #[error("the types of component `{component}` could not be published")]
    Publish {
        /// The component.
        component: ComponentId,
        /// The error of publishing.
        source: PublishError,
    },
}

impl ServeError {
    /// Returns whether the bus or the store was away, or the host full: another attempt may
    /// succeed, and the component is not to blame.
    #[cfg(feature = "apps")]
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Bus { .. } | Self::Full { .. } => true,
            Self::Publish { source, .. } => matches!(
                source,
                PublishError::Store { .. } | PublishError::Contended { .. }
            ),
            _ => false,
        }
    }
}

/// The action if a component with the same id is in service already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfServing {
    /// Fail; the other one stays.
    Reject,
    /// Take its place. The other one gets no new calls, and runs until it is stopped.
    Replace {
        /// The fence of the new one's lease, if it needs one.
        fence: Option<Fence>,
    },
}

/// A component in service. Dropping it takes the component out of service at once;
/// [`shutdown`](Self::shutdown) lets running calls finish.
pub struct ServeHandle {
    server: Arc<Server>,
    component: Arc<RunningComponent>,
    _discovery: AbortOnDropHandle<()>,
    _health: Option<AbortOnDropHandle<()>>,
}

impl ServeHandle {
    /// Returns the component.
    pub fn component(&self) -> &ComponentId {
        &self.component.id
    }

    /// Returns how many calls run or wait here now.
    pub fn in_flight(&self) -> usize {
        self.component.in_flight()
    }

    /// Directs calls to this component again after another one had [replaced](IfServing::Replace)
    /// it, and publishes its types again.
    pub(crate) fn reinstate(&self) {
        let (server, component) = (&self.server, &self.component);
        let was_current = server.registry.put(component);
        server.registry.added.notify_one();
        server.membership.announce_changes();
        if was_current || component.life.is_elsewhere() {
            return;
        }
        let (types, component) = (server.connection.types.clone(), component.clone());
        server.tasks.spawn(async move {
            let published = types.publish(&component.id, &component.exports.types);
            if let Err(error) = published.await {
                tracing::warn!(component = %component.id, %error, "published types are those of the rolled-back version");
            }
        });
    }

    /// Takes no new calls, announces that to other hosts, and waits for running calls, and for the
    /// streams that they have returned, for at most `grace`. What still runs then is cut off. A
    /// provider may take 5 s more to stop.
    pub async fn shutdown(self, grace: Duration) -> Drained {
        self.component.stop();
        self.server.membership.announce_changes();
        let ended = async {
            self.component.idle().await;
            self.component.streams_ended().await;
        };
        let drained = match tokio::time::timeout(grace, ended).await {
            Ok(()) => Drained::Clean,
            Err(_) => Drained::CutOff,
        };
        self.component.end_life().await;
        drained
    }
}

impl Drop for ServeHandle {
    fn drop(&mut self) {
        self.component.cut_off();
        self.server.registry.remove(&self.component);
        self.server.membership.announce_changes();
        self.component.end_life_in_background();
    }
}

impl fmt::Debug for ServeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeHandle")
            .field("component", &self.component.id)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Puts a component into service.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        component: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
        if_serving: IfServing,
    ) -> Result<ServeHandle, ServeError> {
        let host = || self.origin().host.clone();
        if self.membership.is_leaving() {
            return Err(ServeError::Leaving { host: host() });
        }
        let already = || ServeError::AlreadyServed {
            component: component.clone(),
            host: host(),
        };
        if if_serving == IfServing::Reject && self.registry.get(&component).is_some() {
            return Err(already());
        }
        self.check_room(&component)?;
        let fence = match if_serving {
            IfServing::Reject => None,
            IfServing::Replace { fence } => fence,
        };
        let (budget, id) = (&self.connection.budgets.calls, component.clone());
        service.placed(&component, self.origin());
        let shared = (budget, &self.connection.auth);
        let running = RunningComponent::new(id, service, limits, fence, shared);
        let running = Arc::new(running.timed_in(&self.connection.counts.calls));
        self.start_service(&running).await?;
        let store_epoch = StoreEpoch::of(&self.connection.replica.health());
        self.publish_types(&running).await?;
        let questions = self.subscribe_to_questions(&component).await?;
        let discovery = discovery::run(self.clone(), component.clone(), questions);
        let discovery = AbortOnDropHandle::new(tokio::spawn(discovery));
        match if_serving {
            IfServing::Reject if !self.registry.add(&running) => return Err(already()),
            IfServing::Reject => {}
            IfServing::Replace { .. } => {
                self.registry.put(&running);
            }
        }
        if self.membership.is_leaving() {
            running.stop();
        }
        let handle = ServeHandle {
            server: self.clone(),
            component: running.clone(),
            _discovery: discovery,
            _health: running.service().has_health().then(|| {
                let checks = life::watch_health(self.clone(), running.clone());
                AbortOnDropHandle::new(tokio::spawn(checks))
            }),
        };
        // If everything was published again meanwhile, because the store began a new life, this one
        // may have been missed.
        if StoreEpoch::of(&self.connection.replica.health()) != store_epoch {
            self.publish_types(&running).await?;
        }
        self.registry.added.notify_one();
        self.membership.announce_changes();
        Ok(handle)
    }

    /// Starts the service of a component.
    async fn start_service(&self, running: &RunningComponent) -> Result<(), ServeError> {
        let component = running.id.clone();
        let Some(node) = self.home.get().and_then(|home| home()) else {
            let host = self.origin().host.clone();
            return Err(ServeError::Leaving { host });
        };
        let site = Site::new(component.clone(), self.origin().clone(), node);
        let started = running.life.start(site).await;
        started.map_err(|reason| ServeError::Start { component, reason })
    }

    /// Checks that this node can announce one more component.
    fn check_room(&self, component: &ComponentId) -> Result<(), ServeError> {
        let (served, limit) = (self.registry.load(), Beat::MAX_SERVED);
        if served.len() < limit || served.contains_key(component) {
            return Ok(());
        }
        Err(ServeError::Full {
            component: component.clone(),
            host: self.origin().host.clone(),
            limit,
        })
    }

    async fn publish_types(&self, component: &RunningComponent) -> Result<(), ServeError> {
        if component.life.is_elsewhere() {
            return Ok(());
        }
        let (id, types) = (&component.id, &component.exports.types);
        let published = self.connection.types.publish(id, types).await;
        published.map(drop).map_err(|source| ServeError::Publish {
            component: id.clone(),
            source,
        })
    }

    async fn subscribe_to_questions(
        &self,
        component: &ComponentId,
    ) -> Result<Subscription, ServeError> {
        let subject = self.transport.endpoint.subjects().serves(component);
        let bus = &self.connection.bus;
        match bus.queue_subscribe(subject, "serves", QUESTIONS).await {
            Ok(questions) => {
                questions.share(&self.connection.budgets.received);
                Ok(questions)
            }
            Err(source) => Err(ServeError::Bus {
                component: component.clone(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Lattice,
        node::NodeOptions,
        serve::{Answer, Request},
        types::ComponentTypes,
    };
    use bytes::Bytes;

    struct Idle;

    impl Service for Idle {
        fn types(&self) -> Arc<ComponentTypes> {
            Arc::default()
        }

        fn call(&self, _: Request) -> Answer {
            Answer::Ready(Ok(Bytes::new()))
        }
    }

    fn id(number: usize) -> ComponentId {
        ComponentId::new(&format!("c{number}")).expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_serves_as_many_components_as_it_can_announce_and_refuses_more() {
        let lattice = Lattice::in_memory("dev").await.expect("it opens");
        let options = NodeOptions::default().host("full").expect("valid");
        let node = lattice.node(options).await.expect("it joins");
        let serve = |number| node.serve(id(number), Idle, ServeLimits::default());
        let first = serve(0).await.expect("it serves");
        // To put each into service would take seconds. They are all the same one.
        let server = &node.parts().server;
        server.registry.change(|all| {
            let more =
                (1..Beat::MAX_SERVED - 1).map(|number| (id(number), first.component.clone()));
            all.extend(more);
        });
        let last = serve(Beat::MAX_SERVED - 1).await;
        last.as_ref().expect("there is room for one");
        let error = serve(Beat::MAX_SERVED).await.expect_err("it is full");
        assert_eq!(
            error.to_string(),
            "host `full` serves 16384 components already, and can't announce more; serve `c16384` on another host, or start one more"
        );
        // An update of a component needs no room.
        server.check_room(&id(7)).expect("it is served already");
        assert!(server.check_room(&id(Beat::MAX_SERVED)).is_err());
        drop(last);
        serve(Beat::MAX_SERVED).await.expect("there is room again");
    }
}
