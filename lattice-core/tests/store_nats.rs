//! The store on a real nats-server.

#[path = "scratch/nats.rs"]
mod nats;

use lattice_core::{
    name::LatticeName,
    store::{conformance, nats::{NatsStore, NatsStoreOptions}},
};
use std::sync::{Arc, atomic::{AtomicU64, Ordering}};

static NEXT: AtomicU64 = AtomicU64::new(0);

fn lattice() -> LatticeName {
    LatticeName::new(&format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))).expect("valid")
}

async fn open(server: &nats::Server, lattice: &LatticeName) -> NatsStore {
    let client = async_nats::connect(server.url()).await.expect("running");
    NatsStore::open(client, NatsStoreOptions::new(lattice.clone())).await.expect("opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_store_keeps_the_contract() {
    let server = nats::Server::start("").await;
    conformance::run(async || {
        let lattice = lattice();
        (
            Arc::new(open(&server, &lattice).await) as _,
            Arc::new(open(&server, &lattice).await) as _,
        )
    })
    .await;
}
