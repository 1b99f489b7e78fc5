//! Series: numbered steps, each of which one process of the lattice takes.
//!
//! Several replicas of a component may want to do the same thing at the same time, such as the work
//! that is due at a certain minute. A [`Series`] decides which of them does it:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::{Lattice, series::Taken};
//! use std::time::Duration;
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let mut one = lattice.series("clock", "hourly")?;
//! let mut other = lattice.series("clock", "hourly")?;
//! let day = Duration::from_hours(24);
//! assert_eq!(one.take(7, day).await?, Taken::Here);
//! assert_eq!(other.take(7, day).await?, Taken::Passed { last: 7 });
//! assert_eq!(other.take(8, day).await?, Taken::Here);
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//! * A step is taken at most once, and steps are taken in rising order: a series has one record in
//!   the store, with the last step, and each step is a write that expects the record as it was
//!   read. Paused, partitioned and killed processes change nothing about that.
//! * No process has to be live for another to take the next step: there is no lease to wait for.
//! * A step whose taker is killed before it has acted is lost. Nothing shows whether it has acted,
//!   so no other process gets the step.
//! * What the taker does is not fenced: a process that is paused between taking a step and acting
//!   on it acts late.
//! * A client of the store that has no lattice key can delete the record, or put an older one in
//!   its place. Then each process still refuses the steps that it has seen itself.

mod taking;

use crate::{
    Lattice, entropy,
    name::{ComponentId, IntoName, NameError},
    replica::{OtherKey, Replica},
    store::{
        InvalidCommit, StoreError, StoreKey,
        record::{RecordError, Records},
    },
};
use std::time::Duration;

/// A sequence of numbered steps, from [`Lattice::series`]. See the [module](self).
#[derive(Debug)]
pub struct Series {
    records: Records,
    replica: Replica,
    key: StoreKey,
    /// Tells the steps that this handle has taken from those of others.
    taker: (u64, u64),
    /// The highest step that this handle knows to be taken.
    seen: Option<u64>,
    /// The highest step that it took, and has said so.
    taken: Option<u64>,
}

/// Whether a step was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// By this call. No other call returns that for this step.
    Here,
    /// It, or a later step, was taken before.
    Passed {
        /// The last step that was taken.
        last: u64,
    },
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The store can't be used. The step was not taken.
    #[error("the store could not be used")]
    Store(#[from] StoreError),
    /// The store does not accept such a value, key or term. The step was not taken.
    #[error("the store refused the write")]
    Refused(#[from] InvalidCommit),
    /// The record can't be read or written: a newer version wrote it. The step was not taken.
    #[error("the record of the series can't be used")]
    Record(#[from] RecordError),
    /// The lattice has another key than this process. The step was not taken.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// The store's answer was lost, or other processes kept taking steps, so that it is unknown
    /// whether the step was taken. The same handle can try to take it again, and learns that then.
    #[error(
        "it is unknown whether step {step} of `{key}` was taken; take it again with the same handle"
    )]
    Unknown {
        /// The record's key in the store.
        key: StoreKey,
        /// The step.
        step: u64,
    },
}

/// Longest time for which a series is remembered without a step: what a store allows.
const LONGEST: Duration = Duration::from_hours(365 * 24);

impl Lattice {
    /// Returns a handle to a series of a component. Every name is a series of its own.
    ///
    /// # Errors
    /// [`NameError`] when `component` isn't a valid component id.
    ///
    /// # Panics
    /// When the operating system provides no randomness.
    pub fn series(
        &self,
        component: impl IntoName<ComponentId>,
        name: &str,
    ) -> Result<Series, NameError> {
        let component = component.into_name()?;
        let random = || entropy::number().expect("the operating system gives randomness");
        let connection = self.connection();
        Ok(Series {
            records: connection.records.clone(),
            replica: connection.replica.clone(),
            key: StoreKey::series(&component, name),
            taker: (random(), random()),
            seen: None,
            taken: None,
        })
    }
}

impl Series {
    /// Takes `step`, unless it or a later one was taken before. The series is forgotten `keep`
    /// after its last step: from then on, every step can be taken by handles that have not seen it
    /// taken. `keep` is rounded up to whole seconds, and a year is the longest.
    ///
    /// # Errors
    /// Fails with a [`SeriesError`], within 10 s.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the step was taken. The same handle can try to
    /// take it again.
    pub async fn take(&mut self, step: u64, keep: Duration) -> Result<Taken, SeriesError> {
        if let Some(last) = self.known().filter(|last| *last >= step) {
            return Ok(Taken::Passed { last });
        }
        let seconds = keep.as_secs() + u64::from(keep.subsec_nanos() > 0);
        let keep = Duration::from_secs(seconds.max(1)).min(LONGEST);
        let taken = self.try_take(step, keep).await?;
        match taken {
            Taken::Here => self.taken = Some(step),
            Taken::Passed { last } => self.seen = self.seen.max(Some(last)),
        }
        Ok(taken)
    }

    /// Returns the last step that was taken, or `None` if there is none, or if the series was
    /// forgotten.
    ///
    /// # Errors
    /// Fails with a [`SeriesError`], within 10 s.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn last(&mut self) -> Result<Option<u64>, SeriesError> {
        let found = self.read().await?;
        // A step that this handle has taken without knowing is left to `take`.
        if !found.is_of(self.taker) {
            self.seen = self.seen.max(found.last);
        }
        Ok(self.known().max(found.last))
    }

    /// Returns the highest step that was certainly taken.
    fn known(&self) -> Option<u64> {
        self.seen.max(self.taken)
    }
}
