//! Links: the grants that let one component call another.
//!
//! A link says that *source* may call *target* through *interface*, under a *link name*, with
//! *config*. Its key is the source, the interface (with its compatible version) and the name, so a
//! source can reach several targets through one interface by name.

mod check;
mod entry;
mod status;
mod table;

pub use check::{LinkMismatch, MAX_IDEMPOTENT, MAX_LINK};
pub use entry::{LinkChange, LinkEntry};
pub use status::{HostReport, LinkReports, LinkStatus, MAX_REASON, MAX_REPORTS};
pub(crate) use table::Lacking;
#[doc(hidden)]
pub use table::{LinkTable, TableEvent};

use crate::{
    name::{ComponentId, FunctionName, InterfaceName, IntoName, LinkName, NameError},
    store::KeyKind,
    value::bounded,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A declarative grant; see the [module](self).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// The component that may call.
    pub source: ComponentId,
    /// The interface that it calls through.
    pub interface: InterfaceName,
    /// The name of the link.
    pub name: LinkName,
    /// The component that is called.
    pub target: ComponentId,
    /// JSON text for the target, which may refuse it. The default is `null`.
    pub config: String,
    /// Which replicas may be called.
    pub locality: Locality,
    /// Functions that may run twice without harm, so that a call of them is retried even when it
    /// may have run. At most [`MAX_IDEMPOTENT`].
    #[serde(deserialize_with = "bounded::set::<_, _, MAX_IDEMPOTENT>")]
    pub idempotent: BTreeSet<FunctionName>,
}

/// Which replicas of a link's target may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Locality {
    /// The replica on this host if there is one, otherwise any.
    #[default]
    PreferLocal,
    /// Only a replica on this host.
    LocalOnly,
    /// Any replica, without preferring this host's.
    #[serde(rename = "Spread")]
    Anywhere,
}

/// The identity of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkKey {
    /// The component that may call.
    pub source: ComponentId,
    /// The interface with its compatible version: `wasi:keyvalue/store@0.2`.
    pub interface: String,
    /// The name of the link.
    pub name: LinkName,
}

impl LinkKey {
    /// Returns the link that a store key belongs to, for the key of a link or of its status.
    pub(crate) fn of(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::Link {
                source,
                interface,
                name,
            }
            | KeyKind::LinkStatus {
                source,
                interface,
                name,
            } => Some(Self {
                source,
                interface,
                name,
            }),
            _ => None,
        }
    }
}

/// Omits the config, which may hold secrets.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("source", &self.source)
            .field("interface", &self.interface)
            .field("name", &self.name)
            .field("target", &self.target)
            .field("locality", &self.locality)
            .field("idempotent", &self.idempotent)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.source, self.interface, self.name)
    }
}

impl Link {
    /// Creates a link under the default name, without config.
    ///
    /// # Errors
    /// Fails with a [`NameError`] for the first invalid name.
    ///
    /// ```
    /// use lattice_core::link::{Link, Locality};
    ///
    /// let link = Link::new("front-desk", "example:hello/greeter@0.1.0", "greeter")?;
    /// let link = link.locality(Locality::Anywhere);
    /// assert_eq!(link.name.as_str(), "default");
    /// # Ok::<_, lattice_core::name::NameError>(())
    /// ```
    pub fn new(
        source: impl IntoName<ComponentId>,
        interface: impl IntoName<InterfaceName>,
        target: impl IntoName<ComponentId>,
    ) -> Result<Self, NameError> {
        Ok(Self {
            source: source.into_name()?,
            interface: interface.into_name()?,
            name: LinkName::default(),
            target: target.into_name()?,
            config: "null".to_owned(),
            locality: Locality::default(),
            idempotent: BTreeSet::new(),
        })
    }

    /// Names the link, so that it differs from other links with the same source and interface.
    ///
    /// # Errors
    /// Fails with a [`NameError`] that states the rule.
    pub fn named(mut self, name: impl IntoName<LinkName>) -> Result<Self, NameError> {
        self.name = name.into_name()?;
        Ok(self)
    }

    /// Sets the configuration for the target: any value that serializes to JSON.
    ///
    /// # Errors
    /// Fails when `config` does not serialize.
    pub fn config<T: Serialize>(mut self, config: &T) -> Result<Self, serde_json::Error> {
        self.config = serde_json::to_string(config)?;
        Ok(self)
    }

    /// Sets which replicas may be called.
    pub fn locality(mut self, locality: Locality) -> Self {
        self.locality = locality;
        self
    }

    /// Declares that these functions may run twice without harm.
    ///
    /// # Errors
    /// Fails with a [`NameError`] for the first invalid function name.
    pub fn idempotent(
        mut self,
        functions: impl IntoIterator<Item: IntoName<FunctionName>>,
    ) -> Result<Self, NameError> {
        for function in functions {
            self.idempotent.insert(function.into_name()?);
        }
        Ok(self)
    }

    /// Returns the key of this link.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source: self.source.clone(),
            interface: self.interface.compat(),
            name: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::HostId, store::Revision, value};

    #[test]
    fn the_config_of_a_link_is_not_debugged() {
        let link = Link::new("front", "a:b/c@0.2.0", "back")
            .expect("valid")
            .config(&"s3cret")
            .expect("JSON");
        let text = format!("{link:?} {link:#?}");
        assert!(text.contains("front") && !text.contains("s3cret"), "{text}");
    }

    /// The bytes in stores: a change here is a new schema.
    #[test]
    fn golden_bytes() {
        let link = Link::new("front", "a:b/c@0.2.0", "back")
            .and_then(|link| link.named("n")?.idempotent(["get"]))
            .expect("valid")
            .config(&7)
            .expect("JSON")
            .locality(Locality::Anywhere);
        let host = HostId::new("h").expect("valid");
        let reports = LinkReports::default()
            .with(Revision(300), &host, LinkStatus::Active)
            .and_then(|reports| reports.with(Revision(300), &host, LinkStatus::rejected("no")))
            .expect("changes");
        let link_bytes = value::to_bytes(&link).expect("encodes");
        let reports_bytes = value::to_bytes(&reports).expect("encodes");
        assert_eq!(
            link_bytes,
            &b"\x05front\x0ba:b/c@0.2.0\x01n\x04back\x017\x02\x01\x03get"[..]
        );
        assert_eq!(reports_bytes, &b"\xac\x02\x01\x01h\x02\x02no"[..]);
        assert_eq!(value::from_bytes::<Link>(&link_bytes), Ok(link));
        assert_eq!(
            value::from_bytes::<LinkReports>(&reports_bytes),
            Ok(reports)
        );
    }
}
