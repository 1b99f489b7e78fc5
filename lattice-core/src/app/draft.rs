//! Computes the writes that an app needs, given the contents of the store. Pure.

use super::{
    check::Found,
    claims,
    plan::{Difference, Plan, PlannedChange},
    problem::{ManifestPath, ProblemKind},
    resource::{Record, ResourceRef},
    want::{Wanted, Wants},
    warning::Warning,
};
use crate::{
    desired::{ActorSpec, AppRecord, ClaimWrites, Desired, Image, ProviderKind},
    link::{Link, LinkTable},
    name::{AppName, ComponentId},
    store::{
        Expect, MAX_OPS, Op, StoreKey,
        generation::Basis,
        record::{RecordError, Records},
    },
};
use std::collections::BTreeSet;

/// A plan and the writes that carry it out.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) plan: Plan,
    pub(super) found: Vec<Found>,
    /// Links that are new or changed, whose two ends have to be checked against each other.
    pub(super) links: Vec<(ManifestPath, Link)>,
    puts: Vec<(StoreKey, Record, Expect)>,
    deletes: Vec<(StoreKey, Expect)>,
    /// The statuses of deleted links, which hosts write. A status is about one revision of a link,
    /// so a replayed one has no effect, and they need no authenticated deletion.
    statuses: Vec<StoreKey>,
    /// The records of the generations of deleted actors that have served, which hosts keep.
    served: Vec<(StoreKey, Expect)>,
    /// The claims to the host names of wormholes.
    claims: ClaimWrites,
    /// The number of records that the app has after the commit.
    size: usize,
}

/// The contents of the store at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present<'a> {
    pub(super) desired: &'a Desired,
    pub(super) links: &'a LinkTable,
}

/// The store's entry at the key of a resource.
enum Standing {
    Nothing,
    Record(Expect, Box<Record>),
    Garbage(Expect, String),
    Newer(String),
}

impl Present<'_> {
    /// Returns what the writes are decided by.
    pub(super) fn basis(self) -> Basis {
        self.desired.basis(self.links)
    }

    fn standing(self, resource: &ResourceRef) -> Standing {
        // If the key is unreadable now, the value that was last read there isn't the store's
        // current value.
        match self.desired.unreadable.get(&resource.key()) {
            None => match resource.find(self.desired, self.links) {
                Some((revision, record)) => {
                    Standing::Record(Expect::At(revision), Box::new(record))
                }
                None => Standing::Nothing,
            },
            Some(found) if found.is_newer => Standing::Newer(found.reason.clone()),
            Some(found) => Standing::Garbage(found.expect(), found.reason.clone()),
        }
    }

    /// Returns the key of the record of an actor's generations that have served, if hosts have
    /// written one that this version may delete.
    fn served(self, id: &ComponentId) -> Option<(StoreKey, Expect)> {
        let key = StoreKey::served(id);
        let expect = match self.desired.unreadable.get(&key) {
            Some(found) if found.is_newer => return None,
            Some(found) => found.expect(),
            None => Expect::At(self.desired.served.get(id)?.revision),
        };
        Some((key, expect))
    }

    /// Returns how the plan shows that a rejected version is applied again.
    fn tried_again(
        self,
        id: &ComponentId,
        before: &ActorSpec,
        after: &Record,
    ) -> Option<Difference> {
        let Record::Actor(after) = after else {
            return None;
        };
        if before.rejected.is_none() || !after.runs_as(before) {
            return None;
        }
        let text = serde_json::Value::from;
        Some(if self.desired.is_rolled_back(id, before) {
            let runs = text(self.desired.running(id, before).version());
            Difference::new("runs", Some(&runs), Some(&text(after.version())))
        } else {
            let because = before.rejected_because.clone().unwrap_or_default();
            Difference::new("rejected", Some(&text(because)), None)
        })
    }

    /// Returns everything that an app owns, both by its own record and by the records that name it
    /// as their owner.
    fn owned(self, app: &AppName) -> BTreeSet<StoreKey> {
        fn of<'a, K: 'a, T: 'a>(
            records: impl IntoIterator<Item = (&'a K, &'a T)>,
            is_of: impl Fn(&T) -> bool,
            key: impl Fn(&K) -> StoreKey,
        ) -> Vec<StoreKey> {
            let theirs = records.into_iter().filter(|(_, record)| is_of(record));
            theirs.map(|(name, _)| key(name)).collect()
        }
        let desired = self.desired;
        let recorded = desired.apps.get(app);
        let mut owned = recorded.map_or_else(BTreeSet::new, |record| record.spec.owns.clone());
        let app = Some(app);
        owned.extend(of(
            &desired.actors,
            |a| a.spec.app.as_ref() == app,
            StoreKey::actor,
        ));
        owned.extend(of(
            &desired.providers,
            |p| p.spec.app.as_ref() == app,
            StoreKey::provider,
        ));
        owned.extend(of(
            &desired.wormholes,
            |w| w.spec.app.as_ref() == app,
            StoreKey::wormhole,
        ));
        owned.extend(of(
            &desired.configs,
            |c| c.spec.app.as_ref() == app,
            StoreKey::config,
        ));
        owned
    }
}

