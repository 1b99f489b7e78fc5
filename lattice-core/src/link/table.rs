//! The replicated table of links: which component may call which.

mod held;

pub(crate) use held::Lacking;

use super::{Link, LinkChange, LinkEntry, LinkKey, LinkReports};
use crate::{
    name::{ComponentId, LinkName},
    store::{Incarnation, Revision},
};
use foldhash::fast::RandomState;
use held::Held;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// All links as of one revision of the store.
///
/// Pure: it is given the store's events in order, and returns what changed. A clone is a snapshot
/// that shares everything unchanged, so copying it per change is cheap: one pointer per source and
/// per target.
#[derive(Debug, Clone, Default)]
pub struct LinkTable {
    incarnation: Incarnation,
    revision: Revision,
    sources: HashMap<ComponentId, Arc<Source>, RandomState>,
    targets: HashMap<ComponentId, Arc<Target>>,
    held: Arc<BTreeMap<LinkKey, Held>>,
}

/// The links and reports of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    /// By interface with its compatible version. Each has a few link names at most.
    links: HashMap<Box<str>, Vec<Arc<LinkEntry>>, RandomState>,
    /// Also has reports on missing links: a report may arrive before its link.
    reports: HashMap<LinkKey, Arc<LinkReports>>,
}

type Target = BTreeMap<Arc<LinkKey>, Arc<LinkEntry>>;

/// An event of the store, already authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableEvent {
    /// All links and reports.
    Snapshot {
        /// The incarnation of the store.
        incarnation: Incarnation,
        /// Every write up to this one is included.
        revision: Revision,
        /// All links and reports, as [`TableEvent::Link`] and [`TableEvent::Reports`].
        records: Vec<TableEvent>,
    },
    /// A link was put.
    Link {
        /// The revision of the write.
        revision: Revision,
        /// The link.
        link: Arc<Link>,
    },
    /// A link is gone.
    NoLink {
        /// The revision of the write.
        revision: Revision,
        /// The key of the link.
        key: LinkKey,
    },
    /// Hosts of a target reported on a link.
    Reports {
        /// The revision of the write.
        revision: Revision,
        /// The key of the link.
        key: LinkKey,
        /// The reports.
        reports: Arc<LinkReports>,
    },
    /// The reports on a link are gone.
    NoReports {
        /// The revision of the write.
        revision: Revision,
        /// The key of the link.
        key: LinkKey,
    },
    /// Something was written that does not concern links.
    Other {
        /// The revision of the write.
        revision: Revision,
    },
}

impl LinkTable {
    /// Returns the incarnation of the store that this is a copy of.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Returns the highest revision that was applied: every write up to it is in the table.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns whether everything up to `revision` is in the table. A later incarnation includes
    /// all of an earlier one.
    pub fn has_seen(&self, incarnation: Incarnation, revision: Revision) -> bool {
        (self.incarnation, self.revision) >= (incarnation, revision)
    }

    /// Returns the link of `source` for an interface (with its compatible version) under a link
    /// name. Runs on every call, so it allocates nothing.
    pub fn resolve(
        &self,
        source: &ComponentId,
        interface: &str,
        name: &LinkName,
    ) -> Option<&Arc<LinkEntry>> {
        self.sources
            .get(source)?
            .links
            .get(interface)?
            .iter()
            .find(|entry| entry.link.name == *name)
    }

    /// Returns the link with this key.
    pub fn entry(&self, key: &LinkKey) -> Option<&Arc<LinkEntry>> {
        self.resolve(&key.source, &key.interface, &key.name)
    }

    /// Returns the links to `component`, ordered by key.
    pub fn by_target(&self, component: &ComponentId) -> impl Iterator<Item = &Arc<LinkEntry>> {
        self.targets
            .get(component)
            .into_iter()
            .flat_map(|target| target.values())
    }

    /// Returns the links of `component`, in no particular order.
    pub fn by_source(&self, component: &ComponentId) -> impl Iterator<Item = &Arc<LinkEntry>> {
        self.sources
            .get(component)
            .into_iter()
            .flat_map(|source| source.entries())
    }

