//! The function that a call is for.

use super::HandlePlaces;
use crate::{
    id::FunctionKey,
    name::{FunctionName, InterfaceName},
};
use std::sync::{Arc, OnceLock};

/// A function of an interface, with the signature that the caller was built with. It is made once
/// per import and shared by all calls.
#[derive(Debug, Clone)]
pub struct FunctionRef {
    interface: InterfaceName,
    compat: Arc<str>,
    function: FunctionName,
    signature: Arc<str>,
    key: FunctionKey,
    /// Read from the signature by the first call that passes handles.
    places: OnceLock<HandlePlaces>,
}

impl FunctionRef {
    /// Returns the reference of a function. `signature` is the canonical text, for example
    /// `func(name: string) -> string`.
    pub fn new(interface: InterfaceName, function: FunctionName, signature: &str) -> Self {
        let key = FunctionKey::new(&interface, &function, signature);
        Self {
            compat: interface.compat().into(),
            interface,
            function,
            signature: signature.into(),
            key,
            places: OnceLock::new(),
        }
    }

    /// Returns the reference of the function by which a replica makes a portable resource anew, for
    /// those who are linked to its component through `interface`. Its arguments are the resource's
    /// type and the sealed token, its result is an owned handle.
    ///
    /// No function of a WIT interface has the same key, because their signatures begin with `func`
    /// or `async`.
    pub fn restoring(interface: InterfaceName) -> Self {
        let name = FunctionName::new("restore").expect("it is a label");
        let places = HandlePlaces {
            arguments: false,
            result: true,
        };
        Self {
            places: OnceLock::from(places),
            ..Self::new(interface, name, "restore")
        }
    }

    /// Returns the interface as the caller names it.
    pub fn interface(&self) -> &InterfaceName {
        &self.interface
    }

    /// Returns the interface with its compatible version.
    pub fn compat(&self) -> &str {
        &self.compat
    }

    /// Returns the function.
    pub fn function(&self) -> &FunctionName {
        &self.function
    }

    /// Returns the canonical signature that the caller expects.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Returns the function's key on the wire.
    pub fn key(&self) -> FunctionKey {
        self.key
    }

    /// Where its type has places for handles.
    pub fn places(&self) -> HandlePlaces {
        let read = || HandlePlaces::of(&self.signature);
        *self.places.get_or_init(read)
    }
}

impl PartialEq for FunctionRef {
    fn eq(&self, other: &Self) -> bool {
        // The other fields follow from these.
        self.interface == other.interface
            && self.function == other.function
            && self.signature == other.signature
    }
}

impl Eq for FunctionRef {}
