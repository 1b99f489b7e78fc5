//! The task that drives one instance with many calls in it.
//!
//! Everything that waits for time is outside of `run_concurrent`, because nothing inside it is
//! polled while the guest blocks its store.

use super::handle::{CallReply, InstanceEnd, InstanceHandle, InstanceState, QueuedCall};
use crate::{
    engine::Tenant,
    guest::{
        HostedActor, active_calls::ActiveCalls, code::ByFunction, failure, instance::Instance,
        settings::Instances, state::Guest,
    },
    transcode::BoundExport,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use lattice_core::call::{CallError, Context};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Accessor;

/// How long the calls of a retired instance may continue.
const DRAIN: Duration = Duration::from_secs(1);

/// Starts an instance. Its first call, which has this context, may be sent immediately.
pub(super) fn start(
    actor: Arc<HostedActor>,
    context: Context,
    idle: Duration,
) -> Arc<InstanceHandle> {
    // All concurrent calls of an actor may go to one instance.
    let (queue, inbox) = mpsc::channel(actor.context.limits.concurrent.get());
    let state = Arc::new(InstanceState::new());
    let driver = tokio::spawn(drive(actor.clone(), context, inbox, state.clone(), idle));
    let driver = AbortOnDropHandle::new(driver);
    InstanceHandle::new(actor, queue, state, driver)
}

/// Records that the instance ended, however the task ends.
struct EndGuard<'s>(&'s InstanceState, &'s HostedActor);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let reason = "it was stopped".to_owned();
        self.0.ended(InstanceEnd::Failed {
            component: self.1.context.id.clone(),
            reason,
            is_crash: false,
            culprit: None,
        });
    }
}

async fn started(actor: &HostedActor, context: Context) -> Result<Instance, CallError> {
    // Calls of others go to the instance too, so that it is in no chain of calls.
    let mut context = context.outlived();
    let place = actor.place(&mut context).await?;
    Instance::start(actor, place, &context, |_| ActiveCalls::concurrent(), None).await
}

async fn drive(
    actor: Arc<HostedActor>,
    context: Context,
    mut inbox: mpsc::Receiver<QueuedCall>,
    state: Arc<InstanceState>,
    idle: Duration,
) {
    let _ending = EndGuard(&state, &actor);
    let mut instance = match started(&actor, context).await {
        Ok(instance) => instance,
        Err(error) => return state.ended(InstanceEnd::NotStarted(error)),
    };
    let functions = match bind_all(&actor, &mut instance) {
        Ok(functions) => functions,
        Err(error) => return state.ended(InstanceEnd::NotStarted(error)),
    };
    instance.serve_many();
    let usage = instance.usage.clone();
    let result = {
        let serve = async |accessor: &Accessor<Guest>| {
            serve(accessor, &functions, &mut inbox, (&state, &actor.tenant)).await;
        };
        let run = usage.run(instance.store.run_concurrent(serve));
        tokio::select! {
            result = run => Some(result),
            () = retire(&state, &actor.tenant, idle) => None,
        }
    };
    let component = actor.context.id.clone();
    let end = match result {
        Some(Ok(())) => InstanceEnd::Failed {
            component,
            reason: "it was retired".to_owned(),
            is_crash: false,
            culprit: None,
        },
        Some(Err(error)) => {
            let error = instance.failure(&error);
            InstanceEnd::Failed {
                component,
                reason: failure::loss(&error),
                is_crash: true,
                culprit: instance.running_call().map(|call| (call, error)),
            }
        }
        None => InstanceEnd::Failed {
            component,
            reason: format!("calls were still running {DRAIN:?} after it was retired"),
            is_crash: false,
            culprit: None,
        },
    };
    drop(instance);
    state.ended(end);
}

fn bind_all(
    actor: &HostedActor,
    instance: &mut Instance,
) -> Result<ByFunction<BoundExport<Guest>>, CallError> {
    let mut functions = ByFunction::default();
    for (key, exported) in &actor.code.functions {
        let bound = instance
            .bind(exported)
            .map_err(|error| instance.failure(&error))?;
        functions.insert(*key, bound);
    }
    Ok(functions)
}

/// Retires the instance when it has been idle for `idle`, or is idle while calls wait for its room,
/// and ends it when it has been retired for [`DRAIN`].
async fn retire(state: &InstanceState, tenant: &Tenant, idle: Duration) {
    let idle = idle.max(Instances::SHORTEST_IDLE);
    loop {
        let (retired, pressed) = (state.retire.notified(), tenant.pressed());
        let unused = state.unused.notified();
        if state.is_retired() {
            break;
        }
        let before = state.started();
        let is_unused = || before > 0 && state.load() == 0 && state.started() == before;
        if tenant.is_pressed() && is_unused() {
            state.retire();
            break;
        }
        let waited = async {
            tokio::select! {
                () = retired => {}
                () = pressed => {}
                () = unused => {}
            }
        };
        if tokio::time::timeout(idle, waited).await.is_err() && is_unused() {
            state.retire();
        }
    }
    tokio::time::sleep(DRAIN).await;
}

/// Starts calls as they arrive and replies as they end, until the instance is retired and empty.
async fn serve(
    accessor: &Accessor<Guest>,
    functions: &ByFunction<BoundExport<Guest>>,
    inbox: &mut mpsc::Receiver<QueuedCall>,
    (state, tenant): (&InstanceState, &Tenant),
) {
    let mut running = FuturesUnordered::new();
    loop {
        let retired = state.retire.notified();
        if state.is_retired() {
            break;
        }
        tokio::select! {
            Some(()) = running.next() => {}
            queued = inbox.recv() => match queued {
                Some(queued) => running.extend(begin(accessor, functions, queued, (state, tenant))),
                None => break,
            },
            () = retired => {}
        }
    }
    inbox.close();
    while let Ok(queued) = inbox.try_recv() {
        // The caller may be gone.
        let _ = queued.reply.send(CallReply::NotTaken);
    }
    while running.next().await.is_some() {}
}

/// Starts one call. The returned future sends its reply.
fn begin<'a>(
    accessor: &'a Accessor<Guest>,
    functions: &ByFunction<BoundExport<Guest>>,
    queued: QueuedCall,
    (state, tenant): (&'a InstanceState, &'a Tenant),
) -> Option<impl Future<Output = ()> + Send + 'a> {
    let QueuedCall {
        id,
        call,
        begun,
        reply,
    } = queued;
    begun.store(true, Ordering::Release);
    if reply.is_closed() {
        return None;
    }
    let started = functions
        .get(&call.function)?
        .start(accessor, call.arguments, Vec::new());
    let (task, running) = match started {
        Ok(started) => started,
        Err(error) => {
            let reason = format!("the call could not be started: {error:#}");
            // The caller may be gone.
            let _ = reply.send(CallReply::Done(Err(CallError::CalleeFailed { reason })));
            return None;
        }
    };
    accessor.with(|mut store| {
        store.data_mut().begin(task, id, call.context);
    });
    Some(async move {
        let result = running.await;
        let outcome = accessor.with(|mut store| {
            let guest = store.data_mut();
            guest.finish(task);
            if guest.limiter.is_bloated() {
                state.retire();
            }
            let result = result.map(|result| result.wire);
            result.map_err(|error| failure::call_error(&error, guest))
        });
        // This call is the last one.
        if state.load() <= 1 && tenant.is_pressed() {
            state.retire();
        }
        // The caller may be gone.
        let _ = reply.send(CallReply::Done(outcome));
    })
}
