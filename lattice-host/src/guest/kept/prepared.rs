//! Puts what a call passes into the store of the instance that serves it.

use crate::{
    guest::{handles::LentToCall, state::Guest},
    transcode::{FunctionPlan, Places, RawHandle},
};
use lattice_core::{call::CallError, stream::Handles};
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
