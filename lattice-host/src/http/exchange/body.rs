//! Bodies as streams of values.

use super::{
    ErrorCode, Header, code_of_broken,
    headers::{self, Section},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use lattice_provider_sdk::{Broken, ByteReader, FutureReader, FutureWriter};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body in the form that hyper and wasmtime-wasi-http take.
pub(crate) type Body = UnsyncBoxBody<Bytes, ErrorCode>;

/// Most bytes of a body that travel with its head.
pub(super) const WITH_HEAD: usize = 16 * 1024;

type Trailers = FutureReader<Result<Vec<Header>, ErrorCode>>;

/// A body as the fields of a request or a response.
pub(super) struct BodyValues {
    pub(super) content: Bytes,
    pub(super) body: Option<ByteReader>,
    pub(super) trailers: Option<Trailers>,
}

impl BodyValues {
    /// Converts a body. What of it is there already is taken at once.
    pub(super) fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
    {
        let mut content = Content::default();
        if body.is_end_stream() {
            return Self::whole(content, None);
        }
        let mut body = Box::pin(body);
        while let Some(next) = body.frame().now_or_never() {
            match next {
                None => return Self::whole(content, None),
                Some(Err(error)) => return Self::broken(content, error.into()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if content.has_room(data.len()) => content.push(data),
                    Ok(data) => return Self::streamed(content, Some(data), body),
                    Err(frame) => {
                        return Self::whole(content, frame.into_trailers().ok());
                    }
                },
            }
        }
        Self::streamed(content, None, body)
    }

    fn whole(content: Content, trailers: Option<http::HeaderMap>) -> Self {
        let trailers = trailers.map(|trailers| {
            let trailers = headers::to_wire(&trailers, Section::Trailers);
            FutureReader::new(async { Ok(trailers) })
        });
        Self {
            content: content.0,
            body: None,
            trailers,
        }
    }

    fn broken(content: Content, code: ErrorCode) -> Self {
        let broken = broken(&code);
        Self {
            content: content.0,
            body: Some(ByteReader::fallible(futures_util::stream::iter([Err(
                broken,
            )]))),
            trailers: Some(FutureReader::new(async { Err(code) })),
        }
    }

    fn streamed<B>(content: Content, next: Option<Bytes>, body: Pin<Box<B>>) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
    {
        let (writer, trailers) = FutureReader::channel();
        let frames = Frames {
            next,
            body,
            trailers: Some(writer),
        };
        Self {
            content: content.0,
            body: Some(ByteReader::fallible(frames)),
            trailers: Some(trailers),
        }
    }

    /// Converts back.
    pub(super) fn into_body(self) -> Body {
        let Self {
            content,
            body,
            trailers,
        } = self;
        Arrived {
            content,
            body,
            trailers: match trailers {
                Some(trailers) => Later::Waiting(trailers),
                None => Later::Here(Ok(Vec::new())),
            },
        }
        .boxed_unsync()
    }
}

/// The beginning of a body.
#[derive(Default)]
struct Content(Bytes);

impl Content {
    fn has_room(&self, more: usize) -> bool {
        self.0.len().saturating_add(more) <= WITH_HEAD
    }

    fn push(&mut self, data: Bytes) {
        if self.0.is_empty() {
            self.0 = data;
            return;
        }
        let mut all = BytesMut::from(std::mem::take(&mut self.0));
        all.extend_from_slice(&data);
        self.0 = all.freeze();
    }
}

/// The rest of a body that is given away.
struct Frames<B> {
    next: Option<Bytes>,
    body: Pin<Box<B>>,
    /// Broken with the body if it is dropped before its end.
    trailers: Option<FutureWriter<Result<Vec<Header>, ErrorCode>>>,
}

impl<B> Frames<B> {
    fn end(&mut self, trailers: Result<Vec<Header>, ErrorCode>) {
        if let Some(writer) = self.trailers.take() {
            writer.send(trailers);
        }
    }
}

impl<B> Stream for Frames<B>
where
    B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
{
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(next) = this.next.take() {
            return Poll::Ready(Some(Ok(next)));
        }
        loop {
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            this.end(Ok(headers::to_wire(&trailers, Section::Trailers)));
                        }
                    }
                },
                Some(Err(error)) => {
                    let code = error.into();
                    let broken = broken(&code);
                    this.end(Err(code));
                    return Poll::Ready(Some(Err(broken)));
                }
                None => {
                    this.end(Ok(Vec::new()));
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// A body that came with a call.
struct Arrived {
    content: Bytes,
    body: Option<ByteReader>,
    trailers: Later,
}

/// The trailers, which are read beside the body so that they are there when it ends.
enum Later {
    Waiting(Trailers),
    Here(Result<Vec<Header>, ErrorCode>),
    Taken,
}

impl Later {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Waiting(trailers) = self {
            let here = ready!(trailers.poll_unpin(cx));
            *self = Self::Here(here.unwrap_or_else(|broken| Err(code_of_broken(&broken))));
        }
        Poll::Ready(())
    }

    /// Returns whether there may be something after the content: trailers, or an error.
    fn may_follow(&self) -> bool {
        match self {
            Self::Waiting(_) | Self::Here(Err(_)) => true,
            Self::Here(Ok(trailers)) => !trailers.is_empty(),
            Self::Taken => false,
        }
    }
}

impl Arrived {
    /// Ends the body with an error: that with which its writer broke it, if it says so.
    fn fail(&mut self, broken: &Broken) -> ErrorCode {
        self.body = None;
        match std::mem::replace(&mut self.trailers, Later::Taken) {
            Later::Here(Err(code)) => code,
            _ => code_of_broken(broken),
        }
    }
}

