//! The links that a component in service was told of, and whether it accepted them.
//!
//! A call over a link waits for the service to have heard of the link and to have said yes. On every further call that is
//! one look at a map of open gates, without a lock.

use crate::server::component::panic_text;
use crate::{
    call::{CallError, Ran},
    link::{Link, LinkKey},
    serve::Service,
};
use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long a call waits for the service to be told of a link that the table already has.
const TELLING: Duration = Duration::from_secs(1);

/// Whether the target has accepted a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It has not answered yet.
    Asking,
    Open,
    Rejected(String),
}

/// The gates of one component.
#[derive(Default)]
pub(crate) struct Gates {
    /// By the address of the link: asked on every call, it builds no key.
    told: watch::Sender<HashMap<usize, Told>>,
    /// Those of `told` that are open. The links are kept, so that none of these addresses can become another link's.
    open: ArcSwap<HashMap<usize, Arc<Link>>>,
    opening: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Told {
    key: LinkKey,
    link: Arc<Link>,
    gate: watch::Receiver<Gate>,
}

fn address(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}

impl Gates {
    /// Whether calls over `link` may pass without waiting.
    pub(crate) fn is_open(&self, link: &Arc<Link>) -> bool {
        self.open.load().contains_key(&address(link))
    }

    /// Waits until the service has answered for `link`.
    pub(crate) async fn pass(&self, link: &Arc<Link>, deadline: Instant) -> Result<(), CallError> {
        let find =
            |told: &HashMap<usize, Told>| told.get(&address(link)).map(|told| told.gate.clone());
        let found = find(&self.told.borrow());
        let mut gate = if let Some(gate) = found {
            gate
        } else {
            let mut told = self.told.subscribe();
            let wait = told.wait_for(|told| find(told).is_some());
            match timeout_at(deadline.min(Instant::now() + TELLING), wait).await {
                Ok(Ok(told)) => find(&told).ok_or(CallError::LinkTableBehind)?,
                _ => return Err(CallError::LinkTableBehind),
            }
        };
        let state = match timeout_at(deadline, gate.wait_for(|state| *state != Gate::Asking)).await
        {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => return Err(CallError::LinkTableBehind),
            Err(_) => return Err(CallError::DeadlineExceeded { ran: Ran::No }),
        };
        match state {
            Gate::Rejected(reason) => Err(CallError::LinkRejected {
                source_id: link.source.clone(),
                link: link.name.clone(),
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// Tells `service` of a link; the answer is for the link's status. Calls over the link wait for it from here on, not
    /// only from the first poll on.
    pub(crate) fn tell(
        &self,
        service: &dyn Service,
        link: Arc<Link>,
        within: Duration,
    ) -> impl Future<Output = Answered> + Send + use<> {
        let (state, gate) = watch::channel(Gate::Asking);
        self.told.send_modify(|told| {
            let key = link.key();
            told.retain(|_, known| known.key != key);
            let link = link.clone();
            told.insert(address(&link), Told { key, link, gate });
        });
        self.refresh();
        // Asked at once: what the service hears of a link comes in the order of its changes.
        let asked = std::panic::catch_unwind(AssertUnwindSafe(|| service.linked(link)));
        async move {
            let ask = AssertUnwindSafe(async {
                match asked {
                    Ok(answer) => answer.await,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            })
            .catch_unwind();
            let answer = match tokio::time::timeout(within, ask).await {
                Ok(Ok(Ok(()))) => Gate::Open,
                Ok(Ok(Err(reason))) => Gate::Rejected(reason),
                Ok(Err(panic)) => {
                    Gate::Rejected(format!("the provider panicked: {}", panic_text(&*panic)))
                }
                Err(_) => {
                    Gate::Rejected(format!("the provider did not accept it within {within:?}"))
                }
            };
            Answered { state, answer }
        }
    }

    /// The service has answered.
    pub(crate) fn settle(&self, Answered { state, answer }: Answered) -> Gate {
        state.send_replace(answer.clone());
        self.refresh();
        answer
    }

    /// Every link that the service was told of.
    pub(crate) fn told(&self) -> Vec<(LinkKey, Arc<Link>)> {
        self.told
            .borrow()
            .values()
            .map(|told| (told.key.clone(), told.link.clone()))
            .collect()
    }

    /// Forgets a link. False when it was not known.
    pub(crate) fn remove(&self, key: &LinkKey) -> bool {
        let removed = self.told.send_if_modified(|told| {
            let before = told.len();
            told.retain(|_, known| known.key != *key);
            told.len() < before
        });
        self.refresh();
        removed
    }

    fn refresh(&self) {
        // One at a time, so that the last one to store has seen everything before it.
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self.told.borrow();
        let open = told
            .iter()
            .filter(|(_, told)| *told.gate.borrow() == Gate::Open)
            .map(|(address, told)| (*address, told.link.clone()))
            .collect();
        self.open.store(Arc::new(open));
    }
}

/// What a service said of a link, before calls know.
pub(crate) struct Answered {
    state: watch::Sender<Gate>,
    answer: Gate,
}
