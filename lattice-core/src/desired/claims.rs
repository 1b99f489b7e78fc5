//! Which wormhole has which host name, and the claims that a commit of wormholes needs. Pure.

use super::{Body, Desired, Extra, HostClaim, WormholeSpec};
use crate::{
    name::WormholeId,
    store::{
        Expect, Op, StoreKey,
        generation::Basis,
        record::{RecordError, Records},
    },
    wormhole::{HostName, canonical_path},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The claims that a commit needs that writes or deletes wormholes.
#[derive(Debug)]
pub(crate) struct Claims<'a> {
    desired: &'a Desired,
    /// The wormholes as the commit leaves them; `None` for one that it deletes.
    after: BTreeMap<&'a WormholeId, Option<&'a WormholeSpec>>,
    /// Names that are claimed although no wormhole has them, so that they are not generated again.
    reserved: Vec<HostName>,
}

/// What a commit does to claims.
#[derive(Debug, Default)]
pub(crate) struct ClaimWrites {
    /// The claims to write, and what is expected of their keys.
    puts: Vec<(HostName, HostClaim, Expect)>,
    /// The host names whose claims can be deleted, and what is expected of their keys.
    free: Vec<(HostName, Expect)>,
}

/// A host name and path that another wormhole has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The wormhole that wants it.
    pub(crate) wanted_by: WormholeId,
    pub(crate) host: HostName,
    pub(crate) path: String,
    /// The wormhole that has it.
    pub(crate) by: WormholeId,
}

/// One host name and path.
type Name = (HostName, String);

impl<'a> Claims<'a> {
    /// Starts with a commit that changes no wormhole.
    pub(crate) fn new(desired: &'a Desired) -> Self {
        Self {
            desired,
            after: BTreeMap::new(),
            reserved: Vec::new(),
        }
    }

    /// Adds a wormhole that the commit writes.
    pub(crate) fn put(&mut self, id: &'a WormholeId, spec: &'a WormholeSpec) {
        self.after.insert(id, Some(spec));
    }

    /// Adds a wormhole that the commit deletes.
    pub(crate) fn delete(&mut self, id: &'a WormholeId) {
        self.after.insert(id, None);
    }

