//! Warm instances.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Limit},
    serve::Answer,
};
use lattice_host::{Actor, ByteSize, Host, Instances, Limits};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

fn warm(most: usize) -> impl FnOnce(Actor) -> Actor {
    let most = NonZeroUsize::new(most).expect("not zero");
    move |actor| {
        actor.instances(Instances::Warm {
            most,
            idle: Duration::from_mins(1),
        })
    }
}

/// Starts a host with one warm instance of `mischief`, linked to this peer.
async fn one_warm(lattice: &Lattice, peer: Native) -> Host {
    let host = Host::builder(lattice)
        .actor("mischief", warm(1)(actor("mischief")))
        .provider("peer", peer.serve());
    let host = started(host).await;
    link(lattice, "mischief", PEER, "peer").await;
    host
}

async fn count(lattice: &Lattice) -> u32 {
    act(lattice, "count", ()).await.expect("answered")
}

#[tokio::test]
async fn a_fresh_instance_keeps_no_state_and_a_warm_one_keeps_it() {
    let lattice = lattice().await;
    let fresh = host_of(&lattice, "mischief", |actor| actor).await;
    for _ in 0..3 {
        assert_eq!(count(&lattice).await, 1);
    }
    let drained = fresh.stop("mischief", PATIENCE).await;
    assert!(drained.expect("the actor is served").is_clean());
    fresh
        .start_actor("mischief", warm(4)(actor("mischief")))
        .await
        .expect("it starts again");
    for expected in 1..=3 {
        assert_eq!(count(&lattice).await, expected);
    }
}

#[tokio::test]
async fn a_warm_instance_that_failed_is_not_used_again() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", warm(1)).await;
    assert_eq!(count(&lattice).await, 1);
    reason(act::<()>(&lattice, "trap", ()).await);
    assert_eq!(count(&lattice).await, 1);
    let late = lattice
        .operator()
        .component("mischief")
        .call::<()>(ACTS, "sleep-ms", (60_000_u32,));
    late.timeout(Duration::from_millis(50))
        .await
        .expect_err("too late");
    assert_eq!(count(&lattice).await, 1);
}

#[tokio::test]
async fn calls_of_plain_functions_use_a_warm_instance_one_at_a_time() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", warm(1)).await;
    let sleep = |ms: u32| act::<()>(&lattice, "sleep-ms", (ms,));
    let (a, b, c) = tokio::join!(sleep(50), sleep(50), count(&lattice));
    a.expect("it slept");
    b.expect("it slept");
    assert_eq!(
        c, 1,
        "all three calls ran in the only instance, one after the other"
    );
    assert_eq!(count(&lattice).await, 2);
}

#[tokio::test]
async fn each_call_in_a_warm_instance_has_the_full_cpu_limit() {
    let lattice = lattice().await;
    let limits = Limits::default().cpu(Duration::from_millis(300));
    let _host = host_of(&lattice, "mischief", |actor| warm(1)(actor).limits(limits)).await;
    let echo = || act::<Bytes>(&lattice, "echo", (Bytes::from(vec![1; 900_000]),));
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_millis(900) {
        echo().await.expect("within the limit of this call");
    }
    let spun = act::<()>(&lattice, "spin", ()).await;
    assert_eq!(exceeded(spun), Limit::Cpu(Duration::from_millis(300)));
}

#[tokio::test]
async fn a_warm_instance_that_has_grown_large_is_dropped() {
    let lattice = lattice().await;
    let limits = Limits::default().memory(ByteSize::kib(2_560));
    let _host = host_of(&lattice, "mischief", |actor| warm(1)(actor).limits(limits)).await;
    assert_eq!(count(&lattice).await, 1);
    assert_eq!(count(&lattice).await, 2);
    let _: Bytes = act(&lattice, "huge", (900_000_u32,))
        .await
        .expect("there is room for it");
    assert_eq!(count(&lattice).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_warm_instance_is_dropped() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", warm(2)).await;
    assert_eq!(count(&lattice).await, 1);
    assert_eq!(count(&lattice).await, 2);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(count(&lattice).await, 1);
}

#[tokio::test]
async fn calls_of_async_functions_overlap_in_one_instance() {
    let lattice = lattice().await;
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let _host = one_warm(&lattice, gated(&permits, &entered)).await;
    let call = |body: &'static str| {
        act::<Result<Bytes, RpcError>>(&lattice, "call-async", (Bytes::from(body),))
    };
    let let_both_return = async {
        entered
            .acquire_many(2)
            .await
            .expect("it stays open")
            .forget();
        permits.add_permits(2);
    };
    let (a, b, ()) = tokio::join!(call("a"), call("b"), let_both_return);
    assert_eq!(a.expect("answered"), Ok(Bytes::from("a")));
    assert_eq!(b.expect("answered"), Ok(Bytes::from("b")));
}

