//! The page as a service.

use crate::{guard::Guard, page, state::State, token::Token};
use axum::{Router, body::Body, response::Response};
use http::Request;
use std::{
    convert::Infallible,
    fmt,
    task::{Context, Poll},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// The page as a [`tower::Service`](Service) over HTTP/1.1 or 2. Cheap to clone.
///
/// It can be mounted at the root or below a path that the application strips, as `nest_service` of
/// axum does: every address in the page is relative. Open it at [`opening`](Self::opening) below
/// that path, with the `/` at its end.
#[derive(Clone)]
pub struct UiService {
    router: Router,
    token: Token,
    stop: CancellationToken,
}

impl UiService {
    pub(crate) fn new(state: State, guard: Guard, token: Token) -> Self {
        Self {
            stop: state.in_service(),
            router: page::router(state, guard),
            token,
        }
    }

    /// Returns the path with which a browser opens the page: `/?token=…`.
    pub fn opening(&self) -> String {
        format!("/?token={}", self.token.as_str())
    }

    /// Returns the token. Programs send it as `Authorization: Bearer …`.
    pub fn token(&self) -> &str {
        self.token.as_str()
    }

    /// Ends every stream. Each open page says that the service has stopped.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }
}

impl<B> Service<Request<B>> for UiService
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as Service<Request<B>>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.router.call(request)
    }
}

impl fmt::Debug for UiService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UiService").finish_non_exhaustive()
    }
}
