//! Writing wormholes: changes that are decided by this process's copy of the store, and that are in
//! the copy when they return.

use super::{NewWormhole, WormholeError, names};
use crate::{
    connection::Connection,
    desired::{Body, Claims, Declared, Desired, Taken, Unreadable, WormholeSpec},
    link::LinkTable,
    links::{PATIENCE, PAUSES, REREAD, SEEN_WITHIN, WriteError},
    name::WormholeId,
    store::{
        Expect, Op, Revision, StoreKey,
        generation::{Basis, unseen},
        rewrite::Rewrite,
    },
};
use futures_util::future::try_join;
use std::sync::Arc;
use tokio::time::Instant;

/// Writes wormholes and their claims.
pub(super) struct Writer<'a> {
    connection: &'a Connection,
}

/// What a change writes, as it was decided.
pub(super) struct Decision<T> {
    id: WormholeId,
    /// The record; `None` deletes it.
    spec: Option<WormholeSpec>,
    /// A generated name, which is claimed forever.
    reserved: Option<String>,
    result: T,
}

/// What was decided, given a state of the store.
pub(super) enum Outcome<T> {
    /// It is so already.
    Done(T),
    Write(Box<Decision<T>>),
}

impl<T> Outcome<T> {
    fn write(decision: Decision<T>) -> Self {
        Self::Write(Box::new(decision))
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    /// Returns desired state that includes the value which the store has now at `key`. Without it,
    /// a process that lags would confirm that something is so which another one has changed.
    pub(super) async fn newest(&self, key: &StoreKey) -> Result<Arc<Desired>, WormholeError> {
        let Connection {
            records, replica, ..
        } = self.connection;
        replica.check_key().map_err(WriteError::from)?;
        let store = records.store();
        let read = try_join(store.read(key.clone()), store.incarnation()).await;
        let (entry, incarnation) = read.map_err(WriteError::from)?;
        let revision = entry.map_or(Revision::default(), |entry| entry.revision);
        let has_seen = |table: &LinkTable| table.has_seen(incarnation, revision);
        if !replica.until(Instant::now() + SEEN_WITHIN, has_seen).await {
            return Err(WriteError::Behind { key: key.clone() }.into());
        }
        Ok(replica.desired())
    }

    pub(super) async fn create(
        &self,
        new: NewWormhole,
    ) -> Result<(WormholeId, WormholeSpec), WormholeError> {
        if let Some(id) = &new.id {
            self.newest(&StoreKey::wormhole(id)).await?;
        }
        let mut tried = None;
        let decide = |desired: &Desired, may_hold: bool| {
            // If the answer to an attempt was lost, it may be in the store under its names. Others
            // would make a second wormhole.
            let named = match tried.take().filter(|_| may_hold) {
                Some(named) => named,
                None => names::complete(&new, desired)?,
            };
            let (id, spec, reserved) = named.clone();
            tried = Some(named);
            let found = desired.wormholes.get(&id);
            match desired.unreadable.get(&StoreKey::wormhole(&id)) {
                Some(found) if found.is_newer || !may_hold => {
                    return Err(WormholeError::unreadable(&id, found));
                }
                None if may_hold && found.is_some_and(|found| found.spec == spec) => {
                    return Ok(Outcome::Done((id, spec)));
                }
                None if found.is_some() => return Err(WormholeError::Exists { id }),
                _ => {}
            }
            Ok(Outcome::write(Decision {
                id: id.clone(),
                spec: Some(spec.clone()),
                reserved,
                result: (id, spec),
            }))
        };
        self.write(decide).await
    }

    pub(super) async fn update(
        &self,
        id: &WormholeId,
        mut change: impl FnMut(&mut WormholeSpec) + Send,
    ) -> Result<WormholeSpec, WormholeError> {
        self.newest(&StoreKey::wormhole(id)).await?;
        let decide = |desired: &Desired, _| {
            let (before, unreadable) = present(desired, id)?;
            let mut spec = before.spec.clone();
            change(&mut spec);
            spec.app.clone_from(&before.spec.app);
            // What an older version accepted can still be opened and closed.
            let is_checked = (&spec.host, &spec.domains, &spec.path, &spec.auth)
                == (
                    &before.spec.host,
                    &before.spec.domains,
                    &before.spec.path,
                    &before.spec.auth,
                );
            let spec = if is_checked { spec } else { spec.checked()? };
            if spec == before.spec && unreadable.is_none() {
                return Ok(Outcome::Done(spec));
            }
            Ok(Outcome::write(Decision {
                id: id.clone(),
                spec: Some(spec.clone()),
                reserved: None,
                result: spec,
            }))
        };
        self.write(decide).await
    }

    pub(super) async fn delete(&self, id: &WormholeId) -> Result<(), WormholeError> {
        self.newest(&StoreKey::wormhole(id)).await?;
        let decide = |desired: &Desired, may_hold: bool| {
            let key = StoreKey::wormhole(id);
            let found = desired.wormholes.get(id);
            let owner = desired.owner(&key).cloned();
            let owner = owner.or_else(|| found.and_then(|found| found.spec.app.clone()));
            match (owner, desired.unreadable.get(&key)) {
                (Some(app), _) => {
                    let id = id.clone();
                    return Err(WormholeError::Owned { id, app });
                }
                (None, Some(newer)) if newer.is_newer => {
                    return Err(WormholeError::unreadable(id, newer));
                }
                (None, None) if found.is_none() && may_hold => return Ok(Outcome::Done(())),
                (None, None) if found.is_none() => {
                    return Err(WormholeError::NotFound { id: id.clone() });
                }
                _ => {}
            }
            Ok(Outcome::write(Decision {
                id: id.clone(),
                spec: None,
                reserved: None,
                result: (),
            }))
        };
        self.write(decide).await
    }

    /// Decides, commits, and does so again until the commit is written and seen.
    async fn write<T>(
        &self,
        mut decide: impl FnMut(&Desired, bool) -> Result<Outcome<T>, WormholeError> + Send,
    ) -> Result<T, WormholeError> {
        let mut rewrite = Rewrite::until(Instant::now() + PATIENCE, PAUSES);
        let mut key = None;
        let written = self.attempts(&mut rewrite, &mut decide, &mut key).await;
        match (written, key) {
            (Err(WormholeError::Write(error)), Some(key)) => {
                Err(error.after(&key, rewrite.may_have_written()).into())
            }
            (written, _) => written,
        }
    }

    async fn attempts<T>(
        &self,
        rewrite: &mut Rewrite,
        decide: &mut (impl FnMut(&Desired, bool) -> Result<Outcome<T>, WormholeError> + Send),
        at: &mut Option<StoreKey>,
    ) -> Result<T, WormholeError> {
        let replica = &self.connection.replica;
        loop {
            replica.check_key().map_err(WriteError::from)?;
            // The links first: their revision is published last, so desired state includes it.
            let links = replica.snapshot();
            let desired = replica.desired();
            let basis = desired.basis(&links);
            let decision = match decide(&desired, rewrite.may_have_written())? {
                Outcome::Done(result) => return Ok(result),
                Outcome::Write(decision) => decision,
            };
            let key = at.insert(StoreKey::wormhole(&decision.id)).clone();
            let ops = self.ops(&desired, basis, &decision)?;
            let keys: Vec<StoreKey> = ops.iter().map(|op| op.key.clone()).collect();
            let is_recent = self.is_recent(basis).await?;
            if is_recent {
                let committed = rewrite.commit(&self.connection.records, ops).await;
                match committed.map_err(|error| WriteError::of(&key, error))? {
                    // A process that was paused since it decided may lack any number of writes.
                    Some(revision) if unseen(basis.generation, revision).is_some() => {
                        rewrite.was_refused();
                    }
                    Some(revision) => {
                        if self.is_accepted(basis, &keys, revision).await? {
                            return Ok(decision.result);
                        }
                        rewrite.was_refused();
                    }
                    None => {}
                }
            }
            let moved = |table: &LinkTable| table.revision().0 > basis.generation;
            replica.until(Instant::now() + REREAD, moved).await;
            if let Err(error) = rewrite.again().await {
                let error = if is_recent {
                    WriteError::of(&key, error)
                } else {
                    WriteError::Behind { key }
                };
                return Err(error.into());
            }
        }
    }

    /// Returns whether every process accepts a write that is decided by `basis`.
    async fn is_recent(&self, basis: Basis) -> Result<bool, WormholeError> {
        let position = self.connection.records.store().position().await;
        let position = position.map_err(WriteError::from)?;
        Ok(self
            .connection
            .replica
            .check_recent(basis, position)
            .is_ok())
    }

    /// Waits until this process has seen a write of these keys. Returns whether it has accepted it,
    /// so that every process does. The answer of the store has no tag, and proves nothing.
    async fn is_accepted(
        &self,
        basis: Basis,
        keys: &[StoreKey],
        revision: Revision,
    ) -> Result<bool, WormholeError> {
        let replica = &self.connection.replica;
        let has_seen = |table: &LinkTable| table.has_seen(basis.incarnation, revision);
        if !replica.until(Instant::now() + SEEN_WITHIN, has_seen).await {
            return Err(WriteError::NotSeen { revision }.into());
        }
        let table = replica.record_table();
        let is_refused = keys.iter().any(|key| table.refuses(key, revision));
        // The record is the last write of the commit, so it has this revision.
        let written = keys.last().and_then(|key| table.written_at(key));
        Ok(!is_refused && revision.0 > basis.generation && written >= Some(revision))
    }

    /// Returns the operations of a commit: the claims, and then the record.
    fn ops<T>(
        &self,
        desired: &Desired,
        basis: Basis,
        decision: &Decision<T>,
    ) -> Result<Vec<Op>, WormholeError> {
        let Decision {
            id, spec, reserved, ..
        } = decision;
        let records = &self.connection.records;
        let mut claims = Claims::new(desired);
        match spec {
            Some(spec) => claims.put(id, spec),
            None => claims.delete(id),
        }
        if let Some(name) = reserved {
            claims.reserve(name);
        }
        let claims = claims.to_write().map_err(|taken| taken_by(&taken))?;
        if let Some((host, newer)) = desired.newer_claim(claims.hosts()) {
            return Err(WormholeError::NewerClaim {
                host: host.to_string(),
                reason: newer.reason.clone(),
            });
        }
        let unencodable = |error| WormholeError::from(WriteError::Unencodable(error));
        let mut ops = claims.puts(records, basis).map_err(unencodable)?;
        ops.extend(claims.deletions(records, basis));
        let (key, expect) = (StoreKey::wormhole(id), expected(desired, id));
        ops.push(match spec {
            Some(spec) => {
                let body = Body(spec);
                let value = records.encode(basis.incarnation, &key, basis.generation, &body);
                Op::put(key, value.map_err(unencodable)?, expect)
            }
            None => records.deletion(basis.incarnation, key, basis.generation, expect),
        });
        Ok(ops)
    }
}

/// Returns the record of a wormhole, and what is wrong with the value in the store, if anything.
fn present<'d>(
    desired: &'d Desired,
    id: &WormholeId,
) -> Result<(&'d Declared<WormholeSpec>, Option<&'d Unreadable>), WormholeError> {
    let unreadable = desired.unreadable.get(&StoreKey::wormhole(id));
    match (desired.wormholes.get(id), unreadable) {
        (_, Some(newer)) if newer.is_newer => Err(WormholeError::unreadable(id, newer)),
        (Some(found), unreadable) => Ok((found, unreadable)),
        (None, Some(unreadable)) => Err(WormholeError::unreadable(id, unreadable)),
        (None, None) => Err(WormholeError::NotFound { id: id.clone() }),
    }
}

/// Returns what a writer expects of the key of a wormhole.
fn expected(desired: &Desired, id: &WormholeId) -> Expect {
    let key = StoreKey::wormhole(id);
    match (desired.unreadable.get(&key), desired.wormholes.get(id)) {
        (Some(unreadable), _) => unreadable.expect(),
        (None, Some(found)) => Expect::At(found.revision),
        (None, None) => desired.expect_none(&key),
    }
}

/// Returns the error of names that are taken. There is at least one.
fn taken_by(taken: &[Taken]) -> WormholeError {
    taken.first().map_or(WormholeError::NoFreeName, |taken| {
        WormholeError::HostTaken {
            host: taken.host.to_string(),
            path: taken.path.clone(),
            by: taken.by.clone(),
        }
    })
}
