//! Explains whether requests get through a wormhole.

use super::{Finding, Inquiry, similar};
use crate::{
    connection::Connection,
    constellation::items::WormholeView,
    desired::WormholeState,
    name::{ComponentId, HostId, InterfaceName, WormholeId},
    store::StoreKey,
    wormhole::{INGRESS_LABEL, serves_requests, verifies_requests},
};

impl Inquiry<'_> {
    pub(super) fn wormhole(&mut self, id: &WormholeId) {
        let unreadable = self.is_unreadable(&StoreKey::wormhole(id));
        let Some(wormhole) = self.view.wormholes.get(id).cloned() else {
            if !unreadable {
                let all = self.view.wormholes.keys();
                let similar = similar(id.as_str(), all, WormholeId::as_str);
                self.found(Finding::NoWormhole {
                    wormhole: id.clone(),
                    similar,
                });
            }
            return;
        };
        if wormhole.state == WormholeState::Closed {
            return self.found(Finding::Closed {
                wormhole: id.clone(),
            });
        }
        if !unreadable {
            self.found(Finding::Open {
                wormhole: id.clone(),
                addresses: wormhole.addresses(),
                actor: wormhole.actor.clone(),
            });
        }
        self.ingress();
        let reasons = self.mismatches.wormholes.get(id).cloned();
        for reason in reasons.unwrap_or_default() {
            self.found(Finding::WormholeMismatch {
                wormhole: id.clone(),
                reason,
            });
        }
        self.component(&wormhole.actor);
        if let Some(verifier) = &wormhole.verifier {
            self.component(verifier);
        }
    }

    /// Adds whether any host has an ingress, through which requests come in.
    fn ingress(&mut self) {
        let hosts = self.view.hosts.values();
        let with_ingress = hosts.filter(|host| host.labels.contains_key(INGRESS_LABEL));
        let hosts: Vec<HostId> = with_ingress.map(|host| host.id.clone()).collect();
        self.found(if hosts.is_empty() {
            Finding::NoIngress
        } else {
            Finding::Ingress { hosts }
        });
    }
}

/// Returns why a wormhole can't lead to its actor or ask its verifier, by the types that these have
/// published.
pub(super) async fn mismatches(connection: &Connection, wormhole: &WormholeView) -> Vec<String> {
    let mut reasons = Vec::new();
    let actor = &wormhole.actor;
    if !exports(connection, actor, serves_requests).await {
        reasons.push(format!(
            "actor `{actor}` serves no HTTP requests; have it export `wasi:http/incoming-handler` or `wasi:http/handler`, or lead the wormhole to another actor"
        ));
    }
    if let Some(verifier) = &wormhole.verifier
        && !exports(connection, verifier, verifies_requests).await
    {
        reasons.push(format!(
            "its verifier `{verifier}` decides about no requests, so none is let through; have it export `lattice:http/verifier`, or name another one"
        ));
    }
    reasons
}

/// Returns whether a component exports such an interface, or may do so because its types aren't
/// known.
async fn exports(
    connection: &Connection,
    component: &ComponentId,
    is_such: fn(&InterfaceName) -> bool,
) -> bool {
    let types = connection.types.of(component).await.ok().flatten();
    types.is_none_or(|types| types.exports.keys().any(is_such))
}
