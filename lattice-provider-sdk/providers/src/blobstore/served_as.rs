//! The functions of `lattice:blobstore/store` under the name of another interface.

use super::{ALSO_SERVED_AS, bindings::lattice::blobstore::store::INTERFACE};
use futures_util::future::BoxFuture;
use lattice_core::{
    call::FunctionRef,
    id::{FunctionKey, Origin},
    link::{Link, LinkKey},
    name::{ComponentId, FunctionName, InterfaceName},
    serve::{Answer, ProcessUsage, Request, Service, Site},
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
        let other = interface(ALSO_SERVED_AS);
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

fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).expect("the name of an interface of objects")
}

impl Service for ServedAs {
    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn call(&self, mut request: Request) -> Answer {
        if let Some(own) = self.keys.get(&request.function) {
            request.function = *own;
        }
        self.service.call(request)
    }

    fn errors_are_its_own(&self) -> bool {
        self.service.errors_are_its_own()
    }

    fn unserved(&self) -> Option<String> {
        self.service.unserved()
    }

    fn placed(&self, component: &ComponentId, on: &Origin) {
        self.service.placed(component, on);
    }

    fn has_life(&self) -> bool {
        self.service.has_life()
    }

    fn started(&self, site: &Site) -> BoxFuture<'static, Result<(), String>> {
        self.service.started(site)
    }

    fn stopped(&self, site: &Site) -> BoxFuture<'static, ()> {
        self.service.stopped(site)
    }

    fn is_elsewhere(&self) -> bool {
        self.service.is_elsewhere()
    }

    fn process(&self) -> Option<ProcessUsage> {
        self.service.process()
    }

    fn has_health(&self) -> bool {
        self.service.has_health()
    }

    fn health(&self) -> BoxFuture<'static, Result<(), String>> {
        self.service.health()
    }

    fn health_changed(&self) -> BoxFuture<'static, ()> {
        self.service.health_changed()
    }

    fn restores(&self) -> bool {
        self.service.restores()
    }

    fn restore(&self, resource: &str, request: Request) -> Answer {
        self.service.restore(resource, request)
    }

    fn takes_replicas(&self) -> bool {
        self.service.takes_replicas()
    }

    fn streams_ended(&self, component: &ComponentId) -> BoxFuture<'static, ()> {
        self.service.streams_ended(component)
    }

    fn linked(&self, link: Arc<Link>) -> BoxFuture<'static, Result<(), String>> {
        self.service.linked(link)
    }

    fn unlinked(&self, link: &LinkKey) {
        self.service.unlinked(link);
    }
}
