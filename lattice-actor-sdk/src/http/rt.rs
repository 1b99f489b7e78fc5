//! The runtime of the code that `#[lattice_actor_sdk::http]` generates.

// `wstd` has these for its own macro. Its version is pinned in `Cargo.toml`.
pub use wstd::__internal::wasip2;

use wasip2::http::types::{Fields, HeaderError, IncomingRequest, ResponseOutparam};
use wstd::http::{request::try_from_incoming, server::Responder};

use super::{
    Body, FromBody, HeaderMap, IntoResponse, Request, Response, StatusCode, block_on,
    body::BodyError, response::plain,
};

/// Serves one request.
pub fn serve<B, R, F>(
    request: IncomingRequest,
    out: ResponseOutparam,
    handler: impl FnOnce(Request<B>) -> F,
) where
    B: FromBody,
    R: IntoResponse,
    F: Future<Output = R>,
{
    let responder = Responder::new(out);
    block_on(async move {
        let response = match try_from_incoming(request) {
            Ok(request) => respond(request, handler).await,
            Err(error) => {
                eprintln!("the request isn't valid: {error:#}");
                plain(StatusCode::BAD_REQUEST)
            }
        };
        // Dropping a body that isn't complete breaks it off, which the client sees.
        if let Err(error) = responder.respond(sendable(response)).await {
            eprintln!("the response's body broke off: {error:#}");
        }
    });
}

async fn respond<B, R, F>(
    request: Request<Body>,
    handler: impl FnOnce(Request<B>) -> F,
) -> Response<Body>
where
    B: FromBody,
    R: IntoResponse,
    F: Future<Output = R>,
{
    let (head, body) = request.into_parts();
    let body = match B::from_body(body).await {
        Ok(body) => body,
        Err(error) => {
            eprintln!("{error}");
            return plain(BodyError::STATUS);
        }
    };
    let returned = handler(Request::from_parts(head, body)).await;
    returned.into_response().unwrap_or_else(|reason| {
        eprintln!("the handler failed: {reason}");
        plain(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

/// Returns the response, or 500 in its place if the host refuses one of its headers: `wstd` would
/// panic.
fn sendable(response: Response<Body>) -> Response<Body> {
    match refused(response.headers()) {
        None => response,
        Some((name, error)) => {
            eprintln!(
                "the response's header `{name}` is refused: {error}; leave it out, since hosts set the headers of connections themselves"
            );
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Returns the first header that the host refuses.
fn refused(headers: &HeaderMap) -> Option<(&str, HeaderError)> {
    if headers.is_empty() {
        return None;
    }
    let fields = Fields::new();
    headers.iter().find_map(|(name, value)| {
        let name = name.as_str();
        let error = fields.append(name, value.as_bytes()).err()?;
        Some((name, error))
    })
}
