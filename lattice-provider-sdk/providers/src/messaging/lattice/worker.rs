//! The task of one link: takes messages from its queue and passes them to the actor.

use super::{
    SYSTEM,
    router::{Queued, Router},
    subscription::Subscription,
};
use crate::{
    messaging::{
        bindings::wasmcloud::messaging::types::BrokerMessage,
        delivery::{Delivered, deliver, pause},
        spans::{Arrival, Way},
    },
    outgoing::OutgoingLink,
};
use lattice_core::id::TraceContext;
use lattice_provider_sdk::Refusal;
use std::sync::Arc;
use tokio::{task::JoinSet, time::sleep};

/// Runs until the link ends, and then until its queue is empty.
pub(super) async fn run(
    router: Arc<Router>,
    link: OutgoingLink,
    subscription: Subscription,
) -> Result<(), Refusal> {
    subscription.check()?;
    let most = subscription.max_in_flight;
    let (subscribed, mut queue) = router.subscribe(link.link.key(), &subscription);
    let worker = Arc::new(Worker {
        router,
        link,
        subscription,
    });
    let mut subscribed = Some(subscribed);
    let mut handled = JoinSet::new();
    loop {
        let message = tokio::select! {
            biased;
            () = worker.link.ending.cancelled(), if subscribed.is_some() => {
                // What waits is still handled.
                subscribed = None;
                queue.close();
                continue;
            }
            Some(_) = handled.join_next() => continue,
            message = queue.recv(), if handled.len() < most => message,
        };
        let Some(message) = message else { break };
        handled.spawn(worker.clone().handle(message));
    }
    while handled.join_next().await.is_some() {}
    Ok(())
}

struct Worker {
    router: Arc<Router>,
    link: OutgoingLink,
    subscription: Subscription,
}

impl Worker {
    /// Delivers a message until it is handled, or as often as allowed.
    async fn handle(self: Arc<Self>, queued: Queued) {
        let Queued {
            message,
            trace,
            room: _room,
        } = queued;
        let Subscription {
            timeout,
            max_deliver,
            backoff,
            ..
        } = self.subscription;
        let arrival = Arrival {
            way: Way::through(SYSTEM),
            subjects: &self.subscription.subjects,
            trace,
        };
        let mut failures = 0;
        loop {
            let reason = match deliver(&self.link, &message, &arrival, timeout).await {
                Delivered::Handled => return,
                Delivered::NotTaken => {
                    return self.give_up(&message, "the link has ended", failures);
                }
                Delivered::Failed(reason) => reason,
            };
            failures += 1;
            if failures >= max_deliver {
                self.give_up(&message, &reason, failures);
                return self.set_aside(message, trace);
            }
            sleep(pause(backoff, failures)).await;
        }
    }

    fn give_up(&self, message: &BrokerMessage, reason: &str, deliveries: u32) {
        let (link, subject) = (self.link.link.key(), &message.subject);
        tracing::warn!(%link, %subject, deliveries, reason, "a message was not handled");
    }

    /// Publishes a message to the subject for those that were not handled, if there is one.
    fn set_aside(&self, message: BrokerMessage, trace: Option<TraceContext>) {
        let Some(subject) = self.subscription.dead_letter.clone() else {
            return;
        };
        let message = BrokerMessage { subject, ..message };
        let set_aside = self.router.publish(&message, trace);
        let failed = match set_aside {
            Ok(0) => "no link receives this subject".to_owned(),
            Ok(_) => return,
            Err(reason) => reason,
        };
        let (link, subject) = (self.link.link.key(), &message.subject);
        tracing::error!(%link, %subject, reason = failed, "a message was lost: it could not be set aside");
    }
}
