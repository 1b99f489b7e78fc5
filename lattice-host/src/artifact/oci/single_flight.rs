//! Work that is done once for all callers that wait for it.

use crate::artifact::Progress;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use lattice_core::sync::Mutex;
use std::{collections::HashMap, hash::Hash};
use tokio::sync::watch;

/// Work in flight, by key. It is dropped with the last caller that waits for it.
#[derive(Debug)]
pub(super) struct SingleFlight<K, T: Clone> {
    in_flight: Mutex<HashMap<K, Flight<T>>>,
}

#[derive(Debug)]
struct Flight<T: Clone> {
    work: WeakShared<BoxFuture<'static, T>>,
    progress: watch::Receiver<Progress>,
}

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self {
            in_flight: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, T: Clone + 'static> SingleFlight<K, T> {
    /// Returns the result of the work for `key`. Joins the work if it is in flight, and starts it
    /// otherwise. Calls `seen` with the progress whenever the caller's task runs, and once at the
    /// end.
    pub(super) async fn join(
        &self,
        key: K,
        start: impl FnOnce(watch::Sender<Progress>) -> BoxFuture<'static, T>,
        mut seen: impl FnMut(Progress),
    ) -> T {
        let (mut work, mut progress) = self.join_or_start(key, start);
        loop {
            tokio::select! {
                biased;
                result = &mut work => {
                    // The final progress may not have been reported yet.
                    if progress.borrow().received > 0 {
                        seen(*progress.borrow_and_update());
                    }
                    return result;
                }
                Ok(()) = progress.changed() => seen(*progress.borrow_and_update()),
            }
        }
    }

    fn join_or_start(
        &self,
        key: K,
        start: impl FnOnce(watch::Sender<Progress>) -> BoxFuture<'static, T>,
    ) -> (Shared<BoxFuture<'static, T>>, watch::Receiver<Progress>) {
        let mut in_flight = self.in_flight.lock();
        in_flight.retain(|_, flight| flight.work.upgrade().is_some());
        if let Some(flight) = in_flight.get(&key)
            && let Some(work) = flight.work.upgrade()
        {
            return (work, flight.progress.clone());
        }
        let (sender, progress) = watch::channel(Progress::default());
        let work = start(sender).shared();
        if let Some(weak) = work.downgrade() {
            in_flight.insert(
                key,
                Flight {
                    work: weak,
                    progress: progress.clone(),
                },
            );
        }
        (work, progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::sync::Notify;

    fn nothing(_: Progress) {}

    #[tokio::test]
    async fn callers_with_the_same_key_share_the_work() {
        let single_flight = SingleFlight::<u8, usize>::default();
        let started = AtomicUsize::new(0);
        let go = Arc::new(Notify::new());
        let start = |_| {
            let number = started.fetch_add(1, Ordering::Relaxed);
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                number
            }
            .boxed()
        };
        let all = futures_util::future::join3(
            single_flight.join(1, start, nothing),
            single_flight.join(1, start, nothing),
            async {
                tokio::task::yield_now().await;
                go.notify_one();
            },
        );
        assert_eq!(all.await, (0, 0, ()));
        go.notify_one();
        assert_eq!(
            single_flight.join(1, start, nothing).await,
            1,
            "work that has ended is started again"
        );
    }

    #[tokio::test]
    async fn the_work_continues_without_its_first_caller_and_ends_with_its_last() {
        struct Ended(Arc<AtomicUsize>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let single_flight = SingleFlight::<u8, ()>::default();
        let ended = Arc::new(AtomicUsize::new(0));
        let go = Arc::new(Notify::new());
        let start = |_| {
            let (ended, go) = (Ended(Arc::clone(&ended)), Arc::clone(&go));
            async move {
                go.notified().await;
                drop(ended);
            }
            .boxed()
        };
        let mut first = Box::pin(single_flight.join(1, start, nothing));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(single_flight.join(1, start, nothing));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(ended.load(Ordering::Relaxed), 0);
        go.notify_one();
        second.await;
        assert_eq!(ended.load(Ordering::Relaxed), 1);

        let mut alone = Box::pin(single_flight.join(1, start, nothing));
        assert!(alone.as_mut().now_or_never().is_none());
        drop(alone);
        assert_eq!(ended.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn every_caller_receives_the_progress() {
        let single_flight = SingleFlight::<u8, ()>::default();
        let start = |progress: watch::Sender<Progress>| {
            async move {
                for received in [1, 2] {
                    progress.send_replace(Progress {
                        received,
                        size: Some(2),
                    });
                    tokio::task::yield_now().await;
                }
            }
            .boxed()
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        tokio::join!(
            single_flight.join(1, start, |progress| first.push(progress.received)),
            single_flight.join(1, start, |progress| second.push(progress.received)),
        );
        assert!(
            first.contains(&1) && second.iter().all(|seen| [1, 2].contains(seen)),
            "{first:?} {second:?}"
        );
        assert!(!second.is_empty());
    }
}
