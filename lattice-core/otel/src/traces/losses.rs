//! Counts the spans that were lost: those for which the queue had no room, and those that the
//! collector didn't take.

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How often lost spans are told in the log.
const TELL: Duration = Duration::from_secs(60);

/// What became of the spans of this process.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Spans that have ended and that the exporter has not been given yet.
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// When losses were told last, and how many there were in all.
    told: Mutex<Option<(Instant, u64)>>,
}

impl Losses {
    /// Returns the number of spans that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn add(&self, spans: usize) {
        self.lost.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// Returns how many spans were lost since this returned a number, if there were any, at most
    /// once in a while.
    fn to_tell(&self, now: Instant) -> Option<u64> {
        let lost = self.lost();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match *told {
            Some((last, _)) if now.duration_since(last) < TELL => return None,
            Some((_, before)) => before,
            None => 0,
        };
        (lost > before).then(|| {
            *told = Some((now, lost));
            lost - before
        })
    }

    /// Logs losses, from the thread of the exporter.
    fn tell(&self, reason: &str) {
        if let Some(lost) = self.to_tell(Instant::now()) {
            tracing::warn!(
                lost,
                reason,
                "spans were not sent to the collector; calls are not affected; check that it \
                 is up and its address, or sample less"
            );
        }
    }
}

/// The SDK's processor, with a queue whose losses are counted.
#[derive(Debug)]
pub(crate) struct CountedProcessor {
    pub(crate) next: BatchSpanProcessor,
    /// The most spans that wait: the size of the queue of `next`, which therefore has room.
    pub(crate) most: usize,
    pub(crate) losses: Arc<Losses>,
}

impl SpanProcessor for CountedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.losses.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.losses.waiting.fetch_sub(1, Ordering::Relaxed);
            self.losses.add(1);
            return;
        }
        self.next.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// An exporter whose failures are counted.
#[derive(Debug)]
pub(crate) struct CountedExporter<E> {
    pub(crate) next: E,
    pub(crate) losses: Arc<Losses>,
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.losses.waiting.fetch_sub(spans, Ordering::Relaxed);
        let result = self.next.export(batch).await;
        match &result {
            Ok(()) => self.losses.tell("more spans than are sent"),
            Err(error) => {
                self.losses.add(spans);
                self.losses.tell(&error.to_string());
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once_in_a_while() {
        let (losses, now) = (Losses::default(), Instant::now());
        assert_eq!(losses.to_tell(now), None);
        losses.add(3);
        assert_eq!(losses.to_tell(now), Some(3));
        losses.add(2);
        assert_eq!(losses.to_tell(now + TELL / 2), None);
        losses.add(2);
        assert_eq!(losses.to_tell(now + TELL), Some(4));
        assert_eq!(losses.to_tell(now + TELL * 2), None);
        assert_eq!(losses.lost(), 7);
    }
}
