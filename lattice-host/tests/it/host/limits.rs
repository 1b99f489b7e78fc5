//! Default limits, and those of a whole host.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    bus::memory::MemoryNetwork,
    call::{CallError, Limit},
    store::MemoryStore,
};
use lattice_host::{ByteSize, Host, Limits};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

#[tokio::test]
async fn an_actor_without_configured_limits_has_the_default_limits() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    let spun = act::<()>(&lattice, "spin", ()).await;
    assert_eq!(exceeded(spun), Limit::Cpu(Duration::from_secs(1)));
    let hoarded = act::<()>(&lattice, "hoard", ()).await;
    assert_eq!(exceeded(hoarded), Limit::Memory(64 << 20));
}

#[tokio::test]
async fn a_hosts_limits_apply_to_actors_that_set_none() {
    let lattice = lattice().await;
    let limits = Limits::default()
        .cpu(Duration::from_millis(50))
        .memory(ByteSize::mib(8));
    let own = Limits::default().memory(ByteSize::mib(16));
    let host = Host::builder(&lattice)
        .limits(limits)
        .actor("mischief", actor("mischief"))
        .actor("own", actor("mischief").limits(own));
    let _host = started(host).await;
    let spun = act::<()>(&lattice, "spin", ()).await;
    assert_eq!(exceeded(spun), Limit::Cpu(Duration::from_millis(50)));
    let hoarded = act::<()>(&lattice, "hoard", ()).await;
    assert_eq!(exceeded(hoarded), Limit::Memory(8 << 20));
    let hoarded = call::<()>(&lattice, "own", ACTS, "hoard", ()).await;
    assert_eq!(exceeded(hoarded), Limit::Memory(16 << 20));
}

#[tokio::test]
async fn a_hosts_limits_bound_the_concurrent_calls_of_a_provider() {
    let lattice = lattice().await;
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let limits = Limits::default().concurrent(NonZeroUsize::MIN).queued(0);
    let host = Host::builder(&lattice)
        .limits(limits)
        .provider("peer", gated(&permits, &entered).serve());
    let _host = started(host).await;
    let send = || {
        let args = (Bytes::from("x"),);
        call::<Result<Bytes, RpcError>>(&lattice, "peer", PEER, "call", args)
    };
    let refused = async {
        entered.acquire().await.expect("it stays open").forget();
        let refused = send().await;
        permits.add_permits(1);
        refused
    };
    let (first, second) = tokio::join!(send(), refused);
    let error = second.expect_err("one call is running already");
    assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");
    assert_eq!(first.expect("answered"), Ok(Bytes::from("x")));
}

#[tokio::test]
async fn arguments_over_the_limit_fail_as_a_value_for_the_guest() {
    const MESSAGE: usize = 64 << 10;
    const LIMIT: usize = 4 * MESSAGE;
    let bus = Arc::new(MemoryNetwork::with_max_payload(MESSAGE).connect());
    let lattice = Lattice::on(bus, Arc::new(MemoryStore::new()), "test").trust_bus();
    let lattice = lattice.await.expect("a lattice");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let provider = Native::peer(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        echoing(request)
    });
    let limits = Limits::default().result(ByteSize::bytes(LIMIT as u64));
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief").limits(limits))
        .provider("peer", provider.serve());
    let _host = started(host).await;
    link(&lattice, "mischief", PEER, "peer").await;
    let huge = async |length: usize| {
        let length = u32::try_from(length).expect("it fits");
        act::<Result<u32, RpcError>>(&lattice, "call-huge", (length,))
            .await
            .expect("a value")
    };
    let (kind, ran, retryable, message) = huge(LIMIT).await.expect_err("too large");
    assert_eq!((kind, ran, retryable), (10, 0, false), "{message}");
    assert!(message.contains("the arguments"), "{message}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(huge(MESSAGE / 2).await, Ok(32 << 10));
    assert_eq!(
        huge(2 * MESSAGE).await,
        Ok(128 << 10),
        "more than a message"
    );
}
