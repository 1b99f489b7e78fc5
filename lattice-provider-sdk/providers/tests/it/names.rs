//! The names of the providers and of their interfaces, in the code and in the documents.

use lattice_core::{name::InterfaceName, types::InterfaceTypes};
use lattice_provider_sdk::{Lattice, serve};
use lattice_providers::{Builtin, builtins};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const README: &str = include_str!("../../../../README.md");
const OWN: &str = include_str!("../../README.md");

/// The heads of the tables.
const INTERFACES: &str =
    "| capability | interfaces that it serves | interfaces that it calls | providers |\n";
const GUARANTEES: &str = "| provider | durability | atomicity | order | delivery |\n";

/// What a provider can't be made without. None of it is used.
const NEEDED: [(&str, &[(&str, &str)]); 11] = [
    ("blobstore-azure", &[("account", "a"), ("container", "c")]),
    ("blobstore-file", &[("path", "/nowhere/objects")]),
    ("blobstore-gcs", &[("bucket", "b")]),
    ("blobstore-nats", &[("servers", "nats://localhost:1")]),
    ("blobstore-s3", &[("bucket", "b")]),
    ("keyvalue-file", &[("path", "/nowhere/kv.redb")]),
    ("keyvalue-nats", &[("servers", "nats://localhost:1")]),
    ("keyvalue-redis", &[("url", "redis://localhost:1")]),
    ("messaging-amqp", &[("servers", "amqp://localhost:1")]),
    ("messaging-nats", &[("servers", "nats://localhost:1")]),
    ("sql-postgres", &[("host", "localhost")]),
];

/// The interface that describes the configs of links.
const SCHEMA: &str = "lattice:config/schema@0.1.0";
/// Providers that start without anything around them: one for each capability.
const ALONE: [&str; 5] = [
    "blobstore-memory",
    "keyvalue-memory",
    "messaging-lattice",
    "schedule",
    "sql-sqlite",
];

/// The interfaces that a provider serves, and those that it calls.
type Interfaces = [BTreeSet<String>; 2];

#[test]
fn the_readme_has_every_provider_and_no_other() {
    let (_, section) = README
        .split_once("## Standard providers")
        .expect("a section");
    let (section, _) = section
        .split_once("\n## ")
        .expect("another section follows");
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.skip(2).filter_map(|row| row.split('|').nth(3));
    let named: BTreeSet<&str> = cells.flat_map(quoted).collect();
    let all = builtins();
    let built: BTreeSet<&str> = all.iter().map(|builtin| builtin.name).collect();
    assert_eq!(named, built);
    assert_eq!(all.len(), built.len(), "each has its own name");
}

#[tokio::test]
async fn the_table_has_the_interfaces_of_every_provider_and_no_other() {
    let mut named: BTreeMap<&str, Interfaces> = BTreeMap::new();
    for row in rows(OWN, INTERFACES) {
        for provider in quoted(row[4]) {
            let interfaces = named.entry(provider).or_default();
            for (interfaces, cell) in interfaces.iter_mut().zip([row[2], row[3]]) {
                interfaces.extend(quoted(cell).map(str::to_owned));
            }
        }
    }
    // That of hosts. A test of theirs compares it, and what they serve without a provider.
    assert!(named.remove("http").is_some());
    let all = builtins();
    let built: BTreeMap<&str, Interfaces> = all
        .iter()
        .map(|builtin| (builtin.name, interfaces(builtin)))
        .collect();
    assert_eq!(named, built);
}

#[test]
fn the_table_says_what_every_provider_guarantees() {
    let rows = rows(OWN, GUARANTEES);
    for row in &rows {
        let is_whole = row.len() == 7 && row[1..6].iter().all(|cell| !cell.is_empty());
        assert!(is_whole, "{row:?}");
    }
    let named: Vec<&str> = rows.iter().flat_map(|row| quoted(row[1])).collect();
    let once: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(named.len(), once.len(), "each is there once");
    let all = builtins();
    let mut built: BTreeSet<&str> = all.iter().map(|builtin| builtin.name).collect();
    built.insert("http");
    assert_eq!(once, built);
}

#[tokio::test]
async fn every_provider_describes_the_configs_of_its_links_in_both_directions() {
    let all = builtins();
    let alone = || all.iter().filter(|builtin| ALONE.contains(&builtin.name));
    assert_eq!(alone().count(), ALONE.len(), "one has another name now");
    for builtin in alone() {
        let [served, called] = interfaces(builtin);
        let lattice = Lattice::in_memory("test").await.expect("in memory");
        let made = (builtin.make)(&BTreeMap::new()).expect("no settings are needed");
        let _serving = serve(&lattice, "it", made).await.expect(builtin.name);
        let served = served.iter().filter(|interface| *interface != SCHEMA);
        let asked = served.map(|interface| ("link-config", interface)).chain(
            called
                .iter()
                .map(|interface| ("outgoing-config", interface)),
        );
        for (function, interface) in asked {
            let operator = lattice.operator();
            let argument = (interface.clone(),);
            let told = operator.call::<Option<String>>("it", SCHEMA, function, argument);
            let told = told.await.expect("it is told");
            let told = told.unwrap_or_else(|| panic!("{}: {function} {interface}", builtin.name));
            let schema: Value = serde_json::from_str(&told).expect("JSON");
            let fields = schema["properties"].as_object();
            assert!(fields.is_some_and(|fields| !fields.is_empty()), "{schema}");
        }
    }
}

/// Returns the cells of a table's rows. The first and the last cell of a row are empty: they are
/// beside the table.
fn rows<'t>(text: &'t str, head: &str) -> Vec<Vec<&'t str>> {
    let (_, table) = text.split_once(head).expect("the table");
    let rows = table.lines().skip(1);
    rows.take_while(|row| row.starts_with('|'))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect()
}

/// Returns what is in code style in a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn interfaces(builtin: &Builtin) -> Interfaces {
    let needed = NEEDED.iter().find(|(name, _)| *name == builtin.name);
    let needed = needed.map(|(_, settings)| *settings).unwrap_or_default();
    let settings = needed.iter();
    let settings: BTreeMap<String, String> = settings
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let made = (builtin.make)(&settings);
    let made = made.unwrap_or_else(|refusal| panic!("{}: {refusal}", builtin.name));
    let types = made.types();
    let served = callable(&types.exports);
    // Worlds of a database import what they export, for the types.
    let called = callable(&types.imports);
    let called = called.difference(&served).cloned().collect();
    [served, called]
}

/// Returns the interfaces that have functions. Others only have types.
fn callable(interfaces: &BTreeMap<InterfaceName, InterfaceTypes>) -> BTreeSet<String> {
    interfaces
        .iter()
        .filter(|(_, types)| !types.functions.is_empty())
        .map(|(name, _)| name.to_string())
        .collect()
}
