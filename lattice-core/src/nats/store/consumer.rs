//! A push consumer of the bucket, from its snapshot until anything looks wrong. A watch has one
//! after another.
//!
//! ```text
//!  open ──► snapshot: every key's last message ──► live: every further one ──► Broken ──► the follower opens the next one
//! ```
//! The consumer delivers the last message of each subject and then every further message; `pending`
//! in each message shows when the snapshot is whole. A consumer of a bucket that was deleted, or of
//! a server that is gone, is just silent. So it sends heartbeats, and its use ends when they stop,
//! when the connection was made again, when a message is missing in the consumer's own count, or
//! when the stream is no longer the one of its start.

use super::{
    Inner,
    held::HeldCommit,
    message::{self, Position},
    refusal,
    settle::FENCE,
    unavailable,
};
use crate::store::{Entry, Incarnation, Revision, StoreError, StoreKey, WatchEvent};
use async_nats::{
    HeaderMap, HeaderValue, Message, StatusCode, Subscriber,
    jetstream::{
        consumer::{AckPolicy, DeliverPolicy, push},
        stream::ConsumerErrorKind,
    },
};
use futures_util::StreamExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often an idle consumer sends a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Silence after which a consumer is considered gone: two heartbeats and the time for one to
/// arrive.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the server keeps a consumer without a subscriber.
const FORGET: Duration = Duration::from_secs(10);
/// Header with the subject on which a stalled consumer expects a message once this side has caught
/// up.
const STALLED: &str = "Nats-Consumer-Stalled";
const LAST_CONSUMER: &str = "Nats-Last-Consumer";

pub(super) struct Consumer {
    store: Arc<Inner>,
    messages: Subscriber,
    advisories: Subscriber,
    name: String,
    incarnation: Incarnation,
    connects: u64,
    last_message: Instant,
    /// Messages that the consumer has sent so far.
    delivered: u64,
    /// The part of the snapshot that is still to come; `None` once it is whole.
    snapshot: Option<Begun>,
    /// The changes of a commit that has not been received as a whole.
    held: HeldCommit,
}

/// A snapshot that is not whole yet.
struct Begun {
    pending: u64,
    revision: Revision,
}

/// Why a consumer can't be used any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Messages are missing, or the bucket is another one. A new consumer can be created at once.
    Gap,
    /// The server or the bucket is out of reach.
    OutOfReach,
}

enum Delivery {
    Change {
        /// `None` for a change that the layers above don't need.
        change: Option<Change>,
        revision: Revision,
        pending: u64,
        /// The rest of its commit follows.
        within_commit: bool,
        /// The id of the commit, if it has several changes.
        batch: Option<String>,
        /// Every other message of the stream is gone.
        wipes: bool,
    },
    Idle,
}

struct Change {
    key: StoreKey,
    value: Option<bytes::Bytes>,
}

