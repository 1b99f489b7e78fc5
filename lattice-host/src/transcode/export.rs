//! Exports of a guest, called with wire bytes.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{Accessor, Func, GuestTaskId, TypedFunc};
use wasmtime::{AsContext, Result, Store, StoreContext};

use super::plan::{Asyncness, FunctionPlan};
use super::raw::{FlatArguments, FlatReturn, Lifted, RawHandle, SPILLED};
use super::validate::Arguments;

/// A call in progress. Resolves to the result.
pub(crate) type ResultFuture<'a> = Pin<Box<dyn Future<Output = Result<Lifted>> + Send + 'a>>;

/// An exported function of a component, prepared to be bound in any instance of it.
pub(crate) struct ExportFunction<T: 'static> {
    plan: Arc<FunctionPlan>,
    bind: fn(Func, StoreContext<'_, T>) -> Result<Callee<T>>,
}

impl<T: Send + 'static> ExportFunction<T> {
    /// Prepares the function of `plan`.
    pub(crate) fn new(plan: Arc<FunctionPlan>) -> Self {
        let bind = match (plan.asyncness(), plan.result_flat()) {
            // A sync function returns one core value. Results that need more are in memory.
            (Asyncness::Sync, 0) => bind_sync::<T, 0>,
            (Asyncness::Sync, 1) => bind_sync::<T, 1>,
            (Asyncness::Sync, _) => bind_sync::<T, SPILLED>,
            (Asyncness::Async, flat @ 0..=16) => for_flat_count!(flat, N => bind_async::<T, N>),
            (Asyncness::Async, _) => bind_async::<T, SPILLED>,
        };
        Self { plan, bind }
    }

    /// Returns the function's plan.
    pub(crate) fn plan(&self) -> &Arc<FunctionPlan> {
        &self.plan
    }

    /// Binds `func`, which is this function in an instance of `store`.
    ///
    /// # Errors
    /// Fails when `func` is another function.
    ///
    /// # Panics
    /// Panics when `func` doesn't belong to `store`.
    pub(crate) fn bind(
        &self,
        store: impl AsContext<Data = T>,
        func: Func,
    ) -> Result<BoundExport<T>> {
        Ok(BoundExport {
            callee: (self.bind)(func, store.as_context())?,
        })
    }
}

/// An exported function of one instance.
pub(crate) struct BoundExport<T: 'static> {
    callee: Callee<T>,
}

impl<T: Send + 'static> BoundExport<T> {
    /// Calls the function with the whole store to itself, and returns the wire bytes of the result.
    ///
    /// # Errors
    /// Fails when the guest traps, after which the store can no longer be used. A result over the
    /// store's hostcall fuel is a [`LiftError::ResultTooLarge`](super::LiftError::ResultTooLarge).
    ///
    /// A guest that waits indefinitely is not an error, so put a deadline around the call.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the guest in the middle of the call: drop the store as well.
    pub(crate) async fn call(&self, store: &mut Store<T>, arguments: Arguments) -> Result<Bytes> {
        Ok(self.pass(store, arguments, Vec::new()).await?.wire)
    }

    /// As [`call`](Self::call), with the handles in the arguments, in order, and in the result.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub(crate) async fn pass(
        &self,
        store: &mut Store<T>,
        arguments: Arguments,
        handles: Vec<RawHandle>,
    ) -> Result<Lifted> {
        let arguments = Lifted {
            wire: arguments.wire,
            handles,
        };
        match &self.callee {
            Callee::Sync(function) => function.call(store, arguments).await,
            Callee::Async(function) => {
                let call =
                    async |accessor: &Accessor<T>| function.start(accessor, arguments)?.1.await;
                // Boxed, so that calls of sync functions don't carry its state.
                Box::pin(store.run_concurrent(call)).await?
            }
        }
    }

    /// Starts a call together with other calls in the same store, and returns the task that serves
    /// it. Calls of an `async func` overlap; a plain `func` holds the instance until it returns.
    /// The guest runs when the store's event loop next does.
    ///
    /// `handles` are those in the arguments, in order. The future resolves to the result. A trap of
    /// any call in the store, including this one, isn't reported through the future but ends
    /// `run_concurrent`, and then the future never resolves. The store's owner has to notify those
    /// that wait for it.
    ///
    /// # Errors
    /// Fails when the guest can't be called at all.
    ///
    /// # Cancel safety
    /// The call continues in the guest when the future is dropped. Its result is lost.
    pub(crate) fn start<'a>(
        &self,
        accessor: &'a Accessor<T>,
        arguments: Arguments,
        handles: Vec<RawHandle>,
    ) -> Result<(GuestTaskId, ResultFuture<'a>)> {
        let arguments = Lifted {
            wire: arguments.wire,
            handles,
        };
        match &self.callee {
            Callee::Sync(function) => function.start(accessor, arguments),
            Callee::Async(function) => function.start(accessor, arguments),
        }
    }

    /// [Starts](Self::start) a call and waits for its result.
    #[cfg(test)]
    pub(crate) async fn call_concurrent(
        &self,
        accessor: &Accessor<T>,
        arguments: Arguments,
    ) -> Result<Bytes> {
        Ok(self.start(accessor, arguments, Vec::new())?.1.await?.wire)
    }
}

/// A typed function, without the number of core values in its type.
enum Callee<T: 'static> {
    Sync(Box<dyn CallSync<T>>),
    Async(Box<dyn Start<T>>),
}

trait Start<T>: Send + Sync {
    fn start<'a>(
        &self,
        accessor: &'a Accessor<T>,
        arguments: Lifted,
    ) -> Result<(GuestTaskId, ResultFuture<'a>)>;
}

/// Separate from [`Start`], so that its code is compiled only for the three carriers of sync
/// functions.
trait CallSync<T>: Start<T> {
    fn call<'a>(&self, store: &'a mut Store<T>, arguments: Lifted) -> ResultFuture<'a>;
}

impl<T: Send + 'static, const N: usize> Start<T> for TypedFunc<FlatArguments, FlatReturn<N>> {
    fn start<'a>(
        &self,
        accessor: &'a Accessor<T>,
        arguments: Lifted,
    ) -> Result<(GuestTaskId, ResultFuture<'a>)> {
        let function = *self;
        let call = accessor
            .with(|store| function.start_call_concurrent(store, FlatArguments(arguments)))?;
        let task = call.task();
        let result = async move { Ok(function.finish_call_concurrent(accessor, call).await?.0) };
        Ok((task, Box::pin(result)))
    }
}

impl<T: Send + 'static, const N: usize> CallSync<T> for TypedFunc<FlatArguments, FlatReturn<N>> {
    fn call<'a>(&self, store: &'a mut Store<T>, arguments: Lifted) -> ResultFuture<'a> {
        let function = *self;
        Box::pin(async move {
            Ok(function
                .call_async(store, FlatArguments(arguments))
                .await?
                .0)
        })
    }
}

fn bind_sync<T: Send + 'static, const N: usize>(
    func: Func,
    store: StoreContext<'_, T>,
) -> Result<Callee<T>> {
    Ok(Callee::Sync(Box::new(typed::<N>(func, store)?)))
}

fn bind_async<T: Send + 'static, const N: usize>(
    func: Func,
    store: StoreContext<'_, T>,
) -> Result<Callee<T>> {
    Ok(Callee::Async(Box::new(typed::<N>(func, store)?)))
}

fn typed<const N: usize>(
    func: Func,
    store: impl AsContext,
) -> Result<TypedFunc<FlatArguments, FlatReturn<N>>> {
    func.typed(store)
}
