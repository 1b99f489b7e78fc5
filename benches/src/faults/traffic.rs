//! Keeps calls in flight while a fault happens, and records the outcome of each.

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

/// Pause after a failed call, so that calls that fail immediately don't become a busy loop.
const PAUSE: Duration = Duration::from_millis(2);

/// The record of one call.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Which of the ways the call used.
    pub(crate) way: usize,
    pub(crate) began: Instant,
    /// How the call ended. `None` when it was abandoned before it ended.
    pub(crate) end: Option<(Instant, Result<(), Failed>)>,
}

impl Record {
    /// Returns when the call succeeded.
    pub(crate) fn answered(&self) -> Option<Instant> {
        match &self.end {
            Some((at, Ok(()))) => Some(*at),
            _ => None,
        }
    }

    /// Returns whether the call was in flight at `moment`.
    pub(crate) fn in_flight_at(&self, moment: Instant) -> bool {
        self.began <= moment && self.end.as_ref().is_none_or(|(end, _)| *end > moment)
    }

    /// Returns whether the call failed after `moment`, or never ended.
    pub(crate) fn failed_after(&self, moment: Instant) -> bool {
        match &self.end {
            Some((end, outcome)) => *end > moment && outcome.is_err(),
            None => true,
        }
    }
}

/// A fixed number of calls in flight over several ways in turn. Each is replaced when it ends.
pub(crate) struct Traffic {
    tasks: JoinSet<Vec<Record>>,
    /// Stops new calls.
    finish: CancellationToken,
    /// Abandons the calls that are still in flight.
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

    /// Makes an additional call at a fixed interval, whatever happened to those before it.
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

    /// Stops making calls, waits up to `patience` for those in flight, and returns the records of
    /// all.
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

/// How many calls ended in each way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kinds(BTreeMap<String, usize>);

impl Kinds {
    /// Counts these calls.
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
