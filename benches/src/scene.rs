//! One host on an in-memory lattice, with a calling actor and a callee.

use crate::{
    Failure,
    guests::Guest,
    native::{DRIVE, DriveClient, ECHO, EchoClient, EchoProvider},
};
use lattice_core::{Lattice, client::Caller, link::Link};
use lattice_host::{Actor, Host, Instances};

/// The kind of component that serves `echo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// A native provider, in the host's process.
    Provider,
    /// An actor.
    Actor(Instances),
}

/// A host with a `caller`, a warm actor that calls `echo`, which is linked to the [`Callee`].
/// Dropping this ends everything.
#[derive(Debug)]
pub struct Scene {
    drive: DriveClient<Caller>,
    echo: EchoClient<Caller>,
    _host: Host,
    _lattice: Lattice,
}

impl Scene {
    /// Starts all components and links them.
    ///
    /// # Errors
    /// Fails when a guest has not been built, or a component does not start.
    pub async fn start(callee: Callee) -> Result<Self, Failure> {
        let lattice = Lattice::in_memory("bench").await?;
        let caller = Actor::from_file(Guest::Caller.path()?).instances(Instances::warm());
        let host = Host::builder(&lattice)
            .id("bench-host")
            .actor("caller", caller);
        let host = match callee {
            Callee::Provider => host.provider("callee", EchoProvider),
            Callee::Actor(instances) => host.actor(
                "callee",
                Actor::from_file(Guest::Callee.path()?).instances(instances),
            ),
        };
        let host = host.start().await?;
        for link in [
            Link::new("driver", DRIVE, "caller")?,
            Link::new("driver", ECHO, "callee")?,
            Link::new("caller", ECHO, "callee")?,
        ] {
            lattice.links().put(link).await?;
        }
        let driver = host.node().caller("driver")?;
        Ok(Self {
            drive: DriveClient::new(driver.clone()),
            echo: EchoClient::new(driver),
            _host: host,
            _lattice: lattice,
        })
    }

    /// Returns a client with which native code on the same host makes the actor call.
    pub fn drive(&self) -> &DriveClient<Caller> {
        &self.drive
    }

    /// Returns a client with which native code on the same host calls the callee directly.
    pub fn echo(&self) -> &EchoClient<Caller> {
        &self.echo
    }
}