#[tokio::test]
async fn overlapping_calls_keep_their_own_deadlines() {
    let lattice = lattice().await;
    let lefts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (log, gate, came) = (lefts.clone(), permits.clone(), entered.clone());
    let provider = Native::peer(move |request| {
        log.lock()
            .expect("no panic")
            .push((body(&request), request.context.left()));
        let (gate, came) = (gate.clone(), came.clone());
        Answer::Later(Box::pin(async move {
            came.add_permits(1);
            gate.acquire().await.expect("it stays open").forget();
            answer(&body(&request))
        }))
    });
    let _host = one_warm(&lattice, provider).await;
    let call = async |body: &'static str, seconds| {
        let args = (Bytes::from(body),);
        let mischief = lattice.operator().component("mischief");
        let call = mischief.call::<Result<Bytes, RpcError>>(ACTS, "call-async", args);
        call.timeout(Duration::from_secs(seconds)).await
    };
    let let_both_return = async {
        entered
            .acquire_many(2)
            .await
            .expect("it stays open")
            .forget();
        permits.add_permits(2);
    };
    let (a, b, ()) = tokio::join!(call("short", 100), call("long", 1_000), let_both_return);
    a.expect("answered").expect("a body");
    b.expect("answered").expect("a body");
    for (who, left) in lefts.lock().expect("no panic").iter() {
        let expected = if &who[..] == b"short" {
            50..=100
        } else {
            900..=1_000
        };
        assert!(expected.contains(&left.as_secs()), "{who:?}: {left:?}");
    }
}

#[tokio::test]
async fn an_abandoned_call_retires_the_instance_and_lets_its_siblings_finish() {
    let lattice = lattice().await;
    let (permits, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let _host = one_warm(&lattice, gated(&permits, &entered)).await;
    let call = |body: &'static str| {
        let lattice = lattice.clone();
        tokio::spawn(async move {
            act::<Result<Bytes, RpcError>>(&lattice, "call-async", (Bytes::from(body),)).await
        })
    };
    let short = lattice
        .operator()
        .component("mischief")
        .call::<Result<Bytes, RpcError>>(ACTS, "call-async", (Bytes::from("late"),));
    let sibling = call("sibling");
    let late = short.timeout(Duration::from_millis(100));
    let late = tokio::spawn(late.into_future());
    entered
        .acquire_many(2)
        .await
        .expect("it stays open")
        .forget();
    match late.await.expect("no panic") {
        Err(CallError::DeadlineExceeded { .. }) | Ok(Err((11, ..))) => {}
        other => panic!("not late: {other:?}"),
    }
    let next = call("next");
    entered.acquire().await.expect("it stays open").forget();
    permits.add_permits(3);
    assert_eq!(
        sibling.await.expect("no panic").expect("answered"),
        Ok(Bytes::from("sibling"))
    );
    assert_eq!(
        next.await.expect("no panic").expect("answered"),
        Ok(Bytes::from("next"))
    );
}

#[tokio::test]
async fn an_actor_that_calls_itself_deeper_than_its_instances_is_refused_at_once() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", warm(4)).await;
    link(&lattice, "mischief", PEER, "mischief").await;
    let bounce = async |hops: u32| -> Result<u32, RpcError> {
        let bounced = act(&lattice, "call-bounce", (hops,)).await;
        bounced.expect("answered")
    };
    assert_eq!(
        bounce(2).await,
        Ok(2),
        "one inside the other: four instances"
    );
    let start = std::time::Instant::now();
    for hops in [3, 4, 31, 1_000] {
        let (deep, other) = tokio::join!(bounce(hops), count(&lattice));
        let (kind, ran, _, message) = deep.expect_err("it can't end");
        assert_eq!((kind, ran), (9, 0), "{message}");
        assert!(other > 0);
    }
    assert!(start.elapsed() < PATIENCE / 2, "it waited for its deadline");
}

#[tokio::test]
async fn actors_on_two_hosts_that_call_each_other_deeper_than_their_instances_are_refused_at_once()
{
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", warm(4)).await;
    let other = Host::builder(&lattice).actor("other", warm(4)(actor("mischief")));
    let _other = started(other).await;
    link(&lattice, "mischief", PEER, "other").await;
    link(&lattice, "other", PEER, "mischief").await;
    let bounce = async |hops: u32| -> Result<u32, RpcError> {
        let bounced = act(&lattice, "call-bounce", (hops,)).await;
        bounced.expect("answered")
    };
    assert_eq!(bounce(6).await, Ok(6), "all eight instances");
    let start = std::time::Instant::now();
    for hops in [7, 8, 31, 1_000] {
        let (deep, other) = tokio::join!(bounce(hops), count(&lattice));
        let (kind, ran, _, message) = deep.expect_err("it can't end");
        assert_eq!((kind, ran), (9, 0), "{message}");
        assert!(other > 0);
    }
    assert!(start.elapsed() < PATIENCE / 2, "it waited for its deadline");
}
