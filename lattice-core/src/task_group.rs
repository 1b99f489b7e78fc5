//! Background work that ends together with its node.

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// Tasks that are cancelled together. Cheap to clone; clones share the group.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskGroup(CancellationToken);

impl TaskGroup {
    /// Runs `work` in a separate task until it is done or the group is cancelled. The handle can
    /// end it earlier; dropping the handle has no effect.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(work)).abort_handle()
    }

    /// Cancels every task of the group, and every later one as soon as it is spawned.
    pub(crate) fn cancel(&self) {
        self.0.cancel();
    }
}
