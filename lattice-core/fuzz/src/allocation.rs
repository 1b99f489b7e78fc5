//! What decoding takes of memory, counted by the allocator of every program that links this crate.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Beside what depends on the input's length.
const SLACK: usize = 64 << 10;

/// Counts what a thread holds, and the most that it has held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    HELD.set(HELD.get().wrapping_add(change));
    PEAK.set(PEAK.get().max(HELD.get()));
}

#[expect(unsafe_code, reason = "an allocator can't be written otherwise")]
// SAFETY: every call is passed on unchanged; the counters are plain thread-locals that don't allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`, and `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
    // `realloc` is left as it is: a new block, a copy, a free. The worst case, and so the one to count.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` holds at once beyond what was held before, with its result.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).cast_unsigned())
}

/// Runs `work` on an input of `length` bytes.
///
/// # Panics
/// It held more than twice the length and 64 KiB at once.
pub fn bounded<T>(length: usize, work: impl FnOnce() -> T) -> T {
    bounded_as(1, length, work)
}

/// The same for a type that the decoder is told and that takes more memory than bytes: up to `size` for each of them.
///
/// # Panics
/// It held more than twice that size and 64 KiB at once.
pub fn bounded_as<T>(size: usize, length: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak(work);
    assert!(
        peak <= 2 * size * length + SLACK,
        "{peak} bytes were held for an input of {length}"
    );
    result
}

/// What an entry of a map takes: keys and values in nodes that are half full at least, and where its key is.
pub const fn entry<K, V>() -> usize {
    2 * (size_of::<K>() + size_of::<V>()) + 8 + 24
}
