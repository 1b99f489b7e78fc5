//! The function that a call is for.

use crate::{
    id::FunctionKey,
    name::{FunctionName, InterfaceName},
};
use std::sync::Arc;

/// A function of an interface, with the signature that the caller was built with. It is made once
/// per import and shared by all calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRef {
    interface: InterfaceName,
    compat: Arc<str>,
    function: FunctionName,
    signature: Arc<str>,
    key: FunctionKey,
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
        }
    }

    /// The interface as the caller names it.
    pub fn interface(&self) -> &InterfaceName {
        &self.interface
    }

    /// The interface with its compatible version.
    pub fn compat(&self) -> &str {
        &self.compat
    }

    /// The function.
    pub fn function(&self) -> &FunctionName {
        &self.function
    }

    /// The canonical signature that the caller expects.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The function's key on the wire.
    pub fn key(&self) -> FunctionKey {
        self.key
    }
}
