//! A client that sends hostile protocol lines. It may cost a connection, which is restored, but
//! never more.

use super::{nats::NatsServer, subjects, within};
use futures_util::StreamExt;
use lattice_core::{
    bus::{Body, Bus, Subscription},
    name::HostId,
    nats::NatsOptions,
    subject::Subject,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends raw protocol, and waits until the server has seen it.
async fn send_raw(server: &NatsServer, protocol: &[u8]) {
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("connects");
    let hello = b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
    stream.write_all(hello).await.expect("writes");
    stream.write_all(protocol).await.expect("writes");
    stream.write_all(b"PING\r\n").await.expect("writes");
    let mut received = Vec::new();
    within("the server's response", async {
        // It may also close the connection.
        while !received.ends_with(b"PONG\r\n") {
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                break;
            }
        }
    })
    .await;
}

fn header_message(subject: &str, headers: &[u8]) -> Vec<u8> {
    let mut message = format!("HPUB {subject} {0} {0}\r\n", headers.len()).into_bytes();
    message.extend_from_slice(headers);
    message.extend_from_slice(b"\r\n");
    message
}

/// Publishes until a message arrives, since the connection may still be reconnecting.
async fn until_received(bus: &dyn Bus, to: &Subject, inbox: &mut Subscription) {
    within("a healthy message", async {
        loop {
            // This loop waits until the bus is connected.
            let _ = bus.publish(to.clone(), None, "healthy".into()).await;
            let next = tokio::time::timeout(Duration::from_millis(20), inbox.next()).await;
            if let Ok(message) = next {
                let message = message.expect("the subscription stays");
                if message.body == Body::Payload("healthy".into()) {
                    return;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_survives_malformed_protocol_lines() {
    let server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let bus = connection.bus();
    let host = HostId::new("h1").expect("valid");
    let reply = subjects().reply(&host, 1, 7, 7);
    let mut inbox = bus
        .subscribe(subjects().replies(&host, 1), 4096)
        .await
        .expect("subscribes");
    let prefix = reply.as_str().strip_suffix('7').expect("a token");
    let mut attacks: Vec<Vec<u8>> = Vec::new();
    for token in [
        &b"\xff\xfe"[..],
        b"\x00",
        b"*",
        b">",
        b"..",
        b"\xc3\x28",
        b"\xf0\x9f\x92\xa5",
    ] {
        let mut message = format!("PUB {prefix}").into_bytes();
        message.extend_from_slice(token);
        message.extend_from_slice(b" 1\r\nx\r\n");
        attacks.push(message);
        let mut message = format!("PUB {reply} ").into_bytes();
        message.extend_from_slice(token);
        message.extend_from_slice(b" 1\r\nx\r\n");
        attacks.push(message);
    }
    for headers in [
        &b"\r\n\r\n"[..],
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0 99999999999999999999\r\n\r\n",
        b"NATS/1.0 0\r\n\r\n",
        b"NATS/1.0 -1\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"NATS/1.0\r\n\xff\xff: \xff\r\n\r\n",
        b"NATS/1.0\r\n: empty\r\n\r\n",
        b"NATS/1.0\r\na: b\r\n c\r\n\td\r\n\r\n",
        b"NATS/1.0\r\n",
        b"\x00",
    ] {
        attacks.push(header_message(reply.as_str(), headers));
    }
    attacks.push(format!("PUB {prefix}{} 1\r\nx\r\n", "a".repeat(4000)).into_bytes());
    for attack in attacks {
        send_raw(&server, &attack).await;
        until_received(&bus, &reply, &mut inbox).await;
    }
}

#[tokio::test]
async fn a_forged_status_message_stays_within_the_contract() {
    let server = NatsServer::start().await;
    let connection = NatsOptions::new(server.url())
        .connect()
        .await
        .expect("connects");
    let (bus, beat) = (connection.bus(), subjects().beat());
    let mut inbox = bus.subscribe(beat.clone(), 8).await.expect("subscribes");
    send_raw(
        &server,
        &header_message(beat.as_str(), b"NATS/1.0 503\r\n\r\n"),
    )
    .await;
    send_raw(
        &server,
        &header_message(beat.as_str(), b"NATS/1.0 404\r\n\r\n"),
    )
    .await;
    let forged = within("the forged message", inbox.next())
        .await
        .expect("open");
    assert_eq!(forged.body, Body::NoResponders);
    let other = within("the other message", inbox.next())
        .await
        .expect("open");
    assert_eq!(other.body, Body::Payload(bytes::Bytes::new()));
}
