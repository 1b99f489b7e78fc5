//! A database in a file that runs once: it moves to another host with its rows, and a transaction
//! ends with the lease of its provider.

use super::support::{PATIENCE, link, served, started};
use crate::wait::until;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use lattice_core::{
    Lattice,
    agent::AgentOptions,
    app::App,
    bus::memory::MemoryNetwork,
    name::{ComponentId, HostId},
    store::{
        CommitError, Entry, Expect, Incarnation, MemoryStore, Op, Revision, Store, StoreError,
        StoreKey, StoreWatch, WatchEvent,
    },
};
use lattice_host::{Access as HostAccess, Host};
use lattice_providers::sql::database::{
    Access, ConnectionClient, DatabaseClient, INTERFACE, Isolation, Row, Value,
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    time::{Instant, pause, resume, sleep},
};

const APP: &str = "name = \"shop\"\n[providers.sql]\nbuiltin = \"sql-sqlite\"\nrun = \"once\"\nconfig = { path = \"app.db\" }\n";

/// How long a lease lasts without a renewal.
const TERM: Duration = Duration::from_secs(5);

/// A way to the store, which can be cut.
#[derive(Debug, Clone)]
struct Way {
    store: MemoryStore,
    is_cut: watch::Sender<bool>,
}

impl Way {
    fn to(store: &MemoryStore) -> Self {
        Self {
            store: store.clone(),
            is_cut: watch::Sender::new(false),
        }
    }

    fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    fn check(&self) -> Result<(), StoreError> {
        if *self.is_cut.borrow() {
            return Err(StoreError::Unavailable("it is cut".to_owned()));
        }
        Ok(())
    }
}

impl Store for Way {
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.store.incarnation().await
        })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.store.read(key).await
        })
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            self.check()?;
            self.store.commit(ops).await
        })
    }

    fn lease(
        &self,
        key: StoreKey,
        value: bytes::Bytes,
        ttl: Duration,
        expect: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move {
            self.check()?;
            self.store.lease(key, value, ttl, expect).await
        })
    }

    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        Box::pin(async move {
            self.check()?;
            let mut cut = self.is_cut.subscribe();
            let lost = async move {
                // Without this way, nothing is heard either.
                let _ = cut.wait_for(|is_cut| *is_cut).await;
            };
            let events = self.store.watch().await?.take_until(Box::pin(lost));
            let then = stream::iter([WatchEvent::Lost]).chain(stream::pending());
            Ok(StoreWatch::new(events.chain(then)))
        })
    }
}