    /// Claims a generated name, whether a wormhole has it as its host name or not.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.reserved.push(HostName::of_record(name));
    }

    /// Returns what the commit does to claims.
    ///
    /// A claim is written whenever a wormhole gains a name, also if the claim says so already: a
    /// writer that takes the name for free fails then. The claim of a name that no wormhole has any
    /// more is deleted, unless the name may be generated: only such a claim has to be kept.
    ///
    /// # Errors
    /// Fails with the names that other wormholes have.
    pub(crate) fn to_write(&self) -> Result<ClaimWrites, Vec<Taken>> {
        let (wanted, taken) = self.wanted();
        if !taken.is_empty() {
            return Err(taken);
        }
        let mut hosts: BTreeMap<&HostName, Vec<(&str, &WormholeId)>> = BTreeMap::new();
        for ((host, path), id) in &wanted {
            hosts.entry(host).or_default().push((path, id));
        }
        for name in &self.reserved {
            hosts.entry(name).or_default();
        }
        let is_new = |(host, paths): &(&HostName, Vec<(&str, &WormholeId)>)| {
            let is_claimed = |(path, id): &(&str, &WormholeId)| self.is_claimed(host, path, id);
            paths.is_empty() || !paths.iter().all(is_claimed)
        };
        let write = |(host, paths): (&HostName, Vec<(&str, &WormholeId)>)| {
            let (claim, expect) = self.claim(host, &paths);
            (host.clone(), claim, expect)
        };
        let free = self.free(|host| hosts.contains_key(host));
        let puts = hosts.into_iter().filter(is_new).map(write).collect();
        Ok(ClaimWrites { puts, free })
    }

    /// Returns the names that the commit's wormholes had and no wormhole has after it, whose claims
    /// needn't be kept.
    fn free(&self, is_wanted: impl Fn(&HostName) -> bool) -> Vec<(HostName, Expect)> {
        let before = self.after.keys().copied();
        let before = before.filter_map(|id| self.desired.wormholes.get(id));
        let had: BTreeSet<HostName> = before.flat_map(|before| before.spec.hosts()).collect();
        let is_kept = |host: &HostName| {
            let is_unreadable = || {
                let key = StoreKey::wormhole_host(host.as_str());
                self.desired.unreadable.contains_key(&key)
            };
            let has_it = |after: &WormholeSpec| after.hosts().any(|own| own == *host);
            let is_kept = || self.after.values().flatten().any(|after| has_it(after));
            is_wanted(host) || host.may_be_generated() || is_unreadable() || is_kept()
        };
        let free = |host: HostName| {
            let known = self.desired.claims.get(&host)?;
            let (claim, _) = self.claim(&host, &[]);
            let is_free = claim.paths.is_empty() && claim.extra == Extra::default();
            is_free.then(|| (host, Expect::At(known.revision)))
        };
        had.into_iter()
            .filter(|host| !is_kept(host))
            .filter_map(free)
            .collect()
    }

    /// Returns the names that the commit's wormholes have, and those that others have already.
    fn wanted(&self) -> (BTreeMap<Name, &WormholeId>, Vec<Taken>) {
        let others = self.others();
        let mut wanted: BTreeMap<Name, &WormholeId> = BTreeMap::new();
        let mut taken = Vec::new();
        let names = self
            .after
            .iter()
            .filter_map(|(id, spec)| Some((*id, (*spec)?)));
        let names = names.flat_map(|(id, spec)| {
            let path = canonical_path(&spec.path).to_owned();
            spec.hosts().map(move |host| (id, (host, path.clone())))
        });
        let (kept, gained): (Vec<_>, Vec<_>) = names.partition(|(id, name)| self.had(id, name));
        for (id, name) in kept {
            // One that another has as well is left as it is claimed.
            if !others.contains_key(&name) {
                wanted.entry(name).or_insert(id);
            }
        }
        for (id, name) in gained {
            let by = wanted.get(&name).or_else(|| others.get(&name)).copied();
            match by.or_else(|| self.unreadable_holder(&name)) {
                Some(by) => taken.push(Taken {
                    wanted_by: id.clone(),
                    by: by.clone(),
                    host: name.0,
                    path: name.1,
                }),
                None => drop(wanted.insert(name, id)),
            }
        }
        (wanted, taken)
    }

    /// Returns whether a wormhole had a name before the commit. It may keep one that others have
    /// too, as records of older versions do, so that it can always be closed.
    fn had(&self, id: &WormholeId, (host, path): &Name) -> bool {
        let before = self.desired.wormholes.get(id);
        before.is_some_and(|before| before.spec.has(host, path))
    }

    /// Returns the names that the wormholes have which the commit leaves as they are. Those whose
    /// record can't be read now keep the names of the last one that was read.
    fn others(&self) -> HashMap<Name, &WormholeId> {
        let others = self.desired.wormholes.iter();
        others
            .filter(|(id, _)| !self.after.contains_key(id))
            .flat_map(|(id, wormhole)| {
                let path = canonical_path(&wormhole.spec.path).to_owned();
                let name = move |host| ((host, path.clone()), id);
                wormhole.spec.hosts().map(name)
            })
            .collect()
    }

    /// Returns the wormhole that has claimed a name, if its record can't be read and the commit
    /// doesn't write it.
    fn unreadable_holder(&self, (host, path): &Name) -> Option<&WormholeId> {
        let claim = self.desired.claims.get(host)?;
        let holder = claim.spec.paths.get(path)?;
        let is_other = !self.after.contains_key(holder);
        (is_other && self.desired.is_unreadable(holder)).then_some(holder)
    }

    /// Returns whether a wormhole had a name before the commit, and the claim says so.
    fn is_claimed(&self, host: &HostName, path: &str, id: &WormholeId) -> bool {
        let claim = self.desired.claims.get(host);
        let had_it = |before: &WormholeSpec| before.has(host, path);
        let key = StoreKey::wormhole_host(host.as_str());
        claim.is_some_and(|claim| claim.spec.paths.get(path) == Some(id))
            && self
                .desired
                .wormholes
                .get(id)
                .is_some_and(|before| had_it(&before.spec))
            && !self.desired.is_unreadable(id)
            && !self.desired.unreadable.contains_key(&key)
    }

    /// Returns the claim to a host name with these wormholes in addition to those that still have
    /// it, and what is expected of its key.
    fn claim(&self, host: &HostName, paths: &[(&str, &WormholeId)]) -> (HostClaim, Expect) {
        let key = StoreKey::wormhole_host(host.as_str());
        let known = self.desired.claims.get(host);
        let mut claim = known.map_or_else(HostClaim::default, |known| known.spec.clone());
        claim.paths.retain(|path, id| {
            let has_it = |spec: &WormholeSpec| spec.has(host, path);
            if let Some(after) = self.after.get(id) {
                return after.is_some_and(has_it);
            }
            let now = self.desired.wormholes.get(id);
            self.desired.is_unreadable(id) || now.is_some_and(|now| has_it(&now.spec))
        });
        let new = paths
            .iter()
            .map(|(path, id)| ((*path).to_owned(), WormholeId::clone(id)));
        claim.paths.extend(new);
        let expect = match (self.desired.unreadable.get(&key), known) {
            (Some(unreadable), _) => unreadable.expect(),
            (None, Some(known)) => Expect::At(known.revision),
            (None, None) => self.desired.expect_none(&key),
        };
        (claim, expect)
    }
}

