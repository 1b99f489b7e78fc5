//! A small simulated cluster: membership and reconcilers of several hosts, a bus with delays, a
//! runtime with delays, and a correct lease oracle. It goes through joins, deaths, crashes,
//! updates, partitions and departures.

mod world;

use super::*;
use crate::{
    desired::{Placement, Replicas},
    place::members::{Event as Sign, Members},
    store::{Incarnation, Revision},
    wire::Origin,
};
use proptest::prelude::*;
use std::{cmp::Reverse, collections::BinaryHeap};

const STEP: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(5);
const ONCE: &str = "once";

/// A host's report of its replicas: generation, serving, kept. Ordered, unlike `ReplicaCount`.
type Runs = Vec<(ComponentId, Vec<(Generation, u32, u32)>)>;

/// Messages in flight: when each arrives, in which order, and at which host.
#[derive(Default)]
struct Mail {
    in_flight: BinaryHeap<Reverse<(Instant, u64, usize, Parcel)>>,
    sent: u64,
}

/// Random numbers that follow from a seed.
struct Dice {
    seed: u64,
    drawn: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Parcel {
    Beat {
        from: usize,
        leaving: bool,
        runs: Runs,
    },
    Goodbye {
        from: usize,
    },
    Serves(ReplicaId),
    Failed(ReplicaId),
    Ended(ReplicaId),
    LeaseHeld(ComponentId, u64),
    LeaseLost(ComponentId),
}

struct Host {
    origin: Origin,
    members: Members,
    reconciler: Reconciler,
    leaving: BTreeMap<HostId, bool>,
    running: BTreeMap<ReplicaId, Running>,
    next_beat: Instant,
    online: bool,
    leaves: bool,
}

struct Running {
    component: ComponentId,
    generation: Generation,
    serving: bool,
    draining: bool,
}

struct Lease {
    holder: usize,
    until: Instant,
    fence: u64,
    /// The holder knows that it lost the lease, and does not renew it any more.
    given_up: bool,
}

/// The lease oracle.
#[derive(Default)]
struct Leases {
    held: BTreeMap<ComponentId, Lease>,
    fences: u64,
}

struct Cluster {
    now: Instant,
    hosts: BTreeMap<usize, Host>,
    mail: Mail,
    dice: Dice,
    wanted: BTreeMap<ComponentId, Arc<Wanted>>,
    revision: u64,
    /// Generations that fail to start.
    broken: Vec<Generation>,
    leases: Leases,
    /// The number of replicas that must serve: the desired number, less those that were lost since
    /// it was last reached.
    floor: BTreeMap<ComponentId, usize>,
    begun: Instant,
    joined: usize,
    /// A log of events, to find out why a run failed.
    log: Vec<String>,
}

fn component(name: &str) -> ComponentId {
    ComponentId::new(name).expect("valid")
}

fn wanted(generation: Generation, replicas: Replicas, run: Run) -> Arc<Wanted> {
    let placement = Placement {
        replicas,
        ..Placement::default()
    };
    Arc::new(Wanted {
        generation,
        fallback: None,
        has_served: false,
        placement,
        run,
    })
}

impl Cluster {
    fn new(seed: u64, hosts: usize) -> Self {
        let mut cluster = Self {
            now: Instant::now(),
            hosts: BTreeMap::new(),
            mail: Mail::default(),
            dice: Dice { seed, drawn: 0 },
            wanted: BTreeMap::from([
                (
                    component("one"),
                    wanted(1, Replicas::Exactly(1), Run::Replicas),
                ),
                (
                    component("three"),
                    wanted(1, Replicas::Exactly(3), Run::Replicas),
                ),
                (
                    component("many"),
                    wanted(1, Replicas::Exactly(7), Run::Replicas),
                ),
                (component(ONCE), wanted(1, Replicas::Exactly(1), Run::Once)),
            ]),
            revision: 1,
            broken: Vec::new(),
            leases: Leases::default(),
            floor: BTreeMap::new(),
            begun: Instant::now(),
            joined: 0,
            log: Vec::new(),
        };
        cluster.begun = cluster.now;
        (0..hosts).for_each(|_| cluster.join());
        cluster
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.drawn += 1;
        hash::rank(self.dice.seed, hash::rank(self.dice.drawn, 77)) % bound
    }

