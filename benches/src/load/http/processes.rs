//! The processes: a host with the ingress and actors, a host with the remote actor, the baselines,
//! and a nats-server.

use super::{CONNECTIONS, side};
use crate::load::options::Responder;
use crate::{
    Failure, bare,
    guests::Guest,
    http::{Gets, Pool, Reuse, serve},
    program::START,
    responder::{self, KEY, LATTICE, Other, end_of_input, ready, ready_at},
    server::Server,
};
use lattice_benches_common::{compare::Side, cpu::Processes};
use lattice_core::{Lattice, auth::LatticeKey, wormholes::NewWormhole};
use lattice_host::{Actor, Host, Limits, http::Ingress};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

/// The actors, and the host names of the wormholes that lead to them.
pub(super) const NEAR: &str = "near";
pub(super) const NEAR_P3: &str = "near-p3";
pub(super) const FAR: &str = "far";

/// Time and CPU time of one request: far more than a large body takes.
const LONG: Duration = Duration::from_mins(5);
/// Interval between two checks whether a wormhole is open.
const LOOK: Duration = Duration::from_millis(5);
/// An address with any free port.
const ANY: &str = "127.0.0.1:0";

/// The processes of Lattice and of bare async-nats. Dropping this ends them.
pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) near: Other,
    pub(super) far: Other,
    pub(super) bare: async_nats::Client,
    key: LatticeKey,
    _responder: Other,
    _lattice: Lattice,
}

impl Scene {
    pub(super) async fn start() -> Result<Self, Failure> {
        let server = Server::start().await?;
        let key = LatticeKey::generate();
        let lattice = Lattice::connect(&server.url, LATTICE).key(key.clone());
        let lattice = lattice.await?;
        let start = async |role: Responder| responder::start(role.name(), &server, &key).await;
        let (near, far) = (
            start(Responder::HttpNear).await?,
            start(Responder::HttpFar).await?,
        );
        for actor in [NEAR, NEAR_P3, FAR] {
            if actor == NEAR_P3 && Guest::HttpHelloP3.path().is_err() {
                continue;
            }
            timeout(START, lattice.served(actor)).await??;
            let wormhole = NewWormhole::new(actor)?.host(actor);
            lattice.wormholes().create(wormhole).await?;
        }
        let scene = Self {
            bare: bare::connect(&server.url).await?,
            _responder: start(Responder::Drain).await?,
            near,
            far,
            key,
            server,
            _lattice: lattice,
        };
        scene.opened().await?;
        Ok(scene)
    }

    /// Returns the address of the ingress.
    pub(super) fn ingress(&self) -> Result<SocketAddr, Failure> {
        Ok(self.near.address.parse()?)
    }

    /// Waits until the ingress serves the wormhole that was opened last.
    async fn opened(&self) -> Result<(), Failure> {
        let pool = Pool::new(vec![self.ingress()?], FAR);
        let served = async {
            while pool.get().await.is_err() {
                sleep(LOOK).await;
            }
        };
        Ok(timeout(START, served).await?)
    }
}

/// The baseline's process, which serves the same guest.
pub(super) struct Lone(Other);

impl Lone {
    pub(super) async fn start(scene: &Scene, guest: Guest) -> Result<Self, Failure> {
        let role = match guest {
            Guest::HttpHelloP3 => Responder::HttpProxyP3,
            _ => Responder::HttpProxy,
        };
        Ok(Self(
            responder::start(role.name(), &scene.server, &scene.key).await?,
        ))
    }

    /// Returns connections to it.
    pub(super) async fn side(&self) -> Result<Side<Gets>, Failure> {
        let processes = Processes::own().and(self.0.program.id()?);
        side(self.0.address.parse()?, NEAR, CONNECTIONS, processes).await
    }
}

/// Runs the host with the ingress.
pub(crate) async fn near(url: &str) -> Result<(), Failure> {
    let lattice = connect(url).await?;
    let mut host = Host::builder(&lattice)
        .ingress(Ingress::http(ANY))
        .actor(NEAR, actor(Guest::HttpHello)?);
    if Guest::HttpHelloP3.path().is_ok() {
        host = host.actor(NEAR_P3, actor(Guest::HttpHelloP3)?);
    }
    let host = host.start().await?;
    let addresses = host.ingress_addresses();
    ready_at(addresses.first().ok_or("the ingress has no address")?);
    end_of_input().await
}

/// Runs the host with the remote actor.
pub(crate) async fn far(url: &str) -> Result<(), Failure> {
    let lattice = connect(url).await?;
    let host = Host::builder(&lattice).actor(FAR, actor(Guest::HttpHello)?);
    let _host = host.start().await?;
    ready();
    end_of_input().await
}

/// Runs a baseline.
pub(crate) async fn proxy(guest: Guest, reuse: Reuse) -> Result<(), Failure> {
    let listener = TcpListener::bind(ANY).await?;
    let (address, path) = (listener.local_addr()?, guest.path()?);
    ready_at(address);
    tokio::select! {
        ended = serve(listener, &path, reuse) => ended,
        ended = end_of_input() => ended,
    }
}

async fn connect(url: &str) -> Result<Lattice, Failure> {
    let key = LatticeKey::from_env(KEY)?;
    Ok(Lattice::connect(url, LATTICE).key(key).await?)
}

/// Returns an actor with the instances that serving HTTP has by default.
fn actor(guest: Guest) -> Result<Actor, Failure> {
    let limits = Limits::default().cpu(LONG).wall(LONG);
    Ok(Actor::from_file(guest.path()?).limits(limits))
}
