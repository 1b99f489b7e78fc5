//! Where a call goes: the rules of [`route`](super::route), applied to what this node knows.

use super::{
    Client, OutgoingCall,
    route::{Candidates, Choice, choose},
};
use crate::{
    call::CallError,
    link::Locality,
    serve::CallerInstance,
    server::{Server, component::RunningComponent},
    stream::{Handle, ResourceRef, Stale},
    transport::PeerConn,
    wire::Origin,
};
use std::sync::Arc;
use tokio::time::Instant;

/// A replica of the target.
pub(super) enum Route {
    /// On this node.
    Here(Arc<RunningComponent>),
    /// On another node of this process.
    SameProcess(Arc<Server>, Arc<RunningComponent>),
    /// On another host.
    Remote(Arc<PeerConn>),
}

impl Route {
    pub(super) fn origin<'r>(&'r self, client: &'r Client) -> &'r Origin {
        match self {
            Self::Here(_) => client.origin(),
            Self::SameProcess(server, _) => server.origin(),
            Self::Remote(peer) => &peer.peer,
        }
    }
}

impl Client {
    /// Chooses among the replicas that are known and were not tried.
    pub(super) fn choose(
        &self,
        call: &mut OutgoingCall<'_>,
        tried: &[Origin],
        now: Instant,
    ) -> Option<Route> {
        if let Some(route) = self.as_before(call, tried) {
            return Some(route);
        }
        let locality = call
            .permission
            .link()
            .map_or(Locality::PreferLocal, |grant| grant.link.locality);
        let here = self
            .server
            .component(call.target)
            .filter(|here| !tried.contains(self.origin()) && self.is_newest(here));
        // A component that is stopping is called only when there is no other: it returns the error.
        let (here, stopping) = match here {
            Some(here) if !here.takes(&call.context) => (None, Some(here)),
            here => (here, None),
        };
        if locality != Locality::Anywhere {
            if let Some(here) = here {
                return Some(Route::Here(here));
            }
            let usable = |server: &Server, component: &RunningComponent| {
                !tried.contains(server.origin()) && component.takes(&call.context)
            };
            let found = self.same_process.component(call.target, usable);
            if let Some((server, component)) = found.filter(|(_, found)| self.is_newest(found)) {
                return Some(Route::SameProcess(server, component));
            }
        }
        let hosts = self.presence.current();
        let (hosts, fence) = hosts.fenced(call.target);
        call.fence = fence;
        let peers = self.transport.peers();
        let candidates = Candidates {
            here: here.as_ref().map(|here| here.in_flight()),
            there: hosts.len(),
            load: |at: usize| peers.get(&hosts[at]).map_or(0, |peer| peer.calls()),
            usable: |at: usize| hosts[at] != *self.origin() && !tried.contains(&hosts[at]),
            cooling: |at: usize| {
                peers.get(&hosts[at]).is_some_and(|peer| peer.is_in_doubt())
                    || self.cooldowns.contains(&hosts[at], call.target, now)
            },
        };
        match choose(locality, self.dice.roll(), &candidates) {
            None => stopping.map(Route::Here),
            Some(Choice::Here) => here.map(Route::Here),
            Some(Choice::There(at)) => Some(Route::Remote(match peers.get(&hosts[at]) {
                Some(peer) => peer.clone(),
                None => self.transport.peer(&hosts[at]),
            })),
        }
    }

    /// Returns where a call has to go because the resources that it uses are there, if it uses any
    /// of the callee's.
    ///
    /// # Errors
    /// Fails when they are gone.
    pub(super) fn pinned(&self, call: &OutgoingCall<'_>) -> Result<Option<Route>, CallError> {
        let resources = call.handles.iter().filter_map(Handle::resource);
        let of_target = |resource: &&ResourceRef| resource.at().component == *call.target;
        let Some(resource) = resources.into_iter().find(of_target) else {
            return Ok(None);
        };
        let origin = &resource.at().origin;
        let not_served = || resource.stale(&Stale::NotServed);
        if origin == self.origin() {
            let here = self.server.component(call.target).map(Route::Here);
            return here.ok_or_else(not_served).map(Some);
        }
        let is_there = |server: &Server, _: &RunningComponent| server.origin() == origin;
        if let Some((server, component)) = self.same_process.component(call.target, is_there) {
            return Ok(Some(Route::SameProcess(server, component)));
        }
        let hosts = self.presence.current();
        let live = hosts.boot_of(&origin.host);
        if origin.host == self.origin().host || live.is_some_and(|live| live.epoch > origin.epoch) {
            return Err(resource.stale(&Stale::OwnerRestarted));
        }
        Ok(Some(Route::Remote(self.transport.peer(origin))))
    }

    /// Returns the replica that has passed handles to or from the instance that calls, if it is
    /// still there: it may keep something for that instance.
    fn as_before(&self, call: &OutgoingCall<'_>, tried: &[Origin]) -> Option<Route> {
        let CallerInstance::Instance(instance) = call.caller else {
            return None;
        };
        let origin = self.affinity.of(instance, call.target)?;
        if tried.contains(&origin) {
            return None;
        }
        if origin == *self.origin() {
            let here = self.server.component(call.target)?;
            return here.takes(&call.context).then_some(Route::Here(here));
        }
        let is_there = |server: &Server, component: &RunningComponent| {
            *server.origin() == origin && component.takes(&call.context)
        };
        if let Some((server, component)) = self.same_process.component(call.target, is_there) {
            return Some(Route::SameProcess(server, component));
        }
        let hosts = self.presence.current();
        let is_served = hosts.serving(call.target).contains(&origin);
        is_served.then(|| Route::Remote(self.transport.peer(&origin)))
    }

    /// Remembers the replica that has served a call which passed handles.
    pub(super) fn has_passed_handles(&self, call: &OutgoingCall<'_>, route: &Route) {
        if let CallerInstance::Instance(instance) = call.caller {
            let origin = route.origin(self);
            self.affinity.remember(instance, call.target, origin);
        }
    }

    /// Forgets an instance that has called.
    pub(crate) fn instance_ended(&self, instance: u64) {
        self.affinity.forget(instance);
    }

    /// Whether no other host has got its lease since.
    fn is_newest(&self, component: &RunningComponent) -> bool {
        component.fence.is_none() || {
            let hosts = self.presence.current();
            hosts.fenced(&component.id).1 <= component.fence
        }
    }

    /// Discovers the hosts that serve the target, when none is known that was not tried.
    pub(super) async fn find(
        self: &Arc<Self>,
        call: &mut OutgoingCall<'_>,
        tried: &[Origin],
        now: Instant,
    ) -> Result<Route, CallError> {
        let local_only = call
            .permission
            .link()
            .is_some_and(|grant| grant.link.locality == Locality::LocalOnly);
        let mut found = Vec::new();
        if !local_only {
            found = self.discover(call.target, call.context.deadline).await?;
            found.retain(|origin| origin != self.origin() && !tried.contains(origin));
        }
        // The result may contain more than one host.
        self.choose(call, tried, now)
            .or_else(|| Some(Route::Remote(self.transport.peer(found.first()?))))
            .ok_or_else(|| CallError::NotServed {
                component: call.target.clone(),
            })
    }
}
