//! Requests for guests of version 0.3, several in one instance.
//!
//! Each instance is driven by its own task. Its states are *open* → *used up* (it has served as
//! many requests as it may) or *retired* → *ended*. It ends once its requests and their bodies are
//! over, and the guest has nothing left to do, or has had the time of a call for that. A trap, or
//! an overrun of the CPU time, ends it with every request in it: those without a response fail, and
//! the bodies of the others break.
//!
//! Wasmtime can't cancel one of a guest's tasks. A request that its client gives up retires the
//! instance, which ends as soon as no other request needs it, with whatever the guest still does.

mod driver;
mod instance;
mod linker;
mod streaming;

pub(super) use linker::add_to_linker;

use super::{
    flow::Flow,
    response::{Rest, Tasks, checked, parts},
    service::Answered,
};
use crate::{
    guest::{HostedActor, Instances},
    http::exchange::{self, ErrorCode, check_length, code_of_wasi},
    limits::Reuse,
};
use http::{Request, Response, response};
use http_body_util::BodyExt;
use instance::{Answer, Collected, Job, SharedInstance, Slot};
use lattice_core::{
    call::{CallError, Context, Turn, Turns},
    sync::Mutex,
};
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use streaming::Streaming;

/// Requests that one instance serves at once by default. As in `wasmtime serve`.
const AT_ONCE: usize = 16;
/// Requests that one instance serves by default, of an actor whose instances aren't warm. As in
/// `wasmtime serve`.
const IN_ALL: u64 = 128;
/// How long an unused instance of such an actor is kept by default. The same.
const IDLE: Duration = Duration::from_secs(1);
/// The most instances that one request is sent to, when each ends before it begins the request.
const ATTEMPTS: usize = 3;

/// The instances of one actor.
pub(super) struct SharedPool {
    actor: Arc<HostedActor>,
    limits: PoolLimits,
    /// One turn for each request that the instances that there may be serve at once. `None` when
    /// requests don't wait for each other.
    turns: Option<Turns>,
    open: Mutex<Vec<Arc<SharedInstance>>>,
    tasks: Arc<Tasks>,
}

/// How requests share instances.
#[derive(Debug, Clone, Copy)]
struct PoolLimits {
    /// Instances that there may be.
    most: usize,
    /// Requests that an instance serves at once, if there may be another instance for more.
    at_once: usize,
    /// More requests than all instances that there may be serve at once wait.
    waits: bool,
    /// Requests that an instance serves before it is replaced.
    in_all: u64,
    idle: Duration,
}

impl PoolLimits {
    fn of(instances: Instances, reuse: Reuse) -> Self {
        let (most, in_all, idle) = match instances {
            Instances::Fresh => (usize::MAX, IN_ALL, IDLE),
            Instances::Warm { most, idle } => (most.get(), u64::MAX, idle),
        };
        let count = |count: NonZeroUsize| u64::try_from(count.get()).unwrap_or(u64::MAX);
        Self {
            most,
            at_once: reuse.concurrent.map_or(AT_ONCE, NonZeroUsize::get),
            waits: reuse.concurrent.is_some() && most < usize::MAX,
            in_all: reuse.requests.map_or(in_all, count),
            idle: reuse.idle.unwrap_or(idle),
        }
    }

    /// Returns how many requests all instances together serve at once, if further ones wait.
    fn turns(self) -> Option<usize> {
        let all = self.most.saturating_mul(self.at_once);
        self.waits.then_some(all)
    }
}

impl SharedPool {
    pub(super) fn new(actor: Arc<HostedActor>, tasks: Arc<Tasks>) -> Arc<Self> {
        let context = &actor.context;
        let limits = PoolLimits::of(context.settings.instances, context.limits.reuse);
        Arc::new(Self {
            actor,
            limits,
            turns: limits.turns().map(Turns::new),
            open: Mutex::default(),
            tasks,
        })
    }

    /// Returns how many instances no request uses.
    pub(super) fn idle(&self) -> usize {
        let open = self.open.lock();
        let is_idle =
            |one: &&Arc<SharedInstance>| one.is_open(self.limits.in_all) && one.load() == 0;
        open.iter().filter(is_idle).count()
    }

