//! The items of a view.

use super::{Phase, json};
use crate::{
    desired::{Placement, Run, WormholeSpec, WormholeState},
    link::{LinkEntry, LinkKey, LinkStatus, Locality},
    name::{AppName, ComponentId, HostId, InterfaceName, WormholeId},
    replica::{ReplicaHealth, ReplicaState},
    store::{Incarnation, Revision, StoreKey},
    types::Digest,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, SystemTime},
};

/// An item of a view, and its key among the items of its kind.
pub trait Item {
    /// The type of its key.
    type Key: Ord + Clone;

    /// Returns its key.
    fn key(&self) -> Self::Key;
}

/// This process's view of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreView {
    /// Whether this process is up to date with the store.
    pub state: StoreState,
    /// The incarnation of the store that is known.
    pub incarnation: Incarnation,
    /// The revision of the last write that this process has received.
    pub revision: Revision,
}

/// Whether this process is up to date with the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoreState {
    /// It follows the store within moments.
    Following,
    /// The store is out of reach; the copy stays as it was.
    #[default]
    Lost,
    /// The store was not reached yet; the copy is one that an earlier process made.
    Snapshot,
    /// It follows the store, and keeps links of the store that this one has replaced.
    Replaced,
    /// It follows the store, and keeps links that the store had before it was rolled back.
    WentBack,
    /// The store can't be read: it was written with another key.
    OtherKey,
    /// The store was closed; the copy no longer changes.
    Closed,
}

/// An actor, a provider, or a component that is served without being declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ComponentView {
    /// Its id.
    pub id: ComponentId,
    /// Its kind.
    pub kind: ComponentKind,
    /// The app that declared it.
    pub app: Option<AppName>,
    /// Where its code comes from, or the name of a built-in provider.
    pub image: Option<String>,
    /// How many should run, and where; `None` when it is not declared.
    pub placement: Option<Placement>,
    /// Whether several may run at the same time.
    pub run: Run,
    /// The write of its current declaration.
    pub revision: Option<Revision>,
    /// Whether its last version failed to start, so that hosts run the previous one.
    pub is_rolled_back: bool,
    /// Why it was rolled back, as reported by a host that gave it up.
    pub rollback_reason: Option<String>,
    /// The version that hosts run in place of the declared one, if it was rolled back.
    pub runs: Option<String>,
    /// The unreadable records because of which the component is frozen: its last known state stays,
    /// and without one, nothing is started or stopped for it.
    #[serde(with = "json::keys")]
    pub frozen_by: Vec<StoreKey>,
}

/// The kind of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ComponentKind {
    /// A declared actor.
    Actor,
    /// A declared provider.
    Provider,
    /// Served by a program without being declared.
    ByHand,
}

/// A link and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkView {
    /// Its key: source, interface with its compatible version, name.
    #[serde(flatten)]
    pub key: LinkKey,
    /// The component that is called.
    pub target: ComponentId,
    /// The interface with its full version.
    #[serde(rename = "version")]
    pub exact: InterfaceName,
    /// Which replicas may be called.
    pub locality: Locality,
    /// Its state.
    pub state: LinkState,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// The app that owns it.
    pub app: Option<AppName>,
    /// The write that put it.
    pub revision: Revision,
    /// The calls over it; `None` while no host of its target reports any.
    #[serde(flatten)]
    pub load: Option<LinkLoad>,
}

/// The recent calls over a link, in the last one or two intervals between reports: those that the
/// hosts of its target have served or refused, together. A call that reaches none of them isn't
/// counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkLoad {
    /// Calls per second.
    pub calls_per_second: f64,
    /// Calls per second that ended in an error.
    pub errors_per_second: f64,
    /// The 99th percentile of their latency on the host where it is worst; `None` if none was
    /// timed. In JSON in microseconds.
    #[serde(rename = "p99_us", with = "json::micros")]
    pub p99: Option<Duration>,
}

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LinkState {
    /// No host of its target has reported on it.
    Pending,
    /// A host of its target accepted it.
    Active,
    /// Every host of its target that reported refused it.
    Rejected,
}

