//! What a process is told on its standard input.

use lattice_core::serve::LeaseDeadline;
use lattice_provider_sdk::process::Notice;
use std::{io, ops::Deref};
use tokio::{io::AsyncWriteExt as _, process::ChildStdin};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Tells a process its order, and each renewal of its lease. The standard input of the process ends
/// when this is dropped.
pub(super) struct Feed {
    stop: CancellationToken,
    has_lease: bool,
    _task: AbortOnDropHandle<()>,
}

impl Feed {
    pub(super) fn start(
        stdin: ChildStdin,
        order: impl Deref<Target = String> + Send + 'static,
        lease: Option<LeaseDeadline>,
    ) -> Self {
        let (stop, has_lease) = (CancellationToken::new(), lease.is_some());
        let told = tell(stdin, order, lease, stop.clone());
        let task = async move {
            // A process that has ended or doesn't read is noticed otherwise.
            if let Err(error) = told.await {
                tracing::debug!(%error, "a process was not told more");
            }
        };
        Self {
            stop,
            has_lease,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// Asks the process to stop. Returns what still renews its lease, if it has one.
    pub(super) fn stop(self) -> Option<Self> {
        self.stop.cancel();
        self.has_lease.then_some(self)
    }
}

async fn tell(
    mut stdin: ChildStdin,
    order: impl Deref<Target = String> + Send + 'static,
    lease: Option<LeaseDeadline>,
    stop: CancellationToken,
) -> io::Result<()> {
    stdin.write_all(order.as_bytes()).await?;
    drop(order);
    let Some(lease) = lease else {
        // The end is the request to stop.
        stop.cancelled().await;
        return Ok(());
    };
    let mut was_asked = false;
    loop {
        let renewed = lease.renewed();
        let notice = Notice::lease(&lease);
        stdin.write_all(notice.line().as_bytes()).await?;
        tokio::select! {
            () = renewed => {}
            () = stop.cancelled(), if !was_asked => {
                was_asked = true;
                stdin.write_all(Notice::Stop.line().as_bytes()).await?;
            }
        }
    }
}
