//! The response of a guest that may still run.
//!
//! The future of the call polls the guest as long as that brings the response on without waiting.
//! If the body is whole then, the call has its whole result. Otherwise, a task polls the guest from
//! then on, and the reader of the body takes what the guest writes.

use super::{
    flow::{Flow, Watched},
    service::Answered,
};
use crate::{
    guest::{HostedActor, failure},
    http::exchange::{self, ErrorCode, check_length, code_of_wasi, expected_length},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Method, Response, response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use lattice_core::{call::CallError, sync::Mutex};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// Most bytes of a body for which the future of a call goes on polling the guest.
const AT_ONCE: usize = 16 << 10;

/// The head that a guest has set, with the body that it writes.
pub(super) type GuestHead = Result<Response<WasiBody>, WasiError>;

/// The head that a guest is going to set, for a request with this method.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) head: oneshot::Receiver<GuestHead>,
}

/// What the guest does for one request.
pub(super) type Run = BoxFuture<'static, Served>;

/// A guest that has returned.
pub(super) struct Served {
    pub(super) result: Result<(), CallError>,
    /// Its instance. What the guest was still writing seems to end when it is dropped.
    pub(super) held: Box<dyn Guarded>,
}

/// The instance of a guest that has returned.
pub(super) trait Guarded: Send {
    /// The response is whole, so that the instance may serve another request.
    fn is_done(self: Box<Self>);
}

/// The tasks in which guests go on after the head of their response. Dropping it ends them.
#[derive(Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work)
    }
}

/// Polls the guest until the head of its response is there, and returns the response.
///
/// # Errors
/// Fails when the guest sets no head, or one that isn't valid, and when it fails before its head is
/// passed on.
///
/// # Cancel safety
/// Dropping the future drops the guest.
pub(super) async fn respond(
    actor: &HostedActor,
    (mut run, flow): (Run, Arc<Flow>),
    head: Head,
    tasks: &Arc<Tasks>,
) -> Result<Answered, CallError> {
    let Head { method, mut head } = head;
    let (head, running) = tokio::select! {
        // The guest runs first, and has often returned when the head is looked for.
        biased;
        served = &mut run => {
            served.result.clone()?;
            (head.try_recv().ok(), Guest::Returned(served))
        }
        head = &mut head => (head.ok(), Guest::Running(run)),
    };
    let response = match head {
        Some(Ok(response)) => response,
        Some(Err(code)) => return Ok(Err(code_of_wasi(code))),
        None => {
            return Err(failed(
                "it returned without a response, or dropped its `response-outparam`; set one on every path",
            ));
        }
    };
    let (parts, body) = response.into_parts();
    let length = checked(&parts, &method)?;
    let mut flowing = Flowing {
        body: flow.watch(body),
        guest: running,
        frames: VecDeque::new(),
        bytes: 0,
    };
    let end = poll_fn(|cx| Poll::Ready(flowing.advance(cx))).await?;
    let body = flowing.into_body(end, (actor, flow, tasks));
    let body = match length {
        Some(length) => check_length(body, length, ErrorCode::HttpResponseBodySize),
        None => body,
    };
    Ok(Ok(Response::from_parts(parts, body)))
}

/// Checks the head of a response, and returns how long its body must be, if it says so.
pub(super) fn checked(parts: &response::Parts, method: &Method) -> Result<Option<u64>, CallError> {
    let status = parts.status;
    if status.is_informational() {
        return Err(failed(&format!(
            "it responded with status {status}, which announces another response; respond with a status from 200 on"
        )));
    }
    expected_length(&parts.headers, method, status).map_err(|_| {
        failed("its response has a `content-length` that isn't one number; set it once, or leave it out")
    })
}

/// Returns the error of a call that the guest did not serve as it should.
pub(super) fn failed(reason: &str) -> CallError {
    CallError::CalleeFailed {
        reason: reason.to_owned(),
    }
}

/// A guest that has set its head.
enum Guest {
    Running(Run),
    Returned(Served),
}

/// A response whose body is on its way.
struct Flowing {
    body: Watched<WasiBody>,
    guest: Guest,
    /// What the guest has written so far.
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
}

/// How much of a body is there.
enum Advanced {
    Whole,
    Broken(ErrorCode),
    More,
}

