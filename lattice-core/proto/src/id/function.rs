//! The key by which a call names its function.

use crate::name::{FunctionName, InterfaceName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The key of a function of an interface, including its type: the first 8 bytes, little endian, of
///
/// ```text
/// BLAKE3(interface with compatible version · 0x00 · function · 0x00 · canonical signature)
/// ```
/// Neither name can contain a zero byte. A caller and a callee that were built against different
/// types have different keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionKey(pub u64);

impl FunctionKey {
    /// Returns the key of `function` in `interface` with this
    /// [canonical signature](lattice_wit::signature).
    pub fn new(interface: &InterfaceName, function: &FunctionName, signature: &str) -> Self {
        let interface = interface.compat();
        Self(lattice_wit::signature::key(
            &interface,
            function.as_str(),
            signature,
        ))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(interface: &str, function: &str, signature: &str) -> FunctionKey {
        FunctionKey::new(
            &InterfaceName::new(interface).expect("an interface"),
            &FunctionName::new(function).expect("a function"),
            signature,
        )
    }

    #[test]
    fn golden_key() {
        let signature = "func(key: string) -> option<list<u8>>";
        let key = key("wasi:keyvalue/store@0.2.7", "get", signature);
        assert_eq!(key.0.to_le_bytes(), *b"\xcc\x72\xd5\xf4\x16\x90\x78\x37");
        assert_eq!(key.to_string(), "37789016f4d572cc");
    }

    #[test]
    fn only_compatible_versions_share_a_key() {
        let one = key("a:b/c@0.2.0", "get", "func()");
        assert_eq!(one, key("a:b/c@0.2.9", "get", "func()"));
        assert_ne!(one, key("a:b/c@0.3.0", "get", "func()"));
        assert_ne!(one, key("a:b/d@0.2.0", "get", "func()"));
        assert_ne!(one, key("a:b/c@0.2.0", "put", "func()"));
        assert_ne!(one, key("a:b/c@0.2.0", "get", "func() -> u8"));
        assert_ne!(key("a:b/c", "get", ""), key("a:b/c", "ge", "t"));
    }
}
