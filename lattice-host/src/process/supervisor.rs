//! Keeps the process of a provider running.

use super::{child::Running, program::Program};
use crate::guest::ActorLog;
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
    pub(super) log: Arc<ActorLog>,
    pub(super) state: watch::Sender<State>,
    /// Asks for an orderly end.
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Runs until it is asked to stop.
    pub(super) async fn run(self) {
        let mut failures = 0_u32;
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let line = self.order.line();
            let starting = Running::start(&self.program, &line, &self.log);
            let Some(started) = stop.run_until_cancelled(starting).await else {
                break;
            };
            drop(line);
            let (reason, has_served) = match started {
                Err(reason) => (reason, false),
                Ok(mut running) => {
                    self.say(State::Serving);
                    let began = Instant::now();
                    let ended = stop.run_until_cancelled(running.ended()).await;
                    let Some(reason) = ended else {
                        running.stop().await;
                        break;
                    };
                    if began.elapsed() >= STEADY {
                        failures = 0;
                    }
                    (reason, true)
                }
            };
            failures = failures.saturating_add(1);
            // It is started at once only if it has served.
            let pause = pause(failures.saturating_add(u32::from(!has_served)));
            tracing::warn!(reason, failures, ?pause, "the process of a provider ended");
            self.say(State::Away {
                failures,
                reason,
                pause,
            });
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
        self.say(State::Stopped);
    }

    fn say(&self, state: State) {
        self.state.send_replace(state);
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
