//! Errands: what a host asks another host for by itself, in no component's name and over no link.
//!
//! They travel as calls do, with a deadline, in bounded queues, and bulk in its own lane. Only a host that beats, and speaks for
//! itself, is answered; what it may ask for is for the service to decide.

use crate::client::caller::Outgoing;
use crate::node::Inner;
use crate::node::Node;
use crate::server::ServeLimits;
use crate::server::component::Served;
use crate::{
    call::{CallError, Context, FunctionRef, Ran},
    name::ComponentId,
    serve::Service,
    store::Incarnation,
    wire::{CallEnvelope, Origin, Source},
};
use bytes::Bytes;
use std::sync::Arc;

impl Node {
    /// Answers the errands of other hosts from now on, in place of whoever did so before. The requests' source is
    /// [`Source::Host`]; `name` is for messages.
    pub fn serve_hosts(&self, name: ComponentId, service: Arc<dyn Service>, limits: ServeLimits) {
        let served = Served::new(name, service, limits);
        self.inner().errands.store(Some(Arc::new(served)));
    }

    /// Asks another host.
    ///
    /// # Errors
    /// A [`CallError`], by the deadline: [`CallError::NotServed`] from a host that answers no errands.
    pub async fn ask_host(
        &self,
        host: &Origin,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let node = self.inner();
        let target = host.host.as_component();
        let source = Source::Host(node.origin.host.clone());
        let call = Outgoing {
            source: &source,
            target: &target,
            grant: None,
            incarnation: Incarnation::default(),
            function,
            args,
            context,
            idempotent: false,
            fence: 0,
        };
        let now = node.check(&call)?;
        let line = node.line(host);
        node.call_there(&line, &call, now, 0).await
    }
}

impl Inner {
    /// Who is to run a call: whom it names, or, when a host asks by itself, whoever answers that here.
    pub(crate) fn called(
        &self,
        call: &CallEnvelope,
        sender: &Origin,
    ) -> Result<Arc<Served>, CallError> {
        let served = match &call.source {
            Source::Host(host) => {
                let peers = self.connection.presence.current();
                if *host != sender.host || !peers.contains(sender) {
                    return Err(CallError::Unrecognised {
                        ran: Ran::No,
                        message: "an errand of a host that is not known here, or in the name of another one".to_owned(),
                    });
                }
                self.errands.load_full()
            }
            _ => self.served(&call.target),
        };
        served.ok_or_else(|| CallError::NotServed {
            component: call.target.clone(),
        })
    }
}