    fn any_host(&mut self) -> usize {
        let at = self.below(self.hosts.len() as u64) as usize;
        *self.hosts.keys().nth(at).expect("in range")
    }

    fn any_component(&mut self) -> ComponentId {
        let at = self.below(self.wanted.len() as u64) as usize;
        self.wanted.keys().nth(at).expect("in range").clone()
    }

    fn note(&mut self, at: usize, what: &dyn std::fmt::Debug) {
        let since = self.now - self.begun;
        self.log.push(format!("{since:?} host-{at}: {what:?}"));
    }

    fn want(
        &mut self,
        component: &ComponentId,
        generation: Generation,
        fallback: Option<Generation>,
    ) {
        let old = self.wanted[component].as_ref().clone();
        let new = Wanted {
            generation,
            fallback,
            ..old
        };
        self.wanted.insert(component.clone(), Arc::new(new));
        self.revision += 1;
        let snapshot = self.snapshot();
        for (to, online) in self
            .hosts
            .iter()
            .map(|(to, host)| (*to, host.online))
            .collect::<Vec<_>>()
        {
            if online {
                self.tell(to, snapshot.clone());
            }
        }
    }

    fn serving(&self, component: &ComponentId) -> usize {
        self.hosts
            .values()
            .map(|host| host.serving(component))
            .sum()
    }

    fn lower(&mut self, component: &ComponentId, by: usize) {
        if let Some(floor) = self.floor.get_mut(component) {
            *floor = floor.saturating_sub(by);
        }
    }

    fn kill(&mut self, at: usize) {
        self.note(at, &"killed");
        let Some(host) = self.hosts.remove(&at) else {
            return;
        };
        for id in self.wanted.keys().cloned().collect::<Vec<_>>() {
            self.lower(&id, host.serving(&id));
        }
    }

    fn set_online(&mut self, at: usize, online: bool) {
        let Some(host) = self.hosts.get_mut(&at) else {
            return;
        };
        host.online = online;
        let state = if online {
            BusState::Connected
        } else {
            BusState::Disconnected
        };
        let now = self.now;
        host.members.handle(Sign::Bus(state), now);
        self.tell(at, Event::Bus(state));
        if online {
            let snapshot = self.snapshot();
            self.tell(at, snapshot);
        }
    }

    fn fault(&mut self) {
        let at = self.any_host();
        let id = self.any_component();
        let fault = self.below(8);
        let staying = self.hosts.values().filter(|host| !host.leaves).count();
        self.note(at, &("fault", fault, &id));
        match fault {
            0 if staying > 3 => self.kill(at),
            1 if self.hosts.len() < 9 => self.join(),
            2 if staying > 3 => {
                let by = self.now + Duration::from_secs(600);
                self.hosts.get_mut(&at).expect("is there").leaves = true;
                self.tell(at, Event::Leave { by });
            }
            3 => self.set_online(at, false),
            4 => self.set_online(at, true),
            5 => {
                let crashed = self.hosts[&at]
                    .running
                    .iter()
                    .find(|(_, running)| running.serving && !running.draining);
                if let Some((replica, running)) = crashed {
                    let (replica, id) = (*replica, running.component.clone());
                    self.lower(&id, 1);
                    self.receive(at, Parcel::Failed(replica));
                }
            }
            6 => {
                let before = self.wanted[&id].generation;
                self.want(&id, self.revision + 100, Some(before));
            }
            7 if !self.broken.contains(&self.wanted[&id].generation) => {
                let before = self.wanted[&id].generation;
                self.broken.push(self.revision + 100);
                self.want(&id, self.revision + 100, Some(before));
            }
            _ => {}
        }
    }

