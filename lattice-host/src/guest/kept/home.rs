//! What of a kept instance is known outside of its store: what points to it, and who holds its
//! resources.

use crate::transcode::ChannelGuard;
use foldhash::fast::RandomState;
use lattice_core::{
    call::CallError,
    id::Source,
    stream::{Body, Broken, Holder, InstanceRef, Owner, Stale},
    sync::Mutex,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, SetOnce, mpsc, oneshot};
use wasmtime::{Result, bail};

use super::{CallingInstance, KeptCall, warm::Warm};

/// A kept instance, as everything outside of its store knows it.
pub(crate) struct Home {
    at: InstanceRef,
    jobs: mpsc::UnboundedSender<Job>,
    /// Most resources of it that others may hold.
    most: usize,
    /// Its instance serves requests of HTTP, and no calls.
    serves_requests: bool,
    /// What it has in common with others, if it waits for other calls when it is unused.
    warm: Option<Arc<Warm>>,
    state: Mutex<HomeState>,
    /// Counts what has used it, apart from its channels.
    activity: AtomicU64,
    /// Bytes that have moved in its channels, and one for each chunk and end.
    moved: AtomicU64,
    /// Whether its guest is being polled.
    is_running: AtomicBool,
    /// It is unused, and may not wait for other calls.
    pub(super) unused: Notify,
    end: SetOnce<End>,
}

#[derive(Default)]
struct HomeState {
    resources: HashMap<u64, Held, RandomState>,
    last: u64,
    /// Calls that are waited for, ends of channels, and resources about to be dropped.
    uses: usize,
    /// Calls among them.
    calls: usize,
    is_closed: bool,
    /// The instance that it serves.
    caller: Option<CallingInstance>,
}

/// Who has a resource.
struct Held {
    holder: Holder,
    lent: Vec<Holder>,
}

/// Work for the driver of an instance, in order.
pub(super) enum Job {
    Call(Box<(KeptCall, Reply)>),
    Drop(u64),
}

pub(super) type Reply = oneshot::Sender<Result<Body, CallError>>;

/// How an instance ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It could not be created.
    NotStarted(CallError),
    /// It was created, and ended.
    Ended {
        reason: Arc<str>,
        /// The call that caused it, when that is known, and its error.
        culprit: Option<(u64, CallError)>,
    },
}

/// Keeps an instance.
pub(super) struct Use {
    home: Arc<Home>,
    is_call: bool,
}

/// Keeps an instance for one end of a channel.
pub(crate) struct ChannelUse(Use);

/// The guard of channels of a component that passes none.
pub(crate) struct Nowhere;

impl Home {
    /// Creates a home with its first use, a call by `caller`.
    pub(super) fn new(
        at: InstanceRef,
        jobs: mpsc::UnboundedSender<Job>,
        (most, caller): (usize, Option<CallingInstance>),
        warm: Option<Arc<Warm>>,
    ) -> (Arc<Self>, Use) {
        let state = HomeState {
            uses: 1,
            calls: 1,
            caller,
            ..HomeState::default()
        };
        let home = Arc::new(Self {
            at,
            jobs,
            most,
            serves_requests: false,
            warm,
            state: Mutex::new(state),
            activity: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
            unused: Notify::new(),
            end: SetOnce::new(),
        });
        let first = Use {
            home: home.clone(),
            is_call: true,
        };
        (home, first)
    }

    /// Creates the home of an instance that serves requests of HTTP. The instance holds resources
    /// of others, and gives none of its own away: no call would find it.
    pub(in crate::guest) fn of_requests(at: InstanceRef) -> Arc<Self> {
        // There are no jobs, because others hold nothing of it.
        let (jobs, _) = mpsc::unbounded_channel();
        Arc::new(Self {
            at,
            jobs,
            most: 0,
            serves_requests: true,
            warm: None,
            state: Mutex::default(),
            activity: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            is_running: AtomicBool::new(true),
            unused: Notify::new(),
            end: SetOnce::new(),
        })
    }

