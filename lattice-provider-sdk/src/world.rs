//! How generated code describes a WIT world. Only generated code and tests implement these traits.

use bytes::Bytes;
use lattice_core::{
    call::FunctionRef,
    name::{FunctionName, InterfaceName},
    types::{ComponentTypes, InterfaceTypes},
};
use std::{collections::BTreeMap, sync::OnceLock};

/// A WIT world: the interfaces that it exports and imports.
pub trait WitWorld: 'static {
    /// The interfaces that a provider of this world serves.
    const EXPORTS: &'static [&'static Interface];
    /// The interfaces that it calls through links.
    const IMPORTS: &'static [&'static Interface];
    /// The world in the standard binary encoding of WIT, for tools; `None` when it exceeds 256 KiB.
    const WIT: Option<&'static [u8]>;

    /// Returns the types that a component of this world publishes.
    fn types() -> ComponentTypes
    where
        Self: Sized,
    {
        let types = |interfaces: &[&Interface]| -> BTreeMap<_, _> {
            interfaces
                .iter()
                .map(|interface| (interface.parsed_name(), interface.types()))
                .collect()
        };
        ComponentTypes {
            exports: types(Self::EXPORTS),
            imports: types(Self::IMPORTS),
            wit: Self::WIT.map(Bytes::from_static),
        }
    }
}

/// An interface of a WIT world.
#[derive(Debug)]
pub struct Interface {
    name: &'static str,
    functions: &'static [Function],
    references: OnceLock<Vec<FunctionRef>>,
}

/// A function of an [`Interface`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// The WIT name.
    pub name: &'static str,
    /// The canonical text of the function's type.
    pub signature: &'static str,
    /// The key that identifies the function on the wire.
    pub key: u64,
}

impl Interface {
    /// Describes the interface `ns:pkg/name@version`.
    pub const fn new(name: &'static str, functions: &'static [Function]) -> Self {
        Self {
            name,
            functions,
            references: OnceLock::new(),
        }
    }

    /// Returns the full name, `ns:pkg/name@version`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the functions in the order of the WIT.
    pub fn functions(&self) -> &'static [Function] {
        self.functions
    }

    /// Returns the reference by which callers name the function at `index`.
    pub(crate) fn reference(&self, index: usize) -> &FunctionRef {
        let references = self.references.get_or_init(|| {
            let reference = |function: &Function| {
                FunctionRef::new(
                    self.parsed_name(),
                    function.parsed_name(),
                    function.signature,
                )
            };
            self.functions.iter().map(reference).collect()
        });
        &references[index]
    }

    fn types(&self) -> InterfaceTypes {
        let functions = self
            .functions
            .iter()
            .map(|function| (function.parsed_name(), function.signature.to_owned()));
        InterfaceTypes {
            functions: functions.collect(),
        }
    }

    fn parsed_name(&self) -> InterfaceName {
        InterfaceName::new(self.name).expect("the macro has checked the name")
    }
}

impl Function {
    fn parsed_name(&self) -> FunctionName {
        FunctionName::new(self.name).expect("the macro has checked the name")
    }
}
