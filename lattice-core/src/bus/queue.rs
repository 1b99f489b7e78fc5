//! The bounded queue behind a subscription. Writers never wait: an item that doesn't fit is dropped
//! and counted.

use crate::sync::Mutex;
use futures_util::Stream;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};
use tokio::task::coop;

/// Creates a queue of at most `capacity` items (at least one).
pub fn queue<T>(capacity: usize) -> (Inlet<T>, Outlet<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::new(),
            reader: None,
            writers_done: false,
            reader_gone: false,
        }),
        capacity: capacity.max(1),
        dropped: Arc::new(AtomicU64::new(0)),
    });
    let inlet = Inlet {
        shared: shared.clone(),
    };
    (inlet, Outlet { shared })
}

/// The writing end.
pub struct Inlet<T> {
    shared: Arc<Shared<T>>,
}

/// The reading end. Ends after the items that were in the queue when the writers ended it.
pub struct Outlet<T> {
    shared: Arc<Shared<T>>,
}

/// The result of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The item is in the queue.
    Taken,
    /// The item was dropped and counted.
    Dropped,
    /// There is no reader any more, or the queue has ended.
    NoReader,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    dropped: Arc<AtomicU64>,
}

struct State<T> {
    waiting: VecDeque<T>,
    reader: Option<Waker>,
    writers_done: bool,
    reader_gone: bool,
}

impl<T> Inlet<T> {
    /// Adds an item, if there is room and a reader.
    pub fn push(&self, item: T) -> Pushed {
        let mut state = self.shared.state.lock();
        if state.reader_gone || state.writers_done {
            return Pushed::NoReader;
        }
        if state.waiting.len() >= self.shared.capacity {
            drop(state);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return Pushed::Dropped;
        }
        state.waiting.push_back(item);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Pushed::Taken
    }

    /// Ends the queue: no more items will come.
    pub fn end(&self) {
        let mut state = self.shared.state.lock();
        state.writers_done = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> Outlet<T> {
    /// Returns the counter of the items that didn't fit.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        self.shared.dropped.clone()
    }
}

impl<T> Stream for Outlet<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let coop = ready!(coop::poll_proceed(cx));
        let mut state = self.shared.state.lock();
        if let Some(item) = state.waiting.pop_front() {
            coop.made_progress();
            return Poll::Ready(Some(item));
        }
        if state.writers_done {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.reader_gone = true;
        let unread = std::mem::take(&mut state.waiting);
        drop(state);
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    #[test]
    fn a_full_queue_drops_and_counts_items() {
        let (inlet, mut outlet) = queue(2);
        assert_eq!(inlet.push(1), Pushed::Taken);
        assert_eq!(inlet.push(2), Pushed::Taken);
        assert_eq!(inlet.push(3), Pushed::Dropped);
        assert_eq!(outlet.next().now_or_never(), Some(Some(1)));
        assert_eq!(inlet.push(4), Pushed::Taken);
        assert_eq!(outlet.next().now_or_never(), Some(Some(2)));
        assert_eq!(outlet.next().now_or_never(), Some(Some(4)));
        assert_eq!(outlet.next().now_or_never(), None);
        assert_eq!(outlet.dropped().load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_closed_queue_ends_after_its_queued_items() {
        let (inlet, mut outlet) = queue(0);
        assert_eq!(inlet.push(1), Pushed::Taken);
        inlet.end();
        assert_eq!(inlet.push(2), Pushed::NoReader);
        assert_eq!(outlet.next().now_or_never(), Some(Some(1)));
        assert_eq!(outlet.next().now_or_never(), Some(None));
    }

    #[test]
    fn push_reports_a_missing_reader() {
        let (inlet, outlet) = queue(8);
        let item = Arc::new(());
        assert_eq!(inlet.push(item.clone()), Pushed::Taken);
        drop(outlet);
        assert_eq!(Arc::strong_count(&item), 1, "unread items are freed");
        assert_eq!(inlet.push(item), Pushed::NoReader);
    }

    #[tokio::test]
    async fn a_push_wakes_the_waiting_reader() {
        let (inlet, mut outlet) = queue(1);
        let reader = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(item) = outlet.next().await {
                sum += item;
            }
            sum
        });
        for item in [1, 2, 3] {
            while inlet.push(item) != Pushed::Taken {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        inlet.end();
        assert_eq!(reader.await.expect("no panic"), 6);
    }
}
