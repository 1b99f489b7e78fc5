//! The engine: Wasmtime's settings, compiled code, the memory of instances, and the clock that
//! interrupts guests.
//!
//! It consists of four engines of Wasmtime, one for each [class](class::CodeClass) of code.
//! Instances of the *pooled* ones use slots that are reserved when they start, which makes creating
//! one twice as fast. A component that doesn't fit a slot, or may use more memory than a slot has,
//! uses an *on-demand* one, as [`Engine::compile`] decides. Of both there is one for components
//! whose calls never overlap, which spares these the tasks of the component model.
//!
//! This module doesn't know what a component is used for. Actors and the state of guests are in
//! modules above.

mod class;
mod config;
mod machine;
mod memory;
mod room;
mod ticker;

pub(crate) use class::{CallMode, CodeClass, SlotClass};
pub(crate) use config::WASM_STACK;
pub(crate) use memory::{MemoryLease, MemoryShare, Unused};
pub(crate) use room::{Place, RoomNeeds, Tenant};
#[cfg(test)]
pub(crate) use ticker::Intervals;
pub(crate) use ticker::{TICK, Ticks};

use crate::limits::ByteSize;
use class::Engines;
use lattice_core::sync::Mutex;
use room::Room;
use std::{
    fmt, io,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Weak},
};
use ticker::Ticker;
use wasmparser::WasmFeatures;
use wasmtime::component::Component;

/// Compiles components and runs their instances. Cheap to clone. Dropping the last clone frees its
/// memory and ends its thread.
///
/// Most programs never create one, because all hosts of a process use [`Engine::shared`].
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engines: Engines,
    slot: ByteSize,
    room: Arc<Room>,
    /// The last field, so that it ticks as long as there is anything to interrupt.
    ticker: Ticker,
}

/// Why an engine could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Wasmtime does not run here.
    #[error(
        "the WebAssembly engine does not start: {reason}; check that this machine is one that Wasmtime supports"
    )]
    Unsupported {
        /// The reason that Wasmtime gives.
        reason: String,
    },
    /// The thread that interrupts guests could not be started.
    #[error("the thread that interrupts guests could not be started")]
    Thread(#[source] io::Error),
}

impl EngineError {
    pub(crate) fn unsupported(error: wasmtime::Error) -> Self {
        Self::Unsupported {
            reason: format!("{error:#}"),
        }
    }
}

/// Builds an [`Engine`] that differs from the shared one.
#[derive(Debug, Clone)]
#[must_use = "an engine is made by `build`"]
pub struct EngineBuilder {
    cache: CacheLocation,
    slot: ByteSize,
    instances: Option<NonZeroU32>,
    guest_memory: Option<ByteSize>,
}

/// The memory of all guests of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestMemory {
    /// What they may use together.
    pub limit: ByteSize,
    /// What they use now.
    pub used: ByteSize,
}

#[derive(Debug, Clone)]
enum CacheLocation {
    User,
    Directory(PathBuf),
    None,
}

impl Engine {
    /// Returns the engine that all hosts of this process share, unless they are given another. It
    /// is created when it is first needed, and freed when its last user is gone.
    ///
    /// # Errors
    /// Fails with an [`EngineError`] when the engine can't be created.
    pub fn shared() -> Result<Self, EngineError> {
        static SHARED: Mutex<Weak<Inner>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(inner) = shared.upgrade() {
            return Ok(Self(inner));
        }
        let engine = Self::builder().build()?;
        *shared = Arc::downgrade(&engine.0);
        Ok(engine)
    }

