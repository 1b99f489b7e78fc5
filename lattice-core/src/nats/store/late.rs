//! A bucket that is opened once a server is connected.

use super::{NatsStore, NatsStoreOptions, out_of_reach};
use crate::{
    nats::NatsConnection,
    store::{
        CommitError, Entry, Expect, Incarnation, Op, Revision, Store, StoreError, StoreKey, Watch,
    },
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::sync::OnceCell;

/// A [`NatsStore`] that is out of reach until it can be opened. Every call tries that while a
/// server is connected.
#[derive(Debug)]
pub(crate) struct LateStore {
    connection: NatsConnection,
    options: NatsStoreOptions,
    store: OnceCell<NatsStore>,
}

impl LateStore {
    pub(crate) fn new(connection: NatsConnection, options: NatsStoreOptions) -> Self {
        Self {
            connection,
            options,
            store: OnceCell::new(),
        }
    }

    async fn store(&self) -> Result<&NatsStore, StoreError> {
        self.store
            .get_or_try_init(async || {
                self.connection.check().map_err(out_of_reach)?;
                let opened = NatsStore::open(&self.connection, self.options.clone()).await;
                opened.map_err(|error| {
                    tracing::warn!(%error, "the lattice's store can't be opened yet");
                    StoreError::Unavailable(error.to_string())
                })
            })
            .await
    }
}

impl Store for LateStore {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async { self.store().await?.incarnation().await })
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

    fn watch(&self) -> BoxFuture<'_, Result<Watch, StoreError>> {
        Box::pin(async { self.store().await?.watch().await })
    }
}