impl Draft {
    /// Computes the writes that apply an app.
    pub(super) fn of_app(
        name: &AppName,
        version: Option<&String>,
        wants: &Wants,
        present: Present<'_>,
    ) -> Self {
        let mut draft = Self::empty(name);
        let owned = present.owned(name);
        for (resource, wanted) in wants {
            draft.want(resource, wanted, present, &owned);
        }
        // Resources of kinds that this version doesn't know stay the app's.
        let unknown = owned
            .iter()
            .filter(|key| ResourceRef::owned_at(key).is_none());
        let mut owns: BTreeSet<StoreKey> = unknown.cloned().collect();
        owns.extend(wants.keys().map(ResourceRef::key));
        draft.drop_all(owned.difference(&owns), present);
        match claims::of_commit(&draft.puts, &draft.deletes, present.desired) {
            Ok(claims) => draft.claims = claims,
            Err(found) => draft.found.extend(found),
        }
        draft.size = owns.len() + 1;
        let record = AppRecord {
            version: version.cloned(),
            owns,
            ..AppRecord::default()
        };
        draft.record(ResourceRef::App(name.clone()), record, present);
        draft
    }

    /// Computes the writes that delete an app. Returns `None` if there is no such app.
    pub(super) fn without_app(name: &AppName, present: Present<'_>) -> Option<Self> {
        let mut draft = Self::empty(name);
        let resource = ResourceRef::App(name.clone());
        let owned = present.owned(name);
        let standing = present.standing(&resource);
        if owned.is_empty() && matches!(standing, Standing::Nothing) {
            return None;
        }
        draft.drop_all(&owned, present);
        match standing {
            Standing::Nothing => {}
            Standing::Record(expect, _) | Standing::Garbage(expect, _) => {
                draft.plan.delete.push(resource.clone());
                draft.deletes.push((resource.key(), expect));
            }
            Standing::Newer(reason) => {
                let newer = ProblemKind::Newer { resource, reason };
                draft.found.push((ManifestPath::default(), newer));
            }
        }
        // Nothing is claimed, so no claim is in the way.
        let claims = claims::of_commit(&draft.puts, &draft.deletes, present.desired);
        draft.claims = claims.unwrap_or_default();
        Some(draft)
    }

    fn empty(name: &AppName) -> Self {
        Self {
            plan: Plan::new(name.clone()),
            found: Vec::new(),
            links: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            statuses: Vec::new(),
            served: Vec::new(),
            claims: ClaimWrites::default(),
            size: 0,
        }
    }

    fn want(
        &mut self,
        resource: &ResourceRef,
        wanted: &Wanted,
        present: Present<'_>,
        owned: &BTreeSet<StoreKey>,
    ) {
        let Wanted { record, path } = wanted;
        if let Some(problem) = self.rival(resource, present) {
            self.found.push((path.clone(), problem));
            return;
        }
        let key = resource.key();
        let expect = match present.standing(resource) {
            Standing::Nothing => present.desired.expect_none(&key),
            Standing::Garbage(expect, reason) => {
                let resource = resource.clone();
                let warning = Warning::WrittenOver { resource, reason };
                self.plan.warnings.push(warning);
                expect
            }
            Standing::Newer(reason) => {
                let resource = resource.clone();
                self.found
                    .push((path.clone(), ProblemKind::Newer { resource, reason }));
                return;
            }
            Standing::Record(expect, before) => {
                let existing = (expect, &*before, owned.contains(&key));
                self.over(resource, (record, path), existing, present);
                return;
            }
        };
        self.plan.create.push(resource.clone());
        self.note(resource, record, path);
        self.puts.push((key, record.clone(), expect));
    }

