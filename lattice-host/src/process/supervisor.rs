//! Keeps the process of a provider running.

use super::{child::Running, program::Program, usage::Lives};
use crate::guest::ActorLog;
use lattice_core::{id::Fence, serve::LeaseDeadline};
use lattice_provider_sdk::process::Order;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// A process that has served for this long is started again at once when it ends, and its earlier
/// ends don't count.
const STEADY: Duration = Duration::from_secs(10);
/// The first pause, before the second start in a row. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The state of a process, as its supervisor publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Serving,
    /// It ended, or did not start, so many times in a row.
    Away {
        failures: u32,
        reason: String,
        pause: Duration,
    },
    Stopped,
}

impl State {
    /// Returns what is wrong, for people.
    pub(super) fn condition(&self) -> Option<String> {
        match self {
            Self::Serving => None,
            Self::Starting => Some("its process is starting".to_owned()),
            Self::Away {
                failures: 0 | 1,
                reason,
                ..
            } => Some(reason.clone()),
            Self::Away {
                failures,
                reason,
                pause,
            } => Some(format!(
                "crash-looping ({failures}×), started again after {pause:?}: {reason}"
            )),
            Self::Stopped => Some("its process has stopped".to_owned()),
        }
    }
}

/// What is started, again and again.
pub(super) struct Supervisor {
    pub(super) program: Arc<Program>,
    pub(super) order: Order,
    /// The lease under which the process runs, with its fence, if it runs once.
    pub(super) lease: Option<(Fence, LeaseDeadline)>,
    pub(super) log: Arc<ActorLog>,
    pub(super) state: watch::Sender<State>,
    pub(super) lives: Arc<Lives>,
    /// Asks for an orderly end.
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Runs until it is asked to stop, or its lease is over.
    pub(super) async fn run(mut self) {
        let mut failures = 0_u32;
        let (stop, lease) = (self.stop.clone(), self.lease.clone());
        let halted = || halted(&stop, lease.as_ref().map(|(_, until)| until));
        loop {
            self.lives.starts();
            let started = tokio::select! {
                biased;
                _ = halted() => break,
                started = self.start() => started,
            };
            let (reason, has_served) = match started {
                Err(reason) => (reason, false),
                Ok(mut running) => {
                    self.lives.serves(running.id());
                    self.say(State::Serving);
                    let began = Instant::now();
                    let ended = tokio::select! {
                        biased;
                        halt = halted() => Err(halt),
                        reason = running.ended() => Ok(reason),
                    };
                    let reason = match ended {
                        Ok(reason) => reason,
                        Err(Halt::Asked) => {
                            running.stop().await;
                            break;
                        }
                        // Another host may start its own process within a second.
                        Err(Halt::LeaseOver) => {
                            tracing::warn!(
                                "the lease of a provider has ended, and its process is killed"
                            );
                            running.kill().await;
                            break;
                        }
                    };
                    if began.elapsed() >= STEADY {
                        failures = 0;
                    }
                    (reason, true)
                }
            };
            self.lives.ended(&reason);
            failures = failures.saturating_add(1);
            // It is started at once only if it has served.
            let pause = pause(failures.saturating_add(u32::from(!has_served)));
            tracing::warn!(reason, failures, ?pause, "the process of a provider ended");
            self.say(State::Away {
                failures,
                reason,
                pause,
            });
            tokio::select! {
                biased;
                _ = halted() => break,
                () = sleep(pause) => {}
            }
        }
        self.say(State::Stopped);
    }

    /// Starts a process.
    async fn start(&mut self) -> Result<Running, String> {
        let Self {
            program,
            order,
            lease,
            log,
            ..
        } = self;
        let until = lease.as_ref().map(|(_, until)| until.clone());
        let line = || {
            if let Some((fence, until)) = lease {
                order.under(*fence, until);
            }
            order.line()
        };
        Running::start(program, line, until, log).await
    }

    fn say(&self, state: State) {
        self.state.send_replace(state);
    }
}

/// Why there is to be no process any more.
enum Halt {
    Asked,
    LeaseOver,
}

/// Waits until there is to be no process any more.
async fn halted(stop: &CancellationToken, lease: Option<&LeaseDeadline>) -> Halt {
    let over = async {
        match lease {
            Some(lease) => lease.until_over().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => Halt::Asked,
        () = over => Halt::LeaseOver,
    }
}

/// The pause after so many failures in a row: none after the first one.
fn pause(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => FIRST_PAUSE
            .saturating_mul(1 << (more - 2).min(16))
            .min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_after_the_first_failure_and_are_bounded() {
        let pauses: Vec<_> = [1, 2, 3, 4, 9, u32::MAX].map(pause).into();
        let expected = [0, 500, 1_000, 2_000, 30_000, 30_000].map(Duration::from_millis);
        assert_eq!(pauses, expected);
    }
}
