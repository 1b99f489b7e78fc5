//! Watches over the runners of the inbox: a component that blocks one delays no other call.
//!
//! The watch is a thread of its own. A task would wait for a thread of the runtime, and the one
//! that is blocked may be the one that would wake the others: it waits for timers and sockets, or
//! it has the task in its own slot, from which no other thread takes it.

use super::{
    super::{blocking::LOGGED, component::RunningComponent},
    backlog::{Backlog, Runner},
};
use crate::sync::Mutex;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::JoinSet,
};

/// How often the runners are looked at, while there are calls. One that is in the same call at two
/// looks is blocked.
const LOOK: Duration = Duration::from_millis(10);

/// Starts the runners, and owns them. They end when it is dropped.
pub(super) struct Watch {
    shared: Arc<Shared>,
    /// Until there are calls, and then the thread has them.
    posts: Vec<Post>,
    runtime: Handle,
}

#[derive(Default)]
struct Shared {
    runners: Mutex<JoinSet<()>>,
    /// Set by its thread.
    thread: OnceLock<Thread>,
    /// Whether it looks at the runners, or will before long.
    is_awake: AtomicBool,
    has_ended: AtomicBool,
}

/// A backlog that is watched.
struct Post {
    backlog: Arc<Backlog>,
    current: Arc<Runner>,
    /// The runner's steps at the last look.
    before: u64,
    blocked: Vec<Blocked>,
}

/// A runner that was replaced, and is in its last call.
struct Blocked {
    runner: Arc<Runner>,
    component: Arc<RunningComponent>,
    steps: u64,
    since: Instant,
}

impl Watch {
    /// Starts a runner for each backlog.
    pub(super) fn start(backlogs: &[Arc<Backlog>]) -> Self {
        let (shared, runtime) = (Arc::<Shared>::default(), Handle::current());
        let posts = backlogs.iter().map(|backlog| Post {
            current: shared.start(backlog, &runtime),
            backlog: backlog.clone(),
            before: 0,
            blocked: Vec::new(),
        });
        Self {
            posts: posts.collect(),
            shared,
            runtime,
        }
    }

    /// Has the runners looked at from now on, until they have no calls any more.
    pub(super) fn wake(&mut self) {
        if self.posts.is_empty() {
            return self.shared.wake();
        }
        // While the only thread of a runtime is blocked, no other runner can run.
        if self.runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return;
        }
        let (posts, shared) = (std::mem::take(&mut self.posts), self.shared.clone());
        let runtime = self.runtime.clone();
        let work = move || shared.watch(posts, &runtime);
        let started = thread::Builder::new()
            .name("lattice-watch".to_owned())
            .spawn(work);
        if let Err(error) = started {
            tracing::error!(%error, "no thread for the watch over calls; a component that blocks its thread can delay others");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        self.shared.runners.lock().abort_all();
        if let Some(thread) = self.shared.thread.get() {
            thread.unpark();
        }
    }
}

impl Shared {
    fn start(&self, backlog: &Arc<Backlog>, runtime: &Handle) -> Arc<Runner> {
        let runner = Arc::new(backlog.next_runner());
        let mut runners = self.runners.lock();
        while runners.try_join_next().is_some() {}
        if !self.has_ended() {
            runners.spawn_on(runner.clone().run(backlog.clone()), runtime);
        }
        runner
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        if !self.is_awake.load(Ordering::SeqCst)
            && !self.is_awake.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// The work of the thread.
    fn watch(&self, mut posts: Vec<Post>, runtime: &Handle) {
        let _ = self.thread.set(thread::current());
        self.is_awake.store(true, Ordering::SeqCst);
        let _runtime = runtime.enter();
        while !self.has_ended() {
            for post in &mut posts {
                post.before = steps(&post.current);
            }
            self.pause();
            let mut is_busy = false;
            for post in &mut posts {
                is_busy |= self.look(post, runtime);
            }
            if !is_busy {
                self.sleep(&posts);
            }
        }
    }

    /// Waits until the next look.
    fn pause(&self) {
        let end = Instant::now() + LOOK;
        while !self.has_ended() {
            match end.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => return,
            }
        }
    }

    /// Waits until there are calls.
    fn sleep(&self, posts: &[Post]) {
        self.is_awake.store(false, Ordering::SeqCst);
        if posts.iter().all(Post::is_idle) {
            while !self.is_awake.load(Ordering::SeqCst) && !self.has_ended() {
                thread::park();
            }
        }
        self.is_awake.store(true, Ordering::SeqCst);
    }

    /// Looks at a runner, and replaces it if it is blocked. Returns whether it has to be looked at
    /// again.
    fn look(&self, post: &mut Post, runtime: &Handle) -> bool {
        post.blocked.retain(Blocked::is_unknown);
        if post.is_idle() {
            return !post.blocked.is_empty();
        }
        // One that has not begun to run waits for a thread, as its successor would.
        if steps(&post.current) != post.before || !post.current.has_begun() {
            return true;
        }
        let component = post.current.runs.lock().clone();
        let successor = self.start(&post.backlog, runtime);
        let runner = std::mem::replace(&mut post.current, successor);
        if let Some(component) = component {
            component.blocking.suspect();
            post.blocked.push(Blocked {
                runner,
                component,
                steps: post.before,
                since: Instant::now(),
            });
        }
        post.backlog.wake();
        post.backlog.flush();
        true
    }
}

impl Post {
    /// Whether there are no calls, and the runner is in none.
    fn is_idle(&self) -> bool {
        let is_between = self.before.is_multiple_of(2) && steps(&self.current) == self.before;
        is_between && self.backlog.is_empty()
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
