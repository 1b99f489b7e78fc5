//! The engine and the runtime of all guests.

use crate::types::Ty;
use crate::values::encode;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Val;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The hostcall fuel of one call. Without it, a few pointers to the same memory could make a value
/// of any size.
pub(crate) const FUEL: usize = 1 << 18;

/// Limit of a guest's memory.
const MEMORY: usize = 4 << 20;
/// Limit of the instances that are kept: one of every kind in the table, for each of three ways to
/// move its values.
const INSTANCES: u32 = 512;

/// The engine. It reserves memory and stacks, because nearly every input needs a new instance.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(2 * INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES)
        .total_stacks(2 * INSTANCES)
        .max_memory_size(MEMORY);
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .wasm_component_model_map(true)
        .wasm_component_model_fixed_length_lists(true)
        .memory_reservation(MEMORY as u64)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).expect("this machine can run wasmtime")
});

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime starts");
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Returns the wire bytes of a dynamic value.
pub(crate) fn encoded(ty: &Ty, value: &Val) -> Vec<u8> {
    let mut wire = vec![];
    encode(ty, value, &mut wire);
    wire
}
