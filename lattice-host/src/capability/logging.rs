//! `wasi:logging/logging`: messages go to `tracing` and to the lattice's logs.

use super::function::{HostFunction, HostInterface, decode};
use crate::guest::{self, Guest, spans};
use bytes::Bytes;
use tracing::Level;
use wasmtime::{Result, StoreContextMut};

pub(super) const INTERFACE: HostInterface = HostInterface {
    names: &["wasi:logging/logging"],
    functions: &[HostFunction {
        name: "log",
        signature: "func(level: enum { trace, debug, info, warn, error, critical }, context: string, message: string)",
        serve: log,
    }],
};

fn log(mut store: StoreContextMut<'_, Guest>, arguments: &Bytes) -> Result<Bytes> {
    let (level, context, message): (u32, String, String) = decode(arguments)?;
    let level = match level {
        0 => Level::TRACE,
        1 => Level::DEBUG,
        2 => Level::INFO,
        3 => Level::WARN,
        _ => Level::ERROR,
    };
    let actor = store.data().actor.clone();
    spans::within(
        || guest::context(&mut store),
        || actor.log.message(level, &context, &message),
    );
    Ok(Bytes::new())
}
