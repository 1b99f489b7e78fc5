//! A process that only makes calls, so that the resources that it uses are those that calling uses.

use crate::faults::{
    host::{READY, SUBJECT, TASKS, URL, connect, questions},
    soak,
    way::{Bare, Echo, Hold, Way},
};
use crate::{Failure, bare::UNANSWERED, program::START};
use bytes::Bytes;
use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinSet, time::timeout};

/// Concurrent calls.
const IN_FLIGHT: usize = 256;
/// One call in this many gets no reply.
const ONE_IN: u64 = 10;
/// Deadline of every call. Replies arrive long before it.
const DEADLINE: Duration = Duration::from_millis(20);
const ANSWERED: Duration = Duration::from_secs(10);

/// How the process makes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lattice,
    Bare,
    /// A mix of all kinds, until the input of the process is closed.
    Soak,
}

impl FromStr for Kind {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        match word {
            "lattice" => Ok(Self::Lattice),
            "bare" => Ok(Self::Bare),
            "soak" => Ok(Self::Soak),
            _ => Err(format!("there is no caller of kind `{word}`").into()),
        }
    }
}

pub(crate) async fn run(kind: Kind) -> Result<(), Failure> {
    match kind {
        Kind::Lattice => {
            let lattice = connect().await?;
            for component in ["callee", "silent"] {
                timeout(START, lattice.served(component)).await??;
            }
            let echo = Arc::new(Echo::new(&lattice, "callee")?);
            let hold = Arc::new(Hold::new(&lattice, "silent")?);
            obey(&echo, &hold).await
        }
        Kind::Bare => {
            let bare = Arc::new(Bare::new(&std::env::var(URL)?, SUBJECT).await?);
            obey(&bare, &bare).await
        }
        Kind::Soak => soak::call().await,
    }
}

/// Makes the number of calls that each input line names, and prints how many failed that should
/// have succeeded.
async fn obey<A: Way, B: Way>(answered: &Arc<A>, unanswered: &Arc<B>) -> Result<(), Failure> {
    let mut questions = questions();
    println!("{READY}");
    while let Some(question) = questions.recv().await {
        match question.as_str() {
            TASKS => println!("{}", Handle::current().metrics().num_alive_tasks()),
            count => println!("{}", calls(answered, unanswered, count.parse()?).await?),
        }
    }
    Ok(())
}

async fn calls<A: Way, B: Way>(
    answered: &Arc<A>,
    unanswered: &Arc<B>,
    count: u64,
) -> Result<u64, Failure> {
    let (next, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (answered, unanswered) = (answered.clone(), unanswered.clone());
        let (next, failed) = (next.clone(), failed.clone());
        tasks.spawn(async move {
            let body = Bytes::from_static(&[7; 16]);
            let no_answer = Bytes::from_static(&[UNANSWERED; 16]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let as_expected = if number % ONE_IN == 0 {
                    unanswered.call(&no_answer, DEADLINE).await.is_err()
                } else {
                    answered.call(&body, ANSWERED).await.is_ok()
                };
                failed.fetch_add(u64::from(!as_expected), Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(failed.load(Ordering::Relaxed))
}
