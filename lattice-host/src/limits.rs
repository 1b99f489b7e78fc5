//! What one actor may use on one host.

pub use lattice_core::quantity::ByteSize;

use std::{num::NonZeroUsize, time::Duration};

/// What one actor may use on one host. Everything is limited from the start; raise what an actor
/// needs.
///
/// A call that goes over a limit loses its own instance, and no other.
///
/// ```
/// use lattice_host::{ByteSize, Limits};
/// use std::time::Duration;
///
/// let limits = Limits::default().memory(ByteSize::mib(256)).cpu(Duration::from_secs(10));
/// assert_eq!(limits.memory.to_string(), "256 MiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// All linear memories of one instance together; 64 MiB by default. More than fits a slot of
    /// the engine's pool means that instances are made on demand, which takes about twice as long.
    pub memory: ByteSize,
    /// CPU time of one call, in steps of 5 ms in which it was seen running; 1 s by default. Time
    /// spent waiting is free.
    pub cpu: Option<Duration>,
    /// Time of one call, waiting included; 30 s by default, though a caller's deadline is usually
    /// sooner.
    pub wall: Option<Duration>,
    /// Calls that run at once; 256 by default.
    pub concurrent: NonZeroUsize,
    /// Calls that may wait for one of those to end; 1,024 by default. One more fails with
    /// `Overloaded`.
    pub queued: usize,
    /// Largest encoded result of a call, and the most that the guest may hand to the host at once,
    /// as arguments of a call that it makes; 16 MiB by default. More is `TooLarge`.
    pub result: ByteSize,
    /// Elements of all tables of one instance together; 20,000 by default: large programs in debug
    /// builds need 10,000.
    pub table_elements: usize,
    /// Calls that one instance may have under way to others; 1,024 by default. One more fails as
    /// `Overloaded`.
    pub outgoing: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        let at_least_one = |more| NonZeroUsize::MIN.saturating_add(more);
        Self {
            memory: ByteSize::mib(64),
            cpu: Some(Duration::from_secs(1)),
            wall: Some(Duration::from_secs(30)),
            concurrent: at_least_one(255),
            queued: 1_024,
            result: ByteSize::mib(16),
            table_elements: 20_000,
            outgoing: at_least_one(1_023),
        }
    }
}

impl Limits {
    /// All linear memories of one instance together.
    pub fn memory(mut self, memory: ByteSize) -> Self {
        self.memory = memory;
        self
    }

    /// CPU time of one call.
    pub fn cpu(mut self, cpu: impl Into<Option<Duration>>) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// Time of one call, waiting included.
    pub fn wall(mut self, wall: impl Into<Option<Duration>>) -> Self {
        self.wall = wall.into();
        self
    }

    /// Calls that run at once.
    pub fn concurrent(mut self, calls: NonZeroUsize) -> Self {
        self.concurrent = calls;
        self
    }

    /// Calls that may wait.
    pub fn queued(mut self, calls: usize) -> Self {
        self.queued = calls;
        self
    }

    /// Largest encoded result, and the most that the guest may hand to the host at once.
    pub fn result(mut self, size: ByteSize) -> Self {
        self.result = size;
        self
    }

    /// Elements of all tables of one instance together.
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.table_elements = elements;
        self
    }

    /// Calls that one instance may have under way to others.
    pub fn outgoing(mut self, calls: NonZeroUsize) -> Self {
        self.outgoing = calls;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_limited_from_the_start() {
        let limits = Limits::default();
        assert_eq!(limits.memory, ByteSize::mib(64));
        assert_eq!(limits.cpu, Some(Duration::from_secs(1)));
        assert_eq!(limits.wall, Some(Duration::from_secs(30)));
        assert_eq!((limits.concurrent.get(), limits.queued), (256, 1_024));
        assert_eq!(limits.result, ByteSize::mib(16));
        assert_eq!(limits.table_elements, 20_000);
        assert_eq!(limits.outgoing.get(), 1_024);
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (size, text) in [
            (ByteSize::bytes(0), "0 bytes"),
            (ByteSize::bytes(1_000), "1000 bytes"),
            (ByteSize::kib(1), "1 KiB"),
            (ByteSize::kib(1_536), "1536 KiB"),
            (ByteSize::mib(64), "64 MiB"),
            (ByteSize::gib(2), "2 GiB"),
        ] {
            assert_eq!(size.to_string(), text);
        }
    }
}
