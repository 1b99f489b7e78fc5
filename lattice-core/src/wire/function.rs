//! What a call names its function by.

use crate::name::{FunctionName, InterfaceName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A function of an interface, with its type: first 8 bytes, little endian, of
///
/// ```text
/// BLAKE3(interface with compatible version · 0x00 · function · 0x00 · canonical signature)
/// ```
/// Neither name can contain a zero byte. Caller and callee that were built against different types have different keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionKey(pub u64);

impl FunctionKey {
    /// The key of `function` in `interface` with this canonical signature, as in
    /// [`InterfaceTypes`](crate::types::InterfaceTypes).
    pub fn new(interface: &InterfaceName, function: &FunctionName, signature: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(interface.compat().as_bytes());
        hasher.update(&[0]);
        hasher.update(function.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(signature.as_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Self(u64::from_le_bytes(first))
    }
}

impl fmt::Display for FunctionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for FunctionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionKey({self})")
    }
}
