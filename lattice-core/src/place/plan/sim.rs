//! A small simulated cluster: membership and reconcilers of several hosts, a bus with delays, a runtime that takes its time
//! and a correct lease oracle, under joins, deaths, crashes, updates, partitions and departures.

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

/// What is under way: when it arrives, at whom, and in which order.
type Mail = BinaryHeap<Reverse<(Instant, u64, usize, Parcel)>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Parcel {
    Beat {
        from: usize,
        leaving: bool,
        runs: Vec<(ComponentId, Vec<(u64, u32, u32)>)>,
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
    /// The holder has been told that it lost it, and renews no more.
    given_up: bool,
}

struct Cluster {
    now: Instant,
    hosts: BTreeMap<usize, Host>,
    mail: Mail,
    sent: u64,
    seed: u64,
    drawn: u64,
    wanted: BTreeMap<ComponentId, Arc<Wanted>>,
    revision: u64,
    /// Generations that don't come up.
    broken: Vec<Generation>,
    leases: BTreeMap<ComponentId, Lease>,
    fences: u64,
    /// Replicas that must serve: what was desired, less what was lost since it was last reached.
    floor: BTreeMap<ComponentId, usize>,
    begun: Instant,
    joined: usize,
    /// What happened, for whoever has to find out why it went wrong.
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
        placement,
        run,
    })
}

impl Cluster {
    fn new(seed: u64, hosts: usize) -> Self {
        let mut cluster = Self {
            now: Instant::now(),
            hosts: BTreeMap::new(),
            mail: Mail::new(),
            sent: 0,
            seed,
            drawn: 0,
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
            leases: BTreeMap::new(),
            fences: 0,
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
        self.drawn += 1;
        hash::rank(self.seed, hash::rank(self.drawn, 77)) % bound
    }

    fn any_host(&mut self) -> usize {
        let at = self.below(self.hosts.len() as u64) as usize;
        *self.hosts.keys().nth(at).expect("in range")
    }

    fn any_component(&mut self) -> ComponentId {
        let at = self.below(self.wanted.len() as u64) as usize;
        self.wanted.keys().nth(at).expect("in range").clone()
    }

    fn snapshot(&self) -> Event {
        Event::Desired(Snapshot {
            incarnation: Incarnation(1),
            revision: Revision(self.revision),
            wanted: Arc::new(self.wanted.clone()),
        })
    }

    fn join(&mut self) {
        let n = self.joined;
        self.joined += 1;
        let id = HostId::new(&format!("host-{n}")).expect("valid");
        let origin = Origin::new(id.clone(), 1);
        let seed = self.below(u64::MAX);
        let host = Host {
            members: Members::new(origin.clone(), SECOND, self.now),
            origin,
            reconciler: Reconciler::new(id, seed),
            leaving: BTreeMap::new(),
            running: BTreeMap::new(),
            next_beat: self.now + Duration::from_millis(self.below(300)),
            online: true,
            leaves: false,
        };
        self.hosts.insert(n, host);
        let snapshot = self.snapshot();
        self.tell(n, snapshot);
    }

    fn send(&mut self, to: usize, after_ms: u64, parcel: Parcel) {
        self.sent += 1;
        let at = self.now + Duration::from_millis(after_ms);
        self.mail.push(Reverse((at, self.sent, to, parcel)));
    }

    fn broadcast(&mut self, from: usize, parcel: &Parcel) {
        if !self.hosts[&from].online {
            return;
        }
        for to in self.hosts.keys().copied().collect::<Vec<_>>() {
            let delay = self.below(300);
            self.send(to, delay, parcel.clone());
        }
    }

    fn tell(&mut self, to: usize, event: Event) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        for action in host.reconciler.handle(event, now) {
            self.act(to, action);
        }
    }

    fn note(&mut self, at: usize, what: &dyn std::fmt::Debug) {
        let since = self.now - self.begun;
        self.log.push(format!("{since:?} host-{at}: {what:?}"));
    }