    /// Returns why a resource can't belong to this app, if it can't.
    fn rival(&self, resource: &ResourceRef, present: Present<'_>) -> Option<ProblemKind> {
        // An actor and a provider can't have the same id.
        let other = match resource {
            ResourceRef::Actor(id) => Some(ResourceRef::Provider(id.clone())),
            ResourceRef::Provider(id) => Some(ResourceRef::Actor(id.clone())),
            _ => None,
        };
        let is_there = |other: &ResourceRef| other.find(present.desired, present.links).is_some();
        let other = other.filter(is_there);
        for resource in [Some(resource), other.as_ref()].into_iter().flatten() {
            let recorded = resource.find(present.desired, present.links);
            let recorded = recorded.and_then(|(_, record)| record.app().cloned());
            let owner = present.desired.owner(&resource.key()).cloned().or(recorded);
            let resource = resource.clone();
            match owner {
                Some(app) if app != self.plan.app => {
                    return Some(ProblemKind::Owned { resource, app });
                }
                None if other.as_ref() == Some(&resource) => {
                    return Some(ProblemKind::ByHand { resource });
                }
                _ => {}
            }
        }
        None
    }

    /// Plans the change of a record that exists, put by hand or by an earlier version of the app.
    fn over(
        &mut self,
        resource: &ResourceRef,
        (record, path): (&Record, &ManifestPath),
        (expect, before, is_owned): (Expect, &Record, bool),
        present: Present<'_>,
    ) {
        let mut after = record.clone();
        let tried_again = if let (ResourceRef::Actor(id), Record::Actor(spec)) = (resource, before)
        {
            after.keep_extra(before, present.desired.is_proven(id, spec));
            present.tried_again(id, spec, &after)
        } else {
            after.keep_extra(before, true);
            None
        };
        let same = after == *before;
        if !is_owned && before.clone().of_app(None) != after.clone().of_app(None) {
            let by_hand = ProblemKind::ByHand {
                resource: resource.clone(),
            };
            self.found.push((path.clone(), by_hand));
            return;
        }
        self.warn_of_tag(resource, &after);
        if same && is_owned {
            self.plan.unchanged.push(resource.clone());
            return;
        }
        // A record that the app takes over is always written, so that of two apps that take it over
        // at once, one fails.
        let differences = if same {
            let app = serde_json::Value::from(self.plan.app.as_str());
            vec![Difference::new("app", None, Some(&app))]
        } else {
            let between = Difference::between(&before.to_json(), &after.to_json());
            let mut differences: Vec<_> = match &after {
                Record::Link(_) | Record::Wormhole(_) => between
                    .into_iter()
                    .map(Difference::without_secrets)
                    .collect(),
                _ => between,
            };
            differences.extend(tried_again);
            differences
        };
        let resource = resource.clone();
        self.puts.push((resource.key(), after, expect));
        if let Record::Link(link) = record {
            self.links.push((path.clone(), link.clone()));
        }
        self.plan.change.push(PlannedChange {
            resource,
            differences,
        });
    }

    fn note(&mut self, resource: &ResourceRef, record: &Record, path: &ManifestPath) {
        self.warn_of_tag(resource, record);
        if let Record::Link(link) = record {
            self.links.push((path.clone(), link.clone()));
        }
    }

    fn warn_of_tag(&mut self, resource: &ResourceRef, record: &Record) {
        let image = match record {
            Record::Actor(spec) if spec.digest.is_none() => Some(&spec.image),
            Record::Provider(spec) if spec.digest.is_none() => match &spec.kind {
                ProviderKind::Image(image) => Some(image),
                ProviderKind::Builtin(_) => None,
            },
            _ => None,
        };
        if let Some(Image::Oci(reference)) = image {
            let (resource, reference) = (resource.clone(), reference.clone());
            let warning = Warning::Unpinned {
                resource,
                reference,
            };
            self.plan.warnings.push(warning);
        }
    }

