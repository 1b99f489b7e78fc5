//! A channel for the newest state, like tokio's `watch`, which wakes its receivers in the order in
//! which they began to wait. Tokio's wakes them in a random order, so a simulation in which several
//! tasks wait for one state would not repeat.

use std::sync::Arc;
use tokio::sync::{
    Notify,
    watch::{self, Ref, error::RecvError},
};

/// Publishes states. Receivers learn when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Sender<T> {
    state: watch::Sender<T>,
    /// Dropped after the state, so that receivers which it wakes see that the channel is closed.
    receivers: Receivers,
}

/// Reads states.
#[derive(Debug, Clone)]
pub(crate) struct Receiver<T> {
    state: watch::Receiver<T>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Receivers(Arc<Notify>);

impl Drop for Receivers {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl<T> Sender<T> {
    #[cfg(test)]
    pub(crate) fn new(state: T) -> Self {
        Self {
            state: watch::Sender::new(state),
            receivers: Receivers::default(),
        }
    }

    pub(crate) fn send_replace(&self, state: T) {
        self.state.send_replace(state);
        self.receivers.0.notify_waiters();
    }

    /// Publishes the state if `modify` returns true.
    pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) {
        if self.state.send_if_modified(modify) {
            self.receivers.0.notify_waiters();
        }
    }

    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.state.borrow()
    }

    /// Returns a receiver that has seen the present state.
    pub(crate) fn subscribe(&self) -> Receiver<T> {
        Receiver {
            state: self.state.subscribe(),
            changed: self.receivers.0.clone(),
        }
    }
}

impl<T> Receiver<T> {
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.state.borrow()
    }

    /// Lets the present state count as not seen.
    pub(crate) fn mark_changed(&mut self) {
        self.state.mark_changed();
    }

    /// Returns the present state, and marks it as seen.
    pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.state.borrow_and_update()
    }

    /// Waits for a state that was not seen, and marks it as seen.
    ///
    /// # Errors
    /// Fails when the sender was dropped and its last state was seen.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
        loop {
            // Whatever is published from here on wakes the wait below.
            let changed = self.changed.notified();
            // Asked before the state is read: the last state may have been published since.
            let open = self.state.has_changed();
            if self.state.borrow_and_update().has_changed() {
                return Ok(());
            }
            open?;
            changed.await;
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for a state for which `is_wanted` returns true, and returns it.
    ///
    /// # Errors
    /// Fails when the sender was dropped before.
    pub(crate) async fn wait_for(
        &mut self,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> Result<T, RecvError> {
        loop {
            let state = self.borrow_and_update().clone();
            if is_wanted(&state) {
                return Ok(state);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;
    use futures_util::FutureExt as _;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn receivers_are_woken_in_the_order_in_which_they_wait() {
        let (sender, order) = (Sender::<u32>::default(), Arc::new(Mutex::new(Vec::new())));
        for receiver in 0..20 {
            let (mut states, order) = (sender.subscribe(), order.clone());
            tokio::spawn(async move {
                while states.changed().await.is_ok() {
                    order.lock().push(receiver);
                }
                order.lock().push(100 + receiver);
            });
        }
        yield_now().await;
        sender.send_replace(1);
        yield_now().await;
        sender.send_if_modified(|_| false);
        yield_now().await;
        drop(sender);
        yield_now().await;
        let expected: Vec<u32> = (0..20).chain(100..120).collect();
        assert_eq!(*order.lock(), expected);
    }

    #[tokio::test]
    async fn the_newest_state_is_never_missed() {
        let sender = Sender::<u32>::default();
        let mut states = sender.subscribe();
        sender.send_replace(1);
        sender.send_replace(2);
        assert!(matches!(states.changed().now_or_never(), Some(Ok(()))));
        assert_eq!(*states.borrow_and_update(), 2);
        assert!(states.changed().now_or_never().is_none());
        assert!(matches!(states.wait_for(|state| *state == 2).await, Ok(2)));
        sender.send_replace(3);
        drop(sender);
        assert!(states.changed().await.is_ok());
        assert_eq!(*states.borrow(), 3);
        assert!(states.changed().await.is_err());
    }
}