    /// Records that an instance that serves requests has ended. Returns whether it is one.
    pub(in crate::guest) fn requests_ended(&self) -> bool {
        if self.serves_requests {
            self.runs(false);
            self.ended(End::Ended {
                reason: "it has served its requests".into(),
                culprit: None,
            });
        }
        self.serves_requests
    }

    pub(crate) fn number(&self) -> u64 {
        self.at.instance
    }

    pub(super) fn send(&self, job: Job) {
        // A driver that has ended has said why.
        let _ = self.jobs.send(job);
    }

    /// Begins a call. `None` when the instance takes no more.
    pub(super) fn enter(self: &Arc<Self>, caller: Option<&CallingInstance>) -> Option<Use> {
        self.enter_if(caller, |_| true)
    }

    /// Begins another call by the instance that it serves.
    pub(super) fn enter_again(self: &Arc<Self>, caller: Option<&CallingInstance>) -> Option<Use> {
        self.enter_if(caller, |state| {
            state.caller.as_ref() == caller && state.is_in_use()
        })
    }

    /// Begins a call if nothing uses the instance.
    pub(super) fn enter_unused(self: &Arc<Self>, caller: Option<&CallingInstance>) -> Option<Use> {
        self.enter_if(caller, |state| !state.is_in_use())
    }

    fn enter_if(
        self: &Arc<Self>,
        caller: Option<&CallingInstance>,
        may: impl FnOnce(&HomeState) -> bool,
    ) -> Option<Use> {
        let mut state = self.state.lock();
        if state.is_closed || !may(&state) {
            return None;
        }
        if !state.is_in_use() {
            state.caller = caller.cloned();
        }
        state.uses += 1;
        state.calls += 1;
        self.activity.fetch_add(1, Ordering::Relaxed);
        Some(Use {
            home: self.clone(),
            is_call: true,
        })
    }

    /// Keeps the instance for one end of a channel, which is created in it now.
    pub(crate) fn channel(self: &Arc<Self>) -> ChannelUse {
        ChannelUse(self.more())
    }

    fn more(self: &Arc<Self>) -> Use {
        self.state.lock().uses += 1;
        Use {
            home: self.clone(),
            is_call: false,
        }
    }

    /// Records that a resource is given away by its component.
    ///
    /// # Errors
    /// Fails when others hold as many as they may.
    pub(crate) fn export(&self, holder: Source) -> Result<u64> {
        if self.serves_requests {
            bail!(
                "an instance that serves requests of HTTP gives none of its own resources away; give it away in a call of another export, or in another component"
            );
        }
        let mut state = self.state.lock();
        if state.resources.len() >= self.most {
            bail!(
                "others hold {} of its resources, which is the limit; raise it with `limits = {{ handles = … }}` in the manifest, or with `Limits::handles`",
                self.most
            );
        }
        state.last += 1;
        let id = state.last;
        let held = Held {
            holder: Holder::Local(holder),
            lent: Vec::new(),
        };
        state.resources.insert(id, held);
        Ok(id)
    }

    /// Records that the guest has got its own resource back.
    pub(crate) fn taken_back(&self, id: u64) {
        self.change(|state| {
            state.resources.remove(&id);
        });
    }

    /// Records that a resource has been dropped in the guest.
    pub(super) fn was_dropped(&self) {
        self.change(|state| state.uses -= 1);
    }

    fn change(&self, change: impl FnOnce(&mut HomeState)) {
        let mut state = self.state.lock();
        change(&mut state);
        let is_unused = !state.is_in_use();
        drop(state);
        if is_unused && !self.warm.as_ref().is_some_and(|warm| warm.has_room()) {
            self.unused.notify_waiters();
        }
    }

    /// Makes the instance take no more calls if nothing uses it. Returns whether it takes none.
    pub(super) fn close_if_unused(&self) -> bool {
        let mut state = self.state.lock();
        state.is_closed |= !state.is_in_use();
        state.is_closed
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.state.lock().is_in_use()
    }

