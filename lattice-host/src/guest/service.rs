//! An actor as a service that can be called.

#[cfg(feature = "http")]
use super::http::HttpService;
use super::{
    Call, HostedActor,
    concurrent::{self, ConcurrentPool},
    exclusive::{self, ExclusivePool},
    figures::Unbusy,
    fresh,
    kept::{self, KeptPool},
    nesting,
    settings::Instances,
    spans,
};
#[cfg(feature = "http")]
use crate::http::exchange::is_handle;
use crate::transcode::{Arguments, Asyncness, FunctionPlan};
use futures_util::{FutureExt, future::BoxFuture};
use lattice_core::{
    call::{CallError, Limit},
    serve::{Answer, Request, Service},
    types::ComponentTypes,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Serves the calls of an actor.
pub(crate) struct ActorService {
    actor: Arc<HostedActor>,
    warm: Option<WarmPools>,
    /// For a component that passes streams or handles.
    kept: Option<Arc<KeptPool>>,
    /// For a component that serves HTTP.
    #[cfg(feature = "http")]
    http: Option<Arc<HttpService>>,
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
        let origin = actor.context.caller.origin();
        let kept = actor.code.handles.as_ref().zip(origin);
        let kept = kept.map(|(_, origin)| KeptPool::new(actor.clone(), origin.clone()));
        #[cfg(feature = "http")]
        let http = HttpService::new(&actor, warm.as_ref().map(|warm| &warm.exclusive));
        Self {
            actor,
            warm,
            kept,
            #[cfg(feature = "http")]
            http,
        }
    }

    /// Returns how many instances serve no call now.
    pub(crate) fn unbusy(&self) -> Unbusy {
        let warm = self.warm.as_ref();
        let idle = warm.map_or(0, |warm| warm.exclusive.idle() + warm.concurrent.idle());
        #[cfg(feature = "http")]
        let idle = idle + self.http.as_ref().map_or(0, |http| http.idle());
        Unbusy {
            idle,
            kept: self.kept.as_ref().map_or(0, |pool| pool.len()),
        }
    }

    /// Serves a request of HTTP.
    #[cfg(feature = "http")]
    fn call_http(&self, http: &Arc<HttpService>, request: Request) -> Answer {
        let deadline = request.context.deadline;
        let result = http.clone().handle(request);
        Answer::Passing(self.in_time(result.boxed(), deadline))
    }

    /// Serves a call in an instance that is kept.
    fn call_kept(
        &self,
        pool: &Arc<KeptPool>,
        plan: &Arc<FunctionPlan>,
        request: Request,
    ) -> Answer {
        let checked = plan.arguments_with(request.args.clone(), &request.handles);
        let checked = checked.map_err(|error| CallError::BadArguments {
            reason: error.to_string(),
        });
        let checked = checked.and_then(|(arguments, places)| {
            self.check_size(&arguments)?;
            Ok((arguments, places))
        });
        match checked {
            Ok(checked) => {
                let deadline = request.context.deadline;
                let call = kept::call(pool.clone(), plan.clone(), request, checked);
                Answer::Passing(self.in_time(call.boxed(), deadline))
            }
            Err(error) => Answer::Ready(Err(error)),
        }
    }

    /// Checks that the guest has room for the arguments.
    fn check_size(&self, arguments: &Arguments) -> Result<(), CallError> {
        let (takes, limit) = (arguments.guest_bytes(), self.actor.context.limits.memory);
        if takes <= limit {
            return Ok(());
        }
        let reason = format!("they need {takes} of the guest's memory, whose limit is {limit}");
        Err(CallError::BadArguments { reason })
    }

    /// Ends a call at the limit on its time, if that is earlier than its deadline.
    fn in_time<T: Send + 'static>(
        &self,
        result: BoxFuture<'static, Result<T, CallError>>,
        deadline: Instant,
    ) -> BoxFuture<'static, Result<T, CallError>> {
        let wall = self.actor.context.limits.wall;
        let is_earlier =
            |wall: &Duration| *wall < deadline.saturating_duration_since(Instant::now());
        let Some(wall) = wall.filter(is_earlier) else {
            return result;
        };
        let late = move |_| {
            Err(CallError::LimitExceeded {
                limit: Limit::Wall(wall),
                reason: "it had not returned by then".to_owned(),
            })
        };
        tokio::time::timeout(wall, result)
            .map(move |result| result.unwrap_or_else(late))
            .boxed()
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
        let context = request.context;
        spans::keep(&context, || self.serve(request))
    }
}

impl ActorService {
    fn serve(&self, request: Request) -> Answer {
        #[cfg(feature = "http")]
        if let Some(http) = &self.http
            && is_handle(request.function)
        {
            return self.call_http(http, request);
        }
        let actor = &self.actor;
        let Some(exported) = actor.code.functions.get(&request.function) else {
            return Answer::Ready(Err(actor.not_exported(request.function)));
        };
        let plan = exported.function.plan();
        if let Some(pool) = &self.kept {
            return self.call_kept(pool, plan, request);
        }
        let arguments = match plan.arguments(request.args) {
            Ok(arguments) => arguments,
            Err(error) => {
                return Answer::Ready(Err(CallError::BadArguments {
                    reason: error.to_string(),
                }));
            }
        };
        if let Err(error) = self.check_size(&arguments) {
            return Answer::Ready(Err(error));
        }
        let call = Call {
            function: request.function,
            arguments,
            context: request.context,
        };
        let result = match &self.warm {
            None => {
                let (actor, exported) = (actor.clone(), exported.clone());
                nesting::enter(|| fresh::call(actor, exported, call)).boxed()
            }
            Some(warm) if plan.asyncness() == Asyncness::Async => {
                concurrent::call(warm.concurrent.clone(), call).boxed()
            }
            Some(warm) => {
                let pool = warm.exclusive.clone();
                nesting::enter(|| exclusive::call(pool, call)).boxed()
            }
        };
        Answer::Later(self.in_time(result, request.context.deadline))
    }
}
