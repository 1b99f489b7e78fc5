//! Explanations of why a component doesn't run or can't be reached, and what to do.

use super::*;
use lattice_core::{
    constellation::{ComponentStatus, Finding, Phase},
    link::{Link, LinkKey, Locality},
    name::{AppName, HostId},
    node::{Node, NodeOptions},
    store::{Expect, MemoryStore, Op, Store, StoreKey},
};
use lattice_sim::fault::FaultStore;
use std::{sync::Arc, time::Duration};

fn greeter(more: &str) -> String {
    format!("name = \"shop\"\n[actors.greeter]\nimage = \"{IMAGE}\"\n{more}")
}

async fn why_link(lattice: &Lattice, key: &LinkKey) -> Explanation {
    lattice.explain(&Subject::Link(key.clone())).await
}

async fn why_app(lattice: &Lattice, name: &str) -> Explanation {
    let name = AppName::new(name).expect("valid");
    lattice.explain(&Subject::App(name)).await
}

async fn say(lattice: &Lattice, host: &Node, component: &str, status: ComponentStatus) {
    host.set_status(&id(component), status.clone());
    let constellation = lattice.constellation();
    eventually("the status is reported", async || {
        let view = constellation.snapshot();
        let component = id(component);
        let mut replicas = view.replicas_of(&component);
        replicas.any(|replica| replica.phase == status.phase && replica.host == *host.host_id())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn explanations_cover_every_step_from_undeclared_to_serving() {
    let lattice = lattice().await;
    fault(
        &why(&lattice, "greeter").await,
        "component `greeter` needs attention\n- `greeter` is neither declared nor served; declare it in an app",
    );
    apply(&lattice, &greeter("require = { zone = \"eu\" }\n")).await;
    fault(&why(&lattice, "greter").await, "did you mean `greeter`?");
    fault(
        &why(&lattice, "greeter").await,
        "no host can run `greeter`: no host takes work; start one",
    );
    let us = NodeOptions::default()
        .host("us")
        .expect("valid")
        .label("zone", "us");
    let us = lattice.node(us).await.expect("it joins");
    let _us = takes_work(&lattice, &us).await;
    eventually("it is seen", async || {
        lattice.constellation().snapshot().hosts.len() == 1
    })
    .await;
    fault(
        &why(&lattice, "greeter").await,
        "no host can run `greeter`: no host has label `zone=eu`; give it to one, or change `require`",
    );
    let eu = NodeOptions::default()
        .host("eu")
        .expect("valid")
        .label("zone", "eu");
    let eu = lattice.node(eu).await.expect("it joins");
    let _eu = takes_work(&lattice, &eu).await;
    eventually("it is seen", async || {
        let view = lattice.constellation().snapshot();
        view.hosts
            .get(&host_id("eu"))
            .is_some_and(|host| host.load.is_some())
    })
    .await;
    let waits = why(&lattice, "greeter").await;
    let wanted = Finding::NotBegun {
        component: id("greeter"),
        host: host_id("eu"),
    };
    assert_eq!(
        (waits.severity, waits.findings),
        (Severity::Waiting, vec![wanted])
    );

    say(
        &lattice,
        &eu,
        "greeter",
        ComponentStatus::new(Phase::Starting),
    )
    .await;
    let starts = why(&lattice, "greeter").await.to_string();
    assert_eq!(
        starts,
        "component `greeter` is not ready yet\n- `greeter` is starting on host `eu`; check again in some seconds"
    );
    let (_api, _serving) = serve(&eu, "greeter").await;
    eu.clear_status(&id("greeter"));
    eventually("it serves", async || {
        why(&lattice, "greeter").await.severity == Severity::Fine
    })
    .await;
    let fine = why(&lattice, "greeter").await.to_string();
    assert_eq!(
        fine,
        "component `greeter` has no problems\n- `greeter` serves on `eu`"
    );
}

#[tokio::test(start_paused = true)]
async fn each_phase_has_its_own_explanation() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let b = host(&lattice, "b").await;
    apply(&lattice, &greeter("replicas = 2\n")).await;
    let (_api, _serving) = serve(&b, "greeter").await;
    let golden = [
        (
            Phase::CrashLooping { failures: 3 },
            "`greeter` failed 3 times in a row on host `a` (out of memory); fix the cause, and it restarts by itself, or apply a version that starts",
        ),
        (
            Phase::Rejected,
            "the last version of `greeter` failed to start on host `a` (out of memory) and was rolled back; apply one that starts",
        ),
        (
            Phase::Updating,
            "the next version of `greeter` is starting on host `a` (out of memory), and the previous one serves; check again in some seconds",
        ),
        (
            Phase::HandingOver,
            "host `a` serves `greeter` until another host has taken over (out of memory); if that lasts, find out why the other host does not start it",
        ),
        (
            Phase::WaitingForLease,
            "host `a` waits for the lease of `greeter`, which runs once and is held by `b`; it starts within seconds after the holder has stopped",
        ),
        (
            Phase::Draining,
            "`greeter` finishes its last calls on host `a` and takes no new ones; wait until it is gone",
        ),
    ];
    for (phase, sentence) in golden {
        let status = ComponentStatus::new(phase).reason("out of memory");
        say(&lattice, &a, "greeter", status).await;
        let text = why(&lattice, "greeter").await.to_string();
        assert!(text.contains(&format!("- {sentence}")), "{phase}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn missing_rejected_and_unserved_links_are_explained() {
    let lattice = lattice().await;
    let key = grant("front", "callee").key();
    fault(
        &why_link(&lattice, &key).await,
        "there is no link front -> test:calls/api@0.1 (default); declare it",
    );
    let named = grant("front", "callee").named("other").expect("a name");
    lattice.links().put(named).await.expect("put");
    fault(
        &why_link(&lattice, &key).await,
        "only `front -> test:calls/api@0.1 (other)`",
    );

    link(&lattice, "front", "callee").await;
    let unserved = why_link(&lattice, &key).await;
    fault(&unserved, "`callee` is neither declared nor served");
    fault(&unserved, "no host of `callee` has accepted the link");

    let b = host(&lattice, "b").await;
    let (api, serving) = serve(&b, "callee").await;
    eventually("it is accepted", async || {
        why_link(&lattice, &key).await.severity == Severity::Fine
    })
    .await;
    drop(serving);
    drop(api);
    let other = Link::new("front", "test:calls/other@0.1.0", "late").expect("a link");
    lattice
        .links()
        .put(other.clone())
        .await
        .expect("its types are not known yet");
    let (_api, _serving) = serve(&b, "late").await;
    fault(
        &why_link(&lattice, &other.key()).await,
        "component `late` does not export `test:calls/other@0.1.0`, only `test:calls/api@0.1.0`",
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejected_link_is_explained_with_its_reason() {
    let lattice = lattice().await;
    let b = host(&lattice, "b").await;
    let (api, _serving) = serve(&b, "callee").await;
    *api.refuse.lock().expect("not poisoned") = Some("no such bucket".to_owned());
    link(&lattice, "front", "callee").await;
    let key = grant("front", "callee").key();
    eventually("it is rejected", async || {
        let text = why_link(&lattice, &key).await.to_string();
        text.contains("`callee` refuses the link front -> test:calls/api@0.1 (default) (no such bucket); change the link's config")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_local_link_between_hosts_is_explained() {
    let lattice = lattice().await;
    let (a, b) = (host(&lattice, "a").await, host(&lattice, "b").await);
    let (_front, _serving_front) = serve(&a, "front").await;
    let (_back, _serving_back) = serve(&b, "back").await;
    let local = grant("front", "back").locality(Locality::LocalOnly);
    lattice.links().put(local.clone()).await.expect("put");
    eventually("both serve", async || {
        lattice.constellation().snapshot().replicas.len() == 2
    })
    .await;
    fault(
        &why_link(&lattice, &local.key()).await,
        "no host serves both `front` and `back`; have them run on the same hosts",
    );
}

#[tokio::test(start_paused = true)]
async fn an_app_is_explained_by_its_parts() {
    let lattice = lattice().await;
    fault(
        &why_app(&lattice, "shop").await,
        "there is no app `shop`; apply its manifest",
    );
    let a = host(&lattice, "a").await;
    let _works = takes_work(&lattice, &a).await;
    apply(&lattice, &greeter("[providers.kv]\nbuiltin = \"keyvalue\"\n[[links]]\nfrom = \"greeter\"\nto = \"kv\"\ninterface = \"test:calls/api@0.1.0\"\n")).await;
    let (_kv, _serving_kv) = serve(&a, "kv").await;
    say(
        &lattice,
        &a,
        "greeter",
        ComponentStatus::new(Phase::CrashLooping { failures: 2 }),
    )
    .await;
    let app = why_app(&lattice, "shop").await;
    fault(
        &app,
        "app `shop` needs attention\n- `greeter` failed 2 times in a row on host `a`",
    );
    fault(&app, "app `shop` has 2 components and 1 link");
    a.clear_status(&id("greeter"));
    let (_greeter, _serving) = serve(&a, "greeter").await;
    eventually("all is well", async || {
        why_app(&lattice, "shop").await.severity == Severity::Fine
    })
    .await;
    fault(&why_app(&lattice, "shap").await, "did you mean `shop`?");
    let link = lattice.links().list()[0].key.clone();
    lattice.links().delete(&link).await.expect("deleted");
    eventually("the missing link is reported", async || {
        let text = why_app(&lattice, "shop").await.to_string();
        text.contains("app `shop` owns `link.greeter.test=3acalls=2fapi=400=2e1.default`, which is not in the store; apply it again")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_app_is_as_it_should_be_apart_from_links_to_what_others_have_to_serve() {
    let lattice = lattice().await;
    let a = host(&lattice, "a").await;
    let _works = takes_work(&lattice, &a).await;
    let link = "to = \"store\"\ninterface = \"test:calls/api@0.1.0\"\n";
    let (own, from_outside) = (
        format!("[[links]]\nfrom = \"greeter\"\n{link}"),
        format!("[[links]]\nfrom = \"visitor\"\n{link}"),
    );
    let app =
        format!("external = [\"store\", \"visitor\"]\n[actors.greeter]\nimage = \"{IMAGE}\"\n");
    apply(
        &lattice,
        &format!("name = \"shop\"\n{app}{own}{from_outside}"),
    )
    .await;
    let waits = why_app(&lattice, "shop").await.to_string();
    assert!(
        !waits.contains("has no problems"),
        "its actor is missing: {waits}"
    );
    let (_greeter, _serving) = serve(&a, "greeter").await;
    let beginning = "app `shop` has no problems, apart from links to `store`\n";
    eventually("only the target is missing", async || {
        let text = why_app(&lattice, "shop").await.to_string();
        text.starts_with(beginning)
    })
    .await;
    let why = why_app(&lattice, "shop").await;
    assert_eq!(why.severity, Severity::Waiting);
    let text = why.to_string();
    let reason = "leads to `store`, which its app doesn't declare and no host serves; serve `store` from a program, or apply an app that declares it";
    assert_eq!(text.matches(reason).count(), 2, "{text}");
    let (_store, _serving_store) = serve(&a, "store").await;
    eventually("all is well", async || {
        let why = why_app(&lattice, "shop").await;
        why.severity == Severity::Fine
            && why.to_string().starts_with("app `shop` has no problems\n")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_record_and_a_lost_store_are_explained() {
    let memory = MemoryStore::new();
    let faults = FaultStore::new(Arc::new(memory.clone()), 1);
    let faults = Arc::new(faults);
    let store: Arc<dyn Store> = faults.clone();
    let bus = Arc::new(lattice_core::bus::memory::MemoryNetwork::new().connect());
    let lattice = Lattice::on(bus, store, "test")
        .trust_bus()
        .await
        .expect("it joins");
    let op = Op::put(StoreKey::actor(&id("greeter")), "garbage", Expect::Any);
    memory.commit(vec![op]).await.expect("written");
    eventually("it is reported", async || {
        !lattice.constellation().snapshot().unreadable.is_empty()
    })
    .await;
    fault(
        &why(&lattice, "greeter").await,
        "the record `actor.greeter` can't be read: ",
    );
    faults.partition();
    eventually("its loss is reported", async || {
        let text = why(&lattice, "greeter").await.to_string();
        text.contains("the store is out of reach from here")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_explanation_waits_briefly_for_the_hosts() {
    let lattice = lattice().await;
    let _hosts: Vec<Node> = {
        let mut hosts = Vec::new();
        for n in 0..5 {
            hosts.push(host(&lattice, &format!("h{n}")).await);
        }
        hosts
    };
    let began = tokio::time::Instant::now();
    let view = lattice.constellation().settled().await;
    assert!(
        began.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        began.elapsed()
    );
    let heard: Vec<&HostId> = view
        .hosts
        .values()
        .filter(|host| host.load.is_some())
        .map(|host| &host.id)
        .collect();
    assert_eq!(heard.len(), 5);
}
