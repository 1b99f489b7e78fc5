//! Watches over the runner of the inbox: a component that blocks it delays no other call.

use super::{
    super::{blocking::LOGGED, component::RunningComponent},
    backlog::{Backlog, Runner},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How often the runner is looked at, while it has calls to run. One that is in the same call at
/// two looks is blocked.
const LOOK: Duration = Duration::from_millis(10);

/// A runner that was replaced, and is in its last call.
struct Blocked {
    runner: Arc<Runner>,
    component: Arc<RunningComponent>,
    steps: u64,
    since: Instant,
}

/// Starts the runners, and owns them.
pub(super) async fn run(backlog: &Arc<Backlog>) {
    let mut runners = JoinSet::new();
    let mut start = |backlog: &Arc<Backlog>| {
        while runners.try_join_next().is_some() {}
        let runner = Arc::new(backlog.next_runner());
        runners.spawn(runner.clone().run(backlog.clone()));
        runner
    };
    let mut current = start(backlog);
    let mut blocked: Vec<Blocked> = Vec::new();
    loop {
        let before = steps(&current);
        sleep(LOOK).await;
        blocked.retain(Blocked::is_unknown);
        if steps(&current) != before {
            continue;
        }
        if before.is_multiple_of(2) {
            if blocked.is_empty() {
                backlog.until_busy(&current, before).await;
            }
            continue;
        }
        let component = current.runs.lock().clone();
        if let Some(component) = component {
            component.blocking.suspect();
            blocked.push(Blocked {
                runner: current,
                component,
                steps: before,
                since: Instant::now(),
            });
        }
        current = start(backlog);
        backlog.flush();
    }
}

fn steps(runner: &Runner) -> u64 {
    runner.steps.load(Ordering::SeqCst)
}

impl Blocked {
    /// Whether it is still blocked, and for too short a time to be logged.
    fn is_unknown(&self) -> bool {
        let time = self.since.elapsed();
        if steps(&self.runner) != self.steps {
            // The runner has noticed the time that its call took.
            return false;
        }
        if time >= LOGGED {
            self.component.blocking.noticed(&self.component.id, time);
        }
        time < LOGGED
    }
}
