//! Frames outside of send queues that must not hold up their sender: probes, and the replies to
//! them.
//!
//! The bus takes nearly every frame at once. When it doesn't, because its server reads nothing, the
//! frame is left to a task. There are few such tasks at a time; further frames are dropped, as the
//! bus may drop any frame.

use crate::sync::Mutex;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::task::JoinSet;

/// Frames that may wait for the bus at once.
const MOST: usize = 64;

/// Frames that wait for the bus. Dropping it drops them.
#[derive(Debug, Default)]
pub(super) struct Posts(Mutex<JoinSet<()>>);

impl Posts {
    /// Sends at once what the bus takes at once, and leaves the rest to a task. Returns false if it
    /// was dropped.
    pub(super) fn post(&self, mut frame: BoxFuture<'static, ()>) -> bool {
        if (&mut frame).now_or_never().is_some() {
            return true;
        }
        let mut waiting = self.0.lock();
        while waiting.try_join_next().is_some() {}
        let has_room = waiting.len() < MOST;
        if has_room {
            waiting.spawn(frame);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn frames_that_the_bus_does_not_take_at_once_wait_apart_and_are_bounded() {
        let posts = Posts::default();
        for _ in 0..MOST {
            assert!(posts.post(pending().boxed()));
        }
        assert!(!posts.post(pending().boxed()));
        assert!(posts.post(async {}.boxed()), "the bus took it");
    }
}
