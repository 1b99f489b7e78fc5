//! The body of a response.

use super::{
    reaper::Reaper,
    watched::{Next, Stall, Times, Watched},
};
use crate::http::{
    exchange::{self, ErrorCode},
    spans::RequestSpan,
};
use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use lattice_core::wormholes::Wormhole;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The body of a response that came through a wormhole, or of the ingress's own.
///
/// If it breaks, it returns an error and no end, so that a server cuts the connection or resets the
/// stream.
pub struct WormholeBody(Content);

enum Content {
    Text(Option<Bytes>),
    Streamed(Box<Streamed>),
}

/// The response of an actor broke after its head: the actor failed, its host was lost, or it or the
/// client made no progress. The log of the ingress has the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response broke before its end; look for its `x-request-id` in the log of the ingress")]
pub struct BrokenBody;

/// Where a response comes from, for the log.
#[derive(Debug, Clone)]
pub(in crate::http::ingress) struct Origin {
    pub(in crate::http::ingress) request: HeaderValue,
    pub(in crate::http::ingress) wormhole: Arc<Wormhole>,
    /// Lasts until the body has ended.
    pub(in crate::http::ingress) span: RequestSpan,
}

/// The body of an actor's response.
pub(in crate::http::ingress) struct Streamed {
    body: Watched<Counted>,
    origin: Origin,
    has_broken: bool,
}

/// A body that counts as running until it is dropped, which is when it breaks at the latest.
struct Counted {
    body: exchange::Body,
    /// A body that has failed is at its end too, but not in order.
    has_failed: bool,
    has_ended: bool,
    in_flight: InFlight,
}

/// Something that counts a request as running until it is dropped.
pub(in crate::http::ingress) trait Running: Send + Sync {
    /// Notes that the response was dropped before its end.
    fn broke(&self);
}

pub(in crate::http::ingress) type InFlight = Option<Box<dyn Running>>;

impl WormholeBody {
    /// A text of the ingress's own.
    pub(in crate::http::ingress) fn text(text: impl Into<Bytes>) -> Self {
        Self(Content::Text(Some(text.into())))
    }

    /// No body.
    pub(in crate::http::ingress) fn none() -> Self {
        Self(Content::Text(None))
    }

    /// The body of an actor's response.
    pub(in crate::http::ingress) fn streamed(
        body: exchange::Body,
        times: Times,
        reaper: &Arc<Reaper>,
        origin: Origin,
        in_flight: InFlight,
    ) -> Self {
        let counted = Counted {
            body,
            has_failed: false,
            has_ended: false,
            in_flight,
        };
        Self(Content::Streamed(Box::new(Streamed {
            body: Watched::new(counted, times, reaper.clone()),
            origin,
            has_broken: false,
        })))
    }
}

impl Body for WormholeBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match &mut self.0 {
            Content::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Content::Streamed(streamed) => streamed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Text(text) => text.is_none(),
            Content::Streamed(streamed) => streamed.has_broken || streamed.body.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if self.has_broken {
            return Poll::Ready(None);
        }
        self.body.poll(cx).map(|next| match next {
            Next::Frame(frame) => Some(Ok(frame)),
            Next::End => None,
            Next::Failed(code) => Some(Err(self.broken(&Cause::Code(code)))),
            Next::Stalled(stall) => Some(Err(self.broken(&Cause::Stall(stall)))),
        })
    }

    fn broken(&mut self, cause: &Cause) -> BrokenBody {
        self.has_broken = true;
        let Origin {
            request,
            wormhole,
            span,
        } = &self.origin;
        span.failed("response-broke", &cause.to_string());
        tracing::warn!(
            request = request.to_str().unwrap_or_default(),
            wormhole = %wormhole.id,
            component = %wormhole.spec.actor,
            "a response broke after its head and its connection is cut: {cause}"
        );
        BrokenBody
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        match &next {
            Poll::Ready(Some(Err(_))) => self.has_failed = true,
            Poll::Ready(None) => self.has_ended = true,
            _ => {}
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let is_whole = !self.has_failed && (self.has_ended || self.body.is_end_stream());
        if let Some(running) = &self.in_flight
            && !is_whole
        {
            running.broke();
        }
    }
}

enum Cause {
    Code(ErrorCode),
    Stall(Stall),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "the component's body ended with the error {code}"),
            Self::Stall(Stall::Source) => f.write_str("the component sent nothing for too long"),
            Self::Stall(Stall::Reader) => f.write_str("the client took nothing for too long"),
            Self::Stall(Stall::Total) => {
                f.write_str("it took longer than the wormhole allows; raise its total timeout")
            }
        }
    }
}

impl fmt::Debug for WormholeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WormholeBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::check_length;
    use http_body_util::{BodyExt as _, Full};
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicBool, Ordering},
    };

    struct Noted(Arc<AtomicBool>);

    impl Running for Noted {
        fn broke(&self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn impossible(never: Infallible) -> ErrorCode {
        match never {}
    }

    #[tokio::test]
    async fn only_a_body_that_ends_in_order_is_whole() {
        for (expected, is_read, is_broken) in [(4, true, false), (4, false, true), (3, true, true)]
        {
            let body = Full::new(Bytes::from_static(b"part")).map_err(impossible);
            let has_broken = Arc::new(AtomicBool::new(false));
            let mut counted = Counted {
                body: check_length(body, expected, ErrorCode::HttpResponseBodySize),
                has_failed: false,
                has_ended: false,
                in_flight: Some(Box::new(Noted(has_broken.clone()))),
            };
            if is_read {
                while let Some(Ok(_)) = counted.frame().await {}
            }
            drop(counted);
            let noted = has_broken.load(Ordering::SeqCst);
            assert_eq!(noted, is_broken, "{expected} {is_read}");
        }
    }
}
