//! The reports of a target's hosts on a link.

use super::*;
use futures_util::future::join_all;
use lattice_core::links::ReportError;

#[tokio::test(start_paused = true)]
async fn reports_of_many_hosts_are_kept_until_the_link_changes() {
    let store = MemoryStore::new();
    let nodes = join_all((0..4).map(|_| Node::join(&store))).await;
    let links = &nodes[0].links;
    let put = links.put(link("front", "back")).await.expect("put");
    for node in &nodes {
        node.sees(put.revision).await;
    }
    let (key, revision) = ((*put.key).clone(), put.revision);
    let refusals = nodes.iter().enumerate().map(|(n, node)| {
        let host = host(&format!("h{n}"));
        let key = &key;
        async move {
            node.links
                .report(&host, key, revision, LinkStatus::rejected("no bucket"))
                .await
        }
    });
    for reported in join_all(refusals).await {
        reported.expect("reported");
    }
    let last = store
        .read(status_key(&put.link))
        .await
        .expect("read")
        .expect("there")
        .revision;
    nodes[0].sees(last).await;
    let entry = links.get(&key).expect("there");
    assert_eq!(entry.status, LinkStatus::rejected("no bucket"));
    assert_eq!((entry.reports.len(), entry.revision), (4, put.revision));
    links
        .report(&host("h9"), &key, put.revision, LinkStatus::Active)
        .await
        .expect("reported");
    assert_eq!(links.get(&key).expect("there").status, LinkStatus::Active);

    let next = links
        .replace(link("front", "elsewhere"))
        .await
        .expect("replaced");
    assert_eq!(next.status, LinkStatus::Pending);
    assert_eq!(
        store.read(status_key(&next.link)).await.expect("read"),
        None
    );
    let late = links
        .report(&host("h9"), &key, put.revision, LinkStatus::Active)
        .await;
    assert!(
        matches!(late, Err(ReportError::Outdated { .. })),
        "{late:?}"
    );
    links
        .report(&host("h9"), &key, next.revision, LinkStatus::Active)
        .await
        .expect("reported");
    links.delete(&key).await.expect("deleted");
    assert_eq!(
        store.read(status_key(&next.link)).await.expect("read"),
        None
    );
    let late = links
        .report(&host("h9"), &key, next.revision, LinkStatus::Active)
        .await;
    assert!(
        matches!(late, Err(ReportError::Outdated { .. })),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_overwrites_a_malformed_one() {
    let node = Node::join(&MemoryStore::new()).await;
    let put = node.links.put(link("front", "back")).await.expect("put");
    node.scribble(status_key(&put.link), "garbage").await;
    node.links
        .report(&host("h"), &put.key, put.revision, LinkStatus::Active)
        .await
        .expect("reported");
    assert_eq!(
        node.links.get(&put.key).expect("there").status,
        LinkStatus::Active
    );
}
