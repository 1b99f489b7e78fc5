//! What a handler can return.

use std::fmt::Display;

use super::{Body, Response, StatusCode};

/// What a handler returns: a [`Response`] whose body is a [`Body`] or becomes one, such as text or
/// bytes, or a `Result` of it. An error is logged, and the client gets 500.
pub trait IntoResponse {
    /// Returns the response, or the reason that there is none.
    #[doc(hidden)]
    fn into_response(self) -> Result<Response<Body>, String>;
}

impl<B: Into<Body>> IntoResponse for Response<B> {
    fn into_response(self) -> Result<Response<Body>, String> {
        Ok(self.map(Into::into))
    }
}

impl<R: IntoResponse, E: Display> IntoResponse for Result<R, E> {
    fn into_response(self) -> Result<Response<Body>, String> {
        match self {
            Ok(response) => response.into_response(),
            // In this form, some errors include their causes.
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

/// Returns a response that has its status as its body.
pub(super) fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{status}\n")));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_reason_that_is_not_the_body() {
        let failed: Result<Response<String>, &str> = Err("secret");
        assert_eq!(failed.into_response().expect_err("failed"), "secret");
        let answered: Result<Response<&str>, &str> = Ok(Response::new("text"));
        let response = answered.into_response().expect("a response");
        assert_eq!(response.body().content_length(), Some(4));
        let failure = plain(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(failure.status(), 500);
        let text = "500 Internal Server Error\n";
        assert_eq!(failure.body().content_length(), Some(text.len() as u64));
    }
}
