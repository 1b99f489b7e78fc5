//! The task of a link without a stream.

use super::{Connection, Subscription, dead_letter, message};
use crate::{
    messaging::{
        bindings::wasmcloud::messaging::types::BrokerMessage,
        delivery::{Delivered, deliver},
    },
    outgoing::OutgoingLink,
};
use async_nats::Subscriber;
use futures_util::{FutureExt as _, StreamExt as _, stream::SelectAll};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::{JoinSet, unconstrained},
    time::sleep,
};

/// The pause before subscribing again after the connection was closed.
const AGAIN: Duration = Duration::from_secs(1);

/// Most messages that have arrived and are handled after the link has ended: as many as the client
/// keeps for one subject.
const REST: usize = 4_096;

/// Runs until the link ends, and then until the messages are handled that have arrived.
pub(super) async fn run(
    connection: Arc<Connection>,
    name: String,
    link: OutgoingLink,
    subscription: Subscription,
) {
    let worker = Arc::new(Worker {
        connection,
        name,
        link,
        subscription,
    });
    let mut handled = JoinSet::new();
    while !worker.link.ending.is_cancelled() {
        match worker.subscribe().await {
            Ok(messages) => {
                worker.link.problem.clear();
                worker.receive(messages, &mut handled).await;
            }
            Err(reason) => worker.link.problem.set(reason),
        }
        tokio::select! {
            () = worker.link.ending.cancelled() => {}
            () = sleep(AGAIN) => {}
        }
    }
    while handled.join_next().await.is_some() {}
}

struct Worker {
    connection: Arc<Connection>,
    name: String,
    link: OutgoingLink,
    subscription: Subscription,
}

impl Worker {
    async fn subscribe(&self) -> Result<SelectAll<Subscriber>, String> {
        let client = self.connection.client();
        let group = self.subscription.queue_group.as_ref().unwrap_or(&self.name);
        let mut messages = SelectAll::new();
        for subject in self.subscription.subjects.texts() {
            let subscribed = client.queue_subscribe(subject, group.clone()).await;
            messages.push(subscribed.map_err(super::failed)?);
        }
        Ok(messages)
    }

    /// Handles messages until the link ends, or until the connection is closed.
    async fn receive(
        self: &Arc<Self>,
        mut messages: SelectAll<Subscriber>,
        handled: &mut JoinSet<()>,
    ) {
        let most = self.subscription.max_in_flight;
        loop {
            let received = tokio::select! {
                biased;
                () = self.link.ending.cancelled() => {
                    return self.receive_rest(messages, handled).await;
                }
                Some(_) = handled.join_next() => continue,
                received = messages.next(), if handled.len() < most => received,
            };
            let Some(received) = received else { return };
            handled.spawn(self.clone().handle(message(received)));
        }
    }

    /// Handles what the server has sent to this replica, and to no other one.
    async fn receive_rest(
        self: &Arc<Self>,
        mut messages: SelectAll<Subscriber>,
        handled: &mut JoinSet<()>,
    ) {
        let mut rest = Vec::new();
        while rest.len() < REST
            // The runtime's limit on what a task does at once would look like an empty queue.
            && let Some(Some(received)) = unconstrained(messages.next()).now_or_never()
        {
            rest.push(received);
        }
        // From here on, the server sends them to other replicas.
        drop(messages);
        for received in rest {
            if handled.len() >= self.subscription.max_in_flight {
                handled.join_next().await;
            }
            handled.spawn(self.clone().handle(message(received)));
        }
    }

    async fn handle(self: Arc<Self>, message: BrokerMessage) {
        let reason = match deliver(&self.link, &message, self.subscription.timeout).await {
            Delivered::Handled => return,
            Delivered::Failed(reason) => reason,
            Delivered::NotTaken => "the link has ended".to_owned(),
        };
        let (link, subject) = (self.link.link.key(), &message.subject);
        tracing::warn!(%link, %subject, reason, "a message was not handled");
        let Some(to) = &self.subscription.dead_letter else {
            return;
        };
        let headers = dead_letter::headers(&reason, subject);
        let client = self.connection.client();
        let set_aside = client.publish_with_headers(to.clone(), headers, message.body);
        if let Err(error) = set_aside.await {
            tracing::error!(%link, %error, "a message was lost: it could not be set aside");
        }
    }
}
