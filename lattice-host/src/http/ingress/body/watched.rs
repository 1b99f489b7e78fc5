//! A body that is broken off when it makes no progress.

use super::reaper::{Late, Reaper, Registration};
use http_body::{Body, Frame, SizeHint};
use lattice_core::sync::Mutex;
use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// What counts against a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http::ingress) enum Pace {
    /// All of the time between two parts: the source is slow, or the reader is.
    Always,
    /// The time that its reader waits for the source.
    WhileWaited,
}

/// Why a body was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http::ingress) enum Stall {
    /// Its source sent nothing for too long.
    Source,
    /// Its reader took nothing for too long.
    Reader,
    /// It took too long in all.
    Total,
}

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(in crate::http::ingress) struct Times {
    pub(in crate::http::ingress) pace: Pace,
    pub(in crate::http::ingress) between: Duration,
    pub(in crate::http::ingress) until: Option<Instant>,
}

/// A body that is broken off when it makes no progress: [`poll`](Self::poll) returns the error
/// then, and the body and all that belongs to it is dropped at once, even if it isn't polled.
pub(super) struct Watched<B> {
    shared: Arc<Shared<B>>,
    reaper: Arc<Reaper>,
    /// There is one from the first time on that the body isn't at its end.
    registration: Option<Registration>,
}

struct Shared<B> {
    times: Times,
    state: Mutex<State<B>>,
}

struct State<B> {
    /// `None` once the body has ended or broken.
    body: Option<B>,
    stalled: Option<Stall>,
    /// When the last part passed, or the reader began to wait for this one.
    since: Instant,
    /// The reader, while it waits.
    waker: Option<Waker>,
}

/// What comes next of a body.
pub(super) enum Next<D, E> {
    Frame(Frame<D>),
    End,
    Failed(E),
    Stalled(Stall),
}

