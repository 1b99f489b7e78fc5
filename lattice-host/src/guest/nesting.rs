//! Calls of guests from inside other guests.
//!
//! A guest's pending async imports are polled inside its store's event loop, and Wasmtime can't
//! enter another guest from there. Most such imports lead to providers and to other hosts, where
//! that doesn't matter. A call that reaches an actor on this host this way runs in its own task.

use lattice_core::call::CallError;
use std::{cell::Cell, future::poll_fn, pin::pin};
use tokio_util::task::AbortOnDropHandle;

thread_local! {
    static IN_IMPORT: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread while an import is polled.
struct ImportScope(bool);

impl ImportScope {
    fn set() -> Self {
        Self(IN_IMPORT.replace(true))
    }
}

impl Drop for ImportScope {
    fn drop(&mut self) {
        IN_IMPORT.set(self.0);
    }
}

/// Runs the future that serves an async import.
pub(crate) async fn import<F: Future>(serve: F) -> F::Output {
    let mut serve = pin!(serve);
    poll_fn(|context| {
        let _mark = ImportScope::set();
        serve.as_mut().poll(context)
    })
    .await
}

/// Whether this is inside of an async import of a guest.
pub(super) fn is_in_import() -> bool {
    IN_IMPORT.get()
}

/// Runs a call that enters a guest, in its own task if this is inside another guest. The call is
/// begun here, because its future is large and would have to be moved.
pub(super) async fn enter<T, F>(begin: impl FnOnce() -> F) -> Result<T, CallError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, CallError>> + Send + 'static,
{
    if !is_in_import() {
        return begin().await;
    }
    let task = AbortOnDropHandle::new(tokio::spawn(begin()));
    task.await.unwrap_or_else(|lost| {
        Err(CallError::CalleeFailed {
            reason: format!("its task was lost: {lost}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::CallResult;
    use bytes::Bytes;
    use std::task::Poll;

    /// Returns a call that returns the id of the task that runs it.
    fn task() -> impl Future<Output = CallResult> {
        let id = || tokio::task::try_id().map_or_else(String::new, |id| id.to_string());
        std::future::poll_fn(move |_| Poll::Ready(Ok(Bytes::from(id()))))
    }

    #[tokio::test]
    async fn only_a_call_from_inside_of_an_import_runs_in_its_own_task() {
        let here = task().await;
        assert_eq!(enter(task).await, here);
        assert_ne!(import(enter(task)).await, here);
        assert_eq!(enter(task).await, here, "the mark is removed");
        // The mark is also removed when the import panics.
        let panicked = tokio::spawn(import(async { panic!("on purpose") }));
        panicked.await.expect_err("it panicked");
        assert_eq!(enter(task).await, here);
    }
}
