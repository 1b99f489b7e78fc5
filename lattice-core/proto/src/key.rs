//! The keys of the store. All of them are built and parsed here.
//!
//! ```text
//! link.<source>.<interface>.<link name>      one link
//! status.<source>.<interface>.<link name>    its status, reported by its target
//! component.<component>                      the digest of the types that it was last started with
//! types.<digest>                             published types, once per digest
//! actor.<component>                          an actor that should run
//! provider.<component>                       a provider that should run
//! wormhole.<wormhole>                        a public endpoint that should be there
//! wormhole-host.<host name>                  which wormholes have a host name, or had it
//! config.<name>                              configuration values that components share
//! lease.<component>                          the host that may run a component that runs once
//! series.<component>.<name>                  the last step of a component's series
//! app.<name>                                 an app, and the keys that it owns
//! served.<component>                         the generations of an actor that have served
//! host.<host>                                the epoch of its last boot, if its id was chosen
//! secret.<name>                              a secret, sealed
//! ```
//! Parts are separated by `.`. A part is escaped reversibly to the alphabet of a NATS KV key:
//! letters, digits and `-` stay, and every other byte becomes `=` and two hexadecimal digits. An
//! interface has its compatible version (`0.2`, `1`). The store on NATS reserves the key `fence`
//! for itself.

use crate::name::{
    AppName, ComponentId, ConfigName, HostId, InterfaceName, LinkName, SecretName, WormholeId,
};
use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

/// A key in the store. Cheap to clone, and ordered as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey(Arc<str>);

/// The parsed parts of a [`StoreKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The status of a link, reported by its target.
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
    /// An actor that should run.
    Actor(ComponentId),
    /// A provider that should run.
    Provider(ComponentId),
    /// A public endpoint that should be there.
    Wormhole(WormholeId),
    /// Which wormholes have this host name.
    WormholeHost(String),
    /// Configuration values that components share.
    Config(ConfigName),
    /// The lease of a component that runs once.
    Lease(ComponentId),
    /// A series of a component.
    Series {
        /// The component.
        component: ComponentId,
        /// The name of the series.
        name: String,
    },
    /// An app.
    App(AppName),
    /// The last boot of a host.
    Host(HostId),
    /// The generations of an actor that have served.
    Served(ComponentId),
    /// A sealed secret.
    Secret(SecretName),
}

impl StoreKey {
    /// The beginning of the keys of wormholes, and of no others.
    pub const WORMHOLES: &str = "wormhole.";
    /// The beginning of the keys of claims to host names.
    pub const WORMHOLE_HOSTS: &str = "wormhole-host.";
    /// The beginning of the keys of secrets.
    pub const SECRETS: &str = "secret.";

    /// Returns the key of a link.
    pub fn link(source: &ComponentId, interface: &InterfaceName, name: &LinkName) -> Self {
        Self::link_at(source, &interface.compat(), name)
    }

    /// Returns the key of a link's status.
    pub fn link_status(source: &ComponentId, interface: &InterfaceName, name: &LinkName) -> Self {
        Self::link_status_at(source, &interface.compat(), name)
    }

    /// Returns the key of a link whose interface already has its compatible version.
    pub fn link_at(source: &ComponentId, compat: &str, name: &LinkName) -> Self {
        Self(format!("link.{source}.{}.{name}", escape(compat)).into())
    }

    /// Returns the key of a link's status, whose interface already has its compatible version.
    pub fn link_status_at(source: &ComponentId, compat: &str, name: &LinkName) -> Self {
        Self(format!("status.{source}.{}.{name}", escape(compat)).into())
    }

    /// Returns the key of a component's record.
    pub fn component(id: &ComponentId) -> Self {
        Self(format!("component.{id}").into())
    }

    /// Returns the key of published types; `digest` is hexadecimal.
    pub fn types(digest: &str) -> Self {
        Self(format!("types.{}", escape(digest)).into())
    }

    /// Returns the key of an actor's desired state.
    pub fn actor(id: &ComponentId) -> Self {
        Self(format!("actor.{id}").into())
    }

