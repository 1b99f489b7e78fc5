//! `lattice get`.

use crate::{
    failure::Failure,
    options::{LatticeOptions, hear_hosts},
    output::{Format, print_rows},
};
use clap::{Args, ValueEnum};
use lattice_core::{
    Lattice,
    constellation::ProcessView,
    desired::{Desired, Placement, ProviderKind, Replicas},
    name::{AppName, ComponentId, ConfigName},
    quantity::ByteSize,
    store::{KeyKind, StoreKey},
    wormhole::WormholeAuth,
};
use std::{collections::BTreeMap, time::Duration};

/// Headings, and the rows under them.
pub(crate) type Listing = (&'static [&'static str], Vec<Vec<String>>);

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to list
    #[arg(value_enum)]
    what: Kind,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Hosts that are live
    Hosts,
    /// Actors that should run
    Actors,
    /// Providers that should run
    Providers,
    /// Links
    Links,
    /// Apps
    Apps,
    /// Wormholes, open and closed
    Wormholes,
}

impl Get {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let lattice = options.open().await?;
        let (headings, rows) = match self.what {
            Kind::Hosts => {
                hear_hosts(&lattice).await;
                hosts(&lattice)
            }
            Kind::Actors => {
                hear_hosts(&lattice).await;
                actors(&lattice)
            }
            Kind::Providers => {
                hear_hosts(&lattice).await;
                providers(&lattice)
            }
            Kind::Links => links(&lattice),
            Kind::Apps => apps(&lattice),
            Kind::Wormholes => wormholes(&lattice),
        };
        print_rows(headings, &rows, self.output)
    }
}

