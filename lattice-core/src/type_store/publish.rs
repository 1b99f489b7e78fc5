//! Publishes types, and reads the types that others published.

use super::cache::Cache;
use crate::{
    backoff::Backoff,
    name::ComponentId,
    replica::{OtherKey, Replica},
    store::{
        Entry, Expect, Incarnation, InvalidCommit, LastKnown, MAX_VALUE, Op, StoreError, StoreKey,
        record::{Record, RecordError, Records},
        rewrite::{Rewrite, RewriteError},
    },
    sync::Mutex,
    types::{ComponentTypes, Digest},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};

/// Most attempts to publish. Hosts that start the same component at once write the same types, so a
/// second attempt is enough unless they start different versions of it.
const MAX_ATTEMPTS: u32 = 16;
/// Pauses between them.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(5), Duration::from_millis(200));

/// The published types of a lattice. Cheap to clone.
///
/// ```text
/// component.<id> ──digest──► types.<digest>
/// ```
#[derive(Debug, Clone)]
pub struct Types {
    records: Records,
    cache: Arc<Mutex<Cache>>,
    last: Option<Arc<dyn LastKnown>>,
    replica: Option<Replica>,
}

/// The contents of a component's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct ComponentRecord {
    types: Digest,
}

/// Why publishing types failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// They are too large for the store.
    #[error(
        "the types of component `{component}` have {bytes} bytes and the limit is {limit}; split its interfaces over several components"
    )]
    TooLarge {
        /// The component.
        component: ComponentId,
        /// Their size, encoded.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The store can't be read or written.
    #[error("the types of component `{component}` could not be published")]
    Store {
        /// The component.
        component: ComponentId,
        /// The store's error.
        source: StoreError,
    },
    /// The store does not accept them.
    #[error("the store refused the types of component `{component}`")]
    Refused {
        /// The component.
        component: ComponentId,
        /// The problem.
        source: InvalidCommit,
    },
    /// Other hosts kept publishing other types of the component.
    #[error(
        "others keep publishing other types of component `{component}`; make sure that only one version of it runs, then start it again"
    )]
    Contended {
        /// The component.
        component: ComponentId,
    },
    /// The existing record was written by a newer version of Lattice.
    #[error("the record of component `{component}` can't be read here; update this process")]
    Unreadable {
        /// The component.
        component: ComponentId,
        /// The problem.
        source: RecordError,
    },
    /// Everything in the store was written with another key.
    #[error("the types of component `{component}` are not published")]
    OtherKey {
        /// The component.
        component: ComponentId,
        /// The reason.
        source: OtherKey,
    },
    /// They can't be encoded.
    #[error("the types of component `{component}` can't be encoded; report this as a bug")]
    Unencodable {
        /// The component.
        component: ComponentId,
        /// The problem.
        source: RecordError,
    },
}

impl PublishError {
    /// Returns the error of a rewrite of the component's records.
    fn of(component: &ComponentId, error: RewriteError) -> Self {
        let component = component.clone();
        match error {
            RewriteError::Store(source) => Self::Store { component, source },
            RewriteError::Refused(source) => Self::Refused { component, source },
            RewriteError::Contended => Self::Contended { component },
        }
    }
}

/// Why published types could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TypesError {
    /// The store can't be read.
    #[error("the published types could not be read")]
    Store(#[from] StoreError),
    /// The value at the key is forged, malformed, or of a newer version.
    #[error(
        "the value at `{key}` can't be used; start the component again to publish it again, or update this process"
    )]
    Unreadable {
        /// The key in the store.
        key: StoreKey,
        /// The problem.
        source: RecordError,
    },
    /// The types do not match their digest.
    #[error(
        "the types at `{key}` do not match their digest; start the component again to publish them again"
    )]
    OtherDigest {
        /// The key in the store.
        key: StoreKey,
    },
    /// The types that a component's record names are missing.
    #[error(
        "the types {digest:?} of component `{component}` are not in the store; start the component again to publish them again"
    )]
    Missing {
        /// The component.
        component: ComponentId,
        /// The digest in its record.
        digest: Digest,
    },
}

impl Types {
    /// Creates a handle to the types published in this store.
    pub fn new(records: Records) -> Self {
        Self {
            records,
            cache: Arc::default(),
            last: None,
            replica: None,
        }
    }

    /// Publishes nothing while `replica` finds that this process's key is not that of the lattice.
    pub(crate) fn checked_by(mut self, replica: Replica) -> Self {
        self.replica = Some(replica);
        self
    }

    /// Reads from `last` while the store is unavailable, so that types published before can still
    /// be served and called.
    pub(crate) fn falling_back_on(mut self, last: Option<Arc<dyn LastKnown>>) -> Self {
        self.last = last;
        self
    }

    /// The copy of the store that outlives this process, if there is one.
    #[cfg(feature = "apps")]
    pub(crate) fn last(&self) -> Option<Arc<dyn LastKnown>> {
        self.last.clone()
    }

    /// Publishes the types of a component, under their digest and as the types that it was last
    /// started with. Writes only what is missing.
    ///
    /// # Errors
    /// Fails with [`PublishError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether they were published.
    pub async fn publish(
        &self,
        component: &ComponentId,
        types: &ComponentTypes,
    ) -> Result<Digest, PublishError> {
        if let Some(Err(source)) = self.replica.as_ref().map(Replica::check_key) {
            return Err(PublishError::OtherKey {
                component: component.clone(),
                source,
            });
        }
        let digest = types.digest();
        let mut rewrite = Rewrite::at_most(MAX_ATTEMPTS).pausing(PAUSES);
        loop {
            let failed = |error| PublishError::of(component, error);
            let incarnation = self.incarnation().await;
            let incarnation = incarnation.map_err(|error| failed(error.into()))?;
            let mut ops = Vec::with_capacity(2);
            ops.extend(self.types_op(incarnation, component, digest, types).await?);
            ops.extend(self.component_op(incarnation, component, digest).await?);
            if ops.is_empty() {
                return Ok(digest);
            }
            let committed = rewrite.commit(&self.records, ops).await;
            if committed.map_err(failed)?.is_some() {
                return Ok(digest);
            }
            rewrite.again().await.map_err(failed)?;
        }
    }

