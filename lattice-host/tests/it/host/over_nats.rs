//! Actors whose hosts are connected by a real nats-server.

use super::{
    nats::{NatsConfig, NatsServer},
    support::*,
};
use bytes::Bytes;
use lattice_core::{Lattice, auth::LatticeKey, link::Link};
use lattice_host::Host;
use std::time::Duration;
use tokio::time::timeout;

/// Starts a server and returns two connections to one lattice on it.
pub(crate) async fn two_connections() -> (NatsServer, Lattice, Lattice) {
    let server = NatsConfig::default().jetstream().start().await;
    let key = LatticeKey::generate();
    let connect = || {
        let lattice = Lattice::connect(server.url(), "test").key(key.clone());
        async move { lattice.await.expect("connected") }
    };
    let (one, two) = (connect().await, connect().await);
    (server, one, two)
}

async fn call_out(lattice: &Lattice, function: &str) -> Result<Bytes, RpcError> {
    act(lattice, function, (Bytes::from_static(b"hello"),))
        .await
        .expect("answered")
}

#[tokio::test]
async fn an_actor_calls_a_provider_and_an_actor_on_another_host() {
    let (_server, one, two) = two_connections().await;
    let provider = Native::peer(echoing).serve();
    let _one = started(Host::builder(&one).actor("mischief", actor("mischief"))).await;
    let _two = started(
        Host::builder(&two)
            .provider("peer", provider)
            .actor("other", actor("mischief")),
    )
    .await;
    for target in ["peer", "other"] {
        served(&one, target).await;
        let link = Link::new("mischief", PEER, target).expect("a link");
        one.links().replace(link).await.expect("the link is put");
        for function in ["call-out", "call-async"] {
            // From the connection that doesn't run the caller, two calls cross the server.
            for lattice in [&one, &two] {
                served(lattice, "mischief").await;
                let back = call_out(lattice, function).await;
                assert_eq!(
                    back,
                    Ok(Bytes::from_static(b"hello")),
                    "{function} of {target}"
                );
            }
        }
    }
}

#[tokio::test]
async fn calls_within_one_host_need_no_server() {
    let (mut server, one, _two) = two_connections().await;
    let host = started(
        Host::builder(&one)
            .actor("mischief", actor("mischief"))
            .actor("other", actor("mischief"))
            .provider("peer", Native::peer(echoing).serve()),
    )
    .await;
    link(&one, "mischief", PEER, "other").await;
    link(&one, "other", PEER, "peer").await;
    assert_eq!(
        call_out(&one, "call-out").await,
        Ok(Bytes::from_static(b"hello"))
    );

    server.kill();
    for function in ["call-out", "call-async"] {
        for _ in 0..50 {
            let back = timeout(Duration::from_secs(5), call_out(&one, function)).await;
            assert_eq!(back.expect("in time"), Ok(Bytes::from_static(b"hello")));
        }
    }
    assert_eq!(host.components().len(), 3);

    server.restart().await;
    let back = call_out(&one, "call-out").await;
    assert_eq!(
        back,
        Ok(Bytes::from_static(b"hello")),
        "after the server is back"
    );
}
