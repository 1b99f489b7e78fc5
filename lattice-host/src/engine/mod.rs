//! The engine: compiles components, has the memory that their instances live in, and ticks the clock that interrupts
//! them.
//!
//! It is two engines of Wasmtime with one configuration for code. Instances of the *pooled* one come from slots set
//! aside when it starts, which takes half the time; a component that doesn't fit a slot, or is allowed more memory than
//! one has, gets the *on-demand* one. Which of them is decided when a component is loaded.

mod config;
mod machine;
mod ticker;

pub(crate) use config::WASM_STACK;
pub(crate) use ticker::{TICK, Ticks};

use crate::{
    actor::{ActorError, Code},
    capability,
    guest::Guest,
    limits::ByteSize,
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt, io,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use ticker::Ticker;
use wasmtime::component::Linker;

/// Compiles components and runs their instances. Cheap to clone; the last clone frees its memory and ends its thread.
///
/// Most programs never make one: all hosts of a process use [`Engine::shared`].
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    pooled: Option<Side>,
    on_demand: Side,
    slot: ByteSize,
    /// What is in use now, so that hosts that run the same component share its code.
    codes: Mutex<HashMap<CodeKey, Weak<Code>>>,
    /// Last, so that it ticks for as long as there is anything to interrupt.
    ticker: Ticker,
}

/// One of the two engines.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) wasmtime: wasmtime::Engine,
    /// Defines what every guest may import.
    pub(crate) linker: Linker<Guest>,
}

/// A component's digest, and whether it may have more memory than a slot.
type CodeKey = ([u8; 32], bool);

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Wasmtime does not run here.
    #[error(
        "the WebAssembly engine does not start: {reason}; check that this machine is one that Wasmtime supports"
    )]
    Unsupported {
        /// What it said.
        reason: String,
    },
    /// The thread that interrupts guests could not be started.
    #[error("the thread that interrupts guests could not be started")]
    Thread(#[source] io::Error),
}

/// Makes an [`Engine`] that is not like the shared one.
#[derive(Debug, Clone)]
#[must_use = "an engine is made by `build`"]
pub struct EngineBuilder {
    cache: CachePlace,
    slot: ByteSize,
    instances: Option<NonZeroU32>,
}

#[derive(Debug, Clone)]
enum CachePlace {
    User,
    Directory(PathBuf),
    Nowhere,
}

impl Engine {
    /// The engine that all hosts of this process share, unless they are given another. Made at the first need, and freed
    /// when nobody uses it any more.
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

    /// For an engine of one's own.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            cache: CachePlace::User,
            slot: ByteSize::mib(64),
            instances: None,
        }
    }

    pub(crate) fn ticks(&self) -> &Ticks {
        self.0.ticker.ticks()
    }

    /// Compiles a component, or takes it from memory or from the disk, off the async runtime.
    pub(crate) async fn load(
        &self,
        bytes: Bytes,
        memory: ByteSize,
    ) -> Result<Arc<Code>, ActorError> {
        let engine = self.clone();
        let compile = move || engine.load_blocking(&bytes, memory);
        match tokio::task::spawn_blocking(compile).await {
            Ok(code) => code,
            Err(lost) => Err(ActorError::Invalid {
                reason: format!("the compiler failed: {lost}"),
            }),
        }
    }

    fn load_blocking(&self, bytes: &[u8], memory: ByteSize) -> Result<Arc<Code>, ActorError> {
        let big = memory > self.0.slot;
        let key = (*blake3::hash(bytes).as_bytes(), big);
        if let Some(code) = self.lock_codes().get(&key).and_then(Weak::upgrade) {
            return Ok(code);
        }
        let code = Arc::new(self.compile(bytes, big)?);
        let mut codes = self.lock_codes();
        codes.retain(|_, code| code.strong_count() > 0);
        codes.insert(key, Arc::downgrade(&code));
        Ok(code)
    }

    /// What doesn't fit a slot is only known by trying; the second try tells what is wrong with it otherwise.
    fn compile(&self, bytes: &[u8], big: bool) -> Result<Code, ActorError> {
        let pooled = self.0.pooled.as_ref().filter(|_| !big);
        let compiled = pooled.and_then(|side| Some((side, side.compile(bytes).ok()?)));
        let (side, component) = match compiled {
            Some(compiled) => compiled,
            None => (&self.0.on_demand, self.0.on_demand.compile(bytes)?),
        };
        Code::new(side, &component, bytes)
    }

    fn lock_codes(&self) -> MutexGuard<'_, HashMap<CodeKey, Weak<Code>>> {
        self.0.codes.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Keeps compiled code in `directory`, an absolute path, instead of the user's own cache. Nobody else may write
    /// there: what is in it is run.
    ///
    /// A directory that can't be used is said in the log, and done without.
    pub fn cache_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = CachePlace::Directory(directory.into());
        self
    }

    /// Keeps no compiled code on disk.
    pub fn without_cache(mut self) -> Self {
        self.cache = CachePlace::Nowhere;
        self
    }

    /// Memory that one slot of the pool has room for; 64 MiB by default.
    pub fn slot(mut self, memory: ByteSize) -> Self {
        self.slot = memory;
        self
    }

    /// Instances that the pool has slots for. By default as many as eight times the available memory has room for, and 64
    /// to 2,048. A call that finds no slot is answered `Overloaded`.
    pub fn instances(mut self, instances: NonZeroU32) -> Self {
        self.instances = Some(instances);
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    /// [`EngineError`]. Neither a cache nor a pool that can't be had is one.
    pub fn build(self) -> Result<Engine, EngineError> {
        let cache = match &self.cache {
            CachePlace::User => config::open_cache(None),
            CachePlace::Directory(directory) => config::open_cache(Some(directory)),
            CachePlace::Nowhere => None,
        };
        let unsupported = |error: wasmtime::Error| EngineError::Unsupported {
            reason: format!("{error:#}"),
        };
        let instances = self
            .instances
            .unwrap_or_else(|| config::default_instances(self.slot));
        let pooled = config::pooled(cache.as_ref(), self.slot, instances);
        let pooled = pooled.map(Side::new).transpose().map_err(unsupported)?;
        let on_demand = wasmtime::Engine::new(&config::code(cache.as_ref()))
            .and_then(Side::new)
            .map_err(unsupported)?;
        let ticked: Vec<_> = pooled
            .iter()
            .chain([&on_demand])
            .map(|side| side.wasmtime.clone())
            .collect();
        let ticker =
            Ticker::start(move || ticked.iter().for_each(wasmtime::Engine::increment_epoch));
        let ticker = ticker.map_err(EngineError::Thread)?;
        let codes = Mutex::default();
        Ok(Engine(Arc::new(Inner {
            pooled,
            on_demand,
            slot: self.slot,
            codes,
            ticker,
        })))
    }
}

impl Side {
    fn new(wasmtime: wasmtime::Engine) -> wasmtime::Result<Self> {
        let linker = capability::linker(&wasmtime)?;
        Ok(Self { wasmtime, linker })
    }

    fn compile(&self, bytes: &[u8]) -> Result<wasmtime::component::Component, ActorError> {
        let compiled = wasmtime::component::Component::from_binary(&self.wasmtime, bytes);
        compiled.map_err(|error| ActorError::invalid(bytes, &error))
    }
}
