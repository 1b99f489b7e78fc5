//! The baseline of calls over NATS: a client and a responder of `async-nats` alone.

use crate::Failure;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt;

/// A request whose first byte is this is not answered.
pub const UNANSWERED: u8 = 0xff;

/// A connection whose subscriptions have room for all that is in flight.
///
/// # Errors
/// The server is not there.
pub async fn connect(url: &str) -> Result<Client, Failure> {
    Ok(async_nats::ConnectOptions::new()
        .subscription_capacity(1 << 16)
        .connect(url)
        .await?)
}

/// Answers requests with what they hold: no task per message, no flush.
#[derive(Debug)]
pub struct Responder {
    client: Client,
    requests: Subscriber,
}

impl Responder {
    /// Subscribes, as one of a queue group when there is one. When this returns, requests can come.
    ///
    /// # Errors
    /// The server is not there.
    pub async fn start(url: &str, subject: &str, group: Option<&str>) -> Result<Self, Failure> {
        let client = connect(url).await?;
        let subject = subject.to_owned();
        let requests = match group {
            None => client.subscribe(subject).await?,
            Some(group) => client.queue_subscribe(subject, group.to_owned()).await?,
        };
        client.flush().await?;
        Ok(Self { client, requests })
    }

    /// Until the connection is closed.
    ///
    /// # Errors
    /// An answer can't be sent.
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
