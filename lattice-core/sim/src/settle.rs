//! Checks whether a lattice has settled after the last trouble.

use super::{
    schedule::HostIndex,
    work::{EVERYWHERE, GREETER, LEDGER, id, look},
    world::Sim,
};
use lattice_core::{
    __private,
    call::Context,
    name::{ComponentId, HostId},
    place::{Assignment, plan::Phase},
    quantity::ByteSize,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const COMPONENTS: [&str; 3] = [GREETER, EVERYWHERE, LEDGER];

/// What the messages of a host may take: a quarter is for each kind. It is little, so that large
/// arguments, large results and streams get near it.
pub(super) const MEMORY: ByteSize = ByteSize::mib(32);

/// The knowledge of one host about itself and the others.
struct View {
    assignment: Arc<Assignment>,
    /// Its own replicas of each component.
    serves: BTreeMap<ComponentId, u32>,
    /// The hosts that serve each component, as far as it knows.
    peers: BTreeMap<ComponentId, BTreeSet<HostId>>,
}

/// Returns why the lattice has not settled yet, or `None` when it has. `greeters` replicas are
/// wanted.
pub(super) fn unsettled(sim: &mut Sim, greeters: u32) -> Option<String> {
    let mut views = Vec::new();
    for host in sim.hosts() {
        match view(sim, host) {
            Ok(view) => views.push((HostId::new(&host.to_string()).ok()?, view)),
            Err(reason) => return Some(format!("{host}: {reason}")),
        }
    }
    let hosts = views.len() as u32;
    for (name, wanted) in COMPONENTS.into_iter().zip([greeters, hosts, 1]) {
        if let Some(reason) = misplaced(&views, &id(name), wanted) {
            return Some(format!("{name}: {reason}"));
        }
    }
    None
}

fn view(sim: &mut Sim, host: HostIndex) -> Result<View, String> {
    sim.look(host, |up| {
        let state = up.agent.state();
        let mut serves = BTreeMap::new();
        for (component, kept) in &state.components {
            if kept.status.phase != Phase::Serving {
                let reason = kept.reason.as_deref().unwrap_or_default();
                return Err(format!("{component} is {:?} {reason}", kept.status.phase));
            }
            let replica_counts = kept.status.replica_counts.iter();
            serves.insert(
                component.clone(),
                replica_counts.map(|tally| tally.serving).sum(),
            );
        }
        let peers = up.lattice.peers();
        let serving = |name| {
            let serving = peers.serving(&id(name)).iter();
            (
                id(name),
                serving.map(|origin| origin.host.clone()).collect(),
            )
        };
        Ok(View {
            assignment: up.agent.watch_assignment().current(),
            serves,
            peers: COMPONENTS.into_iter().map(serving).collect(),
        })
    })
    .unwrap_or_else(|| Err("it is not up".to_owned()))
}

/// Returns the problem of the placement of a component, if there is one.
fn misplaced(views: &[(HostId, View)], component: &ComponentId, wanted: u32) -> Option<String> {
    let runs = |(host, view): &(HostId, View)| {
        let replicas = view.serves.get(component).copied().unwrap_or_default();
        (replicas > 0).then(|| (host.clone(), replicas))
    };
    let runs: BTreeMap<HostId, u32> = views.iter().filter_map(runs).collect();
    let total: u32 = runs.values().sum();
    if total != wanted {
        return Some(format!(
            "{total} replicas run where {wanted} should: {runs:?}"
        ));
    }
    let there: BTreeSet<HostId> = runs.keys().cloned().collect();
    for (host, view) in views {
        let placed = view.assignment.hosts(component);
        let placed: BTreeMap<HostId, u32> = placed.map(|(host, n)| (host.clone(), n)).collect();
        if placed != runs {
            return Some(format!(
                "{host} places it on {placed:?}, and it runs on {runs:?}"
            ));
        }
        let seen = view.peers.get(component);
        if seen != Some(&there) {
            return Some(format!(
                "{host} sees it on {seen:?}, and it runs on {there:?}"
            ));
        }
    }
    None
}

/// Returns the hosts that would serve calls of the component that runs once.
pub(super) fn holders(sim: &mut Sim) -> Vec<HostIndex> {
    let (ledger, function) = (id(LEDGER), look().key());
    let mut holders = Vec::new();
    for host in sim.hosts() {
        let answers = sim.look(host, |up| {
            let context = Context::new(Duration::from_secs(1));
            let request = __private::operator_request(ledger.clone(), function, context);
            __private::answers_now(&up.node, request)
        });
        if answers == Some(true) {
            holders.push(host);
        }
    }
    holders
}

/// Returns the calls in flight on a host and the memory that messages hold, if there are any.
pub(super) fn in_flight(sim: &mut Sim, host: HostIndex) -> Option<String> {
    sim.look(host, |up| {
        let waits = up.node.in_flight() + __private::waiting(&up.lattice);
        let runs: usize = COMPONENTS
            .iter()
            .map(|name| __private::running(&up.node, &id(name)))
            .sum();
        let held = up.lattice.message_memory();
        let held = [held.received, held.calls, held.sending, held.results];
        let held: u64 = held.map(ByteSize::as_u64).iter().sum();
        (waits + runs > 0 || held > 0).then(|| {
            format!("{host}: {waits} calls wait and {runs} run, and {held} bytes are held")
        })
    })
    .flatten()
}

/// Returns which messages of a host take more memory than they may, if any do.
pub(super) fn over_memory(sim: &mut Sim, host: HostIndex) -> Option<String> {
    let most = MEMORY.as_u64() / 4;
    sim.look(host, |up| {
        let held = up.lattice.message_memory();
        let kinds = [
            ("received messages", held.received),
            ("calls", held.calls),
            ("messages to send", held.sending),
            ("results", held.results),
        ];
        let (kind, held) = kinds.into_iter().find(|(_, held)| held.as_u64() > most)?;
        let held = held.as_u64();
        Some(format!(
            "{kind} of {host} take {held} bytes, and may take {most}"
        ))
    })
    .flatten()
}
