//! A version that has served stays in use, regardless of outages and failures when its hosts
//! restart.

use super::*;
use lattice_core::{app::Warning, constellation::Subject, place::plan::Phase};

fn greeter_id() -> ComponentId {
    ComponentId::new("greeter").expect("valid")
}

impl Mesh {
    /// Applies version 1 and then version 2, and waits until only the second one serves.
    async fn settle_two_versions(&self) {
        self.apply(&greeter("greeter:1", 2)).await;
        self.until("two serve", || self.serving("greeter").len() == 2)
            .await;
        self.apply(&greeter("greeter:2", 2)).await;
        sleep(Duration::from_secs(40)).await;
        assert!(self.version().await.ends_with("greeter:2"));
    }

    async fn version(&self) -> String {
        self.call("greeter").await.expect("answered")
    }

    /// Kills all hosts and starts them again with the same ids.
    async fn restart(&self, hosts: [Host; 2]) -> [Host; 2] {
        for host in hosts {
            host.node.kill();
        }
        self.until("they are missed", || {
            self.lattice.peers().iter().count() == 0
        })
        .await;
        self.hosts::<2>().await
    }

    fn rejected(&self) -> Option<u64> {
        self.lattice.desired().actors[&greeter_id()].spec.rejected
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_version_survives_a_restart_of_all_hosts_while_its_image_is_unavailable() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<2>().await;
    mesh.settle_two_versions().await;
    mesh.record.trouble("greeter:2", Trouble::Away);
    let hosts = mesh.restart(hosts).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(mesh.rejected(), None);
    for host in &hosts {
        let state = host.agent.state();
        let kept = &state.components[&greeter_id()];
        assert_eq!(kept.status.phase, Phase::Starting);
        let reason = kept.reason.as_deref();
        assert_eq!(reason, Some("its image is unavailable; bring it back"));
    }
    assert!(
        mesh.serving("greeter").is_empty(),
        "no other version runs in its place"
    );
    mesh.record.heal();
    mesh.until("both serve", || mesh.serving("greeter").len() == 2)
        .await;
    assert!(mesh.version().await.ends_with("greeter:2"));
}

#[tokio::test(start_paused = true)]
async fn a_settled_version_is_not_rolled_back_when_it_fails_after_a_restart_of_all_hosts() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<2>().await;
    mesh.settle_two_versions().await;
    mesh.record.trouble("greeter:2", Trouble::Broken);
    let hosts = mesh.restart(hosts).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(mesh.rejected(), None);
    mesh.record.heal();
    mesh.until("both serve", || mesh.serving("greeter").len() == 2)
        .await;
    assert!(mesh.version().await.ends_with("greeter:2"));
    // The same is true after the next change, which is rolled back to this version and not to an
    // earlier one.
    mesh.apply(&greeter("broken:3", 2)).await;
    mesh.until("the third is rejected", || mesh.rejected().is_some())
        .await;
    let hosts = mesh.restart(hosts).await;
    mesh.until("both serve", || mesh.serving("greeter").len() == 2)
        .await;
    assert!(mesh.version().await.ends_with("greeter:2"));
    drop(hosts);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_never_fetched_is_not_a_rollback_target() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    mesh.record.trouble("greeter:2", Trouble::Away);
    mesh.apply(&greeter("greeter:2", 2)).await;
    sleep(Duration::from_mins(2)).await;
    assert_eq!(
        mesh.rejected(),
        None,
        "an unavailable image doesn't reject it"
    );
    mesh.apply(&greeter("broken:3", 2)).await;
    mesh.until("the third is rejected", || mesh.rejected().is_some())
        .await;
    sleep(Duration::from_mins(2)).await;
    let desired = mesh.lattice.desired();
    let spec = &desired.actors[&greeter_id()].spec;
    let runs = desired.running(&greeter_id(), spec).image.to_string();
    assert!(runs.ends_with("greeter:1"), "{runs}");
    assert!(mesh.version().await.ends_with("greeter:1"));
}

