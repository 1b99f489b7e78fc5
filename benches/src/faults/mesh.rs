//! The processes of a scenario: a server, hosts, and this process, which makes the calls.

use crate::faults::{
    host::{KEY, LATTICE, READY, URL},
    way::DRIVER,
};
use crate::{
    Failure,
    program::{Program, START},
    server::Server,
};
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    link::{Link, Locality},
    name::ComponentId,
};
use std::{process::Stdio, time::Duration};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

/// Interval between two checks of a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A server and a lattice on it.
pub(crate) struct Mesh {
    pub(crate) server: Server,
    pub(crate) lattice: Lattice,
    key: LatticeKey,
}

impl Mesh {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let server = Server::start().await?;
        let key = LatticeKey::generate();
        let lattice = Lattice::connect(&server.url, LATTICE);
        let lattice = lattice.key(key.clone()).await?;
        Ok(Self {
            server,
            lattice,
            key,
        })
    }

    /// Returns a further connection of this process, for calls that must not share one with those
    /// that are measured.
    pub(crate) async fn connect(&self) -> Result<Lattice, Failure> {
        let key = self.key.clone();
        Ok(Lattice::connect(&self.server.url, LATTICE).key(key).await?)
    }

    /// Puts a link of this name from the driver to `target` through `interface`.
    pub(crate) async fn link(
        &self,
        name: &str,
        interface: &str,
        target: &str,
        idempotent: &[&str],
    ) -> Result<(), Failure> {
        let link = Link::new(DRIVER, interface, target)?
            .named(name)?
            .locality(Locality::Anywhere)
            .idempotent(idempotent)?;
        self.lattice.links().put(link).await?;
        Ok(())
    }

    /// Puts a link between two components.
    pub(crate) async fn join(
        &self,
        source: &str,
        interface: &str,
        target: &str,
    ) -> Result<(), Failure> {
        let link = Link::new(source, interface, target)?;
        self.lattice.links().put(link).await?;
        Ok(())
    }

    /// Starts a host process that serves `components`, written as `callee=echo`.
    pub(crate) async fn host(&self, id: &str, components: &[&str]) -> Result<Program, Failure> {
        self.process(&[&["host", id], components].concat(), &self.server.url)
            .await
    }

    /// Starts a host process that connects to the server at `url`.
    pub(crate) async fn host_by(&self, id: &str, url: &str) -> Result<Program, Failure> {
        self.process(&["host", id], url).await
    }

    /// Starts a process that replies to requests without Lattice.
    pub(crate) async fn responder(&self) -> Result<Program, Failure> {
        self.process(&["responder"], &self.server.url).await
    }

    /// Starts a process that makes calls.
    pub(crate) async fn caller(&self, kind: &str) -> Result<Program, Failure> {
        self.process(&["caller", kind], &self.server.url).await
    }

    /// Waits until this process knows of `hosts` hosts that serve `component`.
    pub(crate) async fn served(&self, component: &str, hosts: usize) -> Result<(), Failure> {
        let id = ComponentId::new(component)?;
        let deadline = Instant::now() + START;
        while self.lattice.peers().serving(&id).len() != hosts {
            if Instant::now() > deadline {
                return Err(format!("`{component}` is not served by {hosts} host(s)").into());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn process(&self, args: &[&str], url: &str) -> Result<Program, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(args)
            .env(URL, url)
            .env(KEY, self.key.expose_hex().as_str());
        let mut program = Program::start(command.stdout(Stdio::piped()))?;
        match program.first_line().await?.as_str() {
            READY => Ok(program),
            other => Err(format!("a process printed `{other}` when it started").into()),
        }
    }
}
