//! A bus that counts what passes through it.

use super::{Body, Bus, BusError, BusState, Message, Subscription};
use crate::{subject::Subject, watch::Watch};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What was sent to a bus and received from it.
#[derive(Debug, Default)]
pub(crate) struct BusCounts {
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
}

/// Messages of one direction. In a cache line of its own, because other threads count those of the
/// other direction.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Traffic {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    fn count(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Messages, and bytes of their payloads.
    pub(crate) fn read(&self) -> (u64, u64) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        (self.messages.load(Ordering::Relaxed), bytes)
    }
}

/// A bus that counts. It changes nothing else of the one that it wraps, and costs no allocation for
/// a message.
#[derive(Debug)]
pub(crate) struct CountedBus {
    bus: Arc<dyn Bus>,
    counts: Arc<BusCounts>,
}

impl CountedBus {
    pub(crate) fn around(bus: Arc<dyn Bus>, counts: &Arc<BusCounts>) -> Arc<dyn Bus> {
        let counts = counts.clone();
        Arc::new(Self { bus, counts })
    }

    fn counted(&self, subscription: Subscription) -> Subscription {
        let counts = self.counts.clone();
        subscription.wrapped(move |messages| {
            messages.inspect(move |Message { body, .. }| {
                if let Body::Payload(bytes) = body {
                    counts.received.count(bytes.len());
                }
            })
        })
    }
}

impl Bus for CountedBus {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        self.counts.sent.count(payload.len());
        self.bus.publish(to, reply, payload)
    }

    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let subscribed = self.bus.subscribe(subject, capacity);
        Box::pin(async move { Ok(self.counted(subscribed.await?)) })
    }

    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let subscribed = self.bus.queue_subscribe(subject, group, capacity);
        Box::pin(async move { Ok(self.counted(subscribed.await?)) })
    }

    fn watch_state(&self) -> Watch<BusState> {
        self.bus.watch_state()
    }

    fn max_payload(&self) -> usize {
        self.bus.max_payload()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.bus.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bus::memory::MemoryNetwork, name::LatticeName, subject::Subjects};

    #[tokio::test]
    async fn messages_are_counted_with_their_bytes_where_they_leave_and_arrive() {
        let counts = Arc::<BusCounts>::default();
        let bus = CountedBus::around(Arc::new(MemoryNetwork::new().connect()), &counts);
        let subjects = Subjects::new(&LatticeName::new("dev").expect("valid"));
        let mut beats = bus.subscribe(subjects.beat(), 8).await.expect("it does");
        for bytes in [&b"one"[..], b"three"] {
            let sent = bus.publish(subjects.beat(), None, Bytes::from_static(bytes));
            sent.await.expect("it is sent");
        }
        assert_eq!(counts.received.read(), (0, 0), "nothing was read yet");
        beats.next().await.expect("the first");
        assert_eq!(
            (counts.sent.read(), counts.received.read()),
            ((2, 8), (1, 3))
        );
        beats.next().await.expect("the second");
        assert_eq!(counts.received.read(), (2, 8));
    }
}
