//! Which links a message goes to, and their queues.

use super::Subscription;
use crate::messaging::{Patterns, bindings::wasmcloud::messaging::types::BrokerMessage};
use lattice_core::link::LinkKey;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;

/// The subscriptions, as one replica of the provider has them.
#[derive(Debug, Default)]
pub(super) struct Router(RwLock<Vec<Arc<Subscriber>>>);

/// One subscription.
#[derive(Debug)]
struct Subscriber {
    link: LinkKey,
    subjects: Patterns,
    queue: mpsc::Sender<BrokerMessage>,
}

/// A subscription that gets messages until this is dropped.
#[derive(Debug)]
pub(super) struct Subscribed {
    router: Arc<Router>,
    subscriber: Arc<Subscriber>,
}

impl Router {
    /// Adds a subscription. Returns its queue, too.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        link: LinkKey,
        subscription: &Subscription,
    ) -> (Subscribed, mpsc::Receiver<BrokerMessage>) {
        let (queue, messages) = mpsc::channel(subscription.queue);
        let subscriber = Arc::new(Subscriber {
            link,
            subjects: subscription.subjects.clone(),
            queue,
        });
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.push(subscriber.clone());
        drop(all);
        let subscribed = Subscribed {
            router: self.clone(),
            subscriber,
        };
        (subscribed, messages)
    }

    /// Puts a message into the queues of all links whose subjects match, and returns how many there
    /// are. Either all of them get it, or none.
    pub(super) fn publish(&self, message: &BrokerMessage) -> Result<usize, String> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let matching = all
            .iter()
            .filter(|subscriber| subscriber.subjects.matches(&message.subject));
        let mut places = Vec::new();
        for subscriber in matching {
            match subscriber.queue.try_reserve() {
                Ok(place) => places.push(place),
                // It is ending: the link was deleted.
                Err(mpsc::error::TrySendError::Closed(())) => {}
                Err(mpsc::error::TrySendError::Full(())) => {
                    return Err(format!(
                        "the queue of link {} is full with {} messages; try again later, or raise \
                         `queue` or `max-in-flight` in the link's config",
                        subscriber.link,
                        subscriber.queue.max_capacity()
                    ));
                }
            }
        }
        let reached = places.len();
        for place in places {
            place.send(message.clone());
        }
        Ok(reached)
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        let mut all = self
            .router
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|subscriber| !Arc::ptr_eq(subscriber, &self.subscriber));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> LinkKey {
        LinkKey {
            source: "messaging".parse().expect("valid"),
            interface: "wasmcloud:messaging/handler@0.2".to_owned(),
            name: name.parse().expect("valid"),
        }
    }

    fn subscription(subjects: &[&str], queue: usize) -> Subscription {
        Subscription {
            queue,
            ..Subscription::to(subjects.iter().copied()).expect("valid")
        }
    }

    fn message(subject: &str) -> BrokerMessage {
        BrokerMessage {
            subject: subject.to_owned(),
            body: "x".into(),
            reply_to: None,
        }
    }

    #[test]
    fn a_message_goes_once_to_each_link_that_matches() {
        let router = Arc::new(Router::default());
        let (_one, mut one) = router.subscribe(key("one"), &subscription(&["a.*", "a.b"], 8));
        let (two_guard, mut two) = router.subscribe(key("two"), &subscription(&[">"], 8));
        assert_eq!(router.publish(&message("a.b")), Ok(2));
        assert_eq!(router.publish(&message("b")), Ok(1));
        assert_eq!(one.try_recv(), Ok(message("a.b")));
        assert!(one.try_recv().is_err(), "once, although two patterns match");
        drop(two_guard);
        assert_eq!(router.publish(&message("b")), Ok(0));
        assert_eq!(two.try_recv(), Ok(message("a.b")));
        assert_eq!(two.try_recv(), Ok(message("b")), "what waits is kept");
    }

    #[test]
    fn a_full_queue_refuses_the_message_for_all_links() {
        let router = Arc::new(Router::default());
        let (_one, mut one) = router.subscribe(key("one"), &subscription(&["a"], 8));
        let (_two, mut two) = router.subscribe(key("two"), &subscription(&["a"], 1));
        assert_eq!(router.publish(&message("a")), Ok(2));
        let refusal = router.publish(&message("a")).expect_err("full");
        assert!(
            refusal.contains("(two) is full with 1 messages"),
            "{refusal}"
        );
        one.try_recv().expect("the first message");
        assert!(one.try_recv().is_err(), "the second one reached no link");
        two.try_recv().expect("the first message");
        assert_eq!(router.publish(&message("a")), Ok(2));
    }
}
