//! Puts what a call passes into the store of the instance that serves it, and takes what it returns
//! out of it.

use super::home::Reply;
use crate::{
    guest::{failure, handles::LentToCall, state::Guest},
    transcode::{FunctionPlan, Lifted, Places, RawHandle, take_out},
};
use lattice_core::{
    call::CallError,
    stream::{Body, Handles},
};
use wasmtime::{AsContextMut as _, StoreContextMut};

/// The handles of a call, in the store.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) handles: Vec<RawHandle>,
    /// What was lent with them.
    pub(super) lent: Option<LentToCall>,
}

/// Puts the handles of a call into the store, once all of them are known to be usable.
pub(super) fn prepare(
    mut store: StoreContextMut<'_, Guest>,
    plan: &FunctionPlan,
    handles: Handles,
    places: &Places,
) -> wasmtime::Result<Result<Prepared, CallError>> {
    if handles.is_empty() {
        return Ok(Ok(Prepared::default()));
    }
    let table = store.data_mut().handles()?;
    for (resource, ty, is_given) in plan.own_resources(&handles, places) {
        if let Err(stale) = table.check(resource, ty, is_given) {
            return Ok(Err(resource.stale(&stale)));
        }
    }
    let handles = plan.put_in(store.as_context_mut(), (handles, places))?;
    let lent = Some(store.data_mut().handles()?.take_lent());
    Ok(Ok(Prepared { handles, lent }))
}

/// Takes back what was lent to a call that has ended, and its result out of the store.
pub(super) fn finish(
    mut store: StoreContextMut<'_, Guest>,
    lent: Option<LentToCall>,
    result: wasmtime::Result<Lifted>,
) -> wasmtime::Result<Body> {
    if let Some(lent) = lent {
        store.data_mut().handles()?.take_back(lent);
    }
    let Lifted { wire, handles } = result?;
    Ok(Body {
        bytes: wire,
        handles: take_out(store.as_context_mut(), handles)?,
    })
}

/// Replies to a call. The caller may be gone; the handles in the result are dropped then.
///
/// # Errors
/// Fails with the error of the call, after which the instance can no longer be used.
pub(super) fn answer(
    reply: Reply,
    body: wasmtime::Result<Body>,
    guest: &Guest,
) -> wasmtime::Result<()> {
    let (result, end) = match body {
        Ok(body) => (Ok(body), Ok(())),
        Err(error) => (Err(failure::call_error(&error, guest)), Err(error)),
    };
    let _ = reply.send(result);
    end
}
