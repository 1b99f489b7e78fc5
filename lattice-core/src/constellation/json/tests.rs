use crate::{
    constellation::{
        AppView, ComponentKind, ComponentView, Delta, GuestMemoryView, HostLoad, HostView,
        LinkLoad, LinkState, LinkView, LostHostView, Phase, ProcessView, ReplicaLoad, ReplicaView,
        SCHEMA, StoreState, StoreView, UnreadableView, View, WormholeView,
    },
    desired::{Placement, Replicas, Run, SpreadRule, WormholeState},
    link::{LinkKey, Locality},
    name::IntoName,
    store::{Incarnation, Revision, StoreKey},
    types::Digest,
};
use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One change of each kind, the first of them a snapshot with every kind of item, full and bare.
const GOLDEN: &str = include_str!("../golden.json");

const INCARNATION: Incarnation = Incarnation(1_764_636_727_000_000_000);

fn golden() -> Vec<Value> {
    serde_json::from_str(GOLDEN).expect("JSON")
}

fn snapshot() -> View {
    match serde_json::from_value(golden()[0].clone()) {
        Ok(Delta::Snapshot(view)) => View::clone(&view),
        other => panic!("{other:?}"),
    }
}

fn name<N>(text: &str) -> N
where
    for<'a> &'a str: IntoName<N>,
{
    text.into_name().expect("valid")
}

/// The first of a kind, which has everything.
fn first<K, V: Clone>(items: &BTreeMap<K, Arc<V>>) -> V {
    let item = items.values().next().expect("there is one");
    V::clone(item)
}

