//! Locks that a panic does not poison.
//!
//! A panic while one of them is held is a bug of its holder, and ends that task. Poisoning would
//! spread it to every other task that needs the lock. The crates above use these locks too.

use std::sync::{self, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard, TryLockError};

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
}
