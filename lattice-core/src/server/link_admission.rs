//! The links that lead to a component in service, and whether its service accepts them.
//!
//! A call over a link waits until the service has accepted the link. For every later call that is
//! one lookup in a map of accepted links, without a lock. The same lookup finds the tally that
//! counts the calls over the link, which lasts as long as the link leads here.

use super::meter::Tally;
use crate::{
    call::{CallError, Ran},
    link::{Link, LinkKey},
    panic::panic_text,
    serve::Service,
    sync::Mutex,
};
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long a call waits until a link that the table already has is passed to the service.
const OFFER: Duration = Duration::from_secs(1);

/// Whether the service accepts a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// It has not decided yet.
    Pending,
    Accepted,
    Rejected(String),
}

/// The links of one component.
#[derive(Default)]
pub(crate) struct LinkAdmission {
    /// By the address of the link: read on every call, so that no key is built.
    offered: watch::Sender<HashMap<usize, Offered>>,
    /// The accepted ones. The links are kept, so that none of these addresses can become another
    /// link's.
    open: ArcSwap<HashMap<usize, Accepted, RandomState>>,
    opening: Mutex<()>,
}

/// A link that was passed to the service.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    key: LinkKey,
    link: Arc<Link>,
    state: watch::Receiver<LinkState>,
    calls: Arc<Tally>,
}

/// A link that calls may pass, and the calls that did.
#[derive(Debug)]
struct Accepted {
    _link: Arc<Link>,
    calls: Arc<Tally>,
}

fn address(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}

impl LinkAdmission {
    /// Whether calls over `link` may pass without waiting, and what counts them, if the link is
    /// known.
    pub(crate) fn look_up(&self, link: &Arc<Link>) -> (bool, Option<Arc<Tally>>) {
        match self.open.load().get(&address(link)) {
            Some(accepted) => (true, Some(accepted.calls.clone())),
            None => (false, self.calls_over(link)),
        }
    }

    /// Returns what counts the calls over `link`, if it is known.
    pub(crate) fn calls_over(&self, link: &Arc<Link>) -> Option<Arc<Tally>> {
        let offered = self.offered.borrow();
        let known = offered.get(&address(link));
        known.map(|known| known.calls.clone())
    }

    /// Returns every known link, with what counts the calls over it.
    pub(crate) fn calls(&self) -> Vec<(Arc<Link>, Arc<Tally>)> {
        let offered = self.offered.borrow();
        offered
            .values()
            .map(|known| (known.link.clone(), known.calls.clone()))
            .collect()
    }

    /// Waits until `link` was passed to the service, which may have yet to decide on it.
    pub(crate) async fn offered(
        &self,
        link: &Arc<Link>,
        deadline: Instant,
    ) -> Result<Offered, CallError> {
        let find = |all: &HashMap<usize, Offered>| all.get(&address(link)).cloned();
        let found = find(&self.offered.borrow());
        if let Some(found) = found {
            return Ok(found);
        }
        let mut offered = self.offered.subscribe();
        let wait = offered.wait_for(|all| all.contains_key(&address(link)));
        match timeout_at(deadline.min(Instant::now() + OFFER), wait).await {
            Ok(Ok(all)) => find(&all).ok_or(CallError::LinkTableBehind),
            _ => Err(CallError::LinkTableBehind),
        }
    }

    /// Passes a link to `service`. The decision has to be [settled](Self::settle). Calls over the
    /// link wait for it from here on, not only from the first poll on.
    pub(crate) fn offer(
        &self,
        service: &dyn Service,
        link: Arc<Link>,
        within: Duration,
    ) -> impl Future<Output = Decision> + Send + use<> {
        let (sender, state) = watch::channel(LinkState::Pending);
        self.offered.send_modify(|all| {
            let key = link.key();
            // A link that was put again is the same line in a view.
            let before = all.values().find(|known| known.key == key);
            let calls = before.map_or_else(Arc::default, |known| known.calls.clone());
            all.retain(|_, known| known.key != key);
            let link = link.clone();
            let offered = Offered {
                key,
                link: link.clone(),
                state,
                calls,
            };
            all.insert(address(&link), offered);
        });
        self.refresh();
        // Called at once, so that the service gets the changes of a link in order.
        let called = std::panic::catch_unwind(AssertUnwindSafe(|| service.linked(link)));
        async move {
            let accepted = AssertUnwindSafe(async {
                match called {
                    Ok(accepted) => accepted.await,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            })
            .catch_unwind();
            let state = match tokio::time::timeout(within, accepted).await {
                Ok(Ok(Ok(()))) => LinkState::Accepted,
                Ok(Ok(Err(reason))) => LinkState::Rejected(reason),
                Ok(Err(panic)) => {
                    LinkState::Rejected(format!("the provider panicked: {}", panic_text(&*panic)))
                }
                Err(_) => {
                    LinkState::Rejected(format!("the provider did not accept it within {within:?}"))
                }
            };
            Decision { sender, state }
        }
    }

    /// Lets calls see a decision.
    pub(crate) fn settle(&self, Decision { sender, state }: Decision) -> LinkState {
        sender.send_replace(state.clone());
        self.refresh();
        state
    }

    /// Every link that was passed to the service.
    pub(crate) fn all(&self) -> Vec<(LinkKey, Arc<Link>)> {
        self.offered
            .borrow()
            .values()
            .map(|known| (known.key.clone(), known.link.clone()))
            .collect()
    }

    /// Forgets a link. Returns false if it was not known.
    pub(crate) fn remove(&self, key: &LinkKey) -> bool {
        let removed = self.offered.send_if_modified(|all| {
            let before = all.len();
            all.retain(|_, known| known.key != *key);
            all.len() < before
        });
        self.refresh();
        removed
    }

    fn refresh(&self) {
        // One at a time, so that the last one to store has seen all earlier changes.
        let _opening = self.opening.lock();
        let all = self.offered.borrow();
        let open = all
            .iter()
            .filter(|(_, known)| *known.state.borrow() == LinkState::Accepted)
            .map(|(address, known)| {
                let accepted = Accepted {
                    _link: known.link.clone(),
                    calls: known.calls.clone(),
                };
                (*address, accepted)
            })
            .collect();
        self.open.store(Arc::new(open));
    }
}

impl Offered {
    /// What counts the calls over it.
    pub(crate) fn calls(&self) -> &Arc<Tally> {
        &self.calls
    }

    /// Waits until the service has decided on it.
    pub(crate) async fn pass(mut self, deadline: Instant) -> Result<(), CallError> {
        let decided = self.state.wait_for(|state| *state != LinkState::Pending);
        let state = match timeout_at(deadline, decided).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => return Err(CallError::LinkTableBehind),
            Err(_) => return Err(CallError::DeadlineExceeded { ran: Ran::No }),
        };
        match state {
            LinkState::Rejected(reason) => Err(CallError::LinkRejected {
                source_id: self.link.source.clone(),
                link: self.link.name.clone(),
                reason,
            }),
            _ => Ok(()),
        }
    }
}

/// The decision of a service on a link, before calls see it.
pub(crate) struct Decision {
    sender: watch::Sender<LinkState>,
    state: LinkState,
}
