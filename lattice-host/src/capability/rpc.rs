//! `lattice:rpc/links`: chooses among several links for one interface, for the call being served.

use super::function::{HostFunction, HostInterface, decode, encode};
use crate::guest::{Guest, choose_link};
use bytes::Bytes;
use lattice_core::name::{InterfaceName, LinkName};
use wasmtime::StoreContextMut;

pub(super) const INTERFACE: HostInterface = HostInterface {
    names: &["lattice:rpc/links"],
    functions: &[HostFunction {
        name: "use",
        signature: "func(interface: string, name: string) -> result<_, string>",
        serve: use_link,
    }],
};

fn use_link(mut store: StoreContextMut<'_, Guest>, arguments: &Bytes) -> wasmtime::Result<Bytes> {
    let (interface, name): (String, String) = decode(arguments)?;
    encode(&choose(&mut store, &interface, &name))
}

fn choose(
    store: &mut StoreContextMut<'_, Guest>,
    interface: &str,
    name: &str,
) -> Result<(), String> {
    let interface = InterfaceName::new(interface).map_err(|error| error.to_string())?;
    let name = LinkName::new(name).map_err(|error| error.to_string())?;
    choose_link(store, &interface, name)
}
