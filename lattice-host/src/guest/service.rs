//! An actor as a service that can be called.

use super::{
    Call, HostedActor,
    concurrent::{self, ConcurrentPool},
    exclusive::{self, ExclusivePool},
    fresh, nesting,
    settings::Instances,
};
use crate::transcode::Asyncness;
use futures_util::FutureExt;
use lattice_core::{
    call::{CallError, Limit},
    serve::{Answer, Request, Service},
    types::ComponentTypes,
};
use std::sync::Arc;

/// Serves the calls of an actor.
pub(crate) struct ActorService {
    actor: Arc<HostedActor>,
    warm: Option<WarmPools>,
}

/// Instances that are reused.
struct WarmPools {
    exclusive: Arc<ExclusivePool>,
    concurrent: Arc<ConcurrentPool>,
}

impl ActorService {
    /// Creates the service. Must be called in a Tokio runtime.
    pub(crate) fn new(actor: Arc<HostedActor>) -> Self {
        let warm = match actor.context.settings.instances {
            Instances::Fresh => None,
            Instances::Warm { most, idle } => Some(WarmPools {
                exclusive: ExclusivePool::new(actor.clone(), most, idle),
                concurrent: ConcurrentPool::new(actor.clone(), most, idle),
            }),
        };
        Self { actor, warm }
    }
}

impl Service for ActorService {
    fn types(&self) -> Arc<ComponentTypes> {
        self.actor.code.types.clone()
    }

    /// A guest gets the errors of its own calls as values, or traps.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn unserved(&self) -> Option<String> {
        let unserved = self.actor.code.unserved.iter().map(ToString::to_string);
        let unserved: Vec<String> = unserved.collect();
        (!unserved.is_empty()).then(|| unserved.join("; "))
    }

    fn call(&self, request: Request) -> Answer {
        let actor = &self.actor;
        let Some(exported) = actor.code.functions.get(&request.function) else {
            return Answer::Ready(Err(CallError::NotExported {
                component: actor.context.id.clone(),
                interface: String::new(),
                function: request.function.to_string(),
            }));
        };
        let plan = exported.function.plan();
        let arguments = match plan.arguments(request.args) {
            Ok(arguments) => arguments,
            Err(error) => {
                return Answer::Ready(Err(CallError::BadArguments {
                    reason: error.to_string(),
                }));
            }
        };
        let (takes, limit) = (arguments.guest_bytes(), actor.context.limits.memory);
        if takes > limit {
            let reason = format!("they need {takes} of the guest's memory, whose limit is {limit}");
            return Answer::Ready(Err(CallError::BadArguments { reason }));
        }
        let call = Call {
            function: request.function,
            arguments,
            context: request.context,
        };
        let result = match &self.warm {
            None => nesting::enter(fresh::call(actor.clone(), exported.clone(), call)).boxed(),
            Some(warm) if plan.asyncness() == Asyncness::Async => {
                concurrent::call(warm.concurrent.clone(), call).boxed()
            }
            Some(warm) => {
                let call = exclusive::call(warm.exclusive.clone(), exported.clone(), call);
                nesting::enter(call).boxed()
            }
        };
        let Some(wall) = actor
            .context
            .limits
            .wall
            .filter(|wall| *wall < request.context.left())
        else {
            return Answer::Later(result);
        };
        let late = move |_| {
            Err(CallError::LimitExceeded {
                limit: Limit::Wall(wall),
                reason: "it had not returned by then".to_owned(),
            })
        };
        Answer::Later(
            tokio::time::timeout(wall, result)
                .map(move |result| result.unwrap_or_else(late))
                .boxed(),
        )
    }
}
