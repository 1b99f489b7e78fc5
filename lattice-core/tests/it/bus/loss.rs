//! Servers that die, return, freeze, or are replaced by another one.

use super::{
    error_of, goes_round,
    nats::{NatsConfig, NatsServer, free_address},
    subjects, until_state, within,
};
use futures_util::StreamExt;
use lattice_core::{
    bus::{Body, Bus, BusError, BusState},
    nats::NatsOptions,
};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_killed_server_is_noticed_at_once_and_its_return_soon() {
    let mut server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    let mut inbox = bus.subscribe(beat.clone(), 64).await.expect("subscribes");
    for _ in 0..3 {
        server.kill();
        until_state(&connection, BusState::Disconnected).await;
        let error = error_of(bus.publish(beat.clone(), None, "lost".into()).await);
        assert!(matches!(error, BusError::Disconnected), "{error:?}");

        server.restart().await;
        let back = Instant::now();
        until_state(&connection, BusState::Connected).await;
        let took = back.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        bus.publish(beat.clone(), None, "back".into())
            .await
            .expect("publishes");
        let message = within("the message", inbox.next()).await.expect("open");
        assert_eq!(message.body, Body::Payload("back".into()));
    }
}

#[tokio::test]
async fn the_connection_moves_to_another_server() {
    let (mut first, mut second) = (NatsServer::start().await, NatsServer::start().await);
    let connection = NatsOptions::new(first.url())
        .server(second.url())
        .connect()
        .await
        .expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    let mut inbox = bus.subscribe(beat.clone(), 64).await.expect("subscribes");
    for round in 0..4 {
        let mut state = connection.watch_state();
        assert_eq!(state.next().await, Some(BusState::Connected));
        // Only one of the two servers runs at any time. After the first round, kill the one that is
        // in use.
        if round % 2 == 0 {
            first.kill();
            second.restart().await;
        } else {
            second.kill();
            first.restart().await;
        }
        within("the loss", state.next()).await.expect("open");
        until_state(&connection, BusState::Connected).await;
        bus.publish(beat.clone(), None, "over here".into())
            .await
            .expect("publishes");
        let message = within("the message", inbox.next()).await.expect("open");
        assert_eq!(message.body, Body::Payload("over here".into()));
    }
}

/// Servers behind NAT, or in containers, tell their clients addresses that lead nowhere, or to
/// something else.
#[tokio::test]
async fn the_given_servers_are_used_when_the_advertised_ones_are_out_of_reach() {
    // It accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let advertised = silent.local_addr().expect("bound");
    let routes = [free_address(), free_address()];
    let server = |at: usize| {
        let (listen, other) = (&routes[at], &routes[1 - at]);
        NatsConfig::default().text(&format!(
            "server_name: s{at}\nclient_advertise: \"{advertised}\"\n\
             cluster {{ name: c, listen: \"{listen}\", routes: [\"nats://{other}\"] }}"
        ))
    };
    let (mut first, mut second) = (server(0).start().await, server(1).start().await);
    let connection = NatsOptions::new(first.url())
        .server(second.url())
        .connect_timeout(Duration::from_secs(2))
        .connect()
        .await
        .expect("connects");
    for round in 0..4 {
        let mut state = connection.watch_state();
        assert_eq!(state.next().await, Some(BusState::Connected));
        // After the first round, the killed server is the one that is in use.
        if round % 2 == 0 {
            first.kill();
            second.restart().await;
        } else {
            second.kill();
            first.restart().await;
        }
        within("the loss", state.next()).await.expect("open");
        until_state(&connection, BusState::Connected).await;
        goes_round(&connection).await;
    }
}

#[tokio::test]
async fn a_frozen_server_blocks_no_caller() {
    let server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    server.signal("STOP");
    let start = Instant::now();
    let large = bytes::Bytes::from(vec![0; 256 * 1024]);
    // Fills the socket and the client's queue. After that a publish waits until the server is given
    // up.
    let lost = within("the loss", async {
        loop {
            if let Err(error) = bus.publish(beat.clone(), None, large.clone()).await {
                return error;
            }
        }
    })
    .await;
    assert!(matches!(lost, BusError::Disconnected), "{lost:?}");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    for error in [
        error_of(bus.flush().await),
        error_of(bus.subscribe(beat.clone(), 8).await),
    ] {
        assert!(matches!(error, BusError::Disconnected), "{error:?}");
    }
    server.signal("CONT");
    until_state(&connection, BusState::Connected).await;
    goes_round(&connection).await;
}

