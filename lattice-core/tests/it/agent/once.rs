//! Components that run once: a lease decides which host runs them.

use super::*;

const APP: &str = "name = \"shop\"\n[providers.ledger]\nbuiltin = \"ledger\"\nrun = \"once\"\n";

#[tokio::test(start_paused = true)]
async fn one_replica_runs_at_a_time_and_another_host_takes_over() {
    let mesh = Mesh::new().await;
    let mut hosts = Vec::from(mesh.hosts::<3>().await);
    mesh.apply(APP).await;
    let most = Arc::new(AtomicUsize::new(0));
    let watching = {
        let (live, most) = (mesh.live.clone(), most.clone());
        tokio::spawn(async move {
            loop {
                most.fetch_max(live.load(Ordering::SeqCst), Ordering::SeqCst);
                sleep(Duration::from_millis(1)).await;
            }
        })
    };
    for left in (0..3).rev() {
        mesh.until("one serves", || mesh.serving("ledger").len() == 1)
            .await;
        mesh.call("ledger").await.expect("a result");
        sleep(Duration::from_secs(5)).await;
        if left == 0 {
            break;
        }
        let holder = mesh.serving("ledger").into_keys().next().expect("one");
        let at = hosts
            .iter()
            .position(|host| host.node.host_id().as_str() == holder);
        let dead = hosts.remove(at.expect("it is one of the hosts"));
        dead.node.kill();
        drop(dead);
        mesh.until("the dead one is forgotten", || {
            !mesh.serving("ledger").contains_key(&holder)
        })
        .await;
    }
    watching.abort();
    assert_eq!(most.load(Ordering::SeqCst), 1, "never two");
}

#[tokio::test(start_paused = true)]
async fn a_singleton_moves_when_its_host_leaves() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<2>().await;
    mesh.apply(APP).await;
    mesh.until("one serves", || mesh.serving("ledger").len() == 1)
        .await;
    let first = mesh.serving("ledger").into_keys().next().expect("one");
    let host = hosts
        .iter()
        .find(|host| host.node.host_id().as_str() == first);
    let host = host.expect("it is one of the hosts");
    assert!(
        host.agent
            .shutdown(Duration::from_secs(10))
            .await
            .is_clean(),
        "in time"
    );
    assert!(host.node.shutdown(Duration::from_secs(1)).await.is_clean());
    mesh.until("the other host serves", || {
        let serving = mesh.serving("ledger");
        serving.len() == 1 && !serving.contains_key(&first)
    })
    .await;
    mesh.call("ledger").await.expect("a result");
}
