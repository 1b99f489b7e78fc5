//! Wormholes: what they grant, at both ends, their host names, their records, and how apps declare
//! them.

mod explanations;
mod grants;
mod manifests;
mod names;
mod records;

use crate::{
    lagging::{Delivery, Lagging},
    support::{API, id},
};
use lattice_core::{
    Lattice,
    auth::{Auth, LatticeKey},
    bus::memory::MemoryNetwork,
    call::CallError,
    desired::WormholeSpec,
    name::{LatticeName, WormholeId},
    serve::Functions,
    server::ServeHandle,
    store::{Expect, MemoryStore, Op, Revision, Store, StoreKey, record::Records},
    wormholes::{NewWormhole, WormholeError, Wormholes},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

const HANDLER: &str = "lattice:http/handler@0.1.0";
const VERIFIER: &str = "lattice:http/verifier@0.1.0";

fn key() -> LatticeKey {
    LatticeKey::from_hex(&"01".repeat(32)).expect("a key")
}

/// Programs on one bus and one store.
struct Programs {
    network: MemoryNetwork,
    store: MemoryStore,
}

impl Programs {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::new(),
            store: MemoryStore::new(),
        }
    }

    async fn open(&self) -> Lattice {
        self.over(Arc::new(self.store.clone())).await
    }

    /// Opens a program that reaches its store through `way`.
    async fn over(&self, way: Arc<dyn Store>) -> Lattice {
        let bus = Arc::new(self.network.connect());
        let lattice = Lattice::on(bus, way, "dev").key(key());
        lattice.await.expect("it joins")
    }

    fn records(&self) -> Records {
        let auth = Auth::keyed(&LatticeName::new("dev").expect("valid"), &key());
        Records::new(Arc::new(self.store.clone()), auth)
    }

    /// Writes fields at a key as another version would, with the lattice's key.
    async fn write(&self, lattice: &Lattice, key: &StoreKey, fields: &serde_json::Value) {
        let life = self.store.incarnation().await.expect("there");
        let generation = lattice.desired().revision.0;
        let value = self
            .records()
            .encode(life, key, generation, &fields.to_string());
        let put = Op::put(key.clone(), value.expect("encodes"), Expect::Any);
        let revision = self.store.commit(vec![put]).await.expect("written");
        seen(lattice, revision).await;
    }

    /// Writes bytes that are no record, as any client of the store can.
    async fn scribble(&self, lattice: &Lattice, key: &StoreKey) {
        let put = Op::put(key.clone(), "garbage", Expect::Any);
        let revision = self.store.commit(vec![put]).await.expect("written");
        seen(lattice, revision).await;
    }

    /// Returns the fields of a record in the store.
    async fn fields(&self, key: &StoreKey) -> serde_json::Value {
        let life = self.store.incarnation().await.expect("there");
        let entry = self.store.read(key.clone()).await.expect("read");
        let body = self
            .records()
            .decode::<String>(life, &entry.expect("there is one"));
        serde_json::from_str(&body.expect("authentic").body).expect("JSON")
    }
}

async fn seen(lattice: &Lattice, revision: Revision) {
    until("the write is seen", || {
        lattice.desired().revision >= revision
    })
    .await;
}

/// Waits until a condition holds, and fails if that takes too long.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

fn wormhole(text: &str) -> WormholeId {
    WormholeId::new(text).expect("valid")
}

fn new(actor: &str) -> NewWormhole {
    NewWormhole::new(actor).expect("valid")
}

/// Serves a component that answers requests and verifiers with its own name, and that has another
/// interface.
async fn serve(lattice: &Lattice, name: &'static str) -> ServeHandle {
    let own = move |interface: &str, functions: Functions| {
        let answer = async move |(_,): (String,)| name.to_owned();
        let signature = "func(request: string) -> string";
        let exported = functions.export(interface, "handle", signature, answer);
        exported.expect("valid")
    };
    let functions = own(HANDLER, Functions::new());
    let functions = own(API, own(VERIFIER, functions));
    lattice.serve(name, functions).await.expect("it serves")
}

/// Makes a call in the name of a wormhole. Returns the name of the component that answered.
async fn call(
    wormholes: &Wormholes,
    id: &WormholeId,
    interface: &str,
) -> Result<String, CallError> {
    let caller = wormholes.caller(id);
    caller.call(interface, "handle", ("/",)).await
}

fn is_closed<T>(result: &Result<T, CallError>) -> bool {
    matches!(result, Err(CallError::WormholeClosed { .. }))
}
