//! The requests of the standard providers to their databases.

use super::TIME;
use lattice_core::{Lattice, link::Link};
use lattice_otel::{
    Guard,
    sink::{Sink, SpanRecord},
};
use lattice_provider_sdk::serve;
use lattice_providers::{
    keyvalue::{MemoryConfig, MemoryKeyValue},
    sql::{
        Sqlite, SqliteConfig,
        database::{DatabaseClient, INTERFACE as DATABASE},
    },
};

lattice_provider_sdk::client!({ inline: "
    package test:backends;
    world app { import lattice:keyvalue/store@0.1.0; }
" });

use lattice::keyvalue::store::{INTERFACE as STORE, StoreClient};

/// What no span has: it is a key, a value and a part of statements.
const SECRET: &str = "enigma-4711";

/// The spans in the order of their ends, with all that the conventions for databases are about.
const EXPECTED: [&str; 5] = [
    "client set default: db.collection.name = default, db.operation.name = set, db.system.name = memory",
    "client get default: db.collection.name = default, db.operation.name = get, db.system.name = memory",
    "client CREATE: db.operation.name = CREATE, db.system.name = sqlite",
    "client INSERT: db.operation.name = INSERT, db.system.name = sqlite",
    "client SELECT: db.operation.name = SELECT, db.system.name = sqlite, error.type = syntax",
];

/// Returns what a span has of databases.
fn shown(span: &SpanRecord) -> String {
    let is_of_database = |name: &str| {
        let parts = ["db.", "server.", "error."];
        parts.iter().any(|part| name.starts_with(part))
    };
    let attributes = span.attributes.iter();
    let attributes: Vec<String> = attributes
        .filter(|(name, _)| is_of_database(name))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    format!("{} {}: {}", span.kind, span.name, attributes.join(", "))
}

/// Makes requests to databases in memory, and checks their spans.
pub(super) async fn databases_have_spans(lattice: &Lattice, sink: &Sink, telemetry: &Guard) {
    let store = MemoryKeyValue::new(MemoryConfig::default());
    let _store = serve(lattice, "store", store).await.expect("served");
    let database = Sqlite::new(SqliteConfig::default());
    let _database = serve(lattice, "db", database).await.expect("served");
    for (interface, target) in [(STORE.name(), "store"), (DATABASE.name(), "db")] {
        let link = Link::new("clerk", interface, target).expect("a link");
        lattice.links().put(link).await.expect("put");
    }
    let caller = || lattice.caller("clerk").expect("an id");
    let store = StoreClient::new(caller());
    let set = store.set(SECRET, SECRET.as_bytes()).timeout(TIME).await;
    set.expect("the call").expect("set");
    let got = store.get(SECRET).timeout(TIME).await;
    assert!(got.expect("the call").expect("got").is_some());
    let database = DatabaseClient::new(caller());
    let made = database.new_connection().timeout(TIME).await;
    let connection = made.expect("the call");
    for statement in [
        "CREATE TABLE notes (text TEXT)".to_owned(),
        format!("INSERT INTO notes VALUES ('{SECRET}')"),
    ] {
        let done = connection.execute(&statement, &[]).timeout(TIME).await;
        done.expect("the call").expect("done");
    }
    let broken = format!("SELECT \"{SECRET}\" FROM nothing");
    let broken = connection.query(&broken, &[]).timeout(TIME).await;
    assert!(broken.expect("the call").is_err(), "there is no such table");

    telemetry.flush(TIME).await.expect("the sink takes it");
    // Another test has a span of a database of its own kind.
    let requests = |sink: &Sink| {
        let spans = sink.spans().into_iter();
        let of_kind = |span: &SpanRecord| {
            let system = span.attributes.get("db.system.name");
            system.is_some_and(|system| matches!(&**system, "memory" | "sqlite"))
        };
        spans.filter(of_kind).collect::<Vec<_>>()
    };
    let has_all = |sink: &Sink| requests(sink).len() >= EXPECTED.len();
    assert!(sink.wait(TIME, has_all).await, "{:#?}", sink.spans());
    let found = requests(sink);
    let lines: Vec<String> = found.iter().map(shown).collect();
    assert_eq!(lines, EXPECTED);
    for span in &found {
        assert!(!format!("{span:?}").contains(SECRET), "{span:?}");
        let spans = sink.spans();
        let outer = spans.iter().find(|outer| outer.span_id == span.parent_id);
        let outer = outer.map(|outer| &*outer.kind);
        assert_eq!(outer, Some("server"), "it is within the call: {span:?}");
    }
}
