//! Bodies whose length was announced.

use super::{Body, ErrorCode};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Returns how long the body of a response must be, if its headers say so.
///
/// # Errors
/// [`ErrorCode::HttpProtocolError`] if they don't say so in one way.
pub(crate) fn expected_length(
    headers: &HeaderMap,
    method: &Method,
    status: StatusCode,
) -> Result<Option<u64>, ErrorCode> {
    let has_none = *method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    let length = expected_request_length(headers)?;
    Ok(length.filter(|_| !has_none))
}

/// Returns how long the body of a request must be, if its headers say so.
///
/// # Errors
/// [`ErrorCode::HttpProtocolError`] if they don't say so in one way.
pub(crate) fn expected_request_length(headers: &HeaderMap) -> Result<Option<u64>, ErrorCode> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let digits = first.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok().and_then(|digits| digits.parse().ok());
    match length {
        Some(length) if is_number && values.next().is_none() => Ok(Some(length)),
        _ => Err(ErrorCode::HttpProtocolError),
    }
}

/// Returns the body, so that it breaks with `wrong` of its length if it isn't as long as expected.
///
/// The part that completes it is held back until it ends, so that its reader can't take a longer
/// one for whole either.
pub(crate) fn check_length<B>(body: B, expected: u64, wrong: fn(Option<u64>) -> ErrorCode) -> Body
where
    B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
{
    Checked {
        body: Box::pin(body),
        left: expected,
        expected,
        last: None,
        ready: None,
        wrong,
    }
    .boxed_unsync()
}

struct Checked<B> {
    body: Pin<Box<B>>,
    left: u64,
    expected: u64,
    /// The part that completes the body.
    last: Option<Bytes>,
    /// What comes after the last part.
    ready: Option<Next>,
    wrong: fn(Option<u64>) -> ErrorCode,
}

type Next = Option<Result<Frame<Bytes>, ErrorCode>>;

impl<B> Checked<B> {
    fn fail(&mut self, length: u64) -> Poll<Next> {
        self.last = None;
        self.ready = Some(None);
        Poll::Ready(Some(Err((self.wrong)(Some(length)))))
    }

    /// Returns the part that was held back, and then what came after it.
    fn finish(&mut self, next: Next) -> Poll<Next> {
        if self.left > 0 {
            return self.fail(self.expected - self.left);
        }
        match self.last.take() {
            Some(last) => {
                self.ready = Some(next);
                Poll::Ready(Some(Ok(Frame::data(last))))
            }
            None => Poll::Ready(next),
        }
    }
}

impl<B> HttpBody for Checked<B>
where
    B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
{
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        if let Some(next) = this.ready.take() {
            if next.is_none() {
                this.ready = Some(None);
            }
            return Poll::Ready(next);
        }
        loop {
            let frame = match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.last = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => return this.finish(None),
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return this.finish(Some(Ok(trailers))),
            };
            let length = data.len() as u64;
            if length > this.left {
                let sent = this.expected - this.left;
                return this.fail(sent.saturating_add(length));
            }
            this.left -= length;
            match (this.left, data.is_empty()) {
                (_, true) => {}
                (0, false) => this.last = Some(data),
                (_, false) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.ready, Some(None))
    }

    fn size_hint(&self) -> SizeHint {
        let last = self.last.as_ref().map_or(0, Bytes::len) as u64;
        match self.left.saturating_add(last) {
            // Nobody would read on, and see whether it is longer.
            0 if !self.is_end_stream() => SizeHint::new(),
            left => SizeHint::with_exact(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::HeaderValue;
    use http_body_util::StreamBody;

    async fn read(parts: &[&'static str], expected: u64) -> (String, Option<ErrorCode>) {
        let frames = parts.iter().map(|part| {
            let data = Bytes::from_static(part.as_bytes());
            Ok::<_, ErrorCode>(Frame::data(data))
        });
        let frames: Vec<_> = frames.collect();
        let body = StreamBody::new(stream::iter(frames));
        let mut body = check_length(body, expected, ErrorCode::HttpResponseBodySize);
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(data) => text.push_str(&String::from_utf8_lossy(&data.expect("data"))),
                Err(code) => return (text, Some(code)),
            }
        }
        assert!(body.frame().await.is_none());
        (text, None)
    }

    #[tokio::test]
    async fn only_a_body_of_the_announced_length_ends() {
        let wrong = |length| Some(ErrorCode::HttpResponseBodySize(Some(length)));
        assert_eq!(read(&["ab", "", "c"], 3).await, ("abc".to_owned(), None));
        assert_eq!(read(&[], 0).await, (String::new(), None));
        assert_eq!(read(&["ab"], 3).await, ("ab".to_owned(), wrong(2)));
        assert_eq!(read(&["ab", "cd"], 3).await, ("ab".to_owned(), wrong(4)));
        assert_eq!(
            read(&["ab", "c", "d"], 3).await,
            ("ab".to_owned(), wrong(4))
        );
        assert_eq!(read(&["a"], 0).await, (String::new(), wrong(1)));
    }

    #[test]
    fn a_length_has_one_meaning() {
        let of = |values: &[&'static str], method, status| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            expected_length(&headers, &method, status)
        };
        assert_eq!(of(&[], Method::GET, StatusCode::OK), Ok(None));
        assert_eq!(of(&["7"], Method::GET, StatusCode::OK), Ok(Some(7)));
        assert_eq!(of(&["7"], Method::HEAD, StatusCode::OK), Ok(None));
        assert_eq!(of(&["7"], Method::GET, StatusCode::NOT_MODIFIED), Ok(None));
        for wrong in [&["7", "7"][..], &["+7"], &["-7"], &[""], &["7 "], &["7, 7"]] {
            let refused = of(wrong, Method::GET, StatusCode::OK);
            assert_eq!(refused, Err(ErrorCode::HttpProtocolError), "{wrong:?}");
        }
    }
}
