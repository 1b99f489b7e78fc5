//! Runs WebAssembly components as actors of a lattice, embedded in any Rust process

mod actor;
mod builtin;
mod engine;
mod host;
mod import;
mod instance;
mod limits;
mod transcode;

pub use actor::{Actor, ActorError, Found, Instances};
pub use engine::{Engine, EngineBuilder, EngineError};
pub use host::{Host, HostBuilder, HostError};
pub use limits::{ByteSize, Limits};
