//! Imports of a guest, served from wire bytes.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use lattice_core::stream::Body;
use wasmtime::component::{Accessor, LinkerInstance};
use wasmtime::{AsContextMut, Error, Result, StoreContextMut};

use super::handles::{self, HandleStore};
use super::plan::{Asyncness, FunctionPlan};
use super::raw::{FlatParams, FlatResult, LiftError, Lifted, Refusal};
use super::wire::ValueError;

/// The reply of an import: the wire bytes of its result, or an error that traps the guest.
pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;

/// The reply of an import that passes streams or handles.
pub(crate) type PassFuture = Pin<Box<dyn Future<Output = Result<Body>> + Send>>;

/// Serves an import.
pub(crate) trait ImportHandler<T>: Send + Sync + 'static {
    /// Takes the wire bytes of a call's arguments, which are always valid for the plan. Data from
    /// the store has to be read before this returns; the reply may come later. A reply that is
    /// ready when first polled needs neither a switch of stacks nor a task.
    fn call(&self, store: StoreContextMut<'_, T>, arguments: Bytes) -> ReplyFuture;

    /// Takes a call of a function that passes streams or handles, with those in the arguments. By
    /// default, the guest traps.
    fn pass(&self, _: StoreContextMut<'_, T>, _: Body) -> PassFuture {
        Box::pin(ready(Err(Error::new(LiftError::Unsupported))))
    }

    /// Replies to a call whose arguments are over the size limit and have been dropped. By default,
    /// the guest traps.
    fn too_large(&self, _: StoreContextMut<'_, T>) -> ReplyFuture {
        Box::pin(ready(Err(Error::new(LiftError::TooLarge))))
    }

    /// Replies to a call for whose arguments there is no memory now. The copied part of them is
    /// dropped. By default, the guest traps.
    fn no_room(&self, _: StoreContextMut<'_, T>) -> ReplyFuture {
        Box::pin(ready(Err(Error::new(LiftError::NoRoom))))
    }
}

impl<T, F> ImportHandler<T> for F
where
    F: Fn(StoreContextMut<'_, T>, Bytes) -> ReplyFuture + Send + Sync + 'static,
{
    fn call(&self, store: StoreContextMut<'_, T>, arguments: Bytes) -> ReplyFuture {
        self(store, arguments)
    }
}

/// Why a call of an import traps its guest, apart from errors of its handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ImportError {
    /// The handler's bytes aren't a result of the function. Both ends agree on the signature, so
    /// one of them has an encoding bug.
    #[error("`{function}` of `{interface}` returned bytes that are not a valid result")]
    BadResult {
        /// Interface of the import.
        interface: Box<str>,
        /// The function.
        function: Box<str>,
        /// The first fault in the bytes.
        source: ValueError,
    },
}

/// Defines the function of `plan` in `linker`, which is for the plan's interface.
///
/// A plain `func` blocks its instance until the reply arrives. Calls of an `async func` overlap.
///
/// # Errors
/// Fails when the name is already defined, or the engine doesn't support async functions.
pub(crate) fn link_import<T: HandleStore>(
    linker: &mut LinkerInstance<'_, T>,
    plan: Arc<FunctionPlan>,
    handler: Arc<dyn ImportHandler<T>>,
) -> Result<()> {
    // Parameters that are in memory take no core values.
    let params = match plan.params_flat() {
        flat @ 0..=16 => flat,
        _ => 0,
    };
    if plan.result_flat() == 0 {
        for_flat_count!(params, N => link::<T, N, 0>(linker, plan, handler))
    } else {
        for_flat_count!(params, N => link::<T, N, 1>(linker, plan, handler))
    }
}

