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
};
use http::{Request, Response, response};
use http_body_util::BodyExt;
use instance::{Answer, Collected, Job, SharedInstance, Slot};
use lattice_core::{
    call::{CallError, Context},
    sync::Mutex,
};
use std::{sync::Arc, time::Duration};
use streaming::Streaming;

/// Requests that one instance serves at once, as in `wasmtime serve`.
const AT_ONCE: usize = 16;
/// Requests that one instance serves, of an actor whose instances aren't warm. The same.
const IN_ALL: u64 = 128;
/// How long an unused instance of such an actor is kept. The same.
const IDLE: Duration = Duration::from_secs(1);
/// The most instances that one request is sent to, when each ends before it begins the request.
const ATTEMPTS: usize = 3;

/// The instances of one actor.
pub(super) struct SharedPool {
    actor: Arc<HostedActor>,
    limits: PoolLimits,
    open: Mutex<Vec<Arc<SharedInstance>>>,
    tasks: Arc<Tasks>,
}

/// How requests share instances.
#[derive(Debug, Clone, Copy)]
struct PoolLimits {
    /// Instances that there may be. More requests than they serve at once go to them all the same.
    most: usize,
    /// Requests that an instance serves before it is replaced.
    in_all: u64,
    idle: Duration,
}

impl PoolLimits {
    fn of(instances: Instances) -> Self {
        match instances {
            Instances::Fresh => Self {
                most: usize::MAX,
                in_all: IN_ALL,
                idle: IDLE,
            },
            Instances::Warm { most, idle } => Self {
                most: most.get(),
                in_all: u64::MAX,
                idle,
            },
        }
    }
}

impl SharedPool {
    pub(super) fn new(actor: Arc<HostedActor>, tasks: Arc<Tasks>) -> Arc<Self> {
        let limits = PoolLimits::of(actor.context.settings.instances);
        Arc::new(Self {
            actor,
            limits,
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
    /// the request with this context.
    fn slot(&self, context: Context) -> Slot {
        let mut open = self.open.lock();
        open.retain(|instance| instance.is_open(self.limits.in_all));
        let emptiest = open.iter().min_by_key(|instance| instance.load());
        let instance = match emptiest {
            Some(instance) if instance.load() < AT_ONCE || open.len() >= self.limits.most => {
                instance.clone()
            }
            _ => {
                let PoolLimits { in_all, idle, .. } = self.limits;
                let instance = driver::start(&self.actor, context, (in_all, idle));
                open.push(instance.clone());
                instance
            }
        };
        Slot::new(instance)
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
            let mut slot = self.slot(context);
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