impl ClaimWrites {
    /// Returns how many operations the commit needs for them. Deletions can be left out.
    pub(crate) fn len(&self) -> usize {
        self.puts.len()
    }

    /// Returns the host names whose claims are written.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &HostName> {
        self.puts.iter().map(|(host, ..)| host)
    }

    /// Returns the operations that write claims.
    pub(crate) fn puts(&self, records: &Records, basis: Basis) -> Result<Vec<Op>, RecordError> {
        let op = |(host, claim, expect): &(HostName, HostClaim, Expect)| {
            let key = StoreKey::wormhole_host(host.as_str());
            let body = Body(claim);
            let value = records.encode(basis.incarnation, &key, basis.generation, &body)?;
            Ok(Op::put(key, value, *expect))
        };
        self.puts.iter().map(op).collect()
    }

    /// Returns the operations that delete claims.
    pub(crate) fn deletions(&self, records: &Records, basis: Basis) -> impl Iterator<Item = Op> {
        self.free.iter().map(move |(host, expect)| {
            let key = StoreKey::wormhole_host(host.as_str());
            records.deletion(basis.incarnation, key, basis.generation, *expect)
        })
    }
}

impl Desired {
    /// Returns whether the record of a wormhole can't be read.
    fn is_unreadable(&self, id: &WormholeId) -> bool {
        self.unreadable.contains_key(&StoreKey::wormhole(id))
    }

    /// Returns the first host name of these whose claim a newer version wrote, which this one never
    /// overwrites.
    pub(crate) fn newer_claim<'a>(
        &self,
        hosts: impl IntoIterator<Item = &'a HostName>,
    ) -> Option<(&'a HostName, &super::Unreadable)> {
        let found = |host: &'a HostName| {
            let key = StoreKey::wormhole_host(host.as_str());
            let found = self.unreadable.get(&key)?;
            found.is_newer.then_some((host, found))
        };
        hosts.into_iter().find_map(found)
    }

    /// Returns whether no wormhole has or had this name, as its id or as its host name.
    pub(crate) fn is_unused(&self, id: &WormholeId) -> bool {
        let (key, host_key) = (StoreKey::wormhole(id), StoreKey::wormhole_host(id.as_str()));
        let is_used =
            |key: &StoreKey| self.unreadable.contains_key(key) || self.removed.contains_key(key);
        let has_host = |host: HostName| host == id.as_str();
        !(self.wormholes.contains_key(id)
            || self.claims.contains_key(id.as_str())
            || is_used(&key)
            || is_used(&host_key)
            || self
                .wormholes
                .values()
                .any(|other| other.spec.hosts().any(has_host)))
    }
}
