//! Links: the grants that let one component call another.
//!
//! A link says that *source* may call *target* through *interface*, under a *link name*, with *config*. Its key is source,
//! interface (with its compatible version) and name; so a source can reach several targets through one interface by name.

mod check;
mod entry;
mod status;
mod table;

pub use check::{LinkMismatch, MAX_IDEMPOTENT, MAX_LINK};
pub use entry::{LinkChange, LinkEntry};
pub use status::{HostReport, LinkReports, LinkStatus, MAX_REASON, MAX_REPORTS};
pub(crate) use table::Lacking;
pub use table::{LinkTable, TableEvent};

use crate::{
    name::{ComponentId, FunctionName, InterfaceName, LinkName, NameError},
    store::KeyKind,
    value::bounded,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A declarative grant; see the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// Who may call.
    pub source: ComponentId,
    /// Through which interface.
    pub interface: InterfaceName,
    /// Under which name.
    pub name: LinkName,
    /// Who is called.
    pub target: ComponentId,
    /// JSON text for the target, which may refuse it. `null` by default.
    pub config: String,
    /// Which replicas may be called.
    pub locality: Locality,
    /// Functions that may run twice without harm: retried after `may have run`. At most [`MAX_IDEMPOTENT`].
    #[serde(deserialize_with = "bounded::set::<_, _, MAX_IDEMPOTENT>")]
    pub idempotent: BTreeSet<FunctionName>,
}

/// Which replicas of a link's target may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Locality {
    /// The one on this host when there is one, else any.
    #[default]
    PreferLocal,
    /// Only one on this host.
    LocalOnly,
    /// Any, this host's without preference.
    #[serde(rename = "Spread")]
    Anywhere,
}

/// What tells one link from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkKey {
    /// Who may call.
    pub source: ComponentId,
    /// Interface with its compatible version: `wasi:keyvalue/store@0.2`.
    pub interface: String,
    /// Under which name.
    pub name: LinkName,
}

impl LinkKey {
    /// The link that a store key speaks of, be it the link's own or its status's.
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

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.source, self.interface, self.name)
    }
}

impl Link {
    /// A link under the default name, without config.
    ///
    /// # Errors
    /// A [`NameError`] for the first name that breaks its rule.
    ///
    /// ```
    /// use lattice_core::link::{Link, Locality};
    ///
    /// let link = Link::new("front-desk", "example:hello/greeter@0.1.0", "greeter")?.locality(Locality::Anywhere);
    /// assert_eq!(link.name.as_str(), "default");
    /// # Ok::<_, lattice_core::name::NameError>(())
    /// ```
    pub fn new(source: &str, interface: &str, target: &str) -> Result<Self, NameError> {
        Ok(Self {
            source: ComponentId::new(source)?,
            interface: InterfaceName::new(interface)?,
            name: LinkName::default(),
            target: ComponentId::new(target)?,
            config: "null".to_owned(),
            locality: Locality::default(),
            idempotent: BTreeSet::new(),
        })
    }

    /// The same link under a name of its own.
    ///
    /// # Errors
    /// A [`NameError`] that says the rule.
    pub fn named(mut self, name: &str) -> Result<Self, NameError> {
        self.name = LinkName::new(name)?;
        Ok(self)
    }

    /// Configuration for the target: anything that serializes to JSON.
    ///
    /// # Errors
    /// When `config` does not serialize.
    pub fn config<T: Serialize>(mut self, config: &T) -> Result<Self, serde_json::Error> {
        self.config = serde_json::to_string(config)?;
        Ok(self)
    }

    /// Which replicas may be called.
    pub fn locality(mut self, locality: Locality) -> Self {
        self.locality = locality;
        self
    }

    /// Says that these functions may run twice without harm.
    ///
    /// # Errors
    /// A [`NameError`] for the first that is no function name.
    pub fn idempotent(mut self, functions: &[&str]) -> Result<Self, NameError> {
        for function in functions {
            self.idempotent.insert(FunctionName::new(function)?);
        }
        Ok(self)
    }

    /// What tells this link from another.
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

    /// What stands in stores: a change here is a new schema.
    #[test]
    fn golden_bytes() {
        let link = Link::new("front", "a:b/c@0.2.0", "back")
            .and_then(|link| link.named("n")?.idempotent(&["get"]))
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