    fn act(&mut self, at: usize, action: Action) {
        self.note(at, &action);
        match action {
            Action::Start {
                component,
                replica,
                generation,
                fence,
            } => {
                assert_eq!(fence.is_some(), component.as_str() == ONCE);
                let parcel = match self.broken.contains(&generation) {
                    true => Parcel::Failed(replica),
                    false => Parcel::Serves(replica),
                };
                let running = Running {
                    component,
                    generation,
                    serving: false,
                    draining: false,
                };
                self.hosts
                    .get_mut(&at)
                    .expect("acts")
                    .running
                    .insert(replica, running);
                let takes = 50 + self.below(2_000);
                self.send(at, takes, parcel);
            }
            Action::Drain(replica) => {
                let host = self.hosts.get_mut(&at).expect("acts");
                host.running.get_mut(&replica).expect("it runs").draining = true;
                let takes = self.below(1_000);
                self.send(at, takes, Parcel::Ended(replica));
            }
            Action::Stop(replica) => {
                // A stopped guest does nothing any more, however long the cleaning up takes.
                self.hosts
                    .get_mut(&at)
                    .expect("acts")
                    .running
                    .remove(&replica);
                let takes = self.below(200);
                self.send(at, takes, Parcel::Ended(replica));
            }
            Action::AcquireLease(component) => self.acquire(at, component),
            Action::ReleaseLease(component) => {
                if self
                    .leases
                    .get(&component)
                    .is_some_and(|lease| lease.holder == at)
                {
                    self.leases.remove(&component);
                }
            }
            Action::Reject {
                component,
                generation,
            } => {
                let wanted = &self.wanted[&component];
                if wanted.generation == generation
                    && let Some(fallback) = wanted.fallback
                {
                    self.want(&component, fallback, None);
                }
            }
            Action::Report { .. } | Action::Stale | Action::Current => {}
        }
    }

    fn acquire(&mut self, by: usize, component: ComponentId) {
        let (now, online) = (self.now, self.hosts[&by].online);
        let free = self
            .leases
            .get(&component)
            .is_none_or(|lease| lease.until <= now);
        let parcel = if online && free {
            self.fences += 1;
            let (until, fence) = (now + LEASE, self.fences);
            self.leases.insert(
                component.clone(),
                Lease {
                    holder: by,
                    until,
                    fence,
                    given_up: false,
                },
            );
            Parcel::LeaseHeld(component, self.fences)
        } else {
            Parcel::LeaseLost(component)
        };
        let delay = self.below(200);
        self.send(by, delay, parcel);
    }

