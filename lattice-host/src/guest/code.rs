//! A compiled and linked component: the data that is determined before the first call.

use super::{state::Guest, unserved::Unserved};
use crate::{limits::ByteSize, transcode::ExportFunction};
use lattice_core::{types::ComponentTypes, wire::FunctionKey};
use std::{collections::HashMap, sync::Arc};
use wasmtime::component::{ComponentExportIndex, InstancePre};

/// A component that can be instantiated.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) types: Arc<ComponentTypes>,
    /// The functions that can be called, by key.
    pub(crate) functions: HashMap<FunctionKey, Arc<ExportedFunction>>,
    /// The imported interfaces that the host serves without a link.
    pub(crate) by_host: Vec<String>,
    /// What of the component can't be served.
    pub(crate) unserved: Vec<Unserved>,
    /// The initial memory of every instance.
    pub(crate) initial_memory: ByteSize,
}

/// A function that is called with wire bytes.
pub(crate) struct ExportedFunction {
    pub(crate) index: ComponentExportIndex,
    pub(crate) function: ExportFunction<Guest>,
}
