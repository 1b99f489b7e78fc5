//! One step, from reading the record to the write that takes it.

use super::{Series, SeriesError, Taken};
use crate::{
    backoff::Backoff,
    entropy,
    store::{CommitError, Expect, rewrite::Current},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How long taking a step may take in all: twice as long as one call to the store.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pauses between two attempts. Whoever loses an attempt mostly finds the step taken in
/// the next one.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(2), Duration::from_millis(200));

/// The record of a series.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    last: u64,
    taker: (u64, u64),
}

/// What the store has at the key of a series.
#[derive(Debug)]
pub(super) struct Found {
    /// The last step that was taken.
    pub(super) last: Option<u64>,
    taker: Option<(u64, u64)>,
    generation: u64,
    expect: Expect,
}

impl Found {
    /// Returns whether this handle took the last step.
    pub(super) fn is_of(&self, taker: (u64, u64)) -> bool {
        self.taker == Some(taker)
    }
}

/// How an attempt ended.
enum Attempt {
    Over(Taken),
    /// Another process was faster, or the answer was lost. Reading the record shows which.
    Again,
}

impl Series {
    /// This isn't a [`Rewrite`](crate::store::rewrite::Rewrite), because the value has a term, and
    /// because a lost answer is settled by who took the step.
    pub(super) async fn try_take(&self, step: u64, keep: Duration) -> Result<Taken, SeriesError> {
        let deadline = Instant::now() + PATIENCE;
        let unknown = || SeriesError::Unknown {
            key: self.key.clone(),
            step,
        };
        let mut made = 0;
        let mut may_have_taken = false;
        loop {
            let attempt = self.attempt(step, keep, &mut may_have_taken);
            match timeout_at(deadline, attempt).await {
                Err(_) => return Err(unknown()),
                Ok(Ok(Attempt::Over(taken))) => return Ok(taken),
                Ok(Ok(Attempt::Again)) => {}
                Ok(Err(_)) if may_have_taken => return Err(unknown()),
                Ok(Err(error)) => return Err(error),
            }
            made += 1;
            sleep(PAUSES.with_full_jitter(made, entropy::share())).await;
        }
    }

    async fn attempt(
        &self,
        step: u64,
        keep: Duration,
        may_have_taken: &mut bool,
    ) -> Result<Attempt, SeriesError> {
        self.replica.check_key()?;
        let found = self.read().await?;
        if found.last == Some(step) && found.is_of(self.taker) {
            // An earlier attempt, whose answer was lost.
            return Ok(Attempt::Over(Taken::Here));
        }
        if let Some(last) = found.last.max(self.seen).filter(|last| *last >= step) {
            return Ok(Attempt::Over(Taken::Passed { last }));
        }
        let store = self.records.store();
        let value = self.encode(step, &found).await?;
        let before = std::mem::replace(may_have_taken, true);
        let written = store.lease(self.key.clone(), value.clone(), keep, found.expect);
        match written.await {
            Ok(_) => {}
            Err(CommitError::Unknown) => return Ok(Attempt::Again),
            Err(CommitError::Conflict { .. }) => {
                *may_have_taken = before;
                return Ok(Attempt::Again);
            }
            Err(CommitError::Invalid(refused)) => {
                *may_have_taken = before;
                return Err(refused.into());
            }
            Err(CommitError::Store(error)) => {
                *may_have_taken = before;
                return Err(error.into());
            }
        }
        // The store's answer has no tag, so the value is read back.
        let entry = store.read(self.key.clone()).await?;
        Ok(match entry {
            Some(entry) if entry.value == value => Attempt::Over(Taken::Here),
            _ => Attempt::Again,
        })
    }

    async fn encode(&self, step: u64, found: &Found) -> Result<Bytes, SeriesError> {
        let record = Step {
            last: step,
            taker: self.taker,
        };
        let seen = self.replica.links().revision().0;
        let generation = found.generation.saturating_add(1).max(seen);
        let incarnation = self.records.store().incarnation().await?;
        let value = self
            .records
            .encode(incarnation, &self.key, generation, &record)?;
        Ok(value)
    }

    /// Reads what the store has.
    pub(super) async fn read(&self) -> Result<Found, SeriesError> {
        let store = self.records.store();
        let incarnation = store.incarnation().await?;
        let entry = store.read(self.key.clone()).await?;
        let current = self.records.current::<Step>(incarnation, entry.as_ref())?;
        let generation = current.generation().unwrap_or_default();
        let record = match current {
            Current::Record(record) => Some(record.body),
            Current::Absent | Current::Removed(_) | Current::Garbage(_) => None,
        };
        Ok(Found {
            last: record.as_ref().map(|step| step.last),
            taker: record.map(|step| step.taker),
            generation,
            expect: Expect::of(entry.as_ref()),
        })
    }
}
