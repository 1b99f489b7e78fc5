//! A watch over the store's whole life, with one consumer after another.

use super::{
    Inner,
    consumer::{Broken, Consumer},
};
use crate::{
    backoff::Backoff,
    store::{StoreError, StoreWatch, WatchEvent},
};
use futures_util::stream;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// Pauses between consumers that end soon, and between attempts to reach an unavailable store.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));
/// After a consumer that has lasted so long, the next one is opened at once.
const LASTING: Duration = Duration::from_secs(5);

pub(super) struct Follower {
    store: Arc<Inner>,
    consumer: Option<Consumer>,
    reported_lost: bool,
    attempts: Attempts,
}

/// The consumers so far, and how long to wait before the next one. Pure.
#[derive(Debug)]
struct Attempts {
    /// When the present consumer was opened.
    opened: Option<Instant>,
    /// Consumers in a row that ended soon or could not be opened.
    failures: u32,
}

impl Attempts {
    fn opened(now: Instant) -> Self {
        Self {
            opened: Some(now),
            failures: 0,
        }
    }

    fn has_opened(&mut self, now: Instant) {
        self.opened = Some(now);
    }

    /// The consumer has ended, or none could be opened.
    fn has_failed(&mut self, now: Instant) {
        let has_lasted = |opened| now.saturating_duration_since(opened) >= LASTING;
        self.failures = if self.opened.take().is_some_and(has_lasted) {
            0
        } else {
            self.failures.saturating_add(1)
        };
    }

    /// Returns how long to wait before a consumer is opened.
    fn pause(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => PAUSES.after(failures),
        }
    }
}

impl Follower {
    pub(super) fn new(store: Arc<Inner>, consumer: Consumer) -> Self {
        Self {
            store,
            consumer: Some(consumer),
            reported_lost: false,
            attempts: Attempts::opened(Instant::now()),
        }
    }

    pub(super) fn into_watch(self) -> StoreWatch {
        StoreWatch::new(stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((event, follower))
        }))
    }

    /// Waits for the next event. Returns `None` when the connection was closed by this process.
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(consumer) = &mut self.consumer {
                let broken = match consumer.next().await {
                    Ok(event) => {
                        if std::mem::take(&mut self.reported_lost) {
                            tracing::info!("the lattice's store is back");
                        }
                        return Some(event);
                    }
                    Err(broken) => broken,
                };
                self.consumer = None;
                self.attempts.has_failed(Instant::now());
                if broken == Broken::OutOfReach
                    && let Some(lost) = self.lost()
                {
                    return Some(lost);
                }
            }
            sleep(self.attempts.pause()).await;
            match self.store.within(Consumer::open(&self.store)).await {
                Ok(consumer) => {
                    self.consumer = Some(consumer);
                    self.attempts.has_opened(Instant::now());
                }
                Err(StoreError::Closed) => return None,
                Err(_) => {
                    self.attempts.has_failed(Instant::now());
                    if let Some(lost) = self.lost() {
                        return Some(lost);
                    }
                }
            }
        }
    }

    fn lost(&mut self) -> Option<WatchEvent> {
        let reported = std::mem::replace(&mut self.reported_lost, true);
        if !reported {
            tracing::warn!(
                "the lattice's store is out of reach: this process uses its last known contents, and changes fail until it is back"
            );
        }
        (!reported).then_some(WatchEvent::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_that_end_soon_are_opened_again_after_longer_and_longer_pauses() {
        let start = Instant::now();
        let mut attempts = Attempts::opened(start);
        assert_eq!(attempts.pause(), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            attempts.has_failed(start);
            pauses.push(attempts.pause().as_millis());
            // It is opened, and ends at once.
            attempts.has_opened(start);
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000]);
        attempts.has_failed(start + LASTING);
        assert_eq!(attempts.pause(), Duration::ZERO, "it has lasted");
        attempts.has_failed(start + LASTING);
        assert_eq!(attempts.pause(), PAUSES.after(1), "none was opened");
    }
}
