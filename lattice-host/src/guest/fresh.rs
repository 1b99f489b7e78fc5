//! A new instance for each call.

use super::{Call, HostedActor, Outcome, instance::Instance, state::Serving};
use crate::actor::Export;
use std::sync::Arc;

/// # Cancel safety
/// Dropping the future frees the instance at once, wherever it is.
pub(super) async fn call(actor: Arc<HostedActor>, export: Arc<Export>, call: Call) -> Outcome {
    let mut instance = Instance::start(&actor, Serving::one(call.context)).await?;
    let function = instance
        .bind(&export)
        .map_err(|error| instance.failure(&error))?;
    instance.call(&function, call.arguments).await
}
