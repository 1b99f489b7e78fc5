//! A compiled and linked component: the data that is determined before the first call.

#[cfg(feature = "http")]
use super::http::HttpExports;
use super::{handles::HandleTypes, state::Guest, unserved::Unserved};
use crate::{
    engine::{CodeClass, Engine, RoomNeeds, SlotClass},
    limits::ByteSize,
    transcode::ExportFunction,
};
use foldhash::fast::RandomState;
use lattice_core::{types::ComponentTypes, wire::FunctionKey};
use std::{collections::HashMap, sync::Arc};
use wasmtime::component::{ComponentExportIndex, InstancePre};

/// A map by the key of a function, which is read on every call. Keys are hashes, and those in a
/// map are all of one component.
pub(crate) type ByFunction<T> = HashMap<FunctionKey, T, RandomState>;

/// A component that can be instantiated.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) types: Arc<ComponentTypes>,
    /// The functions that can be called, by key.
    pub(crate) functions: ByFunction<Arc<ExportedFunction>>,
    /// How it serves HTTP, if it does.
    #[cfg(feature = "http")]
    pub(crate) http: Option<HttpExports>,
    /// The handles that it passes, if it passes any.
    pub(crate) handles: Option<HandleTypes>,
    /// The imported interfaces that the host serves without a link.
    pub(crate) by_host: Vec<String>,
    /// What of the component can't be served.
    pub(crate) unserved: Vec<Unserved>,
    /// What every instance starts with.
    pub(crate) needs: InstanceNeeds,
    /// The class that the component was compiled for.
    pub(crate) class: CodeClass,
}

/// What an instance of a component starts with, with everything that the component is composed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InstanceNeeds {
    pub(crate) core_instances: u32,
    pub(crate) memories: u32,
    pub(crate) tables: u32,
    /// The initial size of all memories together.
    pub(crate) memory: ByteSize,
    /// The initial size of all tables together.
    pub(crate) table_elements: u64,
    /// Bytes of the engine's own state of an instance: globals, functions, and references between
    /// its parts.
    pub(crate) state: u64,
}

/// Bytes that an instance takes besides what it asks for: its store, and what of its stack is used.
const OVERHEAD: u64 = 64 << 10;

impl InstanceNeeds {
    /// Returns the needs of an instance without core instances, whose state has this size.
    pub(crate) fn of_state(state: u64) -> Self {
        Self {
            core_instances: 0,
            memories: 0,
            tables: 0,
            memory: ByteSize::bytes(0),
            table_elements: 0,
            state,
        }
    }

    /// Returns the bytes of memory that an instance takes when it starts.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self
            .table_elements
            .saturating_mul(size_of::<usize>() as u64);
        let all = self.memory.as_u64().saturating_add(tables);
        usize::try_from(all.saturating_add(self.fixed())).unwrap_or(usize::MAX)
    }

    /// Returns the bytes of it that no limit counts one by one.
    pub(crate) fn fixed(&self) -> u64 {
        self.state.saturating_add(OVERHEAD)
    }

    /// Returns the room that an instance takes.
    pub(crate) fn room(&self, class: SlotClass) -> RoomNeeds {
        RoomNeeds {
            slots: Engine::slots_for(class, self.memories, self.tables),
            memory: self.bytes(),
        }
    }
}

/// A function that is called with wire bytes.
pub(crate) struct ExportedFunction {
    pub(crate) index: ComponentExportIndex,
    pub(crate) function: ExportFunction<Guest>,
}