impl Flowing {
    /// Brings the body on as far as that goes without waiting.
    ///
    /// # Errors
    /// Fails with the error of the guest if it ends now.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<Advanced, CallError> {
        loop {
            let mut has_moved = false;
            while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
                has_moved = true;
                match frame {
                    Some(Ok(frame)) => self.push(frame),
                    Some(Err(error)) => return Ok(Advanced::Broken(code_of_wasi(error))),
                    None => return Ok(Advanced::Whole),
                }
                if self.bytes > AT_ONCE && matches!(self.guest, Guest::Running(_)) {
                    return Ok(Advanced::More);
                }
            }
            let Guest::Running(run) = &mut self.guest else {
                return Ok(Advanced::Broken(unfinished()));
            };
            match run.poll_unpin(cx) {
                Poll::Ready(served) => {
                    if let Err(error) = &served.result {
                        return Err(error.clone());
                    }
                    self.guest = Guest::Returned(served);
                }
                Poll::Pending if has_moved => {}
                Poll::Pending => return Ok(Advanced::More),
            }
        }
    }

    fn push(&mut self, frame: Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        self.frames.push_back(frame);
    }

    fn into_body(
        self,
        advanced: Advanced,
        (actor, flow, tasks): (&HostedActor, Arc<Flow>, &Arc<Tasks>),
    ) -> exchange::Body {
        let limits = actor.context.limits;
        let rest = match (advanced, self.guest) {
            (Advanced::Whole, Guest::Returned(served)) => {
                served.held.is_done();
                Rest::None
            }
            (Advanced::Whole, Guest::Running(run)) => {
                let limit = limits.wall.unwrap_or(limits.kept);
                tasks.spawn(async move {
                    // What is left of it is dropped.
                    let _ = tokio::time::timeout(limit, finish(run)).await;
                });
                Rest::None
            }
            (Advanced::Broken(code), _) => Rest::Broken(code),
            (Advanced::More, Guest::Returned(_)) => Rest::Broken(unfinished()),
            (Advanced::More, Guest::Running(run)) => {
                let task = tasks.spawn(drive(run, flow.clone(), limits.kept));
                let streaming = Streaming {
                    body: self.body,
                    flow,
                    task: Task {
                        handle: task,
                        is_whole: false,
                    },
                    _tasks: tasks.clone(),
                };
                Rest::Flowing(streaming.boxed_unsync())
            }
        };
        parts(self.frames, rest)
    }
}

/// The code of a body whose writer is gone without having ended it.
fn unfinished() -> ErrorCode {
    let reason = "the actor returned without having finished the body of its response; finish it with `outgoing-body.finish`";
    ErrorCode::InternalError(Some(reason.to_owned()))
}

/// Lets a guest go on whose response is whole.
async fn finish(run: Run) {
    let served = run.await;
    if served.result.is_ok() {
        served.held.is_done();
    }
}

/// Runs a guest while its response is read.
async fn drive(mut run: Run, flow: Arc<Flow>, idle: Duration) {
    // However this ends, a body that wasn't read to its end by then isn't whole.
    let _ending = EndOfTask(flow.clone());
    let served = tokio::select! {
        served = &mut run => served,
        reason = flow.idle(idle) => return flow.ended(Err(reason)),
    };
    if let Err(error) = &served.result {
        return flow.ended(Err(failure::loss(error).into()));
    }
    flow.ended(Ok(()));
    // The instance has what isn't read yet.
    tokio::select! {
        () = flow.read_to_end() => served.held.is_done(),
        reason = flow.idle(idle) => flow.ended(Err(reason)),
    }
}

struct EndOfTask(Arc<Flow>);

impl Drop for EndOfTask {
    fn drop(&mut self) {
        self.0.ended(Err("it was stopped".into()));
    }
}

/// What comes after the first parts of a body.
pub(super) enum Rest {
    None,
    Broken(ErrorCode),
    Flowing(exchange::Body),
}

/// Returns a body of parts that are there, and the rest.
pub(super) fn parts(frames: VecDeque<Frame<Bytes>>, rest: Rest) -> exchange::Body {
    Parts { frames, rest }.boxed_unsync()
}

struct Parts {
    frames: VecDeque<Frame<Bytes>>,
    rest: Rest,
}

/// What a guest is still writing.
struct Streaming {
    body: Watched<WasiBody>,
    flow: Arc<Flow>,
    task: Task,
    /// As long as there are bodies, their tasks go on, also when the actor is replaced.
    _tasks: Arc<Tasks>,
}

/// The task of the guest. Dropping it ends the task, unless the body was whole.
struct Task {
    handle: AbortHandle,
    is_whole: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.is_whole {
            self.handle.abort();
        }
    }
}

pub(super) type Next = Option<Result<Frame<Bytes>, ErrorCode>>;

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        if let Some(frame) = this.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let next = match &mut this.rest {
            Rest::None => None,
            Rest::Broken(code) => Some(Err(code.clone())),
            Rest::Flowing(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        if !matches!(next, Some(Ok(_))) {
            this.rest = Rest::None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && matches!(self.rest, Rest::None)
    }
}

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        // Looked at first: when a guest has returned and nothing is there, nothing will come.
        let has_returned = this.flow.end(cx).is_some();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                let code = failure_of(&this.flow, cx).unwrap_or_else(|| code_of_wasi(error));
                Poll::Ready(Some(Err(code)))
            }
            Poll::Pending if !has_returned => Poll::Pending,
            Poll::Pending => {
                let code = failure_of(&this.flow, cx).unwrap_or_else(unfinished);
                Poll::Ready(Some(Err(code)))
            }
            // The guest may have failed since it ended the body.
            Poll::Ready(None) => {
                let failed = failure_of(&this.flow, cx);
                if failed.is_none() {
                    this.task.is_whole = true;
                    this.flow.was_read();
                }
                Poll::Ready(failed.map(Err))
            }
        }
    }
}

/// Returns why a guest failed, if it did.
pub(super) fn failure_of(flow: &Flow, cx: &Context<'_>) -> Option<ErrorCode> {
    let reason = flow.end(cx)?.err()?;
    let reason = format!("the actor ended before its response did: {reason}");
    Some(ErrorCode::InternalError(Some(reason)))
}
