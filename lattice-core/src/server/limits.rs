//! How much of one component runs and waits on one host.

use crate::quantity::ByteSize;
use std::num::NonZeroUsize;

/// Limits of one component on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// Calls that run at once; 256 by default.
    pub concurrent: NonZeroUsize,
    /// Calls that may wait for one of those to end; 1,024 by default. One more fails with
    /// `Overloaded`.
    pub queued: usize,
    /// Most bytes of arguments of the calls that run and wait, together; 128 MiB by default. One
    /// more call fails with `Overloaded`, and one whose own arguments are larger with `TooLarge`.
    /// All components of a process together are limited by
    /// [`Connect::message_memory`](crate::Connect::message_memory).
    pub arguments: ByteSize,
    /// Largest result; 16 MiB by default. Like arguments, it may be larger than a message of the
    /// bus.
    pub result: ByteSize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            concurrent: NonZeroUsize::MIN.saturating_add(255),
            queued: 1_024,
            arguments: ByteSize::mib(128),
            result: ByteSize::mib(16),
        }
    }
}

impl ServeLimits {
    /// Sets how many calls run at once.
    pub fn concurrent(mut self, calls: NonZeroUsize) -> Self {
        self.concurrent = calls;
        self
    }

    /// Sets how many calls may wait.
    pub fn queued(mut self, calls: usize) -> Self {
        self.queued = calls;
        self
    }

    /// Sets the most bytes of arguments of the calls that run and wait.
    pub fn arguments(mut self, size: ByteSize) -> Self {
        self.arguments = size;
        self
    }

    /// Sets the largest result.
    pub fn result(mut self, size: ByteSize) -> Self {
        self.result = size;
        self
    }
}
