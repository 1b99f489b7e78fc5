//! Calls real components both through this module and through wasmtime's dynamic values, and
//! compares the results.

mod golden;
mod guests;
mod handles;
mod hostile;
mod limits;
mod malformed;
mod oracle;
mod plans;
mod types;
mod values;

use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use lattice_wit::signature::Function as Signature;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, Result, Store, StoreContextMut};

use super::{BoundExport, ExportFunction, FunctionPlan, HandleStore, ReplyFuture, link_import};
use guests::Function;
use types::Ty;
use values::{decode, encode};

/// Store data: the wire bytes of each call that an import received.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

impl HandleStore for Seen {}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    config.wasm_component_model_error_context(true);
    config.wasm_component_model_map(true);
    config.wasm_component_model_fixed_length_lists(true);
    Engine::new(&config).expect("this host can run wasmtime")
});

/// A component with the parts that the tests use.
struct Guest {
    component: Component,
    import: Option<Arc<FunctionPlan>>,
    export: Arc<FunctionPlan>,
}

/// What serves the import: this module, or wasmtime's dynamic values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Route {
    Raw,
    Val,
}

/// When an import replies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    AtOnce,
    Later,
}

impl Guest {
    fn new(text: &str) -> Self {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let component = Component::new(&ENGINE, bytes);
        let component = component.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let plan = |ty| {
            let plan = FunctionPlan::new(("test:guest/i", "f"), &ty, &Arc::default());
            let plan = plan.expect("the type is supported");
            let signature: Signature = plan.signature().parse().expect("it is canonical");
            assert_eq!(signature.to_string(), plan.signature());
            plan
        };
        let import = import_type(&component).map(|ty| Arc::new(plan(ty)));
        let export = Arc::new(plan(export_type(&component)));
        Self {
            component,
            import,
            export,
        }
    }

    /// Returns an instance whose import replies with `reply`.
    async fn instance(
        &self,
        route: Import,
        reply: Bytes,
        when: When,
    ) -> Result<(Store<Seen>, Instance)> {
        let mut linker = Linker::new(&ENGINE);
        if let Some(plan) = &self.import {
            let mut linker = linker.instance("test:guest/i")?;
            match route {
                Import::Raw => {
                    let handler =
                        move |store: StoreContextMut<'_, Seen>, arguments: Bytes| -> ReplyFuture {
                            let mut seen = store.data().lock().expect("no panic");
                            seen.push(arguments.to_vec());
                            drop(seen);
                            let reply = reply.clone();
                            Box::pin(async move {
                                if when == When::Later {
                                    tokio::task::yield_now().await;
                                }
                                Ok(reply)
                            })
                        };
                    link_import(&mut linker, Arc::clone(plan), Arc::new(handler))?;
                }
                Import::Val(function) => {
                    let import = ValImport {
                        function,
                        reply,
                        when,
                    };
                    link_val(&mut linker, import)?;
                }
            }
        }
        let mut store = Store::new(&ENGINE, Seen::default());
        store.set_hostcall_fuel(1 << 30);
        let instance = linker
            .instantiate_async(&mut store, &self.component)
            .await?;
        Ok((store, instance))
    }

    fn bind(&self, store: &mut Store<Seen>, instance: &Instance) -> BoundExport<Seen> {
        let func = func(store, instance);
        let export = ExportFunction::new(Arc::clone(&self.export));
        export
            .bind(store, func)
            .expect("the export has the planned type")
    }

    /// Calls `f` with wire bytes.
    async fn call(
        &self,
        store: &mut Store<Seen>,
        instance: &Instance,
        wire: &[u8],
    ) -> Result<Vec<u8>> {
        let arguments = self.export.arguments(Bytes::copy_from_slice(wire))?;
        let result = self.bind(store, instance).call(store, arguments).await;
        result.map(Vec::from)
    }
}

/// Like [`Route`], with the data that the route needs.
enum Import {
    Raw,
    Val(Function),
}

impl Import {
    fn by(route: Route, function: &Function) -> Self {
        match route {
            Route::Raw => Self::Raw,
            Route::Val => Self::Val(function.clone()),
        }
    }
}

fn func(store: &mut Store<Seen>, instance: &Instance) -> Func {
    instance.get_func(store, "f").expect("the guest exports f")
}

fn import_type(component: &Component) -> Option<ComponentFunc> {
    let ty = component.component_type();
    let import = ty.get_import(&ENGINE, "test:guest/i")?;
    let ComponentItem::ComponentInstance(instance) = import.ty else {
        return None;
    };
    match instance.get_export(&ENGINE, "f")?.ty {
        ComponentItem::ComponentFunc(function) => Some(function),
        _ => None,
    }
}

fn export_type(component: &Component) -> ComponentFunc {
    let ty = component.component_type();
    match ty.get_export(&ENGINE, "f").map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(function)) => function,
        other => panic!("the guest exports {other:?}"),
    }
}

/// An import that wasmtime's dynamic values serve.
#[derive(Clone)]
struct ValImport {
    function: Function,
    reply: Bytes,
    when: When,
}

impl ValImport {
    async fn serve(&self, seen: Seen, params: &[Val], results: &mut [Val]) -> Result<()> {
        seen.lock()
            .expect("no panic")
            .push(encode_all(&self.function.params, params));
        if self.when == When::Later {
            tokio::task::yield_now().await;
        }
        let mut reply = &*self.reply;
        for (ty, slot) in self.function.result.iter().zip(results) {
            *slot = decode(ty, &mut reply);
        }
        Ok(())
    }
}

fn link_val(
    linker: &mut wasmtime::component::LinkerInstance<'_, Seen>,
    import: ValImport,
) -> Result<()> {
    if import.function.async_type {
        linker.func_new_concurrent("f", move |accessor, _, params, results| {
            let seen = accessor.with(|mut store| store.get().clone());
            let import = import.clone();
            Box::pin(async move { import.serve(seen, params, results).await })
        })
    } else {
        linker.func_new_async("f", move |store, _, params, results| {
            let (seen, import) = (store.data().clone(), import.clone());
            Box::new(async move { import.serve(seen, params, results).await })
        })
    }
}

fn encode_all(types: &[Ty], values: &[Val]) -> Vec<u8> {
    let mut wire = vec![];
    types
        .iter()
        .zip(values)
        .for_each(|(ty, value)| encode(ty, value, &mut wire));
    wire
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts")
        .block_on(future)
}

/// Takes the calls that the import of the store's guest has received.
fn seen(store: &Store<Seen>) -> Vec<Vec<u8>> {
    std::mem::take(&mut *store.data().lock().expect("no panic"))
}
