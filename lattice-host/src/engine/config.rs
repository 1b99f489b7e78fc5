//! The configuration of Wasmtime: how guests are compiled, and where their memory comes from.

use super::{class::CallMode, machine::available_memory};
use crate::limits::ByteSize;
use std::{num::NonZeroU32, path::Path};
use wasmparser::WasmFeatures;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

/// Stack for a guest's own functions, enough for a recursion of some 10,000 frames.
pub(crate) const WASM_STACK: usize = 512 << 10;
/// A guest's whole stack, with room for the host's work while it serves an import: finding the
/// callee, and entering it when it is an actor, which then has its own stack.
const STACK: usize = 2 << 20;
/// The most core instances, memories and tables of a component that the pool takes. A component
/// made from one program has up to four core instances (the program, its adapters and their glue).
/// A composed component has several times as many.
const PARTS: u32 = 32;
/// Memories and tables for which a slot has room. A component with more takes several slots.
pub(super) const SLOT_MEMORIES: u32 = 2;
pub(super) const SLOT_TABLES: u32 = 4;
/// The least memory of all guests together when none is set. With less, few actors would start.
const LEAST_GUEST_MEMORY: ByteSize = ByteSize::mib(64);
/// Memory that is not given back to the system when an instance ends. It is cleared instead, which
/// is faster for the first few pages that every program touches.
const KEEP: usize = 128 << 10;

/// Returns the number of the pool's slots for the available memory. An instance that uses all of
/// its slot is rare, so there are eight times as many slots as would fit if all did.
pub(super) fn default_instances(slot: ByteSize) -> NonZeroU32 {
    let fit = available_memory().as_u64().saturating_mul(8) / slot.as_u64().max(1);
    let instances = u32::try_from(fit).unwrap_or(u32::MAX).clamp(64, 2_048);
    NonZeroU32::new(instances).unwrap_or(NonZeroU32::MIN)
}

/// Returns the configuration that determines the compiled code. It doesn't depend on where memory
/// comes from.
pub(super) fn code(mode: CallMode, cache: Option<&Cache>) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK)
        .wasm_component_model_map(true)
        .wasm_component_model_fixed_length_lists(true)
        .cache(cache.cloned());
    match mode {
        CallMode::Exclusive => config.concurrency_support(false),
        CallMode::Concurrent => config.wasm_component_model_async(true),
    };
    config
}

/// Returns the features that [`code`] enables. Wasmtime doesn't expose them.
pub(super) fn features(mode: CallMode) -> WasmFeatures {
    let all = WasmFeatures::WASM3
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::CM_MAP
        | WasmFeatures::CM_FIXED_LENGTH_LISTS;
    // These need parts of wasmtime that aren't built in.
    let all = all - (WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS);
    match mode {
        CallMode::Exclusive => all,
        CallMode::Concurrent => all | WasmFeatures::CM_ASYNC,
    }
}

/// Returns the memory of all guests together when none is set: half of what this process can use.
/// The other half is for compiled code, messages, and what allocators waste.
pub(super) fn default_guest_memory() -> ByteSize {
    guest_memory_of(available_memory())
}

fn guest_memory_of(available: ByteSize) -> ByteSize {
    let half = ByteSize::bytes(available.as_u64() / 2);
    if half < LEAST_GUEST_MEMORY {
        tracing::warn!(
            %available,
            "this process has little memory left; guests may use {LEAST_GUEST_MEMORY} together all the same. Give the process more, or set the memory for guests with `lattice up --guest-memory` or `EngineBuilder::guest_memory`"
        );
    }
    half.max(LEAST_GUEST_MEMORY)
}

/// Creates an engine with a pool of slots for instances, and returns it with their number. When the
/// system refuses the address space, this tries fewer and fewer slots. Returns `None` when it
/// refuses even a few.
pub(super) fn pooled(
    mode: CallMode,
    cache: Option<&Cache>,
    (slot, instances): (ByteSize, NonZeroU32),
) -> Option<(Engine, u32)> {
    let mut count = instances.get();
    loop {
        let mut config = code(mode, cache);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slot, count)));
        match Engine::new(&config) {
            Ok(engine) => return Some((engine, count)),
            Err(error) if count > 16 => {
                tracing::debug!(
                    count,
                    error = format!("{error:#}"),
                    "the system refused a pool of instances; trying a smaller one"
                );
                count /= 4;
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the system refused every pool of instances; instances are created on demand, which is slower"
                );
                return None;
            }
        }
    }
}

fn pool(slot: ByteSize, instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // Only counted, so that it never is what a slot lacks.
        .total_core_instances(instances.saturating_mul(PARTS))
        .total_memories(instances.saturating_mul(SLOT_MEMORIES))
        .total_tables(instances.saturating_mul(SLOT_TABLES))
        .total_stacks(instances.saturating_mul(2))
        .max_core_instances_per_component(PARTS)
        .max_memories_per_component(PARTS)
        .max_tables_per_component(PARTS)
        .max_memory_size(slot.as_usize())
        .linear_memory_keep_resident(KEEP)
        .table_keep_resident(KEEP);
    pool
}

/// Opens the cache of compiled code in `directory`, or the user's own. Returns `None` when the
/// cache can't be used.
pub(super) fn open_cache(directory: Option<&Path>) -> Option<Cache> {
    let mut config = CacheConfig::new();
    if let Some(directory) = directory {
        config.with_directory(directory);
    }
    match Cache::new(config) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "compiled code can't be kept on disk; every start compiles it again"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_number_of_slots_is_bounded() {
        assert_eq!(default_instances(ByteSize::gib(4_000_000)).get(), 64);
        assert_eq!(default_instances(ByteSize::bytes(0)).get(), 2_048);
    }

    #[test]
    fn guests_have_half_of_the_memory_and_at_least_a_little() {
        assert_eq!(guest_memory_of(ByteSize::gib(4)), ByteSize::gib(2));
        assert_eq!(guest_memory_of(ByteSize::mib(100)), LEAST_GUEST_MEMORY);
        assert_eq!(guest_memory_of(ByteSize::bytes(0)), LEAST_GUEST_MEMORY);
    }

    #[test]
    fn an_unusable_cache_is_ignored() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(open_cache(Some(&file.path().join("below-a-file"))).is_none());
        assert!(open_cache(Some(Path::new("relative"))).is_none());
    }
}
