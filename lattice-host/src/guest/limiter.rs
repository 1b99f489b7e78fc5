//! Limits the memory and tables of one instance.

use crate::limits::Limits;
use lattice_core::call::Limit;
use wasmtime::{Error, ResourceLimiter, Result};

/// The memory and tables that an instance uses, and the limits on them.
#[derive(Debug)]
pub(crate) struct InstanceLimiter {
    memory: Quota,
    tables: Quota,
    /// The limit for which a request was denied, if any. It is the most likely reason when the
    /// guest fails soon after.
    denied: Option<Limit>,
}

#[derive(Debug, Default)]
struct Quota {
    used: usize,
    limit: usize,
    /// The last growth that was allowed. It is given back when the growth failed for another
    /// reason.
    last: usize,
}

impl InstanceLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let quota = |limit| Quota {
            limit,
            ..Quota::default()
        };
        Self {
            memory: quota(limits.memory.as_usize()),
            tables: quota(limits.table_elements),
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
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        self.last = desired.saturating_sub(current);
        let fits = self
            .used
            .checked_add(self.last)
            .is_some_and(|used| used <= self.limit);
        if !fits {
            self.last = 0;
        }
        self.used += self.last;
        fits
    }

    fn give_back(&mut self) {
        self.used -= std::mem::take(&mut self.last);
    }
}

impl ResourceLimiter for InstanceLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let fits = self.memory.grow(current, desired);
        if !fits {
            self.denied = Some(Limit::Memory(self.memory.limit as u64));
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: Error) -> Result<()> {
        self.memory.give_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let fits = self.tables.grow(current, desired);
        if !fits {
            self.denied = Some(Limit::TableElements(self.tables.limit as u64));
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, _: Error) -> Result<()> {
        self.tables.give_back();
        Ok(())
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
        let mut limiter = InstanceLimiter::new(&limits);
        let kib = |kib: usize| kib << 10;
        assert!(limiter.memory_growing(0, kib(60), None).expect("no error"));
        assert!(
            !limiter.memory_growing(0, kib(60), None).expect("no error"),
            "the second memory"
        );
        assert_eq!(limiter.denied(), Some(Limit::Memory(100 << 10)));
        limiter
            .memory_grow_failed(Error::msg("denied"))
            .expect("no error");
        assert!(!limiter.is_bloated());
        assert!(
            limiter
                .memory_growing(kib(60), kib(100), None)
                .expect("no error")
        );
        assert!(limiter.is_bloated());
        limiter
            .memory_grow_failed(Error::msg("out of memory"))
            .expect("no error");
        assert!(!limiter.is_bloated());
        assert!(limiter.table_growing(0, 10, None).expect("no error"));
        assert!(!limiter.table_growing(10, 11, None).expect("no error"));
        assert_eq!(limiter.denied(), Some(Limit::TableElements(10)));
        limiter.forget_denied();
        assert_eq!(limiter.denied(), None);
    }
}
