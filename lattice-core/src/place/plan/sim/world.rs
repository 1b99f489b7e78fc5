//! The mechanics of the simulated world: messages and starts take time, and a lease has one holder
//! at a time.

use super::*;

impl Cluster {
    pub(super) fn snapshot(&self) -> Event {
        Event::Desired(Snapshot {
            incarnation: Incarnation(1),
            revision: Revision(self.revision),
            wanted: Arc::new(self.wanted.clone()),
            frozen: Arc::default(),
        })
    }

    pub(super) fn join(&mut self) {
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

    pub(super) fn send(&mut self, to: usize, after_ms: u64, parcel: Parcel) {
        let at = self.now + Duration::from_millis(after_ms);
        let mail = &mut self.mail;
        mail.sent += 1;
        mail.in_flight.push(Reverse((at, mail.sent, to, parcel)));
    }

    pub(super) fn broadcast(&mut self, from: usize, parcel: &Parcel) {
        if !self.hosts[&from].online {
            return;
        }
        for to in self.hosts.keys().copied().collect::<Vec<_>>() {
            let delay = self.below(300);
            self.send(to, delay, parcel.clone());
        }
    }

    pub(super) fn tell(&mut self, to: usize, event: Event) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        for action in host.reconciler.handle(event, now) {
            self.act(to, action);
        }
    }

    pub(super) fn act(&mut self, at: usize, action: Action) {
        self.note(at, &action);
        match action {
            Action::Start {
                component,
                replica,
                generation,
                fence,
            } => {
                assert_eq!(fence.is_some(), component.as_str() == ONCE);
                let parcel = if self.broken.contains(&generation) {
                    Parcel::Failed(replica)
                } else {
                    Parcel::Serves(replica)
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
                // A guest that was stopped does nothing any more, however long the cleanup takes.
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
                let held = &mut self.leases.held;
                if held.get(&component).is_some_and(|lease| lease.holder == at) {
                    held.remove(&component);
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

    pub(super) fn acquire(&mut self, by: usize, component: ComponentId) {
        let (now, online) = (self.now, self.hosts[&by].online);
        let Leases { held, fences } = &mut self.leases;
        let free = held.get(&component).is_none_or(|lease| lease.until <= now);
        let parcel = if online && free {
            *fences += 1;
            let lease = Lease {
                holder: by,
                until: now + LEASE,
                fence: *fences,
                given_up: false,
            };
            held.insert(component.clone(), lease);
            Parcel::LeaseHeld(component, *fences)
        } else {
            Parcel::LeaseLost(component)
        };
        let delay = self.below(200);
        self.send(by, delay, parcel);
    }

    /// Renews the leases of holders that are live and connected. Other holders lose their lease a
    /// second before another host could take it.
    pub(super) fn renew(&mut self) {
        let now = self.now;
        let mut lost = Vec::new();
        for (component, lease) in &mut self.leases.held {
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

    pub(super) fn receive(&mut self, at: usize, parcel: Parcel) {
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
                let replica_count = |(generation, serving, kept)| ReplicaCount {
                    generation,
                    serving,
                    kept,
                };
                let runs = runs.into_iter().map(|(id, replica_counts)| {
                    (id, replica_counts.into_iter().map(replica_count).collect())
                });
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
                let lease = self.leases.held.get_mut(&component);
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

    /// Passes an event to membership, and passes the live hosts to the reconciler if they have
    /// changed.
    pub(super) fn sign(&mut self, at: usize, sign: Sign, leaving_changed: bool) {
        let now = self.now;
        let host = self.hosts.get_mut(&at).expect("is there");
        let changes = host.members.handle(sign, now);
        if (changes.is_empty() && !leaving_changed) || !host.members.is_settled() {
            return;
        }
        let live = host.members.live().map(|(origin, labels)| LiveHost {
            host: origin.host.clone(),
            labels: labels.clone(),
            duty: match host.leaving.get(&origin.host) {
                Some(true) => Duty::Leaves,
                _ => Duty::Works,
            },
            follows_store: true,
        });
        let live: Vec<_> = live.collect();
        self.note(at, &changes);
        self.tell(at, Event::Hosts(live));
    }

    pub(super) fn step(&mut self) {
        self.now += STEP;
        while self
            .mail
            .in_flight
            .peek()
            .is_some_and(|Reverse((at, ..))| *at <= self.now)
        {
            let Some(Reverse((_, _, to, parcel))) = self.mail.in_flight.pop() else {
                break;
            };
            self.receive(to, parcel);
        }
        self.renew();
        for at in self.hosts.keys().copied().collect::<Vec<_>>() {
            let host = &self.hosts[&at];
            if host.next_beat <= self.now {
                let runs = host
                    .reconciler
                    .runs()
                    .into_iter()
                    .map(|(id, replica_counts)| {
                        (
                            id,
                            replica_counts
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
}
