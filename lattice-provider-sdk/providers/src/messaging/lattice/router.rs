//! Which links a message goes to, and their queues.

use super::Subscription;
use crate::messaging::{Patterns, bindings::wasmcloud::messaging::types::BrokerMessage};
use lattice_core::{id::TraceContext, link::LinkKey};
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::mpsc;

/// Most bytes of the messages of one link that wait or are handled in a replica of the provider.
/// One message alone may have more.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The subscriptions, as one replica of the provider has them.
#[derive(Debug, Default)]
pub(super) struct Router(RwLock<Vec<Arc<Subscriber>>>);

/// One subscription.
#[derive(Debug)]
struct Subscriber {
    link: LinkKey,
    subjects: Patterns,
    queue: mpsc::Sender<Queued>,
    /// The bytes of its messages.
    used: Arc<AtomicUsize>,
}

/// A message in the queue of a link.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: BrokerMessage,
    /// The place in the trace of its publisher.
    pub(super) trace: Option<TraceContext>,
    /// Kept until the message is handled.
    pub(super) room: Room,
}

/// Room for the bytes of a message, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    fn take(used: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let with = |before: usize| {
            let after = before.saturating_add(bytes);
            (before == 0 || after <= MOST_BYTES).then_some(after)
        };
        let taken = used.fetch_update(Ordering::AcqRel, Ordering::Acquire, with);
        let used = used.clone();
        taken.is_ok().then(|| Self { used, bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
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
    ) -> (Subscribed, mpsc::Receiver<Queued>) {
        let (queue, messages) = mpsc::channel(subscription.queue);
        let subscriber = Arc::new(Subscriber {
            link,
            subjects: subscription.subjects.clone(),
            queue,
            used: Arc::default(),
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
    pub(super) fn publish(
        &self,
        message: &BrokerMessage,
        trace: Option<TraceContext>,
    ) -> Result<usize, String> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let matching = all
            .iter()
            .filter(|subscriber| subscriber.subjects.matches(&message.subject));
        let bytes = size_of_val(message)
            + message.subject.len()
            + message.body.len()
            + message.reply_to.as_ref().map_or(0, String::len);
        let mut places = Vec::new();
        for subscriber in matching {
            let place = match subscriber.queue.try_reserve() {
                Ok(place) => place,
                // It is ending: the link was deleted.
                Err(mpsc::error::TrySendError::Closed(())) => continue,
                Err(mpsc::error::TrySendError::Full(())) => {
                    return Err(format!(
                        "the queue of link {} is full with {} messages; try again later, or raise \
                         `queue` or `max-in-flight` in the link's config",
                        subscriber.link,
                        subscriber.queue.max_capacity()
                    ));
                }
            };
            let Some(room) = Room::take(&subscriber.used, bytes) else {
                return Err(format!(
                    "the queue of link {} is full with {} MiB of messages; try again later, or \
                     publish smaller ones",
                    subscriber.link,
                    MOST_BYTES >> 20
                ));
            };
            places.push((place, room));
        }
        let reached = places.len();
        for (place, room) in places {
            place.send(Queued {
                message: message.clone(),
                trace,
                room,
            });
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

    fn next(queue: &mut mpsc::Receiver<Queued>) -> Option<BrokerMessage> {
        queue.try_recv().ok().map(|queued| queued.message)
    }

    #[test]
    fn a_message_goes_once_to_each_link_that_matches() {
        let router = Arc::new(Router::default());
        let (_one, mut one) = router.subscribe(key("one"), &subscription(&["a.*", "a.b"], 8));
        let (two_guard, mut two) = router.subscribe(key("two"), &subscription(&[">"], 8));
        assert_eq!(router.publish(&message("a.b"), None), Ok(2));
        assert_eq!(router.publish(&message("b"), None), Ok(1));
        assert_eq!(next(&mut one), Some(message("a.b")));
        assert!(one.try_recv().is_err(), "once, although two patterns match");
        drop(two_guard);
        assert_eq!(router.publish(&message("b"), None), Ok(0));
        assert_eq!(next(&mut two), Some(message("a.b")));
        assert_eq!(next(&mut two), Some(message("b")), "what waits is kept");
    }

    #[test]
    fn a_full_queue_refuses_the_message_for_all_links() {
        let router = Arc::new(Router::default());
        let (_one, mut one) = router.subscribe(key("one"), &subscription(&["a"], 8));
        let (_two, mut two) = router.subscribe(key("two"), &subscription(&["a"], 1));
        assert_eq!(router.publish(&message("a"), None), Ok(2));
        let refusal = router.publish(&message("a"), None).expect_err("full");
        assert!(
            refusal.contains("(two) is full with 1 messages"),
            "{refusal}"
        );
        one.try_recv().expect("the first message");
        assert!(one.try_recv().is_err(), "the second one reached no link");
        two.try_recv().expect("the first message");
        assert_eq!(router.publish(&message("a"), None), Ok(2));
    }

    #[test]
    fn a_queue_has_a_limit_in_bytes_and_one_message_always_fits() {
        let router = Arc::new(Router::default());
        let (_one, mut one) = router.subscribe(key("one"), &subscription(&["a"], 8));
        let (_two, mut two) = router.subscribe(key("two"), &subscription(&["*"], 8));
        let large = BrokerMessage {
            body: vec![0; MOST_BYTES + 1].into(),
            ..message("a")
        };
        assert_eq!(router.publish(&large, None), Ok(2));
        let refusal = router.publish(&message("a"), None).expect_err("full");
        assert!(refusal.contains("is full with 64 MiB"), "{refusal}");
        let handled = two.try_recv().expect("the large one");
        router
            .publish(&message("b"), None)
            .expect_err("it is being handled");
        drop(handled);
        assert_eq!(router.publish(&message("b"), None), Ok(1));
        router
            .publish(&message("a"), None)
            .expect_err("`one` is still full");
        assert_eq!(next(&mut two), Some(message("b")), "and none got that");
        assert!(next(&mut one).is_some());
        assert_eq!(router.publish(&message("a"), None), Ok(2));
    }
}