impl Consumer {
    pub(super) async fn open(store: &Arc<Inner>) -> Result<Self, StoreError> {
        let connects = store.connection.connects();
        let inbox = store.client().new_inbox();
        let messages = store.subscribe(inbox.clone()).await?;
        let advisories = store.subscribe(store.bucket.advisories()).await?;
        let before = store.incarnation().await?;
        let config = push::Config {
            deliver_subject: inbox,
            filter_subject: store.bucket.every_subject(),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: FORGET,
            num_replicas: 1,
            memory_storage: true,
            ..push::Config::default()
        };
        let consumer = store.stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| match error.kind() {
            ConsumerErrorKind::JetStream(error) => refusal::store_error(&error, &store.bucket.name),
            _ => unavailable(error),
        })?;
        let info = consumer.cached_info();
        let incarnation = store.incarnation().await?;
        if before != incarnation {
            return Err(StoreError::Unavailable("it was just re-created".into()));
        }
        Ok(Self {
            messages,
            advisories,
            name: info.name.clone(),
            incarnation,
            connects,
            last_message: Instant::now(),
            delivered: 0,
            snapshot: Some(Begun {
                pending: info.num_pending,
                revision: Revision(info.delivered.stream_sequence),
            }),
            held: HeldCommit::default(),
            store: Arc::clone(store),
        })
    }

    /// Returns the snapshot, then each change.
    pub(super) async fn next(&mut self) -> Result<WatchEvent, Broken> {
        if let Some(begun) = self.snapshot.take() {
            return self.collect(begun).await;
        }
        loop {
            if let Some(whole) = self.held.whole() {
                return Ok(whole);
            }
            match self.delivery().await? {
                Delivery::Change { wipes: true, .. } => return Err(Broken::Gap),
                Delivery::Change {
                    change,
                    revision,
                    within_commit,
                    batch,
                    ..
                } => {
                    let change = change.map(|change| change.into_event(revision));
                    self.held.take(change, batch, within_commit);
                }
                // The last message of a commit may have been removed without a trace.
                Delivery::Idle if self.held.is_partial() && self.is_at_the_end().await? => {
                    self.held.end();
                }
                Delivery::Idle => {}
            }
        }
    }

    async fn collect(&mut self, begun: Begun) -> Result<WatchEvent, Broken> {
        let mut entries = BTreeMap::new();
        let mut last = begun.revision;
        let mut whole = None;
        if begun.pending == 0 {
            whole = self.end(last).await?;
        }
        let revision = loop {
            if let Some(revision) = whole {
                break revision;
            }
            match self.delivery().await? {
                Delivery::Change {
                    change,
                    revision,
                    pending,
                    within_commit,
                    wipes,
                    ..
                } => {
                    if wipes {
                        entries.clear();
                    }
                    last = revision;
                    match change.map(|change| change.into_event(revision)) {
                        Some(WatchEvent::Put(entry)) => {
                            entries.insert(entry.key.clone(), entry);
                        }
                        Some(WatchEvent::Delete { key, .. }) => {
                            entries.remove(&key);
                        }
                        _ => {}
                    }
                    if pending == 0 && !within_commit && self.delivered >= begun.pending {
                        whole = self.end(last).await?;
                    }
                }
                // A pending message may have been removed without a trace, as an old marker is.
                Delivery::Idle if self.is_at_the_end().await? => whole = self.end(last).await?,
                Delivery::Idle => {}
            }
        };
        Ok(WatchEvent::Snapshot {
            incarnation: self.incarnation,
            revision,
            entries: entries.into_values().collect(),
        })
    }

    /// Returns the revision of a snapshot whose last message is `last`, or `None` while newer
    /// messages follow. A consumer's own `pending` does not show the latter: it counts a new
    /// message a moment after the message has replaced its key's old one, and the snapshot would
    /// lack the key.
    ///
    /// The revision is that of the last write, which may be far above that of the last message: the
    /// renewals and the end of a lease leave nothing behind in the end. A replica with a lower one
    /// would write records that count as replayed, and take the store for an older one.
    async fn end(&self, last: Revision) -> Result<Option<Revision>, Broken> {
        // Every write up to this one has left no message, or one that the next request shows.
        let position = self.store.position().await;
        let position = position.map_err(|_| Broken::OutOfReach)?;
        if position.incarnation != self.incarnation {
            return Err(Broken::Gap);
        }
        let newest = self.store.newest().await.map_err(|_| Broken::OutOfReach)?;
        let is_whole = newest.is_none_or(|newest| newest <= last);
        Ok(is_whole.then(|| last.max(position.newest.unwrap_or_default())))
    }

    async fn is_at_the_end(&self) -> Result<bool, Broken> {
        let info = self.store.stream.consumer_info(&self.name).await;
        let info = info.map_err(|_| Broken::OutOfReach)?;
        Ok(info.num_pending == 0 && info.delivered.consumer_sequence == self.delivered)
    }

    /// Waits for the consumer's next message, or for a heartbeat when it has none.
    async fn delivery(&mut self) -> Result<Delivery, Broken> {
        loop {
            tokio::select! {
                biased;
                message = self.messages.next() => {
                    let message = message.ok_or(Broken::OutOfReach)?;
                    self.last_message = Instant::now();
                    if let Some(delivery) = self.take(message).await? {
                        return Ok(delivery);
                    }
                }
                Some(_) = self.advisories.next() => self.check_incarnation().await?,
                _ = self.store.connection.lost(self.connects) => return Err(match self.store.connected() {
                    Ok(()) => Broken::Gap,
                    Err(_) => Broken::OutOfReach,
                }),
                () = tokio::time::sleep_until(self.last_message + SILENCE) => return Err(Broken::OutOfReach),
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<Option<Delivery>, Broken> {
        match message.status {
            Some(StatusCode::IDLE_HEARTBEAT) => return self.control(message).await,
            Some(_) => return Err(Broken::OutOfReach),
            None => {}
        }
        let position = message.reply.as_deref().and_then(Position::parse);
        let position = position.ok_or(Broken::Gap)?;
        if position.delivered != self.delivered + 1 {
            return Err(Broken::Gap);
        }
        self.delivered = position.delivered;
        let none = HeaderMap::new();
        let headers = message.headers.as_ref().unwrap_or(&none);
        let value = (!message::is_marker(headers)).then_some(message.payload);
        let key = self.store.bucket.key(&message.subject);
        Ok(Some(Delivery::Change {
            change: key
                .filter(|key| key.as_str() != FENCE)
                .map(|key| Change { key, value }),
            revision: Revision(position.sequence),
            pending: position.pending,
            within_commit: message::is_within_commit(headers),
            batch: message::batch_id(headers).map(str::to_owned),
            wipes: message::wiped_the_stream(headers),
        }))
    }

    /// Handles a heartbeat, or a request to confirm that this side has caught up.
    async fn control(&mut self, message: Message) -> Result<Option<Delivery>, Broken> {
        let header = |name: &str| message.headers.as_ref()?.get(name).map(HeaderValue::as_str);
        let ask = message.reply.as_deref().or_else(|| header(STALLED));
        if let Some(subject) = ask {
            let answer = self.store.client().publish(subject.to_owned(), "".into());
            let answered = tokio::time::timeout(self.store.timeout, answer).await;
            return match answered {
                Ok(Ok(())) => Ok(None),
                _ => Err(Broken::OutOfReach),
            };
        }
        let sent = header(LAST_CONSUMER).and_then(|count| count.parse::<u64>().ok());
        match sent {
            Some(sent) if sent != self.delivered => Err(Broken::Gap),
            _ => Ok(Some(Delivery::Idle)),
        }
    }

    async fn check_incarnation(&self) -> Result<(), Broken> {
        match self.store.within(self.store.incarnation()).await {
            Ok(now) if now == self.incarnation => Ok(()),
            Ok(_) => Err(Broken::Gap),
            Err(_) => Err(Broken::OutOfReach),
        }
    }
}

impl Change {
    fn into_event(self, revision: Revision) -> WatchEvent {
        let key = self.key;
        match self.value {
            Some(value) => WatchEvent::Put(Entry {
                key,
                value,
                revision,
            }),
            None => WatchEvent::Delete { key, revision },
        }
    }
}