fn hosts(lattice: &Lattice) -> Listing {
    let peers = lattice.peers();
    let store = lattice.replica().health().incarnation;
    let rows = peers.iter().map(|peer| {
        let components: Vec<&str> = peer.components.keys().map(ComponentId::as_str).collect();
        let theirs = peer.incarnation;
        let is_astray = theirs.is_some_and(|theirs| store.differs_from(theirs));
        vec![
            peer.origin.host.to_string(),
            labels(&peer.labels),
            components.join(","),
            if is_astray { "another store" } else { "" }.to_owned(),
        ]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    (&["host", "labels", "serves", "note"], rows)
}

/// The note for a component whose record can't be read.
const FROZEN: &str = "unreadable: frozen";

fn actors(lattice: &Lattice) -> Listing {
    let (desired, peers) = (lattice.desired(), lattice.peers());
    let rows = desired.actors.iter().map(|(id, actor)| {
        let actor = &actor.spec;
        let is_frozen = is_frozen(&desired, &StoreKey::actor(id), &actor.configs);
        let runs = desired.other_versions(id, &peers.generations(id));
        let runs = runs.map(|runs| format!("runs {runs}"));
        let back = desired.is_rolled_back(id, actor).then(|| {
            let why = actor.rejected_because.as_deref().unwrap_or("unknown");
            format!("rolled back: {why}")
        });
        let notes = [is_frozen.then(|| FROZEN.to_owned()), runs, back];
        vec![
            id.to_string(),
            app(actor.app.as_ref()),
            wanted(&actor.placement),
            served(lattice, id),
            actor.image.to_string(),
            notes.into_iter().flatten().collect::<Vec<_>>().join("; "),
        ]
    });
    let unread = unread(lattice, |kind| match kind {
        KeyKind::Actor(id) => (!desired.has_component(&id)).then_some(id),
        _ => None,
    });
    (
        &["actor", "app", "wanted", "served", "image", "note"],
        rows.chain(unread).collect(),
    )
}

fn providers(lattice: &Lattice) -> Listing {
    let (desired, view) = (lattice.desired(), lattice.constellation().snapshot());
    let rows = desired.providers.iter().map(|(id, provider)| {
        let provider = &provider.spec;
        let kind = match &provider.kind {
            ProviderKind::Builtin(name) => format!("builtin:{name}"),
            ProviderKind::Image(image) => image.to_string(),
            _ => "of a newer version".to_owned(),
        };
        let is_frozen = is_frozen(&desired, &StoreKey::provider(id), &provider.configs);
        let frozen = is_frozen.then(|| FROZEN.to_owned());
        let replicas = view.replicas_of(id);
        let processes = replicas.filter_map(|replica| {
            let process = replica.process.as_ref()?;
            Some(format!("on {}: {}", replica.host, process_note(process)))
        });
        let notes: Vec<String> = frozen.into_iter().chain(processes).collect();
        vec![
            id.to_string(),
            app(provider.app.as_ref()),
            wanted(&provider.placement),
            served(lattice, id),
            kind,
            notes.join("; "),
        ]
    });
    let unread = unread(lattice, |kind| match kind {
        KeyKind::Provider(id) => (!desired.has_component(&id)).then_some(id),
        _ => None,
    });
    (
        &["provider", "app", "wanted", "served", "kind", "note"],
        rows.chain(unread).collect(),
    )
}

/// Returns what a process of a provider has used, and how often it was started again. Why it ended
/// is in `lattice explain`.
fn process_note(process: &ProcessView) -> String {
    let up = process.uptime.map_or("away".to_owned(), |uptime| {
        format!("up {:?}", Duration::from_secs(uptime.as_secs()))
    });
    let memory = process.memory.map(|bytes| ByteSize::mib(bytes >> 20));
    let memory = memory.map(|memory| memory.to_string());
    let cpu = process.cpu.map(|cpu| format!("{cpu:?} of CPU time"));
    let restarts = (process.restarts > 0).then(|| format!("restarts: {}", process.restarts));
    let parts = [Some(up), memory, cpu, restarts];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns whether the record or a configuration of a component can't be read.
fn is_frozen(desired: &Desired, own: &StoreKey, configs: &[ConfigName]) -> bool {
    let is_unreadable = |key: &StoreKey| desired.unreadable.contains_key(key);
    is_unreadable(own)
        || configs
            .iter()
            .map(StoreKey::config)
            .any(|key| is_unreadable(&key))
}

/// Returns rows for the components whose records can't be read and were never read here.
fn unread(lattice: &Lattice, id_of: impl Fn(KeyKind) -> Option<ComponentId>) -> Vec<Vec<String>> {
    let desired = lattice.desired();
    let ids = desired
        .unreadable
        .keys()
        .filter_map(|key| id_of(key.kind()?));
    let row = |id: ComponentId| {
        let (served, nothing) = (served(lattice, &id), String::new);
        let (id, note) = (id.to_string(), FROZEN.to_owned());
        vec![id, nothing(), nothing(), served, nothing(), note]
    };
    ids.map(row).collect()
}

/// All links. Their configuration may hold secrets and is not shown.
pub(crate) fn links(lattice: &Lattice) -> Listing {
    let desired = lattice.desired();
    let rows = lattice.links().list().into_iter().map(|entry| {
        vec![
            entry.key.source.to_string(),
            entry.link.interface.to_string(),
            entry.key.name.to_string(),
            entry.link.target.to_string(),
            app(desired.link_owner(&entry.key)),
            entry.status.to_string(),
        ]
    });
    (
        &["source", "interface", "name", "target", "app", "status"],
        rows.collect(),
    )
}

fn apps(lattice: &Lattice) -> Listing {
    let desired = lattice.desired();
    let rows = desired.apps.iter().map(|(name, app)| {
        let is_frozen = desired.unreadable.contains_key(&StoreKey::app(name));
        vec![
            name.to_string(),
            app.spec.version.clone().unwrap_or_default(),
            app.spec.owns.len().to_string(),
            if is_frozen { FROZEN } else { "" }.to_owned(),
        ]
    });
    let unread = desired
        .unreadable
        .keys()
        .filter_map(|key| match key.kind()? {
            KeyKind::App(name) => (!desired.apps.contains_key(&name)).then_some(name),
            _ => None,
        });
    let unread = unread.map(|name| {
        let nothing = String::new;
        vec![name.to_string(), nothing(), nothing(), FROZEN.to_owned()]
    });
    (
        &["app", "version", "owns", "note"],
        rows.chain(unread).collect(),
    )
}

/// All wormholes. Their kind of authentication is shown, and no hashes.
pub(crate) fn wormholes(lattice: &Lattice) -> Listing {
    let table = lattice.wormholes().table();
    let rows = table.iter().map(|wormhole| {
        let spec = &wormhole.spec;
        let hosts: Vec<String> = spec.hosts().map(|host| host.to_string()).collect();
        vec![
            wormhole.id.to_string(),
            if hosts.is_empty() {
                "any".to_owned()
            } else {
                hosts.join(",")
            },
            spec.path.clone(),
            spec.actor.to_string(),
            if spec.is_open() { "open" } else { "closed" }.to_owned(),
            spec.auth.as_ref().map_or("", WormholeAuth::kind).to_owned(),
            app(spec.app.as_ref()),
            String::new(),
        ]
    });
    let desired = lattice.desired();
    let unread = desired
        .unreadable
        .keys()
        .filter_map(|key| match key.kind()? {
            KeyKind::Wormhole(id) => Some(id),
            _ => None,
        });
    let unread = unread.map(|id| {
        let note = "unreadable: lets nothing through".to_owned();
        let mut row = vec![id.to_string()];
        row.resize(WORMHOLE.len() - 1, String::new());
        row.push(note);
        row
    });
    (&WORMHOLE, rows.chain(unread).collect())
}

/// The headings of a list of wormholes.
const WORMHOLE: [&str; 8] = [
    "wormhole", "hosts", "path", "actor", "state", "auth", "app", "note",
];

fn app(name: Option<&AppName>) -> String {
    name.map(AppName::to_string).unwrap_or_default()
}

/// How many replicas serve now.
fn served(lattice: &Lattice, id: &ComponentId) -> String {
    lattice.peers().replicas(id).to_string()
}

fn wanted(placement: &Placement) -> String {
    match placement.replicas {
        Replicas::Exactly(count) => count.to_string(),
        Replicas::PerHost => "per host".to_owned(),
    }
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests;
