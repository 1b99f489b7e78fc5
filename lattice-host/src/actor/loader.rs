//! Turns a component's bytes into code that can be instantiated.

use super::{ActorError, call_mode, check::fits, error::not_a_component, link::link};
use crate::{
    capability::Capabilities,
    engine::{CodeClass, Engine, EngineError, SlotClass},
    guest::{Code, Guest},
    limits::{ByteSize, Limits},
};
use bytes::Bytes;
use lattice_core::sync::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, Weak},
};
use wasmtime::component::Linker;

/// Compiles and links components on one engine, and shares the code of those in use. Cheap to
/// clone.
#[derive(Clone)]
pub(crate) struct Loader(Arc<Inner>);

struct Inner {
    engine: Engine,
    capabilities: Capabilities,
    /// The native imports of every guest, for each class that the engine has.
    linkers: HashMap<CodeClass, Linker<Guest>>,
    /// Code in use, so that hosts that run the same component share it.
    codes: Mutex<HashMap<CodeKey, Weak<Code>>>,
}

/// A component's digest, and the class that its memory limit asks for.
type CodeKey = ([u8; 32], SlotClass);

impl Loader {
    /// Returns the loader that all hosts on an engine share.
    ///
    /// # Errors
    /// Fails with [`EngineError::Unsupported`].
    pub(crate) fn shared(engine: &Engine) -> Result<Self, EngineError> {
        static SHARED: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());
        let mut shared = SHARED.lock();
        shared.retain(|loader| loader.strong_count() > 0);
        let mut known = shared.iter().filter_map(Weak::upgrade);
        if let Some(inner) = known.find(|loader| loader.engine.is_same(engine)) {
            return Ok(Self(inner));
        }
        let loader = Self::new(engine.clone(), Capabilities::standard())?;
        shared.push(Arc::downgrade(&loader.0));
        Ok(loader)
    }

    fn new(engine: Engine, capabilities: Capabilities) -> Result<Self, EngineError> {
        let mut linkers = HashMap::new();
        for class in CodeClass::ALL {
            if let Some(wasmtime) = engine.wasmtime(class) {
                let linker = capabilities.linker(wasmtime, class.mode);
                linkers.insert(class, linker.map_err(EngineError::unsupported)?);
            }
        }
        Ok(Self(Arc::new(Inner {
            engine,
            capabilities,
            linkers,
            codes: Mutex::default(),
        })))
    }

    /// Returns the engine that code is compiled for.
    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Compiles and links a component whose instances have these limits, or returns its code from
    /// memory or from the cache on disk. The work is done on a blocking thread.
    ///
    /// # Errors
    /// Fails with an [`ActorError`] when the component can't be run.
    pub(crate) async fn load(
        &self,
        bytes: Bytes,
        limits: &Limits,
    ) -> Result<Arc<Code>, ActorError> {
        let (loader, memory) = (self.clone(), limits.memory);
        let load = move || loader.load_blocking(&bytes, memory);
        let code = match tokio::task::spawn_blocking(load).await {
            Ok(code) => code?,
            Err(lost) => {
                return Err(ActorError::Invalid {
                    reason: format!("the compiler failed: {lost}"),
                });
            }
        };
        fits(&code.needs, limits)?;
        Ok(code)
    }

    fn load_blocking(&self, bytes: &[u8], memory: ByteSize) -> Result<Arc<Code>, ActorError> {
        let class = self.0.engine.class_for(memory);
        let key = (*blake3::hash(bytes).as_bytes(), class);
        if let Some(code) = self.lock_codes().get(&key).and_then(Weak::upgrade) {
            return Ok(code);
        }
        let code = Arc::new(self.compile(bytes, class)?);
        let mut codes = self.lock_codes();
        codes.retain(|_, code| code.strong_count() > 0);
        codes.insert(key, Arc::downgrade(&code));
        Ok(code)
    }

    fn compile(&self, bytes: &[u8], slots: SlotClass) -> Result<Code, ActorError> {
        if let Some(found) = not_a_component(bytes) {
            return Err(ActorError::NotAComponent { found });
        }
        let mode = call_mode::of(bytes, &self.0.capabilities);
        self.compile_for(bytes, CodeClass::new(slots, mode))
    }

    fn compile_for(&self, bytes: &[u8], class: CodeClass) -> Result<Code, ActorError> {
        let Inner {
            engine,
            capabilities,
            linkers,
            ..
        } = &*self.0;
        let compiled = engine.compile(bytes, class);
        let (component, class) = compiled.map_err(|error| ActorError::invalid(&error))?;
        let linker = (linkers[&class].clone(), class);
        link(&component, bytes, linker, capabilities)
    }

    fn lock_codes(&self) -> MutexGuard<'_, HashMap<CodeKey, Weak<Code>>> {
        self.0.codes.lock()
    }
}
