//! The task that drives one instance with many requests in it.
//!
//! Everything that waits for time is outside of `run_concurrent`, because nothing inside it is
//! polled while the guest blocks its store.

use super::{
    super::{
        HttpExport,
        flow::{Flow, Unread},
    },
    instance::{Answer, Answered, Collected, End, Job, Queued, Rest, SharedInstance, State},
};
use crate::{
    engine::Tenant,
    guest::{
        Guest, HostedActor, Instances, active_calls::ActiveCalls, aside::Aside, failure,
        instance::Instance,
    },
    http::exchange::wasi_of_code,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{Request, header, response, uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use lattice_core::call::{CallError, Context};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::{
    AsContextMut as _,
    component::{Accessor, GuestTaskId, Resource},
};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView,
    p3::{
        self,
        bindings::{Service, http::types::ErrorCode},
    },
};

/// Most bytes of a body that are collected with the head.
const AT_ONCE: usize = 16 << 10;
/// How often the guest may go on after the head, so that a small body is whole with it.
const TURNS: usize = 3;

/// Starts an instance, which serves so many requests, and is kept unused for so long. Its first
/// request, which has this context, may be sent immediately.
pub(super) fn start(
    actor: &Arc<HostedActor>,
    context: Context,
    (in_all, idle): (u64, Duration),
) -> Arc<SharedInstance> {
    let (jobs, inbox) = mpsc::unbounded_channel();
    let state = Arc::<State>::default();
    let driver = Driver {
        actor: actor.clone(),
        state: state.clone(),
        in_all,
        idle: idle.max(Instances::SHORTEST_IDLE),
    };
    let driver = AbortOnDropHandle::new(tokio::spawn(driver.run(inbox, context)));
    SharedInstance::new(jobs, state, driver)
}

struct Driver {
    actor: Arc<HostedActor>,
    state: Arc<State>,
    in_all: u64,
    idle: Duration,
}

/// Records that the instance ended, however its task ends.
impl Drop for Driver {
    fn drop(&mut self) {
        self.state.ended(failed("it was stopped"));
    }
}

fn failed(reason: &str) -> End {
    End::Failed {
        reason: reason.into(),
        culprit: None,
    }
}

impl Driver {
    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Queued>, context: Context) {
        let (mut instance, service) = match self.started(context).await {
            Ok(started) => started,
            Err(error) => return self.state.ended(End::NotStarted(error)),
        };
        let usage = instance.usage.clone();
        let result = {
            let serve = async |accessor: &Accessor<Guest>| {
                serve(accessor, &service, &mut inbox, &self.state).await
            };
            let run = usage.run(instance.store.run_concurrent(serve));
            let over = pin!(self.over());
            tokio::select! {
                result = run => result.flatten(),
                () = Aside::new(over) => Ok(()),
            }
        };
        let end = match result {
            Ok(()) => failed("it was retired"),
            Err(error) => {
                let error = instance.failure(&error);
                End::Failed {
                    reason: failure::loss(&error).into(),
                    culprit: instance.culprit().map(|call| (call, error)),
                }
            }
        };
        // Recorded before the store is dropped, which seems to end the bodies that it writes.
        self.state.ended(end);
        drop(instance);
    }

    async fn started(&self, context: Context) -> Result<(Instance, Service), CallError> {
        // Requests of others go to the instance too, so that it is in no chain of calls.
        let mut context = context.outlived();
        let place = self.actor.place(&mut context).await?;
        let calls = |_| ActiveCalls::concurrent();
        let mut instance = Instance::start(&self.actor, place, &context, calls, None).await?;
        let export = self.actor.code.http.as_ref().map(|http| &http.export);
        let Some(HttpExport::Handler(export)) = export else {
            return Err(super::super::response::failed("it doesn't serve HTTP"));
        };
        let service = export.load(&mut instance.store, &instance.inner);
        let service = service.map_err(|error| instance.failure(&error))?;
        instance.serve_many();
        Ok((instance, service))
    }

    /// Retires the instance when it is used up, or unused for long, or while calls wait for its
    /// room. Returns when the guest has then gone on for as long as a call may take.
    async fn over(&self) {
        let tenant: &Tenant = &self.actor.tenant;
        let state = &self.state;
        while !state.is_retired() {
            let (retired, pressed) = (state.retired.notified(), tenant.pressed());
            let before = state.started();
            let is_unused = || before > 0 && state.load() == 0 && state.started() == before;
            if is_unused() && (before >= self.in_all || tenant.is_pressed()) {
                state.retire();
            }
            if state.is_retired() {
                break;
            }
            let changed = async {
                tokio::select! {
                    () = retired => {}
                    () = pressed => {}
                    () = state.unused.notified() => {}
                }
            };
            if tokio::time::timeout(self.idle, changed).await.is_err() && is_unused() {
                state.retire();
            }
        }
        while state.load() > 0 {
            // Each of them has its own limits.
            state.unused.notified().await;
        }
        let limits = &self.actor.context.limits;
        tokio::time::sleep(limits.wall.unwrap_or(limits.kept)).await;
    }
}