    /// Returns the key of a provider's desired state.
    pub fn provider(id: &ComponentId) -> Self {
        Self(format!("provider.{id}").into())
    }

    /// Returns the key of a wormhole.
    pub fn wormhole(id: &WormholeId) -> Self {
        Self(format!("wormhole.{id}").into())
    }

    /// Returns the key of the claim to a host name of wormholes.
    pub fn wormhole_host(host: &str) -> Self {
        Self(format!("wormhole-host.{}", escape(host)).into())
    }

    /// Returns the key of a set of configuration values.
    pub fn config(name: &ConfigName) -> Self {
        Self(format!("config.{name}").into())
    }

    /// Returns the key of the lease of a component that runs once.
    pub fn lease(id: &ComponentId) -> Self {
        Self(format!("lease.{id}").into())
    }

    /// Returns the key of a series. Any text can be a name.
    pub fn series(id: &ComponentId, name: &str) -> Self {
        Self(format!("series.{id}.{}", escape(name)).into())
    }

    /// Returns the key of an app's record.
    pub fn app(name: &AppName) -> Self {
        Self(format!("app.{name}").into())
    }

    /// Returns the key of a host's last boot.
    pub fn host(id: &HostId) -> Self {
        Self(format!("host.{id}").into())
    }

    /// Returns the key of the record of an actor's generations that have served.
    pub fn served(id: &ComponentId) -> Self {
        Self(format!("served.{id}").into())
    }

    /// Returns the key of a sealed secret.
    pub fn secret(name: &SecretName) -> Self {
        Self(format!("secret.{}", escape(name.as_str())).into())
    }

    /// Returns the key under which a host's snapshot on disk has the hosts that it knew. No store
    /// has this key.
    pub fn known_hosts() -> Self {
        Self("hosts".into())
    }

    /// Parses a key that was read from a store. Returns `None` if it isn't a key of a lattice.
    pub fn parse(text: &str) -> Option<Self> {
        let key = Self(text.into());
        key.kind().map(|_| key)
    }

    /// Returns what the key names, or `None` if it isn't a key of a lattice.
    pub fn kind(&self) -> Option<KeyKind> {
        let mut parts = self.0.split('.');
        let [first, rest @ ..] = std::array::from_fn::<_, 5, _>(|_| parts.next());
        match (first?, rest) {
            ("link" | "status", [Some(source), Some(interface), Some(name), None]) => {
                let source = ComponentId::new(source).ok()?;
                let interface = unescape(interface)?;
                let name = LinkName::new(name).ok()?;
                Some(if first == Some("link") {
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
            ("component", [Some(id), None, ..]) => {
                Some(KeyKind::Component(ComponentId::new(id).ok()?))
            }
            ("types", [Some(digest), None, ..])
                if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Some(KeyKind::Types(digest.to_owned()))
            }
            ("actor", [Some(id), None, ..]) => Some(KeyKind::Actor(ComponentId::new(id).ok()?)),
            ("provider", [Some(id), None, ..]) => {
                Some(KeyKind::Provider(ComponentId::new(id).ok()?))
            }
            ("wormhole", [Some(id), None, ..]) => {
                Some(KeyKind::Wormhole(WormholeId::new(id).ok()?))
            }
            ("wormhole-host", [Some(host), None, ..]) if !host.is_empty() => {
                Some(KeyKind::WormholeHost(unescape(host)?))
            }
            ("config", [Some(name), None, ..]) => {
                Some(KeyKind::Config(ConfigName::new(name).ok()?))
            }
            ("lease", [Some(id), None, ..]) => Some(KeyKind::Lease(ComponentId::new(id).ok()?)),
            ("series", [Some(id), Some(name), None, ..]) if !name.is_empty() => {
                Some(KeyKind::Series {
                    component: ComponentId::new(id).ok()?,
                    name: unescape(name)?,
                })
            }
            ("app", [Some(name), None, ..]) => Some(KeyKind::App(AppName::new(name).ok()?)),
            ("host", [Some(id), None, ..]) => Some(KeyKind::Host(HostId::new(id).ok()?)),
            ("served", [Some(id), None, ..]) => Some(KeyKind::Served(ComponentId::new(id).ok()?)),
            ("secret", [Some(name), None, ..]) => {
                let name = SecretName::new(&unescape(name)?).ok()?;
                Some(KeyKind::Secret(name))
            }
            _ => None,
        }
    }

    /// Creates a key exactly as a store has it, without checks.
    pub fn from_store(text: &str) -> Self {
        Self(text.into())
    }

    /// Creates a key without a meaning, for conformance suites and tests. The text is escaped into
    /// one part after `test.`.
    pub fn for_test(text: &str) -> Self {
        Self(format!("test.{}", escape(text)).into())
    }

    /// Returns the key as text.
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
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(out, "={byte:02x}");
        }
    }
    out
}

