//! The handle of another host's resource, as this host records who of its components has it.

use super::{
    super::{Holder, InstanceRef, Owner, Stale},
    Ledger,
};
use crate::{id::Origin, sync::Mutex};
use std::{fmt, sync::Arc};

/// Stands for the owner of one handle, which is on another host.
pub(super) struct Proxy {
    at: InstanceRef,
    /// The number of the handle.
    id: u64,
    /// The boot of this process that holds it, as its owner knows.
    pub(super) boot: Origin,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` if it is lent to this host only.
    holder: Option<Holder>,
    lent: Vec<Holder>,
    is_dropped: bool,
}

impl State {
    /// Why it can't be used by one who doesn't hold it.
    fn refusal(&self, by: &Holder) -> Stale {
        if self.is_dropped {
            Stale::Dropped
        } else {
            Stale::NotHeld(by.to_string())
        }
    }
}

impl Proxy {
    /// The owned handle with this number, which `holder` gets.
    pub(super) fn owned(
        ledger: Arc<Ledger>,
        (at, id): (InstanceRef, u64),
        boot: Origin,
        holder: Holder,
    ) -> Arc<Self> {
        let state = State {
            holder: Some(holder),
            lent: Vec::new(),
            is_dropped: false,
        };
        Arc::new(Self {
            at,
            id,
            boot,
            ledger,
            state: Mutex::new(state),
        })
    }

    /// The handle with this number, which is lent to `to`.
    pub(super) fn lent(
        ledger: Arc<Ledger>,
        (at, id): (InstanceRef, u64),
        boot: Origin,
        to: Holder,
    ) -> Arc<Self> {
        let state = State {
            holder: None,
            lent: vec![to],
            is_dropped: false,
        };
        Arc::new(Self {
            at,
            id,
            boot,
            ledger,
            state: Mutex::new(state),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.id
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Owner for Proxy {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, _: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        if state.holder.as_ref() != Some(from) {
            return Err(state.refusal(from));
        }
        state.holder = Some(to.clone());
        Ok(())
    }

    fn lend(&self, _: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        if state.holder.as_ref() != Some(from) && !state.lent.contains(from) {
            return Err(state.refusal(from));
        }
        state.lent.push(to.clone());
        Ok(())
    }

    fn give_back(&self, _: u64, by: &Holder) {
        let mut state = self.state.lock();
        if let Some(at) = state.lent.iter().position(|holder| holder == by) {
            state.lent.swap_remove(at);
        }
    }

    fn dropped(&self, _: u64) {
        let mut state = self.state.lock();
        let was_held = state.holder.take().is_some();
        state.lent.clear();
        state.is_dropped |= was_held;
        drop(state);
        if was_held {
            self.ledger.import_dropped(self);
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("at", &self.at)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
