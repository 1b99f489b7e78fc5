//! A new instance for each call.

use super::{
    Call, CallResult, HostedActor, active_calls::ActiveCalls, code::ExportedFunction,
    instance::Instance,
};
use std::sync::Arc;

/// # Cancel safety
/// Dropping the future frees the instance immediately, at any point of the call.
pub(super) async fn call(
    actor: Arc<HostedActor>,
    exported: Arc<ExportedFunction>,
    mut call: Call,
) -> CallResult {
    let place = actor.place(&mut call.context).await?;
    let mut instance =
        Instance::start(&actor, place, &call.context, ActiveCalls::single, None).await?;
    let function = instance
        .bind(&exported)
        .map_err(|error| instance.failure(&error))?;
    instance.call(&function, call.arguments).await
}