/// Kept small, because it is compiled for every number of core values, with all of wasmtime's code
/// below it.
fn link<T: HandleStore, const P: usize, const R: usize>(
    linker: &mut LinkerInstance<'_, T>,
    plan: Arc<FunctionPlan>,
    handler: Arc<dyn ImportHandler<T>>,
) -> Result<()> {
    let name = Arc::clone(&plan);
    match plan.asyncness() {
        Asyncness::Sync => linker.func_wrap_async(
            name.name(),
            move |store: StoreContextMut<'_, T>, params: FlatParams<P>| {
                let plan = Arc::clone(&plan);
                if plan.passes_handles() {
                    let handler = Arc::clone(&handler);
                    return Box::new(pass_sync::<T, R>(store, plan, handler, params.0));
                }
                let reply = serve(&*handler, store, params.0);
                Box::new(checked::<R>(plan, reply))
            },
        ),
        Asyncness::Async => linker.func_wrap_concurrent(
            name.name(),
            move |accessor: &Accessor<T>, params: FlatParams<P>| {
                let plan = Arc::clone(&plan);
                if plan.passes_handles() {
                    let handler = Arc::clone(&handler);
                    return Box::pin(pass::<T, R>(accessor, plan, handler, params.0));
                }
                let reply =
                    accessor.with(|mut store| serve(&*handler, store.as_context_mut(), params.0));
                Box::pin(checked::<R>(plan, reply))
            },
        ),
    }
}

fn serve<T>(
    handler: &dyn ImportHandler<T>,
    store: StoreContextMut<'_, T>,
    arguments: std::result::Result<Lifted, Refusal>,
) -> ReplyFuture {
    match arguments {
        Ok(arguments) => handler.call(store, arguments.wire),
        Err(Refusal::TooLarge) => handler.too_large(store),
        Err(Refusal::NoRoom) => handler.no_room(store),
    }
}

/// Serves a call of a function that passes streams or handles. The store is blocked meanwhile.
async fn pass_sync<T: HandleStore, const R: usize>(
    mut store: StoreContextMut<'_, T>,
    plan: Arc<FunctionPlan>,
    handler: Arc<dyn ImportHandler<T>>,
    arguments: std::result::Result<Lifted, Refusal>,
) -> Result<FlatResult<R>> {
    let reply = start_pass(store.as_context_mut(), &*handler, arguments)?;
    let body = reply.await?;
    finish_pass(store, &plan, body)
}

/// Serves a call of a function that passes streams or handles, together with others.
async fn pass<T: HandleStore, const R: usize>(
    accessor: &Accessor<T>,
    plan: Arc<FunctionPlan>,
    handler: Arc<dyn ImportHandler<T>>,
    arguments: std::result::Result<Lifted, Refusal>,
) -> Result<FlatResult<R>> {
    let start = accessor.with(|mut store| start_pass(store.as_context_mut(), &*handler, arguments));
    let body = start?.await?;
    accessor.with(|mut store| finish_pass(store.as_context_mut(), &plan, body))
}

fn start_pass<T: HandleStore>(
    mut store: StoreContextMut<'_, T>,
    handler: &dyn ImportHandler<T>,
    arguments: std::result::Result<Lifted, Refusal>,
) -> Result<PassFuture> {
    // Refused arguments had no handles, so that the reply has the result's type all the same.
    let refused = match arguments {
        Ok(Lifted { wire, handles }) => {
            let handles = handles::take_out(store.as_context_mut(), handles)?;
            let arguments = Body {
                bytes: wire,
                handles,
            };
            return Ok(handler.pass(store, arguments));
        }
        Err(Refusal::TooLarge) => handler.too_large(store),
        Err(Refusal::NoRoom) => handler.no_room(store),
    };
    Ok(Box::pin(async move { refused.await.map(Body::from) }))
}

fn finish_pass<T: HandleStore, const R: usize>(
    mut store: StoreContextMut<'_, T>,
    plan: &FunctionPlan,
    body: Body,
) -> Result<FlatResult<R>> {
    let places = plan.results_with(&body.bytes, &body.handles);
    let places = places.map_err(|source| bad_result(plan, source))?;
    let handles = handles::put_in(store.as_context_mut(), &plan.tree, (body.handles, &places))?;
    Ok(FlatResult(Lifted {
        wire: body.bytes,
        handles,
    }))
}

async fn checked<const R: usize>(
    plan: Arc<FunctionPlan>,
    reply: ReplyFuture,
) -> Result<FlatResult<R>> {
    let wire = reply.await?;
    check(&plan, &wire)?;
    Ok(FlatResult(wire.into()))
}

fn check(plan: &FunctionPlan, wire: &[u8]) -> Result<()> {
    let checked = plan.validate_results(wire);
    checked.map(drop).map_err(|source| bad_result(plan, source))
}

fn bad_result(plan: &FunctionPlan, source: ValueError) -> Error {
    Error::new(ImportError::BadResult {
        interface: plan.interface().into(),
        function: plan.name().into(),
        source,
    })
}
