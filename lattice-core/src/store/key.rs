//! Every key in the store, built and parsed here and nowhere else.
//!
//! ```text
//! link.<source>.<interface>.<link name>      one link
//! status.<source>.<interface>.<link name>    what its target said of it
//! component.<component>                      the digest of the types that a component was last started with
//! types.<digest>                             published types, once per digest
//! ```
//! A part is escaped reversibly to the alphabet of a NATS KV key: letters, digits and `-` stay, every other byte becomes
//! `=` and two hexadecimal digits. `.` separates. An interface stands with its compatible version (`0.2`, `1`). The store on
//! NATS keeps the key `fence` to itself.

use crate::name::{ComponentId, InterfaceName, LinkName};
use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

/// A key in the store. Cheap to clone; ordered as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey(Arc<str>);

/// What a [`StoreKey`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// A link, by source, interface with compatible version, and name.
    Link {
        /// The source component.
        source: ComponentId,
        /// `ns:pkg/iface@compat`.
        interface: String,
        /// The link's name.
        name: LinkName,
    },
    /// What the target of that link said of it.
    LinkStatus {
        /// The source component.
        source: ComponentId,
        /// `ns:pkg/iface@compat`.
        interface: String,
        /// The link's name.
        name: LinkName,
    },
    /// The digest of a component's types.
    Component(ComponentId),
    /// Published types by digest (64 hexadecimal digits).
    Types(String),
}

impl StoreKey {
    /// The key of a link.
    pub fn link(source: &ComponentId, interface: &InterfaceName, name: &LinkName) -> Self {
        Self::link_at(source, &interface.compat(), name)
    }

    /// The key of a link's status.
    pub fn link_status(source: &ComponentId, interface: &InterfaceName, name: &LinkName) -> Self {
        Self::link_status_at(source, &interface.compat(), name)
    }

    /// The key of a link whose interface already stands with its compatible version.
    pub(crate) fn link_at(source: &ComponentId, compat: &str, name: &LinkName) -> Self {
        Self(format!("link.{source}.{}.{name}", escape(compat)).into())
    }

    /// The key of a link's status, likewise.
    pub(crate) fn link_status_at(source: &ComponentId, compat: &str, name: &LinkName) -> Self {
        Self(format!("status.{source}.{}.{name}", escape(compat)).into())
    }

    /// The key of a component's record.
    pub fn component(id: &ComponentId) -> Self {
        Self(format!("component.{id}").into())
    }

    /// The key of published types; `digest` is hexadecimal.
    pub fn types(digest: &str) -> Self {
        Self(format!("types.{}", escape(digest)).into())
    }

    /// A key read from a store; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let key = Self(text.into());
        key.kind().map(|_| key)
    }

    /// What the key names; `None` when it is none of ours.
    pub fn kind(&self) -> Option<KeyKind> {
        let parts: Vec<&str> = self.0.split('.').collect();
        match *parts.as_slice() {
            ["link" | "status", source, interface, name] => {
                let source = ComponentId::new(source).ok()?;
                let interface = unescape(interface)?;
                let name = LinkName::new(name).ok()?;
                Some(if parts[0] == "link" {
                    KeyKind::Link {
                        source,
                        interface,
                        name,
                    }
                } else {
                    KeyKind::LinkStatus {
                        source,
                        interface,
                        name,
                    }
                })
            }
            ["component", id] => Some(KeyKind::Component(ComponentId::new(id).ok()?)),
            ["types", digest]
                if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Some(KeyKind::Types(digest.to_owned()))
            }
            _ => None,
        }
    }

    /// A key exactly as a store holds it, whoever wrote it.
    #[cfg(any(feature = "nats", feature = "disk", test))]
    pub(crate) fn from_store(text: &str) -> Self {
        Self(text.into())
    }

    /// A key for the conformance suites and tests, which need no meaning. Escaped into one part after `test.`.
    pub fn for_test(text: &str) -> Self {
        Self(format!("test.{}", escape(text)).into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "={byte:02x}");
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'=' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            b if b.is_ascii_alphanumeric() || b == b'-' => out.push(b),
            _ => return None,
        }
    }
    let plain = String::from_utf8(out).ok()?;
    // One spelling per key: what `escape` would not have written is none of ours.
    (escape(&plain) == text).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_keys_round_trip_and_share_compatible_versions() {
        let source = ComponentId::new("front").expect("valid");
        let name = LinkName::default();
        let v = |text| InterfaceName::new(text).expect(text);
        let key = StoreKey::link(&source, &v("a:b/c@0.2.7"), &name);
        assert_eq!(key.as_str(), "link.front.a=3ab=2fc=400=2e2.default");
        assert_eq!(key, StoreKey::link(&source, &v("a:b/c@0.2.0"), &name));
        assert_ne!(key, StoreKey::link(&source, &v("a:b/c@0.3.0"), &name));
        let Some(KeyKind::Link {
            source: s,
            interface,
            name: n,
        }) = key.kind()
        else {
            panic!("a link key")
        };
        assert_eq!((s, interface.as_str(), n), (source, "a:b/c@0.2", name));
    }

    #[test]
    fn foreign_keys_are_refused() {
        for bad in [
            "",
            "link",
            "link.a.b",
            "link.A.a=3a.default",
            "link.a.a=3.default",
            "link.a.a=zz.default",
            "link.a.=61.default",
            "types.xyz",
            "component.",
            "other.a",
        ] {
            assert_eq!(StoreKey::parse(bad), None, "{bad}");
        }
    }
}
