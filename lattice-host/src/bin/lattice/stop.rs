//! The signals that end a command that runs until it is told to stop.

use std::io;

/// Waits for SIGTERM or ctrl-c.
pub(crate) struct StopSignal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// Whether a signal has arrived.
    pub(crate) was_asked: bool,
}

#[cfg(unix)]
impl StopSignal {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            was_asked: false,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        self.was_asked = true;
    }
}

#[cfg(not(unix))]
impl StopSignal {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { was_asked: false })
    }

    pub(crate) async fn asked(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "can't listen for ctrl-c");
            return std::future::pending().await;
        }
        self.was_asked = true;
    }
}
