//! Losing the bus, its return, and closing a connection.

use super::*;

/// The upper limit of "at once": far less than any timeout of a server.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn at_once<T>(what: &str, work: impl Future<Output = Result<T, BusError>>) -> BusError {
    let Ok(result) = tokio::time::timeout(AT_ONCE, work).await else {
        panic!("{what} took more than {AT_ONCE:?} without a bus")
    };
    match result {
        Err(error) => error,
        Ok(_) => panic!("{what} worked without a bus"),
    }
}

pub(super) async fn without_a_bus_every_call_returns_an_error(test: &TestBus) {
    test.control.disconnect().await;
    until_state(test, BusState::Disconnected).await;
    let to = subject("lost");
    let errors = [
        at_once("publish", test.one.publish(to.clone(), None, Bytes::new())).await,
        at_once("subscribe", test.one.subscribe(to.clone(), ROOM)).await,
        at_once("queue_subscribe", test.one.queue_subscribe(to, "g", ROOM)).await,
        at_once("flush", test.one.flush()).await,
    ];
    for error in errors {
        assert!(matches!(error, BusError::Disconnected), "{error:?}");
    }
    test.control.reconnect().await;
    until_state(test, BusState::Connected).await;
}

pub(super) async fn messages_are_not_kept_during_an_outage(test: &TestBus) {
    let to = subject("kept");
    let mut inbox = subscribe(&test.two, &to).await;
    test.control.disconnect().await;
    until_state(test, BusState::Disconnected).await;
    for _ in 0..10 {
        let sent = test.one.publish(to.clone(), None, "while away".into());
        at_once("publish", sent).await;
    }
    test.control.reconnect().await;
    until_state(test, BusState::Connected).await;
    publish(&test.one, &to, "back").await;
    expect(&mut inbox, "back").await;
}

pub(super) async fn subscriptions_resume(test: &TestBus) {
    let (to, shared) = (subject("resume.to"), subject("resume.shared"));
    let mut inbox = ok("subscribe", test.two.subscribe(subject("resume.*"), 64)).await;
    let mut member = join(&test.two, &shared, "g").await;
    publish(&test.one, &to, "before").await;
    expect(&mut inbox, "before").await;
    publish(&test.one, &shared, "unread").await;
    expect(&mut member, "unread").await;
    // The inbox also has the unread message, once its connection has received from the server
    // again.
    flush(&test.two).await;
    for round in 0..2 {
        test.control.disconnect().await;
        until_state(test, BusState::Disconnected).await;
        expect_unread(&mut inbox, round).await;
        test.control.reconnect().await;
        until_state(test, BusState::Connected).await;
        publish(&test.one, &shared, "after").await;
        expect(&mut member, "after").await;
    }
    expect(&mut inbox, "after").await;
    assert_eq!(inbox.dropped(), 0);
}

/// Expects the message that was unread before the loss.
async fn expect_unread(inbox: &mut Subscription, round: usize) {
    expect(inbox, if round == 0 { "unread" } else { "after" }).await;
}

pub(super) async fn a_loss_is_reported(test: &TestBus) {
    let mut states = [test.one.watch_state(), test.two.watch_state()];
    for state in &mut states {
        assert_eq!(state.next().await, Some(BusState::Connected));
    }
    test.control.disconnect().await;
    test.control.reconnect().await;
    for state in &mut states {
        let changed = within("a notification of the loss", state.next());
        assert!(changed.await.is_some(), "the state's watch ended");
    }
    until_state(test, BusState::Connected).await;
}

pub(super) async fn a_closed_bus_stays_closed(test: &TestBus) {
    let to = subject("closed");
    let mut inbox = subscribe(&test.one, &to).await;
    test.control.close_one().await;
    reaches(&test.one, BusState::Closed).await;
    let ended = within("the end of the subscription", inbox.next()).await;
    assert!(ended.is_none(), "{ended:?}");
    let errors = [
        at_once("publish", test.one.publish(to.clone(), None, Bytes::new())).await,
        at_once("subscribe", test.one.subscribe(to.clone(), ROOM)).await,
        at_once("flush", test.one.flush()).await,
    ];
    for error in errors {
        assert!(matches!(error, BusError::Closed), "{error:?}");
    }
    let mut other = subscribe(&test.two, &to).await;
    publish(&test.two, &to, "the other continues").await;
    expect(&mut other, "the other continues").await;
}