#[test]
fn every_change_is_read_and_written_as_it_was() {
    for json in golden() {
        let delta: Delta =
            serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{e}: {json}"));
        assert_eq!(serde_json::to_value(&delta).expect("JSON"), json);
        // From text too, which is read in another way than a value.
        let text = serde_json::to_string(&delta).expect("JSON");
        assert_eq!(serde_json::from_str::<Delta>(&text).expect("reads"), delta);
    }
    let kinds: BTreeSet<String> = golden().iter().flat_map(keys).collect();
    let all = [
        "app",
        "component",
        "host",
        "link",
        "lost-host",
        "replica",
        "snapshot",
        "store",
        "unreadable",
        "wormhole",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn logical_items_mean_what_they_say() {
    let view = snapshot();
    let component = ComponentView {
        id: name("front"),
        kind: ComponentKind::Actor,
        app: Some(name("shop")),
        image: Some("file:front.wasm".to_owned()),
        placement: Some(Placement {
            replicas: Replicas::Exactly(2),
            require: [("zone".to_owned(), "a".to_owned())].into(),
            exclude: [("disk".to_owned(), "slow".to_owned())].into(),
            spread: vec![SpreadRule {
                label: "zone".to_owned(),
                weights: [("a".to_owned(), 2)].into(),
            }],
        }),
        run: Run::Replicated,
        revision: Some(Revision(9)),
        is_rolled_back: true,
        rollback_reason: Some("it traps".to_owned()),
        runs: Some("0.1.0".to_owned()),
        frozen_by: vec![StoreKey::from_store("config.old")],
    };
    assert_eq!(first(&view.components), component);
    let link = LinkView {
        key: LinkKey {
            source: name("front"),
            interface: "wasi:keyvalue/store@0.2".to_owned(),
            name: name("default"),
        },
        target: name("kv"),
        exact: name("wasi:keyvalue/store@0.2.0"),
        locality: Locality::Anywhere,
        state: LinkState::Rejected,
        reason: Some("no bucket".to_owned()),
        app: Some(name("shop")),
        revision: Revision(9),
        load: Some(LinkLoad {
            calls_per_second: 2.5,
            errors_per_second: 0.5,
            p99: Some(Duration::from_micros(2_100)),
        }),
    };
    assert_eq!(first(&view.links), link);
    let idle = view.links.values().nth(1).expect("a second link");
    assert_eq!(idle.load, None);
    let wormhole = WormholeView {
        id: name("shop"),
        actor: name("front"),
        host: Some("fuzzy-lake-1234".to_owned()),
        domains: ["shop.example".to_owned()].into(),
        path: "/api".to_owned(),
        state: WormholeState::Open,
        auth: Some("verifier".to_owned()),
        verifier: Some(name("web")),
        app: Some(name("shop")),
    };
    assert_eq!(first(&view.wormholes), wormhole);
    let link = "link.front.wasi=3akeyvalue=2fstore=400=2e2.default";
    let app = AppView {
        name: name("shop"),
        version: Some("1.0.0".to_owned()),
        owns: ["actor.front", link].map(StoreKey::from_store).into(),
    };
    assert_eq!(first(&view.apps), app);
    let unreadable = UnreadableView {
        key: StoreKey::from_store("config.old"),
        reason: "it was written with another key".to_owned(),
    };
    assert_eq!(first(&view.unreadable), unreadable);
    let store = StoreView {
        state: StoreState::Following,
        incarnation: INCARNATION,
        revision: Revision(12),
    };
    assert_eq!(view.store, store);
}

#[test]
fn hosts_and_replicas_mean_what_they_say() {
    let view = snapshot();
    let host = HostView {
        id: name("a"),
        epoch: 1_764_636_727_123,
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        versions: (1, 2),
        load: Some(HostLoad {
            uptime: Duration::from_secs(42),
            in_flight: 3,
            memory: Some(52_428_800),
            incarnation: INCARNATION,
            revision: Revision(12),
            follows_store: true,
            left_out: 1,
            release: Some("0.1.0".to_owned()),
            guest_memory: Some(GuestMemoryView {
                used: 4_096,
                limit: 8_192,
            }),
        }),
        is_leaving: true,
        is_apart: true,
        store: Some(INCARNATION),
        is_astray: true,
        rival: Some(7),
        unsaid: Some("too many components".to_owned()),
    };
    assert_eq!(first(&view.hosts), host);
    let replica = ReplicaView {
        component: name("front"),
        host: name("a"),
        phase: Phase::CrashLooping { failures: 3 },
        generation: Some(u64::MAX),
        types: Some(Digest([7; 32])),
        reason: Some("it traps".to_owned()),
        load: Some(ReplicaLoad {
            calls: 10,
            errors: 1,
            calls_per_second: Some(2.5),
            errors_per_second: Some(0.0),
            p50: Some(Duration::from_micros(180)),
            p99: Some(Duration::from_micros(2_100)),
        }),
        process: Some(ProcessView {
            restarts: 1,
            uptime: Some(Duration::from_secs(5)),
            memory: Some(4_096),
            cpu: Some(Duration::from_millis(12)),
            last_exit: Some("it was killed".to_owned()),
        }),
    };
    assert_eq!(first(&view.replicas), replica);
    let bare = view.hosts.values().nth(1).expect("the second host");
    assert_eq!(bare.load, None, "it has not reported");
    let lost = LostHostView {
        host: HostView {
            id: name("c"),
            epoch: 6,
            ..HostView::clone(bare)
        },
        last_heard: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_636_727_456),
    };
    assert_eq!(first(&view.lost_hosts), lost);
    let [_, silent, idle] = view.replicas.values().collect::<Vec<_>>()[..] else {
        panic!("three replicas");
    };
    assert_eq!(
        (silent.load, &silent.process, silent.types),
        (None, &None, None)
    );
    assert!(idle.load.is_some_and(|load| load.p99.is_none()));
}

#[test]
fn times_are_written_in_whole_units() {
    let mut host = first(&snapshot().hosts);
    if let Some(load) = &mut host.load {
        load.uptime += Duration::from_millis(999);
    }
    let json = serde_json::to_value(&host).expect("JSON");
    assert_eq!(json["uptime_s"], 42);
}

#[test]
fn a_view_of_an_older_version_has_no_lost_hosts() {
    let mut older = golden()[0]["snapshot"].clone();
    older.as_object_mut().expect("a view").remove("lost_hosts");
    let view: View = serde_json::from_value(older).expect("a view");
    assert!(view.lost_hosts.is_empty());
}

#[test]
fn what_is_wrong_is_refused() {
    let wrong = [
        json!({ "component": { "is": { "id": "Not A Name" } } }),
        json!({ "host": { "was": {} } }),
        json!({ "planet": { "is": {} } }),
        json!({ "replica": { "is": { "component": "a", "host": "b", "phase": "dreaming", "generation": null, "reason": null } } }),
        json!({ "replica": { "is": { "component": "a", "host": "b", "phase": "serving", "generation": null, "reason": null, "types": "07" } } }),
        json!({ "link": { "is": { "source": "a" } } }),
        json!(null),
    ];
    for json in wrong {
        assert!(
            serde_json::from_value::<Delta>(json.clone()).is_err(),
            "{json}"
        );
    }
}

/// Returns the names of an object's fields.
fn keys(object: &Value) -> BTreeSet<String> {
    let object = object.as_object().expect("an object");
    object.keys().cloned().collect()
}

/// Compiles the schema of one definition.
fn schema(schemas: &mut Schemas, definition: &str) -> boon::SchemaIndex {
    let mut compiler = Compiler::new();
    let schema = serde_json::from_str(SCHEMA).expect("JSON");
    compiler
        .add_resource("lattice.json", schema)
        .expect("a resource");
    let place = format!("lattice.json#/$defs/{definition}");
    compiler
        .compile(&place, schemas)
        .unwrap_or_else(|error| panic!("{definition}: {error}"))
}

#[test]
fn the_schema_describes_what_is_written() {
    let mut schemas = Schemas::new();
    let delta = schema(&mut schemas, "Delta");
    for json in golden() {
        let valid = schemas
            .validate(&json, delta)
            .map_err(|error| error.to_string());
        assert_eq!(valid, Ok(()), "{json}");
    }
    let view = schema(&mut schemas, "View");
    let json = serde_json::to_value(snapshot()).expect("JSON");
    assert!(schemas.validate(&json, view).is_ok());
    let empty = serde_json::to_value(View::default()).expect("JSON");
    assert!(schemas.validate(&empty, view).is_ok(), "{empty}");
    // It refuses what can't be read, too.
    let mut broken = golden()[2].clone();
    broken["component"]["is"]["kind"] = json!("planet");
    assert!(schemas.validate(&broken, delta).is_err());
    let mut half = golden()[0].clone();
    let replica = half["snapshot"]["replicas"][0]
        .as_object_mut()
        .expect("an object");
    replica.remove("errors");
    assert!(
        schemas.validate(&half, delta).is_err(),
        "the load of a replica is whole"
    );
    let mut half = golden()[0].clone();
    let link = half["snapshot"]["links"][0]
        .as_object_mut()
        .expect("an object");
    link.remove("p99_us");
    assert!(
        schemas.validate(&half, delta).is_err(),
        "that of a link, too"
    );
}

/// A field that is added to a type has to be added to the schema, and the reverse.
#[test]
fn the_schema_has_the_fields_of_the_types_and_no_others() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let view = serde_json::to_value(snapshot()).expect("JSON");
    let of = |kind: &str| view[kind][0].clone();
    let full = [
        ("View", view.clone()),
        ("StoreView", view["store"].clone()),
        ("ComponentView", of("components")),
        ("Placement", of("components")["placement"].clone()),
        (
            "SpreadRule",
            of("components")["placement"]["spread"][0].clone(),
        ),
        ("LinkView", of("links")),
        ("WormholeView", of("wormholes")),
        ("AppView", of("apps")),
        ("UnreadableView", of("unreadable")),
        ("HostView", of("hosts")),
        ("GuestMemoryView", of("hosts")["guest_memory"].clone()),
        ("LostHostView", of("lost_hosts")),
        ("ReplicaView", of("replicas")),
        ("ProcessView", of("replicas")["process"].clone()),
    ];
    for (definition, json) in full {
        let described = keys(&schema["$defs"][definition]["properties"]);
        assert_eq!(described, keys(&json), "{definition}");
    }
}

#[test]
fn nothing_secret_is_in_a_view() {
    // What a link, a provider or a wormhole is configured with has no place in a view.
    for word in ["config", "password", "secret", "hash", "token"] {
        let described = SCHEMA.contains(&format!("\"{word}"));
        assert!(!described, "{word}");
    }
}
