//! What all guests run on.

use crate::types::Ty;
use crate::values::encode;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Val;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// What one call may move. A few pointers into the same memory stand for any amount.
pub(crate) const FUEL: usize = 1 << 18;

/// Most of a guest's memory.
const MEMORY: usize = 4 << 20;
/// Instances that may be kept: of every kind in the table, for three ways to move its values.
const INSTANCES: u32 = 512;

/// With memory and stacks set aside, because nearly every input takes a new instance.
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

/// The wire bytes of dynamic values.
pub(crate) fn encoded(ty: &Ty, value: &Val) -> Vec<u8> {
    let mut wire = vec![];
    encode(ty, value, &mut wire);
    wire
}
