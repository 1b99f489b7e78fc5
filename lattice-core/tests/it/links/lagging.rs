//! Processes whose copy of the store is so old that others would refuse what they write.

use super::*;
use crate::lagging::{Delivery, Lagging, write_a_lot};
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::sleep;

/// A process that was up to date, and another one that is far behind the store.
struct Pair {
    store: MemoryStore,
    node: Node,
    way: Arc<Lagging>,
    late: Arc<Node>,
}

impl Pair {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let node = Node::join(&store).await;
        let way = Lagging::on(&store);
        let late = Arc::new(Node::over(&store, way.clone(), 1).await);
        Self {
            store,
            node,
            way,
            late,
        }
    }

    async fn is_written(&self, link: &Link) -> bool {
        let read = self.store.read(store_key(link)).await;
        read.expect("in reach").is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_was_put_by_a_process_far_behind_is_accepted_by_every_process() {
    for reports in [true, false] {
        let pair = Pair::new().await;
        pair.way.reports.store(reports, Relaxed);
        pair.way.set(Delivery::Lags);
        write_a_lot(&pair.store).await;
        let a = link("front", "back");
        let putting = tokio::spawn({
            let (late, a) = (pair.late.clone(), a.clone());
            async move { late.links.put(a).await }
        });
        // Longer than a process waits for its own write.
        sleep(Duration::from_secs(2)).await;
        pair.way.set(Delivery::Works);
        let put = putting.await.expect("no panic").expect("put");
        pair.node.sees(put.revision).await;
        assert_eq!(pair.node.links.get(&a.key()), Some(put));
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stays_far_behind_does_not_write() {
    let pair = Pair::new().await;
    let (a, b) = (link("front", "back"), link("other", "back"));
    pair.late.links.put(b.clone()).await.expect("put");
    pair.way.set(Delivery::Lags);
    write_a_lot(&pair.store).await;
    let failed = pair.late.links.put(a.clone()).await.expect_err("behind");
    assert!(
        matches!(failed, LinkError::Write(WriteError::Behind { .. })),
        "{failed:?}"
    );
    let failed = pair.late.links.delete(&b.key()).await.expect_err("behind");
    assert!(
        matches!(failed, DeleteError::Write(WriteError::Behind { .. })),
        "{failed:?}"
    );
    assert!(!pair.is_written(&a).await);
    assert!(pair.node.links.get(&b.key()).is_some());

    // Where the store doesn't report its revision, the answer to the write shows it. What was
    // written has no effect.
    pair.way.reports.store(false, Relaxed);
    let failed = pair.late.links.put(a.clone()).await.expect_err("behind");
    assert!(
        matches!(failed, LinkError::Write(WriteError::Unknown { .. })),
        "{failed:?}"
    );
    assert!(pair.is_written(&a).await);
    assert_eq!(pair.node.links.get(&a.key()), None);
    pair.way.set(Delivery::Works);
    let put = pair.late.links.put(a.clone()).await.expect("put");
    pair.node.sees(put.revision).await;
    assert_eq!(pair.node.links.get(&a.key()), Some(put));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_follow_the_store_does_not_write() {
    let pair = Pair::new().await;
    let a = link("front", "back");
    pair.way.set(Delivery::Lost);
    // Long enough to receive that.
    sleep(Duration::from_millis(10)).await;
    let failed = pair.late.links.put(a.clone()).await.expect_err("behind");
    assert!(
        matches!(failed, LinkError::Write(WriteError::Behind { .. })),
        "{failed:?}"
    );
    assert!(!pair.is_written(&a).await);
    pair.way.set(Delivery::Works);
    let put = pair.late.links.put(a.clone()).await.expect("put");
    pair.node.sees(put.revision).await;
    assert_eq!(pair.node.links.get(&a.key()), Some(put));
}
