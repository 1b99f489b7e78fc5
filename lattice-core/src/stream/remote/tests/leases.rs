//! Leases of holders, and drops that are owed.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lease_is_over_after_silence_and_its_holder_is_told() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;
    let start = Instant::now();
    let life = |_: &Origin| match start.elapsed().as_secs() {
        0..10 => Life::Live,
        _ => Life::Unknown,
    };
    while shelf.holder().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let work = x.ledger.work(&x.node, life);
        for (of, ids) in work.questions {
            x.ledger.answered(&x.node, &of, &ids, None);
        }
    }
    let silent = start.elapsed().saturating_sub(Duration::from_secs(9));
    assert!(
        (LEASE..LEASE + Duration::from_secs(2)).contains(&silent),
        "{silent:?}"
    );
    let lent = Handle::Borrow(owned.resource().clone());
    let sent = b.send(lent, &user, &x).expect("it doesn't know yet");
    let arrived = x.receive(sent.name(), false, &b, &a).await;
    assert!(matches!(arrived, Err(Stale::LeaseOver)), "{arrived:?}");
    // What it is given from now on is another matter.
    let (shelf, resource) = Shelf::new(&x, &a);
    let second = x.give(own(&resource), &a, &b, &user).await;
    assert_eq!(shelf.holder(), Some(host(&b)));
    drop(second);
    b.flush(&x);
    assert_eq!(shelf.holder(), None);
}

#[tokio::test(start_paused = true)]
async fn a_newer_boot_ends_the_lease_of_the_one_before_at_once() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;
    x.ledger.work(&x.node, |_| Life::Replaced);
    assert_eq!(shelf.holder(), None);
    // And what it still owes to an older boot is forgotten.
    drop(owned);
    let work = b.ledger.work(&b.node, |_| Life::Replaced);
    assert!(work.drops.is_empty() && !work.is_busy);
    assert_eq!(b.ledger.counts(&b.node), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_heartbeats_keeps_its_lease_by_answering() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let _owned = x.give(own(&resource), &a, &b, &user).await;
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let work = x.ledger.work(&x.node, |_| Life::Unknown);
        for (of, ids) in work.questions {
            x.ledger.answered(&x.node, &of, &ids, Some(&[]));
        }
    }
    assert_eq!(shelf.holder(), Some(host(&b)));
    // This host was stopped itself: that is no silence of the other one.
    tokio::time::advance(Duration::from_secs(100)).await;
    x.ledger.work(&x.node, |_| Life::Unknown);
    assert_eq!(shelf.holder(), Some(host(&b)));
}

#[tokio::test(start_paused = true)]
async fn drops_are_repeated_until_they_are_acknowledged() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (shelf, resource) = Shelf::new(&x, &a);
    drop(x.give(own(&resource), &a, &b, &user).await);
    let mut attempts = 0;
    for _ in 0..300 {
        let work = b.ledger.work(&b.node, |_| Life::Live);
        let due = work.drops.into_iter();
        let due = due.flat_map(|owner| b.ledger.unsent(&b.node, &owner, 1));
        for Batch { request, ids } in due {
            attempts += 1;
            if attempts == 6 {
                x.ledger.dropped_by(&x.node, &b.node, &ids);
            }
            // The first acknowledgement is lost too.
            b.ledger
                .acknowledged(&b.node, &x.node, request, attempts > 6);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(attempts, 7);
    assert_eq!(shelf.holder(), None);
}
