//! Values that a guest passes: the raw transcoder against wasmtime's dynamic values.

use crate::{
    engine::{ENGINE, FUEL, block_on, encoded},
    liar::liar,
    table::{KINDS, kind},
    transcode::{
        ExportFunction, FunctionPlan, HandleStore, ImportHandler, LiftError, ReplyFuture,
        link_import,
    },
    types::Ty,
};
use bytes::Bytes;
use lattice_core_fuzz::allocation::peak;
use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Linker,
    LinkerInstance, Lower, TypedFunc, Val,
    types::{ComponentFunc, ComponentItem},
};
use wasmtime::{Result, Store, StoreContextMut};

/// The part of a guest's memory that is filled. It is filled for each input and nothing else is
/// written, so that no input depends on an earlier one.
const FILLED: usize = 4_096;
/// Limit of the host's memory for moving a value. For each wire byte, which costs one unit of fuel,
/// there are two bytes in its buffer and one in the buffer that this was copied from. Each entry of
/// a map takes 4 more bytes and has at least two wire bytes. In addition, a call takes some memory.
const MOST: usize = 5 * FUEL + (64 << 10);

/// The ways in which a value leaves a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Pass,
    PassAsync,
    Give,
    GiveAsync,
}

/// The code that receives the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Raw,
    Val,
}

/// The wire bytes that a store's guest passed to its import.
type Seen = Arc<Mutex<Vec<u8>>>;

impl HandleStore for Seen {}

/// Uses the input as the memory of a guest, and as the core values that it passes. The first byte
/// selects their type, and the second one how they leave the guest.
pub fn lift(input: &[u8]) {
    let [first, second, memory @ ..] = input else {
        return;
    };
    let exits = [Exit::Pass, Exit::PassAsync, Exit::Give, Exit::GiveAsync];
    let exit = exits[usize::from(*second) % exits.len()];
    let guest = Guest::of(kind(*first));
    let mut memory = memory.to_vec();
    memory.resize(FILLED, 0);
    let (raw, held) = guest.moved(Route::Raw, exit, &memory);
    assert!(held <= MOST, "{held} bytes were held");
    let (val, _) = guest.moved(Route::Val, exit, &memory);
    match (raw, val) {
        (Ok(raw), Ok(val)) => {
            assert_eq!(raw, val, "{:?} by {exit:?}", guest.ty);
            let valid = guest.plans.give.validate_results(&raw);
            assert!(valid.is_ok(), "{:?}: {valid:?}", guest.ty);
        }
        (Err(raw), Ok(_)) => match raw.downcast_ref::<LiftError>() {
            // Dynamic values accept a repeated key, and count fuel differently.
            Some(LiftError::DuplicateKey) if guest.has_map() => {}
            Some(LiftError::TooLarge | LiftError::ResultTooLarge) => {}
            _ => panic!(
                "{:?} by {exit:?}: only the oracle takes it: {raw:?}",
                guest.ty
            ),
        },
        (Ok(_), Err(val)) if out_of_fuel(&val) => {}
        (Ok(raw), Err(val)) => panic!("{:?} by {exit:?}: {raw:x?}, but {val:?}", guest.ty),
        (Err(_), Err(_)) => {}
    }
}

fn out_of_fuel(error: &wasmtime::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.to_string().contains("fuel"))
}

struct Guest {
    ty: Ty,
    raw: Ready,
    val: Ready,
    plans: Plans,
    exports: [ComponentExportIndex; 5],
    /// Instances that have not trapped yet, one for each route.
    kept: RefCell<[Option<Kept>; 2]>,
}

type Ready = InstancePre<Seen>;
type Kept = (Store<Seen>, Instance);

struct Plans {
    give: Arc<FunctionPlan>,
    give_async: Arc<FunctionPlan>,
}

thread_local! {
    static GUESTS: RefCell<HashMap<usize, Rc<Guest>>> = RefCell::default();
}

impl Guest {
    /// Returns the guest for a kind of the table. It is compiled when it is first needed.
    fn of(kind: usize) -> Rc<Self> {
        GUESTS.with_borrow_mut(|guests| {
            let guest = guests.entry(kind);
            guest.or_insert_with(|| Rc::new(Self::new(kind))).clone()
        })
    }

    fn new(kind: usize) -> Self {
        let (ty, strings) = &KINDS[kind];
        let text = liar(ty, *strings);
        let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let component = Component::new(&ENGINE, bytes);
        let component = component.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let ready = |route| ready(&component, ty, route).expect("it links");
        let exports = ["pass", "pass-async", "give", "give-async", "put"];
        Self {
            ty: ty.clone(),
            raw: ready(Route::Raw),
            val: ready(Route::Val),
            plans: Plans {
                give: plan("give", &exported(&component, "give")),
                give_async: plan("give-async", &exported(&component, "give-async")),
            },
            exports: exports.map(|name| {
                let index = component.get_export_index(None, name);
                index.expect("it is exported")
            }),
            kept: RefCell::default(),
        }
    }

    fn has_map(&self) -> bool {
        format!("{:?}", self.ty).contains("Map(")
    }