    /// Returns a slot in the instance with the fewest requests, or in a new one that is started for
    /// the request with this context, which holds this turn.
    fn slot(&self, context: Context, turn: Option<Turn>) -> Slot {
        let mut open = self.open.lock();
        open.retain(|instance| instance.is_open(self.limits.in_all));
        let emptiest = open.iter().min_by_key(|instance| instance.load());
        let instance = match emptiest {
            // With a turn, one of them isn't full if there may be no further one.
            Some(instance)
                if instance.load() < self.limits.at_once || open.len() >= self.limits.most =>
            {
                instance.clone()
            }
            _ => {
                let PoolLimits { in_all, idle, .. } = self.limits;
                let instance = driver::start(&self.actor, context, (in_all, idle));
                open.push(instance.clone());
                instance
            }
        };
        Slot::new(instance, turn)
    }

    /// Waits for a turn for the request with this context, if requests wait.
    ///
    /// # Errors
    /// Fails at once if the requests that hold all turns wait for this one.
    async fn turn(&self, context: &mut Context) -> Result<Option<Turn>, CallError> {
        match &self.turns {
            Some(turns) => Ok(Some(turns.take(&self.actor.context.id, context).await?)),
            None => Ok(None),
        }
    }

    /// Answers a request.
    ///
    /// # Cancel safety
    /// Dropping the future retires the instance if the guest has begun with the request.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<exchange::Body>,
        context: Context,
    ) -> Result<Answered, CallError> {
        let method = request.method().clone();
        let mut job = Job {
            request,
            context,
            flow: Arc::<Flow>::default(),
        };
        let flow = job.flow.clone();
        for _ in 0..ATTEMPTS {
            job.context = context;
            let turn = self.turn(&mut job.context).await?;
            let mut slot = self.slot(job.context, turn);
            let answered = match slot.send(job).await {
                Answer::Done(answered) => *answered,
                Answer::NotTaken(back) => {
                    job = *back;
                    continue;
                }
                Answer::Lost => return Err(slot.error().await),
            };
            let (head, collected) = match answered? {
                Ok(response) => response,
                Err(error) => return Ok(Err(code_of_wasi(error))),
            };
            let length = checked(&head, &method)?;
            let body = self.body(collected, flow, slot);
            return Ok(Ok(response(head, body, length)));
        }
        // The instances end as fast as they are created.
        Err(CallError::Stopping {
            component: self.actor.context.id.clone(),
        })
    }

    fn body(&self, collected: Collected, flow: Arc<Flow>, mut slot: Slot) -> exchange::Body {
        let Collected { frames, rest } = collected;
        slot.is_answered();
        let rest = match rest {
            instance::Rest::None => Rest::None,
            instance::Rest::Broken(error) => Rest::Broken(code_of_wasi(error)),
            instance::Rest::Flowing(body, unread) => {
                let limit = self.actor.context.limits.kept;
                let streaming = Streaming::new((body, unread), (flow, slot), limit, &self.tasks);
                Rest::Flowing(streaming.boxed_unsync())
            }
        };
        parts(frames, rest)
    }
}

fn response(
    head: response::Parts,
    body: exchange::Body,
    length: Option<u64>,
) -> Response<exchange::Body> {
    let body = match length {
        Some(length) => check_length(body, length, ErrorCode::HttpResponseBodySize),
        None => body,
    };
    Response::from_parts(head, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_sets_what_differs_from_the_defaults_of_its_kind_of_instances() {
        let count = |count| NonZeroUsize::new(count).expect("not zero");
        let secs = Duration::from_secs;
        let warm = Instances::Warm {
            most: count(3),
            idle: secs(60),
        };
        let of = |instances, reuse| {
            let limits = PoolLimits::of(instances, reuse);
            let PoolLimits {
                at_once,
                in_all,
                idle,
                ..
            } = limits;
            (at_once, in_all, idle, limits.turns())
        };
        let none = Reuse::default();
        assert_eq!(of(Instances::Fresh, none), (16, 128, secs(1), None));
        assert_eq!(of(warm, none), (16, u64::MAX, secs(60), None));
        let set = none.concurrent(count(2)).requests(count(5)).idle(secs(7));
        assert_eq!(of(Instances::Fresh, set), (2, 5, secs(7), None));
        assert_eq!(of(warm, set), (2, 5, secs(7), Some(6)));
    }
}