/// Returns `None` for text that [`escape`] would not have written, so that each key has one
/// spelling.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'=' => {
                let escaped = digit(bytes.next()?)? << 4 | digit(bytes.next()?)?;
                if is_plain(escaped) {
                    return None;
                }
                out.push(escaped);
            }
            plain if is_plain(plain) => out.push(plain),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
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
    fn keys_of_desired_state_are_golden_and_round_trip() {
        let id = ComponentId::new("greeter").expect("valid");
        let wormhole = WormholeId::new("web").expect("valid");
        let host = HostId::new("edge").expect("valid");
        let secret = SecretName::new("db.PASSWORD_2").expect("valid");
        let (config, app) = (ConfigName::new("common"), AppName::new("shop"));
        let (config, app) = (config.expect("valid"), app.expect("valid"));
        for (key, text, kind) in [
            (
                StoreKey::actor(&id),
                "actor.greeter",
                KeyKind::Actor(id.clone()),
            ),
            (
                StoreKey::provider(&id),
                "provider.greeter",
                KeyKind::Provider(id.clone()),
            ),
            (
                StoreKey::wormhole(&wormhole),
                "wormhole.web",
                KeyKind::Wormhole(wormhole),
            ),
            (
                StoreKey::wormhole_host("shop.example"),
                "wormhole-host.shop=2eexample",
                KeyKind::WormholeHost("shop.example".to_owned()),
            ),
            (
                StoreKey::config(&config),
                "config.common",
                KeyKind::Config(config),
            ),
            (StoreKey::app(&app), "app.shop", KeyKind::App(app)),
            (
                StoreKey::served(&id),
                "served.greeter",
                KeyKind::Served(id.clone()),
            ),
            (StoreKey::host(&host), "host.edge", KeyKind::Host(host)),
            (
                StoreKey::secret(&secret),
                "secret.db=2ePASSWORD=5f2",
                KeyKind::Secret(secret),
            ),
            (
                StoreKey::series(&id, "every day"),
                "series.greeter.every=20day",
                KeyKind::Series {
                    component: id.clone(),
                    name: "every day".to_owned(),
                },
            ),
        ] {
            assert_eq!(key.as_str(), text);
            assert_eq!(key.kind(), Some(kind));
            assert_eq!(StoreKey::parse(text), Some(key));
        }
    }

    #[test]
    fn keys_of_other_formats_are_rejected() {
        for bad in [
            "",
            "link",
            "link.a.b",
            "link.A.a=3a.default",
            "link.a.a=3.default",
            "link.a.a=zz.default",
            "link.a.a=+a.default",
            "link.a.a=3A.default",
            "link.a.a=ff.default",
            "link.a.a=3a.default.",
            "component.a.",
            "link.a.=61.default",
            "types.xyz",
            "component.",
            "other.a",
            "actor",
            "actor.A",
            "actor.a.b",
            "app.",
            "config.a=2eb",
            "series.a",
            "series.a.",
            "series.a.b.c",
            "wormhole-host",
            "wormhole-host.",
            "wormhole-host.a.b",
            "wormhole-host.a=61",
            "secret",
            "secret.",
            "secret.a.b",
            "secret.=2ea",
            "secret.=61",
            "secret.a=2fb",
        ] {
            assert_eq!(StoreKey::parse(bad), None, "{bad}");
        }
    }
}
