//! The public API of links and published types, over the memory store.

mod deleted;
mod garbage;
mod lagging;
mod outage;
mod races;
mod reports;
mod types;
mod watch;
mod writes;

use crate::chance::{Dice, Seed};
use bytes::Bytes;
use lattice_core::{
    auth::{Auth, LatticeKey},
    link::{Link, LinkStatus},
    links::{DeleteError, LinkError, Links, WriteError},
    name::{ComponentId, FunctionName, HostId, InterfaceName, LatticeName},
    replica::Replica,
    store::{Expect, MemoryStore, Op, Revision, Store, StoreKey, record::Records},
    type_store::Types,
    types::{ComponentTypes, InterfaceTypes},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A process of a lattice.
struct Node {
    store: MemoryStore,
    replica: Replica,
    links: Links,
    types: Types,
}

impl Node {
    async fn join(store: &MemoryStore) -> Self {
        Self::with_key(store, 1).await
    }

    async fn with_key(store: &MemoryStore, key: u8) -> Self {
        Self::over(store, Arc::new(store.clone()), key).await
    }

    /// Creates a node that reaches `store` through `way`.
    async fn over(store: &MemoryStore, way: Arc<dyn Store>, key: u8) -> Self {
        let records = Records::new(way, auth(key));
        let replica = Replica::follow(records.clone()).await.expect("follows");
        let types = Types::new(records.clone());
        Self {
            store: store.clone(),
            links: Links::new(records, replica.clone(), types.clone()),
            replica,
            types,
        }
    }

    /// Writes bytes at the key of a link, as any client of the store can.
    async fn scribble(&self, key: StoreKey, bytes: impl Into<Bytes>) {
        let revision = self
            .store
            .commit(vec![Op::put(key, bytes, Expect::Any)])
            .await;
        self.sees(revision.expect("written")).await;
    }

    async fn sees(&self, revision: Revision) {
        let incarnation = self.store.incarnation().await.expect("there");
        let deadline = Instant::now() + Duration::from_secs(1);
        self.replica
            .wait_for(incarnation, revision, deadline)
            .await
            .expect("seen");
    }
}

fn auth(key: u8) -> Auth {
    let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
    Auth::keyed(&LatticeName::new("dev").expect("valid"), &key)
}

fn link(source: &str, target: &str) -> Link {
    Link::new(source, "a:b/c@0.2.0", target).expect("valid")
}

fn store_key(link: &Link) -> StoreKey {
    StoreKey::link(&link.source, &link.interface, &link.name)
}

fn status_key(link: &Link) -> StoreKey {
    StoreKey::link_status(&link.source, &link.interface, &link.name)
}

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("valid")
}

fn host(text: &str) -> HostId {
    HostId::new(text).expect("valid")
}

/// Returns types that export or import `a:b/c@0.2.0` with one function.
fn interface(function: &str, signature: &str) -> BTreeMap<InterfaceName, InterfaceTypes> {
    let mut types = InterfaceTypes::default();
    types.functions.insert(
        FunctionName::new(function).expect("valid"),
        signature.to_owned(),
    );
    [(InterfaceName::new("a:b/c@0.2.0").expect("valid"), types)].into()
}

fn exporting(function: &str, signature: &str) -> ComponentTypes {
    ComponentTypes {
        exports: interface(function, signature),
        ..ComponentTypes::default()
    }
}

fn importing(function: &str, signature: &str) -> ComponentTypes {
    ComponentTypes {
        imports: interface(function, signature),
        ..ComponentTypes::default()
    }
}
