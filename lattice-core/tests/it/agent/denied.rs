//! Hosts that the store doesn't permit to write leases.

use super::{lost_leases::Way, *};
use lattice_core::{agent::Phase, constellation::Subject};
use std::sync::atomic::AtomicBool;

const APP: &str = "name = \"shop\"\n[providers.ledger]\nbuiltin = \"ledger\"\nrun = \"once\"\n";

/// Returns a process of its own, and what makes the store deny its leases.
async fn process(network: &MemoryNetwork, store: &MemoryStore) -> (Mesh, Arc<AtomicBool>) {
    let way = Way::shared(store);
    let denies = way.denies();
    let lattice = Lattice::on(Arc::new(network.connect()), Arc::new(way), "dev");
    let lattice = lattice.trust_bus().await.expect("it opens");
    let mesh = Mesh {
        lattice,
        ..Mesh::new().await
    };
    (mesh, denies)
}

#[tokio::test(start_paused = true)]
async fn a_host_that_may_not_write_leases_leaves_what_runs_once_to_others() {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let (mesh, denies_one) = process(&network, &store).await;
    let (other, denies_two) = process(&network, &store).await;
    let _hosts = [mesh.host("one").await, other.host("two").await];
    mesh.counted(2).await;
    other.counted(2).await;
    mesh.apply(APP).await;
    mesh.until("one serves", || mesh.serving("ledger").len() == 1)
        .await;
    let first = mesh.serving("ledger").into_keys().next().expect("one");
    let denies = if first == "one" {
        denies_one
    } else {
        denies_two
    };

    denies.store(true, Ordering::SeqCst);
    mesh.until("the other host serves", || {
        let serving = mesh.serving("ledger");
        serving.len() == 1 && !serving.contains_key(&first)
    })
    .await;
    mesh.call("ledger").await.expect("a result");
    // It is the same host that placement prefers, so it gets its share back.
    denies.store(false, Ordering::SeqCst);
    mesh.until("the first one serves again", || {
        let serving = mesh.serving("ledger");
        serving.len() == 1 && serving.contains_key(&first)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_alone_and_may_not_write_leases_says_so() {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let (mesh, denies) = process(&network, &store).await;
    denies.store(true, Ordering::SeqCst);
    let host = mesh.host("one").await;
    mesh.counted(1).await;
    mesh.apply(APP).await;
    let ledger = ComponentId::new("ledger").expect("valid");
    mesh.until("it says why it waits", || {
        let state = host.agent.state();
        state.components.get(&ledger).is_some_and(|kept| {
            let reason = kept.reason.as_deref().unwrap_or_default();
            kept.status.phase == Phase::WaitingForLease && reason.contains("may not publish")
        })
    })
    .await;
    let subject = Subject::Component(ledger);
    let sentence = "host `one` can't take the lease of `ledger`, which runs once, because the store doesn't permit it (the user may not publish there); let that host's user write to the store";
    let explained = timeout(Duration::from_secs(120), async {
        while !mesh
            .lattice
            .explain(&subject)
            .await
            .to_string()
            .contains(sentence)
        {
            sleep(Duration::from_millis(100)).await;
        }
    });
    explained.await.expect("it is explained");

    denies.store(false, Ordering::SeqCst);
    mesh.until("it serves", || mesh.serving("ledger").len() == 1)
        .await;
}
