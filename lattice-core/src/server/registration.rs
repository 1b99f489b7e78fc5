//! Putting a component into service on a node, and following its links.

use crate::node::Inner;
use crate::node::Node;
use crate::server::ServeLimits;
use crate::server::component::Served;
use crate::server::inbox;
use crate::server::link_admission::Gate;
use crate::server::published::Life;
use crate::{
    bus::BusError,
    link::{Link, LinkEntry, LinkKey, LinkStatus, LinkTable},
    name::{ComponentId, NameError},
    serve::Service,
    types::PublishError,
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio_util::task::AbortOnDropHandle;

/// Questions of who serves a component that wait for this node at most.
const QUESTIONS: usize = 256;
/// How long a provider may take to accept a link: it may have to connect to a backend.
const ACCEPT_WITHIN: Duration = Duration::from_secs(10);

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
        host: crate::name::HostId,
    },
    /// The node has said goodbye.
    #[error("host `{host}` is leaving; start a new one")]
    Leaving {
        /// The host.
        host: crate::name::HostId,
    },
    /// The bus did not take the subscription.
    #[error("the bus did not take the subscription for component `{component}`")]
    Bus {
        /// The component.
        component: ComponentId,
        /// Why.
        source: BusError,
    },
    /// The component's types could not be published.
    #[error("the types of component `{component}` could not be published")]
    Publish {
        /// The component.
        component: ComponentId,
        /// Why.
        source: PublishError,
    },
}

/// What becomes of the component of the same id that is in service already, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// It stays, and the other one is refused.
    Nothing,
    /// It was started by the same keeper: it gets no new calls, and is kept until it is stopped.
    Kept {
        /// The fence of its lease; 0 when it needs none.
        fence: u64,
    },
}

/// A component in service. Dropping it takes the component out of service at once; [`stop`](Self::stop) lets running
/// calls finish.
pub struct Serving {
    node: Arc<Inner>,
    served: Arc<Served>,
    _discovery: AbortOnDropHandle<()>,
}

impl Serving {
    /// The component.
    pub fn component(&self) -> &ComponentId {
        &self.served.id
    }

    /// Calls running or queued here now.
    pub fn in_flight(&self) -> usize {
        self.served.in_flight()
    }

    /// Has it get the calls again that another one of its id got, and publishes its types in place of that one's.
    pub(crate) fn reinstate(&self) {
        let mut has_them = false;
        self.node.served.rcu(|all| {
            let before = all.get(&self.served.id);
            has_them = before.is_some_and(|served| Arc::ptr_eq(served, &self.served));
            let mut all = HashMap::clone(all);
            all.insert(self.served.id.clone(), self.served.clone());
            all
        });
        self.node.newly_served.notify_one();
        self.node.news.notify_one();
        if has_them {
            return;
        }
        let (node, served) = (self.node.clone(), self.served.clone());
        let publish = async move {
            let (id, types) = (&served.id, &served.types);
            if let Err(error) = node.connection.types.publish(id, types).await {
                tracing::warn!(component = %id, %error, "what is published are the types of a version that was taken back");
            }
        };
        let end = self.node.end.clone();
        self.node
            .tasks
            .spawn(async move { end.run_until_cancelled(publish).await });
    }

