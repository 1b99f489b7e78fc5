//! Running actors: a call comes in, an instance serves it.
//!
//! * *Fresh*: the call's own future makes an instance, calls it and drops it. Nothing is kept, and there is no task but
//!   inside of [another guest](nesting).
//! * *Warm*, plain `func`: the call takes an idle instance, or makes one, and puts it back after a success.
//! * *Warm*, `async func`: the call is handed to an instance that a task of its own drives, beside other calls.
//!
//! In all three a call that is dropped takes its instance along, at once or after its siblings have had a second.

mod allowance;
mod exclusive;
mod failure;
mod fresh;
mod guest;
mod nesting;
mod shared;
mod store;
mod vitals;

pub(crate) use guest::{Guest, Outgoing, outgoing};
pub(crate) use nesting::import as nested_import;

use crate::{
    actor::{Code, Instances, Settings},
    builtin::Voice,
    engine::Engine,
    limits::Limits,
    transcode::{Arguments, Asyncness},
};
use bytes::Bytes;
use exclusive::Exclusive;
use futures_util::FutureExt;
use lattice_core::{
    call::{CallError, Context, Limit},
    client::Caller,
    name::ComponentId,
    serve::{Answer, Request, Service},
    types::ComponentTypes,
    wire::FunctionKey,
};
use shared::Shared;
use std::sync::Arc;

type Outcome = Result<Bytes, CallError>;

/// An actor on one host.
pub(crate) struct HostedActor {
    pub(crate) id: ComponentId,
    pub(crate) engine: Engine,
    pub(crate) code: Arc<Code>,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) caller: Caller,
    pub(crate) voice: Arc<Voice>,
}

/// Serves the calls of an actor.
pub(crate) struct ActorService {
    actor: Arc<HostedActor>,
    warm: Option<Warm>,
}

/// Instances that are used again.
struct Warm {
    exclusive: Arc<Exclusive>,
    shared: Arc<Shared>,
}

impl ActorService {
    /// Must be called in a Tokio runtime.
    pub(crate) fn new(actor: Arc<HostedActor>) -> Self {
        let warm = match actor.settings.instances {
            Instances::Fresh => None,
            Instances::Warm { most, idle } => Some(Warm {
                exclusive: Exclusive::new(actor.clone(), most, idle),
                shared: Shared::new(actor.clone(), most, idle),
            }),
        };
        Self { actor, warm }
    }
}

impl Service for ActorService {
    fn types(&self) -> Arc<ComponentTypes> {
        self.actor.code.types.clone()
    }

    fn call(&self, request: Request) -> Answer {
        let actor = &self.actor;
        let Some(export) = actor.code.exports.get(&request.function) else {
            return Answer::Ready(Err(CallError::NotExported {
                component: actor.id.clone(),
                interface: String::new(),
                function: request.function.to_string(),
            }));
        };
        let plan = export.function.plan();
        let arguments = match plan.arguments(request.args) {
            Ok(arguments) => arguments,
            Err(error) => {
                return Answer::Ready(Err(CallError::BadArguments {
                    reason: error.to_string(),
                }));
            }
        };
        let (takes, limit) = (arguments.guest_bytes(), actor.limits.memory);
        if takes > limit {
            let reason = format!("they take {takes} of the guest's memory, which may have {limit}");
            return Answer::Ready(Err(CallError::BadArguments { reason }));
        }
        let call = Call {
            function: request.function,
            arguments,
            context: request.context,
        };
        let answer = match &self.warm {
            None => nesting::enter(fresh::call(actor.clone(), export.clone(), call)).boxed(),
            Some(warm) if plan.asyncness() == Asyncness::Async => {
                shared::call(warm.shared.clone(), call).boxed()
            }
            Some(warm) => {
                let call = exclusive::call(warm.exclusive.clone(), export.clone(), call);
                nesting::enter(call).boxed()
            }
        };
        let Some(wall) = actor
            .limits
            .wall
            .filter(|wall| *wall < request.context.left())
        else {
            return Answer::Later(answer);
        };
        let late = move |_| {
            Err(CallError::LimitExceeded {
                limit: Limit::Wall(wall),
                reason: "it had not answered by then".to_owned(),
            })
        };
        Answer::Later(
            tokio::time::timeout(wall, answer)
                .map(move |answer| answer.unwrap_or_else(late))
                .boxed(),
        )
    }
}

/// One call, with arguments that are what the function takes.
#[derive(Clone)]
struct Call {
    function: FunctionKey,
    arguments: Arguments,
    context: Context,
}
