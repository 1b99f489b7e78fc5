//! Settings of an actor.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

/// The settings of an actor, without its limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) instances: Instances,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) args: Vec<String>,
    pub(crate) config: BTreeMap<String, String>,
}

/// How calls share instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Instances {
    /// A new instance for each call. No state of one call reaches another.
    ///
    /// Only requests of HTTP to an actor of version 0.3 share instances all the same, as
    /// [`Reuse`](crate::Reuse) says: 16 at once and 128 in all by default.
    #[default]
    Fresh,
    /// Instances are reused. Calls of a plain `func` have an instance to themselves while they run;
    /// calls of an `async func` share one and overlap in it, and so do requests of HTTP to an actor
    /// of version 0.3, as [`Reuse`](crate::Reuse) says.
    Warm {
        /// The most instances that are kept, of each of the two kinds, and that take requests of
        /// HTTP.
        most: NonZeroUsize,
        /// Time after which an unused instance is dropped.
        idle: Duration,
    },
}

impl Instances {
    /// Shorter idle times are rounded up to this, because checking instances more often costs more
    /// than creating new ones.
    pub(crate) const SHORTEST_IDLE: Duration = Duration::from_millis(100);

    /// Returns warm instances, up to 16, each of which is dropped after a minute without a call.
    pub fn warm() -> Self {
        Self::Warm {
            most: NonZeroUsize::MIN.saturating_add(15),
            idle: Duration::from_mins(1),
        }
    }
}
