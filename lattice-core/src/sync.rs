//! Locks that a panic does not poison, and what keeps threads out of each other's memory.
//!
//! A panic while one of them is held is a bug of its holder, and ends that task. Poisoning would
//! spread it to every other task that needs the lock. The crates above use these locks too.

use futures_util::task::AtomicWaker;
use std::{
    array,
    sync::{
        self, Arc, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

/// A [`Mutex`](sync::Mutex) whose [`lock`](Self::lock) always succeeds.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

/// A [`RwLock`](sync::RwLock) that can always be locked.
#[derive(Debug, Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> Mutex<T> {
    /// Protects `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock. `None` while something else has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> RwLock<T> {
    /// Protects `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    /// Waits for the writer.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for readers and the writer.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of a future within a task: it notes that the future was woken, and wakes the task. So
/// the task polls the future only when that can go on.
#[derive(Debug)]
pub struct WakeFlag {
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl WakeFlag {
    /// Returns one that is set, so that the future is polled for the first time.
    pub fn woken() -> Self {
        Self {
            is_woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        }
    }

    /// Has `task` woken from now on when the future is. Call this before [`take`](Self::take).
    pub fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Returns whether the future was woken since the last time.
    pub fn take(&self) -> bool {
        // Most often it was not, and then this only reads.
        self.is_woken.load(Ordering::Acquire) && self.is_woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Returns the number of this thread: 0 for the first one that has asked, 1 for the second.
///
/// What all calls write is spread over several places by it. A thread that writes what another
/// thread has written last waits for that memory longer than for anything else that a call does.
pub fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// A value that shares no line of the processor's cache with others.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CachePadded<T>(pub T);

/// A value for each thread, or for each of a few threads.
#[derive(Debug, Default)]
pub struct ByThread<T>([CachePadded<Mutex<T>>; 16]);

impl<T> ByThread<T> {
    /// Returns the value of this thread.
    pub fn own(&self) -> &Mutex<T> {
        &self.0[thread_number() % self.0.len()].0
    }

    /// Returns the values of all threads, beginning with that of this one.
    pub fn parts(&self) -> impl Iterator<Item = &Mutex<T>> {
        let (others, first) = self.0.split_at(thread_number() % self.0.len());
        first.iter().chain(others).map(|CachePadded(part)| part)
    }
}

impl<T> ByThread<Vec<T>> {
    /// Takes the last item of this thread, or else of any other. Returns `None` only if there was
    /// none at one moment.
    pub fn pop(&self) -> Option<T> {
        let found = self.parts().find_map(|part| part.lock().pop());
        found.or_else(|| {
            // One part after the other may have been empty while an item moved between them. All
            // threads lock them in this order, so that none of them waits for another.
            let mut parts = self.0.each_ref().map(|CachePadded(part)| part.lock());
            parts.iter_mut().find_map(|part| part.pop())
        })
    }
}

/// The number of parts of a [`Count`].
const PARTS: usize = 8;

/// A number that many threads add to, and that is rarely read.
#[derive(Debug)]
pub struct Count([CachePadded<AtomicU64>; PARTS]);

impl Count {
    /// Zero.
    pub fn new() -> Self {
        Self(array::from_fn(|_| CachePadded::default()))
    }

    /// Adds one, and returns how many of the threads that share a part with this one have added
    /// before.
    pub fn add_one(&self) -> u64 {
        let CachePadded(part) = &self.0[thread_number() % PARTS];
        part.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the sum. Additions that other threads make meanwhile may be missing.
    pub fn sum(&self) -> u64 {
        let parts = self.0.iter();
        parts
            .map(|CachePadded(part)| part.load(Ordering::Relaxed))
            .sum()
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_leaves_the_lock_usable() {
        let mutex = Mutex::new(1);
        let held = catch_unwind(AssertUnwindSafe(|| {
            *mutex.lock() += 1;
            let _held = mutex.lock();
            panic!("with the lock held");
        }));
        assert!(held.is_err());
        assert_eq!(*mutex.lock(), 2);
        let guard = mutex.try_lock().expect("free");
        assert!(mutex.try_lock().is_none());
        drop(guard);

        let lock = RwLock::<i32>::default();
        let held = catch_unwind(AssertUnwindSafe(|| {
            *lock.write() += 1;
            let _held = lock.write();
            panic!("with the lock held");
        }));
        assert!(held.is_err());
        assert_eq!(*lock.read(), 1);
    }

    #[test]
    fn a_thread_finds_its_own_value_first_and_all_others_after_it() {
        let values = ByThread::<Vec<usize>>::default();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let values = &values;
                scope.spawn(move || values.own().lock().push(thread));
            }
        });
        values.own().lock().push(7);
        let first = values.parts().next().map(|part| part.lock().pop());
        assert_eq!(first, Some(Some(7)));
        assert_eq!(values.parts().count(), values.0.len());
        let found = std::iter::from_fn(|| values.pop());
        assert_eq!(found.count(), 3);
    }

    /// Each thread holds one item at most, so that there is always another one.
    #[test]
    fn an_item_is_found_while_others_move() {
        const THREADS: usize = 4;
        let values = ByThread::<Vec<usize>>::default();
        values.own().lock().extend(0..THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        let item = values.pop().expect("the others hold all but one");
                        values.own().lock().push(item);
                    }
                });
            }
        });
        assert_eq!(std::iter::from_fn(|| values.pop()).count(), THREADS);
    }

    #[test]
    fn what_all_threads_add_is_counted_in_different_places() {
        let count = Count::default();
        let numbers = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| {
                scope.spawn(|| {
                    (0..100).for_each(|_| _ = count.add_one());
                    (thread_number(), thread_number())
                })
            });
            threads.map(|thread| thread.join().expect("it ends"))
        });
        assert_eq!(count.sum(), 400);
        assert!(numbers.iter().all(|(one, again)| one == again));
        let numbers: std::collections::HashSet<_> = numbers.into_iter().collect();
        assert_eq!(numbers.len(), 4, "each thread has its own");
    }
}
