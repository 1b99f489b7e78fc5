mod links;

use super::{
    hosts::{MAX_UNKNOWN, RIVAL_GONE},
    *,
};
use crate::{
    constellation::{
        CoalescedDeltas, Phase,
        items::{ReplicaKey, ReplicaView},
    },
    desired::{ActorSpec, AppRecord, Declared},
    link::{Link, LinkReports, LinkStatus, TableEvent},
    membership::presence::{LOST_FOR, Presence},
    store::{Incarnation, Revision},
    types::Digest,
    wire::{Beat, ComponentReport, Duty, ProcessReport, Program, Served, Versions},
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// The time of day, as long after 1970.
const LATE: Duration = Duration::from_hours(24);

fn id(n: u8) -> ComponentId {
    ComponentId::new(&format!("c{n}")).expect("valid")
}

fn host(n: u8) -> HostId {
    HostId::new(&format!("h{n}")).expect("valid")
}

fn link(source: u8, target: u8) -> Link {
    Link::new(id(source).as_str(), "a:b/c@0.1.0", id(target).as_str()).expect("valid")
}

/// An event in a lattice of a few hosts and components.
#[derive(Debug, Clone)]
enum Step {
    Declare(u8),
    Delete(u8),
    Own(u8),
    Link(u8, u8),
    Unlink(u8),
    Refuse(u8),
    Beat(u8, u64, Vec<u8>),
    Goodbye(u8, u64),
    Lose(u8, u64),
    Report(u8, u64, Vec<(u8, u8, u64)>),
    OlderBoot(u8),
    Store(u64),
    Time,
}

fn step() -> impl Strategy<Value = Step> {
    let few = || 0..4_u8;
    let epoch = || 1..4_u64;
    let served = prop::collection::vec(few(), 0..3);
    let reported = prop::collection::vec((few(), 0..9_u8, 0..50_u64), 0..4);
    prop_oneof![
        few().prop_map(Step::Declare),
        few().prop_map(Step::Delete),
        few().prop_map(Step::Own),
        (few(), few()).prop_map(|(a, b)| Step::Link(a, b)),
        few().prop_map(Step::Unlink),
        few().prop_map(Step::Refuse),
        (few(), epoch(), served).prop_map(|(h, e, s)| Step::Beat(h, e, s)),
        (few(), epoch()).prop_map(|(h, e)| Step::Goodbye(h, e)),
        (few(), epoch()).prop_map(|(h, e)| Step::Lose(h, e)),
        (few(), epoch(), reported).prop_map(|(h, e, t)| Step::Report(h, e, t)),
        few().prop_map(Step::OlderBoot),
        (0..3_u64).prop_map(Step::Store),
        Just(Step::Time),
    ]
}

/// The present state of the sources.
struct World {
    now: Instant,
    revision: u64,
    desired: Desired,
    links: LinkTable,
    presence: Presence,
}

impl World {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            revision: 0,
            desired: Desired::default(),
            links: LinkTable::default(),
            presence: Presence::default(),
        }
    }

    fn next(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }

    fn desire(&mut self, revision: Revision, change: impl FnOnce(&mut Desired)) -> Event {
        self.desired.revision = revision;
        change(&mut self.desired);
        Event::Desired(Arc::new(self.desired.clone()))
    }

    fn table(&mut self, event: TableEvent) -> Event {
        self.links.apply(event);
        Event::Links(Arc::new(self.links.clone()))
    }

    fn peers(&self) -> Event {
        let peers = Arc::new(self.presence.snapshot());
        Event::Peers(peers, SystemTime::UNIX_EPOCH + LATE)
    }

    fn take(&mut self, step: Step) -> Event {
        let revision = self.next();
        match step {
            Step::Declare(n) => {
                let image = "registry.example/a:1".parse().expect("an image");
                let declared = Declared::new(revision, ActorSpec::new(image));
                self.desire(revision, |desired| {
                    desired.actors.insert(id(n), declared);
                })
            }
            Step::Delete(n) => self.desire(revision, |desired| {
                desired.actors.remove(&id(n));
            }),
            Step::Own(n) => {
                let key = link(n, 0).key();
                let mut app = AppRecord::default();
                let key = StoreKey::link_at(&key.source, &key.interface, &key.name);
                app.owns.insert(key);
                let name = AppName::new("shop").expect("valid");
                let declared = Declared::new(revision, app);
                self.desire(revision, |desired| {
                    desired.apps.insert(name, declared);
                })
            }
            Step::Link(a, b) => {
                let link = Arc::new(link(a, b));
                self.table(TableEvent::Link { revision, link })
            }
            Step::Unlink(n) => {
                let key = link(n, 0).key();
                self.table(TableEvent::NoLink { revision, key })
            }
            Step::Refuse(n) => {
                let key = link(n, 0).key();
                let at = self.links.entry(&key).map_or(Revision(0), |e| e.revision);
                let said = LinkReports::default().with(at, &host(0), LinkStatus::rejected("no"));
                let reports = Arc::new(said.expect("a change"));
                self.table(TableEvent::Reports {
                    revision,
                    key,
                    reports,
                })
            }
            Step::Beat(h, epoch, served) => {
                let beat = beat(&served);
                self.presence
                    .beat(&Origin::new(host(h), epoch), beat, self.now);
                self.peers()
            }
            Step::Goodbye(h, epoch) => {
                self.presence
                    .goodbye(&Origin::new(host(h), epoch), self.now);
                self.peers()
            }
            Step::Lose(h, epoch) => {
                self.presence.lost(&Origin::new(host(h), epoch), self.now);
                self.peers()
            }
            Step::Report(h, epoch, reported) => {
                let report = report(self.revision * 1_000, reported);
                Event::Report(Origin::new(host(h), epoch), vec![report])
            }
            Step::OlderBoot(h) => Event::OlderBoot(Origin::new(host(h), 1)),
            Step::Store(n) => Event::Store(ReplicaHealth {
                revision: Revision(n),
                ..ReplicaHealth::default()
            }),
            Step::Time => {
                self.now += Duration::from_secs(6);
                Event::Tick
            }
        }
    }
}

