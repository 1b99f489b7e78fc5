//! The newest state of something that changes.

use crate::ordered_watch::Receiver;
use futures_util::{Stream, StreamExt as _, stream, stream::BoxStream};
use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::sync::watch;

/// The newest state of something that changes: [`current`](Self::current) returns it now, and as a
/// [`Stream`] it returns the state at once the first time, then whenever it has changed.
///
/// A slow reader may miss states in between, but never the latest one, and nothing is queued for
/// it. The stream ends when the state can no longer change, because its source was closed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt as _;
/// use lattice_core::Lattice;
///
/// let lattice = Lattice::in_memory("dev").await?;
/// let mut health = lattice.replica().watch_health();
/// assert!(health.current().state.is_live());
/// assert_eq!(health.next().await, Some(health.current()));
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// Dropping a future of the stream loses nothing.
#[must_use = "a watch does nothing unless it is read"]
pub struct Watch<T> {
    current: Box<dyn Fn() -> T + Send + Sync>,
    /// The lock only makes a watch `Sync`; it is never locked.
    states: Mutex<BoxStream<'static, T>>,
}

impl<T> Watch<T> {
    pub(crate) fn new(
        current: impl Fn() -> T + Send + Sync + 'static,
        states: impl Stream<Item = T> + Send + 'static,
    ) -> Self {
        Self {
            current: Box::new(current),
            states: Mutex::new(states.boxed()),
        }
    }

    /// Returns the state as it is now. The stream still returns it.
    pub fn current(&self) -> T {
        (self.current)()
    }
}

impl<T: Clone + Send + Sync + 'static> Watch<T> {
    /// Creates a watch of what a task publishes. It ends with the task.
    pub(crate) fn of(mut states: Receiver<T>) -> Self {
        let latest = states.clone();
        // The first state counts as changed.
        states.mark_changed();
        let states = stream::unfold(states, async |mut states| {
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            Some((state, states))
        });
        Self::new(move || latest.borrow().clone(), states)
    }
}

/// A watch of what a channel of tokio has, for implementations of [`Bus`](crate::bus::Bus). It ends
/// with the sender.
impl<T: Clone + Send + Sync + 'static> From<watch::Receiver<T>> for Watch<T> {
    fn from(mut states: watch::Receiver<T>) -> Self {
        let latest = states.clone();
        states.mark_changed();
        let states = stream::unfold(states, async |mut states| {
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            Some((state, states))
        });
        Self::new(move || latest.borrow().clone(), states)
    }
}

impl<T> Stream for Watch<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let states = self.states.get_mut();
        states
            .unwrap_or_else(PoisonError::into_inner)
            .poll_next_unpin(context)
    }
}

impl<T: fmt::Debug> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ordered_watch::Sender;
    use futures_util::FutureExt as _;

    #[test]
    fn a_watch_returns_the_first_state_and_each_newest_one() {
        let states = Sender::new(1);
        let mut watch = Watch::of(states.subscribe());
        assert_eq!(watch.current(), 1);
        assert_eq!(watch.next().now_or_never(), Some(Some(1)));
        assert_eq!(watch.next().now_or_never(), None);

        states.send_replace(2);
        states.send_replace(3);
        assert_eq!(watch.current(), 3);
        assert_eq!(watch.next().now_or_never(), Some(Some(3)));
        assert_eq!(watch.next().now_or_never(), None);
    }

    #[test]
    fn a_watch_ends_after_the_last_state() {
        let states = Sender::new(1);
        let mut watch = Watch::of(states.subscribe());
        states.send_replace(2);
        drop(states);
        assert_eq!(watch.next().now_or_never(), Some(Some(2)));
        assert_eq!(watch.next().now_or_never(), Some(None));
        assert_eq!(watch.current(), 2);
    }

    #[test]
    fn a_watch_of_a_tokio_channel_returns_equal_states_again() {
        let states = watch::Sender::new(1);
        let mut watch = Watch::from(states.subscribe());
        assert_eq!(watch.next().now_or_never(), Some(Some(1)));
        assert_eq!(watch.next().now_or_never(), None);
        states.send_replace(1);
        assert_eq!(watch.next().now_or_never(), Some(Some(1)));
        states.send_replace(2);
        assert_eq!(watch.current(), 2);
        drop(states);
        assert_eq!(watch.next().now_or_never(), Some(Some(2)));
        assert_eq!(watch.next().now_or_never(), Some(None));
    }

    #[test]
    fn a_watch_can_be_shared_and_sent() {
        const fn is_shared<T: Send + Sync + Unpin>() {}
        is_shared::<Watch<u8>>();
    }
}
