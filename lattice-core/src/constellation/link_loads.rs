//! The calls over each link, as the hosts of its target report them. Pure.

use super::items::LinkLoad;
use crate::{
    link::LinkKey,
    name::{ComponentId, HostId},
    wire::{LinkCalls, RecentCalls},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// The calls over a link to this component, on one host.
pub(super) type Called = (ComponentId, LinkLoad);

/// What all hosts report of links.
#[derive(Debug, Default)]
pub(super) struct LinkLoads {
    by_link: HashMap<LinkKey, BTreeMap<HostId, Called>>,
    by_host: HashMap<HostId, BTreeSet<LinkKey>>,
}

/// Returns the links of a part of a report, with their rates.
pub(super) fn rates(recent: RecentCalls) -> impl Iterator<Item = (LinkKey, Called)> {
    let over = Duration::from_millis(recent.over_ms.into());
    // Without a time there are no rates.
    let links = recent.links.into_iter().filter(move |_| !over.is_zero());
    links.map(move |said: LinkCalls| {
        let per_second = |count: u64| count as f64 / over.as_secs_f64();
        let load = LinkLoad {
            calls_per_second: per_second(said.calls),
            errors_per_second: per_second(said.errors),
            p99: said
                .latency
                .map(|latency| Duration::from_micros(latency.p99_us.into())),
        };
        let key = LinkKey {
            source: said.source,
            interface: said.interface.compat(),
            name: said.name,
        };
        (key, (said.target, load))
    })
}

impl LinkLoads {
    /// Replaces what `host` reports. Returns the links whose load may be another now.
    pub(super) fn set(
        &mut self,
        host: &HostId,
        reported: &BTreeMap<LinkKey, Called>,
    ) -> BTreeSet<LinkKey> {
        let mut touched = self.by_host.remove(host).unwrap_or_default();
        for key in &touched {
            if let Some(hosts) = self.by_link.get_mut(key) {
                hosts.remove(host);
                if hosts.is_empty() {
                    self.by_link.remove(key);
                }
            }
        }
        if reported.is_empty() {
            return touched;
        }
        for (key, called) in reported {
            let hosts = self.by_link.entry(key.clone()).or_default();
            hosts.insert(host.clone(), called.clone());
        }
        let keys: BTreeSet<LinkKey> = reported.keys().cloned().collect();
        touched.extend(keys.iter().cloned());
        self.by_host.insert(host.clone(), keys);
        touched
    }

    /// Returns the load of a link that leads to `target`: the rates of all hosts together, and the
    /// longest of the latencies. Calls to a component that the link led to before don't count.
    pub(super) fn of(&self, link: &LinkKey, target: &ComponentId) -> Option<LinkLoad> {
        let hosts = self.by_link.get(link)?.values();
        let loads = hosts.filter(|(called, _)| called == target);
        loads.map(|(_, load)| *load).reduce(|all, one| LinkLoad {
            calls_per_second: all.calls_per_second + one.calls_per_second,
            errors_per_second: all.errors_per_second + one.errors_per_second,
            p99: all.p99.max(one.p99),
        })
    }
}
