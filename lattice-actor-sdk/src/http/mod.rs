//! Actors that serve HTTP, and requests that go out, with the types of the crate `http`.
//!
//! ```
//! use lattice_actor_sdk::http::{Body, Request, Response};
//!
//! #[lattice_actor_sdk::http]
//! async fn handle(request: Request<Body>) -> Response<Body> {
//!     let path = request.uri().path();
//!     Response::new(format!("Hello from {path}!\n").into())
//! }
//! # fn main() {}
//! ```
//!
//! That is a whole actor. A wormhole leads requests to it, and so does a link of another component
//! for `wasi:http/outgoing-handler@0.2.0`. It also runs on any other host that serves
//! `wasi:http/incoming-handler@0.2.x`.
//!
//! # Bodies
//! A [`Body`] is streamed: the handler runs while the rest of it arrives, and a response whose body
//! is the request's goes on as it comes. A handler that needs all of it takes a [`Request`] of
//! bytes or text, and can be a plain function:
//!
//! ```
//! use lattice_actor_sdk::http::{Request, Response, StatusCode};
//!
//! #[lattice_actor_sdk::http]
//! fn shout(request: Request<String>) -> Result<Response<String>, std::num::ParseIntError> {
//!     let times: usize = request.uri().query().unwrap_or("1").parse()?;
//!     Ok(Response::new(request.body().to_uppercase().repeat(times)))
//! }
//! # fn main() {
//! #     let request = |uri: &str| Request::builder().uri(uri).body("hi".to_owned());
//! #     let twice = shout(request("http://a/?2").expect("valid")).expect("a number");
//! #     assert_eq!((twice.status(), &**twice.body()), (StatusCode::OK, "HIHI"));
//! #     assert!(shout(request("http://a/?x").expect("valid")).is_err());
//! # }
//! ```
//!
//! Here a body that isn't UTF-8 is answered with 400. A collected body takes its size of the
//! actor's memory, which is limited; a wormhole limits bodies too.
//!
//! # Errors
//! A handler may return a `Result`. Its error is written to standard error, which goes to the
//! host's log, and the client gets 500 without it. When a body breaks off after its response has
//! begun, the connection is cut, so that the client doesn't take a part for the whole.
//!
//! # Requests that go out
//! [`fetch`] sends a request over the actor's link for `wasi:http/outgoing-handler@0.2.0`, whose
//! config lists the hosts that it may reach. Without a link, it fails.
//!
//! ```no_run
//! use lattice_actor_sdk::http::{Body, Error, Request, Response, fetch};
//!
//! #[lattice_actor_sdk::http]
//! async fn front(request: Request<Body>) -> Result<Response<Body>, Error> {
//!     let inner = Request::get(format!("https://api.example.com{}", request.uri().path()));
//!     fetch(inner.body(Body::empty())?).await
//! }
//! # fn main() {}
//! ```

mod body;
mod response;
#[doc(hidden)]
pub mod rt;

pub use body::FromBody;
pub use response::IntoResponse;
pub use wstd::{
    http::{
        Body, Client, Error, ErrorCode, HeaderMap, HeaderName, HeaderValue, Method, Request,
        Response, StatusCode, Uri,
    },
    runtime::block_on,
};

/// Sends a request over the actor's link for `wasi:http/outgoing-handler@0.2.0`, and returns the
/// response, whose body is streamed. [`Client`] does the same with timeouts.
///
/// Can be awaited in a handler of [`macro@crate::http`], and elsewhere within [`block_on`].
///
/// # Errors
/// Fails when the link doesn't lead there or the exchange fails. The error is or contains an
/// [`ErrorCode`], of which `HttpRequestDenied` means that the link is missing or doesn't allow the
/// request.
pub async fn fetch<B: Into<Body>>(request: Request<B>) -> Result<Response<Body>, Error> {
    Client::new().send(request).await
}
