//! Published types: the types of each component, in the store, under their digest.

mod cache;
mod publish;

pub use publish::{PublishError, Types, TypesError};