fn beat(served: &[u8]) -> Beat {
    let served: BTreeSet<u8> = served.iter().copied().collect();
    Beat {
        sent_ms: 0,
        interval_ms: 1_000,
        versions: Versions::OURS,
        incarnation: Incarnation(1),
        revision: Revision(1),
        labels: BTreeMap::new(),
        duty: Duty::Works,
        components: served
            .into_iter()
            .map(|n| Served {
                id: id(n),
                digest: Digest([n; 32]),
                fence: 0,
                replica_counts: Vec::new(),
            })
            .collect(),
    }
}

fn report(uptime_ms: u64, reported: Vec<(u8, u8, u64)>) -> Report {
    Report {
        interval_ms: 5_000,
        uptime_ms,
        in_flight: 0,
        memory: None,
        incarnation: Incarnation(1),
        revision: Revision(1),
        follows_store: true,
        left_out: 0,
        recent: links::recent(&reported),
        components: reported
            .into_iter()
            .map(|(n, phase, calls)| ComponentReport {
                id: id(n),
                phase: Phase::from_wire((phase, 3)),
                generation: None,
                reason: None,
                calls,
                errors: calls / 2,
                latency: None,
            })
            .collect(),
        processes: Vec::new(),
        program: Program::default(),
    }
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("JSON")
}

fn from_json<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

proptest! {
    #[test]
    fn applying_changes_to_a_view_gives_the_next_view(steps in prop::collection::vec(step(), 0..60)) {
        let (mut world, mut projection) = (World::new(), Projection::default());
        let mut followed = View::default();
        // A reader that gets JSON, and one that gets the last change of each item now and then.
        let (mut read, mut rare, mut unsent) = (View::default(), View::default(), CoalescedDeltas::default());
        for (number, step) in steps.into_iter().enumerate() {
            let before = projection.view().clone();
            let event = world.take(step);
            let deltas = projection.handle(event, world.now);
            for delta in deltas {
                read.apply(from_json(&to_json(&delta)));
                unsent.push(delta.clone());
                followed.apply(delta);
            }
            prop_assert_eq!(&followed, &**projection.view());
            prop_assert_eq!(to_json(&read), to_json(&followed));
            prop_assert_eq!(to_json(&from_json::<View>(&to_json(&followed))), to_json(&followed));
            if number % 5 == 4 {
                unsent.take().into_iter().for_each(|delta| rare.apply(delta));
                prop_assert!(unsent.is_empty());
                prop_assert_eq!(&rare, &followed);
            }
            let mut jumped = View::clone(&before);
            for delta in before.diff(projection.view()) {
                jumped.apply(delta);
            }
            prop_assert_eq!(&jumped, &followed);
            for replica in followed.replicas.values() {
                prop_assert!(followed.hosts.contains_key(&replica.host), "on a host that has left");
                prop_assert!(followed.components.contains_key(&replica.component), "of an unknown component");
            }
            for lost in followed.lost_hosts.keys() {
                prop_assert!(!followed.hosts.contains_key(lost), "a live host isn't lost");
            }
        }
        // A projection that starts late shows the same for everything without a history.
        let mut late = Projection::default();
        late.handle(Event::Links(Arc::new(world.links.clone())), world.now);
        late.handle(Event::Desired(Arc::new(world.desired.clone())), world.now);
        late.handle(world.peers(), world.now);
        let late = late.view();
        prop_assert_eq!(links::idle(late), links::idle(&followed));
        prop_assert_eq!(&late.apps, &followed.apps);
        prop_assert_eq!(late.lost_hosts.keys().collect::<Vec<_>>(), followed.lost_hosts.keys().collect::<Vec<_>>());
        prop_assert_eq!(late.hosts.keys().collect::<Vec<_>>(), followed.hosts.keys().collect::<Vec<_>>());
    }
}

