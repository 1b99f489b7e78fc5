//! The engine, and the compiled actors.

use super::{
    callee::CalleeActorPre,
    caller::{self, CallerActorPre},
};
use crate::{Failure, guests::Guest};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, Linker},
};

/// Both actors, compiled and linked. Cheap to clone.
#[derive(Clone)]
pub struct Code {
    engine: Engine,
    pub(super) caller: CallerActorPre<caller::Imports>,
    pub(super) callee: CalleeActorPre<()>,
}

impl Code {
    /// Compiles and links both actors.
    ///
    /// # Errors
    /// Fails when a guest has not been built, or doesn't match the bindings.
    pub fn new() -> Result<Self, Failure> {
        let engine = Engine::new(&config())?;
        let component = Component::from_file(&engine, Guest::Caller.path()?)?;
        let mut linker = Linker::new(&engine);
        caller::add_to_linker(&mut linker)?;
        let caller = CallerActorPre::new(linked(linker, &component)?)?;
        let component = Component::from_file(&engine, Guest::Callee.path()?)?;
        let callee = CalleeActorPre::new(linked(Linker::new(&engine), &component)?)?;
        Ok(Self {
            engine,
            caller,
            callee,
        })
    }

    pub(super) fn store<T>(&self, state: T) -> Store<T> {
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        store.set_hostcall_fuel(16 << 20);
        store
    }
}

/// Links an actor. Other imports, which come from the standard library, are never called.
fn linked<T: 'static>(
    mut linker: Linker<T>,
    component: &Component,
) -> wasmtime::Result<wasmtime::component::InstancePre<T>> {
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate_pre(component)
}

/// Returns the same configuration as a host's: interruptible code, and pooled instances.
pub(crate) fn config() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(512)
        .total_core_instances(2_048)
        .total_memories(1_024)
        .total_tables(2_048)
        .total_stacks(1_024)
        .max_memory_size(64 << 20)
        .linear_memory_keep_resident(128 << 10)
        .table_keep_resident(128 << 10);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .wasm_component_model_async(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
