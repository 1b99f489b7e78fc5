//! A future that is polled only after something has woken it.
//!
//! The driver of an instance is polled with each call. Beside its guest, it waits for the end of
//! the instance, which most calls have nothing to do with: looking at that each time would take the
//! locks of notifications and a look at a timer.

use lattice_core::sync::WakeFlag;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Polls a future when it is polled for the first time, and then each time that the future was
/// woken.
pub(super) struct Aside<F> {
    future: F,
    signal: Arc<WakeFlag>,
    /// The signal, for the future.
    waker: Waker,
}

impl<F> Aside<F> {
    pub(super) fn new(future: F) -> Self {
        let signal = Arc::new(WakeFlag::woken());
        Self {
            future,
            waker: Waker::from(signal.clone()),
            signal,
        }
    }
}

impl<F: Future + Unpin> Future for Aside<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        // Before the look: from here on, what wakes the future wakes the task as well.
        this.signal.register(context.waker());
        if !this.signal.take() {
            return Poll::Pending;
        }
        let mut context = Context::from_waker(&this.waker);
        Pin::new(&mut this.future).poll(&mut context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::{
        future::poll_fn,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };
    use tokio::sync::Notify;

    /// Counts how often its task is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_is_polled_only_when_it_was_woken_and_wakes_its_task() {
        let (task, notify) = (Arc::<Task>::default(), Notify::new());
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        let mut polls = 0;
        let mut notified = pin!(notify.notified());
        let mut aside = Aside::new(poll_fn(|context| {
            polls += 1;
            notified.as_mut().poll(context)
        }));
        for _ in 0..3 {
            assert!(aside.poll_unpin(&mut context).is_pending());
        }
        assert_eq!(task.0.load(Ordering::SeqCst), 0);
        notify.notify_one();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        assert!(aside.poll_unpin(&mut context).is_ready());
        drop(aside);
        assert_eq!(polls, 2);
    }

    /// As `select!` does with what wakes itself.
    #[test]
    fn what_wakes_it_while_it_is_polled_is_not_lost() {
        let task = Arc::<Task>::default();
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        let mut left = 3;
        let mut aside = Aside::new(poll_fn(|context| {
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        for woken in 1..3 {
            assert!(aside.poll_unpin(&mut context).is_pending());
            assert_eq!(task.0.load(Ordering::SeqCst), woken);
        }
        assert!(aside.poll_unpin(&mut context).is_ready());
    }
}
