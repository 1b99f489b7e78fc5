//! The handle of another host's resource, as this host records who of its components has it.

use super::{
    super::{Holder, InstanceRef, Owned, Owner, Stale},
    Ledger,
};
use crate::{id::Origin, sync::Mutex};
use bytes::Bytes;
use std::{fmt, mem, sync::Arc};

/// The number of a handle of which only the token is left. Others begin at 1.
pub(super) const LOST: u64 = 0;

/// Stands for the owner of one handle, which is on another host.
pub(super) struct Proxy {
    at: InstanceRef,
    /// The number of the handle.
    id: u64,
    /// The boot of this process that holds it, as its owner knows.
    pub(super) boot: Origin,
    ledger: Arc<Ledger>,
    /// If the resource is portable.
    pub(super) portable: Option<Box<Anew>>,
    pub(super) state: Mutex<State>,
}

/// What is needed to make a resource anew.
pub(super) struct Anew {
    pub(super) token: Bytes,
    /// Held while a replica is asked for it, so that it is made once.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// `None` if it is lent to this host only.
    pub(super) holder: Option<Holder>,
    lent: Vec<Holder>,
    is_dropped: bool,
    /// Its owner is gone.
    pub(super) is_lost: bool,
    /// What was made anew since, for each who uses it.
    anew: Vec<(Holder, Owned)>,
}

impl State {
    pub(super) fn may_be_used_by(&self, by: &Holder) -> bool {
        self.holder.as_ref() == Some(by) || self.lent.contains(by)
    }

    /// What was made anew for this holder.
    pub(super) fn anew_of(&self, by: &Holder) -> Option<&Owned> {
        let mut anew = self.anew.iter();
        anew.find(|(holder, _)| holder == by).map(|(_, new)| new)
    }

    /// Takes that out.
    pub(super) fn take_anew(&mut self, by: &Holder) -> Option<Owned> {
        let at = self.anew.iter().position(|(holder, _)| holder == by)?;
        Some(self.anew.swap_remove(at).1)
    }

    pub(super) fn put_anew(&mut self, by: &Holder, new: Owned) {
        self.anew.push((by.clone(), new));
    }

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
        at: (InstanceRef, u64),
        boot: Origin,
        holder: Holder,
        token: Option<Bytes>,
    ) -> Arc<Self> {
        let state = State {
            holder: Some(holder),
            ..State::default()
        };
        Self::new(ledger, at, boot, token, state)
    }

    /// The handle with this number, which is lent to `to`.
    pub(super) fn lent(
        ledger: Arc<Ledger>,
        at: (InstanceRef, u64),
        boot: Origin,
        to: Holder,
        token: Option<Bytes>,
    ) -> Arc<Self> {
        let state = State {
            lent: vec![to],
            ..State::default()
        };
        Self::new(ledger, at, boot, token, state)
    }

    fn new(
        ledger: Arc<Ledger>,
        (at, id): (InstanceRef, u64),
        boot: Origin,
        token: Option<Bytes>,
        state: State,
    ) -> Arc<Self> {
        let anew = |token| {
            let turn = tokio::sync::Mutex::new(());
            Box::new(Anew { token, turn })
        };
        let state = State {
            is_lost: id == LOST,
            ..state
        };
        Arc::new(Self {
            at,
            id,
            boot,
            ledger,
            portable: token.map(anew),
            state: Mutex::new(state),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.id
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What another replica makes the resource anew from, if it is portable.
    pub(super) fn token_bytes(&self) -> Option<&Bytes> {
        self.portable.as_ref().map(|anew| &anew.token)
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
        // The next holder has it made anew for itself.
        let anew = state.take_anew(from);
        drop(state);
        drop(anew);
        Ok(())
    }

    fn lend(&self, _: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        if !state.may_be_used_by(from) {
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
        let is_over = !state.may_be_used_by(by);
        let anew = is_over.then(|| state.take_anew(by)).flatten();
        drop(state);
        drop(anew);
    }

    fn dropped(&self, _: u64) {
        let mut state = self.state.lock();
        let was_held = state.holder.take().is_some();
        state.lent.clear();
        state.is_dropped |= was_held;
        let anew = mem::take(&mut state.anew);
        drop(state);
        drop(anew);
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
