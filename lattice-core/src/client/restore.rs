//! Calls that use portable resources of other hosts.
//!
//! As long as the owner of a resource is there, its calls go there. When it is gone, a replica that
//! the link of the caller reaches makes the resource anew from the token that came with its handle,
//! by a call of its own, and the call goes to that replica. So the call itself is made once, unless
//! the owner was found to be gone by an error that says that it did not run, or it is idempotent.
//!
//! What is given away by a call can't be sent a second time: such a call fails if it finds that the
//! owner is gone, and is made at another replica if that was known before.

use super::{Client, OutgoingCall, call::Passing, route::worst};
use crate::{
    call::{CallError, FunctionRef, Ran},
    name::ComponentId,
    server::running::Outcome,
    stream::{
        Body, Handle, Handles, Holder, Owned, ResourceRef,
        remote::{Portable, stand_in},
    },
    trace,
    value::to_bytes,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{mem, sync::Arc};
use tokio::time::{Instant, timeout_at};

impl OutgoingCall<'_> {
    /// Whether a handle in the arguments is of another host's portable resource.
    pub(super) fn has_portable(&self) -> bool {
        let mut resources = self.handles.iter().filter_map(Handle::resource);
        resources.any(|resource| Portable::of(resource).is_some())
    }
}

/// The target's portable resources that a call uses: the handles, and what stands for each of them.
type Used = Vec<(Portable, ResourceRef)>;

/// What a call needs to be made again.
struct Again {
    args: Bytes,
    handles: Handles,
}

impl Again {
    /// `None` for a call that gives something away.
    fn of(call: &OutgoingCall<'_>) -> Option<Self> {
        let lent = call.handles.iter().map(|handle| match handle {
            Handle::Borrow(resource) => Some(Handle::Borrow(resource.clone())),
            Handle::Own(_) | Handle::Stream(_) | Handle::Future(_) => None,
        });
        Some(Self {
            handles: lent.collect::<Option<Handles>>()?,
            args: call.args.clone(),
        })
    }
}

impl Client {
    /// Makes a call that uses portable resources.
    pub(super) async fn call_with_portable(
        self: &Arc<Self>,
        call: &mut OutgoingCall<'_>,
    ) -> Outcome {
        let again = Again::of(call);
        let used = self.restore(call).await?;
        let error = match self.pass(call, Instant::now()).await {
            Err(error) if is_about_owner(&error, call.target, &used) => error,
            result => return result,
        };
        let by = Holder::Local(call.source.clone());
        for (portable, resource) in &used {
            portable.lost(resource, &by);
        }
        let may_run_now = match error.ran() {
            Ran::No => true,
            Ran::Maybe => call.idempotent,
            Ran::Yes => false,
        };
        let Some(Again { args, handles }) = again else {
            return Err(error);
        };
        let now = Instant::now();
        let is_in_time = now < call.context.deadline;
        if used.is_empty() || !may_run_now || !is_in_time || !self.retries.take(now) {
            return Err(error);
        }
        if let Some((_, lost)) = used.first() {
            trace::retried(&call.context, (1, &lost.at().origin), &error);
        }
        call.args = args;
        call.handles = handles;
        call.passing.has_handles = false;
        if let Err(later) = self.restore(call).await {
            return Err(worst(Some(error), later));
        }
        let result = self.pass(call, Instant::now()).await;
        result.map_err(|later| worst(Some(error), later))
    }

    /// Has a replica make anew what the call uses of the target and was lost. What was made anew,
    /// by now or before, takes the place of the old handles. Returns what the call then uses of the
    /// target.
    async fn restore(self: &Arc<Self>, call: &mut OutgoingCall<'_>) -> Result<Used, CallError> {
        let by = Holder::Local(call.source.clone());
        let mut handles = mem::take(&mut call.handles);
        let mut used = Used::new();
        for (portable, old) in of_target(&handles, call.target) {
            // What it doesn't hold is refused when the handle is passed.
            if !portable.may_be_used_by(&by) {
                continue;
            }
            let restored = self.restore_one(call, (&portable, &old), &by).await?;
            used.extend(restored.map(|resource| (portable, resource)));
        }
        stand_in(&mut handles, &by);
        call.handles = handles;
        Ok(used)
    }

    /// Returns what `by` uses for a handle. `None` if it was dropped meanwhile.
    async fn restore_one(
        self: &Arc<Self>,
        call: &OutgoingCall<'_>,
        (portable, old): (&Portable, &ResourceRef),
        by: &Holder,
    ) -> Result<Option<ResourceRef>, CallError> {
        if let Some(current) = portable.current(old, by)
            && self.is_there(&current, call.target)
        {
            return Ok(Some(current));
        }
        let turn = timeout_at(call.context.deadline, portable.turn()).await;
        let _turn = turn.map_err(|_| CallError::DeadlineExceeded { ran: Ran::No })?;
        // Another call may have had its turn.
        if let Some(current) = portable.current(old, by) {
            if self.is_there(&current, call.target) {
                return Ok(Some(current));
            }
            portable.lost(&current, by);
        }
        let new = self.made_anew(call, portable, old).await?;
        portable.made_anew(by, new);
        Ok(portable.current(old, by))
    }

