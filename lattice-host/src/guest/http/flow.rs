//! What moves in the bodies of one request, as the task of its guest and their readers see it.

use crate::guest::{
    Instances,
    renewal::{PER_BUDGET, RENEWED_EVERY, Renewal},
};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};
use lattice_core::sync::Mutex;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// What moves in the bodies of one request.
#[derive(Default)]
pub(super) struct Flow {
    /// Bytes of both bodies that have moved, and one for each part.
    moved: AtomicU64,
    renewal: Renewal,
    end: Mutex<Option<End>>,
    reader: AtomicWaker,
    /// The response was read to its end.
    read: Notify,
}

/// How a guest ended: with the reason if it failed, or if its instance is gone with something that
/// wasn't read.
pub(super) type End = Result<(), Arc<str>>;

impl Flow {
    /// Returns what renews the CPU time of the guest.
    pub(super) fn renewal(&self) -> &Renewal {
        &self.renewal
    }

    fn moves(&self, bytes: usize) {
        let more = bytes as u64 + 1;
        let before = self.moved.fetch_add(more, Ordering::Relaxed);
        if before / PER_BUDGET != before.saturating_add(more) / PER_BUDGET {
            self.renewal.renew();
        }
    }

    /// Records how the guest ended. The first failure counts. Call it before the store is dropped,
    /// because what the guest was writing seems to end then.
    pub(super) fn ended(&self, end: End) {
        let mut known = self.end.lock();
        if !matches!(&*known, Some(Err(_))) {
            *known = Some(end);
        }
        drop(known);
        self.reader.wake();
    }

    /// Returns how the guest ended, if it has. Otherwise, the reader is woken when it does.
    pub(super) fn end(&self, cx: &Context<'_>) -> Option<End> {
        self.reader.register(cx.waker());
        self.end.lock().clone()
    }

    /// The response was read to its end.
    pub(super) fn was_read(&self) {
        self.read.notify_one();
    }

    /// Waits until the response was read to its end.
    pub(super) async fn read_to_end(&self) {
        self.read.notified().await;
    }

    /// Waits until nothing has moved for so long, and returns that as a reason.
    pub(super) async fn idle(&self, limit: Duration) -> Arc<str> {
        let limit = limit.max(Instances::SHORTEST_IDLE);
        let (mut seen, mut since) = (self.moved.load(Ordering::Relaxed), Instant::now());
        let mut renewed = since;
        loop {
            let step = limit.saturating_sub(since.elapsed());
            tokio::time::sleep(step.clamp(Duration::from_millis(1), RENEWED_EVERY)).await;
            let moved = self.moved.load(Ordering::Relaxed);
            if moved != seen {
                (seen, since) = (moved, Instant::now());
            } else if since.elapsed() >= limit {
                return format!("nothing of its bodies had moved for {limit:?}; raise that with `limits = {{ kept = … }}` in the manifest, or with `Limits::kept`").into();
            }
            if renewed.elapsed() >= RENEWED_EVERY {
                renewed = Instant::now();
                self.renewal.renew();
            }
        }
    }

    /// Returns a body that reports to the flow what is taken from it.
    pub(super) fn watch<B>(self: &Arc<Self>, body: B) -> Watched<B> {
        Watched {
            body,
            flow: self.clone(),
        }
    }
}

/// A body that is still read. Dropping it, the response counts as read, wherever that is.
#[cfg(feature = "p3")]
pub(super) struct Unread(pub(super) Arc<Flow>);

#[cfg(feature = "p3")]
impl Drop for Unread {
    fn drop(&mut self) {
        self.0.was_read();
    }
}

/// A body that reports what is taken from it.
pub(super) struct Watched<B> {
    body: B,
    flow: Arc<Flow>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.flow.moves(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flow_is_idle_when_nothing_has_moved_for_a_while() {
        const LIMIT: Duration = Duration::from_secs(300);
        let flow = Arc::new(Flow::default());
        let mover = flow.clone();
        let moving = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(LIMIT / 2).await;
                mover.moves(0);
            }
        });
        let began = Instant::now();
        let reason = flow.idle(LIMIT).await;
        moving.await.expect("it ended");
        assert!(began.elapsed() >= LIMIT * 6, "{:?}", began.elapsed());
        assert!(began.elapsed() <= LIMIT * 7, "{:?}", began.elapsed());
        assert!(reason.contains("kept"), "{reason}");
    }
}
