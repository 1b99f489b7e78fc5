//! Explains why a component does not run.

use super::{Finding, Inquiry, similar};
use crate::{
    constellation::{
        Phase,
        items::{ComponentKind, ComponentView, ReplicaKey, ReplicaView},
    },
    name::{ComponentId, HostId},
    store::StoreKey,
    wire::Versions,
};

impl Inquiry<'_> {
    pub(super) fn component(&mut self, id: &ComponentId) {
        let records = [StoreKey::actor(id), StoreKey::provider(id)];
        let mut unreadable = records.map(|key| self.is_unreadable(&key)).contains(&true);
        let known = self.view.components.get(id);
        for key in known.map_or(&[][..], |known| &known.frozen_by) {
            unreadable |= self.is_unreadable(key);
        }
        let Some(component) = self.view.components.get(id).cloned() else {
            if !unreadable {
                let all = self.view.components.keys();
                let similar = similar(id.as_str(), all, ComponentId::as_str);
                self.found(Finding::Unknown {
                    component: id.clone(),
                    similar,
                });
            }
            return;
        };
        let serving = self.serving(id);
        if component.kind == ComponentKind::ByHand {
            if !serving.is_empty() {
                self.found(Finding::ByHand {
                    component: id.clone(),
                    hosts: serving,
                });
            }
        } else {
            // It is unknown where a component should run if its record was never read.
            if component.placement.is_some() {
                self.placed(&component);
            }
            if !serving.is_empty() {
                self.found(Finding::Serves {
                    component: id.clone(),
                    hosts: serving,
                });
            }
        }
        let replicas: Vec<_> = self.view.replicas_of(id).cloned().collect();
        for replica in &replicas {
            self.replica(replica);
        }
    }

    /// Adds what doesn't work of the component from which a link leads: a provider that calls over
    /// its links names those whose config doesn't fit.
    pub(super) fn in_part(&mut self, source: &ComponentId) {
        let view = self.view;
        let known = view.components.get(source);
        let is_actor = known.is_some_and(|known| known.kind == ComponentKind::Actor);
        if is_actor || self.is_rolled_back(source) {
            return;
        }
        let replicas = view.replicas_of(source);
        let serving = replicas.filter(|replica| matches!(replica.phase, Phase::Serving));
        let unwell = serving.filter_map(|replica| Some((&replica.host, replica.reason.clone()?)));
        for (host, reason) in unwell {
            self.found(Finding::ServesInPart {
                component: source.clone(),
                host: host.clone(),
                reason,
            });
        }
    }

    /// Returns the hosts that serve a component.
    pub(super) fn serving(&self, id: &ComponentId) -> Vec<HostId> {
        let replicas = self.view.replicas_of(id);
        let serving = replicas.filter(|replica| replica.phase.is_serving());
        serving.map(|replica| replica.host.clone()).collect()
    }

    /// Adds findings about a declared component's placement, and about its hosts that have not
    /// started it.
    fn placed(&mut self, component: &ComponentView) {
        let id = &component.id;
        if component.is_rolled_back {
            self.found(Finding::RolledBack {
                component: id.clone(),
                reason: component.rollback_reason.clone(),
                runs: component.runs.clone(),
            });
        }
        if let Some((reason, _)) = self.assignment.unplaced(id) {
            let reason = reason.clone();
            return self.found(Finding::NoHost {
                component: id.clone(),
                reason,
            });
        }
        let hosts: Vec<HostId> = self
            .assignment
            .hosts(id)
            .map(|(host, _)| host.clone())
            .collect();
        if hosts.is_empty() {
            return self.found(Finding::NoneWanted {
                component: id.clone(),
            });
        }
        for host in hosts {
            if self
                .view
                .hosts
                .get(&host)
                .is_some_and(|host| host.rival.is_some())
            {
                self.found(Finding::Doubled { host: host.clone() });
            }
            let key = ReplicaKey {
                component: id.clone(),
                host: host.clone(),
            };
            if self.view.replicas.contains_key(&key) {
                continue;
            }
            let component_id = id.clone();
            self.found(if self.is_behind(&host, component) {
                Finding::HostBehind {
                    component: component_id,
                    host,
                }
            } else {
                Finding::NotBegun {
                    component: component_id,
                    host,
                }
            });
        }
    }

    /// Returns the frame versions that a host reads, if it reads none that this process writes.
    fn foreign_format(&self, host: &HostId) -> Option<Versions> {
        let (min, max) = self.view.hosts.get(host)?.versions;
        let reads = Versions { min, max };
        reads.common(Versions::OURS).is_none().then_some(reads)
    }

    /// Returns whether a host follows the store and takes no leases, which it says by a heartbeat
    /// that names no store.
    fn takes_no_leases(&self, host: &HostId) -> bool {
        let host = self
            .view
            .hosts
            .get(host)
            .filter(|host| host.store.is_none());
        let load = host.and_then(|host| host.load.as_ref());
        load.is_some_and(|load| load.follows_store)
    }

    /// Returns whether a host has not seen the component's latest declaration.
    fn is_behind(&self, host: &HostId, component: &ComponentView) -> bool {
        let host = self.view.hosts.get(host);
        let Some(load) = host.and_then(|host| host.load.as_ref()) else {
            return false;
        };
        let seen = (load.incarnation, load.revision);
        let declared = component
            .revision
            .map(|revision| (self.view.store.incarnation, revision));
        declared.is_some_and(|declared| seen < declared)
    }

    fn is_rolled_back(&self, id: &ComponentId) -> bool {
        let component = self.view.components.get(id);
        component.is_some_and(|component| component.is_rolled_back)
    }

    fn replica(&mut self, replica: &ReplicaView) {
        let (component, host) = (replica.component.clone(), replica.host.clone());
        if let Some(process) = &replica.process {
            self.found(Finding::Process {
                component: component.clone(),
                host: host.clone(),
                process: process.clone(),
            });
        }
        let reason = replica.reason.clone();
        self.found(match replica.phase {
            Phase::Serving => match (self.foreign_format(&host), reason) {
                (Some(reads), _) => Finding::OtherFormat {
                    component,
                    host,
                    reads,
                },
                // Otherwise it is the reason why another version does not run there.
                (None, Some(reason)) if !self.is_rolled_back(&component) => Finding::ServesInPart {
                    component,
                    host,
                    reason,
                },
                (None, _) => return,
            },
            Phase::Starting => Finding::Starting {
                component,
                host,
                reason,
            },
            Phase::Updating => Finding::Updating {
                component,
                host,
                reason,
            },
            Phase::HandingOver => Finding::HandingOver {
                component,
                host,
                reason,
            },
            Phase::WaitingForLease => {
                let holders = self.serving(&component);
                let is_denied = holders.is_empty() && self.takes_no_leases(&host);
                match reason.filter(|_| is_denied) {
                    Some(reason) => Finding::LeaseDenied {
                        component,
                        host,
                        reason,
                    },
                    None => Finding::WaitingForLease {
                        component,
                        host,
                        holders,
                    },
                }
            }
            Phase::CrashLooping { failures } => Finding::CrashLooping {
                component,
                host,
                failures,
                reason,
            },
            Phase::Draining => Finding::Draining { component, host },
            Phase::Rejected => Finding::Rejected {
                component,
                host,
                reason,
            },
            // This includes phases that a later version of this crate may add.
            _ => Finding::NotUnderstood {
                component,
                host,
                reason,
            },
        });
    }
}
