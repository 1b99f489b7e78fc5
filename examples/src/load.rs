//! Makes calls without pause, and counts their outcomes.

use lattice_core::call::{CallError, Ran};
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Many callers, each of which makes its next call when the last one has ended. Dropping this stops
/// them.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    callers: JoinSet<()>,
}

/// How many calls ended in each way.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Calls that succeeded.
    pub answered: u64,
    /// Calls that failed, by the message of the error.
    pub failed: BTreeMap<String, Failed>,
    /// The longest time in which no call succeeded.
    pub longest_gap: Duration,
    last_answer: Instant,
}

/// Calls that failed for one reason.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// How many.
    pub count: u64,
    /// Whether the callee's code ran.
    pub ran: Ran,
}

impl Load {
    /// Starts this many callers. Each call is a future of `call(caller)`.
    pub fn start<A>(callers: usize, call: impl Fn(usize) -> A + Clone + Send + 'static) -> Self
    where
        A: Future<Output = Answer> + Send,
    {
        let tally = Arc::new(Mutex::new(Tally::new()));
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let (tally, call) = (tally.clone(), call.clone());
            tasks.spawn(async move {
                loop {
                    let answer = call(caller).await;
                    lock(&tally).count(&answer);
                    // Yields, so that stopping works even when every call ends immediately.
                    tokio::task::yield_now().await;
                }
            });
        }
        Self {
            tally,
            callers: tasks,
        }
    }

    /// Returns the counts up to now.
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Stops the callers. Calls that are in flight are abandoned and not counted.
    pub async fn stop(mut self) -> Tally {
        self.callers.shutdown().await;
        let mut tally = lock(&self.tally).clone();
        tally.gap();
        tally
    }
}

/// The result of a call: a text, an error of the function itself, or an error of the mesh.
pub type Answer = Result<Result<String, String>, CallError>;

impl Tally {
    fn new() -> Self {
        Self {
            answered: 0,
            failed: BTreeMap::new(),
            longest_gap: Duration::ZERO,
            last_answer: Instant::now(),
        }
    }

    /// Returns the number of failed calls.
    pub fn failures(&self) -> u64 {
        self.failed.values().map(|failed| failed.count).sum()
    }

    fn count(&mut self, answer: &Answer) {
        let (reason, ran) = match answer {
            Ok(Ok(_)) => {
                self.gap();
                self.answered += 1;
                self.last_answer = Instant::now();
                return;
            }
            Ok(Err(text)) => (text.clone(), Ran::Yes),
            Err(error) => (error.to_string(), error.ran()),
        };
        let failed = self.failed.entry(reason);
        failed.or_insert(Failed { count: 0, ran }).count += 1;
    }

    fn gap(&mut self) {
        self.longest_gap = self.longest_gap.max(self.last_answer.elapsed());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "   answered     {:>7}", self.answered)?;
        writeln!(f, "   failed       {:>7}", self.failures())?;
        for (reason, Failed { count, ran }) in &self.failed {
            writeln!(f, "      {count:>5} that {ran}: {reason}")?;
        }
        let gap = self.longest_gap.as_micros();
        write!(f, "   longest gap  {gap:>7} µs without a successful call")
    }
}

/// Locks the tally. After a panic of a holder, the count is off by one at most.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_every_outcome() {
        let mut tally = Tally::new();
        let lost = || CallError::HostLost {
            host: "red".parse().expect("an id"),
        };
        for answer in [
            Ok(Ok("hello".to_owned())),
            Err(lost()),
            Ok(Err("no".to_owned())),
            Err(lost()),
        ] {
            tally.count(&answer);
        }
        assert_eq!((tally.answered, tally.failures()), (1, 3));
        let text = tally.to_string();
        assert!(
            text.contains("2 that may have run: host `red` was lost"),
            "{text}"
        );
        assert!(text.contains("1 that ran and failed: no"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_run_until_they_are_stopped() {
        let load = Load::start(2, |caller| async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if caller == 0 {
                Ok(Ok(String::new()))
            } else {
                Ok(Err("no".to_owned()))
            }
        });
        while load.tally().answered < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let tally = load.stop().await;
        assert!(tally.answered >= 5 && tally.failures() >= 4, "{tally:?}");
    }
}