    /// Whether the owner of a resource is there, as far as is known here.
    fn is_there(&self, resource: &ResourceRef, target: &ComponentId) -> bool {
        let origin = &resource.at().origin;
        if origin == self.origin() {
            return self.server.component(target).is_some();
        }
        let served = self
            .same_process
            .component(target, |server, _| server.origin() == origin);
        served.is_some() || self.presence.current().boot_of(&origin.host) == Some(origin)
    }

    /// Has a replica make a resource anew for the caller.
    async fn made_anew(
        self: &Arc<Self>,
        call: &OutgoingCall<'_>,
        portable: &Portable,
        old: &ResourceRef,
    ) -> Result<Owned, CallError> {
        let function = FunctionRef::restoring(call.function.interface().clone());
        let token = portable.sealed_for(old, call.source)?;
        let args = to_bytes(&(&**old.ty(), token)).map_err(|error| CallError::BadArguments {
            reason: error.to_string(),
        })?;
        let mut restoring = OutgoingCall {
            source: call.source,
            target: call.target,
            permission: call.permission,
            incarnation: call.incarnation,
            function: &function,
            args,
            handles: Handles::new(),
            caller: call.caller.clone(),
            passing: Passing {
                has_handles: false,
                instance: Some(call.passing.instance.unwrap_or(0)),
            },
            context: call.context,
            // What a lost replica has made is dropped with it, or when its lease is over.
            idempotent: true,
            fence: None,
        };
        let made = self.call_boxed(&mut restoring).await;
        let made = made.and_then(|body| owned(body, old, call.target));
        made.map_err(|error| not_made(error, old.ty()))
    }

    /// Makes a call within another one.
    fn call_boxed<'a>(
        self: &'a Arc<Self>,
        call: &'a mut OutgoingCall<'_>,
    ) -> BoxFuture<'a, Outcome> {
        Box::pin(self.make(call))
    }
}

/// Returns the handles of the target's portable resources.
fn of_target(handles: &[Handle], target: &ComponentId) -> Used {
    let resources = handles.iter().filter_map(Handle::resource);
    let own = resources.filter(|resource| resource.at().component == *target);
    own.filter_map(|resource| Some((Portable::of(resource)?, resource.clone())))
        .collect()
}

/// Returns the handle in the result of a replica that has made `old` anew.
fn owned(body: Body, old: &ResourceRef, target: &ComponentId) -> Result<Owned, CallError> {
    let mut handles = body.handles.into_iter();
    match (handles.next(), handles.next()) {
        (Some(Handle::Own(owned)), None)
            if owned.resource().ty() == old.ty() && owned.resource().at().component == *target =>
        {
            Ok(owned)
        }
        _ => Err(CallError::BadResult {
            reason: format!("a replica returned something else than a `{}`", old.ty()),
        }),
    }
}

/// The error of a call whose resource no replica has made anew: it did not run.
fn not_made(error: CallError, resource: &str) -> CallError {
    match error {
        CallError::DeadlineExceeded { .. } => CallError::DeadlineExceeded { ran: Ran::No },
        error @ CallError::StaleHandle { .. } => error,
        error if error.ran() == Ran::No && error.is_retryable() => error,
        error => CallError::StaleHandle {
            resource: resource.to_owned(),
            reason: format!("its host is gone, and no replica could make it anew: {error}"),
            is_lost: true,
        },
    }
}

/// Whether a call failed because the owner of the handles that it has used is gone.
fn is_about_owner(
    error: &CallError,
    target: &ComponentId,
    used: &[(Portable, ResourceRef)],
) -> bool {
    match error {
        CallError::StaleHandle {
            resource, is_lost, ..
        } => *is_lost && used.iter().any(|(_, used)| **used.ty() == **resource),
        CallError::NotServed { component } | CallError::Stopping { component } => {
            component == target
        }
        CallError::HostLost { .. }
        | CallError::HostGone { .. }
        | CallError::InstanceLost { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::HostId;

    #[test]
    fn a_resource_that_no_replica_makes_anew_is_stale_unless_a_later_call_may_succeed() {
        let component = ComponentId::new("owner").expect("an id");
        let host = HostId::new("x").expect("an id");
        let stale = CallError::StaleHandle {
            resource: "a:b/c/r".to_owned(),
            reason: "there is no such bucket".to_owned(),
            is_lost: true,
        };
        let is_kept = |error: CallError| {
            let made = not_made(error.clone(), "a:b/c/r");
            assert_eq!(made.ran(), Ran::No, "{made}");
            made == error
        };
        assert!(is_kept(stale));
        assert!(is_kept(CallError::NotServed { component }));
        assert!(is_kept(CallError::DeadlineExceeded { ran: Ran::No }));
        assert!(!is_kept(CallError::DeadlineExceeded { ran: Ran::Maybe }));
        assert!(!is_kept(CallError::HostLost { host }));
        let reason = "x".to_owned();
        assert!(!is_kept(CallError::CalleeFailed { reason }));
    }
}
