//! A compiled and linked component: the data that is determined before the first call.

use super::state::Guest;
use crate::{limits::ByteSize, transcode::ExportFunction};
use lattice_core::{types::ComponentTypes, wire::FunctionKey};
use std::{collections::HashMap, sync::Arc};
use wasmtime::component::{ComponentExportIndex, InstancePre};

/// A component that can be instantiated.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) types: Arc<ComponentTypes>,
    /// The functions of all transcoded exports, by key.
    pub(crate) functions: HashMap<FunctionKey, Arc<ExportedFunction>>,
    /// The component's exports, by name.
    exports: Vec<(String, Export)>,
    /// The initial memory of every instance.
    pub(crate) initial_memory: ByteSize,
}

/// An export of a component, by how it is called.
pub(crate) enum Export {
    /// An interface of plain values, whose functions are called with wire bytes.
    Transcoded(Vec<(FunctionKey, Arc<ExportedFunction>)>),
    /// An export that can't be called, because it is outside of any interface and links are for
    /// interfaces.
    Unreachable,
}

/// A function that is called with wire bytes.
pub(crate) struct ExportedFunction {
    pub(crate) index: ComponentExportIndex,
    pub(crate) function: ExportFunction<Guest>,
}

impl Code {
    pub(crate) fn new(
        pre: InstancePre<Guest>,
        types: ComponentTypes,
        exports: Vec<(String, Export)>,
        initial_memory: ByteSize,
    ) -> Self {
        let transcoded = exports.iter().filter_map(|(_, export)| match export {
            Export::Transcoded(functions) => Some(functions.iter().cloned()),
            Export::Unreachable => None,
        });
        Self {
            pre,
            types: Arc::new(types),
            functions: transcoded.flatten().collect(),
            exports,
            initial_memory,
        }
    }

    /// Returns the names of the exports that can't be called.
    pub(crate) fn unreachable(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().filter_map(|export| match export {
            (name, Export::Unreachable) => Some(name.as_str()),
            (_, Export::Transcoded(_)) => None,
        })
    }
}
