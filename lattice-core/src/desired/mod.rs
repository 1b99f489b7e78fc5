//! Desired state: what a lattice should be, as its store says. Only ever edited, never commanded.
//!
//! | key | record |
//! | --- | --- |
//! | `actor.<id>` | [`ActorSpec`] |
//! | `provider.<id>` | [`ProviderSpec`] |
//! | `wormhole.<id>` | [`WormholeSpec`] |
//! | `config.<name>` | [`NamedConfig`] |
//! | `app.<name>` | [`AppRecord`]: an app and what it owns |
//! | `link.…` | a [`Link`](crate::link::Link) |
//!
//! [`Desired`] is all of it as one process knows it; [`Lattice::desired`](crate::Lattice::desired) and
//! [`follow_desired`](crate::Lattice::follow_desired) give it. Records are written by applying an [`app`](crate::app).
//!
//! Hosts of different versions share one store. A field that a reader doesn't know is kept ([`Extra`]) and written back; a record
//! that can't do without something new names it in its field `needs`, and a reader that doesn't know that takes the record for
//! unreadable. Neither that nor a spoiled value is ever taken for a deleted one: see [`Desired::unreadable`].

mod digest;
mod image;
mod limits;
mod oci;
mod reader;
mod rules;
mod schema;
mod spec;
mod table;
mod text;
mod watch;

pub use digest::{DigestError, ImageDigest};
pub use image::{Image, ImageError};
pub use limits::LimitOverrides;
pub use oci::OciReference;
pub use rules::{Placement, Replicas, SpreadRule};
pub use schema::Extra;
pub use spec::{
    ActorSpec, AppRecord, InstanceMode, NamedConfig, ProviderKind, ProviderSpec, Run, WormholeSpec,
    WormholeState,
};
pub use table::{Declared, Desired, Unreadable};
pub use watch::DesiredWatch;

pub(crate) use rules::too_many;
pub(crate) use schema::Body;
#[cfg(test)]
pub(crate) use schema::{Fields, NotUnderstood};
