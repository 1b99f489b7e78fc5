//! Actors: components, and loading them as code that can be instantiated.

mod call_mode;
mod check;
mod error;
mod link;
mod loader;
mod needs;
mod skeleton;

pub use check::ComponentCheck;
pub use error::{ActorError, Found};
pub(crate) use loader::Loader;

use crate::{
    guest::{Instances, Settings},
    limits::Limits,
    regular_file,
};
use bytes::Bytes;
use std::{fmt, io::Read as _, path::PathBuf};

/// A WebAssembly component and how to run it. A host runs it under an id. Cheap to clone.
///
/// ```no_run
/// use lattice_host::{Actor, Instances};
///
/// let greeter = Actor::from_file("greeter.wasm").env("GREETING", "Hello");
/// let greeter = greeter.instances(Instances::warm());
/// ```
#[derive(Clone)]
pub struct Actor {
    source: ComponentSource,
    pub(crate) limits: Option<Limits>,
    pub(crate) settings: Settings,
}

#[derive(Clone)]
enum ComponentSource {
    Bytes(Bytes),
    File(PathBuf),
}

/// Omits the code, and the settings, which may hold secrets.
impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut actor = f.debug_struct("Actor");
        match &self.source {
            ComponentSource::Bytes(bytes) => actor.field("bytes", &bytes.len()),
            ComponentSource::File(path) => actor.field("file", path),
        };
        actor.field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Actor {
    /// Creates an actor from the bytes of a component.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(ComponentSource::Bytes(bytes.into()))
    }

    /// Creates an actor from a component in a file, which is read when the actor is started.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self::new(ComponentSource::File(path.into()))
    }

    fn new(source: ComponentSource) -> Self {
        Self {
            source,
            limits: None,
            settings: Settings::default(),
        }
    }

    /// Sets how calls share instances. By default, each call gets a fresh instance.
    pub fn instances(mut self, instances: Instances) -> Self {
        self.settings.instances = instances;
        self
    }

    /// Sets what the actor may use. By default, the host's limits apply.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Adds an environment variable. The actor sees no variables of the process. An actor that
    /// desired state assigned to a host finds that host's id in `LATTICE_HOST`.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.env.insert(name.into(), value.into());
        self
    }

    /// Adds a program argument. By convention, the first one is the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.settings.args.push(arg.into());
        self
    }

    /// Adds a setting, which the actor reads through `wasi:config/store`. It is taken as it is:
    /// only in the config of an app's actor, a value can name a file or a variable
    /// ([`read_places`](lattice_provider_sdk::read_places)).
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.config.insert(key.into(), value.into());
        self
    }

    pub(crate) async fn read(&self) -> Result<Bytes, ActorError> {
        let path = match &self.source {
            ComponentSource::Bytes(bytes) => return Ok(bytes.clone()),
            ComponentSource::File(path) => path.clone(),
        };
        let file = path.clone();
        let read = move || {
            let mut bytes = Vec::new();
            regular_file::open(&file)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let read = tokio::task::spawn_blocking(read).await;
        match read.unwrap_or_else(|lost| Err(std::io::Error::other(lost))) {
            Ok(bytes) => Ok(bytes.into()),
            Err(source) => Err(ActorError::Read { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_settings_nor_the_code_are_debugged() {
        let actor = Actor::from_file("greeter.wasm")
            .env("DATABASE", "s3cret-1")
            .arg("s3cret-2")
            .config("password", "s3cret-3");
        let text = format!("{actor:?} {:?}", Actor::from_bytes("s3cret-4"));
        assert!(text.contains("greeter.wasm"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
