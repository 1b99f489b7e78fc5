//! The task of one link: takes messages from its queue and passes them to the actor.

use super::{
    SYSTEM,
    aside::Aside,
    router::{Queued, Router},
    subscription::Subscription,
};
use crate::{
    messaging::{
        bindings::wasmcloud::messaging::types::BrokerMessage,
        delivery::{Delivered, deliver, pause},
        kept::Kept,
        spans::{Arrival, Way},
    },
    outgoing::OutgoingLink,
};
use lattice_core::{backoff::Backoff, id::TraceContext};
use lattice_provider_sdk::Refusal;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// The pauses between attempts to set a message aside: the first, and the longest.
const AGAIN: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(2));

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
        kept: Kept::of(&link.problem),
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
    kept: Kept,
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
                let aside = Aside {
                    reason: &reason,
                    deliveries: failures,
                };
                return self.set_aside(message, &aside, trace).await;
            }
            sleep(pause(backoff, failures)).await;
        }
    }

    fn give_up(&self, message: &BrokerMessage, reason: &str, deliveries: u32) {
        let (link, subject) = (self.link.link.key(), &message.subject);
        tracing::warn!(%link, %subject, deliveries, reason, "a message was not handled");
    }

    /// Publishes a message to the subject for those that were not handled, if there is one, until a
    /// link receives it. It takes its room and its place among those in flight until then.
    async fn set_aside(
        &self,
        message: BrokerMessage,
        aside: &Aside<'_>,
        trace: Option<TraceContext>,
    ) {
        let Some(to) = &self.subscription.dead_letter else {
            return;
        };
        let content = self.subscription.dead_letter_content;
        let message = aside.message(message, (to, content));
        let OutgoingLink { link, ending, .. } = &self.link;
        let (mut kept, mut failures) = (self.kept.message(), 0);
        loop {
            let is_last = ending.is_cancelled();
            let reason = match self.router.publish(&message, trace) {
                Ok(0) => "no link receives it; link the messaging provider to an actor".to_owned(),
                Ok(_) => return,
                Err(reason) => reason,
            };
            if is_last {
                let subject = message.reply_to.unwrap_or_default();
                let link = link.key();
                tracing::error!(%link, %subject, reason, "a message was lost: it could not be set aside");
                return;
            }
            kept.failed(format!("a message can't be set aside to `{to}`: {reason}"));
            failures += 1;
            tokio::select! {
                () = ending.cancelled() => {}
                () = sleep(AGAIN.after(failures)) => {}
            }
        }
    }
}