    /// Those that are alive and connected renew; those that can't are told a second before it would be anybody's.
    fn renew(&mut self) {
        let now = self.now;
        let mut lost = Vec::new();
        for (component, lease) in &mut self.leases {
            let Some(host) = self.hosts.get(&lease.holder) else {
                continue;
            };
            if lease.given_up {
                continue;
            }
            if host.online {
                lease.until = now + LEASE;
            } else if lease.until <= now + SECOND {
                lease.given_up = true;
                lost.push((lease.holder, component.clone()));
            }
        }
        for (holder, component) in lost {
            self.tell(holder, Event::LeaseLost(component));
        }
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

    fn receive(&mut self, at: usize, parcel: Parcel) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&at) else {
            return;
        };
        let event = match parcel {
            Parcel::Beat { .. } | Parcel::Goodbye { .. } if !host.online => return,
            Parcel::Beat {
                from,
                leaving,
                runs,
            } => {
                let Some(origin) = self.hosts.get(&from).map(|host| host.origin.clone()) else {
                    return;
                };
                let from = origin.host.clone();
                let sign = Sign::Beat {
                    from: origin,
                    interval: SECOND,
                    labels: Labels::new(),
                };
                let tally = |(generation, serving, kept)| Tally {
                    generation,
                    serving,
                    kept,
                };
                let runs = runs
                    .into_iter()
                    .map(|(id, tallies)| (id, tallies.into_iter().map(tally).collect()));
                let event = Event::Beat {
                    from: from.clone(),
                    runs: runs.collect(),
                };
                let changed = self
                    .hosts
                    .get_mut(&at)
                    .expect("is there")
                    .leaving
                    .insert(from, leaving)
                    != Some(leaving);
                self.sign(at, sign, changed);
                event
            }
            Parcel::Goodbye { from } => {
                let from = HostId::new(&format!("host-{from}")).expect("valid");
                return self.sign(at, Sign::Goodbye(Origin::new(from, 1)), false);
            }
            Parcel::Serves(replica) => {
                let Some(running) = host.running.get_mut(&replica) else {
                    return;
                };
                running.serving = true;
                Event::Serves(replica)
            }
            Parcel::Failed(replica) => {
                if host.running.remove(&replica).is_none() {
                    return;
                }
                Event::Failed(replica)
            }
            Parcel::Ended(replica) => {
                host.running.remove(&replica);
                Event::Ended(replica)
            }
            Parcel::LeaseHeld(component, fence) => {
                let lease = self.leases.get_mut(&component);
                let lease = lease.filter(|lease| lease.holder == at && lease.fence == fence);
                match lease {
                    Some(lease) if !lease.given_up => Event::LeaseHeld { component, fence },
                    _ => Event::LeaseLost(component),
                }
            }
            Parcel::LeaseLost(component) => Event::LeaseLost(component),
        };
        self.tell(at, event);
    }

    /// Feeds membership, and tells the reconciler of who counts when that has changed.
    fn sign(&mut self, at: usize, sign: Sign, leaving_changed: bool) {
        let now = self.now;
        let host = self.hosts.get_mut(&at).expect("is there");
        let changes = host.members.handle(sign, now);
        if (changes.is_empty() && !leaving_changed) || !host.members.is_settled() {
            return;
        }
        let live = host.members.live().map(|live| Placeable {
            host: live.origin.host.clone(),
            labels: live.labels.clone(),
            duty: match host.leaving.get(&live.origin.host) {
                Some(true) => Duty::Leaving,
                _ => Duty::Working,
            },
        });
        let live: Vec<_> = live.collect();
        self.note(at, &changes);
        self.tell(at, Event::Hosts(live));
    }

    fn step(&mut self) {
        self.now += STEP;
        while self
            .mail
            .peek()
            .is_some_and(|Reverse((at, ..))| *at <= self.now)
        {
            let Some(Reverse((_, _, to, parcel))) = self.mail.pop() else {
                break;
            };
            self.receive(to, parcel);
        }
        self.renew();
        for at in self.hosts.keys().copied().collect::<Vec<_>>() {
            let host = &self.hosts[&at];
            if host.next_beat <= self.now {
                let runs = host.reconciler.runs().into_iter().map(|(id, tallies)| {
                    (
                        id,
                        tallies
                            .iter()
                            .map(|t| (t.generation, t.serving, t.kept))
                            .collect(),
                    )
                });
                let beat = Parcel::Beat {
                    from: at,
                    leaving: host.leaves,
                    runs: runs.collect(),
                };
                self.broadcast(at, &beat);
                self.hosts.get_mut(&at).expect("is there").next_beat += SECOND;
            }
            let host = &self.hosts[&at];
            if host.members.wake().is_some_and(|wake| wake <= self.now) {
                self.sign(at, Sign::Woken, false);
            }
            if self.hosts[&at]
                .reconciler
                .wake()
                .is_some_and(|wake| wake <= self.now)
            {
                self.tell(at, Event::Woken);
            }
            let host = &self.hosts[&at];
            if host.leaves && host.reconciler.is_idle() && host.running.is_empty() {
                self.broadcast(at, &Parcel::Goodbye { from: at });
                self.hosts.remove(&at);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let once = component(ONCE);
        let holders = self.hosts.values().flat_map(|host| host.running.values());
        let holders = holders.filter(|running| running.component == once).count();
        assert!(holders <= 1, "{holders} of what runs once");
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
            let live: Vec<_> = host.members.live().map(|live| live.origin).collect();
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

    /// Every host agrees on who runs it, and just that runs.
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

    /// Everything as it should be, and nothing else.
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
        prop_assert!(converged, "not after ten minutes:\n{}", cluster.state());
        for (id, wanted) in &cluster.wanted {
            prop_assert!(!cluster.broken.contains(&wanted.generation), "{id} was rolled back");
        }
        cluster.run(30);
        prop_assert!(cluster.is_converged(), "and stays so");
    }
}
