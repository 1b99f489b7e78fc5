//! The task of a link without a stream.

use super::{Connection, SYSTEM, Subscription, dead_letter, headers, message};
use crate::{
    messaging::{
        delivery::{Delivered, deliver},
        spans::{Arrival, Way},
    },
    outgoing::OutgoingLink,
};
use async_nats::{Message, Subscriber};
use futures_util::{StreamExt as _, stream::SelectAll};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// The pause before subscribing again after the connection was closed.
const AGAIN: Duration = Duration::from_secs(1);

/// How long what the server has sent before the link ended may take to arrive.
const REST: Duration = Duration::from_secs(2);

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
    fn group(&self) -> &str {
        self.subscription.queue_group.as_ref().unwrap_or(&self.name)
    }

    async fn subscribe(&self) -> Result<SelectAll<Subscriber>, String> {
        let client = self.connection.client();
        let group = self.group();
        let mut messages = SelectAll::new();
        for subject in self.subscription.subjects.texts() {
            let subscribed = client.queue_subscribe(subject, group.to_owned()).await;
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
            handled.spawn(self.clone().handle(received));
        }
    }

    /// Handles what the server has sent to this replica, and to no other one.
    async fn receive_rest(
        self: &Arc<Self>,
        mut messages: SelectAll<Subscriber>,
        handled: &mut JoinSet<()>,
    ) {
        let mut rest = Vec::new();
        let mut reason = None;
        let arrived = timeout(REST, async {
            // The server sends no more of them here once it knows that. The client then reads what
            // is there, and ends the streams: what arrives even later is lost. So what is taken
            // here is as much as waits in this process at most.
            for subscriber in &mut messages {
                if let Err(error) = subscriber.drain().await {
                    reason = Some(super::failed(error));
                }
            }
            while let Some(received) = messages.next().await {
                rest.push(received);
            }
        })
        .await;
        // However that ended, the server sends them to other replicas from here on.
        drop(messages);
        if arrived.is_err() {
            reason = Some(format!("the NATS server took longer than {REST:?}"));
        }
        if let Some(reason) = reason {
            let link = self.link.link.key();
            tracing::warn!(%link, reason, "messages that were on their way to a link that has ended \
                may be lost");
        }
        for received in rest {
            if handled.len() >= self.subscription.max_in_flight {
                handled.join_next().await;
            }
            handled.spawn(self.clone().handle(received));
        }
    }

    async fn handle(self: Arc<Self>, received: Message) {
        let trace = headers::trace_of(received.headers.as_ref());
        let message = message(received);
        let arrival = Arrival {
            way: Way {
                receiver: Some(self.group()),
                ..Way::through(SYSTEM)
            },
            subjects: &self.subscription.subjects,
            trace,
        };
        let within = self.subscription.timeout;
        let reason = match deliver(&self.link, &message, &arrival, within).await {
            Delivered::Handled => return,
            Delivered::Failed(reason) => reason,
            Delivered::NotTaken => "the link has ended".to_owned(),
        };
        let (link, subject) = (self.link.link.key(), &message.subject);
        tracing::warn!(%link, %subject, reason, "a message was not handled");
        let Some(to) = &self.subscription.dead_letter else {
            return;
        };
        let headers = dead_letter::headers(&reason, subject, trace);
        let client = self.connection.client();
        let set_aside = client.publish_with_headers(to.clone(), headers, message.body);
        if let Err(error) = set_aside.await {
            tracing::error!(%link, %error, "a message was lost: it could not be set aside");
        }
    }
}
