//! Bugs that are injected on purpose.

/// A bug that is injected on purpose, to see that its checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InjectedBug {
    /// The clock of host `h0` runs at half speed, so its calls end late. Violates
    /// [`Invariant::EndsInTime`](crate::Invariant::EndsInTime).
    SlowClock,
    /// Components run calls and then report that they did not. Violates
    /// [`Invariant::SaysWhetherItRan`](crate::Invariant::SaysWhetherItRan).
    DeniesThatItRan,
    /// Components run each call twice. Violates
    /// [`Invariant::RunsOnce`](crate::Invariant::RunsOnce).
    RunsTwice,
    /// A link exists that was not declared. Violates
    /// [`Invariant::Granted`](crate::Invariant::Granted).
    UndeclaredLink,
    /// The store grants each lease to every host, and hides it from the others. Violates
    /// [`Invariant::OneHolder`](crate::Invariant::OneHolder).
    GrantsAllLeases,
    /// The store loses a record. Violates
    /// [`Invariant::KeepsDesired`](crate::Invariant::KeepsDesired).
    LosesRecords,
    /// An actor that should run on every host doesn't start on `h0`. Violates
    /// [`Invariant::Settles`](crate::Invariant::Settles).
    NeverComesUp,
    /// Components return other bytes than they were given. Violates
    /// [`Invariant::KeepsBytes`](crate::Invariant::KeepsBytes).
    DamagesBytes,
    /// Owners of resources keep those that are dropped. Violates
    /// [`Invariant::EndsLeases`](crate::Invariant::EndsLeases).
    KeepsDropped,
    /// Owners of resources drop those that are used. Violates
    /// [`Invariant::KeepsHandles`](crate::Invariant::KeepsHandles).
    DropsUsed,
    /// Components lose elements of streams, and end them as if they hadn't. Violates
    /// [`Invariant::KeepsBytes`](crate::Invariant::KeepsBytes).
    LosesElements,
    /// Hosts aren't told how much memory their messages may take, and get more of them at once.
    /// Violates [`Invariant::BoundsMemory`](crate::Invariant::BoundsMemory).
    ForgetsBounds,
    /// A call with a deadline far in the future never returns. Violates
    /// [`Invariant::EndsIdle`](crate::Invariant::EndsIdle).
    NeverAnswers,
}
