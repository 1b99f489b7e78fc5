//! Desired state: what a lattice should be, as declared in its store. It is only ever edited; hosts
//! are never sent commands.
//!
//! | key | record |
//! | --- | --- |
//! | `actor.<id>` | [`ActorSpec`] |
//! | `provider.<id>` | [`ProviderSpec`] |
//! | `wormhole.<id>` | [`WormholeSpec`] |
//! | `wormhole-host.<name>` | [`HostClaim`]: which wormholes have a host name |
//! | `config.<name>` | [`NamedConfig`] |
//! | `app.<name>` | [`AppRecord`]: an app and what it owns |
//! | `served.<id>` | [`ServedGenerations`]: which versions of an actor have served. Hosts write it |
//! | `link.…` | a [`Link`](crate::link::Link) |
//!
//! [`Desired`] is the whole desired state as one process knows it.
//! [`Lattice::desired`](crate::Lattice::desired) and
//! [`watch_desired`](crate::Lattice::watch_desired) return it. Records are written by applying an
//! [`app`](crate::app).
//!
//! Hosts of different versions share one store. A reader keeps the fields that it doesn't know
//! ([`Extra`]) and writes them back. A record that depends on something new names it in its field
//! `needs`, and a reader that doesn't know it treats the record as unreadable. Neither such a
//! record nor a corrupt one is ever treated as deleted: what was last read there stays, and
//! [`Desired::unreadable`] lists the key.

mod claims;
mod digest;
mod generation;
mod image;
mod limits;
mod oci;
mod reader;
mod rules;
mod spec;
mod table;
mod text;
mod watch;

pub use digest::{DigestError, ImageDigest};
pub use image::{Image, ImageError};
pub use limits::{LimitOverrides, ReuseOverrides};
pub use oci::OciReference;
pub use rules::{Placement, Replicas, SpreadRule};
pub use spec::{
    ActorSpec, AppRecord, InstanceMode, NamedConfig, ProviderKind, ProviderSpec, Run,
    ServedGenerations,
};
pub use table::{Declared, Desired, Unreadable};

pub(crate) use crate::record_format::Body;
#[cfg(test)]
pub(crate) use crate::record_format::{Fields, NotUnderstood};
#[doc(inline)]
pub use crate::{
    record_format::Extra,
    wormhole::{HostClaim, WormholeSpec, WormholeState},
};
pub(crate) use claims::{ClaimWrites, Claims, Taken};
pub(crate) use generation::{ActorCode, of_actor, of_provider};
pub(crate) use rules::too_many;
