//! The handle for calls in the name of one component.

use super::{Client, OutgoingCall};
use crate::{
    call::{CallError, Context, FunctionRef},
    name::{ComponentId, LinkName},
    wire::Source,
};
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// Calls in the name of one component, through its links. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    client: Arc<Client>,
    source: Source,
    id: ComponentId,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Caller {
    pub(crate) fn new(client: Arc<Client>, source: ComponentId) -> Self {
        Self {
            client,
            source: Source::Component(source.clone()),
            id: source,
        }
    }

    /// The component that calls.
    pub fn source(&self) -> &ComponentId {
        &self.id
    }

    /// Calls `function` through the link of that name. Arguments and result are encoded.
    ///
    /// `context` has the deadline. For a call made on behalf of another one, pass
    /// [`request.context.nested()`](Context::nested).
    ///
    /// # Errors
    /// A [`CallError`], by the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future frees everything on this side; a call that has left may still run.
    pub async fn call(
        &self,
        function: &FunctionRef,
        link: &LinkName,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let (grant, incarnation) = {
            let table = self.client.connection.replica.links();
            let grant = table.resolve(&self.id, function.compat(), link).cloned();
            // A link that the store has lost is in no revision that the callee could wait for.
            let held = grant
                .as_ref()
                .is_some_and(|grant| table.is_held(&grant.key));
            (grant, (!held).then(|| table.incarnation()))
        };
        let grant = grant.ok_or_else(|| CallError::NotLinked {
            source_id: self.id.clone(),
            interface: function.interface().to_string(),
            link: link.clone(),
        })?;
        let call = OutgoingCall {
            incarnation,
            source: &self.source,
            target: &grant.link.target,
            idempotent: grant.link.idempotent.contains(function.function()),
            grant: Some(&grant),
            function,
            args,
            context,
            fence: None,
        };
        self.client.call(call).await
    }
}
