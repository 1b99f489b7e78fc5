//! `wasi:config/store`, also under its earlier name: the actor's settings. What they name in files
//! and variables was read when the actor was started (`host/runtime.rs`).

use super::function::{HostFunction, HostInterface, decode, encode};
use crate::guest::Guest;
use bytes::Bytes;
use wasmtime::{Result, StoreContextMut};

pub(super) const INTERFACE: HostInterface = HostInterface {
    // `runtime` is an earlier name of the same interface.
    names: &["wasi:config/store", "wasi:config/runtime"],
    functions: &[
        HostFunction {
            name: "get",
            signature: "func(key: string) -> result<option<string>, variant { upstream(string), io(string) }>",
            serve: get,
        },
        HostFunction {
            name: "get-all",
            signature: "func() -> result<list<tuple<string, string>>, variant { upstream(string), io(string) }>",
            serve: get_all,
        },
    ],
};

fn get(store: StoreContextMut<'_, Guest>, arguments: &Bytes) -> Result<Bytes> {
    let (key,): (String,) = decode(arguments)?;
    // Settings are in memory: reading them never fails.
    encode(&Ok::<_, ()>(store.data().actor.settings.config.get(&key)))
}

fn get_all(store: StoreContextMut<'_, Guest>, arguments: &Bytes) -> Result<Bytes> {
    let (): () = decode(arguments)?;
    let all: Vec<_> = store.data().actor.settings.config.iter().collect();
    encode(&Ok::<_, ()>(all))
}
