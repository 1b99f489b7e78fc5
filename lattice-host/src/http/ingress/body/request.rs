//! The body of a request.

use super::{
    reaper::Reaper,
    watched::{Next, Pace, Stall, Times, Watched},
};
use crate::http::exchange::ErrorCode;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use lattice_core::sync::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Why the body of a request broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http::ingress) enum RequestFault {
    /// It is longer than the wormhole allows.
    TooLarge,
    /// The client sent nothing for too long.
    Slow,
    /// The connection broke, or the body breaks the protocol.
    Broken,
}

/// What became of a request's body, for the one that waits for the response.
#[derive(Default)]
pub(in crate::http::ingress) struct RequestFate {
    fault: Mutex<Option<RequestFault>>,
    changed: Notify,
}

impl RequestFate {
    /// Waits until the body breaks.
    pub(in crate::http::ingress) async fn broken(&self) -> RequestFault {
        loop {
            let changed = self.changed.notified();
            if let Some(fault) = self.fault() {
                return fault;
            }
            changed.await;
        }
    }

    /// Returns why the body broke, if it has.
    pub(in crate::http::ingress) fn fault(&self) -> Option<RequestFault> {
        *self.fault.lock()
    }

    fn set(&self, fault: RequestFault) {
        *self.fault.lock() = Some(fault);
        self.changed.notify_waiters();
    }
}

/// The body of a request, on its way to the actor.
pub(in crate::http::ingress) struct RequestBody<B> {
    /// `None` when there is no body.
    body: Option<Watched<Pin<Box<B>>>>,
    /// How many more bytes there may be.
    left: Option<u64>,
    limit: Option<u64>,
    fate: Arc<RequestFate>,
}

impl<B: Body<Data = Bytes> + Send + 'static> RequestBody<B> {
    /// Limits the size of `body`, and the time between two parts of it.
    pub(in crate::http::ingress) fn new(
        body: B,
        limit: Option<u64>,
        (between, until): (Duration, Option<Instant>),
        reaper: &Arc<Reaper>,
    ) -> Self {
        let times = Times {
            pace: Pace::WhileWaited,
            between,
            until,
        };
        let body =
            (!body.is_end_stream()).then(|| Watched::new(Box::pin(body), times, reaper.clone()));
        Self {
            body,
            left: limit,
            limit,
            fate: Arc::default(),
        }
    }

    /// Returns what will become of the body. `None` when there is none.
    pub(in crate::http::ingress) fn fate(&self) -> Option<Arc<RequestFate>> {
        self.body.is_some().then(|| self.fate.clone())
    }

    /// Ends the body because of a fault, and returns the code of its error.
    fn fail(&mut self, fault: RequestFault, code: ErrorCode) -> ErrorCode {
        self.body = None;
        self.fate.set(fault);
        code
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(next) = body.poll(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(match next {
            Next::Frame(frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.map(|left| left.checked_sub(bytes)) {
                    Some(None) => {
                        let code = ErrorCode::HttpRequestBodySize(self.limit);
                        Some(Err(self.fail(RequestFault::TooLarge, code)))
                    }
                    left => {
                        self.left = left.flatten();
                        Some(Ok(frame))
                    }
                }
            }
            Next::End => {
                self.body = None;
                None
            }
            Next::Stalled(Stall::Total) => Some(Err(
                self.fail(RequestFault::Slow, ErrorCode::HttpResponseTimeout)
            )),
            Next::Stalled(_) => Some(Err(
                self.fail(RequestFault::Slow, ErrorCode::ConnectionReadTimeout)
            )),
            Next::Failed(_) => Some(Err(
                self.fail(RequestFault::Broken, ErrorCode::ConnectionTerminated)
            )),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Watched::is_at_end)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full};

    fn body(bytes: usize, limit: Option<u64>) -> RequestBody<Full<Bytes>> {
        let reaper = Arc::new(Reaper::new(Duration::from_secs(1)));
        let body = Full::new(Bytes::from(vec![1; bytes]));
        RequestBody::new(body, limit, (Duration::from_secs(1), None), &reaper)
    }

    #[tokio::test]
    async fn a_body_within_the_limit_passes() {
        for limit in [None, Some(5), Some(6)] {
            let body = body(5, limit);
            let fate = body.fate().expect("there is a body");
            let bytes = body.collect().await.expect("it is whole").to_bytes();
            assert_eq!(bytes.len(), 5);
            assert_eq!(fate.fault(), None);
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_breaks() {
        let body = body(5, Some(4));
        let fate = body.fate().expect("there is a body");
        let broken = body.collect().await.expect_err("it is too large");
        assert!(matches!(broken, ErrorCode::HttpRequestBodySize(Some(4))));
        assert_eq!(fate.broken().await, RequestFault::TooLarge);
    }

    #[tokio::test]
    async fn an_empty_body_is_none() {
        let body = body(0, Some(0));
        assert!(body.fate().is_none() && body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
}
