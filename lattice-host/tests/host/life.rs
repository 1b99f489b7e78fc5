//! Hosts come and go, and leave nothing behind.

use crate::support::*;
use bytes::Bytes;
use lattice_core::{call::CallError, link::Link, name::ComponentId};
use lattice_host::{Engine, Host, Instances};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

#[tokio::test]
async fn a_host_that_shuts_down_says_goodbye() {
    let lattice = lattice().await;
    let host = host_of(&lattice, "mischief", |actor| actor).await;
    let running = {
        let lattice = lattice.clone();
        tokio::spawn(async move { act::<()>(&lattice, "sleep-ms", (200_u32,)).await })
    };
    let mischief = ComponentId::new("mischief").expect("an id");
    tokio::time::timeout(PATIENCE, lattice.served(&mischief))
        .await
        .expect("it is served");
    tokio::task::yield_now().await;
    assert!(host.shutdown(PATIENCE).await, "everything finished");
    match running.await.expect("no panic") {
        // Whichever was first.
        Ok(())
        | Err(
            CallError::Stopping { .. } | CallError::NotServed { .. } | CallError::HostGone { .. },
        ) => {}
        Err(other) => panic!("it was cut off: {other:?}"),
    }
    let error = act::<u32>(&lattice, "count", ())
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, CallError::NotServed { .. }), "{error:?}");
    assert!(host.components().is_empty());
}

#[tokio::test]
async fn a_host_whose_last_handle_is_dropped_is_gone() {
    let lattice = lattice().await;
    let engine = Engine::builder()
        .without_cache()
        .build()
        .expect("an engine");
    let provider: Arc<dyn lattice_core::serve::Service> = Native::peer(echoing).serve();
    let weak: Weak<dyn lattice_core::serve::Service> = Arc::downgrade(&provider);
    let host = Host::builder(&lattice)
        .engine(engine.clone())
        .actor("mischief", actor("mischief").instances(Instances::warm()))
        .provider("peer", provider);
    let host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    for function in ["call-out", "call-async"] {
        let back: Result<Bytes, RpcError> = act(&lattice, function, (Bytes::new(),))
            .await
            .expect("answered");
        back.expect("a body");
    }
    let clone = host.clone();
    drop(host);
    assert_eq!(clone.components().len(), 2, "a clone keeps it");
    drop(clone);
    let gone = async {
        while weak.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("what it served is dropped");
    let error = act::<u32>(&lattice, "count", ())
        .await
        .expect_err("nobody is there");
    assert!(!error.ran().eq(&lattice_core::call::Ran::Yes), "{error:?}");
}

#[tokio::test]
async fn when_a_host_is_killed_the_other_replica_takes_the_calls() {
    let lattice = lattice().await;
    let one = host_of(&lattice, "mischief", |actor| actor).await;
    let two = host_of(&lattice, "mischief", |actor| actor).await;
    let _: u32 = act(&lattice, "count", ()).await.expect("answered");
    one.kill();
    let deadline = std::time::Instant::now() + PATIENCE;
    for _ in 0..20 {
        // The first of them may still have gone to the dead host.
        while let Err(error) = act::<u32>(&lattice, "count", ()).await {
            assert!(error.is_retryable(), "{error:?}");
            assert!(std::time::Instant::now() < deadline, "{error:?}");
        }
    }
    assert_eq!(two.components().len(), 1);
}

#[tokio::test]
async fn stopping_what_is_not_there_says_so() {
    let lattice = lattice().await;
    let host = started(Host::builder(&lattice)).await;
    let error = host
        .stop("nobody", Duration::ZERO)
        .await
        .expect_err("nobody is there");
    assert!(error.to_string().contains("`nobody`"), "{error}");
}

#[tokio::test]
async fn a_link_to_a_component_without_the_interface_is_refused() {
    let lattice = lattice().await;
    let other = lattice_host::Actor::from_bytes(wat::parse_str("(component)").expect("valid text"));
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .actor("other", other);
    let _host = started(host).await;
    let link = Link::new("mischief", PEER, "other").expect("a link");
    let error = lattice
        .links()
        .put(link)
        .await
        .expect_err("it exports no peer");
    assert!(error.to_string().contains("other"), "{error}");
}
