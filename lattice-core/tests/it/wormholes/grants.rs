//! What an open wormhole allows, and that both ends check it.

use super::*;
use lattice_core::{call::Ran, id::Source, wormhole::WormholeAuth};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Barrier;

#[tokio::test]
async fn an_open_wormhole_leads_to_its_actor_and_through_http_only() {
    let programs = Programs::new();
    let (here, there) = (programs.open().await, programs.open().await);
    let _serving = serve(&there, "web").await;
    for from in [&here, &there] {
        let wormholes = from.wormholes();
        let (id, _) = wormholes.create(new("web")).await.expect("created");
        assert_eq!(
            wormholes.caller(&id).source(),
            &Source::Wormhole(id.clone())
        );
        assert_eq!(call(&wormholes, &id, HANDLER).await.as_deref(), Ok("web"));
        for interface in [API, VERIFIER] {
            let refused = call(&wormholes, &id, interface).await;
            assert!(is_closed(&refused), "{interface}: {refused:?}");
        }
        let closed = wormholes.close(&id).await.expect("closed");
        assert!(!closed.is_open());
        let refused = call(&wormholes, &id, HANDLER).await.expect_err("closed");
        assert_eq!(refused.ran(), Ran::No, "{refused}");
        assert!(refused.to_string().contains("open it"), "{refused}");
        wormholes.open(&id).await.expect("opened");
        assert_eq!(call(&wormholes, &id, HANDLER).await.as_deref(), Ok("web"));
        wormholes.delete(&id).await.expect("deleted");
        assert!(is_closed(&call(&wormholes, &id, HANDLER).await));
    }
}

/// Serves `web`, which answers when two requests run here at once.
async fn answers_in_pairs(lattice: &Lattice, text: &'static str) -> ServeHandle {
    let pair = Arc::new(Barrier::new(2));
    let answer = move |(_,): (String,)| {
        let pair = pair.clone();
        async move {
            pair.wait().await;
            text.to_owned()
        }
    };
    let signature = "func(request: string) -> string";
    let functions = Functions::new().export(HANDLER, "handle", signature, answer);
    let served = lattice.serve("web", functions.expect("valid")).await;
    served.expect("it serves")
}

#[tokio::test]
async fn a_replica_on_the_host_of_the_ingress_is_preferred_also_while_it_is_busy() {
    let programs = Programs::new();
    let (here, there) = (programs.open().await, programs.open().await);
    let _far = answers_in_pairs(&there, "far").await;
    here.served("web").await.expect("valid");
    let near = answers_in_pairs(&here, "near").await;
    let wormholes = here.wormholes();
    let (id, _) = wormholes.create(new("web")).await.expect("created");
    let both = async || {
        let one = call(&wormholes, &id, HANDLER);
        tokio::join!(one, call(&wormholes, &id, HANDLER))
    };
    // By load, the second one of a pair would go to the other replica, which waits for another.
    for _ in 0..3 {
        let (one, two) = both().await;
        assert_eq!((one.as_deref(), two.as_deref()), (Ok("near"), Ok("near")));
    }
    drop(near);
    let (one, two) = both().await;
    assert_eq!((one.as_deref(), two.as_deref()), (Ok("far"), Ok("far")));
}

#[tokio::test]
async fn a_wormhole_needs_no_operator_calls() {
    let store = Arc::new(MemoryStore::new());
    let bus = Arc::new(MemoryNetwork::new().connect());
    let lattice = Lattice::on(bus, store, "dev")
        .key(key())
        .deny_operator_calls();
    let lattice = lattice.await.expect("it joins");
    let _serving = serve(&lattice, "web").await;
    let wormholes = lattice.wormholes();
    let (id, _) = wormholes.create(new("web")).await.expect("created");
    assert_eq!(call(&wormholes, &id, HANDLER).await.as_deref(), Ok("web"));
}

#[tokio::test]
async fn only_a_verifier_is_called_as_one() {
    let programs = Programs::new();
    let (here, there) = (programs.open().await, programs.open().await);
    let _serving = (serve(&there, "web").await, serve(&there, "guard").await);
    let wormholes = here.wormholes();
    let auth = WormholeAuth::Verifier {
        actor: id("guard"),
        link: "default".parse().expect("a name"),
    };
    let guarded = new("web").auth(auth);
    let (guarded, _) = wormholes.create(guarded).await.expect("created");
    assert_eq!(
        call(&wormholes, &guarded, HANDLER).await.as_deref(),
        Ok("web")
    );
    assert_eq!(
        call(&wormholes, &guarded, VERIFIER).await.as_deref(),
        Ok("guard")
    );
    let update = |spec: &mut WormholeSpec| spec.auth = None;
    wormholes.update(&guarded, update).await.expect("changed");
    let refused = call(&wormholes, &guarded, VERIFIER).await;
    assert!(is_closed(&refused), "{refused:?}");
}

