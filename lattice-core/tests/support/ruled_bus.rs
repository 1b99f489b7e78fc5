//! A bus in memory that follows a rule of the test when it publishes.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lattice_core::{
    Watch,
    bus::{Bus, BusError, BusState, Subscription, memory::MemoryBus},
    subject::Subject,
};
use std::sync::Arc;
use tokio::sync::watch;

/// What happens to a message that is published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// The bus takes it.
    Take,
    /// Messages to these subjects wait for another rule, as when a server stops reading.
    Stall(fn(&Subject) -> bool),
    /// Larger payloads are refused, although the bus says that it takes them, as by a server with a
    /// limit that was lowered.
    Refuse { over: usize },
}

/// A bus under a [`Rule`].
#[derive(Debug)]
pub(crate) struct RuledBus {
    inner: MemoryBus,
    rule: watch::Sender<Rule>,
}

impl RuledBus {
    pub(crate) fn new(inner: MemoryBus) -> Arc<Self> {
        let rule = watch::Sender::new(Rule::Take);
        Arc::new(Self { inner, rule })
    }

    pub(crate) fn set(&self, rule: Rule) {
        self.rule.send_replace(rule);
    }

    /// Stalls all messages.
    pub(crate) fn stall(&self) {
        self.set(Rule::Stall(|_| true));
    }
}

impl Bus for RuledBus {
    fn publish(
        &self,
        to: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> BoxFuture<'_, Result<(), BusError>> {
        let mut rule = self.rule.subscribe();
        Box::pin(async move {
            let goes_on = |rule: &Rule| !matches!(rule, Rule::Stall(stalls) if stalls(&to));
            let rule = *rule
                .wait_for(goes_on)
                .await
                .expect("the bus has the sender");
            match rule {
                Rule::Refuse { over: limit } if payload.len() > limit => Err(BusError::TooLarge {
                    size: payload.len(),
                    limit,
                }),
                _ => self.inner.publish(to, reply, payload).await,
            }
        })
    }

    fn subscribe(
        &self,
        subject: Subject,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        self.inner.subscribe(subject, capacity)
    }

    fn queue_subscribe(
        &self,
        subject: Subject,
        group: &str,
        capacity: usize,
    ) -> BoxFuture<'_, Result<Subscription, BusError>> {
        self.inner.queue_subscribe(subject, group, capacity)
    }

    fn watch_state(&self) -> Watch<BusState> {
        self.inner.watch_state()
    }

    fn max_payload(&self) -> usize {
        self.inner.max_payload()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.inner.flush()
    }
}
