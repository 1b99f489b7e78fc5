//! Calls of plain functions in one kept instance, one after the other.
//!
//! Such a function holds its instance until it returns, so nothing is gained by tasks of the
//! component model, which would be made and dropped with each call.

use super::{
    KeptCall,
    driver::Driver,
    home::{Job, Reply},
    prepared::{Prepared, answer, finish, prepare},
};
use crate::{
    guest::{active_calls::ActiveCalls, code::ByFunction, instance::Instance, state::Guest},
    transcode::BoundExport,
};
use std::collections::hash_map::Entry;
use tokio::sync::mpsc;
use wasmtime::AsContextMut as _;

impl Driver {
    /// Serves calls and drops resources until the guest traps.
    pub(super) async fn serve_in_turn(
        &self,
        instance: &mut Instance,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> wasmtime::Error {
        let mut functions = ByFunction::default();
        loop {
            let done = match inbox.recv().await {
                Some(Job::Call(call)) => self.serve_one(instance, &mut functions, *call).await,
                Some(Job::Drop(id)) => match self.dropped(instance, id).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(wasmtime::Error::msg("a resource is lent to no call")),
                    Err(error) => Err(error),
                },
                // The home has a sender.
                None => std::future::pending().await,
            };
            if let Err(error) = done {
                return error;
            }
            self.has_begun().await;
        }
    }

    /// Serves a call, and replies to it.
    async fn serve_one(
        &self,
        instance: &mut Instance,
        functions: &mut ByFunction<BoundExport<Guest>>,
        (call, reply): (KeptCall, Reply),
    ) -> wasmtime::Result<()> {
        if reply.is_closed() {
            return Ok(());
        }
        let Some(exported) = self.actor.code.functions.get(&call.function) else {
            return Ok(());
        };
        let bound = match functions.entry(call.function) {
            Entry::Occupied(bound) => bound.into_mut(),
            Entry::Vacant(place) => place.insert(instance.bind(exported)?),
        };
        let KeptCall {
            id,
            arguments,
            handles,
            places,
            context,
            ..
        } = call;
        let plan = exported.function.plan();
        let prepared = prepare(instance.store.as_context_mut(), plan, handles, &places)?;
        let Prepared { handles, lent } = match prepared {
            Ok(prepared) => prepared,
            Err(refused) => {
                // Nothing has run. The caller may be gone.
                let _ = reply.send(Err(refused));
                return Ok(());
            }
        };
        instance.serve(ActiveCalls::one_of_many(id, context));
        let usage = instance.usage.clone();
        let result = usage.run(bound.pass(&mut instance.store, arguments, handles));
        let result = self.attended(result).await;
        let body = finish(instance.store.as_context_mut(), lent, result);
        answer(reply, body, instance.store.data())
    }
}
