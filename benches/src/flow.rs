//! The actors that pass streams and resources, and one host with both of them.

use crate::{Failure, guests::Guest};
use lattice_core::{Lattice, client::Caller, link::Link};
use lattice_host::{Actor, Host, Instances, Limits};
use std::{num::NonZeroUsize, time::Duration};

mod generated {
    lattice_provider_sdk::client!({ path: "guests/flow", world: "native" });
}

pub use generated::lattice_bench::flow::run::RunClient;

/// The interface through which `source` is requested to work.
pub const RUN: &str = "lattice-bench:flow/run@0.1.0";
/// The interface that takes streams.
pub const SINK: &str = "lattice-bench:flow/sink@0.1.0";
/// The interface with resources.
pub const SHELF: &str = "lattice-bench:flow/shelf@0.1.0";
/// The interface that keeps resources of another component.
pub const HOARD: &str = "lattice-bench:flow/hoard@0.1.0";

/// Time and CPU time of one call: far more than it takes.
const LONG: Duration = Duration::from_mins(5);
/// Resources that others may hold of one instance: more than the holders of a measurement ask for.
const HANDLES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(200_000);

/// Returns the actor that writes streams, and uses and keeps resources.
///
/// # Errors
/// Fails when the guest has not been built.
pub fn source() -> Result<Actor, Failure> {
    actor(Guest::Source)
}

/// Returns the actor that reads streams, and has resources.
///
/// # Errors
/// Fails when the guest has not been built.
pub fn sink() -> Result<Actor, Failure> {
    actor(Guest::Sink)
}

/// Links the driver to `source`, and `source` to `sink`.
///
/// # Errors
/// Fails when the store takes no links.
pub async fn link(lattice: &Lattice) -> Result<(), Failure> {
    for link in [
        Link::new("driver", RUN, "source")?,
        Link::new("source", SINK, "sink")?,
        Link::new("source", SHELF, "sink")?,
    ] {
        lattice.links().put(link).await?;
    }
    Ok(())
}

/// One host with both actors, on an in-memory lattice. Dropping this ends everything.
#[derive(Debug)]
pub struct FlowScene {
    run: RunClient<Caller>,
    _host: Host,
    _lattice: Lattice,
}

impl FlowScene {
    /// Starts and links both actors.
    ///
    /// # Errors
    /// Fails when a guest has not been built, or an actor does not start.
    pub async fn start() -> Result<Self, Failure> {
        let lattice = Lattice::in_memory("bench").await?;
        let host = Host::builder(&lattice)
            .actor("source", source()?)
            .actor("sink", sink()?);
        let host = host.start().await?;
        link(&lattice).await?;
        Ok(Self {
            run: RunClient::new(host.node().caller("driver")?),
            _host: host,
            _lattice: lattice,
        })
    }

    /// Returns a client with which native code on the same host makes `source` work.
    pub fn run(&self) -> &RunClient<Caller> {
        &self.run
    }
}

fn actor(guest: Guest) -> Result<Actor, Failure> {
    let limits = Limits::default().cpu(LONG).wall(LONG).handles(HANDLES);
    let actor = Actor::from_file(guest.path()?);
    Ok(actor.instances(Instances::warm()).limits(limits))
}