#[tokio::test(start_paused = true)]
async fn hosts_that_start_while_a_new_image_is_unavailable_run_the_settled_version_until_it_is_fetched()
 {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    mesh.record.trouble("greeter:2", Trouble::Away);
    mesh.apply(&greeter("greeter:2", 2)).await;
    sleep(Duration::from_secs(10)).await;
    let _hosts = mesh.restart(hosts).await;
    mesh.until("both serve", || mesh.serving("greeter").len() == 2)
        .await;
    assert!(mesh.version().await.ends_with("greeter:1"));
    let subject = Subject::Component(greeter_id());
    sleep(Duration::from_secs(30)).await;
    let why = mesh.lattice.explain(&subject).await.to_string();
    assert!(
        why.contains("its image is unavailable; bring it back"),
        "{why}"
    );
    mesh.record.heal();
    sleep(Duration::from_mins(3)).await;
    assert_eq!(mesh.rejected(), None);
    for _ in 0..10 {
        assert!(mesh.version().await.ends_with("greeter:2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_version_is_tried_again_when_it_is_applied_again() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    mesh.record.trouble("greeter:2", Trouble::Broken);
    mesh.apply(&greeter("greeter:2", 2)).await;
    mesh.until("it is rejected", || mesh.rejected().is_some())
        .await;
    let app = App::from_toml("app.toml", &greeter("greeter:2", 2)).expect("a manifest");
    let plan = mesh.lattice.plan(&app).await.expect("planned");
    assert_eq!(plan.change.len(), 1, "{plan}");
    let text = plan.to_string();
    let shown = "runs: \"oci:reg.example/greeter:1\" -> \"oci:reg.example/greeter:2\"";
    assert!(text.contains(shown), "{text}");
    mesh.record.heal();
    mesh.apply(&greeter("greeter:2", 2)).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(mesh.rejected(), None);
    assert!(mesh.version().await.ends_with("greeter:2"));
    let plan = mesh.lattice.plan(&app).await.expect("planned");
    assert!(plan.is_empty(), "{plan}");
    assert!(!plan.to_string().contains("hosts run"), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_while_a_version_starts_does_not_have_it_rolled_back() {
    let store = MemoryStore::new();
    let mesh = Mesh::on(&store).await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    mesh.apply(&greeter("greeter:2", 2)).await;
    // Its host is about to start it, and can't publish its types.
    store.disconnect();
    sleep(Duration::from_mins(3)).await;
    let tries = mesh.record.all().len();
    assert!(tries >= 5, "it is tried again and again: {tries}");
    store.reconnect();
    sleep(Duration::from_mins(3)).await;
    assert_eq!(mesh.rejected(), None);
    for _ in 0..10 {
        assert!(mesh.version().await.ends_with("greeter:2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_runs_instead_of_the_declared_one_is_planned_and_explained() {
    let mesh = Mesh::new().await;
    let _hosts = mesh.hosts::<2>().await;
    mesh.apply(&greeter("greeter:1", 2)).await;
    mesh.until("two serve", || mesh.serving("greeter").len() == 2)
        .await;
    sleep(Duration::from_secs(10)).await;
    mesh.record.trouble("greeter:2", Trouble::Away);
    mesh.apply(&greeter("greeter:2", 2)).await;
    sleep(Duration::from_secs(10)).await;
    let app = App::from_toml("app.toml", &greeter("greeter:2", 2)).expect("a manifest");
    let plan = mesh.lattice.plan(&app).await.expect("planned");
    assert!(plan.is_empty(), "{plan}");
    let runs = Warning::OtherVersion {
        id: greeter_id(),
        runs: "2 of oci:reg.example/greeter:1".to_owned(),
    };
    assert!(plan.warnings.contains(&runs), "{plan}");
    let line = "\n  ! actor `greeter`: hosts run 2 of oci:reg.example/greeter:1, in addition to or instead of the declared version\n";
    assert!(plan.to_string().contains(line), "{plan}");

    mesh.record.heal();
    sleep(Duration::from_mins(3)).await;
    assert!(mesh.version().await.ends_with("greeter:2"));
    let plan = mesh.lattice.plan(&app).await.expect("planned");
    assert!(!plan.to_string().contains("hosts run"), "{plan}");

    mesh.apply(&greeter("broken:3", 2)).await;
    mesh.until("it is rejected", || mesh.rejected().is_some())
        .await;
    sleep(Duration::from_secs(10)).await;
    let subject = Subject::Component(greeter_id());
    let why = mesh.lattice.explain(&subject).await.to_string();
    let runs = "the last version of `greeter` failed to start (it is broken; fix it) and was rolled back, and oci:reg.example/greeter:2 runs; apply one that starts";
    assert!(why.contains(runs), "{why}");
}
