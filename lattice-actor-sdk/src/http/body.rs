//! What a handler's request can have as its body.

use std::fmt;

use super::{Body, Error, StatusCode};

/// The body of a handler's request: [`Body`], which is streamed, or `Vec<u8>` or `String`, for
/// which the handler waits until all of it has arrived.
pub trait FromBody: Sized {
    /// Converts a body.
    #[doc(hidden)]
    fn from_body(body: Body) -> impl Future<Output = Result<Self, BodyError>>;
}

/// Why a handler was not run.
#[doc(hidden)]
#[derive(Debug)]
pub enum BodyError {
    /// The body broke off before its end.
    Broken(Error),
    /// The body isn't text.
    NotText(std::string::FromUtf8Error),
}

impl FromBody for Body {
    async fn from_body(body: Body) -> Result<Self, BodyError> {
        Ok(body)
    }
}

impl FromBody for Vec<u8> {
    async fn from_body(mut body: Body) -> Result<Self, BodyError> {
        let bytes = body.bytes_contents().await.map_err(BodyError::Broken)?;
        Ok(bytes.into())
    }
}

impl FromBody for String {
    async fn from_body(body: Body) -> Result<Self, BodyError> {
        let bytes = Vec::from_body(body).await?;
        String::from_utf8(bytes).map_err(BodyError::NotText)
    }
}

impl BodyError {
    /// The status of the response. Both are the client's fault.
    pub(super) const STATUS: StatusCode = StatusCode::BAD_REQUEST;
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the request's body broke off: {error:#}"),
            Self::NotText(error) => write!(f, "the request's body isn't text: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    /// Runs a future that doesn't wait.
    fn ready<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn bytes_and_text_are_collected() {
        let bytes: Vec<u8> = ready(Vec::from_body(Body::from(vec![0xff, 1]))).expect("bytes");
        assert_eq!(bytes, [0xff, 1]);
        let text = ready(String::from_body(Body::from("grüße"))).expect("text");
        assert_eq!(text, "grüße");
    }

    #[test]
    fn a_body_that_is_not_text_is_refused() {
        let refused = ready(String::from_body(Body::from(vec![0xff]))).expect_err("refused");
        assert!(refused.to_string().contains("isn't text"), "{refused}");
    }
}
