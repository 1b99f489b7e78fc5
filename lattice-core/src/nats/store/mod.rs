//! The store of a lattice on NATS: one `JetStream` bucket per lattice.
//!
//! The bucket is a stream named `KV_LATTICE_<lattice>`, with one message per key (the last),
//! readable with any NATS key-value tool. Lattice creates the stream itself, because a bucket
//! created by such a tool lacks what atomic commits need. [`OpenError`] reports that.
//!
//! The requests and their failures are described in separate files: `commit.rs` for writes,
//! `settle.rs` for lost responses, `consumer.rs` for the watch.

mod bucket;
mod commit;
mod consumer;
mod follow;
mod held;
#[cfg(feature = "disk")]
mod late;
mod message;
mod open;
mod refusal;
mod settle;

#[cfg(feature = "disk")]
pub(crate) use late::LateStore;
pub use open::OpenError;

use crate::{
    bus::BusError,
    name::LatticeName,
    nats::NatsConnection,
    quantity::ByteSize,
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Position, Revision, Store, StoreError,
        StoreKey, StoreWatch,
        check::{check_ops, check_ttl, check_value},
    },
};
use async_nats::{
    Client, Subscriber,
    jetstream::{message::StreamMessage, stream},
};
use bucket::{Bucket, created, lone_copy};
use bytes::Bytes;
use follow::Follower;
use futures_util::future::BoxFuture;
use std::{
    error::Error,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Longest wait for the store by default, including the time to read back after a lost response.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many servers of a cluster keep a bucket by default.
const REPLICAS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);
/// Most bytes that a message's headers take in addition to its value.
const HEADERS: usize = 1024;

/// Which bucket a [`NatsStore`] opens, and how it creates one that does not exist.
#[derive(Debug, Clone)]
pub struct NatsStoreOptions {
    lattice: LatticeName,
    /// `None` for as many as the cluster can have, up to [`REPLICAS`].
    replicas: Option<NonZeroUsize>,
    size: Option<ByteSize>,
    timeout: Duration,
}

impl NatsStoreOptions {
    /// Creates the options of the bucket of `lattice`, with three replicas in a cluster and one on
    /// a single server, of any size, and calls that end within 5 s.
    pub fn new(lattice: &LatticeName) -> Self {
        Self {
            lattice: lattice.clone(),
            replicas: None,
            size: None,
            timeout: TIMEOUT,
        }
    }

    /// Sets how many servers of the cluster keep the bucket when this creates it: 1, 3 or 5. By
    /// default 3, or 1 where the server is alone or refuses 3. An existing bucket is not changed.
    pub fn replicas(mut self, replicas: NonZeroUsize) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Sets the most bytes that the bucket may have when this creates it, on each server that keeps
    /// it. Some accounts require that. By default, it may have as much as the account has. An
    /// existing bucket is not changed.
    pub fn max_bytes(mut self, size: ByteSize) -> Self {
        self.size = Some(size);
        self
    }

    /// Sets the time within which every call ends. The default is 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A [`Store`] in a `JetStream` bucket. Cheap to clone.
///
/// Never creates the bucket again by itself once it is open. A bucket that was deleted is out of
/// reach until it is opened again, and is then another [`Incarnation`].
#[derive(Clone)]
pub struct NatsStore(Arc<Inner>);

struct Inner {
    connection: NatsConnection,
    stream: stream::Stream<()>,
    bucket: Bucket,
    replicated: AtomicBool,
    /// A permit for each batch that may be in progress.
    batches: Semaphore,
    timeout: Duration,
}

impl NatsStore {
    /// Opens the bucket, or creates it, in the `JetStream` domain of the connection.
    ///
    /// # Errors
    /// Fails with [`OpenError`], which states what to change.
    ///
    /// # Cancel safety
    /// Dropping the future may leave an empty bucket.
    pub async fn open(
        connection: &NatsConnection,
        options: NatsStoreOptions,
    ) -> Result<Self, OpenError> {
        let bucket = Bucket::new(&options.lattice, connection.jetstream_domain())?;
        let (stream, info) = Box::pin(bucket.open(connection, &options)).await?;
        let inner = Inner {
            connection: connection.clone(),
            stream,
            bucket,
            replicated: AtomicBool::new(false),
            batches: Semaphore::new(commit::BATCHES),
            timeout: options.timeout,
        };
        inner.note(&info);
        if let Some(cluster) = lone_copy(&info) {
            tracing::warn!(
                stream = inner.bucket.name,
                cluster,
                "only one server of the NATS cluster keeps the lattice's store, and nothing can be changed while it is away; keep three copies with `nats stream edit {} --replicas 3`",
                inner.bucket.name
            );
        }
        Ok(Self(Arc::new(inner)))
    }

