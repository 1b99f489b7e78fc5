//! Reads secrets from the replica's records, and leaves them sealed.

use crate::{
    error::chain,
    name::SecretName,
    replica::{RecordContent, RecordTable, Replica, StoredRecord},
    store::{KeyKind, Revision, StoreKey, sealed::Sealed},
    sync::Mutex,
};
use std::{collections::BTreeMap, sync::Arc};

/// Secrets by their names.
pub(super) type SecretTable = BTreeMap<SecretName, Known>;

/// The secrets as they were last read. Each replica has one.
#[derive(Debug, Default)]
pub(super) struct SecretReader(Mutex<LastRead>);

#[derive(Debug, Default)]
struct LastRead {
    records: Arc<RecordTable>,
    table: Arc<SecretTable>,
}

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The last value that was read, and the write that set it.
    pub(super) value: Option<(Revision, Sealed)>,
    /// What is wrong with the record in the store.
    pub(super) unreadable: Option<Arc<str>>,
}

impl SecretReader {
    /// Returns the reader of a replica.
    pub(super) fn of(replica: &Replica) -> Arc<Self> {
        replica.extensions().get_or_init(Self::default)
    }

    /// Returns the secrets as they are now.
    pub(super) fn table(&self, replica: &Replica) -> Arc<SecretTable> {
        let mut last = self.0.lock();
        // The records are read under the lock, so that an older state never replaces a newer one.
        let records = replica.record_table();
        if !Arc::ptr_eq(&last.records, &records) {
            let table = read_all(&records, &last);
            if *last.table != table {
                last.table = Arc::new(table);
            }
            last.records = records;
        }
        last.table.clone()
    }
}

fn read_all(records: &RecordTable, last: &LastRead) -> SecretTable {
    let mut table = SecretTable::new();
    for (key, record) in records.starting_with(StoreKey::SECRETS) {
        let Some(KeyKind::Secret(name)) = key.kind() else {
            continue;
        };
        let before = last.records.get(key);
        let known = last.table.get(&name);
        let known = match known {
            Some(known) if before == Some(record) => known.clone(),
            // A deletion in between ends the life of the value that was read.
            known => {
                let known = known.filter(|_| before.is_some_and(|old| old.since == record.since));
                read(key, record, known)
            }
        };
        table.insert(name, known);
    }
    table
}

/// Reads a record. `before` is what was known of the same secret.
fn read(key: &StoreKey, record: &StoredRecord, before: Option<&Known>) -> Known {
    let refused = match &record.content {
        RecordContent::Body(_) => None,
        RecordContent::Refused { reason, .. } => Some(reason.clone()),
    };
    let last = before.and_then(|before| before.value.clone());
    let Some((revision, body)) = record.accepted() else {
        return Known {
            value: last,
            unreadable: refused,
        };
    };
    match Sealed::read(key, body) {
        Ok(sealed) => Known {
            value: Some((revision, sealed)),
            unreadable: refused,
        },
        Err(error) => Known {
            value: last,
            unreadable: refused.or_else(|| Some(chain(&error).into())),
        },
    }
}
