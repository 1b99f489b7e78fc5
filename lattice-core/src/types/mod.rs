//! Published types: what a component exports and imports, as text that both ends can compare.

mod cache;
mod publish;

pub use lattice_proto::types::{ComponentTypes, Digest, InterfaceTypes};
pub use publish::{PublishError, Types, TypesError};
