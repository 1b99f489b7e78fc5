//! The result of placement.

use super::NoHost;
use crate::name::{ComponentId, HostId};
use std::ops::Range;

/// Which host runs what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// In the order of their ids.
    hosts: Vec<HostId>,
    /// In the order of the component ids.
    by_component: Vec<(ComponentId, ReplicaShares)>,
}

/// The hosts of the replicas of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReplicaShares {
    /// Hosts by their index, each with its number of replicas. Hosts with more replicas come first.
    /// The position of a host in this list is its rank.
    shares: Vec<(u32, u32)>,
    unplaced: Option<(NoHost, u32)>,
}

/// The replicas of one component that one host runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share<'a> {
    /// The component.
    pub component: &'a ComponentId,
    /// The slots that the host holds, in order; at least one.
    pub slots: Vec<u32>,
}

impl Assignment {
    pub(super) fn new(hosts: Vec<HostId>, by_component: Vec<(ComponentId, ReplicaShares)>) -> Self {
        Self {
            hosts,
            by_component,
        }
    }

    /// Returns what `host` runs, in order of the components.
    pub fn of(&self, host: &HostId) -> impl Iterator<Item = Share<'_>> {
        let host = self.hosts.binary_search(host).ok().map(|at| at as u32);
        self.by_component
            .iter()
            .filter_map(move |(component, placed)| {
                let rank = placed.shares.iter().position(|(at, _)| Some(*at) == host)?;
                let slots = placed.slots(rank).collect();
                Some(Share { component, slots })
            })
    }

    /// Returns the hosts that run `component`, each with its number of replicas. Hosts that hold
    /// the first slots come first. Yields nothing if the component is unknown.
    pub fn hosts(&self, component: &ComponentId) -> impl Iterator<Item = (&HostId, u32)> {
        let shares = self
            .placed(component)
            .map_or(&[][..], |placed| &placed.shares);
        shares
            .iter()
            .map(|(host, replicas)| (&self.hosts[*host as usize], *replicas))
    }

    /// Returns the host of each slot of `component`, from slot 0.
    pub fn slots(&self, component: &ComponentId) -> impl Iterator<Item = &HostId> {
        let shares = self
            .placed(component)
            .map_or(&[][..], |placed| &placed.shares);
        let most = shares.first().map_or(0, |(_, replicas)| *replicas);
        (0..most).flat_map(move |round| {
            let holding = shares
                .iter()
                .take_while(move |(_, replicas)| *replicas > round);
            holding.map(|(host, _)| &self.hosts[*host as usize])
        })
    }

    /// Returns why `component` runs nowhere and how many replicas are missing, if it could not be
    /// placed.
    pub fn unplaced(&self, component: &ComponentId) -> Option<(&NoHost, u32)> {
        let (reason, missing) = self.placed(component)?.unplaced.as_ref()?;
        Some((reason, *missing))
    }

    /// Returns every component that was placed or could not be placed, in order.
    pub fn components(&self) -> impl Iterator<Item = &ComponentId> {
        self.by_component.iter().map(|(component, _)| component)
    }

    fn placed(&self, component: &ComponentId) -> Option<&ReplicaShares> {
        let at = self
            .by_component
            .binary_search_by(|(id, _)| id.cmp(component))
            .ok()?;
        Some(&self.by_component[at].1)
    }
}

impl ReplicaShares {
    pub(super) fn on(shares: impl Iterator<Item = (u32, u32)>) -> Self {
        Self {
            shares: shares.collect(),
            unplaced: None,
        }
    }

    pub(super) fn nowhere(reason: NoHost, missing: u32) -> Self {
        Self {
            shares: Vec::new(),
            unplaced: Some((reason, missing)),
        }
    }

    /// Returns the slots of the host with this rank. Slots are numbered round by round: the first
    /// replica of each host by rank, then the second replica of each host that has two, and so on.
    fn slots(&self, rank: usize) -> impl Iterator<Item = u32> + '_ {
        let mut before = 0;
        let rounds: Range<u32> = 0..self.shares[rank].1;
        rounds.map(move |round| {
            let slot = before + rank as u32;
            before += self
                .shares
                .partition_point(|(_, replicas)| *replicas > round) as u32;
            slot
        })
    }
}
