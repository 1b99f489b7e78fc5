//! Unreadable records stop nothing and start nothing.

use super::*;
use lattice_core::{
    auth::{Auth, Purpose, TAG_LEN},
    constellation::Subject,
    name::{AppName, ConfigName, LatticeName},
    store::{Expect, Op, Store as _, StoreKey},
    value::{from_bytes, to_bytes},
};

const CONFIGURED: &str = "name = \"shop\"\n[actors.greeter]\nimage = \"reg.example/greeter:1\"\nreplicas = 2\nconfigs = [\"common\"]\n[providers.kv]\nbuiltin = \"keyvalue\"\nrun = \"once\"\n[configs.common]\ncolor = \"red\"\n";

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("valid")
}

fn keys() -> [StoreKey; 4] {
    [
        StoreKey::actor(&id("greeter")),
        StoreKey::provider(&id("kv")),
        StoreKey::config(&ConfigName::new("common").expect("valid")),
        StoreKey::app(&AppName::new("shop").expect("valid")),
    ]
}

/// Changes a record without the lattice's key, as any client of the store can.
async fn change(mesh: &Mesh, store: &MemoryStore, op: Op) {
    let key = op.key.clone();
    store.commit(vec![op]).await.expect("committed");
    mesh.until("it is refused", || {
        mesh.lattice.desired().unreadable.contains_key(&key)
    })
    .await;
}

async fn scribble(mesh: &Mesh, store: &MemoryStore, key: &StoreKey) {
    let op = Op::put(key.clone(), "garbage", Expect::Any);
    change(mesh, store, op).await;
}

async fn remove(mesh: &Mesh, store: &MemoryStore, key: &StoreKey) {
    let op = Op::delete(key.clone(), Expect::Any);
    change(mesh, store, op).await;
}

impl Mesh {
    async fn both_serve(&self) {
        self.until("the actor serves", || self.serving("greeter").len() == 2)
            .await;
        self.until("the provider serves", || self.serving("kv").len() == 1)
            .await;
    }

    /// Waits for a minute after a change of `key`, which changes nothing.
    async fn goes_on(&self, key: &StoreKey) {
        sleep(Duration::from_mins(1)).await;
        assert_eq!(self.serving("greeter").len(), 2, "{key}");
        assert_eq!(self.serving("kv").len(), 1, "{key}");
    }

    /// Applies the app again, after which everything can be read, and then removes its components.
    async fn recovers(&self) {
        self.apply(CONFIGURED).await;
        assert!(self.lattice.desired().unreadable.is_empty());
        sleep(Duration::from_mins(1)).await;
        self.both_serve().await;
        self.apply("name = \"shop\"\n").await;
        self.until("nothing serves", || {
            self.serving("greeter").is_empty() && self.serving("kv").is_empty()
        })
        .await;
    }

