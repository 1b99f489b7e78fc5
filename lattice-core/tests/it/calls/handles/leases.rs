//! What happens to handles when hosts are lost, leave, or are started again.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lost_host_keeps_its_handles_for_the_lease_and_no_longer() {
    let pair = Pair::new().await;
    let mut owned = Vec::new();
    for _ in 0..100 {
        let made = pass(&pair.caller, "make-many", Vec::new()).await;
        owned.extend(made.expect("a result").handles);
    }
    assert_eq!(pair.shelf.held(), 100_000);
    sleep(2 * LEASE).await;
    assert_eq!(pair.shelf.held(), 100_000, "its host is there");
    pair.a.kill();
    sleep(LEASE * 14 / 15).await;
    assert_eq!(pair.shelf.held(), 100_000, "it may come back");
    let soon = Duration::from_secs(8);
    within(soon, "all are reclaimed", || pair.shelf.held() == 0).await;
    assert_eq!(pair.x.handles(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_after_its_lease_is_told() {
    let pair = Pair::new().await;
    let owned = make(&pair.caller).await;
    // A short absence costs nothing.
    pair.bus.disconnect();
    sleep(LEASE / 2).await;
    pair.bus.reconnect();
    sleep(Duration::from_secs(3)).await;
    let used = pass(&pair.caller, "use", lent(&owned)).await;
    used.expect("it is held");

    pair.bus.disconnect();
    let limit = LEASE + Duration::from_secs(8);
    within(limit, "it is reclaimed", || pair.shelf.held() == 0).await;
    pair.bus.reconnect();
    sleep(Duration::from_secs(3)).await;
    let text = stale(pass(&pair.caller, "use", lent(&owned)).await);
    assert!(text.contains("the lease of its holder is over"), "{text}");
    let again = make(&pair.caller).await;
    let used = pass(&pair.caller, "use", lent(&again)).await;
    used.expect("it is a new one");
    drop((owned, again));
    within(SOON, "it is dropped", || pair.shelf.held() == 0).await;
    pair.holds_nothing().await;
}

#[tokio::test]
async fn a_host_that_leaves_gives_up_its_handles_at_once() {
    let pair = Pair::new().await;
    let _owned = make(&pair.caller).await;
    let _ = pair.a.shutdown(Duration::from_secs(5)).await;
    let soon = Duration::from_secs(2);
    within(soon, "it is dropped", || pair.shelf.held() == 0).await;
    assert_eq!(pair.x.handles(), (0, 0));
}

#[tokio::test]
async fn a_host_that_is_started_again_holds_nothing_of_before() {
    let pair = Pair::new().await;
    let _owned = make(&pair.caller).await;
    pair.a.kill();
    let (_again, a) = pair.mesh.host("a").await;
    let soon = Duration::from_secs(2);
    within(soon, "it is reclaimed", || pair.shelf.held() == 0).await;
    assert!(a.origin() > pair.a.origin());
}

#[tokio::test]
async fn a_handle_whose_owner_was_started_again_says_so() {
    let pair = Pair::new().await;
    let owned = make(&pair.caller).await;
    pair.x.kill();
    let (_again, x) = pair.mesh.host("x").await;
    let shelf = Shelf::on(&x);
    let _serving = serve_as(&x, "owner", owner(&shelf)).await;
    let knows = || {
        let peers = pair.here.peers();
        peers.iter().any(|peer| peer.origin == *x.origin())
    };
    within(SOON, "the new boot is known", knows).await;
    let text = stale(pass(&pair.caller, "use", lent(&owned)).await);
    assert!(text.contains("started again"), "{text}");
    let given = vec![Handle::Own(owned)];
    let text = stale(pass(&pair.caller, "use", given).await);
    assert!(text.contains("started again"), "{text}");
    within(SOON, "nothing is owed", || pair.a.handles() == (0, 0)).await;
    let new = make(&pair.caller).await;
    assert_eq!(new.resource().at(), &shelf.at);
}

/// A program that only calls sends no heartbeats.
#[tokio::test(start_paused = true)]
async fn a_caller_without_a_host_keeps_and_drops_its_handles() {
    let pair = Pair::new().await;
    let (program, bus) = pair.mesh.connect().await;
    link(&pair.here, "program", "owner").await;
    let caller = program.caller("program").expect("valid");
    let owned = make(&caller).await;
    sleep(4 * LEASE).await;
    let used = pass(&caller, "use", lent(&owned)).await;
    used.expect("it is held");
    drop(owned);
    within(SOON, "it is dropped", || pair.shelf.held() == 0).await;
    let _owned = make(&caller).await;
    bus.close();
    let limit = LEASE + Duration::from_secs(10);
    let after = within(limit, "it is reclaimed", || pair.shelf.held() == 0).await;
    assert!(after > LEASE * 4 / 5, "{after:?}");
}
