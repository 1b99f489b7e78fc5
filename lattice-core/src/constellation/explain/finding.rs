//! The findings of an explanation: one fact each, and what to do about it.

use super::text::{Because, Count, DidYouMean, HeldBy, InsteadOf, Listed, store_says};
use crate::{
    constellation::StoreState,
    link::LinkKey,
    name::{AppName, ComponentId, HostId, WormholeId},
    place::NoHost,
    store::StoreKey,
    wire::Versions,
};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// One fact that bears on the question, shown as a sentence that ends with what to do where there is something to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The store is not at hand.
    #[error("{}", store_says(*state))]
    Store {
        /// How this process sees it.
        state: StoreState,
    },
    /// A record can't be read.
    #[error("the record `{key}` can't be read: {reason}")]
    Unreadable {
        /// Where it stands.
        key: StoreKey,
        /// What is wrong with it, with what to do.
        reason: String,
    },
    /// Neither declared nor served.
    #[error(
        "nobody declared `{component}` and nobody serves `{component}`{}; declare it in an app and apply that, or serve it from a program",
        DidYouMean(similar.as_ref())
    )]
    Unknown {
        /// The component.
        component: ComponentId,
        /// One with almost that name.
        similar: Option<ComponentId>,
    },
    /// Served and not declared.
    #[error(
        "a program serves `{component}` on {}, and nothing starts it again when that ends; declare it in an app if something should",
        Listed(hosts)
    )]
    ByHand {
        /// The component.
        component: ComponentId,
        /// Where.
        hosts: Vec<HostId>,
    },
    /// It serves.
    #[error("`{component}` serves on {}", Listed(hosts))]
    Serves {
        /// The component.
        component: ComponentId,
        /// Where.
        hosts: Vec<HostId>,
    },
    /// None are wanted.
    #[error("`{component}` is declared with no replicas; apply it with `replicas` of at least 1")]
    NoneWanted {
        /// The component.
        component: ComponentId,
    },
    /// No host may run it.
    #[error("`{component}` can run nowhere: {reason}")]
    NoHost {
        /// The component.
        component: ComponentId,
        /// Why, with what to do.
        reason: NoHost,
    },
    /// A host that is to run it has not said anything of it.
    #[error(
        "host `{host}` is to run `{component}` and has not begun; ask again in some seconds, and read the log of `{host}` if it stays so"
    )]
    NotBegun {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// A host that is to run it doesn't know the store's current state.
    #[error(
        "host `{host}` is to run `{component}` and has not seen how it was declared last; see that `{host}` reaches the store"
    )]
    HostBehind {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// It is being started.
    #[error(
        "`{component}` is starting on host `{host}`{}; ask again in some seconds",
        Because(reason)
    )]
    Starting {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// What went wrong before.
        reason: Option<String>,
    },
    /// Its new generation is being started.
    #[error(
        "the next version of `{component}` is starting on host `{host}`{}, and the one before serves; ask again in some seconds",
        Because(reason)
    )]
    Updating {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// What went wrong before.
        reason: Option<String>,
    },
    /// Another host takes over.
    #[error(
        "host `{host}` serves `{component}` until another host has taken over{}; if that lasts, read on why the other does not start",
        Because(reason)
    )]
    HandingOver {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// What went wrong before.
        reason: Option<String>,
    },
    /// Another host runs what runs once.
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
    /// It keeps failing.
    #[error(
        "`{component}` failed {failures} times in a row on host `{host}`{}; mend the cause, and it is started again by itself, or apply a version that starts",
        Because(reason)
    )]
    CrashLooping {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// Failures in a row.
        failures: u32,
        /// What went wrong last.
        reason: Option<String>,
    },
    /// It takes no new calls.
    #[error(
        "`{component}` finishes its last calls on host `{host}` and takes no new ones; wait until it is gone"
    )]
    Draining {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
    },
    /// Its last version was given up.
    #[error(
        "the last version of `{component}` did not come up on host `{host}`{} and was rolled back; apply one that starts",
        Because(reason)
    )]
    Rejected {
        /// The component.
        component: ComponentId,
        /// The host.
        host: HostId,
        /// What went wrong.
        reason: Option<String>,
    },
    /// Its last version was taken back everywhere.
    #[error(
        "the last version of `{component}` did not come up{} and was rolled back, and the one before runs; apply one that starts",
        Because(reason)
    )]
    RolledBack {
        /// The component.
        component: ComponentId,
        /// What went wrong.
        reason: Option<String>,
    },
    /// A newer host reports something that is not known here.
    #[error(
        "host `{host}` says of `{component}` what this version does not understand{}; update this process",
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
    /// A host serves it and reads no frame that this process writes.
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
        /// What it reads.
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
    /// There is no such link.
    #[error(
        "there is no link {link}{}; declare it in an app or put it, with who is to be called",
        InsteadOf(similar)
    )]
    NoLink {
        /// Which.
        link: LinkKey,
        /// Links of the same source that may have been meant.
        similar: Vec<LinkKey>,
    },
    /// The link works.
    #[error("the link {link} to `{target}` is active")]
    LinkActive {
        /// Which.
        link: LinkKey,
        /// Who is called.
        target: ComponentId,
    },
    /// Nobody took the link yet.
    #[error(
        "no host of `{target}` has taken the link {link} yet; it is offered as soon as one serves `{target}`"
    )]
    LinkPending {
        /// Which.
        link: LinkKey,
        /// Who is to be called.
        target: ComponentId,
    },
    /// The link was refused.
    #[error(
        "`{target}` refuses the link {link}{}; change the link's config or what it names, and put it again",
        Because(reason)
    )]
    LinkRejected {
        /// Which.
        link: LinkKey,
        /// Who refuses.
        target: ComponentId,
        /// What it said.
        reason: Option<String>,
    },
    /// The link's two ends don't fit together.
    #[error("the link {link} can't work: {reason}")]
    LinkMismatch {
        /// Which.
        link: LinkKey,
        /// Why, with what to do.
        reason: String,
    },
    /// The link is only to replicas on the caller's host, and there are none.
    #[error(
        "the link {link} is `local-only`, and no host serves both `{}` and `{target}`; have them run on the same hosts, or choose another locality",
        link.source
    )]
    NothingLocal {
        /// Which.
        link: LinkKey,
        /// Who is to be called.
        target: ComponentId,
    },
    /// There is no such app.
    #[error("there is no app `{app}`{}; apply its manifest", DidYouMean(similar.as_ref()))]
    NoApp {
        /// Which.
        app: AppName,
        /// One with almost that name.
        similar: Option<AppName>,
    },
    /// An app lacks something of its own.
    #[error("app `{app}` owns `{key}`, which is not in the store; apply it again")]
    Missing {
        /// Which app.
        app: AppName,
        /// What is missing.
        key: StoreKey,
    },
    /// A wormhole lets nobody through.
    #[error(
        "wormhole `{wormhole}` is closed; open it in its app's manifest if the public should get through"
    )]
    Closed {
        /// Which.
        wormhole: WormholeId,
    },
    /// What an app is made of.
    #[error("app `{app}` has {} and {}", Count(*components, "component"), Count(*links, "link"))]
    Holds {
        /// Which.
        app: AppName,
        /// Its actors and providers.
        components: usize,
        /// Its links.
        links: usize,
    },
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// It is on its way, and needs nobody.
    Waiting,
    /// Somebody has to do something.
    Fault,
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ByHand { .. }
            | Self::Serves { .. }
            | Self::LinkActive { .. }
            | Self::Closed { .. }
            | Self::Holds { .. } => Severity::Fine,
            Self::NotBegun { .. }
            | Self::Starting { .. }
            | Self::Updating { .. }
            | Self::HandingOver { .. }
            | Self::WaitingForLease { .. }
            | Self::Draining { .. }
            | Self::LinkPending { .. } => Severity::Waiting,
            _ => Severity::Fault,
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 2)?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("says", &self.to_string())?;
        fields.end()
    }
}