    async fn why(&self, component: &str) -> String {
        let subject = Subject::Component(id(component));
        self.lattice.explain(&subject).await.to_string()
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_stops_nothing_and_changes_nothing() {
    let store = MemoryStore::new();
    let mesh = Mesh::on(&store).await;
    let [lost, _stays] = mesh.hosts::<2>().await;
    mesh.apply(CONFIGURED).await;
    mesh.both_serve().await;
    let starts = mesh.record.all().len();
    for key in keys() {
        scribble(&mesh, &store, &key).await;
        mesh.goes_on(&key).await;
    }
    assert_eq!(mesh.record.all().len(), starts, "nothing is started again");
    let why = mesh.why("greeter").await;
    assert!(why.contains("`actor.greeter` can't be read"), "{why}");
    assert!(why.contains("`config.common` can't be read"), "{why}");
    assert!(why.contains("it is frozen"), "{why}");
    // A lost replica is still replaced.
    let _third = mesh.host("h2").await;
    drop(lost);
    mesh.until("the lost replica is replaced", || {
        mesh.serving("greeter").into_keys().eq(["h1", "h2"])
    })
    .await;
    let is_replaced =
        |start: &String| start.starts_with("h2 starts") && start.ends_with("greeter:1");
    assert!(mesh.record.all().iter().any(is_replaced));
    mesh.recovers().await;
}

/// Writes a record as another version would, and waits until this one has looked at it.
async fn write(mesh: &Mesh, store: &MemoryStore, key: &StoreKey, schema: u16, json: &str) {
    let (lattice, secret) = (
        LatticeName::new("dev"),
        LatticeKey::from_hex(&"01".repeat(32)),
    );
    let auth = Auth::keyed(&lattice.expect("valid"), &secret.expect("a key"));
    let life = store.incarnation().await.expect("there");
    let generation = mesh.lattice.desired().revision.0;
    let mut value = schema.to_le_bytes().to_vec();
    value.extend(generation.to_le_bytes());
    value.extend(to_bytes(&json.to_owned()).expect("it encodes"));
    let parts = [&life.0.to_le_bytes()[..], key.as_str().as_bytes(), &value];
    let tag = auth.tag(Purpose::Store, &parts);
    value.extend(tag);
    let put = Op::put(key.clone(), value, Expect::Any);
    let revision = store.commit(vec![put]).await.expect("committed");
    mesh.until("it is looked at", || {
        mesh.lattice.desired().revision >= revision
    })
    .await;
}

/// Returns the body of a record.
async fn body(store: &MemoryStore, key: &StoreKey) -> String {
    let entry = store.read(key.clone()).await.expect("in reach");
    let value = entry.expect("there").value;
    // Schema and generation are before it, and the tag after it.
    let end = value.len() - TAG_LEN;
    from_bytes(&value.slice(10..end)).expect("a text")
}

#[tokio::test(start_paused = true)]
async fn records_of_a_newer_schema_over_running_components_change_nothing() {
    let store = MemoryStore::new();
    let mesh = Mesh::on(&store).await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(CONFIGURED).await;
    mesh.both_serve().await;
    let starts = mesh.record.all().len();
    let mut bodies = Vec::new();
    for key in keys() {
        bodies.push(body(&store, &key).await);
    }
    let [actor, ..] = keys();
    let gpu = r#"{"image":"reg.example/greeter:2","needs":["gpu"]}"#;
    let newer = keys().map(|key| (key, 2, "{}"));
    // One whose schema is known, and which needs what isn't.
    for (key, schema, json) in newer.into_iter().chain([(actor.clone(), 1, gpu)]) {
        write(&mesh, &store, &key, schema, json).await;
        let desired = mesh.lattice.desired();
        let found = desired.unreadable.get(&key);
        assert!(
            found.is_some_and(|found| found.is_newer),
            "{key}: {found:?}"
        );
        mesh.goes_on(&key).await;
        let answer = mesh.call("greeter").await.expect("it serves");
        assert!(answer.ends_with("reg.example/greeter:1"), "{key}: {answer}");
    }
    assert_eq!(mesh.record.all().len(), starts, "nothing is started again");
    let why = mesh.why("greeter").await;
    for told in ["it needs `gpu`", "update this process", "it is frozen"] {
        assert!(why.contains(told), "{told}: {why}");
    }
    let why = mesh.why("kv").await;
    assert!(why.contains("`provider.kv` can't be read"), "{why}");
    assert!(why.contains("has schema 2"), "{why}");
    // This version doesn't write over what it can't read.
    let app = App::from_toml("app.toml", CONFIGURED).expect("a manifest");
    let refused = mesh.lattice.apply(&app).await.expect_err("it is newer");
    let refused = refused.to_string();
    assert!(refused.contains("can't be changed from here"), "{refused}");

    for (key, body) in keys().iter().zip(bodies) {
        let body = body.replace("greeter:1", "greeter:2");
        write(&mesh, &store, key, 1, &body).await;
    }
    assert!(mesh.lattice.desired().unreadable.is_empty());
    mesh.until("the new version is called", || {
        let second = |start: &&String| start.ends_with("greeter:2");
        mesh.record.all().iter().filter(second).count() >= 2
    })
    .await;
    mesh.both_serve().await;
    sleep(Duration::from_mins(1)).await;
    let answer = mesh.call("greeter").await.expect("it serves");
    assert!(answer.ends_with("reg.example/greeter:2"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_removed_without_the_key_stops_nothing() {
    let store = MemoryStore::new();
    let mesh = Mesh::on(&store).await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(CONFIGURED).await;
    mesh.both_serve().await;
    let starts = mesh.record.all().len();
    for key in keys() {
        remove(&mesh, &store, &key).await;
        mesh.goes_on(&key).await;
    }
    assert_eq!(mesh.record.all().len(), starts, "nothing is started again");
    let why = mesh.why("greeter").await;
    assert!(why.contains("removed without this lattice's key"), "{why}");
    mesh.recovers().await;
    mesh.apply(CONFIGURED).await;
    mesh.both_serve().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_read_a_record_starts_and_stops_nothing_for_it() {
    for spoiled in keys().into_iter().take(3) {
        let store = MemoryStore::new();
        let mesh = Mesh::on(&store).await;
        let _hosts = mesh.hosts::<2>().await;
        mesh.apply(CONFIGURED).await;
        mesh.both_serve().await;
        scribble(&mesh, &store, &spoiled).await;
        let starts = mesh.record.all().len();
        // Another process on the same bus and store would need its own mesh here, so this checks
        // the view of a fresh process.
        let fresh = Mesh::on(&store).await;
        let [host] = fresh.hosts::<1>().await;
        sleep(Duration::from_mins(1)).await;
        let state = host.agent.state();
        let frozen = if spoiled == keys()[1] {
            "kv"
        } else {
            "greeter"
        };
        assert!(!state.components.contains_key(&id(frozen)), "{spoiled}");
        let why = fresh.why(frozen).await;
        assert!(why.contains(&format!("`{spoiled}` can't be read")), "{why}");
        assert_eq!(mesh.record.all().len(), starts);
        assert_eq!(mesh.serving("greeter").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_component_deleted_before_its_record_became_unreadable_stays_deleted() {
    let store = MemoryStore::new();
    let mesh = Mesh::on(&store).await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(CONFIGURED).await;
    mesh.both_serve().await;
    let key = StoreKey::actor(&id("greeter"));
    mesh.apply("name = \"shop\"\n").await;
    scribble(&mesh, &store, &key).await;
    let desired = mesh.lattice.desired();
    assert!(desired.actors.is_empty(), "{:?}", desired.actors);
    mesh.until("nothing serves", || mesh.serving("greeter").is_empty())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_component_removed_without_the_key_is_stopped_by_a_process_that_never_saw_it() {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let mesh = Mesh::between(&network, &store).await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(CONFIGURED).await;
    mesh.both_serve().await;
    for key in [
        StoreKey::actor(&id("greeter")),
        StoreKey::provider(&id("kv")),
    ] {
        let op = Op::delete(key.clone(), Expect::Any);
        store.commit(vec![op]).await.expect("removed");
        mesh.until("it is missed", || {
            mesh.lattice.desired().unreadable.contains_key(&key)
        })
        .await;
    }
    sleep(Duration::from_mins(1)).await;
    mesh.both_serve().await;
    let later = Mesh::between(&network, &store).await;
    later.lattice.delete_app("shop").await.expect("deleted");
    mesh.until("nothing serves", || {
        mesh.serving("greeter").is_empty() && mesh.serving("kv").is_empty()
    })
    .await;
}
