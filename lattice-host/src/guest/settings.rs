//! How an actor is run.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

/// How an actor is run, apart from its limits.
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
    /// A new instance for each call. Nothing that one call leaves behind reaches another.
    #[default]
    Fresh,
    /// Instances are reused. Calls of a plain `func` have an instance to themselves while they run;
    /// calls of an `async func` share one and overlap in it.
    Warm {
        /// Instances kept at most, of each of the two kinds.
        most: NonZeroUsize,
        /// An instance that is not used for this long is dropped.
        idle: Duration,
    },
}

impl Instances {
    /// Idle times below this are rounded up to it: looking at instances more often costs more than
    /// making new ones.
    pub(crate) const SHORTEST_IDLE: Duration = Duration::from_millis(100);

    /// Warm with up to 16 instances, each dropped after a minute without a call.
    pub fn warm() -> Self {
        Self::Warm {
            most: NonZeroUsize::MIN.saturating_add(15),
            idle: Duration::from_mins(1),
        }
    }
}