    /// Returns a number that changes when something uses the instance, unless a call runs.
    pub(super) fn activity(&self) -> Option<u64> {
        let calls = self.state.lock().calls;
        let uses = || self.activity.load(Ordering::Relaxed);
        (calls == 0).then(|| uses().wrapping_add(self.moved()))
    }

    /// Returns how much has moved in its channels: bytes, and one for each chunk and end.
    pub(in crate::guest) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    pub(super) fn last_caller(&self) -> Option<CallingInstance> {
        self.state.lock().caller.clone()
    }

    /// Says whether the guest is being polled.
    pub(super) fn runs(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::Relaxed);
    }

    /// Records how the instance ended. Only the first time counts.
    pub(super) fn ended(&self, end: End) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let held = std::mem::take(&mut state.resources);
        drop(state);
        drop(held);
        // This fails only when an end is already recorded.
        let _ = self.end.set(end);
    }

    pub(super) async fn end(&self) -> End {
        self.end.wait().await.clone()
    }

    /// Returns why it ended.
    pub(super) fn reason(&self) -> Arc<str> {
        match self.end.get() {
            Some(End::Ended { reason, .. }) => reason.clone(),
            Some(End::NotStarted(error)) => error.to_string().into(),
            None => "it was stopped".into(),
        }
    }

    fn gone(&self) -> Stale {
        match self.end.get() {
            Some(_) => Stale::InstanceEnded(self.reason()),
            None => Stale::Dropped,
        }
    }
}

impl HomeState {
    fn is_in_use(&self) -> bool {
        self.uses > 0 || !self.resources.is_empty()
    }
}

impl Held {
    fn may_be_used_by(&self, holder: &Holder) -> bool {
        self.holder == *holder || self.lent.contains(holder)
    }
}

impl Owner for Home {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        let held = state.resources.get_mut(&id).ok_or_else(|| self.gone())?;
        if held.holder != *from {
            return Err(Stale::NotHeld(from.to_string()));
        }
        held.holder = to.clone();
        Ok(())
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut state = self.state.lock();
        let held = state.resources.get_mut(&id).ok_or_else(|| self.gone())?;
        if !held.may_be_used_by(from) {
            return Err(Stale::NotHeld(from.to_string()));
        }
        // Its own component needs no right to it.
        if !matches!(to, Holder::Local(Source::Component(id)) if *id == self.at.component) {
            held.lent.push(to.clone());
        }
        Ok(())
    }

    fn give_back(&self, id: u64, by: &Holder) {
        let mut state = self.state.lock();
        let Some(held) = state.resources.get_mut(&id) else {
            return;
        };
        if let Some(at) = held.lent.iter().position(|holder| holder == by) {
            held.lent.swap_remove(at);
        }
    }

    fn dropped(&self, id: u64) {
        let mut state = self.state.lock();
        if state.resources.remove(&id).is_none() {
            return;
        }
        // Until the driver has dropped it.
        state.uses += 1;
        drop(state);
        self.activity.fetch_add(1, Ordering::Relaxed);
        self.send(Job::Drop(id));
    }
}

impl Use {
    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let is_call = self.is_call;
        self.home.change(|state| {
            state.uses -= 1;
            state.calls -= usize::from(is_call);
        });
    }
}

impl ChannelGuard for ChannelUse {
    fn end(&self) -> Result<(), Broken> {
        let home = &self.0.home;
        if home.is_running.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Broken::InstanceLost {
            reason: home.reason(),
        })
    }

    fn has_moved(&self, bytes: usize) {
        let more = bytes as u64 + 1;
        self.0.home.moved.fetch_add(more, Ordering::Relaxed);
    }
}

impl ChannelGuard for Nowhere {
    fn end(&self) -> Result<(), Broken> {
        Ok(())
    }

    fn has_moved(&self, _: usize) {}
}

#[cfg(test)]
mod tests;
