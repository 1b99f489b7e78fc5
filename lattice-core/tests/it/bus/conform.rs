//! The conformance suite against every implementation.

use super::nats::{NatsConfig, NatsServer};
use futures_util::future::BoxFuture;
use lattice_core::{
    bus::{
        Bus,
        memory::{MemoryBus, MemoryNetwork},
    },
    nats::{NatsBus, NatsConnection, NatsOptions},
};
use lattice_sim::{
    conformance::{
        self,
        bus::{LinkControl, TestBus},
    },
    fault::FaultBus,
};
use std::sync::Arc;
use tokio::sync::Mutex;

struct MemoryControl(MemoryBus, MemoryBus);

impl LinkControl for MemoryControl {
    fn disconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.disconnect();
            self.1.disconnect();
        })
    }

    fn reconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.reconnect();
            self.1.reconnect();
        })
    }

    fn close_one(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.close() })
    }
}

struct NatsControl {
    server: Arc<Mutex<NatsServer>>,
    one: NatsConnection,
}

impl LinkControl for NatsControl {
    fn disconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.server.lock().await.kill() })
    }

    fn reconnect(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.server.lock().await.restart().await })
    }

    fn close_one(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.one.close())
    }
}

fn memory(wrap: impl Fn(MemoryBus) -> Arc<dyn Bus>) -> TestBus {
    let network = MemoryNetwork::new();
    let (one, two) = (network.connect(), network.connect());
    TestBus {
        one: wrap(one.clone()),
        two: wrap(two.clone()),
        control: Box::new(MemoryControl(one, two)),
    }
}

#[tokio::test]
async fn the_memory_bus_keeps_the_contract() {
    conformance::bus::run(async || memory(|bus| Arc::new(bus))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_bus_keeps_the_contract_on_two_threads() {
    conformance::bus::run(async || memory(|bus| Arc::new(bus))).await;
}

#[tokio::test]
async fn a_fault_bus_without_faults_keeps_the_contract() {
    conformance::bus::run(async || memory(|bus| Arc::new(FaultBus::new(Arc::new(bus), 1)))).await;
}

async fn over_nats(wrap: impl Fn(NatsBus) -> Arc<dyn Bus>) {
    let server = NatsConfig::default().jetstream().start().await;
    let url = server.url();
    let server = Arc::new(Mutex::new(server));
    conformance::bus::run(async || {
        let connect = || async { NatsOptions::new(&url).connect().await.expect("connects") };
        let (one, two) = (connect().await, connect().await);
        TestBus {
            one: wrap(one.bus()),
            two: wrap(two.bus()),
            control: Box::new(NatsControl {
                server: server.clone(),
                one,
            }),
        }
    })
    .await;
}

#[tokio::test]
async fn nats_keeps_the_contract() {
    over_nats(|bus| Arc::new(bus)).await;
}

#[tokio::test]
async fn a_fault_bus_without_faults_keeps_the_contract_over_nats() {
    over_nats(|bus| Arc::new(FaultBus::new(Arc::new(bus), 1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_keeps_the_contract_on_two_threads() {
    over_nats(|bus| Arc::new(bus)).await;
}