/// A public endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WormholeView {
    /// Its id.
    pub id: WormholeId,
    /// The actor that it leads to.
    pub actor: ComponentId,
    /// The host name of the requests that it serves; `None` for any, if it has no domains.
    pub host: Option<String>,
    /// More host names of the requests that it serves.
    pub domains: BTreeSet<String>,
    /// The prefix of the paths that it serves.
    pub path: String,
    /// Whether it is open to the public.
    pub state: WormholeState,
    /// The kind of credentials that it asks for: `basic`, `bearer` or `verifier`.
    pub auth: Option<String>,
    /// The actor that decides whom it lets through, if one does.
    pub verifier: Option<ComponentId>,
    /// The app that declared it.
    pub app: Option<AppName>,
}

impl WormholeView {
    /// Makes the view of a record.
    pub(super) fn of(id: &WormholeId, spec: &WormholeSpec) -> Self {
        let auth = spec.auth.as_ref();
        Self {
            id: id.clone(),
            actor: spec.actor.clone(),
            host: spec.host.clone(),
            domains: spec.domains.clone(),
            path: spec.path.clone(),
            state: spec.state,
            auth: auth.map(|auth| auth.kind().to_owned()),
            verifier: auth.and_then(|auth| auth.verifier()).cloned(),
            app: spec.app.clone(),
        }
    }

    /// Returns its host names, each with its path: `*` for any host name.
    pub fn addresses(&self) -> Vec<String> {
        let path = self.path.as_str();
        let names = self.host.iter().chain(&self.domains);
        let addresses: Vec<String> = names.map(|name| format!("{name}{path}")).collect();
        if addresses.is_empty() {
            vec![format!("*{path}")]
        } else {
            addresses
        }
    }
}

/// An app and what it owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AppView {
    /// Its name.
    pub name: AppName,
    /// The version in its manifest.
    pub version: Option<String>,
    /// The keys in the store that it owns.
    #[serde(with = "json::keys")]
    pub owns: Vec<StoreKey>,
}

/// A record of desired state that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnreadableView {
    /// Its key in the store.
    #[serde(with = "json::key")]
    pub key: StoreKey,
    /// The problem, and how to solve it.
    pub reason: String,
}

/// A live host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostView {
    /// Its id.
    pub id: HostId,
    /// The epoch of its boot.
    pub epoch: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The oldest and the newest version of frames that it reads.
    pub versions: (u8, u8),
    /// Its last report; `None` until it has reported.
    #[serde(flatten)]
    pub load: Option<HostLoad>,
    /// Whether it is leaving, so that others take over its components.
    pub is_leaving: bool,
    /// Whether it takes no part in placement.
    pub is_apart: bool,
    /// The incarnation of the store that its last heartbeat names; `None` if it follows none or may
    /// not write leases there, which is zero in JSON.
    #[serde(with = "json::store")]
    pub store: Option<Incarnation>,
    /// Whether the host uses a different store than this process, so that it runs nothing of what
    /// this store declares.
    pub is_astray: bool,
    /// The epoch of another live host with the same id.
    pub rival: Option<u64>,
    /// What it can't announce, and why, if there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsaid: Option<String>,
}

/// A host that fell silent without a goodbye: its process or its machine stopped, or nothing that
/// it sends arrives. It is shown for ten minutes, until it is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LostHostView {
    /// The host, as it was last known.
    pub host: HostView,
    /// When its last heartbeat arrived, by the clock of this process. In JSON in milliseconds since
    /// 1970.
    #[serde(rename = "last_heard_ms", with = "json::unix_millis")]
    pub last_heard: SystemTime,
}

/// A host's report about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostLoad {
    /// How long this boot has run. In JSON in seconds.
    #[serde(rename = "uptime_s", with = "json::seconds")]
    pub uptime: Duration,
    /// Calls that run or are queued there for other hosts.
    pub in_flight: u32,
    /// Resident memory of its process in bytes, where it is known.
    pub memory: Option<u64>,
    /// The incarnation of the store that it follows.
    pub incarnation: Incarnation,
    /// The revision of the last write to the store that it has received.
    pub revision: Revision,
    /// Whether it reaches the store.
    pub follows_store: bool,
    /// Components that did not fit into its report.
    pub left_out: u32,
    /// The release of Lattice that it runs; `None` for a host that is too old to report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The memory of its guests, if it runs some and reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_memory: Option<GuestMemoryView>,
}

/// The memory of the guests of a host, which are its WebAssembly components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GuestMemoryView {
    /// What they use, in bytes.
    pub used: u64,
    /// What they may use together, in bytes. More is refused.
    pub limit: u64,
}

