//! Keeps the process of a provider running.

use super::{
    child::{End, Running},
    program::Program,
    usage::Lives,
};
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
                        end = running.ended() => Ok(end),
                    };
                    let End { reason, silence } = match ended {
                        Ok(end) => end,
                        Err(halt) => {
                            end(running, halt, lease.as_ref().map(|(_, until)| until)).await;
                            break;
                        }
                    };
                    // It has not served while it was silent.
                    if began.elapsed().saturating_sub(silence) >= STEADY {
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
    tokio::select! {
        biased;
        // Then there is no time for an orderly end.
        () = over(lease) => Halt::LeaseOver,
        () = stop.cancelled() => Halt::Asked,
    }
}

/// Waits until the lease is over, if there is one.
async fn over(lease: Option<&LeaseDeadline>) {
    match lease {
        Some(lease) => lease.until_over().await,
        None => std::future::pending().await,
    }
}

/// Waits for a future for as long as the lease is held. Returns `None` after that.
async fn while_held<T>(lease: Option<&LeaseDeadline>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = over(lease) => None,
        done = work => Some(done),
    }
}

/// Ends a process: in order as long as its lease is held, and at once after that, because another
/// host may start its own process within a second.
async fn end(mut running: Running, halt: Halt, lease: Option<&LeaseDeadline>) {
    let is_over = match halt {
        // Dropping the process kills it.
        Halt::Asked => while_held(lease, running.stop()).await.is_none(),
        Halt::LeaseOver => {
            running.kill().await;
            true
        }
    };
    if is_over {
        tracing::warn!("the lease of a provider has ended, and its process is killed");
    }
}

/// The pause after so many failures in a row: none after the first one.
fn pause(failures: u32) -> Duration {
    let pauses = lattice_core::backoff::Backoff::doubling(FIRST_PAUSE, LONGEST_PAUSE);
    match failures {
        0 | 1 => Duration::ZERO,
        more => pauses.after(more - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::serve::LeaseLeft;

    const TERM: Duration = Duration::from_secs(4);

    fn held() -> LeaseDeadline {
        let lease = LeaseDeadline::expired();
        lease.hold_for(LeaseLeft {
            asleep_too: TERM,
            wall: TERM,
        });
        lease
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_lease_comes_before_a_request_to_stop() {
        let stop = CancellationToken::new();
        stop.cancel();
        let over = LeaseDeadline::expired();
        let halt = halted(&stop, Some(&over)).await;
        assert!(matches!(halt, Halt::LeaseOver));
        for lease in [Some(held()), None] {
            let halt = halted(&stop, lease.as_ref()).await;
            assert!(matches!(halt, Halt::Asked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_orderly_end_takes_no_longer_than_the_lease() {
        let lease = held();
        let begun = Instant::now();
        let ends = while_held(Some(&lease), std::future::pending::<()>());
        let ended = tokio::time::timeout(TERM * 2, ends).await;
        assert_eq!(ended, Ok(None));
        assert!(begun.elapsed() < TERM * 3 / 2, "{:?}", begun.elapsed());
        for lease in [Some(held()), None] {
            let done = while_held(lease.as_ref(), sleep(TERM / 2)).await;
            assert_eq!(done, Some(()));
        }
    }

    #[test]
    fn pauses_grow_after_the_first_failure_and_are_bounded() {
        let pauses: Vec<_> = [1, 2, 3, 4, 9, u32::MAX].map(pause).into();
        let expected = [0, 500, 1_000, 2_000, 30_000, 30_000].map(Duration::from_millis);
        assert_eq!(pauses, expected);
    }
}
