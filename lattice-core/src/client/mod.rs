//! Calling components.

pub(crate) mod caller;
pub(crate) mod discovery;
pub(crate) mod route;
pub(crate) mod same_process;

pub use caller::Caller;
