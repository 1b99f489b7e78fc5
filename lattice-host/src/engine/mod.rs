//! The engine: Wasmtime's settings, compiled code, the memory that instances live in, and the clock
//! that interrupts guests.
//!
//! It is two engines of Wasmtime with one configuration for code. Instances of the *pooled* one
//! come from slots that are set aside when it starts, which takes half the time; a component that
//! doesn't fit a slot, or is allowed more memory than one has, gets the *on-demand* one.
//! [`Engine::compile`] decides which.
//!
//! Nothing here knows what a component is run for: actors and the state of guests are above this
//! module.

mod config;
mod machine;
mod ticker;

pub(crate) use config::WASM_STACK;
pub(crate) use ticker::{TICK, Ticks};

use crate::limits::ByteSize;
use std::{
    fmt, io,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use ticker::Ticker;
use wasmtime::component::Component;

/// Compiles components and runs their instances. Cheap to clone; the last clone frees its memory
/// and ends its thread.
///
/// Most programs never make one: all hosts of a process use [`Engine::shared`].
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    pooled: Option<wasmtime::Engine>,
    on_demand: wasmtime::Engine,
    slot: ByteSize,
    /// Last, so that it ticks for as long as there is anything to interrupt.
    ticker: Ticker,
}

/// Where the memory of a component's instances comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SlotClass {
    /// From a slot of the pool.
    Pooled,
    /// From the system, for each instance.
    OnDemand,
}

/// Why an engine could not be made.
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

/// Makes an [`Engine`] that differs from the shared one.
#[derive(Debug, Clone)]
#[must_use = "an engine is made by `build`"]
pub struct EngineBuilder {
    cache: CacheLocation,
    slot: ByteSize,
    instances: Option<NonZeroU32>,
}

#[derive(Debug, Clone)]
enum CacheLocation {
    User,
    Directory(PathBuf),
    None,
}

impl Engine {
    /// The engine that all hosts of this process share, unless they are given another. It is made
    /// when it is first needed, and freed when its last user is gone.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn shared() -> Result<Self, EngineError> {
        static SHARED: Mutex<Weak<Inner>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = shared.upgrade() {
            return Ok(Self(inner));
        }
        let engine = Self::builder().build()?;
        *shared = Arc::downgrade(&engine.0);
        Ok(engine)
    }

    /// Starts to build an engine of your own.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            cache: CacheLocation::User,
            slot: ByteSize::mib(64),
            instances: None,
        }
    }

    pub(crate) fn ticks(&self) -> &Ticks {
        self.0.ticker.ticks()
    }

    /// The class for instances that may have this much memory.
    pub(crate) fn class_for(&self, memory: ByteSize) -> SlotClass {
        if memory > self.0.slot {
            SlotClass::OnDemand
        } else {
            SlotClass::Pooled
        }
    }

    /// Wasmtime's engine for a class. `None` when there is no pool.
    pub(crate) fn wasmtime(&self, class: SlotClass) -> Option<&wasmtime::Engine> {
        match class {
            SlotClass::Pooled => self.0.pooled.as_ref(),
            SlotClass::OnDemand => Some(&self.0.on_demand),
        }
    }

    /// Compiles a component, or loads it from the cache on disk, and returns the class that it was
    /// compiled for: the one asked for, or [`SlotClass::OnDemand`] when it doesn't fit a slot.
    /// Blocks the thread.
    pub(crate) fn compile(
        &self,
        bytes: &[u8],
        class: SlotClass,
    ) -> wasmtime::Result<(Component, SlotClass)> {
        // Whether a component fits a slot is only known by trying; the second attempt reports what
        // else is wrong with it.
        let pooled = self
            .0
            .pooled
            .as_ref()
            .filter(|_| class == SlotClass::Pooled);
        if let Some(component) = pooled.and_then(|pool| Component::from_binary(pool, bytes).ok()) {
            return Ok((component, SlotClass::Pooled));
        }
        let component = Component::from_binary(&self.0.on_demand, bytes)?;
        Ok((component, SlotClass::OnDemand))
    }

    /// Whether both handles are to the same engine.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("slot", &self.0.slot)
            .field("pooled", &self.0.pooled.is_some())
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Keeps compiled code in `directory`, an absolute path, instead of the user's own cache. Make
    /// sure that no other user can write there: what is in it is run.
    ///
    /// When the directory can't be used, a warning is logged and nothing is kept.
    pub fn cache_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = CacheLocation::Directory(directory.into());
        self
    }

    /// Keeps no compiled code on disk.
    pub fn without_cache(mut self) -> Self {
        self.cache = CacheLocation::None;
        self
    }

    /// Memory that one slot of the pool has room for; 64 MiB by default.
    pub fn slot(mut self, memory: ByteSize) -> Self {
        self.slot = memory;
        self
    }

    /// Instances that the pool has slots for. By default as many as eight times the available
    /// memory has room for, and 64 to 2,048. A call that finds no slot fails with `Overloaded`.
    pub fn instances(mut self, instances: NonZeroU32) -> Self {
        self.instances = Some(instances);
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    /// [`EngineError`]. A cache or a pool that can't be made is not an error.
    pub fn build(self) -> Result<Engine, EngineError> {
        let cache = match &self.cache {
            CacheLocation::User => config::open_cache(None),
            CacheLocation::Directory(directory) => config::open_cache(Some(directory)),
            CacheLocation::None => None,
        };
        let instances = self
            .instances
            .unwrap_or_else(|| config::default_instances(self.slot));
        let pooled = config::pooled(cache.as_ref(), self.slot, instances);
        let on_demand = wasmtime::Engine::new(&config::code(cache.as_ref()))
            .map_err(EngineError::unsupported)?;
        let ticked: Vec<_> = pooled.iter().chain([&on_demand]).cloned().collect();
        let ticker =
            Ticker::start(move || ticked.iter().for_each(wasmtime::Engine::increment_epoch));
        let ticker = ticker.map_err(EngineError::Thread)?;
        Ok(Engine(Arc::new(Inner {
            pooled,
            on_demand,
            slot: self.slot,
            ticker,
        })))
    }
}
