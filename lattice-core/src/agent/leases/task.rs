//! One lease, from the attempt to take it to its end.

use super::{Holder, MARGIN, RENEW, TERM, permission::LeasePermission};
use crate::{
    link::LinkTable,
    name::ComponentId,
    place::plan::Event,
    replica::{Claim, Replica},
    serve::LeaseDeadline,
    store::{
        CommitError, Expect, Op, Revision, StoreKey,
        record::{Record, RecordError, Records},
        rewrite::Current,
    },
    value,
    wire::Origin,
};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long one write of a lease may stay in the store. A holder writes it again long before, and
/// the store removes it a few seconds after its term. A value that stays longer was not written by
/// a holder.
const STALE: Duration = Duration::from_secs(2 * TERM.as_secs());

/// How long an attempt to take a lease waits for its holder to give it back.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes a lease, renews it, and gives it back.
pub(super) struct LeaseTask {
    pub(super) records: Records,
    pub(super) replica: Replica,
    pub(super) origin: Origin,
    pub(super) key: StoreKey,
    pub(super) component: ComponentId,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) until: LeaseDeadline,
    pub(super) release: CancellationToken,
    pub(super) permission: LeasePermission,
}

/// What this host last wrote, or what it would replace.
#[derive(Debug, Clone, Copy)]
struct Last {
    expect: Expect,
    generation: u64,
}

/// What the store has at the key of a lease.
enum Found {
    /// The value of this host.
    Ours(Last),
    /// A release, nothing, or something that no holder wrote.
    NoHolder(Last),
    /// The value of another host, or of a newer version.
    Others(Last),
    Unknown,
}

impl LeaseTask {
    pub(super) async fn hold(self) {
        let Some((mut last, fence)) = self.acquire().await else {
            return self.report_lost().await;
        };
        let held = Event::LeaseHeld {
            component: self.component.clone(),
            fence: fence.0,
        };
        if self.events.send(held).await.is_err() {
            return;
        }
        let mut next = self.next_renewal();
        loop {
            let end = self.until.end();
            tokio::select! {
                biased;
                () = self.release.cancelled() => return self.give_back(last).await,
                () = sleep_until(next) => {}
            }
            if Instant::now() >= end {
                return self.report_lost().await;
            }
            match timeout_at(end, self.renew(last)).await {
                Ok(Some(renewed)) => last = renewed,
                Ok(None) | Err(_) => return self.report_lost().await,
            }
            let is_renewed = self.until.end() > end;
            next = if is_renewed {
                self.next_renewal()
            } else {
                (Instant::now() + RENEW).min(end)
            };
        }
    }

    /// Returns the time of the renewal that follows a successful write. It is counted from when the
    /// write was sent, as the term is, so that a slow store leaves time for the renewal.
    fn next_renewal(&self) -> Instant {
        let left = TERM.saturating_sub(MARGIN).saturating_sub(RENEW);
        let now = Instant::now();
        self.until.end().checked_sub(left).unwrap_or(now).max(now)
    }

    /// Renews the lease, or finds out what to renew next time. Returns `None` if another host has
    /// it.
    async fn renew(&self, last: Last) -> Option<Last> {
        if let Some((renewed, _)) = self.write(last).await {
            return Some(renewed);
        }
        // The store is out of reach, another host has the lease, or something without the key has
        // changed it. Reading shows which. As long as the term lasts, no other host takes a lease
        // that was removed.
        match self.look().await {
            Found::Ours(found) | Found::NoHolder(found) => {
                let last = last.followed_by(found);
                let renewed = self.write(last).await;
                Some(renewed.map_or(last, |(renewed, _)| renewed))
            }
            Found::Unknown => Some(last),
            Found::Others(_) => None,
        }
    }

    /// Takes the lease if no other host can hold it. Returns the revision of the write as its
    /// fence.
    async fn acquire(&self) -> Option<(Last, Revision)> {
        // When its holder gives the lease back, it is taken at once.
        let is_free = |_: &LinkTable| self.is_free_at(Instant::now());
        let begun = Instant::now();
        if !self.replica.until(begun + PATIENCE, is_free).await {
            return None;
        }
        let begun = Instant::now();
        let last = match self.look().await {
            Found::Ours(last) | Found::NoHolder(last) => last,
            Found::Others(last) if self.has_stood_still(last) => last,
            Found::Others(_) | Found::Unknown => return None,
        };
        let (last, fence) = self.write(last).await?;
        // When the write itself has arrived here, every earlier claim has.
        let end = self.until.end();
        let incarnation = self.replica.links().incarnation();
        let has_seen = self
            .replica
            .until(end, |table| table.has_seen(incarnation, fence));
        if has_seen.await && self.is_free_at(begun) {
            return Some((last, fence));
        }
        tracing::debug!(component = %self.component, "a lease is given back, because another host may have it still");
        self.withdraw(last).await;
        None
    }