impl HttpBody for Arrived {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = self.get_mut();
        if !this.content.is_empty() {
            let content = std::mem::take(&mut this.content);
            return Poll::Ready(Some(Ok(Frame::data(content))));
        }
        let trailers = this.trailers.poll(cx);
        if let Some(body) = &mut this.body {
            match ready!(Pin::new(body).poll_next(cx)) {
                Some(Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Err(broken)) => {
                    // The code was sent just before.
                    let _ = this.trailers.poll(cx);
                    return Poll::Ready(Some(Err(this.fail(&broken))));
                }
                None => this.body = None,
            }
        }
        // Polled again, because it may have come while the body was read.
        if trailers.is_pending() {
            ready!(this.trailers.poll(cx));
        }
        let frame = match std::mem::replace(&mut this.trailers, Later::Taken) {
            Later::Here(Ok(trailers)) if !trailers.is_empty() => {
                let trailers = headers::from_wire(trailers, Section::Trailers);
                Some(trailers.map(Frame::trailers))
            }
            Later::Here(Err(code)) => Some(Err(code)),
            _ => None,
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty() && self.body.is_none() && !self.trailers.may_follow()
    }

    fn size_hint(&self) -> SizeHint {
        let known = self.content.len() as u64;
        // Whoever is told a length doesn't read on, and misses trailers and an error after it.
        if self.body.is_none() && !self.trailers.may_follow() {
            return SizeHint::with_exact(known);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(known);
        hint
    }
}

fn broken(code: &ErrorCode) -> Broken {
    Broken::Failed {
        reason: code.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use http::{HeaderMap, HeaderValue};
    use http_body_util::{Empty, Full, StreamBody};
    use std::convert::Infallible;

    type Next = Result<Frame<Bytes>, ErrorCode>;

    fn impossible(never: Infallible) -> ErrorCode {
        match never {}
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with, or given as, such values"
    )]
    fn data(text: &'static str) -> Next {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with, or given as, such values"
    )]
    fn trailers() -> Next {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        Ok(Frame::trailers(trailers))
    }

    /// A body of which only the first `now` frames are there at once.
    fn slow(
        now: usize,
        frames: Vec<Next>,
    ) -> impl HttpBody<Data = Bytes, Error = ErrorCode> + Send + 'static {
        let frames = stream::iter(frames)
            .enumerate()
            .then(move |(index, frame)| {
                let waits = index >= now;
                async move {
                    if waits {
                        tokio::task::yield_now().await;
                    }
                    frame
                }
            });
        let end = stream::once(tokio::task::yield_now()).filter_map(async |()| None);
        StreamBody::new(frames.chain(end).boxed())
    }

    async fn read(mut body: Body) -> (String, Option<HeaderMap>, Option<ErrorCode>) {
        let (mut text, mut trailers) = (String::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => text.push_str(&String::from_utf8_lossy(&data)),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(code) => return (text, trailers, Some(code)),
            }
        }
        (text, trailers, None)
    }

    #[tokio::test]
    async fn what_is_there_with_the_head_needs_no_stream() {
        let empty = BodyValues::new(Empty::<Bytes>::new().map_err(impossible));
        assert!(empty.content.is_empty() && empty.body.is_none() && empty.trailers.is_none());
        let full = Full::new(Bytes::from_static(b"whole"));
        let full = BodyValues::new(full.map_err(impossible));
        assert_eq!(full.content, "whole");
        assert!(full.body.is_none() && full.trailers.is_none());
        let body = full.into_body();
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(read(body).await, ("whole".to_owned(), None, None));
        let frames = stream::iter([data("a"), data("b"), trailers()]);
        let parts = BodyValues::new(StreamBody::new(frames));
        assert!(parts.body.is_none());
        let body = parts.into_body();
        assert_eq!(body.size_hint().exact(), None, "it would have no trailers");
        let (text, trailers, error) = read(body).await;
        assert_eq!((&*text, error), ("ab", None));
        assert_eq!(trailers.expect("they came")["x-sum"], "7");
    }

    #[tokio::test]
    async fn the_rest_is_streamed_with_its_trailers() {
        for now in 0..3 {
            let frames = vec![data("a"), data("b"), data("c"), trailers()];
            let values = BodyValues::new(slow(now, frames));
            assert_eq!(values.content.len(), now);
            let (text, trailers, error) = read(values.into_body()).await;
            assert_eq!((&*text, error), ("abc", None), "{now} at once");
            assert!(trailers.is_some());
        }
        let large = Bytes::from(vec![7; WITH_HEAD + 1]);
        let values = BodyValues::new(Full::new(large).map_err(impossible));
        assert!(values.content.is_empty() && values.body.is_some());
        assert_eq!(read(values.into_body()).await.0.len(), WITH_HEAD + 1);
    }

    #[tokio::test]
    async fn a_body_that_breaks_never_ends() {
        for now in 0..3 {
            let frames = vec![data("a"), Err(ErrorCode::HttpResponseTimeout), data("b")];
            let values = BodyValues::new(slow(now, frames));
            let (text, trailers, error) = read(values.into_body()).await;
            assert_eq!((&*text, trailers), ("a", None));
            assert_eq!(error, Some(ErrorCode::HttpResponseTimeout), "{now} at once");
        }
        // Its writer is gone without a word.
        let (writer, trailers) = FutureReader::channel();
        drop(writer);
        let values = BodyValues {
            content: Bytes::new(),
            body: None,
            trailers: Some(trailers),
        };
        assert!(read(values.into_body()).await.2.is_some());
    }
}
