//! Calls that are kept in flight while something happens to them, each with its fate.

use crate::Failure;
use crate::faults::way::{Failed, Way};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// After a call that failed: what fails at once would be tried again without end.
const PAUSE: Duration = Duration::from_millis(2);

/// One call, as it went.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Which of the ways it took.
    pub(crate) way: usize,
    pub(crate) began: Instant,
    /// How it ended; `None` when it had not, until nobody waited for it any more.
    pub(crate) end: Option<(Instant, Result<(), Failed>)>,
}

impl Record {
    /// When it was answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        match &self.end {
            Some((at, Ok(()))) => Some(*at),
            _ => None,
        }
    }

    /// Whether it was under way at that moment.
    pub(crate) fn in_flight_at(&self, moment: Instant) -> bool {
        self.began <= moment && self.end.as_ref().is_none_or(|(end, _)| *end > moment)
    }

    /// Whether it ended after that moment without an answer, or never did.
    pub(crate) fn failed_after(&self, moment: Instant) -> bool {
        match &self.end {
            Some((end, outcome)) => *end > moment && outcome.is_err(),
            None => true,
        }
    }
}

/// A number of calls in flight, each replaced when it ends, by those ways in turn.
pub(crate) struct Traffic {
    tasks: JoinSet<Vec<Record>>,
    /// No new calls.
    finish: CancellationToken,
    /// Nobody waits for the others any more.
    abandon: CancellationToken,
}

impl Traffic {
    pub(crate) fn start<W: Way>(
        ways: &[Arc<W>],
        in_flight: usize,
        body: &Bytes,
        deadline: Duration,
    ) -> Self {
        let mut traffic = Self {
            tasks: JoinSet::new(),
            finish: CancellationToken::new(),
            abandon: CancellationToken::new(),
        };
        for (task, (way, path)) in (0..in_flight).zip(ways.iter().enumerate().cycle()) {
            debug_assert_eq!(way, task % ways.len());
            let caller = Caller {
                path: path.clone(),
                way,
                body: body.clone(),
                deadline,
                abandon: traffic.abandon.clone(),
            };
            traffic.tasks.spawn(caller.repeat(traffic.finish.clone()));
        }
        traffic
    }

    /// One more call every so often, whatever became of those before it.
    pub(crate) fn and_every<W: Way>(
        mut self,
        period: Duration,
        path: &Arc<W>,
        body: &Bytes,
        deadline: Duration,
    ) -> Self {
        let caller = Caller {
            path: path.clone(),
            way: 0,
            body: body.clone(),
            deadline,
            abandon: self.abandon.clone(),
        };
        self.tasks.spawn(caller.every(period, self.finish.clone()));
        self
    }

    /// Makes no new calls, waits for those in flight as long as `patience` says, and tells the fate of all.
    pub(crate) async fn stop(mut self, patience: Duration) -> Result<Vec<Record>, Failure> {
        self.finish.cancel();
        let mut records = Vec::new();
        let abandon = self.abandon.clone();
        let late = async {
            tokio::time::sleep(patience).await;
            abandon.cancel();
            std::future::pending::<()>().await;
        };
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                records.append(&mut ended?);
            }
            Ok::<_, Failure>(())
        };
        tokio::select! {
            ended = all => ended?,
            () = late => {}
        }
        Ok(records)
    }
}

struct Caller<W> {
    path: Arc<W>,
    way: usize,
    body: Bytes,
    deadline: Duration,
    abandon: CancellationToken,
}

impl<W: Way> Caller<W> {
    async fn repeat(self, finish: CancellationToken) -> Vec<Record> {
        let mut records = Vec::with_capacity(4_096);
        while !finish.is_cancelled() {
            let record = self.once().await;
            let failed = record.answered().is_none();
            records.push(record);
            if failed {
                tokio::time::sleep(PAUSE).await;
            }
        }
        records
    }

    async fn every(self, period: Duration, finish: CancellationToken) -> Vec<Record> {
        let this = Arc::new(self);
        let mut calls = JoinSet::new();
        let mut due = tokio::time::interval(period);
        while finish.run_until_cancelled(due.tick()).await.is_some() {
            let this = this.clone();
            calls.spawn(async move { this.once().await });
        }
        calls.join_all().await
    }

    async fn once(&self) -> Record {
        let began = Instant::now();
        let call = self.path.call(&self.body, self.deadline);
        let end = self.abandon.run_until_cancelled(call).await;
        Record {
            way: self.way,
            began,
            end: end.map(|outcome| (Instant::now(), outcome)),
        }
    }
}

/// How many calls ended in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kinds(BTreeMap<String, usize>);

impl Kinds {
    /// Of these calls.
    pub(crate) fn of<'r>(records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut kinds = BTreeMap::new();
        for record in records {
            let kind = match &record.end {
                Some((_, Ok(()))) => "answered",
                Some((_, Err(failed))) => &failed.0,
                None => "given up",
            };
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        Self(kinds)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self
            .0
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        f.write_str(&kinds.join("; "))
    }
}
