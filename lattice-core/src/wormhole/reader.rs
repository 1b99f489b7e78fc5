//! Reads wormholes from the replica's records.
//!
//! A record that can't be read now is no wormhole of the table: it lets nothing through, although
//! desired state keeps its last known value. The table only knows which requests were for it.

use super::{
    HostClaim, HostName, Wormhole, WormholeSpec, WormholeTable,
    table::{Unreadable, names},
};
use crate::{
    name::WormholeId,
    record_format::Fields,
    replica::{RecordContent, RecordTable, Replica, StoredRecord},
    store::{KeyKind, StoreKey, record::read_body},
    sync::Mutex,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The table as it was last read. Each replica has one.
#[derive(Debug, Default)]
pub(crate) struct WormholeReader {
    last: ArcSwap<LastRead>,
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct LastRead {
    records: Arc<RecordTable>,
    table: Arc<WormholeTable>,
}

impl WormholeReader {
    /// Returns the reader of a replica.
    pub(crate) fn of(replica: &Replica) -> Arc<Self> {
        replica.extensions().get_or_init(Self::default)
    }

    /// Returns the table as it is now. The same `Arc` is returned as long as no wormhole changes.
    /// While nothing has changed, this takes no lock of its own.
    pub(crate) fn table(&self, replica: &Replica) -> Arc<WormholeTable> {
        let last = self.last.load();
        if replica.has_record_table(&last.records) {
            return last.table.clone();
        }
        drop(last);
        let _reading = self.reading.lock();
        // The records are read under the lock, so that an older state never replaces a newer one.
        let records = replica.record_table();
        let last = self.last.load();
        if Arc::ptr_eq(&last.records, &records) {
            return last.table.clone();
        }
        let table = read_all(&records, &last);
        drop(last);
        let next = LastRead {
            records,
            table: table.clone(),
        };
        self.last.store(Arc::new(next));
        table
    }
}

/// Reads the wormholes of a record table. Records that have not changed are not read again.
fn read_all(records: &RecordTable, last: &LastRead) -> Arc<WormholeTable> {
    let now = || records.starting_with(StoreKey::WORMHOLES);
    let claims = || records.starting_with(StoreKey::WORMHOLE_HOSTS);
    let before = || {
        let wormholes = last.records.starting_with(StoreKey::WORMHOLES);
        wormholes.chain(last.records.starting_with(StoreKey::WORMHOLE_HOSTS))
    };
    let is_same_store = records.incarnation == last.table.incarnation();
    if is_same_store && now().chain(claims()).eq(before()) {
        return last.table.clone();
    }
    let wormhole = |(key, record): (&StoreKey, &StoredRecord)| {
        let Some(KeyKind::Wormhole(id)) = key.kind() else {
            return None;
        };
        let RecordContent::Body(body) = &record.content else {
            return None;
        };
        let known = last.table.by_id(&id).filter(|known| {
            is_same_store
                && known.revision == record.revision
                && last.records.get(key) == Some(record)
        });
        let wormhole = match known {
            Some(known) => known.clone(),
            None => Arc::new(Wormhole {
                spec: read(key, body)?,
                revision: record.revision,
                id: id.clone(),
            }),
        };
        Some((id, wormhole))
    };
    let all: BTreeMap<WormholeId, Arc<Wormhole>> = now().filter_map(wormhole).collect();
    let unreadable = unreadable(records, &all);
    Arc::new(WormholeTable::new(records.incarnation, all, unreadable))
}

/// Returns the names of the wormholes whose records can't be read: those of the last value that was
/// accepted, or else those that claims say they have.
fn unreadable(records: &RecordTable, all: &BTreeMap<WormholeId, Arc<Wormhole>>) -> Vec<Unreadable> {
    let mut unreadable = Vec::new();
    let mut never_read = BTreeSet::new();
    for (key, record) in records.starting_with(StoreKey::WORMHOLES) {
        let Some(KeyKind::Wormhole(id)) = key.kind() else {
            continue;
        };
        let accepted = match &record.content {
            RecordContent::Refused { accepted, .. } => accepted.as_ref(),
            RecordContent::Body(_) => None,
        };
        match accepted.and_then(|accepted| read::<WormholeSpec>(key, &accepted.body)) {
            Some(spec) => {
                unreadable.extend(names(&spec).map(|host| (host, spec.path.clone())));
            }
            None if !all.contains_key(&id) => drop(never_read.insert(id)),
            None => {}
        }
    }
    if never_read.is_empty() {
        return unreadable;
    }
    for (key, record) in records.starting_with(StoreKey::WORMHOLE_HOSTS) {
        let (Some(KeyKind::WormholeHost(host)), RecordContent::Body(body)) =
            (key.kind(), &record.content)
        else {
            continue;
        };
        let claim: Option<HostClaim> = read(key, body);
        let paths = claim.into_iter().flat_map(|claim| claim.paths);
        let paths = paths.filter(|(_, id)| never_read.contains(id));
        let host = HostName::of_record(&host);
        unreadable.extend(paths.map(|(path, _)| (Some(host.clone()), path)));
    }
    unreadable
}

/// Reads a record, or returns `None` if it isn't readable, which desired state reports.
fn read<T: DeserializeOwned>(key: &StoreKey, body: &Bytes) -> Option<T> {
    read_body::<Fields>(key, body).ok()?.read().ok()
}
