//! The baseline for calls over NATS: a client and a responder that use only `async-nats`.

use crate::Failure;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt;

/// A request whose first byte is this gets no reply.
pub const UNANSWERED: u8 = 0xff;

/// Connects to the server. Subscriptions have room for everything in flight.
///
/// # Errors
/// Fails when the server can't be reached.
pub async fn connect(url: &str) -> Result<Client, Failure> {
    Ok(async_nats::ConnectOptions::new()
        .subscription_capacity(1 << 16)
        .connect(url)
        .await?)
}

/// Replies to each request with its own payload, without a task per message and without flushing.
#[derive(Debug)]
pub struct Responder {
    client: Client,
    requests: Subscriber,
}

impl Responder {
    /// Subscribes, as a member of `group` if one is given. When this returns, requests are
    /// received.
    ///
    /// # Errors
    /// Fails when the server can't be reached.
    pub async fn start(url: &str, subject: &str, group: Option<&str>) -> Result<Self, Failure> {
        Self::on(&connect(url).await?, subject, group).await
    }

    /// As [`start`](Self::start), on an existing connection.
    ///
    /// # Errors
    /// Fails when the connection is closed.
    pub async fn on(client: &Client, subject: &str, group: Option<&str>) -> Result<Self, Failure> {
        let subject = subject.to_owned();
        let requests = match group {
            None => client.subscribe(subject).await?,
            Some(group) => client.queue_subscribe(subject, group.to_owned()).await?,
        };
        client.flush().await?;
        let client = client.clone();
        Ok(Self { client, requests })
    }

    /// Responds until the connection is closed.
    ///
    /// # Errors
    /// Fails when a reply can't be sent.
    pub async fn respond(mut self) -> Result<(), Failure> {
        while let Some(request) = self.requests.next().await {
            if request.payload.first() == Some(&UNANSWERED) {
                continue;
            }
            if let Some(reply) = request.reply {
                self.client.publish(reply, request.payload).await?;
            }
        }
        Ok(())
    }
}
