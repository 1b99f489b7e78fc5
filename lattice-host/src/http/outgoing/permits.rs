//! Bounds on the connections of a link.

use lattice_core::sync::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The most connections of one link, to all authorities.
const MOST: usize = 1_024;

/// The connections that a link may have.
#[derive(Debug)]
pub(super) struct Permits {
    of_an_authority: usize,
    all: Arc<Semaphore>,
    /// Those that are in use or waited for.
    authorities: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The right to one connection. Dropping it lets another one be made.
#[derive(Debug)]
pub(super) struct Permit {
    _of_authority: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Permits {
    pub(super) fn new(of_an_authority: usize) -> Self {
        Self {
            of_an_authority,
            all: Arc::new(Semaphore::new(MOST)),
            authorities: Mutex::default(),
        }
    }

    /// Waits until a connection to the authority may be made.
    pub(super) async fn acquire(&self, authority: &str) -> Result<Permit, AcquireError> {
        let of_authority = self.semaphore(authority).acquire_owned().await?;
        Ok(Permit {
            _of_authority: of_authority,
            _of_all: self.all.clone().acquire_owned().await?,
        })
    }

    /// Returns whether there are as many connections as the link may have.
    pub(super) fn are_taken(&self) -> bool {
        self.all.available_permits() == 0
    }

    /// Returns whether there are as many connections to the authority as there may be.
    pub(super) fn are_taken_for(&self, authority: &str) -> bool {
        let authorities = self.authorities.lock();
        let semaphore = authorities.get(authority).and_then(Weak::upgrade);
        self.are_taken() || semaphore.is_some_and(|semaphore| semaphore.available_permits() == 0)
    }

    fn semaphore(&self, authority: &str) -> Arc<Semaphore> {
        let mut authorities = self.authorities.lock();
        if let Some(semaphore) = authorities.get(authority).and_then(Weak::upgrade) {
            return semaphore;
        }
        if authorities.len() >= MOST {
            // As many remain as there are connections and those who wait for one.
            authorities.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.of_an_authority));
        authorities.insert(authority.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn each_authority_has_its_own() {
        let permits = Permits::new(1);
        let take = |authority| permits.acquire(authority).now_or_never();
        let first = take("a").expect("free").expect("open");
        assert!(permits.are_taken_for("a") && !permits.are_taken_for("b"));
        assert!(take("a").is_none(), "a second one");
        let other = take("b").expect("free").expect("open");
        drop(first);
        assert!(!permits.are_taken_for("a"));
        take("a").expect("free again").expect("open");
        drop(other);
    }

    #[test]
    fn authorities_without_connections_are_forgotten() {
        let permits = Permits::new(1);
        let kept = permits.acquire("kept").now_or_never();
        for number in 0..MOST * 2 {
            let taken = permits.acquire(&number.to_string()).now_or_never();
            assert!(taken.is_some(), "{number}");
        }
        assert!(permits.authorities.lock().len() <= MOST);
        assert!(permits.are_taken_for("kept"));
        drop(kept);
    }

    #[test]
    fn a_link_has_a_bound_over_all_authorities() {
        let permits = Permits::new(1);
        let take = |number: usize| permits.acquire(&number.to_string()).now_or_never();
        let taken: Vec<_> = (0..MOST).map(take).collect();
        assert!(taken.iter().all(Option::is_some) && permits.are_taken());
        assert!(take(MOST).is_none());
    }
}