fn joined() -> (World, Projection) {
    let (mut world, mut projection) = (World::new(), Projection::default());
    let event = world.take(Step::Beat(1, 2, vec![0]));
    projection.handle(event, world.now);
    (world, projection)
}

fn replica(projection: &Projection, component: u8) -> Option<Arc<ReplicaView>> {
    let key = ReplicaKey {
        component: id(component),
        host: host(1),
    };
    projection.view().replicas.get(&key).cloned()
}

#[test]
fn a_replica_has_the_process_that_its_host_reports() {
    let (world, mut projection) = joined();
    let from = Origin::new(host(1), 2);
    let process = |component| ProcessReport {
        component: id(component),
        restarts: 2,
        uptime_ms: Some(60_000),
        memory: Some(1 << 20),
        cpu_ms: None,
        last_exit: Some("it was killed".to_owned()),
    };
    // One of a component that isn't reported itself is left out.
    let whole = Report {
        processes: vec![process(0), process(7)],
        ..report(1_000, vec![(0, 0, 10)])
    };
    projection.handle(Event::Report(from.clone(), vec![whole]), world.now);
    let shown = replica(&projection, 0).expect("there").process.clone();
    let shown = shown.expect("it has a process");
    assert_eq!(shown.restarts, 2);
    assert_eq!(shown.uptime, Some(Duration::from_secs(60)));
    assert_eq!(shown.last_exit.as_deref(), Some("it was killed"));
    assert!(replica(&projection, 7).is_none());
    let without = report(2_000, vec![(0, 0, 10)]);
    projection.handle(Event::Report(from, vec![without]), world.now);
    assert_eq!(replica(&projection, 0).expect("there").process, None);
}

#[test]
fn rates_are_computed_from_two_reports_and_their_senders_clock() {
    let (world, mut projection) = joined();
    let from = Origin::new(host(1), 2);
    let load = |projection: &Projection| replica(projection, 0).expect("there").load;
    assert_eq!(load(&projection), None);
    projection.handle(
        Event::Report(from.clone(), vec![report(1_000, vec![(0, 0, 10)])]),
        world.now,
    );
    assert_eq!(load(&projection).expect("reported").calls_per_second, None);
    projection.handle(
        Event::Report(from.clone(), vec![report(3_000, vec![(0, 0, 50)])]),
        world.now,
    );
    let reported = load(&projection).expect("reported");
    assert_eq!(
        (
            reported.calls,
            reported.calls_per_second,
            reported.errors_per_second
        ),
        (50, Some(20.0), Some(10.0))
    );
    // The component was restarted, so its counts are smaller than before.
    projection.handle(
        Event::Report(from, vec![report(4_000, vec![(0, 0, 1)])]),
        world.now,
    );
    assert_eq!(load(&projection).expect("reported").calls_per_second, None);
}

#[test]
fn reports_of_an_older_boot_are_ignored_and_a_second_one_reveals_a_duplicate_host() {
    let (world, mut projection) = joined();
    let older = Origin::new(host(1), 1);
    let rival = |projection: &Projection| projection.view().hosts[&host(1)].rival;
    projection.handle(Event::OlderBoot(older.clone()), world.now);
    assert_eq!(
        rival(&projection),
        None,
        "one report may have been in flight"
    );
    projection.handle(Event::OlderBoot(older), world.now);
    assert_eq!(rival(&projection), Some(1));
    projection.handle(Event::Tick, world.now + RIVAL_GONE);
    assert_eq!(rival(&projection), Some(1));
    projection.handle(
        Event::Tick,
        world.now + RIVAL_GONE + Duration::from_millis(1),
    );
    assert_eq!(rival(&projection), None);
}

