//! The queue behind a subscription, bounded by items and by bytes. Writers never wait: an item that
//! doesn't fit is dropped and counted.

use super::Message;
use crate::{
    budget::{Budget, SMALL},
    sync::Mutex,
};
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

/// Most bytes in a queue that has no [share](Bounded::share) of a budget.
const UNSHARED: usize = 64 * 1024 * 1024;
/// The bytes of an item in addition to its payload: its subjects, and its place in the queue.
pub(crate) const ITEM: usize = 256;

/// An item whose bytes count.
pub trait Weighed {
    /// Returns about how many bytes of memory it takes.
    fn weight(&self) -> usize;
}

impl Weighed for Message {
    fn weight(&self) -> usize {
        let payload = match &self.body {
            super::Body::Payload(payload) => payload.len(),
            super::Body::NoResponders => 0,
        };
        ITEM + payload
    }
}

/// A queue that may use a budget together with others.
pub(crate) trait Bounded: Send + Sync {
    /// Counts the items in the queue, now and later, against `budget`.
    fn share(&self, budget: &Budget);
}

/// Creates a queue of at most `capacity` items (at least one), and of 64 MiB or a share of a
/// budget. One item fits, whatever its size, as long as nothing else uses that budget.
pub fn queue<T>(capacity: usize) -> (QueueWriter<T>, QueueReader<T>) {
    let shared = Arc::new(BoundedQueue {
        state: Mutex::new(Contents {
            waiting: VecDeque::new(),
            bytes: 0,
            budget: None,
            reader: None,
            writers_done: false,
            reader_gone: false,
        }),
        capacity: capacity.max(1),
        dropped: Arc::new(AtomicU64::new(0)),
    });
    let writer = QueueWriter {
        shared: shared.clone(),
    };
    (writer, QueueReader { shared })
}

/// The writing end.
pub struct QueueWriter<T> {
    shared: Arc<BoundedQueue<T>>,
}

/// The reading end. Ends after the items that were in the queue when the writers ended it.
pub struct QueueReader<T> {
    shared: Arc<BoundedQueue<T>>,
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

struct BoundedQueue<T> {
    state: Mutex<Contents<T>>,
    capacity: usize,
    dropped: Arc<AtomicU64>,
}

struct Contents<T> {
    /// Each with its weight.
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    budget: Option<Budget>,
    reader: Option<Waker>,
    writers_done: bool,
    reader_gone: bool,
}

impl<T> Contents<T> {
    fn has_room(&self, weight: usize) -> bool {
        match &self.budget {
            // Small items find room as long as there is any, beside large ones that fill the queue.
            Some(budget) if weight <= ITEM + SMALL => budget.try_take(0, weight),
            Some(budget) => budget.try_take(self.bytes, weight),
            None => self.bytes == 0 || self.bytes.saturating_add(weight) <= UNSHARED,
        }
    }

