//! The bodies of requests and responses, as they pass through.

use super::{failure::code_of_body, tasks::Tasks, timeouts::Progress};
use crate::http::exchange::{Body, ErrorCode};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// The body of a request broke, so that the request is aborted.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request broke: {0}")]
pub(super) struct Aborted(pub(super) ErrorCode);

/// The body of a request on its way to a server.
pub(super) struct RequestBody {
    body: Body,
    /// The beginning, if it was taken before the request was sent.
    first: Option<Frame<Bytes>>,
    has_ended: bool,
    /// Whether it is sent in chunks although its length is known.
    in_chunks: bool,
    progress: Progress,
}

impl RequestBody {
    pub(super) fn new(body: Body, in_chunks: bool) -> Self {
        Self {
            body,
            first: None,
            has_ended: false,
            in_chunks,
            progress: Progress::new(),
        }
    }

    /// Returns when it moves.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Waits until it is known whether there is a body at all.
    ///
    /// # Errors
    /// Fails if the body broke.
    pub(super) async fn has_content(&mut self) -> Result<bool, ErrorCode> {
        if self.is_end_stream() || self.size_hint().exact() == Some(0) {
            // Trailers that may follow weren't announced.
            self.has_ended = true;
            return Ok(false);
        }
        match self.body.frame().await.transpose()? {
            Some(frame) => self.first = Some(frame),
            None => self.has_ended = true,
        }
        Ok(!self.has_ended)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            this.progress.moved();
            return Poll::Ready(Some(Ok(first)));
        }
        if this.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.progress.moved();
        this.has_ended = frame.is_none();
        Poll::Ready(frame.map(|frame| frame.map_err(Aborted)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.has_ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.in_chunks || self.first.is_some() {
            return SizeHint::default();
        }
        if self.has_ended {
            return SizeHint::with_exact(0);
        }
        self.body.size_hint()
    }
}

/// The body of a response on its way to the sender of the request. It breaks when nothing comes for
/// too long. The time that its reader takes doesn't count.
pub(super) struct ResponseBody {
    /// `None` once it broke.
    incoming: Option<Incoming>,
    between_bytes: Duration,
    /// Runs while the body is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// The connection's task, which runs for as long as it is read.
    _tasks: Arc<Tasks>,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, between_bytes: Duration, tasks: Arc<Tasks>) -> Self {
        Self {
            incoming: Some(incoming),
            between_bytes,
            timer: None,
            _tasks: tasks,
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| code_of_body(&error))));
        }
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep(this.between_bytes)));
        ready!(timer.as_mut().poll(cx));
        // Closes the connection.
        this.incoming = None;
        Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.as_ref().map(HttpBody::size_hint);
        hint.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    fn parts(parts: &[Result<&'static str, ErrorCode>]) -> RequestBody {
        let frame = |part: &Result<&'static str, ErrorCode>| {
            let data = part.clone().map(|text| Bytes::from_static(text.as_bytes()));
            data.map(Frame::data)
        };
        let frames: Vec<_> = parts.iter().map(frame).collect();
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        RequestBody::new(body, false)
    }

    async fn read(body: RequestBody) -> Result<Bytes, Aborted> {
        body.collect()
            .await
            .map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_body_that_was_looked_at_is_sent_whole() {
        let mut body = parts(&[Ok("ab"), Ok("c")]);
        assert_eq!(body.has_content().await, Ok(true));
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        assert_eq!(read(body).await.expect("whole"), "abc");

        let mut none = parts(&[]);
        assert_eq!(none.has_content().await, Ok(false));
        assert!(none.is_end_stream());
        assert_eq!(none.size_hint().exact(), Some(0));
        assert_eq!(read(none).await.expect("whole"), "");

        let mut broken = parts(&[Err(ErrorCode::HttpResponseTimeout)]);
        assert_eq!(
            broken.has_content().await,
            Err(ErrorCode::HttpResponseTimeout)
        );
        let broken = read(parts(&[Ok("a"), Err(ErrorCode::LoopDetected)])).await;
        let Aborted(code) = broken.expect_err("broken");
        assert_eq!(code, ErrorCode::LoopDetected);
    }

    #[test]
    fn a_known_length_is_hidden_where_trailers_need_chunks() {
        let full = || {
            let body = Full::new(Bytes::from_static(b"abc"));
            body.map_err(|never| match never {}).boxed_unsync()
        };
        let whole = RequestBody::new(full(), false);
        assert_eq!(whole.size_hint().exact(), Some(3));
        let in_chunks = RequestBody::new(full(), true);
        assert_eq!(in_chunks.size_hint().exact(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_shows_that_it_moves() {
        let mut body = parts(&[Ok("a")]);
        let progress = body.progress().clone();
        let begun = progress.last();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(progress.last(), begun);
        body.frame().await.expect("a part").expect("whole");
        assert!(progress.last() > begun);
    }
}
