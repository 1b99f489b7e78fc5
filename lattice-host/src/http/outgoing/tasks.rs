//! The tasks of a link's connections, and who owns them.

use hyper::rt::Executor;
use std::future::Future;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Owns the tasks of a link's connections. They end when the link and all responses that came over
/// it are gone.
pub(super) struct Tasks {
    _guard: DropGuard,
}

/// Spawns tasks that end with their [`Tasks`].
#[derive(Clone)]
pub(super) struct Spawner(CancellationToken);

impl Tasks {
    pub(super) fn new() -> (Self, Spawner) {
        let token = CancellationToken::new();
        let tasks = Self {
            _guard: token.clone().drop_guard(),
        };
        (tasks, Spawner(token))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn tasks_end_with_their_owner() {
        let (tasks, spawner) = Tasks::new();
        let (held, ended) = oneshot::channel::<()>();
        spawner.execute(async move {
            let _held = held;
            pending::<()>().await;
        });
        drop(tasks);
        assert!(ended.await.is_err());
    }
}
