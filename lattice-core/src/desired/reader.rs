//! Reads desired state from the replica's records.
//!
//! The replica keeps authenticated bodies. This module reads each record once per replica, when the
//! desired state is requested. Records that can't be read are reported to the replica as refused.

use super::{
    ActorSpec, AppRecord, Declared, Desired, NamedConfig, ProviderSpec, ServedGenerations,
    Unreadable,
};
use crate::{
    error::chain,
    record_format::{Fields, NotUnderstood},
    replica::{RecordContent, RecordTable, Replica, StoredRecord},
    store::{
        KeyKind, Revision, StoreKey,
        record::{RecordError, read_body},
        sealed::Sealed,
    },
    sync::Mutex,
    wormhole::{HostClaim, HostName, WormholeSpec},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The latest state that was read. Each replica has one.
#[derive(Debug, Default)]
pub(super) struct DesiredReader(Mutex<LastRead>);

#[derive(Debug, Default)]
struct LastRead {
    table: Arc<RecordTable>,
    desired: Arc<Desired>,
}

/// Why an authentic record can't be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum ReadError {
    Record(#[from] RecordError),
    NotUnderstood(#[from] NotUnderstood),
}

impl DesiredReader {
    /// Returns the desired state as it is now. The same `Arc` is returned as long as the state is
    /// the same.
    pub(super) fn current(&self, replica: &Replica) -> Arc<Desired> {
        let mut last = self.0.lock();
        // The table is read under the lock, so that an older state never replaces a newer one.
        let table = replica.record_table();
        if !Arc::ptr_eq(&last.table, &table) {
            last.take(table, replica);
        }
        last.desired.clone()
    }
}

impl LastRead {
    fn take(&mut self, table: Arc<RecordTable>, replica: &Replica) {
        let desired = Arc::make_mut(&mut self.desired);
        let gone = self.table.records().map(|(key, _)| key);
        for key in gone.filter(|key| table.get(key).is_none()) {
            desired.remove(key);
        }
        for (key, record) in table.records() {
            let before = self.table.get(key);
            if before == Some(record) {
                continue;
            }
            // An unreadable value does not replace the value that was read before, unless that was
            // deleted in between.
            let before = before.filter(|before| before.since == record.since);
            if before.is_some() {
                desired.unreadable.remove(key);
            } else {
                desired.remove(key);
            }
            if let Err(error) = desired.put(key, record, before) {
                replica.refuse(key, &error);
                desired
                    .unreadable
                    .insert(key.clone(), error.unreadable(record));
            }
        }
        desired.incarnation = table.incarnation;
        desired.revision = table.revision;
        desired.declared = table.declared;
        desired.removed = table.removed().clone();
        self.table = table;
    }
}

impl ReadError {
    fn unreadable(&self, record: &StoredRecord) -> Unreadable {
        Unreadable {
            revision: record.revision,
            reason: chain(self),
            is_newer: matches!(
                self,
                Self::NotUnderstood(_) | Self::Record(RecordError::Newer { .. })
            ),
            is_absent: false,
        }
    }
}

impl Desired {
    /// Reads a record. `before` is the result of the last read.
    fn put(
        &mut self,
        key: &StoreKey,
        record: &StoredRecord,
        before: Option<&StoredRecord>,
    ) -> Result<(), ReadError> {
        let (reason, is_newer, is_absent) = match &record.content {
            RecordContent::Body(body) => return self.read(key, record.revision, body),
            RecordContent::Refused {
                reason,
                is_newer,
                is_absent,
                ..
            } => (reason, is_newer, is_absent),
        };
        // The value that was accepted last stays in effect, even if it was replaced since the last
        // look.
        let accepted = record.accepted();
        if let Some((revision, body)) = accepted
            && before.and_then(StoredRecord::accepted) != accepted
        {
            // If only a newer version can read it, the value that was read before stays.
            let _ = self.read(key, revision, body);
        }
        let unreadable = Unreadable {
            revision: record.revision,
            reason: reason.to_string(),
            is_newer: *is_newer,
            is_absent: *is_absent,
        };
        self.unreadable.insert(key.clone(), unreadable);
        Ok(())
    }

    fn read(&mut self, key: &StoreKey, revision: Revision, body: &Bytes) -> Result<(), ReadError> {
        match key.kind() {
            Some(KeyKind::Actor(id)) => {
                let spec = read::<ActorSpec>(key, body)?;
                self.actors.insert(id, Declared::new(revision, spec));
            }
            Some(KeyKind::Provider(id)) => {
                let spec = read::<ProviderSpec>(key, body)?;
                self.providers.insert(id, Declared::new(revision, spec));
            }
            Some(KeyKind::Wormhole(id)) => {
                let spec = read::<WormholeSpec>(key, body)?;
                self.wormholes.insert(id, Declared::new(revision, spec));
            }
            Some(KeyKind::WormholeHost(host)) => {
                let claim = read::<HostClaim>(key, body)?;
                let host = HostName::of_record(&host);
                self.claims.insert(host, Declared::new(revision, claim));
            }
            Some(KeyKind::Config(name)) => {
                let spec = read::<NamedConfig>(key, body)?;
                self.configs.insert(name, Declared::new(revision, spec));
            }
            Some(KeyKind::App(name)) => {
                let spec = read::<AppRecord>(key, body)?;
                self.apps.insert(name, Declared::new(revision, spec));
            }
            Some(KeyKind::Served(id)) => {
                let spec = read::<ServedGenerations>(key, body)?;
                self.served.insert(id, Declared::new(revision, spec));
            }
            // Desired state has no secrets, but people see which of them can't be read.
            Some(KeyKind::Secret(_)) => drop(Sealed::read(key, body)?),
            _ => {}
        }
        Ok(())
    }

    fn remove(&mut self, key: &StoreKey) {
        self.unreadable.remove(key);
        match key.kind() {
            Some(KeyKind::Actor(id)) => drop(self.actors.remove(&id)),
            Some(KeyKind::Provider(id)) => drop(self.providers.remove(&id)),
            Some(KeyKind::Wormhole(id)) => drop(self.wormholes.remove(&id)),
            Some(KeyKind::WormholeHost(host)) => drop(self.claims.remove(&*host)),
            Some(KeyKind::Config(name)) => drop(self.configs.remove(&name)),
            Some(KeyKind::App(name)) => drop(self.apps.remove(&name)),
            Some(KeyKind::Served(id)) => drop(self.served.remove(&id)),
            _ => {}
        }
    }
}

fn read<T: DeserializeOwned>(key: &StoreKey, body: &Bytes) -> Result<T, ReadError> {
    Ok(read_body::<Fields>(key, body)?.read()?)
}

#[cfg(all(test, feature = "disk"))]
#[path = "restart_tests.rs"]
mod restart_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        name::ComponentId,
        replica::ReplicaState,
        store::{Expect, MemoryStore, Op, Store as _, record::Records},
    };
    use futures_util::StreamExt as _;

    struct Fixture {
        store: MemoryStore,
        records: Records,
        replica: Replica,
    }

    impl Fixture {
        async fn new() -> Self {
            let store = MemoryStore::new();
            let records = Records::new(Arc::new(store.clone()), Auth::trusting());
            let replica = Replica::follow(records.clone()).await.expect("in reach");
            Self {
                store,
                records,
                replica,
            }
        }

        /// Puts a record, and waits until the replica has it.
        async fn put(&self, key: &StoreKey, generation: u64, json: &str) -> Arc<Desired> {
            let life = self.store.incarnation().await.expect("in reach");
            let value = self.records.encode(life, key, generation, json);
            let op = Op::put(key.clone(), value.expect("encodes"), Expect::Any);
            let revision = self.store.commit(vec![op]).await.expect("in reach");
            self.until(|desired| desired.revision >= revision).await
        }

        async fn until(&self, holds: impl Fn(&Desired) -> bool) -> Arc<Desired> {
            let mut follow = self.replica.watch_desired();
            loop {
                let desired = follow.next().await.expect("open");
                if holds(&desired) {
                    return desired;
                }
            }
        }
    }

    fn actor(id: &str) -> (ComponentId, StoreKey) {
        let id = ComponentId::new(id).expect("valid");
        let key = StoreKey::actor(&id);
        (id, key)
    }

    const IMAGE: &str = r#"{"image":"reg.example/a:1"}"#;

    #[tokio::test(start_paused = true)]
    async fn records_are_read_once_and_shared() {
        let fixture = Fixture::new().await;
        let ((a, first), (b, second)) = (actor("a"), actor("b"));
        let before = fixture.put(&first, 0, IMAGE).await;
        let after = fixture.put(&second, 1, IMAGE).await;
        assert!(Arc::ptr_eq(&before.actors[&a], &after.actors[&a]));
        assert_eq!(after.actors[&b].revision, Revision(2));
        assert!(Arc::ptr_eq(&after, &fixture.replica.desired()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_record_is_still_reported_after_an_outage() {
        let fixture = Fixture::new().await;
        let (id, key) = actor("a");
        let needs = r#"{"image":"reg.example/a:1","needs":["gpu"]}"#;
        let desired = fixture.put(&key, 0, needs).await;
        assert!(desired.unreadable[&key].is_newer, "{desired:?}");
        assert_eq!(fixture.replica.health().refused, 1);
        fixture.store.disconnect();
        let mut health = fixture.replica.follow_health();
        let lost = health.wait_for(|health| health.state == ReplicaState::Lost);
        lost.await.expect("lives");
        fixture.store.reconnect();
        let followed = health.wait_for(|health| health.state == ReplicaState::Following);
        followed.await.expect("lives");
        let desired = fixture.replica.desired();
        assert!(desired.unreadable[&key].is_newer, "{desired:?}");
        assert_eq!(fixture.replica.health().refused, 1, "refused once");
        let desired = fixture.put(&key, 1, IMAGE).await;
        assert!(desired.actors.contains_key(&id) && desired.unreadable.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_was_spoiled_before_it_was_looked_at_stays_in_effect() {
        let fixture = Fixture::new().await;
        let (id, key) = actor("a");
        let life = fixture.store.incarnation().await.expect("in reach");
        // The replica receives both changes at once.
        let value = fixture.records.encode(life, &key, 0, IMAGE);
        let put = Op::put(key.clone(), value.expect("encodes"), Expect::Any);
        let written = fixture.store.commit(vec![put]).await.expect("in reach");
        let garbage = Op::put(key.clone(), "garbage", Expect::Any);
        let spoiled = fixture.store.commit(vec![garbage]).await.expect("in reach");
        let desired = fixture.until(|desired| desired.revision >= spoiled).await;
        assert!(!desired.unreadable[&key].is_newer);
        assert_eq!(desired.actors[&id].revision, written);
        // It is deleted in between, and spoiled again.
        let deletion = fixture.records.deletion(life, key.clone(), 2, Expect::Any);
        fixture
            .store
            .commit(vec![deletion])
            .await
            .expect("in reach");
        let garbage = Op::put(key.clone(), "garbage", Expect::Any);
        let spoiled = fixture.store.commit(vec![garbage]).await.expect("in reach");
        let desired = fixture.until(|desired| desired.revision >= spoiled).await;
        assert!(desired.unreadable.contains_key(&key) && desired.actors.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_with_wrong_fields_is_rejected_and_not_reported_as_newer() {
        let fixture = Fixture::new().await;
        let (_, key) = actor("a");
        let desired = fixture.put(&key, 0, "[]").await;
        let found = &desired.unreadable[&key];
        assert!(!found.is_newer, "{found:?}");
        let reason = &found.reason;
        assert!(reason.contains("isn't a valid record"), "{reason}");
    }
}
