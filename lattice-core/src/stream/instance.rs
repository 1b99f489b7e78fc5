//! The numbers of instances.

use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a number for a new instance, which no other instance of this process has had.
pub fn next_instance() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_twice() {
        assert_ne!(next_instance(), next_instance());
    }
}