    /// Fills the guest's memory and moves a value out of it. Returns the wire bytes, and the peak
    /// of the memory that was held.
    fn moved(&self, route: Route, exit: Exit, memory: &[u8]) -> (Result<Vec<u8>>, usize) {
        let (mut store, instance) = block_on(self.filled(route, memory));
        let (moved, held) = peak(|| block_on(self.out(&mut store, &instance, route, exit)));
        // A guest that has trapped can't be used again.
        if moved.is_ok() {
            self.kept.borrow_mut()[route as usize] = Some((store, instance));
        }
        (moved, held)
    }

    async fn filled(&self, route: Route, memory: &[u8]) -> Kept {
        let kept = self.kept.borrow_mut()[route as usize].take();
        let (mut store, instance) = match kept {
            Some(kept) => kept,
            None => self.instance(route).await.expect("there is room"),
        };
        let put = self.typed::<(&[u8],)>(&mut store, &instance, 4);
        put.expect("it is exported")
            .call_async(&mut store, (memory,))
            .await
            .expect("the memory has room for it");
        (store, instance)
    }

    async fn instance(&self, route: Route) -> Result<Kept> {
        let mut store = Store::new(&ENGINE, Seen::default());
        store.set_hostcall_fuel(FUEL);
        let ready = match route {
            Route::Raw => &self.raw,
            Route::Val => &self.val,
        };
        let instance = ready.instantiate_async(&mut store).await?;
        Ok((store, instance))
    }

    async fn out(
        &self,
        store: &mut Store<Seen>,
        instance: &Instance,
        route: Route,
        exit: Exit,
    ) -> Result<Vec<u8>> {
        if matches!(exit, Exit::Pass | Exit::PassAsync) {
            let pass = self.typed::<()>(store, instance, exit as usize)?;
            pass.call_async(&mut *store, ()).await?;
            return Ok(std::mem::take(
                &mut *store.data().lock().unwrap_or_else(PoisonError::into_inner),
            ));
        }
        let func = instance
            .get_func(&mut *store, self.exports[exit as usize])
            .expect("it is exported");
        if route == Route::Val {
            let mut results = [Val::Bool(false)];
            func.call_async(&mut *store, &[], &mut results).await?;
            return Ok(encoded(&self.ty, &results[0]));
        }
        let plan = match exit {
            Exit::Give => &self.plans.give,
            _ => &self.plans.give_async,
        };
        let none = plan.arguments(Bytes::new())?;
        let export = ExportFunction::new(plan.clone()).bind(&mut *store, func)?;
        export.call(store, none).await.map(Vec::from)
    }

    fn typed<P>(
        &self,
        store: &mut Store<Seen>,
        instance: &Instance,
        export: usize,
    ) -> Result<TypedFunc<P, ()>>
    where
        P: ComponentNamedList + Lower,
    {
        instance.get_typed_func(store, self.exports[export])
    }
}

fn ready(component: &Component, ty: &Ty, route: Route) -> Result<Ready> {
    let mut linker = Linker::new(&ENGINE);
    let mut interface = linker.instance("test:guest/i")?;
    for name in ["pass", "pass-async"] {
        match route {
            Route::Raw => {
                let plan = plan(name, &imported(component, name));
                link_import(&mut interface, plan, Arc::new(Receive))?;
            }
            Route::Val => link_val(&mut interface, name, ty)?,
        }
    }
    linker.instantiate_pre(component)
}

/// Records the wire bytes that it receives.
struct Receive;

impl ImportHandler<Seen> for Receive {
    fn call(&self, store: StoreContextMut<'_, Seen>, arguments: Bytes) -> ReplyFuture {
        keep(store.data(), arguments.into());
        Box::pin(std::future::ready(Ok(Bytes::new())))
    }
}

fn keep(seen: &Seen, bytes: Vec<u8>) {
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
}

fn link_val(interface: &mut LinkerInstance<'_, Seen>, name: &str, ty: &Ty) -> Result<()> {
    let ty = ty.clone();
    if name == "pass" {
        return interface.func_new_async(name, move |store, _, params, _| {
            keep(store.data(), encoded(&ty, &params[0]));
            Box::new(std::future::ready(Ok(())))
        });
    }
    interface.func_new_concurrent(name, move |accessor, _, params, _| {
        let bytes = encoded(&ty, &params[0]);
        accessor.with(|mut store| keep(store.get(), bytes));
        Box::pin(std::future::ready(Ok(())))
    })
}

fn plan(name: &str, ty: &ComponentFunc) -> Arc<FunctionPlan> {
    let plan = FunctionPlan::new(("test:guest/i", name), ty, &Arc::default());
    Arc::new(plan.expect("the type is supported"))
}

fn imported(component: &Component, name: &str) -> ComponentFunc {
    let ty = component.component_type();
    let import = ty
        .get_import(&ENGINE, "test:guest/i")
        .map(|import| import.ty);
    let Some(ComponentItem::ComponentInstance(interface)) = import else {
        panic!("the guest imports {import:?}");
    };
    function(interface.get_export(&ENGINE, name).map(|export| export.ty))
}

fn exported(component: &Component, name: &str) -> ComponentFunc {
    let ty = component.component_type();
    function(ty.get_export(&ENGINE, name).map(|export| export.ty))
}

fn function(item: Option<ComponentItem>) -> ComponentFunc {
    match item {
        Some(ComponentItem::ComponentFunc(function)) => function,
        other => panic!("not a function but {other:?}"),
    }
}
