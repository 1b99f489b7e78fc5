//! Calls that overlap in one kept instance, each as a task of its store.
//!
//! A destructor needs the whole store, which isn't to be had inside `run_concurrent`. So the driver
//! leaves it for each resource that is dropped, and enters it again. The calls go on.

use super::{
    KeptCall,
    driver::Driver,
    home::{Job, Reply},
    prepared::{Prepared, answer, finish, prepare},
};
use crate::{
    guest::{HostedActor, code::ByFunction, instance::Instance, state::Guest},
    transcode::{BoundExport, FunctionPlan},
};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use wasmtime::{
    AsContextMut as _,
    component::{Accessor, AccessorTask},
};

/// Why the guest was left.
enum Left {
    /// To drop a resource.
    ToDrop(u64),
    /// To drop those that were lent to a call that has ended.
    CallEnded,
}

impl Driver {
    /// Serves calls and drops resources until the guest traps.
    pub(super) async fn serve_overlapping(
        &self,
        instance: &mut Instance,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> wasmtime::Error {
        let mut functions = Functions {
            actor: self.actor.clone(),
            instance: instance.inner,
            bound: ByFunction::default(),
            call_ended: Arc::default(),
        };
        let mut lent = Vec::new();
        loop {
            let has_lent = !lent.is_empty();
            let serve = async |accessor: &Accessor<Guest>| {
                let call_ended = functions.call_ended.clone();
                loop {
                    tokio::select! {
                        biased;
                        () = call_ended.notified(), if has_lent => return Ok(Left::CallEnded),
                        job = inbox.recv() => match job {
                            Some(Job::Call(call)) => {
                                functions.begin(accessor, *call)?;
                                self.has_begun().await;
                            }
                            Some(Job::Drop(id)) => return Ok(Left::ToDrop(id)),
                            // The home has a sender.
                            None => std::future::pending().await,
                        }
                    }
                }
            };
            let usage = instance.usage.clone();
            let run = self.attended(usage.run(instance.store.run_concurrent(serve)));
            match run.await {
                Ok(Ok(Left::ToDrop(id))) => lent.push(id),
                Ok(Ok(Left::CallEnded)) => {}
                Ok(Err(error)) | Err(error) => return error,
            }
            for id in std::mem::take(&mut lent) {
                match self.dropped(instance, id).await {
                    Ok(true) => {}
                    Ok(false) => lent.push(id),
                    Err(error) => return error,
                }
            }
        }
    }
}

/// The functions of an instance that have been called in it.
struct Functions {
    actor: Arc<HostedActor>,
    instance: wasmtime::component::Instance,
    bound: ByFunction<Arc<BoundExport<Guest>>>,
    call_ended: Arc<Notify>,
}

impl Functions {
    /// Begins a call, as a task of the store.
    fn begin(
        &mut self,
        accessor: &Accessor<Guest>,
        (call, reply): (KeptCall, Reply),
    ) -> wasmtime::Result<()> {
        if reply.is_closed() {
            return Ok(());
        }
        let Some(exported) = self.actor.code.functions.get(&call.function) else {
            return Ok(());
        };
        let bound = if let Some(bound) = self.bound.get(&call.function) {
            bound.clone()
        } else {
            let bound = accessor.with(|mut store| {
                let found = self
                    .instance
                    .get_func(store.as_context_mut(), exported.index);
                let found = found.ok_or_else(|| {
                    wasmtime::Error::msg("an export of the component is not in its instance")
                })?;
                exported.function.bind(store.as_context_mut(), found)
            })?;
            let bound = Arc::new(bound);
            self.bound.insert(call.function, bound.clone());
            bound
        };
        accessor.spawn(Serve {
            plan: exported.function.plan().clone(),
            bound,
            call,
            reply,
            ended: self.call_ended.clone(),
        })?;
        Ok(())
    }
}

/// A call, as a task of the store.
struct Serve {
    plan: Arc<FunctionPlan>,
    bound: Arc<BoundExport<Guest>>,
    call: KeptCall,
    reply: Reply,
    ended: Arc<Notify>,
}

impl AccessorTask<Guest> for Serve {
    async fn run(self, accessor: &Accessor<Guest>) -> wasmtime::Result<()> {
        let Self {
            plan,
            bound,
            call,
            reply,
            ended,
        } = self;
        let KeptCall {
            id,
            arguments,
            handles,
            places,
            context,
            ..
        } = call;
        let prepared =
            accessor.with(|mut store| prepare(store.as_context_mut(), &plan, handles, &places));
        let Prepared { handles, lent } = match prepared? {
            Ok(prepared) => prepared,
            Err(refused) => {
                // Nothing has run. The caller may be gone.
                let _ = reply.send(Err(refused));
                return Ok(());
            }
        };
        let (task, running) = bound.start(accessor, arguments, handles)?;
        accessor.with(|mut store| store.data_mut().begin(task, id, context));
        let result = running.await;
        let body = accessor.with(|mut store| {
            store.data_mut().finish(task);
            finish(store.as_context_mut(), lent, result)
        });
        ended.notify_one();
        accessor.with(|mut store| answer(reply, body, store.data_mut()))
    }
}