#[test]
fn beats_list_serving_components_and_reports_list_the_others() {
    let (mut world, mut projection) = joined();
    let from = Origin::new(host(1), 2);
    let reported = vec![(0, 2, 0), (1, 5, 0), (2, 0, 0)];
    projection.handle(
        Event::Report(from, vec![report(1_000, reported)]),
        world.now,
    );
    assert_eq!(
        replica(&projection, 0).expect("beats").phase,
        Phase::Updating
    );
    let failing = Phase::CrashLooping { failures: 3 };
    assert_eq!(replica(&projection, 1).expect("reported").phase, failing);
    assert_eq!(
        replica(&projection, 2),
        None,
        "it is reported as serving, without a beat"
    );
    let event = world.take(Step::Goodbye(1, 2));
    projection.handle(event, world.now);
    assert!(projection.view().replicas.is_empty() && projection.view().hosts.is_empty());
    assert!(
        projection.view().components.is_empty(),
        "it was served without a declaration, and has ended"
    );
}

#[test]
fn a_host_that_falls_silent_is_shown_as_it_was_until_it_is_back_or_forgotten() {
    let (mut world, mut projection) = joined();
    let from = Origin::new(host(1), 2);
    let reported = Event::Report(from.clone(), vec![report(1_000, Vec::new())]);
    projection.handle(reported, world.now);
    world.now += Duration::from_secs(4);
    world.presence.tick(world.now);
    projection.handle(world.peers(), world.now);
    assert!(projection.view().hosts.is_empty());
    let shown = projection.view().lost_hosts[&host(1)].clone();
    assert!(shown.host.load.is_some(), "as it was");
    let heard = SystemTime::UNIX_EPOCH + LATE - Duration::from_secs(4);
    assert_eq!(shown.last_heard, heard);

    // A view that begins now shows it too, and another event changes nothing.
    let mut late = Projection::default();
    late.handle(world.peers(), world.now);
    let since = &late.view().lost_hosts[&host(1)];
    assert_eq!((since.host.epoch, since.last_heard), (2, heard));
    assert_eq!(since.host.load, None);
    world.now += Duration::from_secs(1);
    assert!(projection.handle(world.peers(), world.now).is_empty());

    projection.handle(Event::Tick, world.now + LOST_FOR - Duration::from_secs(5));
    assert_eq!(projection.view().lost_hosts.len(), 1);
    projection.handle(Event::Tick, world.now + LOST_FOR);
    assert!(projection.view().lost_hosts.is_empty(), "after ten minutes");

    let event = world.take(Step::Beat(1, 2, vec![0]));
    late.handle(event, world.now);
    assert!(late.view().lost_hosts.is_empty() && late.view().hosts.len() == 1);
    let event = world.take(Step::Goodbye(1, 2));
    late.handle(event, world.now);
    assert!(late.view().lost_hosts.is_empty(), "it left in order");
}

#[test]
fn a_rolled_back_version_is_reported_until_another_is_declared() {
    let (mut world, mut projection) = (World::new(), Projection::default());
    let event = world.take(Step::Declare(0));
    projection.handle(event, world.now);
    let rolled_back = |projection: &Projection| projection.view().components[&id(0)].is_rolled_back;
    assert!(!rolled_back(&projection));
    let mut spec = world.desired.actors[&id(0)].spec.clone();
    let before = "registry.example/a:0".parse().expect("an image");
    spec.previous = Some(Box::new(ActorSpec::new(before)));
    spec.rejected = Some(world.desired.actor_generation(&spec));
    let mut declare = |world: &mut World, spec: &ActorSpec| {
        let revision = world.next();
        let declared = Declared::new(revision, spec.clone());
        let event = world.desire(revision, |desired| {
            desired.actors.insert(id(0), declared);
        });
        projection.handle(event, world.now);
        rolled_back(&projection)
    };
    assert!(declare(&mut world, &spec));
    spec.config.insert("a".to_owned(), "b".to_owned());
    assert!(!declare(&mut world, &spec), "its meaning has changed");
}

#[test]
fn reports_of_unknown_hosts_are_bounded() {
    let (world, mut projection) = (World::new(), Projection::default());
    for n in 0..MAX_UNKNOWN * 2 {
        let unknown = HostId::new(&format!("s{n}")).expect("valid");
        let event = Event::Report(Origin::new(unknown, 1), vec![report(1, Vec::new())]);
        assert!(projection.handle(event, world.now).is_empty());
    }
    assert_eq!(projection.reported.len(), MAX_UNKNOWN);
}
