//! What tests of calls share: a native component, hosts that serve it, calls to it.

mod scene;
mod service;

pub use scene::*;
pub use service::*;
