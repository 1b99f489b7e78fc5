//! Those who read the replica: waits and their bounds, changes, the last handle.

use super::*;
use crate::link::LinkChange;
use futures_util::FutureExt as _;

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_revision_arrives_or_at_its_deadline() {
    let script = Script::new();
    let replica = script.follow(1, vec![]).await;
    let start = Instant::now();
    let hour = start + Duration::from_hours(1);
    assert_eq!(replica.wait_for(BORN, Revision(1), start).await, Ok(()));
    assert_eq!(
        replica.wait_for(Incarnation(6), Revision(99), start).await,
        Ok(())
    );
    assert_eq!(start.elapsed(), Duration::ZERO);

    let not_yet = Err(Behind::NotYet {
        seen: Revision(1),
        wanted: Revision(2),
    });
    assert_eq!(replica.wait_for(BORN, Revision(2), hour).await, not_yet);
    assert_eq!(start.elapsed().as_millis(), MAX_WAIT.as_millis());
    let soon = Instant::now() + Duration::from_millis(30);
    assert_eq!(replica.wait_for(BORN, Revision(2), soon).await, not_yet);
    assert_eq!(start.elapsed().as_millis(), MAX_WAIT.as_millis() + 30);
    let other = Err(Behind::OtherIncarnation);
    assert_eq!(
        replica.wait_for(Incarnation(8), Revision(1), soon).await,
        other
    );

    let wait = replica.wait_for(BORN, Revision(2), hour);
    let come = async { script.delete(&link("a", "x"), 2) };
    assert_eq!(tokio::join!(wait, come).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded_and_dropped_waiters_free_their_slots() {
    let script = Script::new();
    let replica = script.follow(1, vec![]).await;
    let hour = Instant::now() + Duration::from_hours(1);
    let mut waiting: Vec<_> = (0..MAX_WAITERS)
        .map(|_| Box::pin(replica.wait_for(BORN, Revision(2), hour)))
        .collect();
    for wait in &mut waiting {
        assert!(wait.now_or_never().is_none());
    }
    let one_more = replica.wait_for(BORN, Revision(2), hour).await;
    assert_eq!(one_more, Err(Behind::TooManyWaiters));
    assert_eq!(
        replica.wait_for(BORN, Revision(1), hour).await,
        Ok(()),
        "there is nothing to wait for"
    );
    waiting.pop();
    let wait = replica.wait_for(BORN, Revision(2), hour);
    let come = async { script.delete(&link("a", "x"), 2) };
    assert_eq!(tokio::join!(wait, come).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_closed_store_keeps_known_links_and_ends_waits_and_changes() {
    let script = Script::new();
    let a = link("a", "x");
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let mut changes = replica.changes();
    let wait = replica.wait_for(
        BORN,
        Revision(2),
        Instant::now() + Duration::from_millis(900),
    );
    let start = Instant::now();
    let close = async { drop(script) };
    assert_eq!(tokio::join!(wait, close).0, Err(Behind::Closed));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(grants(&replica, &a));
    assert!(matches!(changes.next().await, Some(LinkChange::Added(_))));
    assert_eq!(changes.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_returns_an_error_and_dropping_the_last_handle_ends_the_task() {
    let script = Script::new();
    let start = Instant::now();
    let error = Replica::follow(script.records.clone())
        .await
        .expect_err("silent");
    assert!(matches!(error, FollowError::NoSnapshot), "{error}");
    assert_eq!(start.elapsed().as_millis(), FIRST_SNAPSHOT.as_millis());

    let script = Script::new();
    let replica = script.follow(1, vec![]).await;
    let clone = replica.clone();
    drop(replica);
    assert!(!script.events.is_closed());
    drop(clone);
    let gone = tokio::time::timeout(Duration::from_secs(5), script.events.closed());
    gone.await
        .expect("the task has ended, and so has its watch");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_changes_receives_the_last_state_of_each_link() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    let mut changes = replica.changes();
    assert!(matches!(changes.next().await, Some(LinkChange::Added(entry)) if *entry.link == a));
    for n in 1..1_000 {
        script.send(WatchEvent::Put(script.entry(
            &link("a", &format!("t{n}")),
            n * 2,
            n,
        )));
        script.send(WatchEvent::Put(script.entry(&b, n * 2 + 1, n)));
    }
    script.delete(&b, 2_000);
    seen(&replica, 2_000).await;
    // The states of b in between are skipped: it is absent, as before.
    let change = changes.next().await.expect("a change");
    let LinkChange::Changed { before, after } = change else {
        panic!("{change:?}")
    };
    assert_eq!(
        (before.link.target.as_str(), after.link.target.as_str()),
        ("x", "t999")
    );
    assert!(changes.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_right_before_the_close_of_a_store_is_delivered() {
    let script = Script::new();
    let (a, b) = (link("a", "x"), link("b", "x"));
    let replica = script.follow(1, vec![script.entry(&a, 1, 0)]).await;
    script.send(WatchEvent::Put(script.entry(&b, 2, 0)));
    drop(script);
    until(&replica, |health| health.state == ReplicaState::Closed).await;
    assert!(grants(&replica, &a) && grants(&replica, &b));
}