    fn check(&mut self) {
        let once = component(ONCE);
        let holders = self.hosts.values().flat_map(|host| host.running.values());
        let holders = holders.filter(|running| running.component == once).count();
        assert!(
            holders <= 1,
            "{holders} holders of a component that runs once"
        );
        for (id, wanted) in &self.wanted {
            let Replicas::Exactly(n) = wanted.placement.replicas else {
                continue;
            };
            if wanted.run == Run::Once {
                continue;
            }
            let serving = self.serving(id);
            let floor = self.floor.get(id).copied().unwrap_or(0);
            assert!(
                serving >= floor,
                "{serving} of {id} serve and {floor} must:\n{}",
                self.story(id)
            );
            if serving >= n as usize && self.is_settled(id) {
                self.floor.insert(id.clone(), n as usize);
            }
        }
    }

    fn story(&self, of: &ComponentId) -> String {
        let about = |line: &&String| line.contains(of.as_str()) || !line.contains("ComponentId");
        self.log
            .iter()
            .filter(about)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn state(&self) -> String {
        let mut lines = self.log[self.log.len().saturating_sub(60)..].to_vec();
        for (at, host) in &self.hosts {
            let live: Vec<_> = host.members.live().map(|(origin, _)| origin).collect();
            lines.push(format!(
                "host-{at} online {} leaves {} sees {live:?}",
                host.online, host.leaves
            ));
            for (id, status) in host.reconciler.status() {
                let share: Vec<_> = host.reconciler.assignment().slots(id).collect();
                lines.push(format!("    {id}: {status:?} of {share:?}"));
            }
        }
        lines.push(format!("{:?}", self.wanted));
        lines.join("\n")
    }

    fn run(&mut self, seconds: u64) {
        (0..seconds * 10).for_each(|_| self.step());
    }

    /// Returns whether every host agrees on the hosts that run the component, and exactly those run
    /// it.
    fn is_settled(&self, id: &ComponentId) -> bool {
        let mut views = self.hosts.values().map(|host| host.reconciler.assignment());
        let Some(first) = views.next() else {
            return false;
        };
        let slots: Vec<_> = first.slots(id).collect();
        views.all(|view| view.slots(id).eq(slots.iter().copied()))
            && self.hosts.values().all(|host| {
                let assigned = slots.iter().filter(|at| ***at == host.origin.host).count();
                let running = host
                    .running
                    .values()
                    .filter(|running| running.component == *id);
                running.count() == assigned && host.serving(id) == assigned
            })
    }

    /// Returns whether everything that should run does, and nothing else.
    fn is_converged(&self) -> bool {
        self.wanted.iter().all(|(id, wanted)| {
            let running = self.hosts.values().flat_map(|host| host.running.values());
            let mut running = running.filter(|running| running.component == *id);
            self.is_settled(id) && running.all(|running| running.generation == wanted.generation)
        })
    }
}

impl Host {
    fn serving(&self, component: &ComponentId) -> usize {
        let running = self.running.values();
        running
            .filter(|running| {
                running.component == *component && running.serving && !running.draining
            })
            .count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_cluster_under_faults_keeps_serving_and_converges(seed: u64, faults in 1_usize..25, pause in 1_u64..20) {
        let mut cluster = Cluster::new(seed, 4);
        cluster.run(10);
        prop_assert!(cluster.is_converged(), "at the start");
        for _ in 0..faults {
            cluster.fault();
            let pause = 1 + cluster.below(pause);
            cluster.run(pause);
        }
        for at in cluster.hosts.keys().copied().collect::<Vec<_>>() {
            cluster.set_online(at, true);
        }
        let converged = (0..60).any(|_| { cluster.run(10); cluster.is_converged() });
        prop_assert!(converged, "not converged after ten minutes:\n{}", cluster.state());
        for (id, wanted) in &cluster.wanted {
            prop_assert!(!cluster.broken.contains(&wanted.generation), "{id} was rolled back");
        }
        cluster.run(30);
        prop_assert!(cluster.is_converged(), "it stays converged");
    }
}
