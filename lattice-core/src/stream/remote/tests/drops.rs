//! Drops before calls.

use super::*;

/// Which of two hosts a call has to wait for, because of drops.
fn waits(b: &Side, hosts: [&Side; 2]) -> [bool; 2] {
    hosts.map(|host| b.ledger.send_drops(&b.node, &host.node).is_some())
}

#[tokio::test(start_paused = true)]
async fn only_a_call_to_the_owner_waits_for_drops_until_they_are_queued() {
    let ([x, b, c], a, user) = (sides(), component("a"), component("user"));
    let (_shelf, resource) = Shelf::new(&x, &a);
    let owned = x.give(own(&resource), &a, &b, &user).await;
    assert_eq!(waits(&b, [&x, &c]), [false, false]);
    drop(owned);
    assert_eq!(waits(&b, [&x, &c]), [true, false]);
    let batches = b.ledger.all_unsent(&b.node, &x.node);
    assert_eq!(batches.len(), 1);
    assert_eq!(waits(&b, [&x, &c]), [true, false], "it is not queued");
    b.ledger.drops_are_queued(&b.node, &x.node, 1);
    assert_eq!(waits(&b, [&x, &c]), [false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_call_sends_drops_again_that_failed_a_moment_ago() {
    let ([x, b], a, user) = (sides(), component("a"), component("user"));
    let (_shelf, resource) = Shelf::new(&x, &a);
    drop(x.give(own(&resource), &a, &b, &user).await);
    for _ in 0..5 {
        let batches = b.ledger.all_unsent(&b.node, &x.node);
        let [Batch { request, ids }] = &batches[..] else {
            panic!("one batch: {batches:?}");
        };
        assert_eq!(ids.len(), 1);
        b.ledger.drops_are_queued(&b.node, &x.node, 1);
        b.ledger.acknowledged(&b.node, &x.node, *request, false);
        // Without a call, there is a pause.
        assert!(b.ledger.unsent(&b.node, &x.node, 1).is_empty());
    }
}
