//! Providers that decide call by call whether they serve it.

use lattice_core::{
    auth::LatticeKey,
    bus::memory::MemoryNetwork,
    call::{CallError, Ran},
    store::MemoryStore,
};
use lattice_provider_sdk::{Call, Lattice, Link, Provider, Refusal, serve};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

lattice_provider_sdk::provider!({
    inline: "
        package test:admit@0.1.0;
        interface door { knock: func() -> bool; }
        world house { import door; export door; }
    ",
});
use test::admit::door::{Door, DoorClient};

struct House;

impl Provider for House {
    type World = World;
    type Config = ();
    type Binding = ();

    async fn link(&self, _: &Link, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn admit(&self, call: &Call<Self>) -> Result<(), Refusal> {
        match call.link_name() {
            Some(name) if name.as_str() == "closed" => Err(Refusal::new("nobody is at home")),
            _ => Ok(()),
        }
    }
}

impl Door for House {
    async fn knock(&self, call: &Call<Self>) -> bool {
        call.is_local()
    }
}

async fn knock(lattice: &Lattice, link: &str) -> Result<bool, CallError> {
    let caller = lattice.caller("guest").expect("an id");
    DoorClient::new(caller.via(link).expect("a link name"))
        .knock()
        .await
}

#[tokio::test]
async fn a_provider_knows_local_calls_and_refuses_calls_before_they_run() {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let key = LatticeKey::generate();
    let process = async || {
        let bus = Arc::new(network.connect());
        let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").key(key.clone());
        lattice.await.expect("joins")
    };
    let (here, there) = (process().await, process().await);
    let _serving = serve(&here, "house", House).await.expect("served");
    for name in ["open", "closed"] {
        let link = Link::new("guest", "test:admit/door@0.1.0", "house").expect("valid");
        let link = link.named(name).expect("valid");
        here.links().put(link).await.expect("put");
    }
    there.served("house").await.expect("an id");
    let linked = async {
        while there.links().list().len() < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let linked = timeout(Duration::from_secs(30), linked).await;
    linked.expect("it follows the store");
    assert_eq!(knock(&here, "open").await, Ok(true));
    assert_eq!(knock(&there, "open").await, Ok(false));
    for lattice in [&here, &there] {
        let refused = knock(lattice, "closed").await.expect_err("it refuses");
        assert_eq!(refused.ran(), Ran::No, "{refused:?}");
        assert!(
            refused.to_string().contains("nobody is at home"),
            "{refused}"
        );
    }
}