#[tokio::test]
async fn a_rejected_login_is_retried() {
    let mut server = NatsConfig::default()
        .text("authorization { token: before }")
        .start()
        .await;
    let connection = NatsOptions::new(server.url())
        .token("before")
        .connect()
        .await
        .expect("connects");
    let set_token = |server: &NatsServer, token: &str| {
        let config = format!("authorization {{ token: {token} }}");
        std::fs::write(server.path("nats.conf"), config).expect("writes");
    };
    set_token(&server, "after");
    server.restart().await;
    within("a refusal", async {
        while !server.log().contains("authentication error") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(connection.watch_state().current(), BusState::Disconnected);
    set_token(&server, "before");
    server.restart().await;
    until_state(&connection, BusState::Connected).await;
    goes_round(&connection).await;
}

#[tokio::test]
async fn messages_published_before_a_close_arrive() {
    let server = NatsServer::start().await;
    let options = NatsOptions::new(server.url());
    let reader = options.connect().await.expect("connects");
    let mut inbox = reader
        .bus()
        .subscribe(subjects().beat(), 64)
        .await
        .expect("subscribes");
    let writer = options.connect().await.expect("connects");
    let bus = writer.bus();
    let large = bytes::Bytes::from(vec![7; 1024 * 1024]);
    for _ in 0..32 {
        bus.publish(subjects().beat(), None, large.clone())
            .await
            .expect("publishes");
    }
    within("close", writer.close()).await;
    for _ in 0..32 {
        let message = within("the message", inbox.next()).await.expect("open");
        assert!(message.body == Body::Payload(large.clone()));
    }
}

#[tokio::test]
async fn closing_while_disconnected_ends_everything() {
    let mut server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let bus = connection.bus();
    let mut inbox = bus
        .subscribe(subjects().beat(), 8)
        .await
        .expect("subscribes");
    server.kill();
    until_state(&connection, BusState::Disconnected).await;
    within("close", connection.close()).await;
    assert!(within("the end", inbox.next()).await.is_none());
    let error = error_of(bus.publish(subjects().beat(), None, "late".into()).await);
    assert!(matches!(error, BusError::Closed), "{error:?}");
    server.restart().await;
    assert_eq!(connection.watch_state().current(), BusState::Closed);
}

#[tokio::test]
async fn a_subscription_outlives_its_bus_and_ends_the_connection_with_it() {
    let server = NatsServer::start().await;
    let options = NatsOptions::new(server.url());
    let other = options.connect().await.expect("connects").bus();
    let beat = subjects().beat();
    let mut inbox = {
        let connection = options.connect().await.expect("connects");
        connection.bus().subscribe(beat.clone(), 8).await
    }
    .expect("subscribes");
    other
        .publish(beat.clone(), None, "still there".into())
        .await
        .expect("publishes");
    let message = within("the message", inbox.next()).await.expect("open");
    assert_eq!(message.body, Body::Payload("still there".into()));
    drop(inbox);

    let reply = subjects().serves(&"asker".parse().expect("valid"));
    let mut replies = other.subscribe(reply.clone(), 8).await.expect("subscribes");
    within("no client is connected", async {
        loop {
            other
                .publish(
                    beat.clone(),
                    Some(reply.clone()),
                    "is there a receiver?".into(),
                )
                .await
                .expect("publishes");
            let answer = tokio::time::timeout(Duration::from_millis(50), replies.next()).await;
            if let Ok(Some(message)) = answer {
                assert_eq!(message.body, Body::NoResponders);
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_given_a_bounded_number_of_bytes() {
    let server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url()).connect().await;
    let connection = connection.expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    server.signal("STOP");
    let mut taken = 0;
    loop {
        let mebibyte = vec![7; 1 << 20].into();
        let publish = bus.publish(beat.clone(), None, mebibyte);
        let patience = Duration::from_millis(300);
        match tokio::time::timeout(patience, publish).await {
            Ok(published) => published.expect("connected"),
            Err(_) => break,
        }
        taken += 1;
        assert!(taken < 128, "64 in the client, and some in the sockets");
    }
    server.signal("CONT");
    for _ in taken..128 {
        let publish = bus.publish(beat.clone(), None, vec![7; 1 << 20].into());
        within("there is room again", publish)
            .await
            .expect("publishes");
    }
    within("all are sent", bus.flush()).await.expect("flushes");
}
