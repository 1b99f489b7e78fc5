//! Published types: the exports and imports of components, as text that both ends can compare.

use crate::name::{FunctionName, InterfaceName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The exports and imports of a component, without the built-in interfaces that its host provides.
///
/// They are published once in the store under their [`Digest`], so that links can be checked when
/// they are made, and so that a tool can call components that it was not compiled with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ComponentTypes {
    /// The interfaces that others may call.
    pub exports: BTreeMap<InterfaceName, InterfaceTypes>,
    /// The interfaces that the component calls through links.
    pub imports: BTreeMap<InterfaceName, InterfaceTypes>,
    /// The WIT of both, for tools: a WIT package in the component model's binary encoding, with the
    /// component's world as its only one. Calls don't depend on it. Absent if it is too large or
    /// could not be found. The crate `lattice-wit` decodes it.
    pub wit: Option<Bytes>,
}

/// The functions of one interface, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InterfaceTypes {
    /// The canonical signature of each function, for example `func(name: string) -> result<u32,
    /// string>`. A function that is exported with several types, because its interface was
    /// published with each of them, has a line for each.
    pub functions: BTreeMap<FunctionName, String>,
}

impl InterfaceTypes {
    /// Returns the signatures of a function: none if it isn't there, and several if it is exported
    /// with several types.
    pub fn signatures(&self, function: &FunctionName) -> impl Iterator<Item = &str> {
        let text = self.functions.get(function).map(String::as_str);
        text.into_iter().flat_map(str::lines)
    }

    /// Adds a signature of a function, beside those that it has.
    pub fn add(&mut self, function: FunctionName, signature: &str) {
        let text = self.functions.entry(function).or_default();
        if text.lines().any(|known| known == signature) {
            return;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(signature);
    }
}

/// The BLAKE3 hash of a component's published types.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the digest as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex()[..12])
    }
}

impl ComponentTypes {
    /// Returns the digest under which these types are published.
    pub fn digest(&self) -> Digest {
        let text = postcard::to_stdvec(self).unwrap_or_default();
        Digest(*blake3::hash(&text).as_bytes())
    }

    /// Returns the exported interface that serves `wanted`: the same one, or a compatible version.
    pub fn export(&self, wanted: &InterfaceName) -> Option<(&InterfaceName, &InterfaceTypes)> {
        find(&self.exports, wanted)
    }

    /// Returns the imported interface that `wanted` names: the same one, or a compatible version.
    pub fn import(&self, wanted: &InterfaceName) -> Option<(&InterfaceName, &InterfaceTypes)> {
        find(&self.imports, wanted)
    }
}

fn find<'t>(
    among: &'t BTreeMap<InterfaceName, InterfaceTypes>,
    wanted: &InterfaceName,
) -> Option<(&'t InterfaceName, &'t InterfaceTypes)> {
    among.get_key_value(wanted).or_else(|| {
        among
            .iter()
            .rev()
            .find(|(name, _)| name.is_compatible(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn a_function_may_have_several_types_each_once() {
        let name = |name| FunctionName::new(name).expect("valid");
        let mut types = InterfaceTypes::default();
        for signature in ["func() -> u8", "func() -> u16", "func() -> u8"] {
            types.add(name("get"), signature);
        }
        let found: Vec<_> = types.signatures(&name("get")).collect();
        assert_eq!(found, ["func() -> u8", "func() -> u16"]);
        assert_eq!(types.signatures(&name("set")).count(), 0);
    }

    /// These are the bytes and the digest in existing stores, so a change here is a new schema.
    #[test]
    fn golden_bytes() {
        let mut get = InterfaceTypes::default();
        get.functions.insert(
            FunctionName::new("get").expect("valid"),
            "func() -> u8".to_owned(),
        );
        let types = ComponentTypes {
            exports: [(InterfaceName::new("a:b/c@0.2.0").expect("valid"), get)].into(),
            imports: BTreeMap::new(),
            wit: Some(Bytes::from_static(b"wit")),
        };
        let bytes = value::to_bytes(&types).expect("encodes");
        assert_eq!(
            bytes,
            &b"\x01\x0ba:b/c@0.2.0\x01\x03get\x0cfunc() -> u8\x00\x01\x03wit"[..]
        );
        assert_eq!(types.digest(), Digest(*blake3::hash(&bytes).as_bytes()));
        assert_eq!(value::from_bytes::<ComponentTypes>(&bytes), Ok(types));
    }
}
