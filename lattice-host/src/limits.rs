//! Limits of one actor on one host.

pub use lattice_core::quantity::ByteSize;

use std::{num::NonZeroUsize, time::Duration};

/// Limits of one actor on one host. Everything is limited by default; raise the limits that an
/// actor needs.
///
/// A call that exceeds a limit loses only its own instance.
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
    /// All linear memories of one instance together, 64 MiB by default. If this is more than a slot
    /// of the engine's pool has, instances are created on demand, which takes about twice as long.
    /// All instances of an actor together are limited by
    /// [`EngineBuilder::guest_memory`](crate::EngineBuilder::guest_memory).
    pub memory: ByteSize,
    /// CPU time of one call, 1 s by default. It is measured by looking at random times, every 5 ms
    /// on average, so that a guest can't wait just then. The time for copying what the guest passes
    /// is included, and time spent waiting is free. A guest that serves a request of HTTP has it
    /// anew for each 64 MiB of its bodies, and each minute in which they are read. An instance that
    /// passes streams or futures has it anew, for all of its calls and what goes on after them, for
    /// each 64 MiB that moves in these, and each minute in which something does.
    pub cpu: Option<Duration>,
    /// Time of one call, including waiting, 30 s by default. A caller's deadline is usually
    /// earlier. Of a request of HTTP, it is the time until the head of the response. In an instance
    /// that something else needs, the guest runs on with the call, until it has used up `cpu`.
    pub wall: Option<Duration>,
    /// Calls that may run concurrently, 256 by default.
    pub concurrent: NonZeroUsize,
    /// Calls that may wait for one of those to end, 1,024 by default. One more fails with
    /// `Overloaded`.
    pub queued: usize,
    /// Largest encoded result of a call, and largest encoded arguments of a call that the guest
    /// makes, 16 MiB by default. More fails with `TooLarge`.
    pub result: ByteSize,
    /// Elements of all tables of one instance together, 20,000 by default. Large programs in debug
    /// builds need 10,000.
    pub table_elements: usize,
    /// Calls to others that one instance may have in flight, 1,024 by default. One more fails with
    /// `Overloaded`.
    pub outgoing: NonZeroUsize,
    /// Bytes that the arguments of these calls may take together in the host's memory, 16 MiB by
    /// default, and at least the size of one `result`. More fails with `Overloaded`, before
    /// anything is copied out of the guest. Arguments up to 1 KiB don't count.
    pub outgoing_bytes: ByteSize,
    /// Resources of one instance that others may hold, 10,000 by default. When it gives away one
    /// more, the instance ends. It may itself hold 10,000 handles more than that.
    pub handles: NonZeroUsize,
    /// How long an instance is kept for handles and streams that others hold and don't use, 5 min
    /// by default and at least 100 ms. Then it ends. The body of a response of which nothing moves
    /// for so long breaks.
    pub kept: Duration,
    /// How requests of HTTP share instances, of an actor of version 0.3.
    pub reuse: Reuse,
}

/// How requests of HTTP share the instances of an actor that exports `wasi:http/handler` 0.3. The
/// defaults are those of `wasmtime serve`.
///
/// ```
/// use lattice_host::{Limits, Reuse};
/// use std::num::NonZeroUsize;
///
/// let one_by_one = Reuse::default().concurrent(NonZeroUsize::MIN);
/// let limits = Limits::default().reuse(one_by_one.requests(NonZeroUsize::new(1_000)));
/// assert_eq!(limits.reuse.concurrent, Some(NonZeroUsize::MIN));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reuse {
    /// Requests that one instance serves at once, until their bodies are over. When all instances
    /// that there may be ([`Instances::Warm`](crate::Instances::Warm)) have so many, further
    /// requests wait, until their deadline. By default it is 16, and a request that finds all
    /// instances full doesn't wait: the one with the fewest requests gets it.
    pub concurrent: Option<NonZeroUsize>,
    /// Requests that one instance serves before another one takes its place. By default 128 of an
    /// actor whose instances are [fresh](crate::Instances::Fresh), and no limit of a warm one.
    pub requests: Option<NonZeroUsize>,
    /// How long an instance without requests is kept, at least 100 ms. By default 1 s of an actor
    /// whose instances are fresh, and of a warm one as long as
    /// [`Instances::Warm`](crate::Instances::Warm) says.
    pub idle: Option<Duration>,
}

