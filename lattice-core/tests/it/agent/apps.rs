//! Apps are applied, changed and deleted.

use super::*;
use lattice_core::{auth::Auth, store::record::Records, type_store::Types};

#[tokio::test(start_paused = true)]
async fn exactly_the_declared_components_run() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<3>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    assert!(
        mesh.call("greeter")
            .await
            .expect("a result")
            .ends_with("greeter:1")
    );

    mesh.apply("name = \"shop\"\n").await;
    mesh.until("no host serves", || mesh.serving("greeter").is_empty())
        .await;
    mesh.until("all replicas have stopped", || {
        mesh.live.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn more_replicas_than_hosts_share_them() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 5)).await;
    mesh.until("both serve", || mesh.serving("greeter").len() == 2)
        .await;
}

#[tokio::test(start_paused = true)]
async fn components_run_only_on_hosts_with_matching_labels() {
    let mesh = Mesh::new().await;
    let _eu = mesh.labelled("eu", &[("zone", "eu")]).await;
    let _us = mesh.labelled("us", &[("zone", "us")]).await;
    mesh.counted(2).await;
    mesh.apply(&format!(
        "{}require = {{ zone = \"us\" }}\n",
        greeter("greeter:1", 1)
    ))
    .await;
    mesh.until("one serves", || mesh.serving("greeter").contains_key("us"))
        .await;
    mesh.apply(&format!(
        "{}exclude = {{ zone = \"us\" }}\n",
        greeter("greeter:1", 1)
    ))
    .await;
    mesh.until("the other serves", || {
        mesh.serving("greeter").contains_key("eu")
    })
    .await;
    mesh.until("the first does not", || {
        !mesh.serving("greeter").contains_key("us")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_update_rolls_without_a_failed_call() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<3>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    mesh.called_without_failure("greeter", async {
        mesh.apply(&greeter("greeter:2", 2)).await;
        sleep(Duration::from_secs(40)).await;
    })
    .await;
    for _ in 0..20 {
        let answer = mesh.call("greeter").await.expect("a result");
        assert!(answer.ends_with("greeter:2"), "{answer}");
    }
    mesh.until("the old replicas have stopped", || {
        mesh.live.load(Ordering::SeqCst) == 2
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_start_overtaken_by_an_update_has_no_effect_when_it_completes() {
    let mesh = Mesh::new().await;
    let _host = mesh.hosts::<1>().await;
    mesh.apply(&greeter("slow:1", 1)).await;
    mesh.until("it starts", || !mesh.record.all().is_empty())
        .await;
    mesh.apply(&greeter("greeter:2", 1)).await;
    mesh.until("the update serves", || mesh.serving("greeter").len() == 1)
        .await;
    mesh.called_without_failure("greeter", sleep(Duration::from_secs(60)))
        .await;
    let answer = mesh.call("greeter").await.expect("a result");
    assert!(answer.ends_with("greeter:2"), "{answer}");
    assert_eq!(
        mesh.live.load(Ordering::SeqCst),
        1,
        "no other replica started"
    );
}

#[tokio::test(start_paused = true)]
async fn a_component_that_takes_minutes_to_fetch_starts_at_the_first_attempt() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<1>().await;
    mesh.apply(&greeter("large:1", 1)).await;
    sleep(Duration::from_secs(235)).await;
    mesh.until("it serves", || mesh.serving("greeter").len() == 1)
        .await;
    assert_eq!(mesh.record.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_version_is_rolled_back_only_for_its_own_failure() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<1>().await;
    let because = |part: &'static str| {
        let desired = mesh.lattice.desired();
        let actor = desired.actors.values().next();
        let because = actor.and_then(|actor| actor.spec.rejected_because.clone());
        because.is_some_and(|because| because.contains(part))
    };
    mesh.apply(&greeter("greeter:1", 1)).await;
    mesh.until("it serves", || mesh.serving("greeter").len() == 1)
        .await;
    mesh.apply(&greeter("broken:2", 1)).await;
    mesh.until("it is rejected", || because("fix it")).await;
    mesh.apply(&greeter("endless:3", 1)).await;
    sleep(Duration::from_mins(15)).await;
    mesh.until("it is rejected too", || because("did not start within"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails_to_start_is_rolled_back() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    let id = ComponentId::new("greeter").expect("valid");
    mesh.called_without_failure("greeter", async {
        mesh.apply(&greeter("broken:2", 2)).await;
        mesh.until("the reason is reported", || {
            let kept = |host: &Host| host.agent.state().components.get(&id)?.reason.clone();
            hosts
                .iter()
                .filter_map(kept)
                .any(|reason| reason.contains("fix it"))
        })
        .await;
        mesh.until("it is rejected", || {
            mesh.lattice.desired().actors[&id].spec.rejected.is_some()
        })
        .await;
        let subject = lattice_core::constellation::Subject::Component(id.clone());
        let why = mesh.lattice.explain(&subject).await.to_string();
        assert!(
            why.contains("(it is broken; fix it) and was rolled back"),
            "{why}"
        );
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let starts = mesh.record.all().len();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(
        mesh.record.all().len(),
        starts,
        "no further attempt is made"
    );
    assert!(
        mesh.call("greeter")
            .await
            .expect("a result")
            .ends_with("greeter:1")
    );

    // A third version that starts replaces it.
    mesh.apply(&greeter("greeter:3", 2)).await;
    sleep(Duration::from_secs(40)).await;
    assert!(
        mesh.call("greeter")
            .await
            .expect("a result")
            .ends_with("greeter:3")
    );
}

#[tokio::test(start_paused = true)]
async fn a_restored_version_that_still_serves_publishes_its_types_again() {
    let (name, key) = ("dev".parse().expect("valid"), LatticeKey::generate());
    let (bus, store) = (MemoryNetwork::new().connect(), MemoryStore::new());
    let records = Records::new(Arc::new(store.clone()), Auth::keyed(&name, &key));
    let published = Types::new(records);
    let mut mesh = Mesh::new().await;
    mesh.lattice = Lattice::on(Arc::new(bus), Arc::new(store), "dev")
        .key(key)
        .await
        .expect("it joins");
    let _host = mesh.hosts::<1>().await;
    let id = ComponentId::new("greeter").expect("valid");
    let functions = async |wanted: usize| {
        let waited = timeout(Duration::from_secs(30), async {
            loop {
                let types = published.of(&id).await.expect("read");
                let interface = types
                    .as_ref()
                    .and_then(|types| types.exports.values().next());
                if interface.is_some_and(|interface| interface.functions.len() == wanted) {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("published");
    };
    mesh.apply(&greeter("greeter:1", 1)).await;
    functions(1).await;
    mesh.called_without_failure("greeter", async {
        mesh.apply(&greeter("wider:2", 1)).await;
        functions(2).await;
        // The first version still runs, and isn't started again.
        mesh.apply(&greeter("greeter:1", 1)).await;
        functions(1).await;
    })
    .await;
    let answer = mesh.call("greeter").await.expect("a result");
    assert!(answer.ends_with("greeter:1"), "{answer}");
    assert_eq!(mesh.record.all().len(), 2, "each version was started once");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_never_started_is_retried_with_growing_backoff() {
    let mesh = Mesh::new().await;
    let [host] = mesh.hosts::<1>().await;
    mesh.apply(&greeter("broken:1", 1)).await;
    sleep(Duration::from_secs(60)).await;
    let tries = mesh.record.all().len();
    assert!((3..30).contains(&tries), "{tries}");
    let state = host.agent.state();
    let kept = &state.components[&ComponentId::new("greeter").expect("valid")];
    assert_eq!(kept.reason.as_deref(), Some("it is broken; fix it"));
    assert!(
        matches!(kept.status.phase, lattice_core::place::plan::Phase::CrashLooping { failures, .. } if failures >= 3),
        "{kept:?}"
    );
}