    fn drop_all<'a>(&mut self, keys: impl IntoIterator<Item = &'a StoreKey>, present: Present<'_>) {
        for key in keys {
            let Some(resource) = ResourceRef::owned_at(key) else {
                continue;
            };
            let (expect, is_known) = match present.standing(&resource) {
                // If its record was removed without the key before this process started, hosts that
                // started earlier keep it until they receive its deletion.
                Standing::Nothing => (present.desired.expect_none(key), false),
                Standing::Record(expect, _) | Standing::Garbage(expect, _) => (expect, true),
                Standing::Newer(reason) => {
                    let newer = ProblemKind::Newer { resource, reason };
                    self.found.push((ManifestPath::default(), newer));
                    continue;
                }
            };
            if let ResourceRef::Link(link) = &resource
                && present.links.reports(link).is_some()
            {
                let status = StoreKey::link_status_at(&link.source, &link.interface, &link.name);
                self.statuses.push(status);
            }
            if let ResourceRef::Actor(id) = &resource {
                self.served.extend(present.served(id));
            }
            self.deletes.push((key.clone(), expect));
            if is_known {
                self.plan.delete.push(resource);
            }
        }
    }

    /// Adds the app's own record. It is the last write of every commit, so that when two processes
    /// apply the app at once, one of them fails.
    fn record(&mut self, resource: ResourceRef, record: AppRecord, present: Present<'_>) {
        let (key, version) = (resource.key(), record.version.clone());
        let mut after = Record::App(record);
        let expect = match present.standing(&resource) {
            Standing::Nothing => {
                self.plan.create.insert(0, resource);
                present.desired.expect_none(&key)
            }
            Standing::Garbage(expect, reason) => {
                self.plan.create.insert(0, resource.clone());
                self.plan
                    .warnings
                    .push(Warning::WrittenOver { resource, reason });
                expect
            }
            Standing::Newer(reason) => {
                let newer = ProblemKind::Newer { resource, reason };
                self.found.push((ManifestPath::default(), newer));
                return;
            }
            Standing::Record(expect, before) => {
                after.keep_extra(&before, true);
                let of_version = match &*before {
                    Record::App(before) => before.version == version,
                    _ => false,
                };
                let tell = !of_version || (self.plan.is_empty() && after != *before);
                if tell {
                    let mut differences = Difference::between(&before.to_json(), &after.to_json());
                    // The plan already lists the resources.
                    differences.retain(|d| d.field != "owns" || self.plan.is_empty());
                    self.plan.change.insert(
                        0,
                        PlannedChange {
                            resource,
                            differences,
                        },
                    );
                } else if self.plan.is_empty() {
                    self.plan.unchanged.insert(0, resource);
                    return;
                }
                expect
            }
        };
        self.puts.push((key, after, expect));
    }

    /// Returns how many operations the commit takes, but at least as many as deleting the app will
    /// take.
    pub(super) fn ops(&self) -> usize {
        (self.puts.len() + self.deletes.len() + self.claims.len()).max(self.size)
    }

    /// Returns the commit, with the app's own record last.
    pub(super) fn commit(
        &self,
        records: &Records,
        present: Present<'_>,
    ) -> Result<Vec<Op>, RecordError> {
        let Basis {
            incarnation,
            generation,
        } = present.basis();
        let delete = |(key, expect): &(StoreKey, Expect)| {
            records.deletion(incarnation, key.clone(), generation, *expect)
        };
        // Records of hosts that don't fit into the commit stay. They refer to a revision or a
        // generation that is gone, so they do no harm. Nor do claims of names that are free.
        let room = MAX_OPS.saturating_sub(self.ops());
        let status = |key: &StoreKey| Op::delete(key.clone(), Expect::Any);
        let mut ops: Vec<Op> = self.served.iter().map(delete).collect();
        ops.extend(self.statuses.iter().map(status));
        ops.extend(self.claims.deletions(records, present.basis()));
        ops.truncate(room);
        ops.extend(self.deletes.iter().map(delete));
        ops.extend(self.claims.puts(records, present.basis())?);
        for (key, record, expect) in &self.puts {
            let value = record.encode(records, incarnation, key, generation)?;
            ops.push(Op::put(key.clone(), value, *expect));
        }
        Ok(ops)
    }
}
