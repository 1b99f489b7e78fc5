//! The links whose source a provider is: those over which it calls actors.
//!
//! ```text
//! link added or changed ──► its config is parsed ──► a task runs for it, until the link is
//!                                   │                changed or deleted, or the provider stops
//!                                   ▼
//!                           a problem, which the log and the provider's health show
//! ```
//!
//! A task that is to end is told so, and has [`GRACE`] to finish what it has begun.

use crate::problems::{Problems, Topic};
use futures_util::{FutureExt as _, StreamExt as _};
use lattice_core::{
    link::{Link, LinkChange, LinkEntry, LinkKey},
    name::InterfaceName,
};
use lattice_provider_sdk::{Caller, Instance, Refusal, link_config};
use serde::de::DeserializeOwned;
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long a task may take to end after its link was changed or deleted.
const GRACE: Duration = Duration::from_secs(30);
/// How long all tasks may take to end when the provider stops, which its host gives 5 s.
const STOP: Duration = Duration::from_secs(4);

/// The tasks of the links over which a provider calls. Dropping it ends them at once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Follows the links, and owns the tasks.
    _following: AbortOnDropHandle<()>,
    stop: CancellationToken,
    /// Cancelled when all tasks have ended.
    stopped: CancellationToken,
    problems: Problems,
}

/// A link over which a provider calls, as the task of that link has it.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingLink {
    pub(crate) link: Arc<Link>,
    /// Calls over this link.
    pub(crate) caller: Caller,
    pub(crate) problem: Problem,
    /// Cancelled when the task is to end.
    pub(crate) ending: CancellationToken,
}

/// Where the task of a link says what is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    about: (LinkKey, Topic),
    problems: Problems,
    /// Once it is cancelled, the problems of the link are those of its next task.
    ending: CancellationToken,
}

impl Outgoing {
    /// Follows the links from `instance` through `interface`, and runs `run` for each of them. A
    /// task that fails leaves its error as the link's problem, and is started again when the link
    /// changes.
    pub(crate) fn follow<C, R>(
        instance: &Instance,
        interface: InterfaceName,
        run: impl Fn(OutgoingLink, C) -> R + Send + Sync + 'static,
    ) -> Self
    where
        C: DeserializeOwned + Send + 'static,
        R: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        let (problems, stop) = (Problems::default(), CancellationToken::new());
        let tasks = Tasks {
            instance: instance.clone(),
            run: Arc::new(run),
            problems: problems.clone(),
            stop: stop.clone(),
            running: HashMap::new(),
            ending: JoinSet::new(),
        };
        let stopped = CancellationToken::new();
        let at_end = stopped.clone().drop_guard();
        let following = tokio::spawn(async move {
            tasks.follow::<C, R>(interface).await;
            drop(at_end);
        });
        Self {
            _following: AbortOnDropHandle::new(following),
            stop,
            stopped,
            problems,
        }
    }

    /// Returns what is wrong with the links, if something is.
    pub(crate) fn health(&self) -> Result<(), Refusal> {
        self.problems.health()
    }

    /// Tells all tasks to end, and waits for them. What is still running after 4 s is aborted when
    /// this is dropped.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        // Whether they have ended in time makes no difference here.
        let _ = timeout(STOP, self.stopped.cancelled()).await;
    }
}

/// The tasks, by their links.
struct Tasks<F> {
    instance: Instance,
    run: Arc<F>,
    problems: Problems,
    stop: CancellationToken,
    running: HashMap<LinkKey, Running>,
    /// Tasks that were told to end.
    ending: JoinSet<()>,
}

struct Running {
    task: AbortOnDropHandle<()>,
    ending: CancellationToken,
}