    fn free(&mut self, weight: usize) {
        self.bytes -= weight;
        if let Some(budget) = &self.budget {
            budget.give_back(weight);
        }
    }
}

impl<T> QueueWriter<T> {
    /// Adds an item, if there is room and a reader.
    pub fn push(&self, item: T) -> Pushed
    where
        T: Weighed,
    {
        let weight = item.weight();
        let mut state = self.shared.state.lock();
        if state.reader_gone || state.writers_done {
            return Pushed::NoReader;
        }
        if state.waiting.len() >= self.shared.capacity || !state.has_room(weight) {
            drop(state);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return Pushed::Dropped;
        }
        state.bytes += weight;
        state.waiting.push_back((item, weight));
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

impl<T> QueueReader<T> {
    /// Returns the counter of the items that didn't fit.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        self.shared.dropped.clone()
    }
}

impl<T: Send + 'static> QueueReader<T> {
    /// Returns the bound of the queue.
    pub(crate) fn bound(&self) -> Arc<dyn Bounded> {
        self.shared.clone()
    }
}

impl<T: Send> Bounded for BoundedQueue<T> {
    fn share(&self, budget: &Budget) {
        let mut state = self.state.lock();
        budget.take(state.bytes);
        if let Some(before) = state.budget.replace(budget.clone()) {
            before.give_back(state.bytes);
        }
    }
}

impl<T> Stream for QueueReader<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let coop = ready!(coop::poll_proceed(cx));
        let mut state = self.shared.state.lock();
        if let Some((item, weight)) = state.waiting.pop_front() {
            state.free(weight);
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

impl<T> Drop for QueueReader<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.reader_gone = true;
        let unread = std::mem::take(&mut state.waiting);
        let bytes = state.bytes;
        state.free(bytes);
        drop(state);
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    impl Weighed for i32 {
        fn weight(&self) -> usize {
            1
        }
    }

    impl Weighed for Arc<()> {
        fn weight(&self) -> usize {
            1
        }
    }

    impl Weighed for Vec<u8> {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn a_queue_is_bounded_by_bytes_and_takes_one_item_of_any_size() {
        let (writer, mut reader) = queue(1_000);
        assert_eq!(writer.push(vec![0; UNSHARED + 1]), Pushed::Taken);
        assert_eq!(writer.push(vec![0; 1]), Pushed::Dropped);
        assert!(reader.next().now_or_never().is_some());
        assert_eq!(writer.push(vec![0; UNSHARED]), Pushed::Taken);
        assert_eq!(writer.push(vec![0; 1]), Pushed::Dropped);
        assert_eq!(reader.dropped().load(Ordering::Relaxed), 2);
    }

    #[test]
    fn queues_share_a_budget_and_give_it_back() {
        let (budget, kib) = (Budget::new(100 << 10), 1 << 10);
        let ((writer, mut reader), (other, unread)) = (queue(1_000), queue(1_000));
        writer.push(vec![0; 10 * kib]);
        reader.bound().share(&budget);
        unread.bound().share(&budget);
        assert_eq!(budget.held(), 10 * kib, "what was there counts");
        let filled = |writer: &QueueWriter<Vec<u8>>| {
            std::iter::from_fn(|| (writer.push(vec![0; 10 * kib]) == Pushed::Taken).then_some(()))
                .count()
        };
        assert_eq!(filled(&writer), 4, "half of it");
        assert_eq!(filled(&other), 1, "one more finds room");
        assert_eq!(writer.push(vec![0; kib]), Pushed::Taken, "a small one too");
        while reader.next().now_or_never().is_some() {}
        assert_eq!(budget.held(), 10 * kib);
        drop(unread);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_full_queue_drops_and_counts_items() {
        let (writer, mut reader) = queue(2);
        assert_eq!(writer.push(1), Pushed::Taken);
        assert_eq!(writer.push(2), Pushed::Taken);
        assert_eq!(writer.push(3), Pushed::Dropped);
        assert_eq!(reader.next().now_or_never(), Some(Some(1)));
        assert_eq!(writer.push(4), Pushed::Taken);
        assert_eq!(reader.next().now_or_never(), Some(Some(2)));
        assert_eq!(reader.next().now_or_never(), Some(Some(4)));
        assert_eq!(reader.next().now_or_never(), None);
        assert_eq!(reader.dropped().load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_closed_queue_ends_after_its_queued_items() {
        let (writer, mut reader) = queue(0);
        assert_eq!(writer.push(1), Pushed::Taken);
        writer.end();
        assert_eq!(writer.push(2), Pushed::NoReader);
        assert_eq!(reader.next().now_or_never(), Some(Some(1)));
        assert_eq!(reader.next().now_or_never(), Some(None));
    }

    #[test]
    fn push_reports_a_missing_reader() {
        let (writer, reader) = queue(8);
        let item = Arc::new(());
        assert_eq!(writer.push(item.clone()), Pushed::Taken);
        drop(reader);
        assert_eq!(Arc::strong_count(&item), 1, "unread items are freed");
        assert_eq!(writer.push(item), Pushed::NoReader);
    }

    #[tokio::test]
    async fn a_push_wakes_the_waiting_reader() {
        let (writer, mut reader) = queue(1);
        let sum = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(item) = reader.next().await {
                sum += item;
            }
            sum
        });
        for item in [1, 2, 3] {
            while writer.push(item) != Pushed::Taken {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        writer.end();
        assert_eq!(sum.await.expect("no panic"), 6);
    }
}
