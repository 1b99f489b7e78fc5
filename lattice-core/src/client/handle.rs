//! The client of a caller: that of a node, or one that is created when it is first needed.

use super::Client;
use crate::{
    bus::BusError,
    call::{CallError, Ran},
    id::Origin,
};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

type Join = dyn Fn() -> BoxFuture<'static, Result<Arc<Client>, BusError>> + Send + Sync;

/// Cheap to clone; clones share the client.
#[derive(Clone)]
pub(crate) enum ClientHandle {
    Ready(Arc<Client>),
    OnDemand(Arc<OnDemand>),
}

/// A client that joins the lattice with the first call.
pub(crate) struct OnDemand {
    client: OnceCell<Arc<Client>>,
    join: Box<Join>,
}

impl ClientHandle {
    pub(crate) fn on_demand(
        join: impl Fn() -> BoxFuture<'static, Result<Arc<Client>, BusError>> + Send + Sync + 'static,
    ) -> Self {
        Self::OnDemand(Arc::new(OnDemand {
            client: OnceCell::new(),
            join: Box::new(join),
        }))
    }

    /// Returns the boot of the node, if there is one.
    pub(super) fn origin(&self) -> Option<&Origin> {
        self.existing().map(Client::origin)
    }

    /// Returns the client, if there is one.
    pub(super) fn existing(&self) -> Option<&Client> {
        match self {
            Self::Ready(client) => Some(client),
            Self::OnDemand(on_demand) => on_demand.client.get().map(|client| &**client),
        }
    }

    /// Returns the client, in time for a call.
    pub(super) async fn client(&self, deadline: Instant) -> Result<&Arc<Client>, CallError> {
        let on_demand = match self {
            Self::Ready(client) => return Ok(client),
            Self::OnDemand(on_demand) => on_demand,
        };
        if let Some(client) = on_demand.client.get() {
            return Ok(client);
        }
        let joined = on_demand.client.get_or_try_init(&on_demand.join);
        match timeout_at(deadline, joined).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(_)) => Err(CallError::Disconnected { ran: Ran::No }),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
        }
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle").finish_non_exhaustive()
    }
}
