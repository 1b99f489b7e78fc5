//! Wire bytes: those that are accepted, and what a guest makes of them.

use crate::{
    engine::{ENGINE, FUEL, block_on, encoded},
    guests::echo_async,
    reader::read,
    table::{KINDS, kind},
    transcode::{ExportFunction, FunctionPlan},
    types::Ty,
    values::Random,
};
use bytes::Bytes;
use lattice_core_fuzz::allocation::bounded;
use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};
use wasmtime::component::{Component, Instance, InstancePre, Linker, Val, types::ComponentItem};
use wasmtime::{Result, Store};

/// Limit of the guest's memory for one value. The guest's allocator never frees.
const LARGEST: u64 = 1 << 17;
/// Limit of the guest's memory for all values together. Then the guest is replaced.
const MOST: u64 = 1 << 20;

/// Uses the input as wire bytes. The first byte selects their type.
pub fn wire(input: &[u8]) {
    let Some((first, wire)) = input.split_first() else {
        return;
    };
    let guest = Guest::of(kind(*first));
    let size = bounded(wire.len(), || guest.plan.validate_params(wire));
    let value = read(&guest.ty, wire);
    assert_eq!(size.is_ok(), value.is_some(), "{:?}: {size:?}", guest.ty);
    let arguments = guest.plan.arguments(Bytes::copy_from_slice(wire));
    let (Ok(arguments), Some(value)) = (arguments, value) else {
        return;
    };
    let takes = arguments.guest_bytes().as_u64();
    if takes > LARGEST {
        return;
    }
    let (by_raw, by_val) = block_on(guest.echoed(arguments, value, takes)).expect("no guest traps");
    assert_eq!(by_raw, wire, "{:?}", guest.ty);
    assert_eq!(by_val, wire, "the oracle, {:?}", guest.ty);
}

/// Returns an input with a value of the type that `first` selects.
pub fn sample(first: u8, seed: u64) -> Vec<u8> {
    let (ty, _) = &KINDS[kind(first)];
    let mut input = encoded(ty, &Random(seed).value(ty));
    input.insert(0, first);
    input
}

/// Returns an input with a map of this many keys, in descending order.
///
/// # Panics
/// Panics when the table has no such map.
pub fn map(count: u32) -> Vec<u8> {
    let is_map = |ty: &Ty| matches!(ty, Ty::Map(key, _) if matches!(**key, Ty::U32));
    let first = KINDS.iter().position(|(ty, _)| is_map(ty));
    let mut input = vec![first.expect("the table has one") as u8];
    let entries: Vec<_> = (0..count).rev().map(|key| (key, None::<String>)).collect();
    input.extend(postcard::to_stdvec(&entries).expect("encodes"));
    input
}

/// Returns its arguments.
struct Guest {
    ty: Ty,
    plan: Arc<FunctionPlan>,
    ready: InstancePre<()>,
    /// The instance in use, and the memory that it has allocated.
    kept: RefCell<Option<(Store<()>, Instance, u64)>>,
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
        let text = echo_async(ty, *strings);
        let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let component = Component::new(&ENGINE, bytes);
        let component = component.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let types = component.component_type();
        let export = types.get_export(&ENGINE, "f");
        let Some(ComponentItem::ComponentFunc(function)) = export.map(|export| export.ty) else {
            panic!("the guest exports no function");
        };
        let plan = FunctionPlan::new(("test:guest/i", "f"), &function, &Arc::default());
        let mut linker = Linker::new(&ENGINE);
        linker.instance("test:guest/i").expect("a name");
        Self {
            ty: ty.clone(),
            plan: Arc::new(plan.expect("the type is supported")),
            ready: linker.instantiate_pre(&component).expect("it links"),
            kept: RefCell::default(),
        }
    }

    /// Returns the value as the guest returns it, by the raw transcoder and by dynamic values.
    async fn echoed(
        &self,
        arguments: crate::transcode::Arguments,
        value: Val,
        takes: u64,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let kept = self.kept.borrow_mut().take();
        let (mut store, instance, taken) = match kept {
            Some(kept) if kept.2 < MOST => kept,
            _ => {
                let mut store = Store::new(&ENGINE, ());
                store.set_hostcall_fuel(64 * FUEL);
                let instance = self.ready.instantiate_async(&mut store).await?;
                (store, instance, 0)
            }
        };
        let func = instance.get_func(&mut store, "f").expect("it is exported");
        let export = ExportFunction::new(self.plan.clone()).bind(&store, func)?;
        let by_raw = export.call(&mut store, arguments).await?;
        let mut results = [Val::Bool(false)];
        func.call_async(&mut store, &[value], &mut results).await?;
        let by_val = encoded(&self.ty, &results[0]);
        // Adds the padding, and the values that are spilled to memory.
        let taken = taken + 2 * (takes + 1_024);
        *self.kept.borrow_mut() = Some((store, instance, taken));
        Ok((by_raw.into(), by_val))
    }
}
