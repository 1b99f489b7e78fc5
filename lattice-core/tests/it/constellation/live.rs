//! Views that follow the changes of a lattice.

use super::*;
use futures_util::{Stream, StreamExt as _, future::join_all};
use lattice_core::{
    bus::{Bus, memory::MemoryNetwork},
    call::{CallError, Context},
    constellation::{
        ComponentKind, ComponentStatus, Delta, LinkLoad, LinkState, Phase, ReplicaKey, View,
    },
    name::{HostId, LatticeName},
    node::NodeOptions,
    server::ServeLimits,
    store::MemoryStore,
    subject::Subjects,
};
use lattice_sim::fault::FaultBus;
use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::sleep;

/// Applies changes until the view satisfies a condition.
async fn until(
    changes: &mut (impl Stream<Item = Delta> + Unpin),
    view: &mut View,
    what: &str,
    holds: impl Fn(&View) -> bool,
) {
    let follow = async {
        while !holds(view) {
            view.apply(changes.next().await.expect("more changes"));
        }
    };
    let followed = tokio::time::timeout(Duration::from_secs(30), follow).await;
    assert!(followed.is_ok(), "not in time: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_follower_sees_hosts_services_links_and_apps_appear_and_disappear() {
    let lattice = lattice().await;
    let constellation = lattice.constellation();
    let mut changes = constellation.watch();
    let mut view = View::default();
    let options = NodeOptions::default()
        .host("b")
        .expect("valid")
        .label("zone", "eu");
    let b = lattice.node(options).await.expect("it joins");
    let (api, serving) = serve(&b, "callee").await;
    until(&mut changes, &mut view, "it serves", |view| {
        let component = view.components.get(&id("callee"));
        let by_hand = component.is_some_and(|component| component.kind == ComponentKind::ByHand);
        let host = view.hosts.get(&host_id("b"));
        by_hand
            && host.is_some_and(|host| host.labels["zone"] == "eu" && host.load.is_some())
            && view
                .replicas_of(&id("callee"))
                .any(|replica| replica.load.is_some())
    })
    .await;

    *api.refuse.lock().expect("not poisoned") = Some("no such bucket".to_owned());
    link(&lattice, "front", "callee").await;
    let key = grant("front", "callee").key();
    until(&mut changes, &mut view, "the link is rejected", |view| {
        let link = view.links.get(&key);
        link.is_some_and(|link| {
            link.state == LinkState::Rejected && link.reason.as_deref() == Some("no such bucket")
        })
    })
    .await;

    apply(&lattice, &format!("name = \"shop\"\n[actors.greeter]\nimage = \"{IMAGE}\"\n[wormholes.web]\nactor = \"greeter\"\n")).await;
    until(&mut changes, &mut view, "the app is there", |view| {
        view.apps.len() == 1
            && view.wormholes.len() == 1
            && view.components.contains_key(&id("greeter"))
    })
    .await;

    lattice.links().delete(&key).await.expect("deleted");
    drop(serving);
    let _ = b.shutdown(Duration::from_secs(1)).await;
    until(&mut changes, &mut view, "the host is gone", |view| {
        let by_hand = view.components.contains_key(&id("callee"));
        view.hosts.is_empty() && view.links.is_empty() && !by_hand
    })
    .await;
    assert_eq!(view.components.len(), 1, "declared components stay");
    assert!(view.lost_hosts.is_empty(), "it left in order");
    assert_eq!(*constellation.snapshot(), view);
}

#[tokio::test(start_paused = true)]
async fn a_vanished_host_is_removed_with_its_components() {
    let two = two().await;
    let constellation = two.lattice.constellation();
    let view = constellation.settled().await;
    assert_eq!(view.hosts.len(), 2);
    assert_eq!(view.replicas_of(&id("callee")).count(), 1);
    two.b.kill();
    eventually("it is removed from the view", async || {
        let view = constellation.snapshot();
        !view.hosts.contains_key(&host_id("b")) && view.replicas.is_empty()
    })
    .await;
    let lost = constellation.snapshot().lost_hosts.clone();
    assert_eq!(lost.keys().collect::<Vec<_>>(), [&host_id("b")]);
}

#[tokio::test(start_paused = true)]
async fn call_costs_are_counted_and_reported() {
    let two = two().await;
    let constellation = two.lattice.constellation();
    constellation.settled().await;
    for _ in 0..40 {
        two.say().await.expect("a result");
    }
    let failing = function("fail", "func()");
    for _ in 0..10 {
        let _ = two
            .call(&failing, bytes::Bytes::new(), Context::default())
            .await;
    }
    let key = ReplicaKey {
        component: id("callee"),
        host: host_id("b"),
    };
    let load = || {
        constellation
            .snapshot()
            .replicas
            .get(&key)
            .and_then(|replica| replica.load)
    };
    eventually("the calls are reported", async || {
        load().is_some_and(|load| load.calls == 50)
    })
    .await;
    let load = load().expect("reported");
    assert_eq!(load.errors, 10);
    assert!(
        load.calls_per_second.is_some_and(|rate| rate > 0.0),
        "{load:?}"
    );
    assert!(load.p99 >= load.p50 && load.p99.is_some(), "{load:?}");
}

/// What a view shows of the calls of these components to `callee`.
fn calls_by(view: &View, sources: [&str; 2]) -> [Option<LinkLoad>; 2] {
    sources.map(|source| {
        let link = view.links.get(&grant(source, "callee").key());
        link.and_then(|link| link.load)
    })
}

#[tokio::test(start_paused = true)]
async fn calls_over_two_links_to_one_component_are_shown_apart_until_there_are_none() {
    let two = two().await;
    link(&two.lattice, "local", "callee").await;
    let (remote, local) = (&two.caller, two.b.caller("local").expect("valid"));
    let constellation = two.lattice.constellation();
    let (mut changes, mut view) = (constellation.watch(), View::default());
    for _ in 0..40 {
        say(remote).await.expect("a result");
    }
    for _ in 0..20 {
        say(&local).await.expect("a result");
    }
    let failing = function("fail", "func()");
    for _ in 0..10 {
        let failed = two.call(&failing, bytes::Bytes::new(), Context::default());
        failed.await.expect_err("it was told to");
    }
    let both = ["caller", "local"];
    until(&mut changes, &mut view, "all calls are shown", |view| {
        let [Some(remote), Some(local)] = calls_by(view, both) else {
            return false;
        };
        // 50 and 20, in the same time.
        (remote.calls_per_second / local.calls_per_second - 2.5).abs() < 1e-6
    })
    .await;
    let [Some(remote), Some(local)] = calls_by(&view, both) else {
        panic!("both have calls");
    };
    let share = remote.errors_per_second / remote.calls_per_second;
    assert!((share - 0.2).abs() < 1e-6, "{remote:?}");
    assert!(local.errors_per_second.abs() < 1e-6, "{local:?}");
    assert!(
        remote.p99.is_some() && local.p99.is_some(),
        "{remote:?} {local:?}"
    );
    until(&mut changes, &mut view, "they are over", |view| {
        calls_by(view, both) == [None, None]
    })
    .await;
    assert_eq!(*constellation.snapshot(), view);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_refused_are_shown_as_errors_of_their_link() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let limits = ServeLimits::default()
        .concurrent(NonZeroUsize::MIN)
        .queued(0);
    let (api, _serving) = serve_within(&b, "callee", limits).await;
    for source in ["remote", "local"] {
        link(&lattice, source, "callee").await;
    }
    let constellation = lattice.constellation();
    let (mut changes, mut view) = (constellation.watch(), View::default());
    let (remote, local) = (
        a.caller("remote").expect("valid"),
        b.caller("local").expect("valid"),
    );
    until(&mut changes, &mut view, "the links are known", |view| {
        let mut links = view.links.values();
        view.links.len() == 2 && links.all(|link| link.state == LinkState::Active)
    })
    .await;
    // The only call that has room.
    let busy = begin_wait(&remote, Context::new(Duration::from_secs(600)));
    api.started.notified().await;
    for caller in [&remote, &local] {
        let refused = say(caller).await;
        assert!(
            matches!(refused, Err(CallError::Overloaded { .. })),
            "{refused:?}"
        );
    }
    until(&mut changes, &mut view, "they are shown", |view| {
        let has_errors = |load: LinkLoad| load.errors_per_second > 0.0;
        calls_by(view, ["remote", "local"]).map(|load| load.is_some_and(has_errors)) == [true; 2]
    })
    .await;
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_status_is_reported_at_once_and_cleared() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let constellation = lattice.constellation();
    constellation.settled().await;
    let began = tokio::time::Instant::now();
    let status = ComponentStatus::new(Phase::CrashLooping { failures: 4 })
        .generation(7)
        .reason("no memory");
    a.set_status(&id("greeter"), status);
    let replica = || {
        constellation
            .snapshot()
            .replicas_of(&id("greeter"))
            .next()
            .cloned()
    };
    eventually("it is reported", async || replica().is_some()).await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let reported = replica().expect("reported");
    assert_eq!(
        (reported.phase, reported.generation),
        (Phase::CrashLooping { failures: 4 }, Some(7))
    );
    assert_eq!(reported.reason.as_deref(), Some("no memory"));
    a.clear_status(&id("greeter"));
    eventually("it is cleared", async || replica().is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_with_more_components_than_fit_an_envelope_reports_all() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    for n in 0..1_000 {
        a.set_status(&id(&format!("c{n}")), ComponentStatus::new(Phase::Starting));
    }
    let constellation = lattice.constellation();
    eventually("all are there", async || {
        constellation.snapshot().replicas.len() == 1_000
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_receives_a_snapshot() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let constellation = lattice.constellation();
    let mut changes = constellation.watch();
    let first = changes.next().await;
    assert!(matches!(first, Some(Delta::Snapshot(_))), "{first:?}");
    let link = grant("front", "back");
    for n in 0..600 {
        let link = link.clone().named(format!("n{n}")).expect("a link");
        lattice.links().put(link).await.expect("put");
    }
    eventually("all are seen", async || {
        constellation.snapshot().links.len() == 600
    })
    .await;
    let next = changes.next().await.expect("more");
    let Delta::Snapshot(view) = next else {
        panic!("no snapshot: {next:?}")
    };
    assert_eq!(view.links.len(), 600);
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn two_hosts_with_one_id_are_reported() {
    let lattice = lattice().await;
    let (one, two) = (host(&lattice, "a").await, host(&lattice, "a").await);
    let _works = takes_work(&lattice, &two).await;
    let constellation = lattice.constellation();
    let mut reports = 0;
    eventually("both are known", async || {
        // The first host has changes to report regularly.
        reports += 1;
        let status = ComponentStatus::new(Phase::Starting).reason(reports);
        one.set_status(&id("busy"), status);
        let view = constellation.snapshot();
        view.hosts.values().any(|host| host.rival.is_some())
    })
    .await;
    let image = format!("name = \"shop\"\n[actors.greeter]\nimage = \"{IMAGE}\"\n");
    apply(&lattice, &image).await;
    fault(
        &why(&lattice, "greeter").await,
        "two live hosts have the id `a`",
    );
}

#[tokio::test(start_paused = true)]
async fn a_view_serializes_to_json() {
    let two = two().await;
    let view = two.lattice.constellation().settled().await;
    let json = serde_json::to_value(&*view).expect("JSON");
    assert_eq!(json["hosts"][0]["id"], "a");
    assert_eq!(json["replicas"][0]["phase"], "serving");
    assert_eq!(json["links"][0]["source"], "caller");
    assert_eq!(json["components"][0]["kind"], "by-hand");
    assert_eq!(json["store"]["state"], "following");
    let delta = serde_json::to_value(view.diff(&View::default())).expect("JSON");
    assert!(delta[1]["host"]["gone"]["id"].is_string(), "{delta}");
}

/// Joins the lattice in this store as a process of its own.
async fn on(bus: Arc<dyn Bus>, store: &Arc<MemoryStore>) -> Lattice {
    let lattice = Lattice::on(bus, store.clone(), "test").trust_bus();
    lattice.await.expect("it opens")
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_report_in_time_is_known_by_its_heartbeat() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let there = on(Arc::new(network.connect()), &store).await;
    let _host = host(&there, "a").await;
    let subjects = Subjects::new(&LatticeName::new("test").expect("valid"));
    // At any time between two of its heartbeats.
    for offset in [0, 250, 500, 750] {
        sleep(Duration::from_millis(offset)).await;
        let bus = Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
        let wanted = subjects.report_wanted();
        bus.partition(move |subject| *subject == wanted);
        let here = on(bus, &store).await;
        let view = here.constellation().settled().await;
        assert!(view.hosts.contains_key(&host_id("a")), "{offset} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_waits_longer_for_hosts_when_its_process_is_late() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let there = on(Arc::new(network.connect()), &store).await;
    let _host = host(&there, "a").await;
    let bus = Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
    bus.partition(|_| true);
    let here = on(bus.clone(), &store).await;
    let constellation = here.constellation();
    let settled = tokio::spawn(async move { constellation.settled().await });
    sleep(Duration::from_millis(100)).await;
    // The process gets no time.
    tokio::time::advance(Duration::from_millis(400)).await;
    sleep(Duration::from_millis(900)).await;
    assert!(!settled.is_finished(), "hosts may be late, too");
    bus.heal();
    let view = settled.await.expect("it settles");
    assert!(view.hosts.contains_key(&host_id("a")));
}

/// Threads that use all of the processor.
struct Burning {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Burning {
    fn start(threads: usize) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let burn = |is_over: Arc<AtomicBool>| {
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        };
        let threads = (0..threads).map(|_| thread::spawn(burn(is_over.clone())));
        Self {
            threads: threads.collect(),
            is_over,
        }
    }
}

impl Drop for Burning {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("it only burns");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_view_misses_a_live_host_while_the_machine_is_busy() {
    let (network, store) = (Arc::new(MemoryNetwork::new()), Arc::new(MemoryStore::new()));
    let mut hosts = Vec::new();
    for name in ["a", "b", "c"] {
        let lattice = on(Arc::new(network.connect()), &store).await;
        hosts.push((host(&lattice, name).await, lattice));
    }
    let _burning = Burning::start(4);
    // Each is a process of its own that joins at another time between two heartbeats.
    let views = (0..40).map(|number| {
        let (network, store) = (network.clone(), store.clone());
        tokio::spawn(async move {
            sleep(Duration::from_millis(25 * number)).await;
            let lattice = on(Arc::new(network.connect()), &store).await;
            let view = lattice.constellation().settled().await;
            let peers = lattice.peers();
            let peers = peers.iter().map(|peer| peer.origin.host.clone());
            let known: BTreeSet<HostId> = view.hosts.keys().cloned().collect();
            (known, peers.collect::<BTreeSet<HostId>>())
        })
    });
    let all: BTreeSet<HostId> = ["a", "b", "c"].map(host_id).into();
    for (number, view) in join_all(views).await.into_iter().enumerate() {
        let (known, peers) = view.expect("it settles");
        assert_eq!((&known, &peers), (&all, &all), "view {number}");
    }
}
