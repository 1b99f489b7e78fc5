//! An admitted call: it begins, goes on as far as it can at once, and is then waited for.
//!
//! Most calls end before they wait for anything. For those, nothing is set up to end a wait, and
//! the clock is read once.

use super::{component::RunningComponent, failures::Caller, meter::CallTimer, waiting::Ended};
use crate::{
    auth::{SealedToken, TokenScope},
    call::{CallError, Context, Ran, Turn},
    panic::panic_text,
    serve::{Answer, Request},
    stream::Body,
    trace::{self, CallSpan},
    value::from_bytes,
    wire::FunctionKey,
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use std::{
    any::Any,
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{self, Poll},
};
use tokio::time::Instant;

/// How a call ended.
pub(crate) type Outcome = Result<Body, CallError>;

/// How far a call got without waiting.
pub(crate) enum Progress {
    /// To its end.
    Done(Outcome),
    /// The service takes time.
    Running(RunningCall),
    /// The call has to wait for its link or its turn first.
    Waiting(Box<(Request, CallTimer)>),
}

/// A call that the service works on.
pub(crate) struct RunningCall {
    /// `None` when it is done.
    work: Option<Work>,
    /// Whether the work was polled, and the task that waits for it next is woken by it.
    is_polled: bool,
    function: FunctionKey,
    caller: Caller,
    context: Context,
    timer: CallTimer,
    _turn: Turn,
}

/// The work of a service on one call.
enum Work {
    Plain(BoxFuture<'static, Result<Bytes, CallError>>),
    Passing(BoxFuture<'static, Outcome>),
}

impl Future for Work {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Outcome> {
        match self.get_mut() {
            Self::Plain(work) => work.poll_unpin(cx).map_ok(Body::from),
            Self::Passing(work) => work.poll_unpin(cx),
        }
    }
}

impl RunningCall {
    /// Polls the work as part of the call, and drops it when it is done.
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Outcome> {
        let (work, context) = (&mut self.work, self.context);
        let poll = || {
            context.enter(|| {
                let polled = match work {
                    Some(work) => work.poll_unpin(cx),
                    None => Poll::Pending,
                };
                if polled.is_ready() {
                    *work = None;
                }
                polled
            })
        };
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(Err(panicked(panic))),
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            // In the destructors of a thread there may be no context any more.
            let dropped = AssertUnwindSafe(|| self.context.enter(|| drop(work)));
            if catch_unwind(dropped).is_err() {
                tracing::error!("a service panicked when its call was dropped");
            }
        }
    }
}

impl RunningComponent {
    /// Runs an admitted call: waits for its link and its turn, then for the service, all by the
    /// deadline. If the call is sampled, it does so within a span.
    pub(crate) async fn run(&self, mut request: Request, now: Instant) -> Outcome {
        if trace::is_sampled_of(&request.source, &mut request.context) {
            return Box::pin(self.run_sampled(request, now)).await;
        }
        self.run_through(request, now).await
    }

    /// As [`run`](Self::run), for a call of which it was decided that it is sampled. To ask again
    /// would be a second decision, if a trace starts with it.
    pub(crate) async fn run_sampled(&self, mut request: Request, now: Instant) -> Outcome {
        let Some(method) = self.exports.method_of(request.function) else {
            return self.run_through(request, now).await;
        };
        let between = (&request.source, &self.id);
        let span = CallSpan::server(between, method, &mut request.context);
        span.run(self.run_through(request, now)).await
    }

    async fn run_through(&self, request: Request, now: Instant) -> Outcome {
        let mut progress = self.begin(request, now);
        self.advance(&mut progress, now).await;
        self.finish(progress).await
    }

    /// Runs an admitted call as far as it goes without waiting.
    pub(crate) fn begin(&self, mut request: Request, now: Instant) -> Progress {
        let (is_open, over) = match &request.link {
            Some(link) => self.links.look_up(link),
            None => (true, None),
        };
        let mut timer = self.meter.call(now, request.function, over);
        if now >= request.context.deadline {
            let late = Err(CallError::DeadlineExceeded { ran: Ran::No });
            let ended = self.meter.end(&timer, late);
            let call = (&Caller::of(&request), request.function);
            return Progress::Done(self.noted(call, &timer, ended));
        }
        let turn = is_open
            .then(|| self.queue().try_turn(&mut request.context))
            .flatten();
        let Some(turn) = turn else {
            timer.waits();
            return Progress::Waiting(Box::new((request, timer)));
        };
        let is_timed = timer.is_timed();
        let progress = self.start(request, timer, turn);
        if is_timed && matches!(progress, Progress::Done(_)) {
            self.blocking.noticed(&self.id, now.elapsed());
        }
        progress
    }

    /// Lets a call that has begun at `began` go on as far as it can without waiting. Afterwards,
    /// the same task has to [finish](Self::finish) it at once.
    pub(crate) async fn advance(&self, progress: &mut Progress, began: Instant) {
        let Progress::Running(call) = progress else {
            return;
        };
        let polled = poll_fn(|cx| Poll::Ready(call.poll(cx))).await;
        let now = Instant::now();
        self.blocking.noticed(&self.id, now.duration_since(began));
        match polled {
            Poll::Ready(result) => {
                let result = self.result_of(call, result);
                let ended = self.meter.end_at(&call.timer, now, result);
                let noted = self.noted((&call.caller, call.function), &call.timer, ended);
                *progress = Progress::Done(noted);
            }
            Poll::Pending => call.is_polled = true,
        }
    }

    /// Brings a call that has begun to its end.
    pub(crate) async fn finish(&self, progress: Progress) -> Outcome {
        match progress {
            Progress::Done(result) => result,
            Progress::Running(call) => self.wait_for(call).await,
            Progress::Waiting(waiting) => {
                let (request, timer) = *waiting;
                Box::pin(self.wait_and_run(request, timer)).await
            }
        }
    }

    async fn wait_and_run(&self, mut request: Request, mut timer: CallTimer) -> Outcome {
        let deadline = request.context.deadline;
        let waits = async {
            // Before its turn, so that a link which its provider is slow to accept doesn't delay
            // other calls.
            if let Some(link) = &request.link {
                let offered = self.links.offered(link, deadline).await?;
                // Before the service decides, because the caller may give the call up meanwhile.
                timer.goes_over(offered.calls());
                offered.pass(deadline).await?;
            }
            self.queue().turn(&self.id, &mut request.context).await
        };
        let turn = match self.queue().waiting().until(deadline, waits).await {
            Ok(turn) => turn,
            Err(Ended::Late) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
            Err(Ended::CutOff) => Err(self.stopping()),
        };
        match turn {
            Ok(turn) => {
                let began = Instant::now();
                let progress = self.start(request, timer, turn);
                self.blocking.noticed(&self.id, began.elapsed());
                match progress {
                    Progress::Running(call) => self.wait_for(call).await,
                    progress => self.finish(progress).await,
                }
            }
            Err(error) => {
                let ended = self.meter.end(&timer, Err(error));
                let call = (&Caller::of(&request), request.function);
                self.noted(call, &timer, ended)
            }
        }
    }

    fn start(&self, request: Request, timer: CallTimer, turn: Turn) -> Progress {
        let (function, context) = (request.function, request.context);
        let caller = Caller::of(&request);
        let call = || context.enter(|| self.pass_on(request));
        let work = match catch_unwind(AssertUnwindSafe(call)).map_err(panicked) {
            Ok(Answer::Ready(result)) => {
                let result = self.checked(result.map(Body::from), caller.link());
                let ended = self.meter.end(&timer, result);
                return Progress::Done(self.noted((&caller, function), &timer, ended));
            }
            Ok(Answer::Later(work)) => Work::Plain(work),
            Ok(Answer::Passing(work)) => Work::Passing(work),
            Err(error) => {
                let ended = self.meter.end(&timer, Err(error));
                return Progress::Done(self.noted((&caller, function), &timer, ended));
            }
        };
        Progress::Running(RunningCall {
            work: Some(work),
            is_polled: false,
            function,
            caller,
            context,
            timer,
            _turn: turn,
        })
    }

    /// Passes a call to the service.
    fn pass_on(&self, mut request: Request) -> Answer {
        if !self.exports.restoring.contains(&request.function) {
            return self.service().call(request);
        }
        match self.opened(&request) {
            Ok((resource, token)) => {
                request.args = token;
                self.service().restore(&resource, request)
            }
            Err(error) => Answer::Ready(Err(error)),
        }
    }

    /// Returns the type of the portable resource that a call wants made anew, and its token, if
    /// that is bound to this component and to the caller.
    fn opened(&self, request: &Request) -> Result<(String, Bytes), CallError> {
        let (resource, sealed): (String, SealedToken) =
            from_bytes(&request.args).map_err(|error| CallError::BadArguments {
                reason: error.to_string(),
            })?;
        let scope = TokenScope {
            component: &request.component,
            resource: &resource,
            holder: Some(&request.source),
        };
        match self.auth.open_token(scope, &sealed) {
            Ok(token) => Ok((resource, token)),
            Err(error) => Err(CallError::StaleHandle {
                resource,
                reason: error.to_string(),
                is_lost: false,
            }),
        }
    }

    /// Waits for the service, until the deadline or until the component is cut off.
    async fn wait_for(&self, mut call: RunningCall) -> Outcome {
        call.timer.waits();
        let (deadline, mut is_polled) = (call.context.deadline, call.is_polled);
        let mut polled_at = None;
        let work = poll_fn(|cx| {
            if mem::take(&mut is_polled) {
                return Poll::Pending;
            }
            let start = Instant::now();
            let polled = call.poll(cx);
            let now = Instant::now();
            self.blocking.noticed(&self.id, now.duration_since(start));
            polled_at = Some(now);
            polled
        });
        let result = match self.queue().waiting().until(deadline, work).await {
            Ok(result) => {
                let result = self.result_of(&call, result);
                let now = polled_at.unwrap_or_else(Instant::now);
                let ended = self.meter.end_at(&call.timer, now, result);
                return self.noted((&call.caller, call.function), &call.timer, ended);
            }
            Err(Ended::Late) => CallError::DeadlineExceeded { ran: Ran::Maybe },
            Err(Ended::CutOff) => CallError::InstanceLost {
                reason: "it was taken out of service".to_owned(),
            },
        };
        let ended = self.meter.end(&call.timer, Err(result));
        self.noted((&call.caller, call.function), &call.timer, ended)
    }

    fn result_of(&self, call: &RunningCall, result: Outcome) -> Outcome {
        let result = self.checked(result, call.caller.link())?;
        self.with_places(call.function, result)
    }

    /// Keeps a call that has failed, and returns its outcome.
    #[inline]
    fn noted(&self, call: (&Caller, FunctionKey), timer: &CallTimer, outcome: Outcome) -> Outcome {
        if let Err(error) = &outcome {
            let failures = &self.meter.failures;
            failures.keep(call, error, timer.began().elapsed());
        }
        outcome
    }
}

/// The error of a call whose callee panicked. Shortened, because a chain of calls in which each
/// callee panics with the error of the next would make a reason that doubles with each hop.
fn panicked(panic: Box<dyn Any + Send>) -> CallError {
    let reason = format!("it panicked: {}", panic_text(&*panic));
    CallError::CalleeFailed { reason }.shortened()
}

#[cfg(test)]
mod tests;
