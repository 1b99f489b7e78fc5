//! A host that starts while its server is unavailable, from the state of its previous process.

use super::{
    nats::{NatsConfig, NatsServer},
    *,
};

/// Enough replicas that each of two hosts has a share.
const ACTORS: usize = 12;

async fn server() -> NatsServer {
    NatsConfig::default().jetstream().start().await
}

fn app() -> String {
    let actors = (0..ACTORS).map(|n| format!("[actors.a{n}]\nimage = \"reg.example/a{n}:1\"\n"));
    format!("name = \"shop\"\n{}", actors.collect::<String>())
}

fn all() -> BTreeSet<String> {
    (0..ACTORS).map(|n| format!("a{n}")).collect()
}

/// Returns how often an actor was started.
fn starts_of(name: &str, starts: &[String]) -> usize {
    let image = format!("reg.example/{name}:1");
    let of_it = starts.iter().filter(|start| start.ends_with(&image));
    of_it.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_starts_without_a_server_runs_its_share_and_keeps_it_later() {
    let mut server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let nats = NatsOptions::new(server.url());
    let a = Process::start("a", "x", nats.clone(), Some(&one)).await;
    let b = Process::start("b", "x", nats.clone(), Some(&two)).await;
    until("both hosts are known", async || {
        [&a, &b]
            .iter()
            .all(|host| host.lattice.peers().iter().count() == 2)
    })
    .await;
    apply(&a.lattice, &app()).await;
    let shared = async || {
        let (of_a, of_b) = (a.serves(), b.serves());
        of_a.is_disjoint(&of_b) && &of_a | &of_b == all()
    };
    until("each has its share", shared).await;
    let (of_a, of_b) = (a.serves(), b.serves());
    assert!(!of_a.is_empty() && !of_b.is_empty(), "{of_a:?} {of_b:?}");
    // A power failure stops all hosts.
    server.kill();
    drop((a, b));

    let a = Process::start("a", "x", nats.clone(), Some(&one)).await;
    let from = a.state();
    assert!(matches!(from, ReplicaState::Snapshot { .. }), "{from:?}");
    until("it runs its earlier share", async || a.serves() == of_a).await;
    let mut calls = Vec::new();
    for component in &of_a {
        let name: &'static str = component.clone().leak();
        calls.push(Calls::of(&a.lattice, name).await);
    }
    let absent = of_b.first().expect("one");
    call(&a.lattice, absent).await.expect_err("it is not here");
    let b = Process::start("b", "x", nats, Some(&two)).await;
    until("so does the other host", async || b.serves() == of_b).await;
    assert_eq!(a.serves(), of_a, "no host took over a component");
    assert_eq!(
        a.record.all().len(),
        of_a.len(),
        "each component was started once"
    );

    server.restart().await;
    until("both follow the store", async || {
        [&a, &b].map(Process::state) == [ReplicaState::Following; 2]
    })
    .await;
    until("each sees all of it", async || {
        let sees_all = |host: &Process| {
            host.lattice.peers().iter().count() == 2
                && all()
                    .iter()
                    .all(|name| serving(&host.lattice, name).len() == 1)
        };
        sees_all(&a) && sees_all(&b)
    })
    .await;
    assert_eq!((a.serves(), b.serves()), (of_a.clone(), of_b.clone()));
    call(&a.lattice, absent)
        .await
        .expect("a reply of the other host");
    for calls in calls {
        calls.all_succeeded().await;
    }
    let starts = a.record.all();
    let again = of_a.iter().filter(|name| starts_of(name, &starts) > 1);
    assert_eq!(
        again.count(),
        0,
        "no running component was stopped: {starts:?}"
    );
}
