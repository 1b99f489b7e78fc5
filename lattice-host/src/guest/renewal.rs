//! Gives a call its CPU time anew, from outside of its store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Gives a call all of its CPU time anew. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Renewal(Arc<AtomicBool>);

impl Renewal {
    pub(super) fn renew(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the CPU time was renewed since this was called last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_counts_once() {
        let renewal = Renewal::default();
        assert!(!renewal.take());
        let other = renewal.clone();
        other.renew();
        other.renew();
        assert!(renewal.take());
        assert!(!renewal.take());
    }
}
