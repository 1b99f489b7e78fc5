//! Hosts join and leave.

use super::*;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use lattice_core::{
    agent::{Phase, Prepared, Runtime, RuntimeError, WorkItem},
    call::CallError,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::ComponentTypes,
    value::to_bytes,
};

#[tokio::test(start_paused = true)]
async fn a_dead_host_is_replaced_within_five_seconds() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<3>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    sleep(Duration::from_secs(3)).await;
    let dies = mesh
        .serving("greeter")
        .into_keys()
        .next()
        .expect("one of two");
    let dead = hosts
        .iter()
        .find(|host| host.node.host_id().as_str() == dies);
    dead.expect("it is one of the two hosts").node.kill();
    let begun = tokio::time::Instant::now();
    mesh.until("two serve again", || {
        let serving = mesh.serving("greeter");
        serving.len() == 2 && !serving.contains_key(&dies)
    })
    .await;
    assert!(
        begun.elapsed() <= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_joining_host_takes_its_share_without_a_failed_call() {
    let mesh = Mesh::new().await;
    let _one = mesh.hosts::<1>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("it serves", || mesh.serving("greeter").len() == 1)
        .await;
    mesh.called_without_failure("greeter", async {
        let _two = mesh.host("other").await;
        mesh.until("both serve", || mesh.serving("greeter").len() == 2)
            .await;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(mesh.serving("greeter").len(), 2);
        // When it has left, everything is as before.
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_leaving_host_hands_over_without_a_failed_call() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<3>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    sleep(Duration::from_secs(3)).await;
    mesh.called_without_failure("greeter", async {
        for host in &hosts[..2] {
            assert!(
                host.agent
                    .shutdown(Duration::from_secs(10))
                    .await
                    .is_clean(),
                "in time"
            );
            let drained = host.node.shutdown(Duration::from_secs(1)).await;
            assert!(drained.is_clean());
            sleep(Duration::from_secs(5)).await;
        }
    })
    .await;
    assert!(mesh.serving("greeter").contains_key("h2"));
}

/// Runs components whose calls take 20 s.
struct Slow;

impl Runtime for Slow {
    fn prepare(&self, _: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        let prepared = Prepared {
            service: Arc::new(Slow),
            limits: ServeLimits::default(),
        };
        async { Ok(prepared) }.boxed()
    }
}

impl Service for Slow {
    fn types(&self) -> Arc<ComponentTypes> {
        who::types()
    }

    fn call(&self, _: Request) -> Answer {
        let work = async {
            sleep(Duration::from_secs(20)).await;
            Ok(to_bytes(&"late".to_owned()).expect("it encodes"))
        };
        Answer::Later(work.boxed())
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaving_host_finishes_calls_in_all_of_the_time_that_it_has() {
    let mesh = Mesh::new().await;
    let options = NodeOptions::default().host("slow").expect("valid");
    let node = mesh.lattice.node(options).await.expect("it joins");
    let mut options = AgentOptions::default();
    options.listen = Duration::ZERO;
    let agent = Agent::start(&node, Arc::new(Slow), options);
    mesh.apply(&greeter("greeter:1", 1)).await;
    mesh.until("it serves", || mesh.serving("greeter").len() == 1)
        .await;
    let operator = mesh.lattice.operator();
    let call = async {
        let greeter = operator.component("greeter");
        let call = greeter.call(WHO, "who", ());
        let answer: Result<String, CallError> = call.timeout(Duration::from_mins(1)).await;
        answer
    };
    let leave = async {
        sleep(Duration::from_secs(1)).await;
        agent.shutdown(Duration::from_mins(1)).await
    };
    let (answer, drained) = tokio::join!(call, leave);
    assert_eq!(answer.as_deref(), Ok("late"));
    assert!(drained.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_host_outside_placement_is_assigned_nothing() {
    let mesh = Mesh::new().await;
    let apart = NodeOptions::default().host("apart").expect("valid");
    let _apart = mesh.lattice.node(apart).await.expect("it joins");
    let _one = mesh.host("one").await;
    mesh.counted(2).await;
    let ids: Vec<String> = (0..16)
        .map(|n| format!("[actors.a{n}]\nimage = \"reg.example/a:1\"\n"))
        .collect();
    mesh.apply(&format!("name = \"shop\"\n{}", ids.concat()))
        .await;
    mesh.until("all components serve", || {
        (0..16).all(|n| mesh.serving(&format!("a{n}")).contains_key("one"))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_two_hosts_with_one_id_the_newer_one_works_and_both_report_it() {
    let mesh = Mesh::new().await;
    let older = mesh.host("twin").await;
    mesh.apply(&greeter("greeter:1", 1)).await;
    mesh.until("it serves", || mesh.serving("greeter").len() == 1)
        .await;
    let newer = mesh.host("twin").await;
    mesh.until("the older one reports it", || {
        older.agent.state().is_doubled
    })
    .await;
    mesh.until("the newer one has the work", || {
        let kept = newer.agent.state();
        kept.components.keys().any(|id| id.as_str() == "greeter")
    })
    .await;
    assert!(
        !newer.agent.state().is_doubled,
        "only the older one is marked"
    );
    let _ = newer.node.shutdown(Duration::from_secs(1)).await;
    drop(newer);
    sleep(Duration::from_secs(30)).await;
    let state = older.agent.state();
    assert!(state.is_doubled, "it must be restarted: {state:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_leaving_host_does_not_wait() {
    let mesh = Mesh::new().await;
    let [host] = mesh.hosts::<1>().await;
    mesh.apply(&greeter("greeter:1", 1)).await;
    mesh.until("it serves", || mesh.serving("greeter").len() == 1)
        .await;
    let begun = tokio::time::Instant::now();
    assert!(host.agent.shutdown(Duration::from_mins(2)).await.is_clean());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn any_time_for_a_handover_fits_the_clock() {
    for within in [
        Duration::from_secs(10),
        Duration::from_secs(u64::MAX),
        Duration::MAX,
    ] {
        let mesh = Mesh::new().await;
        let [host] = mesh.hosts::<1>().await;
        mesh.apply(&greeter("greeter:1", 1)).await;
        mesh.until("it serves", || mesh.serving("greeter").len() == 1)
            .await;
        assert!(host.agent.shutdown(within).await.is_clean());
        assert!(host.node.shutdown(within).await.is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_an_agent_returns_each_newest_state_and_ends_with_it() {
    let mesh = Mesh::new().await;
    let host = mesh.host("one").await;
    let mut states = host.agent.watch();
    let mut assignments = host.agent.watch_assignment();
    let id: ComponentId = "greeter".parse().expect("valid");
    mesh.apply(&greeter("greeter:1", 1)).await;
    let serves = async {
        while let Some(state) = states.next().await {
            let found = state.components.get(&id);
            if found.is_some_and(|found| found.status.phase == Phase::Serving) {
                return true;
            }
        }
        false
    };
    assert!(serves.await, "the watch ended");
    assert_eq!(states.current(), host.agent.state());
    let assignment = assignments.current();
    assert!(assignment.slots(&id).any(|slot| slot.as_str() == "one"));

    drop(host);
    while states.next().await.is_some() {}
    while assignments.next().await.is_some() {}
}