/// A component on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplicaView {
    /// The component.
    pub component: ComponentId,
    /// The host.
    pub host: HostId,
    /// Its phase on this host.
    pub phase: Phase,
    /// Its generation, if it has one.
    pub generation: Option<u64>,
    /// The digest of the types that it serves there. In JSON 64 hexadecimal digits, and absent
    /// where its host serves nothing of it yet or a process of its own serves it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "json::digest"
    )]
    pub types: Option<Digest>,
    /// Its last error.
    pub reason: Option<String>,
    /// The load of its calls; `None` until its host has reported.
    #[serde(flatten)]
    pub load: Option<ReplicaLoad>,
    /// The process in which it runs, if its host has started one for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessView>,
}

/// The process of a replica that isn't in its host, from the last report of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessView {
    /// How often a process was started again.
    pub restarts: u32,
    /// How long the process has served; `None` while there is none. In JSON in seconds.
    #[serde(rename = "uptime_s", with = "json::whole_seconds")]
    pub uptime: Option<Duration>,
    /// Its resident memory in bytes, where it is known.
    pub memory: Option<u64>,
    /// The CPU time that it has used, where it is known. In JSON in milliseconds.
    #[serde(rename = "cpu_ms", with = "json::millis")]
    pub cpu: Option<Duration>,
    /// Why the process before it ended, if one has.
    pub last_exit: Option<String>,
}

/// The load of a replica's calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplicaLoad {
    /// Calls since it came into service.
    pub calls: u64,
    /// How many of them ended in an error.
    pub errors: u64,
    /// Calls per second between the last two reports; `None` after the first.
    pub calls_per_second: Option<f64>,
    /// Errors per second, in the same way.
    pub errors_per_second: Option<f64>,
    /// The median latency of recent calls. In JSON in microseconds.
    #[serde(rename = "p50_us", with = "json::micros")]
    pub p50: Option<Duration>,
    /// The 99th percentile of the latency of recent calls. In JSON in microseconds.
    #[serde(rename = "p99_us", with = "json::micros")]
    pub p99: Option<Duration>,
}

/// The key of a replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaKey {
    /// The component.
    pub component: ComponentId,
    /// The host.
    pub host: HostId,
}

macro_rules! items {
    ($($item:ident: $key:ty = |$it:ident| $is:expr;)+) => {
        $(impl Item for $item {
            type Key = $key;
            fn key(&self) -> $key {
                let $it = self;
                $is
            }
        })+
    };
}

items! {
    ComponentView: ComponentId = |it| it.id.clone();
    LinkView: LinkKey = |it| it.key.clone();
    WormholeView: WormholeId = |it| it.id.clone();
    AppView: AppName = |it| it.name.clone();
    UnreadableView: StoreKey = |it| it.key.clone();
    HostView: HostId = |it| it.id.clone();
    LostHostView: HostId = |it| it.host.id.clone();
    ReplicaView: ReplicaKey = |it| ReplicaKey { component: it.component.clone(), host: it.host.clone() };
}

impl StoreView {
    pub(super) fn of(health: &ReplicaHealth) -> Self {
        Self {
            state: match health.state {
                ReplicaState::Following if health.other_key > 0 => StoreState::OtherKey,
                ReplicaState::Following => StoreState::Following,
                ReplicaState::Lost => StoreState::Lost,
                ReplicaState::Closed => StoreState::Closed,
                ReplicaState::Snapshot { .. } => StoreState::Snapshot,
                ReplicaState::StoreReplaced => StoreState::Replaced,
                ReplicaState::StoreWentBack => StoreState::WentBack,
            },
            incarnation: health.incarnation,
            revision: health.revision,
        }
    }
}

impl LinkView {
    pub(super) fn of(entry: &LinkEntry, app: Option<AppName>, load: Option<LinkLoad>) -> Self {
        let (state, reason) = match &entry.status {
            LinkStatus::Pending => (LinkState::Pending, None),
            LinkStatus::Active => (LinkState::Active, None),
            LinkStatus::Rejected { reason } => (LinkState::Rejected, Some(reason.clone())),
        };
        Self {
            key: LinkKey::clone(&entry.key),
            target: entry.link.target.clone(),
            exact: entry.link.interface.clone(),
            locality: entry.link.locality,
            state,
            reason,
            app,
            revision: entry.revision,
            load,
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Rejected => "rejected",
        })
    }
}
