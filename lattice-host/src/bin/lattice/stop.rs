//! The signals that end a command that runs until it is told to stop.

use std::io;
#[cfg(unix)]
use std::io::IsTerminal as _;

/// Waits for SIGTERM, ctrl-c, or the end of the terminal, if it prints to one: a program that
/// `nohup` has started goes on.
pub(crate) struct StopSignal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    /// Whether a signal has arrived.
    pub(crate) was_asked: bool,
}

#[cfg(unix)]
impl StopSignal {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let has_terminal = io::stdout().is_terminal() || io::stderr().is_terminal();
        let hangup = has_terminal.then(|| signal(SignalKind::hangup()));
        Ok(Self {
            hangup: hangup.transpose()?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            was_asked: false,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn asked(&mut self) {
        let Self {
            terminate,
            interrupt,
            hangup,
            ..
        } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hung_up => {}
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
