//! Where the components of a test run.

use super::{support::*, two_connections};
use crate::nats::NatsServer;
use lattice_core::{Lattice, serve::Service};
use lattice_host::{Actor, Host, Instances};
use lattice_provider_sdk::IntoService;
use std::sync::Arc;

/// The hosts of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
    /// One.
    One,
    /// Two, on one memory bus.
    OverMemory,
    /// Two, on one nats-server.
    OverNats,
}

/// The host of a component. With one host, both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The host on which the first component runs.
    First,
    Second,
}

/// A component, and where it runs.
pub(super) struct Part {
    id: &'static str,
    on: On,
    component: Component,
}

enum Component {
    Actor(Box<Actor>),
    Provider(Arc<dyn Service>),
}

/// Running components, and a connection to their lattice. Dropping it ends everything.
pub(super) struct Scene {
    pub(super) lattice: Lattice,
    _hosts: Vec<Host>,
    _server: Option<NatsServer>,
}

impl Part {
    pub(super) fn actor(id: &'static str, on: On, actor: Actor) -> Self {
        let component = Component::Actor(Box::new(actor));
        Self { id, on, component }
    }

    pub(super) fn provider(id: &'static str, on: On, provider: impl IntoService) -> Self {
        let component = Component::Provider(provider.into_service());
        Self { id, on, component }
    }
}

impl Scene {
    /// Starts all parts, and puts these links: source, interface and target.
    pub(super) async fn start(
        hosts: Hosts,
        parts: Vec<Part>,
        links: &[(&str, &str, &str)],
    ) -> Self {
        let (server, lattices) = match hosts {
            Hosts::One => (None, vec![lattice().await]),
            Hosts::OverMemory => (None, Vec::from(<[_; 2]>::from(two_programs().await))),
            Hosts::OverNats => {
                let (server, first, second) = two_connections().await;
                (Some(server), vec![first, second])
            }
        };
        let mut builders: Vec<_> = lattices.iter().map(Host::builder).collect();
        let ids: Vec<_> = parts.iter().map(|part| part.id).collect();
        for Part { id, on, component } in parts {
            let at = match on {
                On::First => 0,
                On::Second => lattices.len() - 1,
            };
            let builder = builders.remove(at);
            let builder = match component {
                Component::Actor(actor) => builder.actor(id, *actor),
                Component::Provider(provider) => builder.provider(id, provider),
            };
            builders.insert(at, builder);
        }
        let mut hosts = Vec::new();
        for builder in builders {
            hosts.push(started(builder).await);
        }
        for (source, interface, target) in links {
            link(&lattices[0], source, interface, target).await;
        }
        for lattice in &lattices {
            for id in &ids {
                served(lattice, id).await;
            }
        }
        let mut lattices = lattices.into_iter();
        Self {
            lattice: lattices.next().expect("there is one"),
            _hosts: hosts,
            _server: server,
        }
    }
}

/// Returns what `instances` are called in the messages of the tests.
pub(super) fn kind(instances: Instances) -> &'static str {
    match instances {
        Instances::Fresh => "fresh",
        _ => "warm",
    }
}
