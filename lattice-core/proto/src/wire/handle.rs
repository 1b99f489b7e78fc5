//! The name of a resource, as hosts tell it to each other.
//!
//! Encoded by its fields in order, as the bodies in `body.rs`.

use super::Origin;
use crate::name::ComponentId;
use serde::{Deserialize, Serialize};

/// A resource, as one host names it to another. Knowing it gives no right to use it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceName {
    /// The boot of the host on which it lives.
    pub origin: Origin,
    /// The component in which it lives.
    pub component: ComponentId,
    /// The instance of the component.
    pub instance: u64,
    /// The number under which that host has given it to the holder. Each time a host gets the
    /// handle, it has a new one.
    pub id: u64,
    /// The boot that holds it, if that isn't the one that sends this name: another node of the same
    /// process.
    pub holder: Option<Origin>,
    /// Its type: `package/interface/name` without a version.
    pub ty: String,
}