    /// Returns all links, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<LinkEntry>> {
        self.sources.values().flat_map(|source| source.entries())
    }

    /// Returns the reports at this link's key, even when they are on another revision of it or the
    /// link is gone.
    pub(crate) fn reports(&self, key: &LinkKey) -> Option<&Arc<LinkReports>> {
        self.sources.get(&key.source)?.reports.get(key)
    }

    /// Applies the store's next event and returns how links changed. Ignores an event that is older
    /// than what the table has for the same key.
    pub fn apply(&mut self, event: TableEvent) -> Vec<LinkChange> {
        match event {
            TableEvent::Snapshot {
                incarnation,
                revision,
                records,
            } => self.replace(incarnation, revision, records),
            TableEvent::Link { revision, link } => self.put(revision, link),
            TableEvent::NoLink { revision, key } => self.remove(revision, &key),
            TableEvent::Reports {
                revision,
                key,
                reports,
            } => self.report(revision, key, Some(reports)),
            TableEvent::NoReports { revision, key } => self.report(revision, key, None),
            TableEvent::Other { revision } => {
                self.advance(revision);
                Vec::new()
            }
        }
    }

    /// Returns how the links of `newer` differ. Cheap when `newer` is a later state of the same
    /// table.
    pub fn diff(&self, newer: &Self) -> Vec<LinkChange> {
        let mut changes = Vec::new();
        for (id, before) in &self.sources {
            match newer.sources.get(id) {
                Some(after) if Arc::ptr_eq(before, after) => {}
                after => before.diff(after.map(|after| &**after), &mut changes),
            }
        }
        for (id, after) in &newer.sources {
            if !self.sources.contains_key(id) {
                changes.extend(after.entries().cloned().map(LinkChange::Added));
            }
        }
        changes
    }

    fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    fn replace(
        &mut self,
        incarnation: Incarnation,
        revision: Revision,
        records: Vec<TableEvent>,
    ) -> Vec<LinkChange> {
        let mut next = Self {
            incarnation,
            ..Self::default()
        };
        let mut refused = HashSet::new();
        for record in records {
            if let TableEvent::NoLink { key, .. } = &record {
                refused.insert(key.clone());
            }
            if !matches!(record, TableEvent::Snapshot { .. }) {
                next.apply(record);
            }
        }
        next.revision = revision;
        next.hold(self, &refused);
        next.share(self);
        let changes = self.diff(&next);
        *self = next;
        changes
    }

    /// Reuses the parts of `older` that are the same, first single entries and then whole sources
    /// and targets. Comparing the two then stays cheap, and an unchanged link is the same `Arc` in
    /// both indexes, before and after.
    fn share(&mut self, older: &Self) {
        let entries: Vec<Arc<LinkEntry>> = self.entries().cloned().collect();
        for entry in entries {
            let Some(old) = older.entry(&entry.key) else {
                continue;
            };
            let shared = if *old == entry {
                old.clone()
            } else if old.revision == entry.revision && old.link == entry.link {
                let mut changed = LinkEntry::clone(&entry);
                changed.link = old.link.clone();
                Arc::new(changed)
            } else {
                continue;
            };
            self.take_out(&entry);
            self.put_in(&shared);
        }
        // Sources that are equal now have the same entries, so the older one can replace the newer
        // one.
        for (id, source) in &mut self.sources {
            if let Some(same) = older.sources.get(id).filter(|old| *old == source) {
                *source = same.clone();
            }
        }
        for (id, target) in &mut self.targets {
            if let Some(same) = older.targets.get(id).filter(|old| *old == target) {
                *target = same.clone();
            }
        }
    }

    fn put(&mut self, revision: Revision, link: Arc<Link>) -> Vec<LinkChange> {
        self.advance(revision);
        let key = link.key();
        let before = self.entry(&key).cloned();
        let was_held = self.unhold(&key);
        if before
            .as_ref()
            .is_some_and(|before| before.revision > revision && !was_held)
        {
            return Vec::new();
        }
        let key = before
            .as_ref()
            .map_or_else(|| Arc::new(key), |before| before.key.clone());
        let reports = self.reports(&key).cloned();
        let after = Arc::new(LinkEntry::new(key, link, revision, reports.as_deref()));
        self.exchange(before.as_ref(), Some(&after))
    }

    fn remove(&mut self, revision: Revision, key: &LinkKey) -> Vec<LinkChange> {
        self.advance(revision);
        let was_held = self.unhold(key);
        match self.entry(key).cloned() {
            Some(before) if before.revision <= revision || was_held => {
                self.exchange(Some(&before), None)
            }
            _ => Vec::new(),
        }
    }

    fn report(
        &mut self,
        revision: Revision,
        key: LinkKey,
        reports: Option<Arc<LinkReports>>,
    ) -> Vec<LinkChange> {
        self.advance(revision);
        let before = self.entry(&key).cloned();
        let after = before.as_ref().map(|before| {
            Arc::new(LinkEntry::new(
                before.key.clone(),
                before.link.clone(),
                before.revision,
                reports.as_deref(),
            ))
        });
        match reports {
            Some(reports) => {
                let source = self.sources.entry(key.source.clone()).or_default();
                Arc::make_mut(source).reports.insert(key, reports);
            }
            None => self.forget_reports(&key),
        }
        self.exchange(before.as_ref(), after.as_ref())
    }

    fn forget_reports(&mut self, key: &LinkKey) {
        let Some(source) = self.sources.get_mut(&key.source) else {
            return;
        };
        if source.reports.contains_key(key) {
            Arc::make_mut(source).reports.remove(key);
        }
        if source.is_empty() {
            self.sources.remove(&key.source);
        }
    }

    /// Replaces `before` with `after` in both indexes.
    fn exchange(
        &mut self,
        before: Option<&Arc<LinkEntry>>,
        after: Option<&Arc<LinkEntry>>,
    ) -> Vec<LinkChange> {
        let Some(change) = LinkChange::between(before, after) else {
            return Vec::new();
        };
        if let Some(before) = before {
            self.take_out(before);
        }
        if let Some(after) = after {
            self.put_in(after);
        }
        vec![change]
    }

    fn take_out(&mut self, entry: &Arc<LinkEntry>) {
        if let Some(source) = self.sources.get_mut(&entry.key.source) {
            Arc::make_mut(source).remove(entry);
            if source.is_empty() {
                self.sources.remove(&entry.key.source);
            }
        }
        if let Some(target) = self.targets.get_mut(&entry.link.target) {
            Arc::make_mut(target).remove(&entry.key);
            if target.is_empty() {
                self.targets.remove(&entry.link.target);
            }
        }
    }

    fn put_in(&mut self, entry: &Arc<LinkEntry>) {
        let source = self.sources.entry(entry.key.source.clone()).or_default();
        Arc::make_mut(source).insert(entry);
        let target = self.targets.entry(entry.link.target.clone()).or_default();
        Arc::make_mut(target).insert(entry.key.clone(), entry.clone());
    }
}

