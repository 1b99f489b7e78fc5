//! Two programs of one lattice: one with an ingress, one with the actors.

use super::client::{Client, WORLD};
use crate::{
    host::support::{Native, actor, served, started, two_programs},
    nats::{NatsConfig, NatsServer},
};
use lattice_core::{
    Lattice,
    auth::LatticeKey,
    name::WormholeId,
    serve::{Answer, Service},
    wormhole::WormholeLimits,
    wormholes::NewWormhole,
};
use lattice_host::{Host, HostBuilder, http::Ingress};
use lattice_provider_sdk::world::WitWorld as _;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::Semaphore;

/// Native code for `lattice:http/handler`.
pub(super) mod native {
    lattice_provider_sdk::provider!({
        inline: "
            package lattice-test:native@0.1.0;
            world native {
                import lattice:http/handler@0.1.0;
                export lattice:http/handler@0.1.0;
            }
        ",
    });
}

/// The guest that does what its path says.
pub(super) const MISCHIEF: &str = "http-mischief";
/// The interface through which guests of WASI 0.2 make requests.
pub(super) const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.0";
/// An address with any free port.
pub(super) const ANY: &str = "127.0.0.1:0";

/// Two programs. Dropping this ends both.
pub(super) struct Scene {
    /// The program with the ingress.
    pub(super) world: Lattice,
    /// The program with the actors.
    pub(super) inner: Lattice,
    _ingress: Host,
    pub(super) actors: Host,
    pub(super) address: SocketAddr,
    pub(super) wormhole: WormholeId,
    _server: Option<NatsServer>,
}

impl Scene {
    /// Starts both on an in-memory lattice, with the guest as the only actor.
    pub(super) async fn in_memory() -> Self {
        Self::with(|host| host).await
    }

    /// Starts both on an in-memory lattice. `adjust` adds to the host with the actors.
    pub(super) async fn with(adjust: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let (world, inner) = two_programs().await;
        Self::of(world, inner, None, adjust).await
    }

    /// Starts both on a nats-server.
    pub(super) async fn over_nats(adjust: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let server = NatsConfig::default().jetstream().start().await;
        let key = LatticeKey::generate();
        let connect = async || {
            let lattice = Lattice::connect(server.url(), "test").key(key.clone());
            lattice.await.expect("connected")
        };
        let (world, inner) = (connect().await, connect().await);
        Self::of(world, inner, Some(server), adjust).await
    }

    async fn of(
        world: Lattice,
        inner: Lattice,
        server: Option<NatsServer>,
        adjust: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let ingress = ingress(&world).await;
        let actors = Host::builder(&inner).actor(MISCHIEF, actor(&guest()));
        let actors = started(adjust(actors)).await;
        served(&world, MISCHIEF).await;
        Self {
            wormhole: opened(&world, WORLD, MISCHIEF).await,
            address: address(&ingress),
            world,
            inner,
            _ingress: ingress,
            actors,
            _server: server,
        }
    }

    pub(super) async fn client(&self) -> Client {
        Client::open(self.address).await
    }

    /// Changes the limits of the wormhole.
    pub(super) async fn limit(&self, change: impl Fn(&mut WormholeLimits) + Send + Sync) {
        let wormholes = self.world.wormholes();
        let changed = wormholes.update(&self.wormhole, |spec| change(&mut spec.limits));
        changed.await.expect("changed");
    }
}

/// Starts a host that only has an ingress.
pub(super) async fn ingress(lattice: &Lattice) -> Host {
    let host = Host::builder(lattice).without_placement();
    started(host.ingress(Ingress::http(ANY))).await
}

/// Returns the address of a host's ingress.
pub(super) fn address(host: &Host) -> SocketAddr {
    let addresses = host.ingress_addresses();
    *addresses.first().expect("an address")
}

/// Opens a wormhole.
pub(super) async fn opened(lattice: &Lattice, host: &str, target: &str) -> WormholeId {
    let wormhole = NewWormhole::new(target).expect("an id").host(host);
    let created = lattice.wormholes().create(wormhole).await;
    created.expect("created").0
}

/// Returns the file name of the guest, in which `-` is `_`.
pub(super) fn guest() -> String {
    MISCHIEF.replace('-', "_")
}

/// What is known of the calls of a component that never answers.
#[derive(Clone)]
pub(super) struct Held {
    entered: Arc<Semaphore>,
    gone: Arc<Semaphore>,
}

impl Held {
    /// Makes a component that takes requests and never answers.
    pub(super) fn new() -> (Arc<dyn Service>, Self) {
        let held = Self {
            entered: Arc::new(Semaphore::new(0)),
            gone: Arc::new(Semaphore::new(0)),
        };
        let calls = held.clone();
        let signature = native::World::EXPORTS[0].functions()[0].signature;
        let service = Native::default().function(OUTGOING, "handle", signature, move |_| {
            let calls = calls.clone();
            Answer::Later(Box::pin(async move {
                let _gone = OnDrop(calls.gone);
                calls.entered.add_permits(1);
                std::future::pending().await
            }))
        });
        (service.serve(), held)
    }

    /// Waits until a call has entered.
    pub(super) async fn entered(&self) {
        taken(&self.entered, "a call enters").await;
    }

    /// Waits until a call was cancelled.
    pub(super) async fn gone(&self) {
        taken(&self.gone, "a call is cancelled").await;
    }
}

struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn taken(permits: &Semaphore, what: &str) {
    let permit = tokio::time::timeout(crate::host::support::PATIENCE, permits.acquire()).await;
    let permit = permit.unwrap_or_else(|_| panic!("timed out waiting until {what}"));
    permit.expect("the semaphore stays open").forget();
}
