//! Links of an actor: choosing among several, and deletion.

use super::support::*;
use bytes::Bytes;
use lattice_core::link::Link;
use lattice_host::{Host, Instances};

/// A provider that returns its own name.
fn named(name: &'static str) -> Native {
    Native::peer(move |_| lattice_core::serve::Answer::Ready(answer(name.as_bytes())))
}

#[tokio::test]
async fn an_actor_chooses_among_its_links_for_one_call() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief").instances(Instances::warm()))
        .provider("first", named("first").serve())
        .provider("second", named("second").serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "first").await;
    let second = Link::new("mischief", PEER, "second")
        .and_then(|link| link.named("spare"))
        .expect("a link");
    lattice.links().put(second).await.expect("the link is put");
    let use_link = |interface: &'static str, name: &'static str| {
        act::<Result<Bytes, String>>(&lattice, "use-link", (interface, name, Bytes::new()))
    };
    assert_eq!(
        use_link(PEER, "spare").await.expect("answered"),
        Ok(Bytes::from("second"))
    );
    assert_eq!(
        use_link(PEER, "default").await.expect("answered"),
        Ok(Bytes::from("first"))
    );
    // The choice ends with the call, also in a warm instance.
    assert_eq!(
        use_link(PEER, "spare").await.expect("answered"),
        Ok(Bytes::from("second"))
    );
    let back: Result<Bytes, RpcError> = act(&lattice, "call-out", (Bytes::new(),))
        .await
        .expect("answered");
    assert_eq!(back, Ok(Bytes::from("first")));
    let refused = use_link(PEER, "none")
        .await
        .expect("answered")
        .expect_err("no such link");
    assert!(refused.contains("`none`"), "{refused}");
    let refused = use_link("acme:orders/store@1.0.0", "spare")
        .await
        .expect("answered")
        .expect_err("not imported");
    assert!(refused.contains("does not import"), "{refused}");
    let refused = use_link("nonsense", "spare")
        .await
        .expect("answered")
        .expect_err("not an interface");
    assert!(refused.contains("namespace:package/interface"), "{refused}");
}

#[tokio::test]
async fn deleting_a_link_during_calls_ends_only_its_grant() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .provider("peer", named("peer").serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    let calls = {
        let lattice = lattice.clone();
        tokio::spawn(async move {
            let mut succeeded = 0;
            loop {
                match act::<Result<Bytes, RpcError>>(&lattice, "call-out", (Bytes::new(),))
                    .await
                    .expect("a value")
                {
                    Ok(_) => succeeded += 1,
                    Err(error) => return (succeeded, error),
                }
            }
        })
    };
    let key = Link::new("mischief", PEER, "peer").expect("a link").key();
    tokio::time::timeout(PATIENCE, async {
        let _: Result<Bytes, RpcError> = act(&lattice, "call-out", (Bytes::new(),))
            .await
            .expect("a value");
        lattice.links().delete(&key).await.expect("it is deleted");
    })
    .await
    .expect("in time");
    let (succeeded, (kind, ran, _, message)) = calls.await.expect("no panic");
    assert!(succeeded > 0);
    assert_eq!((kind, ran), (0, 0), "{message}");
}
