//! HTTP without Lattice: a client for load, and the baseline that the same guests are compared
//! with, a server around `wasmtime_wasi_http::handler::ProxyHandler`.
//!
//! Client and server are hyper's, with its defaults and `TCP_NODELAY`. A connection of the client
//! stays open and carries one request at a time.

mod client;
mod server;

pub use client::{Connection, GetError, Gets, Pool};
pub use server::{Reuse, serve};

/// The body with which the guests greet.
pub const HELLO: &str = "Hello, world!";
