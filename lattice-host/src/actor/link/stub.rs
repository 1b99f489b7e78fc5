//! Stands in for imports that can't be served: their functions trap when they are called.

use crate::{
    actor::ActorError,
    guest::{Guest, UnservedCall},
};
use wasmtime::{
    Error,
    component::{
        LinkerInstance, ResourceType,
        types::{ComponentFunc, ComponentItem},
    },
};

/// The type of resources that no function ever returns.
struct NoResource;

/// Defines the items of imports that can't be served.
#[derive(Default)]
pub(super) struct Stubs {
    /// The resources that earlier imports define. An interface that only uses them doesn't define
    /// them again.
    resources: Vec<ResourceType>,
}

impl Stubs {
    /// Takes note of a resource that an import defines.
    pub(super) fn note(&mut self, resource: ResourceType) {
        self.resources.push(resource);
    }

    /// Returns whether an earlier import defines the resource.
    pub(super) fn knows(&self, resource: &ResourceType) -> bool {
        self.resources.contains(resource)
    }

    /// Defines an item, with everything in it. `import` is the whole name of the item.
    ///
    /// # Errors
    /// Fails with [`ActorError::UnsupportedImport`] for an item without which the component can't
    /// even be instantiated.
    pub(super) fn define(
        &mut self,
        linker: &mut LinkerInstance<'_, Guest>,
        (name, item): (&str, &ComponentItem),
        call: &UnservedCall,
        engine: &wasmtime::Engine,
    ) -> Result<(), ActorError> {
        let what = match item {
            ComponentItem::ComponentFunc(ty) => {
                return function(linker, name, ty, call.clone()).map_err(super::invalid);
            }
            ComponentItem::Resource(resource) => {
                if self.knows(resource) {
                    return Ok(());
                }
                self.note(*resource);
                let ty = ResourceType::host::<NoResource>();
                let defined = linker.resource(name, ty, |_, _| Ok(()));
                return defined.map_err(super::invalid);
            }
            ComponentItem::ComponentInstance(instance) => {
                let mut inner = linker.instance(name).map_err(super::invalid)?;
                for (name, item) in instance.exports(engine) {
                    let call = UnservedCall {
                        import: format!("{}#{name}", call.import),
                        reason: call.reason.clone(),
                    };
                    self.define(&mut inner, (name, &item.ty), &call, engine)?;
                }
                return Ok(());
            }
            ComponentItem::Type(_) | ComponentItem::CoreFunc(_) => return Ok(()),
            ComponentItem::Module(_) => "the core module",
            ComponentItem::Component(_) => "the component",
        };
        Err(ActorError::UnsupportedImport {
            import: call.import.clone(),
            what,
        })
    }
}

/// Defines a function that traps.
fn function(
    linker: &mut LinkerInstance<'_, Guest>,
    name: &str,
    ty: &ComponentFunc,
    call: UnservedCall,
) -> wasmtime::Result<()> {
    let failed = move || Err(Error::new(call.clone()));
    if ty.async_() {
        linker.func_new_concurrent(name, move |_, _, _, _| {
            let failed = failed();
            Box::pin(async move { failed })
        })
    } else {
        linker.func_new(name, move |_, _, _, _| failed())
    }
}
