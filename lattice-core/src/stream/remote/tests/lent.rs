//! What was lent isn't given away by the host that has got it.

use super::*;

/// A handle of host `x` that is lent to host `b`, as a component there has it. It is lent for as
/// long as the other two stay.
async fn lent(x: &Side, b: &Side, resource: ResourceRef) -> (ResourceRef, Departed, Option<Loan>) {
    let sent = x.send(Handle::Borrow(resource), &component("a"), b);
    let sent = sent.expect("it is held");
    let arrived = b.receive(sent.name(), false, x, &component("user")).await;
    let (handle, loan) = arrived.expect("it is lent");
    let there = handle.resource().cloned().expect("a resource");
    (there, sent, loan)
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_was_lent_does_not_come_back_as_an_owned_one() {
    let ([x, b], a) = (sides(), component("a"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let (there, sent, loan) = lent(&x, &b, resource).await;
    let back = b.send(Handle::Borrow(there), &component("user"), &x);
    let back = back.expect("it has been lent");
    let taken = x.receive(back.name(), true, &b, &component("thief")).await;
    assert!(matches!(taken, Err(Stale::NotHeld(_))), "{taken:?}");
    assert_eq!(shelf.holder(), Some(a.clone()));
    // It is still lent, and no more than that.
    let used = x.receive(back.name(), false, &b, &component("owner")).await;
    used.map(drop).expect("it is lent");
    drop((back, loan, sent));
    assert_eq!(shelf.lent(), []);
    assert_eq!(shelf.holder(), Some(a));
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_was_lent_is_not_claimed_as_an_owned_one() {
    let ([x, b, c], a) = (sides(), component("a"));
    let (shelf, resource) = Shelf::new(&x, &a);
    let (there, _sent, _loan) = lent(&x, &b, resource).await;
    let passed = b.send(Handle::Borrow(there), &component("user"), &c);
    let passed = passed.expect("it has been lent");
    let thief = component("thief");
    let taken = c.receive(passed.name(), true, &b, &thief).await;
    assert!(matches!(taken, Err(Stale::NotHeld(_))), "{taken:?}");
    assert_eq!(shelf.holder(), Some(a));
}