/// Starts requests as they arrive and replies as there are heads of responses, until the instance
/// is retired and nothing is left to do.
async fn serve(
    accessor: &Accessor<Guest>,
    service: &Service,
    inbox: &mut mpsc::UnboundedReceiver<Queued>,
    state: &State,
) -> wasmtime::Result<()> {
    let mut running = FuturesUnordered::new();
    while !state.is_retired() {
        let retired = state.retired.notified();
        if state.is_retired() {
            break;
        }
        tokio::select! {
            Some(ended) = running.next() => ended?,
            queued = inbox.recv() => match queued {
                Some(queued) => running.push(request(accessor, service, queued, state)),
                None => break,
            },
            () = retired => {}
        }
    }
    inbox.close();
    while let Ok(queued) = inbox.try_recv() {
        let back = Answer::NotTaken(Box::new(queued.job));
        // The caller may be gone.
        let _ = queued.reply.send(back);
    }
    while let Some(ended) = running.next().await {
        ended?;
    }
    if !state.is_abandoned() {
        // What the guest still does after its responses.
        poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
    }
    Ok(())
}

/// Serves a request, until its bodies are over.
///
/// # Errors
/// Fails when the instance can't be used any more.
async fn request(
    accessor: &Accessor<Guest>,
    service: &Service,
    queued: Queued,
    state: &State,
) -> wasmtime::Result<()> {
    let Queued {
        id,
        job,
        begun,
        mut reply,
    } = queued;
    begun.store(true, Ordering::Release);
    if reply.is_closed() {
        return Ok(());
    }
    let flow = job.flow.clone();
    state.begins(id, flow.clone());
    let (task, call) = begin(accessor, service, (id, job))?;
    let handle = service.wasi_http_handler().func_handle();
    let answered = tokio::select! {
        answered = handle.finish_call_concurrent(accessor, call) => answered?.0,
        () = reply.closed() => {
            state.is_over(id);
            state.abandon();
            return Ok(());
        }
    };
    let answered = match answered {
        Ok(response) => Ok(respond(accessor, response, &flow).await?),
        Err(code) => Err(code.into()),
    };
    let is_flowing =
        matches!(&answered, Ok((_, collected)) if matches!(collected.rest, Rest::Flowing(..)));
    let is_bloated = send(reply, answered, accessor);
    if is_bloated {
        state.retire();
    }
    if is_flowing {
        flow.read_to_end().await;
    }
    state.is_over(id);
    accessor.with(|mut store| {
        let guest = store.data_mut();
        if let ActiveCalls::Concurrent(calls) = &mut guest.calls {
            calls.finish_call(task, id);
        }
        guest.limiter.forget_denied();
    });
    Ok(())
}

/// Sends the head of a response. Returns whether the instance has too much memory to be reused.
fn send(reply: oneshot::Sender<Answer>, answered: Answered, accessor: &Accessor<Guest>) -> bool {
    // If the caller is gone, the body is dropped, and the guest sees that.
    let _ = reply.send(Answer::Done(Box::new(Ok(answered))));
    accessor.with(|mut store| store.data_mut().limiter.is_bloated())
}

type Call = wasmtime::component::TypedFuncCallConcurrent<
    Guest,
    (Resource<p3::Request>,),
    (Result<Resource<p3::Response>, ErrorCode>,),
>;

/// Passes a request to the guest, which runs when the event loop of its store next does.
fn begin(
    accessor: &Accessor<Guest>,
    service: &Service,
    (id, job): (u64, Job),
) -> wasmtime::Result<(GuestTaskId, Call)> {
    let Job {
        request,
        context,
        flow,
    } = job;
    let authority = authority(&request);
    let request = request.map(|body| flow.watch(body.map_err(wasi_of_code).boxed_unsync()));
    accessor.with(|mut store| {
        let http = store.data_mut().http();
        let (mut request, processed) = p3::Request::from_http(http.hooks, request);
        // It tells whether the guest could read the request.
        drop(processed);
        request.authority = authority;
        let request = http.table.push(request)?;
        let handle = service.wasi_http_handler().func_handle();
        let call = handle.start_call_concurrent(store.as_context_mut(), (request,))?;
        let task = call.task();
        let guest = store.data_mut();
        guest.begin(task, id, context);
        if let ActiveCalls::Concurrent(calls) = &mut guest.calls {
            calls.renewed_by(task, flow.renewal().clone());
        }
        Ok((task, call))
    })
}

/// Returns the authority that a request is for.
fn authority<B>(request: &Request<B>) -> Option<uri::Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let host = request.headers().get(header::HOST)?;
    uri::Authority::try_from(host.as_bytes()).ok()
}

/// Takes the response of the guest, with as much of its body as the guest writes without waiting.
async fn respond(
    accessor: &Accessor<Guest>,
    response: Resource<p3::Response>,
    flow: &Arc<Flow>,
) -> wasmtime::Result<(response::Parts, Collected)> {
    let response = accessor.with(|mut store| {
        let guest = store.data_mut();
        let written = guest.written_bodies();
        let response = guest.http().table.delete(response)?;
        let response = response.into_http(store.as_context_mut(), async { Ok(()) })?;
        Ok::<_, wasmtime::Error>(response.map(|body| written.watch(body)))
    })?;
    let (head, body) = response.into_parts();
    Ok((head, collect(body, flow).await))
}

async fn collect(mut body: WasiBody, flow: &Arc<Flow>) -> Collected {
    let (mut frames, mut bytes) = (VecDeque::new(), 0);
    let mut turns = 0;
    let rest = loop {
        let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        match next {
            Poll::Ready(None) => break Rest::None,
            Poll::Ready(Some(Err(error))) => break Rest::Broken(error),
            Poll::Ready(Some(Ok(frame))) => {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                frames.push_back(frame);
                if bytes > AT_ONCE {
                    break Rest::Flowing(body, Unread(flow.clone()));
                }
            }
            Poll::Pending if turns < TURNS => {
                turns += 1;
                tokio::task::yield_now().await;
            }
            Poll::Pending => break Rest::Flowing(body, Unread(flow.clone())),
        }
    };
    Collected { frames, rest }
}
