//! The baseline for streams over NATS: one client publishes messages of 64 KiB as fast as another
//! one receives them, with `async-nats` alone.
//!
//! A server drops what a subscriber doesn't take in time, and bare NATS has no flow control. So the
//! subscriber replies to every 32nd message, and the publisher is at most four such replies ahead:
//! 8 MiB, which keeps all three processes busy.

use crate::{Failure, program::START};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

/// Bytes of one message.
pub const MESSAGE: usize = 64 << 10;
/// One message in so many gets a reply.
const MARK: u64 = 32;
/// Replies that the publisher doesn't wait for.
const AHEAD: u64 = 4;

/// Publishes to a [`Drain`].
#[derive(Debug)]
pub struct Publisher {
    client: Client,
    subject: &'static str,
    inbox: String,
    marks: Subscriber,
    sent: u64,
}

impl Publisher {
    /// Creates a publisher for the drain of this subject.
    ///
    /// # Errors
    /// Fails when the connection is closed.
    pub async fn new(client: &Client, subject: &'static str) -> Result<Self, Failure> {
        let inbox = client.new_inbox();
        let marks = client.subscribe(inbox.clone()).await?;
        client.publish(subject, Bytes::new()).await?;
        client.flush().await?;
        Ok(Self {
            client: client.clone(),
            subject,
            inbox,
            marks,
            sent: 0,
        })
    }

    /// Publishes this many bytes, rounded up to whole rounds of messages, and waits until all of
    /// them are received. Returns how many it were.
    ///
    /// # Errors
    /// Fails when the connection is closed or the server has dropped a message.
    pub async fn publish(&mut self, bytes: u64) -> Result<u64, Failure> {
        let payload = Bytes::from(vec![7; MESSAGE]);
        let rounds = bytes.div_ceil(MESSAGE as u64 * MARK);
        let mut waiting = 0;
        for _ in 0..rounds {
            for _ in 1..MARK {
                self.client.publish(self.subject, payload.clone()).await?;
            }
            let (subject, inbox) = (self.subject, self.inbox.clone());
            let last = self
                .client
                .publish_with_reply(subject, inbox, payload.clone());
            last.await?;
            self.sent += MARK;
            waiting += 1;
            if waiting > AHEAD {
                self.received().await?;
                waiting -= 1;
            }
        }
        let mut received = self.sent;
        for _ in 0..waiting {
            received = self.received().await?;
        }
        if received == self.sent {
            Ok(rounds * MARK * MESSAGE as u64)
        } else {
            Err(format!("{received} messages of {} were received", self.sent).into())
        }
    }

    /// Waits for a reply, and returns how many messages had been received by then.
    async fn received(&mut self) -> Result<u64, Failure> {
        let mark = timeout(START, self.marks.next()).await?;
        let mark = mark.ok_or("the connection to the nats-server is closed")?;
        Ok(std::str::from_utf8(&mark.payload)?.parse()?)
    }
}

/// Receives messages and counts them. An empty message starts the count again.
#[derive(Debug)]
pub struct Drain {
    client: Client,
    messages: Subscriber,
}

impl Drain {
    /// Subscribes. When this returns, messages are received.
    ///
    /// # Errors
    /// Fails when the connection is closed.
    pub async fn start(client: &Client, subject: &'static str) -> Result<Self, Failure> {
        let messages = client.subscribe(subject).await?;
        client.flush().await?;
        Ok(Self {
            client: client.clone(),
            messages,
        })
    }

    /// Receives until the connection is closed.
    ///
    /// # Errors
    /// Fails when a reply can't be sent.
    pub async fn receive(mut self) -> Result<(), Failure> {
        let mut received = 0_u64;
        while let Some(message) = self.messages.next().await {
            received = if message.payload.is_empty() {
                0
            } else {
                received + 1
            };
            if let Some(reply) = message.reply {
                let count = received.to_string();
                self.client.publish(reply, count.into()).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bare, server::Server};
    use std::time::Duration;
    use tokio_util::task::AbortOnDropHandle;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_messages_are_received_also_after_a_publisher_was_dropped() {
        const SUBJECT: &str = "bulk";
        let server = Server::start().await.expect("a server");
        let connect = || bare::connect(&server.url);
        let receiving = connect().await.expect("a connection");
        let drain = Drain::start(&receiving, SUBJECT).await.expect("subscribed");
        let _drain = AbortOnDropHandle::new(tokio::spawn(drain.receive()));
        let client = connect().await.expect("a connection");
        let mut dropped = Publisher::new(&client, SUBJECT).await.expect("created");
        let cut = timeout(Duration::from_millis(20), dropped.publish(1 << 40)).await;
        assert!(cut.is_err(), "it takes far longer");
        drop(dropped);
        let mut publisher = Publisher::new(&client, SUBJECT).await.expect("created");
        for _ in 0..3 {
            let published = publisher.publish(10 << 20).await.expect("received");
            assert_eq!(published, 10 << 20);
        }
    }
}