impl Reuse {
    /// Sets the number of requests that one instance serves at once.
    pub fn concurrent(mut self, requests: impl Into<Option<NonZeroUsize>>) -> Self {
        self.concurrent = requests.into();
        self
    }

    /// Sets the number of requests that one instance serves in all.
    pub fn requests(mut self, requests: impl Into<Option<NonZeroUsize>>) -> Self {
        self.requests = requests.into();
        self
    }

    /// Sets how long an instance without requests is kept.
    pub fn idle(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.idle = idle.into();
        self
    }
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
            outgoing_bytes: ByteSize::mib(16),
            handles: at_least_one(9_999),
            kept: Duration::from_mins(5),
            reuse: Reuse::default(),
        }
    }
}

impl Limits {
    /// Sets the limit on all linear memories of one instance together.
    pub fn memory(mut self, memory: ByteSize) -> Self {
        self.memory = memory;
        self
    }

    /// Sets the CPU time of one call.
    pub fn cpu(mut self, cpu: impl Into<Option<Duration>>) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// Sets the time of one call, including waiting.
    pub fn wall(mut self, wall: impl Into<Option<Duration>>) -> Self {
        self.wall = wall.into();
        self
    }

    /// Sets the number of calls that may run concurrently.
    pub fn concurrent(mut self, calls: NonZeroUsize) -> Self {
        self.concurrent = calls;
        self
    }

    /// Sets the number of calls that may wait.
    pub fn queued(mut self, calls: usize) -> Self {
        self.queued = calls;
        self
    }

    /// Sets the size of the largest encoded result of a call, and of the largest arguments of a
    /// call that the guest makes.
    pub fn result(mut self, size: ByteSize) -> Self {
        self.result = size;
        self
    }

    /// Sets the limit on the elements of all tables of one instance together.
    pub fn table_elements(mut self, elements: usize) -> Self {
        self.table_elements = elements;
        self
    }

    /// Sets the number of calls to others that one instance may have in flight.
    pub fn outgoing(mut self, calls: NonZeroUsize) -> Self {
        self.outgoing = calls;
        self
    }

    /// Sets the bytes that the arguments of these calls may take together.
    pub fn outgoing_bytes(mut self, bytes: ByteSize) -> Self {
        self.outgoing_bytes = bytes;
        self
    }

    /// Sets the number of resources of one instance that others may hold.
    pub fn handles(mut self, handles: NonZeroUsize) -> Self {
        self.handles = handles;
        self
    }

    /// Sets how long an instance is kept for handles and streams that others hold and don't use.
    pub fn kept(mut self, kept: Duration) -> Self {
        self.kept = kept;
        self
    }

    /// Sets how requests of HTTP share instances, of an actor of version 0.3.
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_are_those_documented() {
        let limits = Limits::default();
        assert_eq!(limits.memory, ByteSize::mib(64));
        assert_eq!(limits.cpu, Some(Duration::from_secs(1)));
        assert_eq!(limits.wall, Some(Duration::from_secs(30)));
        assert_eq!((limits.concurrent.get(), limits.queued), (256, 1_024));
        assert_eq!(limits.result, ByteSize::mib(16));
        assert_eq!(limits.table_elements, 20_000);
        assert_eq!(limits.outgoing.get(), 1_024);
        assert_eq!(limits.outgoing_bytes, ByteSize::mib(16));
        assert_eq!(limits.handles.get(), 10_000);
        assert_eq!(limits.kept, Duration::from_mins(5));
        let Reuse {
            concurrent,
            requests,
            idle,
        } = limits.reuse;
        assert_eq!((concurrent, requests, idle), (None, None, None));
    }
}