    /// Returns the types that a component was last started with, or `None` when it was never
    /// started.
    ///
    /// # Errors
    /// Fails with [`TypesError`].
    pub async fn of(
        &self,
        component: &ComponentId,
    ) -> Result<Option<Arc<ComponentTypes>>, TypesError> {
        let key = StoreKey::component(component);
        let Some((record, _)) = self.read::<ComponentRecord>(key).await? else {
            return Ok(None);
        };
        let digest = record.body.types;
        match self.by_digest(&digest).await? {
            Some(types) => Ok(Some(types)),
            None => Err(TypesError::Missing {
                component: component.clone(),
                digest,
            }),
        }
    }

    /// Returns the types with this digest, if they were published. Repeated reads come from memory.
    ///
    /// # Errors
    /// Fails with [`TypesError`].
    pub async fn by_digest(
        &self,
        digest: &Digest,
    ) -> Result<Option<Arc<ComponentTypes>>, TypesError> {
        if let Some(types) = self.cache.lock().find(digest) {
            return Ok(Some(types));
        }
        let key = StoreKey::types(&digest.to_hex());
        let Some((record, bytes)) = self.read::<ComponentTypes>(key.clone()).await? else {
            return Ok(None);
        };
        if record.body.digest() != *digest {
            return Err(TypesError::OtherDigest { key });
        }
        let types = Arc::new(record.body);
        self.cache.lock().keep(*digest, types.clone(), bytes);
        Ok(Some(types))
    }

    /// Reads a record and the size of its value.
    async fn read<T: DeserializeOwned>(
        &self,
        key: StoreKey,
    ) -> Result<Option<(Record<T>, usize)>, TypesError> {
        let Some(entry) = self.entry(&key).await? else {
            return Ok(None);
        };
        let incarnation = self.incarnation().await?;
        match self.records.decode(incarnation, &entry) {
            Ok(record) => Ok(Some((record, entry.value.len()))),
            Err(RecordError::Removed { .. }) => Ok(None),
            Err(source) => Err(TypesError::Unreadable { key, source }),
        }
    }

    /// Returns the write that publishes the types, if it is needed.
    async fn types_op(
        &self,
        incarnation: Incarnation,
        component: &ComponentId,
        digest: Digest,
        types: &ComponentTypes,
    ) -> Result<Option<Op>, PublishError> {
        let same = |there: &ComponentTypes| there.digest() == digest;
        let key = StoreKey::types(&digest.to_hex());
        self.op(incarnation, (component, key), types, same).await
    }

    /// Returns the write that makes the component's record name the types, if it is needed.
    async fn component_op(
        &self,
        incarnation: Incarnation,
        component: &ComponentId,
        digest: Digest,
    ) -> Result<Option<Op>, PublishError> {
        let record = ComponentRecord { types: digest };
        let key = StoreKey::component(component);
        self.op(incarnation, (component, key), &record, |there| {
            *there == record
        })
        .await
    }

    /// Returns the operation that puts `body` at a key of the component, unless the existing body
    /// is `same`. Garbage is overwritten.
    async fn op<T: Serialize + DeserializeOwned>(
        &self,
        incarnation: Incarnation,
        (component, key): (&ComponentId, StoreKey),
        body: &T,
        same: impl FnOnce(&T) -> bool,
    ) -> Result<Option<Op>, PublishError> {
        let there = self.entry(&key).await;
        let there = there.map_err(|error| PublishError::of(component, error.into()))?;
        let current = self.records.current::<T>(incarnation, there.as_ref());
        let current = current.map_err(|source| PublishError::Unreadable {
            component: component.clone(),
            source,
        })?;
        let last = current.generation();
        if current.record().is_some_and(|record| same(&record.body)) {
            return Ok(None);
        }
        let generation = last.map_or(0, |last| last.saturating_add(1));
        let value = self
            .records
            .encode(incarnation, &key, generation, body)
            .map_err(|source| match source {
                RecordError::TooLarge { size, .. } => PublishError::TooLarge {
                    component: component.clone(),
                    bytes: size,
                    limit: MAX_VALUE,
                },
                source => PublishError::Unencodable {
                    component: component.clone(),
                    source,
                },
            })?;
        Ok(Some(Op::put(key, value, Expect::of(there.as_ref()))))
    }

    async fn entry(&self, key: &StoreKey) -> Result<Option<Entry>, StoreError> {
        let found = self.records.store().read(key.clone()).await;
        self.or_last(found, |last| last.entry(key).map(Some))
    }

    async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        let found = self.records.store().incarnation().await;
        self.or_last(found, |last| last.incarnation())
    }

    fn or_last<T>(
        &self,
        found: Result<T, StoreError>,
        known: impl FnOnce(&dyn LastKnown) -> Option<T>,
    ) -> Result<T, StoreError> {
        match (found, &self.last) {
            (Err(error @ (StoreError::Unavailable(_) | StoreError::Limit(_))), Some(last)) => {
                known(&**last).ok_or(error)
            }
            (found, _) => found,
        }
    }
}
