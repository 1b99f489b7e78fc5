//! A provider with each backend, and programs that serve and call it.

use super::{draft, draft2, flat, spin};
use lattice_core::{bus::memory::MemoryNetwork, serve::Service, store::MemoryStore};
use lattice_provider_sdk::{Caller, IntoService as _, Lattice, Link, ServeHandle, serve};
use lattice_providers::keyvalue::{
    FileConfig, FileKeyValue, MemoryConfig, MemoryKeyValue, NatsConfig, NatsKeyValue, RedisConfig,
    RedisKeyValue,
};
use lattice_test_servers::RedisServer;
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

use crate::{
    nats::{NatsConfig as ServerConfig, NatsServer},
    servers,
};

/// Longer than anything takes, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    File,
    Redis,
    Nats,
}

/// What a backend keeps its buckets in.
enum Place {
    Memory,
    File(TempDir),
    Redis(RedisServer),
    Nats(NatsServer),
}

/// Three programs on one bus: two that can serve the provider, and one that calls it.
pub(super) struct Stage {
    pub(super) kind: Kind,
    pub(super) app: Lattice,
    pub(super) first: Lattice,
    second: Lattice,
    pub(super) serving: Vec<ServeHandle>,
    place: Place,
}

impl Stage {
    /// Serves a provider as `kv` in the first program, with links of `app` to all its interfaces.
    /// Returns none if its server isn't installed.
    pub(super) async fn start(kind: Kind) -> Option<Self> {
        let place = match kind {
            Kind::Memory => Place::Memory,
            Kind::File => Place::File(tempfile::tempdir().expect("a folder")),
            Kind::Redis => Place::Redis(servers::redis(&[]).await?),
            Kind::Nats => Place::Nats(ServerConfig::default().jetstream().start().await),
        };
        let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
        let join = async || {
            let bus = Arc::new(network.connect());
            let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
            lattice.await.expect("it joins")
        };
        let mut stage = Self {
            kind,
            app: join().await,
            first: join().await,
            second: join().await,
            serving: Vec::new(),
            place,
        };
        let serving = serve(&stage.first, "kv", stage.provider()).await;
        stage.serving.push(serving.expect("served"));
        stage.link("app", "{}").await;
        Some(stage)
    }

    /// Whether several replicas have the same buckets.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Redis | Kind::Nats)
    }

    /// Serves the provider in the second program too, if replicas have the same buckets.
    pub(super) async fn serve_again(&mut self) {
        if self.is_shared() {
            let serving = serve(&self.second, "kv", self.provider()).await;
            self.serving.push(serving.expect("served"));
        }
    }

    /// Returns a provider with the stage's buckets.
    pub(super) fn provider(&self) -> Arc<dyn Service> {
        match &self.place {
            Place::Memory => MemoryKeyValue::new(MemoryConfig::default()).into_service(),
            Place::File(folder) => {
                FileKeyValue::new(FileConfig::new(folder.path().join("kv.redb"))).into_service()
            }
            Place::Redis(server) => {
                RedisKeyValue::new(RedisConfig::new(server.url())).into_service()
            }
            Place::Nats(server) => NatsKeyValue::new(NatsConfig::new(server.url())).into_service(),
        }
    }

    /// Links a component to every interface of the provider, with a config.
    pub(super) async fn link(&self, source: &str, config: &str) {
        let config: serde_json::Value = serde_json::from_str(config).expect("JSON");
        let interfaces = [
            draft::wasi::keyvalue::store::INTERFACE.name(),
            draft::wasi::keyvalue::atomics::INTERFACE.name(),
            draft::wasi::keyvalue::batch::INTERFACE.name(),
            draft2::wasi::keyvalue::store::INTERFACE.name(),
            draft2::wasi::keyvalue::atomics::INTERFACE.name(),
            draft2::wasi::keyvalue::batch::INTERFACE.name(),
            flat::lattice::keyvalue::store::INTERFACE.name(),
        ];
        for interface in interfaces {
            let link = Link::new(source, interface, "kv").expect("valid");
            let link = link.config(&config).expect("JSON");
            self.app.links().put(link).await.expect("it is put");
        }
    }

    /// Returns the programs that can serve the provider. Calls from one go to its own replica.
    pub(super) fn programs(&self) -> [&Lattice; 2] {
        [&self.first, &self.second]
    }

    /// Writes to a bucket in its server, beside the provider.
    pub(super) async fn write_beside(&self, bucket: &str, key: &str, value: &'static str) {
        match &self.place {
            Place::Nats(server) => {
                let client = async_nats::connect(server.url()).await.expect("connects");
                let buckets = async_nats::jetstream::new(client);
                let bucket = buckets.get_key_value(format!("kv-{bucket}")).await;
                let bucket = bucket.expect("the provider has made it");
                bucket.put(key, value.into()).await.expect("written");
            }
            Place::Redis(server) => {
                let values = format!("lattice:{{kv:{bucket}}}:values");
                server.run(&["HSET", &values, key, value]);
            }
            Place::Memory | Place::File(_) => panic!("it has no server"),
        }
    }

    /// Returns clients that call as a component.
    pub(super) fn clients(&self, source: &str) -> Clients {
        Self::clients_in(&self.app, source)
    }

    /// Returns clients that call as a component from a program.
    pub(super) fn clients_in(program: &Lattice, source: &str) -> Clients {
        let caller = program.caller(source).expect("an id");
        Clients {
            store: draft::wasi::keyvalue::store::StoreClient::new(caller.clone()),
            atomics: draft::wasi::keyvalue::atomics::AtomicsClient::new(caller.clone()),
            batch: draft::wasi::keyvalue::batch::BatchClient::new(caller.clone()),
            store2: draft2::wasi::keyvalue::store::StoreClient::new(caller.clone()),
            atomics2: draft2::wasi::keyvalue::atomics::AtomicsClient::new(caller.clone()),
            batch2: draft2::wasi::keyvalue::batch::BatchClient::new(caller.clone()),
            spin_batch: spin::wasi::keyvalue::batch::BatchClient::new(caller.clone()),
            spin_store: spin::wasi::keyvalue::store::StoreClient::new(caller.clone()),
            flat: flat::lattice::keyvalue::store::StoreClient::new(caller),
        }
    }
}

/// Clients of every interface.
pub(super) struct Clients {
    pub(super) store: draft::wasi::keyvalue::store::StoreClient<Caller>,
    pub(super) atomics: draft::wasi::keyvalue::atomics::AtomicsClient<Caller>,
    pub(super) batch: draft::wasi::keyvalue::batch::BatchClient<Caller>,
    pub(super) store2: draft2::wasi::keyvalue::store::StoreClient<Caller>,
    pub(super) atomics2: draft2::wasi::keyvalue::atomics::AtomicsClient<Caller>,
    pub(super) batch2: draft2::wasi::keyvalue::batch::BatchClient<Caller>,
    pub(super) spin_store: spin::wasi::keyvalue::store::StoreClient<Caller>,
    pub(super) spin_batch: spin::wasi::keyvalue::batch::BatchClient<Caller>,
    pub(super) flat: flat::lattice::keyvalue::store::StoreClient<Caller>,
}
