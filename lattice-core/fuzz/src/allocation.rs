//! Counts the memory that decoding takes, in the allocator of every program that links this crate.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Bytes that decoding may take in addition to what depends on the input's length.
const SLACK: usize = 64 << 10;

/// Counts the bytes that a thread has allocated, and their peak.
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
// SAFETY: every call is passed on unchanged, and the counters are plain thread-locals that don't
// allocate.
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
    // The default `realloc` allocates a new block, copies, and frees the old one. That is the worst
    // case, and so the one to count.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the result of `work`, and the most bytes that it held at once beyond those held before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).cast_unsigned())
}

/// Runs `work` on an input of `length` bytes.
///
/// # Panics
/// Panics if it held more than twice the length and 64 KiB at once.
pub fn bounded<T>(length: usize, work: impl FnOnce() -> T) -> T {
    bounded_as(1, length, work)
}

/// The same for a type that takes more memory than bytes, up to `size` for each byte.
///
/// # Panics
/// Panics if it held more than twice `size` for each byte and 64 KiB at once.
pub fn bounded_as<T>(size: usize, length: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = peak(work);
    assert!(
        peak <= 2 * size * length + SLACK,
        "{peak} bytes were held for an input of {length}"
    );
    result
}

/// Returns the memory that an entry of a map takes: key and value in nodes that are at least half
/// full, and the position of its key.
pub const fn entry<K, V>() -> usize {
    2 * (size_of::<K>() + size_of::<V>()) + 8 + 24
}
