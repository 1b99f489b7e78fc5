//! What all nodes on one connection share.

use super::presence::PresenceKeeper;
use crate::{
    auth::Auth,
    bus::{Bus, BusError},
    link::Links,
    name::LatticeName,
    replica::Replica,
    store::{LastKnown, Store, record::Records},
    subject::Subjects,
    types::Types,
};
use std::sync::Arc;

/// What a frame adds to its largest envelope: heads, names, tag. Generous.
const OVERHEAD: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) name: LatticeName,
    pub(crate) subjects: Subjects,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) auth: Auth,
    pub(crate) records: Records,
    pub(crate) replica: Replica,
    pub(crate) links: Links,
    pub(crate) types: Types,
    pub(crate) presence: PresenceKeeper,
    /// What outlives this process, when anything does.
    pub(crate) last: Option<Arc<dyn LastKnown>>,
    /// Whether holders of the key may call any component.
    pub(crate) operator_calls: bool,
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) name: LatticeName,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) store: Arc<dyn Store>,
    pub(super) auth: Auth,
    pub(super) last: Option<Arc<dyn LastKnown>>,
    pub(super) operator_calls: bool,
}

impl Connection {
    pub(super) async fn open(parts: Parts) -> Result<Self, super::ConnectError> {
        let Parts {
            name,
            bus,
            store,
            auth,
            last,
            operator_calls,
        } = parts;
        let subjects = Subjects::new(&name);
        let presence = PresenceKeeper::start(&subjects, bus.clone(), auth.clone()).await?;
        let records = Records::new(store, auth.clone());
        let replica = Replica::follow_from(records.clone(), last.clone()).await?;
        let types = Types::new(records.clone())
            .falling_back_on(last.clone())
            .checked_by(replica.clone());
        let links = Links::new(records.clone(), replica.clone(), types.clone());
        Ok(Self {
            name,
            subjects,
            bus,
            auth,
            records,
            replica,
            links,
            types,
            presence,
            last,
            operator_calls,
        })
    }

    /// The same over another bus connection: replica and links stay shared, presence is heard anew.
    pub(super) async fn over(&self, bus: Arc<dyn Bus>) -> Result<Self, BusError> {
        Ok(Self {
            name: self.name.clone(),
            subjects: self.subjects.clone(),
            presence: PresenceKeeper::start(&self.subjects, bus.clone(), self.auth.clone()).await?,
            bus,
            auth: self.auth.clone(),
            records: self.records.clone(),
            replica: self.replica.clone(),
            links: self.links.clone(),
            types: self.types.clone(),
            last: self.last.clone(),
            operator_calls: self.operator_calls,
        })
    }

    /// The largest arguments or result that fit a message, in bytes.
    pub(crate) fn max_message(&self) -> usize {
        self.bus.max_payload().saturating_sub(OVERHEAD)
    }
}
