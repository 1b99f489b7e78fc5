//! Processes of different versions on one store.

use super::*;
use futures_util::StreamExt as _;
use lattice_core::{
    desired::Image,
    store::{Entry, Expect, Op, Revision, StoreKey, record::Records},
};
use serde_json::{Value, json};

/// Another version of Lattice, which writes and reads the same records with other fields.
struct OtherVersion {
    store: MemoryStore,
    records: Records,
}

impl OtherVersion {
    fn of(store: &MemoryStore) -> Self {
        let records = Records::new(Arc::new(store.clone()), auth());
        Self {
            store: store.clone(),
            records,
        }
    }

    async fn entry(&self, key: &StoreKey) -> Entry {
        self.store
            .read(key.clone())
            .await
            .expect("read")
            .expect("there")
    }

    async fn read(&self, key: &StoreKey) -> Value {
        let life = self.store.incarnation().await.expect("there");
        let body = self.records.decode::<String>(life, &self.entry(key).await);
        serde_json::from_str(&body.expect("authentic").body).expect("JSON")
    }

    async fn write(&self, lattice: &Lattice, key: &StoreKey, fields: &Value) {
        let life = self.store.incarnation().await.expect("there");
        let generation = lattice.desired().revision.0;
        let value = self
            .records
            .encode(life, key, generation, &fields.to_string());
        let put = Op::put(key.clone(), value.expect("encodes"), Expect::Any);
        let revision = self.store.commit(vec![put]).await.expect("written");
        seen(lattice, revision).await;
    }
}

async fn seen(lattice: &Lattice, revision: Revision) {
    let mut follow = lattice.watch_desired();
    while follow.next().await.expect("open").revision < revision {}
}

#[tokio::test(start_paused = true)]
async fn an_older_process_reads_a_newer_record_and_keeps_unknown_fields() {
    let store = MemoryStore::new();
    let (lattice, newer) = (join(&store).await, OtherVersion::of(&store));
    lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect("applied");
    let (actor, record) = (StoreKey::actor(&id("a")), StoreKey::app(&name("shop")));
    let mut fields = newer.read(&actor).await;
    fields["affinity"] = json!({ "near": ["kv"] });
    fields["placement"]["burst"] = json!(7);
    newer.write(&lattice, &actor, &fields).await;
    let mut fields = newer.read(&record).await;
    fields["owner"] = json!("ada");
    fields["owns"] = json!(["actor.a", "secret.token"]);
    newer.write(&lattice, &record, &fields).await;
    let desired = lattice.desired();
    assert!(desired.unreadable.is_empty(), "{:?}", desired.unreadable);
    let spec = &desired.actors[&id("a")].spec;
    assert_eq!(spec.extra.names().collect::<Vec<_>>(), ["affinity"]);
    assert_eq!(spec.image, IMAGE.parse::<Image>().expect("an image"));

    // For this version nothing has changed.
    let again = lattice
        .apply(&actors("shop", &["a"]))
        .await
        .expect("applied");
    assert!(again.plan.is_empty(), "{}", again.plan);
}

#[tokio::test(start_paused = true)]
async fn an_older_process_that_overwrites_a_newer_record_keeps_its_fields() {
    let store = MemoryStore::new();
    let newer = OtherVersion::of(&store);
    let lattice = join(&store).await;
    let (actor, record) = (StoreKey::actor(&id("a")), StoreKey::app(&name("shop")));
    let fields = json!({ "app": "shop", "image": IMAGE, "affinity": { "near": ["kv"] } });
    newer.write(&lattice, &actor, &fields).await;
    let fields = json!({ "owns": ["actor.a", "secret.token"], "owner": "ada" });
    newer.write(&lattice, &record, &fields).await;

    let text = format!(
        "name = \"shop\"\nversion = \"2\"\n[actors.a]\nimage = \"{IMAGE}\"\nreplicas = 4\n"
    );
    lattice.apply(&app(&text)).await.expect("applied");
    let fields = newer.read(&actor).await;
    assert_eq!(fields["affinity"], json!({ "near": ["kv"] }));
    assert_eq!(fields["placement"]["replicas"], json!({ "Exactly": 4 }));
    let fields = newer.read(&record).await;
    assert_eq!(
        (&fields["owner"], &fields["version"]),
        (&json!("ada"), &json!("2"))
    );
    assert_eq!(fields["owns"], json!(["actor.a", "secret.token"]));
}

#[tokio::test(start_paused = true)]
async fn a_newer_process_uses_defaults_for_fields_missing_in_older_records() {
    let store = MemoryStore::new();
    let (lattice, older) = (join(&store).await, OtherVersion::of(&store));
    for (key, fields) in [
        (StoreKey::actor(&id("a")), json!({ "image": IMAGE })),
        (
            StoreKey::provider(&id("kv")),
            json!({ "kind": { "builtin": "keyvalue" } }),
        ),
        (
            StoreKey::wormhole(&"web".parse().expect("an id")),
            json!({ "path": "/", "actor": "a", "state": "open" }),
        ),
        (
            StoreKey::config(&"common".parse().expect("a name")),
            json!({ "values": {} }),
        ),
        (StoreKey::app(&name("shop")), json!({ "owns": [] })),
    ] {
        older.write(&lattice, &key, &fields).await;
    }
    let desired = lattice.desired();
    assert!(desired.unreadable.is_empty(), "{:?}", desired.unreadable);
    let counts = [
        desired.actors.len(),
        desired.providers.len(),
        desired.wormholes.len(),
        desired.configs.len(),
        desired.apps.len(),
    ];
    assert_eq!(counts, [1; 5]);
}
