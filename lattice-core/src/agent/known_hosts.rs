//! The hosts that an agent knows, saved for the next process: see
//! [`Members::recall`](crate::place::members::Members::recall).

use crate::{
    name::HostId,
    place::members::Labels,
    store::{
        Entry, Incarnation, LastKnown, Revision, StoreKey,
        record::{Record, Records},
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Hosts that take work, with their labels.
pub(super) type Hosts = BTreeMap<HostId, Labels>;

/// Saves the known hosts, if this process has storage that outlives it.
#[derive(Debug)]
pub(super) struct KnownHosts {
    records: Records,
    last: Option<Arc<dyn LastKnown>>,
    kept: Hosts,
}

impl KnownHosts {
    pub(super) fn new(records: Records, last: Option<Arc<dyn LastKnown>>) -> Self {
        Self {
            records,
            last,
            kept: Hosts::new(),
        }
    }

    /// Returns the hosts that an earlier process saved, if it used the same lattice key.
    pub(super) fn recall(&self) -> Hosts {
        let Some(value) = self.last.as_ref().and_then(|last| last.hosts()) else {
            return Hosts::new();
        };
        let entry = Entry {
            key: StoreKey::known_hosts(),
            value,
            revision: Revision::default(),
        };
        match self.records.decode(NO_STORE, &entry) {
            Ok(Record { body, .. }) => body,
            Err(error) => {
                tracing::warn!(%error, "the hosts in the last snapshot can't be read");
                Hosts::new()
            }
        }
    }

    /// Saves these hosts, unless they are already the ones that are saved.
    pub(super) fn keep(&mut self, hosts: Hosts) {
        let Some(last) = self.last.as_ref().filter(|_| self.kept != hosts) else {
            return;
        };
        match self
            .records
            .encode(NO_STORE, &StoreKey::known_hosts(), 0, &hosts)
        {
            Ok(value) => last.note_hosts(value),
            Err(error) => {
                tracing::warn!(%error, "the known hosts could not be encoded, so they are not saved for the next start")
            }
        }
        self.kept = hosts;
    }
}

/// The known hosts are this host's own knowledge and belong to no incarnation of the store.
const NO_STORE: Incarnation = Incarnation(0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{Auth, LatticeKey},
        name::LatticeName,
        store::{MemoryStore, WatchEvent},
    };
    use bytes::Bytes;
    use std::{sync::Mutex, time::SystemTime};

    /// Keeps every value that was saved, in order, in memory.
    #[derive(Debug, Default)]
    struct Memory(Mutex<Vec<Bytes>>);

    impl LastKnown for Memory {
        fn snapshot(&self) -> Option<(SystemTime, WatchEvent)> {
            None
        }
        fn incarnation(&self) -> Option<Incarnation> {
            None
        }
        fn entry(&self, _: &StoreKey) -> Option<Entry> {
            None
        }
        fn note(&self, _: &WatchEvent) {}
        fn hosts(&self) -> Option<Bytes> {
            self.0.lock().expect("not poisoned").last().cloned()
        }
        fn note_hosts(&self, hosts: Bytes) {
            self.0.lock().expect("not poisoned").push(hosts);
        }
    }

    fn known(memory: &Arc<Memory>, key: u8) -> KnownHosts {
        let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
        let auth = Auth::keyed(&LatticeName::new("prod").expect("a name"), &key);
        let records = Records::new(Arc::new(MemoryStore::new()), auth);
        KnownHosts::new(records, Some(memory.clone()))
    }

    fn hosts(zones: &[(&str, &str)]) -> Hosts {
        let host = |(id, zone): &(&str, &str)| {
            let labels = Labels::from([("zone".to_owned(), (*zone).to_owned())]);
            (HostId::new(id).expect("a host"), labels)
        };
        zones.iter().map(host).collect()
    }

    #[test]
    fn known_hosts_are_restored_with_the_same_key() {
        let memory = Arc::new(Memory::default());
        let mut ours = known(&memory, 1);
        assert_eq!(ours.recall(), Hosts::new());
        let (first, second) = (hosts(&[("a", "x")]), hosts(&[("a", "x"), ("b", "y")]));
        ours.keep(first);
        ours.keep(second.clone());
        ours.keep(second.clone());
        let saved = memory.0.lock().expect("not poisoned").len();
        assert_eq!(saved, 2, "the same is not written again");
        assert_eq!(known(&memory, 1).recall(), second);
        assert_eq!(known(&memory, 2).recall(), Hosts::new());
        memory.note_hosts(Bytes::from_static(b"anything"));
        assert_eq!(known(&memory, 1).recall(), Hosts::new());
    }
}
