//! Calling components: which replica a call goes to, the call itself, and trying another replica
//! when it did not run.
//!
//! | file | what it does |
//! | --- | --- |
//! | `caller`, `operator`, `builder`, `handle` | the public handles: calls over links, calls of operators |
//! | `call` | one call: its attempts, until one replica has replied or none is left |
//! | `timed` | how long calls take |
//! | `route` | the pure rules: which replica, whether again |
//! | `routing`, `cooldown`, `affinity`, `same_process` | knowledge about the replicas |
//! | `exchange` | a call to one replica: here, or on another host |
//! | `restore` | calls that use portable resources, which are made anew when they were lost |
//! | `large` | a call whose arguments need a session |
//! | `discovery` | discovering which hosts serve a component, and with which types |
//! | `host_rpc` | calls to hosts, not components |

mod affinity;
mod builder;
pub(crate) mod call;
mod caller;
mod cooldown;
mod discovery;
mod exchange;
mod handle;
mod host_rpc;
mod large;
mod operator;
mod restore;
mod route;
mod routing;
pub(crate) mod same_process;
mod timed;

pub use builder::{Authority, Bypass, Call, CallResult, Encoded, Granted};
pub(crate) use call::OutgoingCall;
pub use caller::Caller;
pub(crate) use handle::ClientHandle;
pub use operator::{Component, Operator};
pub(crate) use same_process::SameProcess;

use crate::{
    connection::Connection,
    entropy::random,
    membership::PresenceWatcher,
    server::Server,
    sync::{Count, Mutex},
    transport::{self, Transport, id::PeerToken},
    wire::{Discovered, Origin},
};
use affinity::Affinity;
use cooldown::Cooldowns;
use discovery::Questions;
use route::RetryBudget;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;

/// The parts of a node that make calls.
pub(crate) struct Client {
    transport: Arc<Transport>,
    connection: Arc<Connection>,
    presence: Arc<PresenceWatcher>,
    /// The components in service on this node.
    server: Arc<Server>,
    /// The components in service on other nodes of this process.
    same_process: SameProcess,
    questions: Questions,
    cooldowns: Cooldowns,
    affinity: Affinity,
    retries: Retries,
    dice: Dice,
}

impl Client {
    pub(crate) fn new(
        connection: Arc<Connection>,
        server: Arc<Server>,
        same_process: SameProcess,
    ) -> Self {
        let transport = server.transport.clone();
        Self {
            dice: Dice::new(PeerToken::of(transport.origin())),
            transport,
            presence: connection.presence.clone(),
            connection,
            server,
            same_process,
            questions: Questions::default(),
            cooldowns: Cooldowns::default(),
            affinity: Affinity::default(),
            retries: Retries::default(),
        }
    }

    fn origin(&self) -> &Origin {
        self.transport.origin()
    }
}

impl transport::Events for Client {
    fn discovered(&self, found: Discovered) {
        self.found(found);
    }

    fn question_in_doubt(&self, id: u64) {
        self.questions.doubt(id);
    }

    fn host_lost(&self, host: &Origin) {
        self.presence.lost(host);
    }
}

/// The calls that may be retried.
#[derive(Debug, Default)]
struct Retries {
    /// Calls made so far.
    calls: Count,
    budget: Mutex<RetryBudget>,
}

impl Retries {
    fn count_call(&self) {
        self.calls.add_one();
    }

    /// Takes a retry from the budget, if there is one.
    fn take(&self, now: Instant) -> bool {
        let calls = self.calls.sum();
        let mut budget = self.budget.lock();
        budget.take(calls, now)
    }
}

/// Random numbers for many threads, cheap and good enough to spread load: those of
/// [`Random`](random::Random), over a shared counter.
#[derive(Debug)]
struct Dice(AtomicU64);

impl Dice {
    fn new(seed: PeerToken) -> Self {
        Self(AtomicU64::new(seed.number()))
    }

    fn roll(&self) -> u64 {
        random::mix(self.0.fetch_add(random::STEP, Ordering::Relaxed))
    }
}
