//! Handles that were given away, or are lent to several calls at once.

use super::*;

#[tokio::test]
async fn a_handle_that_was_given_away_is_not_used_by_the_one_who_gave_it() {
    let pair = Pair::new().await;
    let (_there, b) = pair.mesh.host("b").await;
    let kept = Arc::<Mutex<Handles>>::default();
    let keeper = keeper(b.caller("keeper").expect("valid"), &kept);
    let _serving = serve_as(&b, "keeper", keeper).await;
    let to_keeper = grant("caller", "keeper").named("keeper").expect("a name");
    pair.here.links().put(to_keeper).await.expect("it is put");
    let (caller, shelf) = (&pair.caller, &pair.shelf);
    let owned = make(caller).await;
    let old = owned.resource().clone();
    let given = pass_to_keeper(caller, "keep", vec![Handle::Own(owned)]).await;
    given.expect("it is held");

    let lent = || vec![Handle::Borrow(old.clone())];
    let text = stale(pass(caller, "use", lent()).await);
    assert!(text.contains("`caller` doesn't hold it"), "{text}");
    stale(pass_to_keeper(caller, "use", lent()).await);
    let again = vec![Handle::Own(Owned::new(old.clone()))];
    stale(pass_to_keeper(caller, "keep", again).await);
    // None of that has changed who holds it.
    assert_eq!(shelf.holder(), Some(Holder::Host(b.origin().clone())));
    kept.lock().expect("not poisoned").clear();
    within(SOON, "it is dropped", || shelf.held() == 0).await;
    pair.holds_nothing().await;
}

#[tokio::test]
async fn a_handle_is_lent_to_several_calls_at_once() {
    let pair = Pair::new().await;
    let owned = make(&pair.caller).await;
    let twice = [lent(&owned), lent(&owned)].into_iter().flatten();
    let (one, two, three) = tokio::join!(
        pass(&pair.caller, "use", lent(&owned)),
        pass(&pair.caller, "use", lent(&owned)),
        pass(&pair.caller, "use", twice.collect()),
    );
    for used in [one, two, three] {
        used.expect("it is held");
    }
    let is_back = || pair.shelf.state().lent.is_empty();
    within(SOON, "all loans are over", is_back).await;
    drop(owned);
    within(SOON, "it is dropped", || pair.shelf.held() == 0).await;
    pair.holds_nothing().await;
}
