//! The work of a host process on request of the first process: calls that never leave the process,
//! and a single-instance provider that records when it replied.

use crate::faults::way::{Echo, Failed, Way};
use crate::{
    Failure,
    native::{self, ECHO, Reading, World},
    process,
};
use bytes::Bytes;
use lattice_core::Lattice;
use lattice_provider_sdk::{Call, Stateless};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{task::JoinSet, time::sleep};

/// The link over which a host calls its own components.
pub(crate) const LINK: &str = "local";
/// Name of the single-instance provider in a manifest.
pub(crate) const LEDGER: &str = "ledger";

const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(2);
/// Deadline of a call to the single-instance provider, which limits the wait of a host that is cut
/// off.
const ASK_WITHIN: Duration = Duration::from_millis(50);
const BODY: Bytes = Bytes::from_static(&[7; 16]);

/// Makes calls within this process until it is dropped.
pub(crate) struct LocalCalls {
    counts: Arc<Counts>,
    resident: u64,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
}

impl LocalCalls {
    pub(crate) async fn start(lattice: &Lattice) -> Result<Self, Failure> {
        let way = Arc::new(Echo::new(lattice, LINK)?);
        // The process joins the lattice with its first call, for which it needs the server.
        if let Err(Failed(kind)) = way.call(&BODY, DEADLINE).await {
            return Err(format!("the first local call failed: {kind}").into());
        }
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            tasks.spawn(call_again(way.clone(), counts.clone()));
        }
        Ok(Self {
            counts,
            resident: process::resident(std::process::id())?,
            _tasks: tasks,
        })
    }

    /// Returns, as text, the calls that succeeded, those that failed, the growth of the process in
    /// KiB, and the errors.
    pub(crate) fn results(&self) -> Result<String, Failure> {
        let failed = self
            .counts
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let grown = process::resident(std::process::id())?.saturating_sub(self.resident) >> 10;
        let (answered, count) = (
            self.counts.answered.load(Ordering::Relaxed),
            failed.values().sum::<u64>(),
        );
        Ok(format!("{answered} {count} {grown} {failed:?}"))
    }
}

async fn call_again(way: Arc<Echo>, counts: Arc<Counts>) {
    loop {
        match way.call(&BODY, DEADLINE).await {
            Ok(()) => {
                counts.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Failed(kind)) => {
                let mut failed = counts.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed.entry(kind).or_default() += 1;
            }
        }
        sleep(PAUSE).await;
    }
}

/// When each instance of the single-instance provider replied first and last, in microseconds since
/// 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Vec<(u64, u64)>>>);

impl Answers {
    pub(crate) fn results(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = all.iter().filter(|(first, _)| *first > 0);
        let texts: Vec<_> = answered
            .map(|(first, last)| format!("{first}-{last}"))
            .collect();
        texts.join(" ")
    }
}

/// The single-instance provider, which records when it replied.
pub(crate) struct Ledger {
    answers: Answers,
    at: usize,
}

impl Ledger {
    pub(crate) fn new(answers: &Answers) -> Self {
        let mut all = answers.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((0, 0));
        Self {
            answers: answers.clone(),
            at: all.len() - 1,
        }
    }
}

impl Stateless for Ledger {
    type World = World;
}

impl native::Echo for Ledger {
    async fn echo(&self, _: &Call<Self>, body: Bytes) -> Bytes {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let now = now.as_micros() as u64;
        let mut all = self
            .answers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((first, last)) = all.get_mut(self.at) {
            if *first == 0 {
                *first = now;
            }
            *last = now;
        }
        body
    }

    async fn readings(&self, _: &Call<Self>, all: Vec<Reading>) -> Vec<Reading> {
        all
    }
}

/// Calls the single-instance provider repeatedly, wherever it runs.
pub(crate) async fn ask_ledger(lattice: Lattice) {
    loop {
        let call = lattice
            .operator()
            .component(LEDGER)
            .call::<Bytes>(ECHO, "echo", (BODY,))
            .timeout(ASK_WITHIN);
        // The result doesn't matter: the provider itself records its replies.
        drop(call.await);
        sleep(PAUSE).await;
    }
}