impl<B> Watched<B>
where
    B: Body + Unpin + Send + 'static,
{
    pub(super) fn new(body: B, times: Times, reaper: Arc<Reaper>) -> Self {
        let state = State {
            body: Some(body),
            stalled: None,
            since: Instant::now(),
            waker: None,
        };
        Self {
            shared: Arc::new(Shared {
                times,
                state: Mutex::new(state),
            }),
            reaper,
            registration: None,
        }
    }

    /// Returns the next part. After the end or an error, returns the end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next<B::Data, B::Error>> {
        let mut state = self.shared.state.lock();
        let Some(body) = &mut state.body else {
            let stalled = state.stalled.take();
            return Poll::Ready(stalled.map_or(Next::End, Next::Stalled));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let is_over = match &polled {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if polled.is_pending() && is_probe(cx.waker()) {
            state.waker = None;
        } else if polled.is_pending() {
            if state.waker.is_none() && self.shared.times.pace == Pace::WhileWaited {
                state.since = Instant::now();
            }
            state.waker = Some(cx.waker().clone());
        } else {
            state.waker = None;
            state.since = Instant::now();
        }
        // Dropped outside of the lock, because that may take a while.
        let over = is_over.then(|| state.body.take());
        drop(state);
        drop(over);
        if is_over {
            self.registration = None;
        } else if self.registration.is_none() {
            let late: Weak<Shared<B>> = Arc::downgrade(&self.shared);
            self.registration = Some(self.reaper.register(late));
        }
        polled.map(|next| match next {
            Some(Ok(frame)) => Next::Frame(frame),
            Some(Err(error)) => Next::Failed(error),
            None => Next::End,
        })
    }

    /// Returns whether the body is at its end, and not broken.
    pub(super) fn is_at_end(&self) -> bool {
        let state = self.shared.state.lock();
        match &state.body {
            Some(body) => body.is_end_stream(),
            None => state.stalled.is_none(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.shared.state.lock();
        match &state.body {
            Some(body) => body.size_hint(),
            None if state.stalled.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Returns whether a poll with this waker only takes what is there, as `now_or_never` does, so that
/// no reader waits afterwards. The wakers of std and `futures` that do nothing have no data. Others
/// have some, because they have to know their task.
///
/// Ignoring the first poll that returns `Pending` would not be enough, because not every reader
/// probes: it may be the only poll until the source sends something.
fn is_probe(waker: &Waker) -> bool {
    waker.data().is_null()
}

impl<B: Send> Late for Shared<B> {
    fn check(&self, now: Instant) {
        let (dropped, waker) = {
            let mut state = self.state.lock();
            if state.body.is_none() {
                return;
            }
            let is_waited = state.waker.is_some();
            let counts = is_waited || self.times.pace == Pace::Always;
            let is_slow = now.saturating_duration_since(state.since) > self.times.between;
            state.stalled = if self.times.until.is_some_and(|until| now >= until) {
                Some(Stall::Total)
            } else if counts && is_slow {
                Some(if is_waited {
                    Stall::Source
                } else {
                    Stall::Reader
                })
            } else {
                return;
            };
            (state.body.take(), state.waker.take())
        };
        drop(dropped);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::{FutureExt as _, future::poll_fn};
    use http_body_util::StreamBody;
    use std::convert::Infallible;
    use tokio::sync::mpsc;

    type Parts = Result<Frame<Bytes>, Infallible>;

    /// A body of what is sent to it.
    fn body() -> (
        mpsc::UnboundedSender<Parts>,
        StreamBody<impl futures_util::Stream<Item = Parts> + Unpin + Send>,
    ) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let parts = futures_util::stream::unfold(receiver, async |mut receiver| {
            let part = receiver.recv().await?;
            Some((part, receiver))
        });
        (sender, StreamBody::new(Box::pin(parts)))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with, or given as, such values"
    )]
    fn part() -> Parts {
        Ok(Frame::data(Bytes::from_static(b"part")))
    }

    fn times(pace: Pace, until: Option<Duration>) -> Times {
        Times {
            pace,
            between: Duration::from_secs(10),
            until: until.map(|until| Instant::now() + until),
        }
    }

    async fn next<B: Body + Unpin + Send + 'static>(
        body: &mut Watched<B>,
    ) -> Next<B::Data, B::Error> {
        poll_fn(|cx| body.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_stops_breaks_the_body_for_a_reader_that_waits() {
        for pace in [Pace::Always, Pace::WhileWaited] {
            let reaper = Arc::new(Reaper::new(Duration::from_secs(10)));
            let (sender, body) = body();
            let mut body = Watched::new(body, times(pace, None), reaper);
            sender.send(part()).expect("it is open");
            assert!(matches!(next(&mut body).await, Next::Frame(_)));
            assert!(matches!(
                next(&mut body).await,
                Next::Stalled(Stall::Source)
            ));
            assert!(sender.is_closed(), "the source is dropped");
            assert!(matches!(next(&mut body).await, Next::End));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_breaks_the_body_where_that_counts() {
        let reaper = Arc::new(Reaper::new(Duration::from_secs(10)));
        let (sender, always) = body();
        let mut always = Watched::new(always, times(Pace::Always, None), reaper.clone());
        let (patient_sender, patient) = body();
        let mut patient = Watched::new(patient, times(Pace::WhileWaited, None), reaper);
        for (sender, body) in [(&sender, &mut always), (&patient_sender, &mut patient)] {
            sender.send(part()).expect("it is open");
            assert!(matches!(next(body).await, Next::Frame(_)));
        }
        sender.closed().await;
        assert!(!always.is_at_end());
        assert!(matches!(
            next(&mut always).await,
            Next::Stalled(Stall::Reader)
        ));
        assert!(!patient_sender.is_closed(), "its reader may take its time");
        patient_sender.send(part()).expect("it is open");
        assert!(matches!(next(&mut patient).await, Next::Frame(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_has_its_time_from_when_a_reader_waits_and_not_from_a_probe() {
        const NEARLY: Duration = Duration::from_secs(9);
        let reaper = Arc::new(Reaper::new(Duration::from_secs(10)));
        let (sender, body) = body();
        let mut body = Watched::new(body, times(Pace::WhileWaited, None), reaper);
        assert!(next(&mut body).now_or_never().is_none());
        let noop = Waker::noop();
        assert!(body.poll(&mut Context::from_waker(noop)).is_pending());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!sender.is_closed(), "no reader has waited");

        let send = async {
            tokio::time::sleep(NEARLY).await;
            sender.send(part()).expect("it is open");
        };
        let (next_part, ()) = tokio::join!(next(&mut body), send);
        assert!(matches!(next_part, Next::Frame(_)), "it came in time");

        assert!(next(&mut body).now_or_never().is_none());
        tokio::time::sleep(NEARLY).await;
        let begun = Instant::now();
        assert!(matches!(
            next(&mut body).await,
            Next::Stalled(Stall::Source)
        ));
        assert!(begun.elapsed() >= Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_for_ever_ends_at_its_limit() {
        let reaper = Arc::new(Reaper::new(Duration::from_secs(10)));
        let (sender, body) = body();
        let until = Some(Duration::from_secs(60));
        let mut body = Watched::new(body, times(Pace::Always, until), reaper);
        let begun = Instant::now();
        loop {
            let _ = sender.send(part());
            tokio::time::sleep(Duration::from_secs(1)).await;
            match next(&mut body).await {
                Next::Frame(_) => {}
                Next::Stalled(Stall::Total) => break,
                _ => panic!("it ends in another way"),
            }
        }
        assert!(begun.elapsed() >= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_ends_leaves_the_list() {
        let reaper = Arc::new(Reaper::new(Duration::from_secs(10)));
        let (sender, body) = body();
        let mut body = Watched::new(body, times(Pace::Always, None), reaper.clone());
        assert!(poll_fn(|cx| body.poll(cx)).now_or_never().is_none());
        assert!(body.registration.is_some());
        drop(sender);
        assert!(matches!(next(&mut body).await, Next::End));
        assert!(body.registration.is_none() && body.is_at_end());
    }
}
