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
    /// Largest result; 16 MiB by default.
    pub result: ByteSize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            concurrent: NonZeroUsize::MIN.saturating_add(255),
            queued: 1_024,
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

    /// Sets the largest result.
    pub fn result(mut self, size: ByteSize) -> Self {
        self.result = size;
        self
    }
}
