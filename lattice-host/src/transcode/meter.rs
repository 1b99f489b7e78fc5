//! Host memory for values that are copied out of guests.
//!
//! A value that a guest passes is copied before anything but its store is known. So the meter of
//! the guest that runs is kept by the thread, and each value takes its bytes from it before they
//! are copied, and gives them back when its last user drops it. A guest isn't interrupted while its
//! values are copied, so the meter also records how long that took.

use bytes::Bytes;
use lattice_core::call::Part;
use std::{cell::RefCell, sync::Arc};

/// How much a value takes at once, so that a list of a million strings doesn't take a million
/// times.
const STEP: usize = 64 * 1024;
/// The smallest value that takes anything. A smaller one is a part of what its call takes anyway.
pub(super) const SMALL: usize = 1024;

/// Grants the host memory for values that are copied out of a guest.
pub(crate) trait Meter: Send + Sync {
    /// Takes memory. Returns false when there is not enough.
    fn take(&self, part: Part, bytes: usize) -> bool;

    /// Gives memory back that was taken.
    fn give_back(&self, part: Part, bytes: usize);

    /// Returns the number of the current tick.
    fn tick(&self) -> u64;

    /// Records that a value was copied from this tick until now.
    fn copied_since(&self, tick: u64);
}

thread_local! {
    static RUNNING: RefCell<Option<Arc<dyn Meter>>> = const { RefCell::new(None) };
}

/// Runs a guest. Values that are copied out of it meanwhile take their bytes from `meter`.
pub(crate) fn metered<R>(meter: Arc<dyn Meter>, guest: impl FnOnce() -> R) -> R {
    let _before = Before(RUNNING.replace(Some(meter)));
    guest()
}

/// The meter of the guest around this one.
struct Before(Option<Arc<dyn Meter>>);

impl Drop for Before {
    fn drop(&mut self) {
        RUNNING.set(self.0.take());
    }
}

/// The bytes that one value has taken.
pub(super) struct Charge {
    meter: Option<Arc<dyn Meter>>,
    part: Part,
    bytes: usize,
    /// The tick at which the copying began, until it has ended.
    began: Option<u64>,
}

impl Charge {
    /// Creates the charge for a value of the guest that runs on this thread.
    pub(super) fn new(part: Part) -> Self {
        Self {
            meter: None,
            part,
            bytes: 0,
            began: None,
        }
    }

    /// Takes bytes until the value has `total`. Returns false when there is not enough memory.
    pub(super) fn reach(&mut self, total: usize) -> bool {
        let more = total.saturating_sub(self.bytes);
        if total <= SMALL || more == 0 {
            return true;
        }
        if self.meter.is_none() {
            self.meter = RUNNING.with_borrow(Clone::clone);
            self.began = self.meter.as_ref().map(|meter| meter.tick());
        }
        let Some(meter) = &self.meter else {
            return true;
        };
        let mut tries = [more.max(STEP), more].into_iter();
        let taken = tries.find(|bytes| meter.take(self.part, *bytes));
        self.bytes += taken.unwrap_or_default();
        taken.is_some()
    }

    /// Gives back the bytes beyond the `total` that the value has in the end.
    fn settle(&mut self, total: usize) {
        self.ends();
        let surplus = self.bytes.saturating_sub(total);
        if let Some(meter) = self.meter.as_ref().filter(|_| surplus > 0) {
            meter.give_back(self.part, surplus);
            self.bytes -= surplus;
        }
    }

    /// Records that the copying has ended, whether or not the whole value was copied.
    fn ends(&mut self) {
        if let (Some(meter), Some(began)) = (&self.meter, self.began.take()) {
            meter.copied_since(began);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ends();
        if let Some(meter) = self.meter.as_ref().filter(|_| self.bytes > 0) {
            meter.give_back(self.part, self.bytes);
        }
    }
}

/// Wire bytes together with what they have taken.
struct Charged {
    wire: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.wire
    }
}

/// Returns the bytes, which give back what they have taken when the last clone is dropped.
pub(super) fn charged(wire: Vec<u8>, mut charge: Charge) -> Bytes {
    charge.settle(wire.len());
    if charge.bytes == 0 {
        return Bytes::from(wire);
    }
    Bytes::from_owner(Charged {
        wire,
        _charge: charge,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::sync::Mutex;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    /// Has 5,000 bytes. A tick passes with each value.
    #[derive(Default)]
    struct Limited(AtomicUsize, AtomicU64, Mutex<Vec<u64>>);

    impl Meter for Limited {
        fn take(&self, _: Part, bytes: usize) -> bool {
            let taken = self.0.load(Ordering::Relaxed) + bytes;
            let fits = taken <= 5_000;
            if fits {
                self.0.store(taken, Ordering::Relaxed);
            }
            fits
        }

        fn give_back(&self, _: Part, bytes: usize) {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }

        fn tick(&self) -> u64 {
            self.1.fetch_add(1, Ordering::Relaxed)
        }

        fn copied_since(&self, tick: u64) {
            self.2.lock().push(tick);
        }
    }

    #[test]
    fn the_time_of_each_copy_is_recorded_once_also_if_it_is_refused() {
        let meter = Arc::new(Limited::default());
        let kept = metered(meter.clone(), || {
            drop(Charge::new(Part::Arguments));
            let mut small = Charge::new(Part::Arguments);
            assert!(small.reach(SMALL));
            let mut refused = Charge::new(Part::Arguments);
            assert!(refused.reach(2_000) && !refused.reach(6_000));
            drop(refused);
            let mut kept = Charge::new(Part::Result);
            assert!(kept.reach(3_000));
            charged(vec![0; 3_000], kept)
        });
        assert_eq!(*meter.2.lock(), [0, 1], "before the value is dropped");
        drop(kept);
        assert_eq!(*meter.2.lock(), [0, 1]);
    }

    #[test]
    fn bytes_are_given_back_with_their_last_clone() {
        let meter = Arc::new(Limited::default());
        let taken = || meter.0.load(Ordering::Relaxed);
        let (small, large) = metered(meter.clone(), || {
            let charge = |total| {
                let mut charge = Charge::new(Part::Arguments);
                assert!(charge.reach(total / 2) && charge.reach(total));
                charged(vec![0; total], charge)
            };
            (charge(1_000), charge(3_000))
        });
        assert_eq!(taken(), 3_000);
        let clone = large.clone();
        drop((small, large));
        assert_eq!(taken(), 3_000);
        drop(clone);
        assert_eq!(taken(), 0);
        let mut outside = Charge::new(Part::Result);
        assert!(outside.reach(usize::MAX), "no guest runs");
    }

    #[test]
    fn a_guest_inside_another_has_its_own_meter() {
        let (outer, inner) = (Arc::new(Limited::default()), Arc::new(Limited::default()));
        metered(outer.clone(), || {
            metered(inner.clone(), || {
                let mut charge = Charge::new(Part::Result);
                assert!(charge.reach(2_000));
                assert_eq!(inner.0.load(Ordering::Relaxed), 2_000);
            });
            let mut charge = Charge::new(Part::Result);
            assert!(charge.reach(2_000));
            assert_eq!(outer.0.load(Ordering::Relaxed), 2_000);
            assert!(!charge.reach(6_000), "too much");
        });
    }
}