/// A program whose copy of the store lags believes that the wormhole is open, as one that forges
/// its calls pretends.
#[tokio::test]
async fn the_callee_refuses_what_its_own_copy_does_not_allow() {
    let programs = Programs::new();
    let way = Lagging::on(&programs.store);
    let (here, there) = (programs.over(way.clone()).await, programs.open().await);
    let _serving = serve(&there, "web").await;
    let (stale, wormholes) = (here.wormholes(), there.wormholes());
    let (id, _) = wormholes.create(new("web")).await.expect("created");
    until("both know it", || stale.table().by_id(&id).is_some()).await;
    assert_eq!(call(&stale, &id, HANDLER).await.as_deref(), Ok("web"));
    way.set(Delivery::Lags);
    type Change = fn(&mut WormholeSpec);
    let elsewhere: Change = |spec| spec.actor = "elsewhere".parse().expect("an id");
    let back: Change = |spec| spec.actor = "web".parse().expect("an id");
    wormholes.update(&id, elsewhere).await.expect("changed");
    let refused = call(&stale, &id, HANDLER).await;
    assert!(is_closed(&refused), "it leads elsewhere: {refused:?}");
    wormholes.update(&id, back).await.expect("changed");
    assert_eq!(call(&stale, &id, HANDLER).await.as_deref(), Ok("web"));
    wormholes.close(&id).await.expect("closed");
    assert!(stale.table().by_id(&id).expect("known").spec.is_open());
    let refused = call(&stale, &id, HANDLER).await;
    assert!(is_closed(&refused), "it is closed: {refused:?}");
    wormholes.delete(&id).await.expect("deleted");
    let refused = call(&stale, &id, HANDLER).await;
    assert!(is_closed(&refused), "it is gone: {refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_until_the_callees_host_has_seen_the_wormhole() {
    let programs = Programs::new();
    let way = Lagging::on(&programs.store);
    let (here, there) = (programs.open().await, programs.over(way.clone()).await);
    let _serving = serve(&there, "web").await;
    here.served("web").await.expect("valid");
    way.set(Delivery::Lags);
    let wormholes = here.wormholes();
    let (id, _) = wormholes.create(new("web")).await.expect("created");
    let waiting = {
        let (wormholes, id) = (wormholes.clone(), id.clone());
        tokio::spawn(async move { call(&wormholes, &id, HANDLER).await })
    };
    let late = call(&wormholes, &id, HANDLER).await;
    assert_eq!(late, Err(CallError::LinkTableBehind));
    assert_eq!(
        waiting.await.expect("joined"),
        Err(CallError::LinkTableBehind)
    );
    let waiting = {
        let (wormholes, id) = (wormholes.clone(), id.clone());
        tokio::spawn(async move { call(&wormholes, &id, HANDLER).await })
    };
    way.set(Delivery::Works);
    assert_eq!(waiting.await.expect("joined").as_deref(), Ok("web"));
}

#[tokio::test]
async fn a_wormhole_that_is_renamed_closed_and_deleted_under_load_refuses_from_then_on() {
    let programs = Programs::new();
    let (here, there) = (programs.open().await, programs.open().await);
    let _serving = serve(&there, "web").await;
    let wormholes = here.wormholes();
    let (id, _) = wormholes.create(new("web")).await.expect("created");
    let stop = Arc::new(AtomicBool::new(false));
    let load = |_: usize| {
        let (wormholes, id, stop) = (wormholes.clone(), id.clone(), stop.clone());
        tokio::spawn(async move {
            let (mut answered, mut refused) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                match call(&wormholes, &id, HANDLER).await {
                    Ok(_) => answered += 1,
                    Err(CallError::WormholeClosed { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                tokio::task::yield_now().await;
            }
            (answered, refused)
        })
    };
    let load: Vec<_> = (0..4).map(load).collect();
    for round in 0..8 {
        let name = format!("shop-{round}.example");
        wormholes.rename(&id, &name).await.expect("renamed");
        assert_eq!(call(&wormholes, &id, HANDLER).await.as_deref(), Ok("web"));
        assert!(wormholes.table().find(&name, "/").is_some());
        wormholes.close(&id).await.expect("closed");
        assert!(is_closed(&call(&wormholes, &id, HANDLER).await), "{round}");
        assert!(wormholes.table().find(&name, "/").is_none());
        wormholes.open(&id).await.expect("opened");
    }
    wormholes.delete(&id).await.expect("deleted");
    assert!(is_closed(&call(&wormholes, &id, HANDLER).await));
    stop.store(true, Ordering::SeqCst);
    let mut all = (0, 0);
    for task in load {
        let (answered, refused) = task.await.expect("joined");
        all = (all.0 + answered, all.1 + refused);
    }
    assert!(all.0 > 0, "{all:?}");
}
