//! The functions of `lattice:blobstore/store` under the name of another interface.

use super::{ALSO_SERVED_AS, bindings::lattice::blobstore::store::INTERFACE};
use lattice_core::{
    call::FunctionRef,
    id::FunctionKey,
    name::{FunctionName, InterfaceName},
    serve::{Answer, Request, Service, Wrapper},
    types::{ComponentTypes, InterfaceTypes},
};
use std::{collections::HashMap, sync::Arc};

/// A service whose functions of `lattice:blobstore/store` can be called under the name
/// `wasi:blobstore/blobstore` too, as hosts do for their actors.
pub(crate) struct ServedAs {
    service: Arc<dyn Service>,
    types: Arc<ComponentTypes>,
    /// The functions under the other name, and what they are in the service.
    keys: HashMap<FunctionKey, FunctionKey>,
}

impl ServedAs {
    pub(crate) fn new(service: Arc<dyn Service>) -> Self {
        let mut types = ComponentTypes::clone(&service.types());
        let own = interface(INTERFACE.name());
        let other = other();
        let functions = types.exports.get(&own).map(|types| types.functions.clone());
        let functions = functions.unwrap_or_default();
        let key = |interface: &InterfaceName, (name, signature): (&FunctionName, &String)| {
            FunctionRef::new(interface.clone(), name.clone(), signature).key()
        };
        let keys = functions.iter();
        let keys = keys.map(|function| (key(&other, function), key(&own, function)));
        let keys = keys.collect();
        types.exports.insert(other, InterfaceTypes { functions });
        Self {
            service,
            types: Arc::new(types),
            keys,
        }
    }
}

/// Returns the other name.
pub(crate) fn other() -> InterfaceName {
    interface(ALSO_SERVED_AS)
}

fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).expect("the name of an interface of objects")
}

impl Wrapper for ServedAs {
    fn inner(&self) -> &dyn Service {
        &*self.service
    }

    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn call(&self, mut request: Request) -> Answer {
        if let Some(own) = self.keys.get(&request.function) {
            request.function = *own;
        }
        self.service.call(request)
    }
}