    async fn write(&self, ops: Vec<Op>, ttl: Option<u64>) -> Result<Revision, CommitError> {
        check_ops(&ops)?;
        let limit = self.0.connection.max_payload().saturating_sub(HEADERS);
        for op in &ops {
            check_value(&op.key, op.value.as_ref(), limit)?;
        }
        self.0.commit(&ops, ttl).await
    }
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore")
            .field("bucket", &self.0.bucket.name)
            .finish_non_exhaustive()
    }
}

impl Store for NatsStore {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(self.0.within(self.0.incarnation()))
    }

    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(self.0.within(self.0.position()))
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move { self.0.within(self.0.read(key)).await })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(self.write(ops, None))
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            let seconds = check_ttl(ttl)?;
            self.write(vec![Op::put(key, value, expect)], Some(seconds))
                .await
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async {
            let consumer = self.0.within(consumer::Consumer::open(&self.0)).await?;
            Ok(Follower::new(Arc::clone(&self.0), consumer).into_watch())
        })
    }
}

impl Inner {
    async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        Ok(self.position().await?.incarnation)
    }

    /// Returns the revision of the last write in addition. It may have left no message behind: an
    /// expired lease leaves a marker, which is removed in the end.
    async fn position(&self) -> Result<Position, StoreError> {
        let info = self.stream.get_info().await.map_err(unavailable)?;
        self.note(&info);
        Ok(Position {
            incarnation: created(&info),
            newest: Some(Revision(info.state.last_sequence)),
        })
    }

    /// Records how many servers keep the bucket: an operator may change that while it is open.
    fn note(&self, info: &stream::Info) {
        let replicated = info.config.num_replicas > 1;
        self.replicated.store(replicated, Ordering::Relaxed);
    }

    async fn read(&self, key: StoreKey) -> Result<Option<Entry>, StoreError> {
        // Any replica serves a direct get, and may lag behind a confirmed write. The leader does
        // not.
        let last = if self.replicated.load(Ordering::Relaxed) {
            self.last_message(&key).await?
        } else {
            self.direct_get(&key).await?
        };
        Ok(last
            .filter(|message| !message::is_marker(&message.headers))
            .map(|message| Entry {
                key,
                value: message.payload,
                revision: Revision(message.sequence),
            }))
    }

    async fn direct_get(&self, key: &StoreKey) -> Result<Option<StreamMessage>, StoreError> {
        let subject = self.bucket.subject(key);
        match self.stream.direct_get_last_for_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == stream::DirectGetErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Returns a key's last message as the stream's leader has it.
    async fn last_message(&self, key: &StoreKey) -> Result<Option<StreamMessage>, StoreError> {
        self.leaders_last(&self.bucket.subject(key)).await
    }

    /// Returns the revision of the newest message that the stream's leader has.
    async fn newest(&self) -> Result<Option<Revision>, StoreError> {
        let newest = self.leaders_last(&self.bucket.every_subject()).await?;
        Ok(newest.map(|message| Revision(message.sequence)))
    }

    async fn leaders_last(&self, subject: &str) -> Result<Option<StreamMessage>, StoreError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == stream::LastRawMessageErrorKind::NoMessageFound => {
                Ok(None)
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Runs `work`. Fails when the connection is down or breaks, or when the time is over.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let connects = self.connection.connects();
        self.connected()?;
        tokio::select! {
            biased;
            done = work => done,
            error = self.connection.lost(connects) => Err(out_of_reach(error)),
            () = tokio::time::sleep(self.timeout) => {
                Err(StoreError::Unavailable("no response in time".into()))
            }
        }
    }

    fn connected(&self) -> Result<(), StoreError> {
        self.connection.check().map_err(out_of_reach)
    }

    fn client(&self) -> &Client {
        self.connection.client()
    }

    async fn subscribe(&self, subject: String) -> Result<Subscriber, StoreError> {
        let subscriber = self.client().subscribe(subject).await;
        // It only fails when the client has ended.
        subscriber.map_err(|_| StoreError::Closed)
    }
}

fn out_of_reach(error: BusError) -> StoreError {
    match error {
        BusError::Closed => StoreError::Closed,
        other => StoreError::Unavailable(other.to_string()),
    }
}

fn unavailable(error: impl Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
