//! Wormholes: public HTTP endpoints, each of which leads to one actor.
//!
//! A wormhole says that requests for a *host name* and a *path* may call one *actor* through the
//! interfaces of HTTP. Its record is `wormhole.<id>`. An open one is a grant, like a link: the
//! caller's process and the callee's host both look it up in their own copy of the store. Nothing
//! but requests can be called in its name.
//!
//! # Host names
//!
//! Two wormholes never have the same host name and path. For each host name, the store has a
//! [claim](HostClaim), `wormhole-host.<name>`, which says which wormhole has which path. The commit
//! that writes a wormhole writes its claims as well, and expects each as it was read, so of two
//! writers who want one name at once, one fails.
//!
//! ```text
//!            a wormhole takes it           its wormhole is renamed, or deleted
//! unknown ──────────────────────► taken ◄──────────────────────────────────────► free
//! ```
//!
//! A claim counts as long as the wormhole that it names has that host name and path, or can't be
//! read. The claim of a free name that may be generated, two words and a number, stays in the
//! store: a person may choose the name again, but it is never generated again. The claim of any
//! other free name is deleted with the last wormhole that had it. So the store keeps some 100 bytes
//! for each name that was ever generated, and nothing for those that people have chosen and given
//! up.
//!
//! # Unreadable records
//!
//! A wormhole whose record can't be read lets nothing through, and keeps its names.

mod auth;
mod claim;
mod host_name;
mod hosts;
mod interfaces;
mod limits;
mod reader;
mod spec;
mod table;

/// The label of hosts that have an ingress, with its addresses as the value.
pub const INGRESS_LABEL: &str = "lattice-ingress";

pub use auth::{HashError, PasswordHash, TokenHash, WormholeAuth};
pub use claim::HostClaim;
pub use host_name::HostName;
pub use hosts::{MAX_DOMAINS, MAX_HOST, MAX_PATH, WormholeRuleError};
pub use interfaces::{serves_requests, verifies_requests};
pub use limits::{Rate, WormholeLimits};
pub use spec::{WormholeSpec, WormholeState};
pub use table::{Wormhole, WormholeTable};

pub(crate) use hosts::{canonical_path, check_domains, check_path};
pub(crate) use interfaces::Purpose;
pub(crate) use reader::WormholeReader;