    /// Returns whether no other host held the lease at this time, by what this host has seen.
    fn is_free_at(&self, at: Instant) -> bool {
        let seen = self.replica.lease_claims(&self.key);
        let Some(since) = seen.followed_since else {
            return false;
        };
        // Without other writers, no claim can have been removed before it was seen.
        let is_certain = since + TERM <= at || !self.records.store().is_shared();
        let is_over = |claim: &Claim| self.is_own(claim) || claim.at + TERM <= at;
        is_certain && seen.claims.iter().all(is_over)
    }

    fn is_own(&self, claim: &Claim) -> bool {
        let holder = value::from_bytes::<Holder>(&claim.holder);
        holder.is_ok_and(|holder| holder.origin == self.origin)
    }

    /// Returns whether the store has had the same value for longer than a holder leaves it.
    fn has_stood_still(&self, last: Last) -> bool {
        let present = self.replica.lease_claims(&self.key).present;
        present.is_some_and(|(revision, since)| {
            last.expect == Expect::At(revision) && since.elapsed() > STALE
        })
    }

    /// Writes the lease over the last value. Returns the write if this host certainly holds the
    /// lease for a term: the store's answer has no tag, so the value is read back.
    ///
    /// This isn't a [`Rewrite`](crate::store::rewrite::Rewrite): the value has a term, a conflict
    /// means that another host holds the lease, and the time of the next attempt follows from the
    /// term.
    async fn write(&self, last: Last) -> Option<(Last, Revision)> {
        let sent = self.until.now();
        let store = self.records.store();
        let incarnation = store.incarnation().await.ok()?;
        let holder = Holder {
            origin: self.origin.clone(),
        };
        let generation = self.generation_after(last);
        let value = self
            .records
            .encode(incarnation, &self.key, generation, &holder)
            .ok()?;
        let written = store.lease(self.key.clone(), value.clone(), TERM, last.expect);
        let written = written.await;
        self.permission.learn(&self.key, &written);
        match written {
            Ok(_) => {}
            Err(CommitError::Conflict { .. }) => return None,
            Err(error) => {
                tracing::debug!(component = %self.component, %error, "a lease was not written");
                return None;
            }
        }
        let entry = store.read(self.key.clone()).await.ok()??;
        if entry.value != value {
            return None;
        }
        self.until.set(sent, TERM.saturating_sub(MARGIN));
        let expect = Expect::At(entry.revision);
        Some((Last { expect, generation }, entry.revision))
    }

    /// Returns a generation above that of the last value, and above every one that this host has
    /// seen before.
    fn generation_after(&self, last: Last) -> u64 {
        let seen = self.replica.links().revision().0;
        last.generation.saturating_add(1).max(seen)
    }

    /// Reads what the store has.
    async fn look(&self) -> Found {
        let store = self.records.store();
        let Ok(incarnation) = store.incarnation().await else {
            return Found::Unknown;
        };
        let Ok(entry) = store.read(self.key.clone()).await else {
            return Found::Unknown;
        };
        let current = self.records.current::<Holder>(incarnation, entry.as_ref());
        let last = Last {
            expect: Expect::of(entry.as_ref()),
            generation: current
                .as_ref()
                .ok()
                .and_then(Current::generation)
                .unwrap_or_default(),
        };
        match current {
            Ok(Current::Record(Record { body, .. })) if body.origin == self.origin => {
                Found::Ours(last)
            }
            Ok(Current::Record(_)) | Err(RecordError::Newer { .. }) => Found::Others(last),
            Ok(Current::Absent | Current::Removed(_) | Current::Garbage(_)) | Err(_) => {
                Found::NoHolder(last)
            }
        }
    }

    /// Writes that the lease is free, so that another host can take it at once.
    async fn give_back(&self, last: Last) {
        self.until.expire();
        let store = self.records.store();
        let Ok(incarnation) = store.incarnation().await else {
            return;
        };
        let generation = self.generation_after(last);
        let value = self.records.release(incarnation, &self.key, generation);
        // It only has to stand until the other hosts have seen it.
        let released = store.lease(self.key.clone(), value, TERM, last.expect);
        if let Err(error) = released.await {
            tracing::debug!(component = %self.component, %error, "a lease was not given back; it ends by itself");
        }
    }

    /// Removes a claim that may be made while another host has the lease. A release would end that
    /// host's claim as well, because its generation is higher.
    async fn withdraw(&self, last: Last) {
        self.until.expire();
        let removal = Op::delete(self.key.clone(), last.expect);
        if let Err(error) = self.records.store().commit(vec![removal]).await {
            tracing::debug!(component = %self.component, %error, "a claim to a lease was not removed; it ends by itself");
        }
    }

    async fn report_lost(&self) {
        self.until.expire();
        // Sending fails only after the agent has stopped, when the event is not needed.
        let _ = self
            .events
            .send(Event::LeaseLost(self.component.clone()))
            .await;
    }
}

impl Last {
    /// Continues from what the store has.
    fn followed_by(self, found: Self) -> Self {
        Self {
            expect: found.expect,
            generation: self.generation.max(found.generation),
        }
    }
}
