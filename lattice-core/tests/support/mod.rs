//! Shared by tests of calls: a native component, hosts that serve it, and calls to it.

mod scene;
mod service;

pub use scene::*;
pub use service::*;