    /// Takes no new calls, tells the others, and waits for the running ones for at most `grace`. False when some were
    /// still running then; they are cut off.
    pub async fn stop(self, grace: Duration) -> bool {
        self.served.stop();
        self.node.news.notify_one();
        tokio::time::timeout(grace, self.served.idle())
            .await
            .is_ok()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let (id, served) = (&self.served.id, &self.served);
        served.cut_off();
        self.node.served.rcu(|all| {
            let mut all = HashMap::clone(all);
            if all
                .get(id)
                .is_some_and(|current| Arc::ptr_eq(current, served))
            {
                all.remove(id);
            }
            all
        });
        self.node.news.notify_one();
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("component", &self.served.id)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Puts a component into service on this node: its types are published, calls that its links grant reach it, and the
    /// others hear of it with the next beat, which goes out at once.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is served then.
    pub async fn serve(
        &self,
        component: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
    ) -> Result<Serving, ServeError> {
        self.inner()
            .serve(component, service, limits, Over::Nothing)
            .await
    }
}

impl Inner {
    /// Puts a component into service here.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        component: ComponentId,
        service: Arc<dyn Service>,
        limits: ServeLimits,
        over: Over,
    ) -> Result<Serving, ServeError> {
        let node = self;
        if node.leaving.load(Ordering::Acquire) {
            return Err(ServeError::Leaving {
                host: self.origin.host.clone(),
            });
        }
        let already = || ServeError::AlreadyServed {
            component: component.clone(),
            host: self.origin.host.clone(),
        };
        if over == Over::Nothing && node.served(&component).is_some() {
            return Err(already());
        }
        let fence = match over {
            Over::Nothing => 0,
            Over::Kept { fence } => fence,
        };
        let served = Arc::new(Served::new(component.clone(), service, limits).fenced(fence));
        let connection = &node.connection;
        let publish = async || {
            let published = connection.types.publish(&component, &served.types).await;
            published.map_err(|source| ServeError::Publish {
                component: component.clone(),
                source,
            })
        };
        let life = Life::of(&connection.replica.health());
        publish().await?;
        let subject = connection.subjects.serves(&component);
        let questions = connection
            .bus
            .queue_subscribe(subject, "serves", QUESTIONS)
            .await
            .map_err(|source| ServeError::Bus {
                component: component.clone(),
                source,
            })?;
        let discovery = tokio::spawn(inbox::serve_discovery(
            node.clone(),
            component.clone(),
            questions,
        ));
        let discovery = AbortOnDropHandle::new(discovery);
        let mut taken = false;
        node.served.rcu(|all| {
            let mut all = HashMap::clone(all);
            taken = over == Over::Nothing && all.contains_key(&component);
            if !taken {
                all.insert(component.clone(), served.clone());
            }
            all
        });
        if taken {
            return Err(already());
        }
        let node = self;
        if node.leaving.load(Ordering::Acquire) {
            served.stop();
        }
        let serving = Serving {
            node: node.clone(),
            served: served.clone(),
            _discovery: discovery,
        };
        // Whoever published everything in a new life of the store may not have seen this one.
        if Life::of(&connection.replica.health()) != life {
            publish().await?;
        }
        node.newly_served.notify_one();
        node.news.notify_one();
        Ok(serving)
    }

    /// Tells the service of what is new, changed and gone among the links that lead to it.
    fn tell_links(self: &Arc<Self>, served: &Arc<Served>, table: &LinkTable) {
        let mut told: HashMap<LinkKey, Arc<Link>> = served.told().into_iter().collect();
        for entry in table.by_target(&served.id) {
            let known = told.remove(&*entry.key);
            if known.is_none_or(|link| !Arc::ptr_eq(&link, &entry.link)) {
                self.tell_link(served, entry);
            }
        }
        for gone in told.keys() {
            served.unlink(gone);
        }
    }

    /// Tells the service of a link and reports its answer as the link's status.
    fn tell_link(self: &Arc<Self>, served: &Arc<Served>, entry: &Arc<LinkEntry>) {
        let asked = served.link(entry.link.clone(), ACCEPT_WITHIN);
        let (node, entry) = (self.clone(), entry.clone());
        let work = async move {
            let status = match asked.await {
                Gate::Rejected(reason) => {
                    tracing::warn!(link = %entry.key, reason, "a link was refused by its target");
                    LinkStatus::rejected(reason)
                }
                Gate::Open | Gate::Asking => LinkStatus::Active,
            };
            let reported =
                node.connection
                    .links
                    .report(&node.origin.host, &entry.key, entry.revision, status);
            if let Err(error) = reported.await {
                tracing::warn!(link = %entry.key, %error, "the status of a link could not be written");
            }
        };
        let end = self.end.clone();
        self.tasks
            .spawn(async move { end.run_until_cancelled(work).await });
    }
}

/// Keeps every served component told of its links, for as long as the node lives.
pub(crate) async fn follow_links(node: Arc<Inner>) {
    let mut changes = node.connection.replica.changes();
    loop {
        tokio::select! {
            biased;
            change = changes.next() => if change.is_none() { return },
            () = node.newly_served.notified() => {}
        }
        let table = node.connection.replica.snapshot();
        for served in node.served.load().values() {
            node.tell_links(served, &table);
        }
    }
}
