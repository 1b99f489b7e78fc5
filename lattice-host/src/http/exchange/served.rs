//! One function under the names of several interfaces.

use super::{HANDLER, bindings::lattice::http::handler::INTERFACE};
use lattice_core::{
    call::FunctionRef,
    id::FunctionKey,
    name::{FunctionName, InterfaceName},
    serve::{Answer, Request, Service, Wrapper},
    types::{ComponentTypes, InterfaceTypes},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

/// The interfaces under which an actor that serves HTTP has the function `handle`: those that it
/// may export, and those that its callers may import.
pub(crate) const SERVED_AS: [&str; 5] = [
    HANDLER,
    "wasi:http/incoming-handler@0.2.0",
    "wasi:http/handler@0.3.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/client@0.3.0",
];

const HANDLE: &str = "handle";

/// Returns the function `handle` of an interface.
pub(crate) fn handle_of(interface: InterfaceName) -> FunctionRef {
    FunctionRef::new(interface, handle(), signature())
}

/// Returns the types of interfaces whose only function is `handle`.
pub(crate) fn handle_types<'n>(
    interfaces: impl IntoIterator<Item = &'n str>,
) -> BTreeMap<InterfaceName, InterfaceTypes> {
    let names = interfaces.into_iter().map(name);
    let types = names.map(|name| {
        let functions = [(handle(), signature().to_owned())].into();
        (name, InterfaceTypes { functions })
    });
    types.collect()
}

/// Returns whether a function is `handle` of one of the interfaces under which actors serve HTTP.
pub(crate) fn is_handle(function: FunctionKey) -> bool {
    static KEYS: LazyLock<HashSet<FunctionKey>> = LazyLock::new(|| {
        let keys = SERVED_AS
            .iter()
            .map(|interface| handle_of(name(interface)).key());
        keys.collect()
    });
    KEYS.contains(&function)
}

fn name(interface: &str) -> InterfaceName {
    InterfaceName::new(interface).expect("the name of an interface of HTTP")
}

fn handle() -> FunctionName {
    FunctionName::new(HANDLE).expect("it is a label")
}

fn signature() -> &'static str {
    let functions = INTERFACE.functions().iter();
    let mut handle = functions.filter(|function| function.name == HANDLE);
    handle.next().map_or("", |function| function.signature)
}

/// A service whose function `handle` of `lattice:http/handler` can be called under the names of
/// other interfaces too.
pub(crate) struct ServedAs {
    service: Arc<dyn Service>,
    types: Arc<ComponentTypes>,
    /// The keys of the function under all names.
    keys: HashSet<FunctionKey>,
    own: FunctionKey,
}

impl ServedAs {
    /// Adds the names of these interfaces to a service that exports `lattice:http/handler`.
    pub(crate) fn new<'n>(
        service: Arc<dyn Service>,
        interfaces: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let mut types = ComponentTypes::clone(&service.types());
        let added = handle_types(interfaces);
        let keys = added.keys().map(|name| handle_of(name.clone()).key());
        let keys = keys.collect();
        types.exports.extend(added);
        // Those of the clients beside it, which the service doesn't call.
        types.imports.clear();
        Self {
            service,
            types: Arc::new(types),
            keys,
            own: handle_of(name(HANDLER)).key(),
        }
    }
}

impl Wrapper for ServedAs {
    fn inner(&self) -> &dyn Service {
        &*self.service
    }

    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn call(&self, mut request: Request) -> Answer {
        if self.keys.contains(&request.function) {
            request.function = self.own;
        }
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::call::HandlePlaces;

    #[test]
    fn the_function_has_streams_both_ways_under_every_name() {
        let places = HandlePlaces {
            arguments: true,
            result: true,
        };
        for interface in SERVED_AS {
            assert_eq!(handle_of(name(interface)).places(), places);
        }
        assert_eq!(INTERFACE.name(), HANDLER);
        assert!(
            signature().starts_with("async func(request: "),
            "{}",
            signature()
        );
        assert_eq!(handle_types(SERVED_AS).len(), SERVED_AS.len());
    }
}
