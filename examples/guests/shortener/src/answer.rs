//! Responses.

use crate::problem::Problem;
use lattice_actor_sdk::{
    http::{Body, HeaderValue, Response, StatusCode},
    log,
};
use serde::Serialize;

/// A page runs no scripts, and loads nothing but its own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// Returns a page.
pub(crate) fn page(status: StatusCode, html: String) -> Response<Body> {
    let mut response = whole(status, "text/html; charset=utf-8", html.into_bytes());
    let headers = response.headers_mut();
    headers.insert("content-security-policy", HeaderValue::from_static(POLICY));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}

/// Returns a value in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => whole(status, "application/json", bytes),
        Err(error) => {
            log::error!("a response has no JSON: {error}");
            whole(
                StatusCode::INTERNAL_SERVER_ERROR,
                "application/json",
                Vec::new(),
            )
        }
    }
}

/// Returns a redirect, which isn't stored: each click is a request.
pub(crate) fn redirect(status: StatusCode, to: &str) -> Response<Body> {
    let mut response = whole(status, "text/plain; charset=utf-8", Vec::new());
    locate(&mut response, to);
    response
}

/// Sets where what was made is.
pub(crate) fn locate(response: &mut Response<Body>, at: &str) {
    // Addresses were checked to be ASCII, and codes are.
    match HeaderValue::from_str(at) {
        Ok(value) => {
            response.headers_mut().insert("location", value);
        }
        Err(error) => log::error!("an address isn't a header: {error}"),
    }
}

/// Completes the response to a request with this problem, and logs what people can't be told.
pub(crate) fn with_problem(mut response: Response<Body>, problem: &Problem) -> Response<Body> {
    let (name, value) = match problem {
        Problem::Method(allowed) => ("allow", *allowed),
        Problem::Unavailable(reason) => {
            log::error!("{reason}");
            ("retry-after", "5")
        }
        _ => return response,
    };
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

/// Leaves out the body, as for `HEAD`.
pub(crate) fn without_body(response: Response<Body>) -> Response<Body> {
    response.map(|_| Body::empty())
}

fn whole(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}