impl<F> Tasks<F> {
    async fn follow<C, R>(mut self, interface: InterfaceName)
    where
        F: Fn(OutgoingLink, C) -> R + Send + Sync + 'static,
        C: DeserializeOwned + Send + 'static,
        R: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        let mut changes = self.instance.lattice().links().watch();
        loop {
            let change = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(_) = self.ending.join_next() => continue,
                change = changes.next() => change,
            };
            // The watch ends when the store has been closed: nothing changes any more.
            let Some(change) = change else {
                self.stop.cancelled().await;
                break;
            };
            let entry = change.entry().clone();
            let is_own = entry.link.source == *self.instance.id();
            if is_own && entry.link.interface.is_compatible(&interface) {
                self.take::<C, R>(&change, &entry);
            }
        }
        let links: Vec<_> = self.running.keys().cloned().collect();
        for key in links {
            self.end(&key);
        }
        while self.ending.join_next().await.is_some() {}
    }

    fn take<C, R>(&mut self, change: &LinkChange, entry: &LinkEntry)
    where
        F: Fn(OutgoingLink, C) -> R + Send + Sync + 'static,
        C: DeserializeOwned + Send + 'static,
        R: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        match change {
            LinkChange::Removed(_) => {
                self.end(&entry.key);
                self.problems.forget(|key| *key == *entry.key);
                return;
            }
            LinkChange::Status { .. } => {}
            _ => {
                self.end(&entry.key);
                self.problems.forget(|key| *key == *entry.key);
                self.start::<C, R>(entry);
            }
        }
        self.problems.target(entry);
    }

    fn start<C, R>(&mut self, entry: &LinkEntry)
    where
        F: Fn(OutgoingLink, C) -> R + Send + Sync + 'static,
        C: DeserializeOwned + Send + 'static,
        R: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        let ending = CancellationToken::new();
        let problem = Problem::new(LinkKey::clone(&entry.key), &self.problems, &ending);
        let parsed = link_config::<C>(&entry.link).and_then(|config| {
            let caller = self.instance.caller().via(entry.link.name.clone())?;
            Ok((config, caller))
        });
        let (config, caller) = match parsed {
            Ok(parsed) => parsed,
            Err(refusal) => return problem.set(refusal.reason()),
        };
        let link = OutgoingLink {
            link: entry.link.clone(),
            caller,
            problem: problem.clone(),
            ending: ending.clone(),
        };
        let work = AssertUnwindSafe((self.run)(link, config)).catch_unwind();
        let task = tokio::spawn(async move {
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => problem.set(refusal.reason()),
                Err(_) => problem.set("the provider panicked; put the link again"),
            }
        });
        let task = AbortOnDropHandle::new(task);
        let running = Running { task, ending };
        self.running.insert(LinkKey::clone(&entry.key), running);
    }

    /// Tells the task of a link to end, if there is one.
    fn end(&mut self, key: &LinkKey) {
        if let Some(Running { task, ending }) = self.running.remove(key) {
            ending.cancel();
            // What is still running then is aborted.
            self.ending
                .spawn(async move { drop(timeout(GRACE, task).await) });
        }
    }
}

impl Problem {
    /// A problem with what the task does for its link. It is noted until `ending`.
    pub(crate) fn new(link: LinkKey, problems: &Problems, ending: &CancellationToken) -> Self {
        Self {
            about: (link, Topic::Work),
            problems: problems.clone(),
            ending: ending.clone(),
        }
    }

    /// Returns the problem of the same link with something else.
    #[cfg(feature = "messaging")]
    pub(crate) fn about(&self, topic: Topic) -> Self {
        let mut other = self.clone();
        other.about.1 = topic;
        other
    }

    /// Notes what is wrong, in place of what was wrong before, and logs it when it is new.
    pub(crate) fn set(&self, reason: impl Into<String>) {
        if !self.ending.is_cancelled() {
            self.problems.set(self.about.clone(), reason.into());
        }
    }

    /// Notes that nothing is wrong any more.
    pub(crate) fn clear(&self) {
        if !self.ending.is_cancelled() {
            self.problems.clear(&self.about);
        }
    }
}