    /// Returns a builder for a separate engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            cache: CacheLocation::User,
            slot: ByteSize::mib(64),
            instances: None,
            guest_memory: None,
        }
    }

    /// Returns the memory that all guests of the engine may use together, and use now.
    pub fn guest_memory(&self) -> GuestMemory {
        let memory = &self.0.room.memory;
        GuestMemory {
            limit: ByteSize::bytes(memory.total() as u64),
            used: ByteSize::bytes(memory.used() as u64),
        }
    }

    /// Returns the room that the instances of one more actor may take.
    pub(crate) fn tenant(&self) -> Tenant {
        self.0.room.tenant()
    }

    /// Returns the number of slots that an instance with these memories and tables takes.
    pub(crate) fn slots_for(class: SlotClass, memories: u32, tables: u32) -> u32 {
        match class {
            SlotClass::Pooled => {
                let memories = memories.div_ceil(config::SLOT_MEMORIES);
                memories.max(tables.div_ceil(config::SLOT_TABLES)).max(1)
            }
            SlotClass::OnDemand => 0,
        }
    }

    pub(crate) fn ticks(&self) -> &Ticks {
        self.0.ticker.ticks()
    }

    /// Returns the class for instances that may use this much memory.
    pub(crate) fn class_for(&self, memory: ByteSize) -> SlotClass {
        if memory > self.0.slot {
            SlotClass::OnDemand
        } else {
            SlotClass::Pooled
        }
    }

    /// Returns Wasmtime's engine for a class. `None` when there is no pool.
    pub(crate) fn wasmtime(&self, class: CodeClass) -> Option<&wasmtime::Engine> {
        self.0.engines.of(class)
    }

    /// Compiles a component, or loads it from the cache on disk, and returns the class that it was
    /// compiled for: the requested one, or that with [`SlotClass::OnDemand`] when the component
    /// doesn't fit a slot. Blocks the thread.
    pub(crate) fn compile(
        &self,
        bytes: &[u8],
        class: CodeClass,
    ) -> wasmtime::Result<(Component, CodeClass)> {
        // Only an attempt shows whether a component fits a slot. The second attempt reports all
        // other errors.
        let pooled = (class.slots == SlotClass::Pooled)
            .then(|| self.wasmtime(class))
            .flatten();
        if let Some(component) = pooled.and_then(|pool| Component::from_binary(pool, bytes).ok()) {
            return Ok((component, class));
        }
        let component = Component::from_binary(self.0.engines.on_demand(class.mode), bytes)?;
        Ok((component, CodeClass::new(SlotClass::OnDemand, class.mode)))
    }

    /// Returns an engine that compiles as those do that support everything, for components that are
    /// never run.
    pub(crate) fn to_check() -> wasmtime::Result<wasmtime::Engine> {
        wasmtime::Engine::new(&config::code(CallMode::Concurrent, None))
    }

    /// Returns the features of WebAssembly that a component may use.
    pub(crate) fn features() -> WasmFeatures {
        Self::features_of(CallMode::Concurrent)
    }

    /// Returns those that a component may use whose instances take calls like this.
    pub(crate) fn features_of(mode: CallMode) -> WasmFeatures {
        config::features(mode)
    }

    /// Returns whether both are handles to the same engine.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("slot", &self.0.slot)
            .field("engines", &self.0.engines.all().count())
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Keeps compiled code in `directory`, an absolute path, instead of the user's own cache. Make
    /// sure that no other user can write there, because the code in it is run.
    ///
    /// When the directory can't be used, the engine logs a warning and keeps nothing.
    pub fn cache_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = CacheLocation::Directory(directory.into());
        self
    }

    /// Keeps no compiled code on disk.
    pub fn without_cache(mut self) -> Self {
        self.cache = CacheLocation::None;
        self
    }

    /// Sets the memory of one slot of the pool, 64 MiB by default.
    pub fn slot(mut self, memory: ByteSize) -> Self {
        self.slot = memory;
        self
    }

    /// Sets the memory that all guests of the engine may use together: linear memories, tables, the
    /// state of instances, and what the host copies out of them. By default, it is half of the
    /// memory that the process can use when the engine is built, by the system and by its control
    /// groups, and at least 64 MiB.
    ///
    /// One actor of a host may use half of it. A call that needs an instance waits for memory,
    /// until shortly before its deadline, and then fails with `Overloaded`; it did not run. A guest
    /// that needs more while it runs gets none, as at its own [limit](crate::Limits::memory).
    pub fn guest_memory(mut self, memory: ByteSize) -> Self {
        self.guest_memory = Some(memory);
        self
    }

    /// Sets the number of the pool's slots. By default, it is the number that fits into eight times
    /// the available memory, between 64 and 2,048. An instance takes one, or more if it has more
    /// than two memories or four tables. One actor of a host may have half of them. A call that
    /// finds no free slot waits for one, until shortly before its deadline, and then fails with
    /// `Overloaded`; it did not run.
    pub fn instances(mut self, instances: NonZeroU32) -> Self {
        self.instances = Some(instances);
        self
    }

    /// Builds the engine.
    ///
    /// # Errors
    /// Fails with an [`EngineError`] when the engine can't be created. A cache or a pool that can't
    /// be created is not an error.
    pub fn build(self) -> Result<Engine, EngineError> {
        let cache = match &self.cache {
            CacheLocation::User => config::open_cache(None),
            CacheLocation::Directory(directory) => config::open_cache(Some(directory)),
            CacheLocation::None => None,
        };
        let instances = self
            .instances
            .unwrap_or_else(|| config::default_instances(self.slot));
        let engines = Engines::new(cache.as_ref(), self.slot, instances);
        let (engines, slots) = engines.map_err(EngineError::unsupported)?;
        let memory = self
            .guest_memory
            .unwrap_or_else(config::default_guest_memory);
        tracing::debug!(%memory, "the memory that all guests of the engine may use together");
        let ticked: Vec<_> = engines.all().cloned().collect();
        let ticker =
            Ticker::start(move || ticked.iter().for_each(wasmtime::Engine::increment_epoch));
        let ticker = ticker.map_err(EngineError::Thread)?;
        Ok(Engine(Arc::new(Inner {
            engines,
            slot: self.slot,
            room: Room::new(slots, memory.as_usize()),
            ticker,
        })))
    }
}