impl Source {
    fn entries(&self) -> impl Iterator<Item = &Arc<LinkEntry>> {
        self.links.values().flatten()
    }

    fn entry(&self, key: &LinkKey) -> Option<&Arc<LinkEntry>> {
        let named = self.links.get(&*key.interface)?;
        named.iter().find(|entry| *entry.key == *key)
    }

    fn is_empty(&self) -> bool {
        self.links.is_empty() && self.reports.is_empty()
    }

    fn insert(&mut self, entry: &Arc<LinkEntry>) {
        match self.links.get_mut(&*entry.key.interface) {
            Some(named) => named.push(entry.clone()),
            None => {
                self.links
                    .insert(entry.key.interface.as_str().into(), vec![entry.clone()]);
            }
        }
    }

    fn remove(&mut self, entry: &LinkEntry) {
        if let Some(named) = self.links.get_mut(&*entry.key.interface) {
            named.retain(|other| other.key != entry.key);
            if named.is_empty() {
                self.links.remove(&*entry.key.interface);
            }
        }
    }

    fn diff(&self, newer: Option<&Self>, changes: &mut Vec<LinkChange>) {
        for before in self.entries() {
            let after = newer.and_then(|newer| newer.entry(&before.key));
            changes.extend(LinkChange::between(Some(before), after));
        }
        for after in newer.into_iter().flat_map(Self::entries) {
            if self.entry(&after.key).is_none() {
                changes.push(LinkChange::Added(after.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
