//! The findings of an explanation. Each is one fact and what to do about it.

use super::text::{
    Because, Count, DidYouMean, HeldBy, InsteadOf, Listed, Meanwhile, Used, store_says,
};
use crate::{
    constellation::{ProcessView, StoreState},
    link::LinkKey,
    name::{AppName, ComponentId, HostId, WormholeId},
    place::NoHost,
    store::StoreKey,
    wire::Versions,
};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// One fact relevant to the question. Displayed as a sentence that ends with what to do, if there
/// is something to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// This process is not up to date with the store.
    #[error("{}", store_says(*state))]
    Store {
        /// This process's view of the store.
        state: StoreState,
    },
    /// A record can't be read.
    #[error("the record `{key}` can't be read: {reason}{}", Meanwhile(key))]
    Unreadable {
        /// Its key in the store.
        key: StoreKey,
        /// The problem, and how to solve it.
        reason: String,
    },
    /// The component is neither declared nor served.
    #[error(
        "`{component}` is neither declared nor served{}; declare it in an app and apply that, or serve it from a program",
        DidYouMean(similar.as_ref())
    )]
    Unknown {
        /// The component.
        component: ComponentId,
        /// A component with a similar name.
        similar: Option<ComponentId>,
    },
    /// The component is served without being declared.
    #[error(
        "a program serves `{component}` on {}, and it is not restarted when that program ends; declare it in an app to have it restarted",
        Listed(hosts)
    )]
    ByHand {
        /// The component.
        component: ComponentId,
        /// The hosts that serve it.
        hosts: Vec<HostId>,
    },
    /// The component serves.
    #[error("`{component}` serves on {}", Listed(hosts))]
    Serves {
        /// The component.
        component: ComponentId,
        /// The hosts that serve it.
        hosts: Vec<HostId>,
    },
    /// The component is declared with no replicas.
    #[error("`{component}` is declared with no replicas; apply it with `replicas` of at least 1")]
    NoneWanted {
        /// The component.
        component: ComponentId,
    },
    /// No host may run the component.
    #[error("no host can run `{component}`: {reason}")]
    NoHost {
        /// The component.
        component: ComponentId,
        /// Why, and what to do.
        reason: NoHost,
    },
    /// A host that should run the component has not reported anything about it.
    #[error(
        "host `{host}` should run `{component}` but has not started it; check again in some seconds, and read the log of `{host}` if nothing changes"
    )]
    NotBegun {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// A host that should run the component doesn't know the store's current state.
    #[error(
        "host `{host}` should run `{component}` but has not seen its latest declaration; check that `{host}` reaches the store"
    )]
    HostBehind {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// The component is being started.
    #[error(
        "`{component}` is starting on host `{host}`{}; check again in some seconds",
        Because(reason)
    )]
    Starting {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// The error before that.
        reason: Option<String>,
    },
    /// The component's new generation is being started.
    #[error(
        "the next version of `{component}` is starting on host `{host}`{}, and the previous one serves; check again in some seconds",
        Because(reason)
    )]
    Updating {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// The error before that.
        reason: Option<String>,
    },
    /// Another host takes over the component.
    #[error(
        "host `{host}` serves `{component}` until another host has taken over{}; if that lasts, find out why the other host does not start it",
        Because(reason)
    )]
    HandingOver {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// The error before that.
        reason: Option<String>,
    },
    /// Another host runs a component that runs once.
    #[error(
        "host `{host}` waits for the lease of `{component}`, which runs once{}; it starts within seconds after the holder has stopped",
        HeldBy(holders)
    )]
    WaitingForLease {
        /// The component.
        component: ComponentId,
        /// The host that waits.
        host: HostId,
        /// The hosts that serve it.
        holders: Vec<HostId>,
    },
    /// The store doesn't permit a host to write the lease of a component that runs once, and no
    /// other host runs it.
    #[error(
        "host `{host}` can't take the lease of `{component}`, which runs once, because the store doesn't permit it ({reason}); let that host's user write to the store"
    )]
    LeaseDenied {
        /// The component.
        component: ComponentId,
        /// The host that may not write the lease.
        host: HostId,
        /// What the store answers.
        reason: String,
    },
    /// The component keeps failing.
    #[error(
        "`{component}` failed {failures} times in a row on host `{host}`{}; fix the cause, and it restarts by itself, or apply a version that starts",
        Because(reason)
    )]
    CrashLooping {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// Failures in a row.
        failures: u32,
        /// The last error.
        reason: Option<String>,
    },
    /// The component takes no new calls.
    #[error(
        "`{component}` finishes its last calls on host `{host}` and takes no new ones; wait until it is gone"
    )]
    Draining {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// A host gave up the component's last version.
    #[error(
        "the last version of `{component}` failed to start on host `{host}`{} and was rolled back; apply one that starts",
        Because(reason)
    )]
    Rejected {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// The error.
        reason: Option<String>,
    },
    /// The component's last version was rolled back everywhere.
    #[error(
        "the last version of `{component}` failed to start{} and was rolled back, and {} runs; apply one that starts, or apply the last one again to retry it",
        Because(reason),
        runs.as_deref().unwrap_or("the previous one")
    )]
    RolledBack {
        /// The component.
        component: ComponentId,
        /// The error.
        reason: Option<String>,
        /// The version that runs.
        runs: Option<String>,
    },
    /// A newer host reports a phase that this version does not know.
    #[error(
        "host `{host}` reports a phase of `{component}` that this version does not know{}; update this process",
        Because(reason)
    )]
    NotUnderstood {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// The rest of its report.
        reason: Option<String>,
    },
    /// A host serves a component, and a part of it can't be served, or it isn't well.
    #[error("host `{host}` serves `{component}`, and not all of it works: {reason}")]
    ServesInPart {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// What doesn't work, and why.
        reason: String,
    },
    /// The component runs in a process of its own.
    #[error(
        "`{component}` runs in a process of its own on host `{host}`: {}",
        Used(process)
    )]
    Process {
        /// The component.
        component: ComponentId,
        /// The host that looks after the process.
        host: HostId,
        /// What the process has used.
        process: ProcessView,
    },
    /// A host serves the component but reads no frames that this process writes.
    #[error(
        "host `{host}` serves `{component}` and can't be called from here: it reads frames of version {min} to {max} and this process writes {ours}; run the same version of Lattice on both",
        min = reads.min,
        max = reads.max,
        ours = Versions::OURS.max,
    )]
    OtherFormat {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// The frame versions that it reads.
        reads: Versions,
    },
    /// Two hosts have one id.
    #[error(
        "two live hosts have the id `{host}`, and only the one that started last counts; give each an id of its own"
    )]
    Doubled {
        /// The id.
        host: HostId,
    },
    /// A host uses a different store than this process.
    #[error(
        "host `{host}` uses another store, so it takes no share of what is declared here, and what is applied there is not seen here; start it with the bus and the JetStream domain of this lattice's store"
    )]
    Astray {
        /// The host.
        host: HostId,
    },
    /// A host can't announce what it serves.
    #[error(
        "host `{host}` is live and can't announce all that it serves: {reason}; serve fewer components on it, shorten its labels, or raise the server's `max_payload`"
    )]
    Unannounced {
        /// The host.
        host: HostId,
        /// Why.
        reason: String,
    },
    /// There is no such link.
    #[error(
        "there is no link {link}{}; declare it in an app or put it, with the component to call as its target",
        InsteadOf(similar)
    )]
    NoLink {
        /// The key of the link.
        link: LinkKey,
        /// Links of the same source that may have been meant.
        similar: Vec<LinkKey>,
    },
    /// The link works.
    #[error("the link {link} to `{target}` is active")]
    LinkActive {
        /// The key of the link.
        link: LinkKey,
        /// The component that is called.
        target: ComponentId,
    },
    /// No host has accepted the link yet.
    #[error(
        "no host of `{target}` has accepted the link {link} yet; it is offered as soon as one serves `{target}`"
    )]
    LinkPending {
        /// The key of the link.
        link: LinkKey,
        /// The component to be called.
        target: ComponentId,
    },
    /// A link of an app leads to a component that the app does not declare, and that nothing
    /// serves.
    #[error(
        "the link {link} leads to `{target}`, which its app doesn't declare and no host serves; serve `{target}` from a program, or apply an app that declares it"
    )]
    NoTarget {
        /// The key of the link.
        link: LinkKey,
        /// The component to be called.
        target: ComponentId,
    },
    /// The link was refused.
    #[error(
        "`{target}` refuses the link {link}{}; change the link's config or the names in it, and put it again",
        Because(reason)
    )]
    LinkRejected {
        /// The key of the link.
        link: LinkKey,
        /// The component that refuses it.
        target: ComponentId,
        /// Its reason.
        reason: Option<String>,
    },
    /// The link's two ends don't fit together.
    #[error("the link {link} can't work: {reason}")]
    LinkMismatch {
        /// The key of the link.
        link: LinkKey,
        /// Why, and what to do.
        reason: String,
    },
    /// The link only allows replicas on the caller's host, and there are none.
    #[error(
        "the link {link} is `local-only`, and no host serves both `{}` and `{target}`; have them run on the same hosts, or choose another locality",
        link.source
    )]
    NothingLocal {
        /// The key of the link.
        link: LinkKey,
        /// The component to be called.
        target: ComponentId,
    },
    /// There is no such app.
    #[error("there is no app `{app}`{}; apply its manifest", DidYouMean(similar.as_ref()))]
    NoApp {
        /// Its name.
        app: AppName,
        /// An app with a similar name.
        similar: Option<AppName>,
    },
    /// An app owns a record that is missing.
    #[error("app `{app}` owns `{key}`, which is not in the store; apply it again")]
    Missing {
        /// Its name.
        app: AppName,
        /// The missing key.
        key: StoreKey,
    },
    /// There is no such wormhole.
    #[error("there is no wormhole `{wormhole}`{}; open one, or declare it in an app and apply that", DidYouMean(similar.as_ref()))]
    NoWormhole {
        /// Its id.
        wormhole: WormholeId,
        /// A wormhole with a similar name.
        similar: Option<WormholeId>,
    },
    /// A wormhole is closed to the public.
    #[error(
        "wormhole `{wormhole}` is closed; open it with `lattice wormhole open {wormhole}`, or in its app's manifest, if it should be public"
    )]
    Closed {
        /// Its id.
        wormhole: WormholeId,
    },
    /// A wormhole is open to the public.
    #[error(
        "wormhole `{wormhole}` is open: requests for {} go to `{actor}`",
        Listed(addresses)
    )]
    Open {
        /// Its id.
        wormhole: WormholeId,
        /// Its host names with its path, or `*` and its path for any host name.
        addresses: Vec<String>,
        /// The actor that it leads to.
        actor: ComponentId,
    },
    /// Hosts have an ingress.
    #[error("requests come in at {}", Listed(hosts))]
    Ingress {
        /// The hosts.
        hosts: Vec<HostId>,
    },
    /// No host has an ingress.
    #[error(
        "no host has an ingress, so no request comes in; start one with `lattice up --http 127.0.0.1:8080`"
    )]
    NoIngress,
    /// A wormhole leads to an actor that serves no requests.
    #[error("wormhole `{wormhole}` can't work: {reason}")]
    WormholeMismatch {
        /// Its id.
        wormhole: WormholeId,
        /// Why, and what to do.
        reason: String,
    },
    /// The size of an app.
    #[error("app `{app}` has {} and {}", Count(*components, "component"), Count(*links, "link"))]
    Holds {
        /// Its name.
        app: AppName,
        /// The number of its actors and providers.
        components: usize,
        /// The number of its links.
        links: usize,
    },
}

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// There is no problem.
    Fine,
    /// Something is still in progress, and needs no action.
    Waiting,
    /// Something needs action.
    Fault,
}

impl Finding {
    /// Returns how severe it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ByHand { .. }
            | Self::Serves { .. }
            | Self::ServesInPart { .. }
            | Self::Process { .. }
            | Self::LinkActive { .. }
            | Self::Closed { .. }
            | Self::Open { .. }
            | Self::Ingress { .. }
            | Self::Holds { .. } => Severity::Fine,
            Self::NotBegun { .. }
            | Self::Starting { .. }
            | Self::Updating { .. }
            | Self::HandingOver { .. }
            | Self::WaitingForLease { .. }
            | Self::Draining { .. }
            | Self::LinkPending { .. }
            | Self::NoTarget { .. } => Severity::Waiting,
            _ => Severity::Fault,
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 2)?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}
