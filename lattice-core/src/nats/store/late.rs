//! A bucket that is opened once a server is connected.

use super::{NatsStore, NatsStoreOptions, OpenError, out_of_reach};
use crate::{
    nats::NatsConnection,
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Position, Revision, Store, StoreError,
        StoreKey, StoreWatch,
    },
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::{
    sync::{Mutex, OnceCell},
    time::Instant,
};

/// How long calls fail without another attempt after the store could not be opened. An attempt may
/// take seconds, and callers can continue without the store.
const PAUSE: Duration = Duration::from_secs(1);

/// A [`NatsStore`] that is out of reach until it can be opened. Calls try that while a server is
/// connected, one at a time.
#[derive(Debug)]
pub(crate) struct LateStore {
    connection: NatsConnection,
    options: NatsStoreOptions,
    store: OnceCell<NatsStore>,
    /// When the last attempt failed. Locked during an attempt.
    failed: Mutex<Instant>,
}

impl LateStore {
    pub(crate) fn new(connection: NatsConnection, options: NatsStoreOptions) -> Self {
        Self {
            connection,
            options,
            store: OnceCell::new(),
            // A `LateStore` is created after a failed attempt.
            failed: Mutex::new(Instant::now()),
        }
    }

    async fn store(&self) -> Result<&NatsStore, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let away = |reason: &str| StoreError::Unavailable(reason.to_owned());
        let mut failed = self
            .failed
            .try_lock()
            .map_err(|_| away("it is being opened"))?;
        if failed.elapsed() < PAUSE {
            return Err(away("it could not be opened a moment ago"));
        }
        let opened = self.opened().await;
        if opened.is_err() {
            *failed = Instant::now();
        }
        opened
    }

    async fn opened(&self) -> Result<&NatsStore, StoreError> {
        self.store
            .get_or_try_init(async || {
                self.connection.check().map_err(out_of_reach)?;
                let opened = NatsStore::open(&self.connection, self.options.clone()).await;
                opened.map_err(|error| {
                    tracing::warn!(%error, "the lattice's store can't be opened yet");
                    not_yet(error)
                })
            })
            .await
    }
}

impl Store for LateStore {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async { self.store().await?.incarnation().await })
    }

    fn position(&self) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(async { self.store().await?.position().await })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async { self.store().await?.read(key).await })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { self.store().await?.commit(ops).await })
    }

    fn lease(
        &self,
        key: StoreKey,
        value: Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move { self.store().await?.lease(key, value, ttl, expect).await })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async { self.store().await?.watch().await })
    }
}

/// Returns the error of a call for which the store could not be opened. A store that can't be used
/// now may become usable later, so that isn't permanent.
fn not_yet(error: OpenError) -> StoreError {
    match StoreError::from(error) {
        StoreError::Unsupported(reason) | StoreError::Forbidden(reason) => {
            StoreError::Unavailable(reason)
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_can_not_be_opened_yet_is_away_and_a_full_one_is_full() {
        let refused = || OpenError::Refused {
            reason: "Permissions Violation".to_owned(),
        };
        for error in [refused(), OpenError::JetStreamOff] {
            let text = error.to_string();
            let away = not_yet(error);
            assert!(matches!(away, StoreError::Unavailable(_)), "{text}: {away}");
        }
        let away = not_yet(refused()).to_string();
        assert!(away.contains("Permissions Violation"), "{away}");
        let reason = "no space left".to_owned();
        let full = not_yet(OpenError::Limit { reason });
        assert!(matches!(full, StoreError::Limit(_)), "{full}");
    }
}
