//! What a caller of [`Node::join`](super::Node::join) sets.

use crate::name::{HostId, IntoName, NameError};
use std::collections::BTreeMap;

/// How a node appears to others.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NodeOptions {
    /// Its host id; a random one by default. If two live hosts have one id, the later boot wins.
    pub host: Option<HostId>,
    /// Labels for placement and for people. A node whose labels break a bound of
    /// [`check_labels`](crate::membership::check_labels) can't join.
    pub labels: BTreeMap<String, String>,
}

impl NodeOptions {
    /// Sets the host id.
    ///
    /// # Errors
    /// [`NameError`] when `id` breaks its rule.
    pub fn host(mut self, id: impl IntoName<HostId>) -> Result<Self, NameError> {
        self.host = Some(id.into_name()?);
        Ok(self)
    }

    /// Adds a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}
