//! The nats-server is away.

use super::{
    client::{Client, WORLD},
    scene::{ANY, MISCHIEF, address, guest, opened},
};
use crate::{
    host::support::{actor, started},
    nats::NatsConfig,
};
use hyper::StatusCode;
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_host::{Host, http::Ingress};

#[tokio::test]
async fn actors_of_the_ingress_own_host_are_still_served() {
    let mut server = NatsConfig::default().jetstream().start().await;
    let lattice = Lattice::connect(server.url(), "test").key(LatticeKey::generate());
    let lattice = lattice.await.expect("connected");
    let host = Host::builder(&lattice)
        .ingress(Ingress::http(ANY))
        .actor(MISCHIEF, actor(&guest()));
    let host = started(host).await;
    opened(&lattice, WORLD, MISCHIEF).await;
    opened(&lattice, "far.example", "nowhere").await;
    let mut client = Client::open(address(&host)).await;
    assert_eq!(client.page("/").await.1, "hello");

    server.kill();
    for _ in 0..20 {
        assert_eq!(client.page("/").await.1, "hello");
    }
    // New connections, too.
    let mut other = Client::open(address(&host)).await;
    assert_eq!(other.page("/").await.1, "hello");
    // What isn't here can't be reached, and that is said in time.
    let far = super::client::get("far.example", "/");
    let far = other.send(far).await.expect("a response");
    assert_eq!(far.status(), StatusCode::SERVICE_UNAVAILABLE);

    server.restart().await;
    assert_eq!(client.page("/").await.1, "hello");
}