/// Two hosts that can run the database, each with its own way to the store, and a caller.
struct Scene {
    lattice: Lattice,
    hosts: Vec<(Host, Way)>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
        let join = async |way: Arc<dyn Store>| {
            let bus = Arc::new(network.connect());
            let lattice = Lattice::on(bus, way, "test").trust_bus();
            lattice.await.expect("it joins")
        };
        let folder = tempfile::tempdir().expect("a folder");
        let lattice = join(Arc::new(store.clone())).await;
        let mut hosts = Vec::new();
        for id in ["one", "two"] {
            let way = Way::to(&store);
            let mut options = AgentOptions::default();
            options.listen = Duration::ZERO;
            let host = Host::builder(&join(Arc::new(way.clone())).await)
                .id(id)
                .placement(options)
                .provider_access(HostAccess::none().folder(folder.path()));
            hosts.push((started(host).await, way));
        }
        let app = App::from_toml("app.toml", APP).expect("a manifest");
        lattice.apply(&app).await.expect("applied");
        link(&lattice, "app", INTERFACE.name(), "sql").await;
        served(&lattice, "sql").await;
        let scene = Self {
            lattice,
            hosts,
            _folder: folder,
        };
        scene.execute("CREATE TABLE notes (id BIGINT)").await;
        scene.execute("INSERT INTO notes VALUES (1)").await;
        scene
    }

    /// Returns which host serves the database.
    fn holder(&self) -> Option<HostId> {
        let id = ComponentId::new("sql").expect("an id");
        let peers = self.lattice.peers();
        let mut serving = peers.iter().filter(|it| it.components.contains_key(&id));
        serving.next().map(|peer| peer.origin.host.clone())
    }

    /// Removes the host that serves the database, with its way to the store.
    fn take_holder(&mut self) -> (Host, Way) {
        let holder = self.holder().expect("it is served");
        let mut hosts = self.hosts.iter();
        let at = hosts.position(|(host, _)| *host.id() == holder);
        self.hosts.remove(at.expect("it is one of both"))
    }

    /// Returns a new connection, once a host serves the database.
    async fn connection(&self) -> ConnectionClient {
        let until = Instant::now() + PATIENCE;
        loop {
            let caller = self.lattice.caller("app").expect("an id");
            let database = DatabaseClient::new(caller);
            let made = database.new_connection().timeout(PATIENCE);
            if let Ok(connection) = made.await {
                let asked = connection.query("SELECT 1", &[]).timeout(PATIENCE).await;
                if matches!(asked, Ok(Ok(_))) {
                    return connection;
                }
            }
            assert!(Instant::now() < until, "no host serves it in time");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn execute(&self, statement: &str) {
        let connection = self.connection().await;
        let executed = connection.execute(statement, &[]).timeout(PATIENCE).await;
        let executed = executed.expect("it is called");
        executed.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    async fn rows(&self) -> Vec<Row> {
        let (connection, query) = (self.connection().await, "SELECT id FROM notes ORDER BY id");
        let found = connection.query(query, &[]).timeout(PATIENCE).await;
        found.expect("it is called").expect("rows").rows
    }

    /// Waits until the host that was left serves the database.
    async fn is_served_by_the_other(&self) {
        let other = self.hosts[0].0.id();
        until("the other host serves it", || {
            self.holder().as_ref() == Some(other)
        })
        .await;
    }
}

#[tokio::test]
async fn a_database_in_a_file_moves_with_its_rows_when_its_host_leaves() {
    let mut scene = Scene::new().await;
    let (leaves, _way) = scene.take_holder();
    assert!(leaves.shutdown(PATIENCE / 2).await.is_clean());
    assert_eq!(scene.rows().await, [[Value::Int64(1)]]);
    scene.is_served_by_the_other().await;
    // It is the only one that writes.
    scene.execute("INSERT INTO notes VALUES (2)").await;
    let both = [[Value::Int64(1)], [Value::Int64(2)]];
    assert_eq!(scene.rows().await, both);
}

/// The host of the provider loses the store, and stays live: its lease ends, and the other host
/// takes it.
#[tokio::test]
async fn a_transaction_whose_provider_loses_its_lease_is_rolled_back() {
    let mut scene = Scene::new().await;
    let connection = scene.connection().await;
    let begun = connection
        .begin(Isolation::Serializable, Access::ReadWrite)
        .timeout(PATIENCE);
    let transaction = begun.await.expect("called").expect("it begins");
    let insert = transaction.execute("INSERT INTO notes VALUES (2)", &[]);
    let inserted = insert.timeout(PATIENCE).await.expect("called");
    assert_eq!(inserted, Ok(1));

    let (_cut_off, way) = scene.take_holder();
    way.cut();
    // Until the lease is over, and not renewed.
    pause();
    sleep(TERM).await;
    resume();
    let committed = transaction.commit().timeout(PATIENCE).await;
    assert!(!matches!(committed, Ok(Ok(()))), "{committed:?}");
    assert_eq!(scene.rows().await, [[Value::Int64(1)]]);
    scene.is_served_by_the_other().await;
    // What was rolled back holds nothing up.
    scene.execute("INSERT INTO notes VALUES (3)").await;
    let both = [[Value::Int64(1)], [Value::Int64(3)]];
    assert_eq!(scene.rows().await, both);
}
