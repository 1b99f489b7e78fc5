//! Limits the memory and tables of one instance.

use crate::{engine::MemoryLease, limits::Limits};
use lattice_core::call::Limit;
use std::sync::Arc;
use wasmtime::{ResourceLimiter, Result};

/// The most core instances, memories and tables of one instance, each. A component made from one
/// program has four, and one that is composed of twenty programs eighty.
pub(crate) const MAX_PARTS: u32 = 256;

/// The memory and tables that an instance uses, and the limits on them: its own, and those on what
/// it shares with the other guests of its engine.
#[derive(Debug)]
pub(crate) struct InstanceLimiter {
    memory: Quota,
    tables: Quota,
    lease: Arc<MemoryLease>,
    /// The limit for which a request was denied, if any. It is the most likely reason when the
    /// guest fails soon after.
    denied: Option<Limit>,
}

#[derive(Debug)]
struct Quota {
    used: usize,
    limit: usize,
    /// Bytes for each of what is counted.
    bytes: usize,
}

impl InstanceLimiter {
    /// Creates the limiter of an instance that uses the memory of `lease`.
    pub(crate) fn new(limits: &Limits, lease: Arc<MemoryLease>) -> Self {
        let quota = |limit, bytes| Quota {
            used: 0,
            limit,
            bytes,
        };
        Self {
            memory: quota(limits.memory.as_usize(), 1),
            tables: quota(limits.table_elements, size_of::<usize>()),
            lease,
            denied: None,
        }
    }

    /// Returns the limit for which a request was denied since the call began.
    pub(crate) fn denied(&self) -> Option<Limit> {
        self.denied
    }

    /// Forgets the denial. Call this between calls, because a denial in one call is not the reason
    /// why another fails.
    pub(crate) fn forget_denied(&mut self) {
        self.denied = None;
    }

    /// Returns whether the instance has too much memory to be reused. Guests rarely give any back.
    pub(crate) fn is_bloated(&self) -> bool {
        self.memory.used > self.memory.limit / 4 * 3
    }
}

impl Quota {
    /// Allows the growth if it is within the limit, and within what the lease can get. A growth
    /// over the `maximum` of the guest's own type takes nothing, because Wasmtime then refuses it.
    fn grow(
        &mut self,
        (current, desired): (usize, usize),
        maximum: Option<usize>,
        lease: &MemoryLease,
        limit: fn(u64) -> Limit,
    ) -> std::result::Result<(), Limit> {
        let more = desired.saturating_sub(current);
        let used = self.used.checked_add(more);
        let Some(used) = used.filter(|used| *used <= self.limit) else {
            return Err(limit(self.limit as u64));
        };
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(());
        }
        lease.grow(more.saturating_mul(self.bytes))?;
        self.used = used;
        Ok(())
    }
}

// Nothing is given back when a growth fails after it was allowed, as it does when the system has no
// memory. Wasmtime also reports failures of growths that it has not announced, which would give
// back what is in use. The instance's end gives back everything.
impl ResourceLimiter for InstanceLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let grown = self
            .memory
            .grow((current, desired), maximum, &self.lease, Limit::Memory);
        self.denied = grown.err().or(self.denied);
        Ok(grown.is_ok())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let grown = self.tables.grow(
            (current, desired),
            maximum,
            &self.lease,
            Limit::TableElements,
        );
        self.denied = grown.err().or(self.denied);
        Ok(grown.is_ok())
    }

    fn instances(&self) -> usize {
        MAX_PARTS as usize
    }

    fn tables(&self) -> usize {
        MAX_PARTS as usize
    }

    fn memories(&self) -> usize {
        MAX_PARTS as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ByteSize;

    #[test]
    fn memories_of_an_instance_share_one_limit() {
        let limits = Limits::default()
            .memory(ByteSize::kib(100))
            .table_elements(10);
        let mut limiter = InstanceLimiter::new(&limits, MemoryLease::for_tests(1 << 20));
        let kib = |kib: usize| kib << 10;
        assert!(limiter.memory_growing(0, kib(60), None).expect("no error"));
        assert!(
            !limiter.memory_growing(0, kib(60), None).expect("no error"),
            "the second memory"
        );
        assert_eq!(limiter.denied(), Some(Limit::Memory(100 << 10)));
        assert!(!limiter.is_bloated());
        assert!(
            limiter
                .memory_growing(kib(60), kib(100), None)
                .expect("no error")
        );
        assert!(limiter.is_bloated());
        assert!(limiter.table_growing(0, 10, None).expect("no error"));
        assert!(!limiter.table_growing(10, 11, None).expect("no error"));
        assert_eq!(limiter.denied(), Some(Limit::TableElements(10)));
        limiter.forget_denied();
        assert_eq!(limiter.denied(), None);
    }

    #[test]
    fn what_wasmtime_refuses_takes_nothing_and_gives_nothing_back() {
        let limits = Limits::default().memory(ByteSize::bytes(80));
        let lease = MemoryLease::for_tests(100);
        let mut limiter = InstanceLimiter::new(&limits, lease);
        assert!(limiter.memory_growing(0, 60, Some(60)).expect("no error"));
        let over = limiter.memory_growing(60, 80, Some(60));
        assert!(over.expect("no error"), "Wasmtime refuses it");
        assert_eq!(limiter.memory.used, 60);
        assert!(limiter.table_growing(0, 5, Some(9)).expect("no error"));
        for _ in 0..2 {
            let error = wasmtime::Error::msg("overflow calculating new table size");
            limiter.table_grow_failed(error).expect("no error");
            let error = wasmtime::Error::msg("memory growth exceeds memory type's limits");
            limiter.memory_grow_failed(error).expect("no error");
        }
        assert_eq!((limiter.memory.used, limiter.tables.used), (60, 5));
        assert!(!limiter.table_growing(5, 6, Some(9)).expect("no error"));
        assert_eq!(limiter.denied(), Some(Limit::ActorMemory(100)));
    }

    #[test]
    fn instances_share_the_memory_of_their_actor() {
        let limits = Limits::default();
        let lease = MemoryLease::for_tests(100);
        let mut limiter = InstanceLimiter::new(&limits, lease);
        assert!(limiter.memory_growing(0, 60, None).expect("no error"));
        assert!(!limiter.table_growing(0, 6, None).expect("no error"));
        assert_eq!(limiter.denied(), Some(Limit::ActorMemory(100)));
        assert!(limiter.table_growing(0, 5, None).expect("no error"));
        assert!(!limiter.memory_growing(60, 61, None).expect("no error"));
    }
}
