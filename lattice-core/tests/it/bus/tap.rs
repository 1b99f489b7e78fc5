//! The inline delivery under load: no message is lost, out of order, or left behind.

use super::{nats::NatsServer, subjects, within};
use futures_util::StreamExt;
use lattice_core::{
    bus::{Body, Bus, Message},
    nats::NatsOptions,
};

fn number(message: &Message) -> u64 {
    match &message.body {
        Body::Payload(bytes) => u64::from_le_bytes(bytes[..8].try_into().expect("a number")),
        other @ Body::NoResponders => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_arrives_completely_and_in_order() {
    const MESSAGES: u64 = 100_000;
    let server = NatsServer::start().await;
    let options = NatsOptions::new(server.url());
    let (from, to) = (
        options.connect().await.expect("connects").bus(),
        options.connect().await.expect("connects").bus(),
    );
    let beat = subjects().beat();
    let mut inbox = to
        .subscribe(beat.clone(), MESSAGES as usize)
        .await
        .expect("subscribes");
    let publisher = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let payload = number.to_le_bytes().to_vec().into();
            from.publish(beat.clone(), None, payload)
                .await
                .expect("publishes");
        }
        from
    });
    for due in 0..MESSAGES {
        let message = within("the next message", inbox.next())
            .await
            .expect("open");
        assert_eq!(number(&message), due);
    }
    assert_eq!(inbox.dropped(), 0);
    publisher.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_and_read_messages_add_up_to_all_messages() {
    const MESSAGES: u64 = 50_000;
    let server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    let mut slow = bus.subscribe(beat.clone(), 16).await.expect("subscribes");
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            for number in 0..MESSAGES {
                let payload = number.to_le_bytes().to_vec().into();
                bus.publish(beat.clone(), None, payload)
                    .await
                    .expect("publishes");
            }
            bus.flush().await.expect("flushes");
        }
    });
    let (mut read, mut last) = (0, None);
    while read + slow.dropped() < MESSAGES {
        tokio::select! {
            message = within("a message or a drop", slow.next()) => {
                let number = number(&message.expect("open"));
                assert!(Some(number) > last, "{number} came after {last:?}");
                last = Some(number);
                read += 1;
            }
            // The last messages may have been dropped, so check again.
            () = tokio::time::sleep(std::time::Duration::from_millis(1)) => {}
        }
    }
    publisher.await.expect("no panic");
    assert_eq!(read + slow.dropped(), MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscribing_and_unsubscribing_works_under_load() {
    let server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    let flood = tokio::spawn({
        let (bus, beat) = (bus.clone(), beat.clone());
        async move {
            loop {
                bus.publish(beat.clone(), None, "x".into())
                    .await
                    .expect("publishes");
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..200 {
        let mut inbox = bus.subscribe(beat.clone(), 4).await.expect("subscribes");
        within("a message", inbox.next()).await.expect("open");
    }
    flood.abort();
    assert!(flood.await.is_err_and(|error| error.is_cancelled()));
}
