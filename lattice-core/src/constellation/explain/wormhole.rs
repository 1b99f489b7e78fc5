//! Explains whether requests get through a wormhole.

use super::{Finding, Inquiry, similar};
use crate::{
    constellation::items::WormholeView,
    desired::WormholeState,
    name::{HostId, WormholeId},
    store::StoreKey,
    types::ComponentTypes,
    wormhole::{INGRESS_LABEL, serves_requests},
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
        if let Some(reason) = self.mismatches.wormholes.get(id) {
            self.found(Finding::WormholeMismatch {
                wormhole: id.clone(),
                reason: reason.clone(),
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

/// Returns why a wormhole can't lead to an actor with these types, if it can't.
pub(super) fn mismatch(wormhole: &WormholeView, actor: &ComponentTypes) -> Option<String> {
    let serves = actor.exports.keys().any(serves_requests);
    (!serves).then(|| {
        format!(
            "actor `{}` serves no HTTP requests; have it export `wasi:http/incoming-handler` or `wasi:http/handler`, or lead the wormhole to another actor",
            wormhole.actor
        )
    })
}
