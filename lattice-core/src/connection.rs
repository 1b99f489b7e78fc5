//! The parts that all nodes on one connection share.

use crate::{
    auth::Auth,
    budget::Budgets,
    bus::{
        Bus, BusError,
        counted::{BusCounts, CountedBus},
    },
    links::Links,
    measure::CallTimes,
    membership::PresenceWatcher,
    name::LatticeName,
    replica::{FollowError, Replica},
    store::{
        LastKnown, Store,
        counted::{CountedStore, StoreCounts},
        record::Records,
    },
    stream::Ledger,
    subject::Subjects,
    transport::Medium,
    type_store::Types,
};
use std::sync::Arc;

/// One connection to the bus, and this process's view of the store and of the live hosts.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) name: LatticeName,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) auth: Auth,
    pub(crate) records: Records,
    pub(crate) replica: Replica,
    pub(crate) links: Links,
    pub(crate) types: Types,
    pub(crate) presence: Arc<PresenceWatcher>,
    /// Whether a holder of the key may call any component.
    pub(crate) operator_calls: bool,
    /// How much memory messages may take, of all nodes on it together.
    pub(crate) budgets: Budgets,
    /// Who holds what across hosts.
    pub(crate) handles: Arc<Ledger>,
    /// What is counted for metrics.
    pub(crate) counts: Counts,
}

/// What the connections of one lattice count together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) calls: Arc<CallTimes>,
    pub(crate) bus: Arc<BusCounts>,
    pub(crate) store: Arc<StoreCounts>,
}

/// The parts that a connection is made of.
pub(crate) struct Parts {
    pub(crate) name: LatticeName,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) auth: Auth,
    pub(crate) last: Option<Arc<dyn LastKnown>>,
    pub(crate) operator_calls: bool,
    pub(crate) budgets: Budgets,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] FollowError),
}

impl Connection {
    pub(crate) async fn open(parts: Parts) -> Result<Self, ConnectionError> {
        let Parts {
            name,
            bus,
            store,
            auth,
            last,
            operator_calls,
            budgets,
        } = parts;
        let counts = Counts::default();
        let bus = CountedBus::around(bus, &counts.bus);
        let store = CountedStore::around(store, &counts.store);
        let medium = Medium {
            bus: bus.clone(),
            subjects: Subjects::new(&name),
            auth: auth.clone(),
            budgets: budgets.clone(),
        };
        let presence = Arc::new(PresenceWatcher::start(medium).await?);
        let records = Records::new(store, auth.clone());
        let replica = Replica::follow_from(records.clone(), last.clone()).await?;
        let types = Types::new(records.clone())
            .falling_back_on(last)
            .checked_by(replica.clone());
        let links = Links::new(records.clone(), replica.clone(), types.clone());
        let handles = Ledger::new(auth.clone());
        Ok(Self {
            name,
            bus,
            auth,
            records,
            replica,
            links,
            types,
            presence,
            operator_calls,
            budgets,
            handles,
            counts,
        })
    }

    /// Opens the same connection over another bus. The view of the store stays shared; live hosts
    /// are watched on the new bus.
    pub(crate) async fn over(&self, bus: Arc<dyn Bus>) -> Result<Self, BusError> {
        let bus = CountedBus::around(bus, &self.counts.bus);
        let medium = Medium {
            bus: bus.clone(),
            ..self.medium()
        };
        Ok(Self {
            name: self.name.clone(),
            presence: Arc::new(PresenceWatcher::start(medium).await?),
            bus,
            auth: self.auth.clone(),
            records: self.records.clone(),
            replica: self.replica.clone(),
            links: self.links.clone(),
            types: self.types.clone(),
            operator_calls: self.operator_calls,
            budgets: self.budgets.clone(),
            handles: Ledger::new(self.auth.clone()),
            counts: self.counts.clone(),
        })
    }

    /// Returns what endpoints on this connection need.
    pub(crate) fn medium(&self) -> Medium {
        Medium {
            bus: self.bus.clone(),
            subjects: Subjects::new(&self.name),
            auth: self.auth.clone(),
            budgets: self.budgets.clone(),
        }
    }
}
