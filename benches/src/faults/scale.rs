//! The cost of placement for one host among a thousand hosts and ten thousand actors, without the
//! processes.

use crate::faults::{
    options::Options,
    report::{Bar, Report, note},
};
use crate::{Failure, summary::Row};
use bytes::Bytes;
use lattice_core::{
    auth::{Auth, LatticeKey},
    desired::Placement,
    name::{ComponentId, HostId, LatticeName},
    place::{
        Duty,
        plan::{Event, LiveHost, Reconciler, ReplicaCount, Run, Snapshot, Wanted},
    },
    store::{Incarnation, Revision},
    types::Digest,
    wire::{self, Beat, FrameWriter, KeepAlive, Origin, Served, Versions},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

const HOSTS: usize = 1_000;
const ACTORS: u64 = 10_000;

/// The hosts, and what each would run.
struct Fleet {
    hosts: Vec<LiveHost>,
    desired: Snapshot,
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let fleet = Fleet::new()?;
    let mut took = Vec::new();
    for dead in 0..options.length.pick(20, 5) {
        took.push(fleet.reconcile_without(dead)?);
    }
    took.sort_unstable();
    let median = took[took.len() / 2];
    note(&format!(
        "scale: one host recomputes everything in {:.1} to {:.1} ms",
        took[0].as_secs_f64() * 1e3,
        took[took.len() - 1].as_secs_f64() * 1e3
    ));
    report.add(
        Row::new("scale.reconcile_ms", median.as_secs_f64() * 1e3, None, "ms"),
        Bar::AtMost(50.0),
    );
    let bytes = fleet.beats()?;
    report.add(
        Row::new("scale.beats_kBps", bytes / 1e3, None, "kB/s"),
        Bar::AtMost(100.0),
    );
    Ok(())
}

impl Fleet {
    fn new() -> Result<Self, Failure> {
        let host = |at: usize| {
            let zone = ["eu", "us", "ap"][at % 3].to_owned();
            Ok::<_, Failure>(LiveHost {
                host: HostId::new(&format!("host-{at}"))?,
                labels: Arc::new(BTreeMap::from([("zone".to_owned(), zone)])),
                duty: Duty::Works,
                follows_store: true,
            })
        };
        let actor = |number: u64| {
            let wanted = Wanted {
                generation: mixed(number),
                fallback: None,
                has_served: false,
                placement: Placement::default(),
                run: Run::Replicas,
            };
            Ok::<_, Failure>((
                ComponentId::new(&format!("actor-{number}"))?,
                Arc::new(wanted),
            ))
        };
        let wanted: BTreeMap<_, _> = (0..ACTORS).map(actor).collect::<Result<_, _>>()?;
        Ok(Self {
            hosts: (0..HOSTS).map(host).collect::<Result<_, _>>()?,
            desired: Snapshot {
                incarnation: Incarnation(1),
                revision: Revision(1),
                wanted: Arc::new(wanted),
                frozen: Arc::default(),
            },
        })
    }

    /// Returns how long the last host takes to compute its share when host `dead` has died.
    fn reconcile_without(&self, dead: usize) -> Result<Duration, Failure> {
        let me = self.hosts.last().ok_or("there are hosts")?.host.clone();
        let mut reconciler = Reconciler::new(me, 1);
        let now = tokio::time::Instant::now();
        reconciler.handle(Event::Desired(self.desired.clone()), now);
        reconciler.handle(Event::Hosts(self.hosts.clone()), now);
        let mut left = self.hosts.clone();
        left.remove(dead);
        let begun = Instant::now();
        reconciler.handle(Event::Hosts(left), now);
        let runs = reconciler.runs();
        let took = begun.elapsed();
        drop(runs);
        Ok(took)
    }

    /// Returns the bytes of heartbeats and keep-alives of all hosts that each host receives per
    /// second. Reports are sent only to processes that view the constellation.
    fn beats(&self) -> Result<f64, Failure> {
        let me = self.hosts[0].host.clone();
        let mut reconciler = Reconciler::new(me, 1);
        let now = tokio::time::Instant::now();
        reconciler.handle(Event::Desired(self.desired.clone()), now);
        reconciler.handle(Event::Hosts(self.hosts.clone()), now);
        let auth = Auth::keyed(&LatticeName::new("scale")?, &LatticeKey::generate());
        let interval = Beat::interval_among(HOSTS);
        let (mut beats, mut keep_alives) = (0, 0);
        for host in &self.hosts {
            let shares = reconciler.assignment().of(&host.host);
            let beat = beat(host, shares.map(|share| share.component), interval);
            let origin = Origin::new(host.host.clone(), micros());
            let keep_alive = KeepAlive::repeats(&beat, &beat).ok_or("a beat repeats itself")?;
            let size = |frame: Result<Bytes, _>| frame.map(|frame| frame.len());
            beats += size(FrameWriter::message(
                &auth,
                origin.clone(),
                None,
                86_400,
                &beat,
            ))?;
            keep_alives += size(FrameWriter::message(
                &auth,
                origin,
                None,
                86_400,
                &keep_alive,
            ))?;
        }
        note(&format!(
            "scale: a beat has {} bytes, a keep-alive {}; one of them every {} s, and a beat after {} keep-alives",
            beats / HOSTS,
            keep_alives / HOSTS,
            interval.as_secs_f64(),
            KeepAlive::BETWEEN_BEATS
        ));
        let between = f64::from(KeepAlive::BETWEEN_BEATS);
        let mean = (beats as f64 + between * keep_alives as f64) / (1.0 + between);
        Ok(mean / interval.as_secs_f64())
    }
}

fn beat<'c>(
    host: &LiveHost,
    components: impl Iterator<Item = &'c ComponentId>,
    interval: Duration,
) -> Beat {
    let served = |id: &ComponentId| Served {
        id: id.clone(),
        digest: Digest([0x5a; 32]),
        fence: 0,
        replica_counts: vec![ReplicaCount {
            generation: mixed(id.as_str().len() as u64),
            serving: 1,
            kept: 1,
        }],
    };
    Beat {
        sent_ms: micros() / 1_000,
        interval_ms: interval.as_millis() as u32,
        versions: Versions::OURS,
        incarnation: Incarnation(mixed(1)),
        revision: Revision(20_000),
        labels: BTreeMap::clone(&host.labels),
        duty: wire::Duty::Works,
        components: components.map(served).collect(),
    }
}

fn micros() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_micros() as u64
}

/// Returns a number that looks like a digest.
fn mixed(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
