//! Sending a request to a component.

use super::{
    Body, ErrorCode, HandlerClient, Request, RequestOptions, SendError, request_to_wire,
    response_from_wire,
};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    id::Source,
    stream,
};
use lattice_provider_sdk::Invoke;
use std::{
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// Sends a request to the component that `caller` calls, and returns the response. Its body
/// follows.
///
/// The call has exactly this context, and its deadline is that of the response's head. The options
/// shorten it if they say how long a connection and the head may take, and no part of the request
/// is sent after its head. Otherwise, they are only for the component, which knows when it has
/// connected and when the request has been sent.
///
/// # Errors
/// A [`SendError`]: the call failed, or the component answered with an error.
///
/// # Cancel safety
/// Dropping the future, or the body of the response, cancels what the component does for it.
pub(crate) async fn send<I, B>(
    caller: I,
    request: http::Request<B>,
    options: &RequestOptions,
    context: Context,
) -> Result<http::Response<Body>, SendError>
where
    I: Invoke + Clone + 'static,
    B: HttpBody<Data = Bytes, Error: Into<ErrorCode>> + Send + 'static,
{
    let request = request_to_wire(request);
    let context = match head_timeout(&request, options) {
        Some(timeout) => context.shrunk(timeout),
        None => context,
    };
    let client = HandlerClient::new(WithContext { caller, context });
    let response = client.handle(request, options).await?;
    let response = response.and_then(response_from_wire);
    let response = response.map_err(SendError::Code)?;
    Ok(match options.between_bytes_timeout {
        Some(timeout) => response.map(|body| within(body, Duration::from_nanos(timeout))),
        None => response,
    })
}

/// Returns how long the call may take, if that is known.
fn head_timeout(request: &Request, options: &RequestOptions) -> Option<Duration> {
    if request.body.is_some() {
        return None;
    }
    let first_byte = Duration::from_nanos(options.first_byte_timeout?);
    let connect = Duration::from_nanos(options.connect_timeout?);
    Some(first_byte.saturating_add(connect))
}

/// Makes calls with one context.
#[derive(Clone)]
struct WithContext<I> {
    caller: I,
    context: Context,
}

impl<I: Invoke> Invoke for WithContext<I> {
    async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        _: Context,
    ) -> Result<Bytes, CallError> {
        self.caller.invoke(function, args, self.context).await
    }

    async fn pass(
        &self,
        function: &FunctionRef,
        arguments: stream::Body,
        _: Context,
    ) -> Result<stream::Body, CallError> {
        self.caller.pass(function, arguments, self.context).await
    }

    fn source(&self) -> Source {
        self.caller.source()
    }
}

/// Returns the body, so that it breaks when nothing of it comes for so long.
fn within(body: Body, timeout: Duration) -> Body {
    Timed {
        body,
        timeout,
        sleep: Box::pin(sleep(timeout)),
        is_waiting: false,
    }
    .boxed_unsync()
}

struct Timed {
    body: Body,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
    /// The time that its reader takes doesn't count.
    is_waiting: bool,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ErrorCode>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.is_waiting = false;
            return Poll::Ready(frame);
        }
        if !this.is_waiting {
            this.is_waiting = true;
            // A time that is too far away for the clock is never reached.
            let until = Instant::now().checked_add(this.timeout);
            let until = until.unwrap_or_else(|| Instant::now() + FAR);
            this.sleep.as_mut().reset(until);
        }
        ready!(this.sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(ErrorCode::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// As good as never.
const FAR: Duration = Duration::from_hours(24 * 365);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream as streams;
    use http_body_util::StreamBody;

    fn parts(pauses: &'static [Duration]) -> Body {
        let frames = streams::unfold(pauses.iter(), async |mut pauses| {
            tokio::time::sleep(*pauses.next()?).await;
            let frame = Frame::data(Bytes::from_static(b"a"));
            Some((Ok::<_, ErrorCode>(frame), pauses))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_pause_of_the_writer_breaks_a_body() {
        const SECOND: Duration = Duration::from_secs(1);
        const PAUSES: [Duration; 3] = [SECOND, SECOND, Duration::from_secs(3)];
        let mut body = within(parts(&PAUSES), SECOND * 2);
        for _ in 0..2 {
            let frame = body.frame().await.expect("a part");
            assert!(frame.is_ok());
            tokio::time::sleep(SECOND * 9).await;
        }
        let broken = body.frame().await.expect("not the end");
        assert_eq!(broken.err(), Some(ErrorCode::ConnectionReadTimeout));
    }

    #[test]
    fn a_deadline_is_shortened_only_by_what_covers_the_whole_call() {
        let whole = || {
            let body = http_body_util::Empty::<Bytes>::new();
            body.map_err(|never| match never {}).boxed_unsync()
        };
        let timeout = |body: Body, connect_timeout, first_byte_timeout| {
            let request = request_to_wire(http::Request::new(body));
            let options = RequestOptions {
                connect_timeout,
                first_byte_timeout,
                between_bytes_timeout: Some(9),
            };
            head_timeout(&request, &options)
        };
        let both = Some(Duration::from_nanos(5));
        assert_eq!(timeout(whole(), Some(2), Some(3)), both);
        assert_eq!(timeout(whole(), None, Some(3)), None, "it may connect");
        assert_eq!(timeout(whole(), Some(2), None), None);
        assert!(timeout(whole(), Some(2), Some(u64::MAX)).is_some());
        let upload = StreamBody::new(streams::pending()).boxed_unsync();
        assert_eq!(timeout(upload, Some(2), Some(3)), None, "it may upload");
    }
}
