//! Memory and tables of one instance.

use crate::limits::Limits;
use lattice_core::call::Limit;
use wasmtime::{Error, ResourceLimiter, Result};

/// What an instance has of memory and tables, and what it may have.
#[derive(Debug)]
pub(crate) struct Allowance {
    memory: Share,
    tables: Share,
    /// What was asked for in vain, if anything: most likely why the guest failed soon after.
    denied: Option<Limit>,
}

#[derive(Debug, Default)]
struct Share {
    used: usize,
    limit: usize,
    /// The growth that was allowed last, given back when it failed for another reason.
    last: usize,
}

impl Allowance {
    pub(crate) fn new(limits: &Limits) -> Self {
        let share = |limit| Share {
            limit,
            ..Share::default()
        };
        Self {
            memory: share(limits.memory.as_usize()),
            tables: share(limits.table_elements),
            denied: None,
        }
    }

    /// What was asked for in vain.
    pub(crate) fn denied(&self) -> Option<Limit> {
        self.denied
    }

    /// Another call begins: what was denied before it is not why it ends.
    pub(crate) fn forget_denied(&mut self) {
        self.denied = None;
    }

    /// Whether an instance has so much memory that it had better not be used again: guests rarely give any back.
    pub(crate) fn is_bloated(&self) -> bool {
        self.memory.used > self.memory.limit / 4 * 3
    }
}

impl Share {
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

impl ResourceLimiter for Allowance {
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
        let mut allowance = Allowance::new(&limits);
        let kib = |kib: usize| kib << 10;
        assert!(
            allowance
                .memory_growing(0, kib(60), None)
                .expect("no error")
        );
        assert!(
            !allowance
                .memory_growing(0, kib(60), None)
                .expect("no error"),
            "the second memory"
        );
        assert_eq!(allowance.denied(), Some(Limit::Memory(100 << 10)));
        allowance
            .memory_grow_failed(Error::msg("denied"))
            .expect("no error");
        assert!(!allowance.is_bloated());
        assert!(
            allowance
                .memory_growing(kib(60), kib(100), None)
                .expect("no error")
        );
        assert!(allowance.is_bloated());
        allowance
            .memory_grow_failed(Error::msg("the system had none"))
            .expect("no error");
        assert!(!allowance.is_bloated());
        assert!(allowance.table_growing(0, 10, None).expect("no error"));
        assert!(!allowance.table_growing(10, 11, None).expect("no error"));
        assert_eq!(allowance.denied(), Some(Limit::TableElements(10)));
        allowance.forget_denied();
        assert_eq!(allowance.denied(), None);
    }
}
