//! A database in a file that runs once: it moves to another host with its rows.

use super::support::{PATIENCE, link, served, started};
use crate::wait::until;
use lattice_core::{
    Lattice,
    agent::AgentOptions,
    app::App,
    bus::memory::MemoryNetwork,
    name::{ComponentId, HostId},
    store::MemoryStore,
};
use lattice_host::{Access as HostAccess, Host};
use lattice_providers::sql::database::{ConnectionClient, DatabaseClient, INTERFACE, Row, Value};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const APP: &str = "name = \"shop\"\n[providers.sql]\nbuiltin = \"sql-sqlite\"\nrun = \"once\"\nconfig = { path = \"app.db\" }\n";

/// Two hosts that can run the database, and a caller.
struct Scene {
    lattice: Lattice,
    hosts: Vec<Host>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
        let join = async || {
            let bus = Arc::new(network.connect());
            let lattice = Lattice::on(bus, Arc::new(store.clone()), "test").trust_bus();
            lattice.await.expect("it joins")
        };
        let folder = tempfile::tempdir().expect("a folder");
        let lattice = join().await;
        let mut hosts = Vec::new();
        for id in ["one", "two"] {
            let mut options = AgentOptions::default();
            options.listen = Duration::ZERO;
            let host = Host::builder(&join().await)
                .id(id)
                .placement(options)
                .provider_access(HostAccess::none().folder(folder.path()));
            hosts.push(started(host).await);
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

    /// Removes the host that serves the database.
    fn take_holder(&mut self) -> Host {
        let holder = self.holder().expect("it is served");
        let mut hosts = self.hosts.iter();
        let at = hosts.position(|host| *host.id() == holder);
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
        let other = self.hosts[0].id();
        until("the other host serves it", || {
            self.holder().as_ref() == Some(other)
        })
        .await;
    }
}

#[tokio::test]
async fn a_database_in_a_file_moves_with_its_rows_when_its_host_leaves() {
    let mut scene = Scene::new().await;
    let leaves = scene.take_holder();
    assert!(leaves.shutdown(PATIENCE / 2).await.is_clean());
    assert_eq!(scene.rows().await, [[Value::Int64(1)]]);
    scene.is_served_by_the_other().await;
    // It is the only one that writes.
    scene.execute("INSERT INTO notes VALUES (2)").await;
    let both = [[Value::Int64(1)], [Value::Int64(2)]];
    assert_eq!(scene.rows().await, both);
}
