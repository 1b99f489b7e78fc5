//! A store that is unreachable, or works only sometimes: every operation ends with a true result.

use super::*;
use futures_util::future::join;
use lattice_core::{
    links::{DeleteError, ReportError, WriteError},
    replica::ReplicaState,
    store::{RecordError, StoreError},
    type_store::{PublishError, TypesError},
};
use lattice_sim::fault::{FaultStore, StoreFaults};
use tokio::time::{sleep, timeout};

/// Longer than any operation may take: five seconds of attempts, one second until the write is
/// visible, and a call to the store.
const PATIENCE: Duration = Duration::from_secs(8);

/// Creates a node that reaches the store through injected faults.
async fn faulty(store: &MemoryStore, seed: u64) -> (Node, FaultStore) {
    let way = FaultStore::new(Arc::new(store.clone()), seed);
    (Node::over(store, Arc::new(way.clone()), 1).await, way)
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it ends in time")
}

fn is_out_of_reach(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::Types(StoreError::Unavailable(_))
            | LinkError::Write(WriteError::Store(StoreError::Unavailable(_)))
    )
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_and_known_links_stay() {
    let store = MemoryStore::new();
    let ((node, way), other) = (faulty(&store, 1).await, Node::join(&store).await);
    let put = node.links.put(link("front", "back")).await.expect("put");
    node.links.put(link("other", "back")).await.expect("put");
    let known = node.links.list();
    way.partition();

    for refused in [
        in_time(node.links.put(link("new", "back"))).await,
        in_time(node.links.put(link("front", "elsewhere"))).await,
        in_time(node.links.replace(link("front", "elsewhere"))).await,
        in_time(node.links.update(link("front", "elsewhere"), put.revision)).await,
    ] {
        let error = refused.expect_err("out of reach");
        assert!(is_out_of_reach(&error), "{error:?}");
    }
    let deleted = in_time(node.links.delete(&put.key)).await;
    assert!(
        matches!(deleted, Err(DeleteError::Write(WriteError::Store(_)))),
        "{deleted:?}"
    );
    let h = host("h");
    let report = node
        .links
        .report(&h, &put.key, put.revision, LinkStatus::Active);
    let reported = in_time(report).await;
    assert!(
        matches!(reported, Err(ReportError::Write(WriteError::Store(_)))),
        "{reported:?}"
    );
    let types = exporting("get", "func()");
    let published = in_time(node.types.publish(&id("back"), &types)).await;
    assert!(
        matches!(published, Err(PublishError::Store { .. })),
        "{published:?}"
    );
    let read = in_time(node.types.of(&id("back"))).await;
    assert!(matches!(read, Err(TypesError::Store(_))), "{read:?}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(node.replica.health().state, ReplicaState::Lost);
    assert_eq!(node.links.list(), known);

    // Meanwhile the others continue.
    let theirs = other.links.replace(link("front", "elsewhere")).await;
    let theirs = theirs.expect("replaced");
    assert_eq!(node.links.list(), known);
    way.heal();
    node.sees(theirs.revision).await;
    assert_eq!(node.links.list(), other.links.list());
    assert_eq!(node.replica.health().state, ReplicaState::Following);
    let error = node.links.put(link("front", "back")).await;
    let error = error.expect_err("their link exists");
    assert!(
        matches!(&error, LinkError::Conflict { existing } if *existing == theirs),
        "{error:?}"
    );
    node.links.put(link("new", "back")).await.expect("put");
}

/// Returns a link that only one node writes.
struct Own<'n> {
    node: &'n Node,
    link: Link,
    target: Option<ComponentId>,
}

impl Own<'_> {
    /// Reads the target of a link from the store itself.
    async fn found(&self) -> Option<ComponentId> {
        let store = Arc::new(self.node.store.clone());
        let incarnation = store.incarnation().await.expect("there");
        let entry = store.read(store_key(&self.link)).await.expect("read")?;
        let record = Records::new(store, auth(1)).decode::<Link>(incarnation, &entry);
        if let Err(RecordError::Removed { .. }) = record {
            return None;
        }
        Some(record.expect("a link").body.target)
    }

    async fn put(&mut self, target: &str) {
        self.link.target = id(target);
        let ended = in_time(self.node.links.replace(self.link.clone())).await;
        let error = ended.as_ref().err().inspect(|error| is_honest(error));
        let wrote_nothing = match error {
            Some(LinkError::Write(error)) => wrote_nothing(error),
            _ => true,
        };
        let target = Some(self.link.target.clone());
        self.check(ended.is_ok(), wrote_nothing, target).await;
    }

    async fn delete(&mut self) {
        let ended = in_time(self.node.links.delete(&self.link.key())).await;
        let wrote_nothing = match &ended {
            Err(DeleteError::Write(error)) => {
                is_store_trouble(error);
                wrote_nothing(error)
            }
            Err(DeleteError::NotFound { .. }) => self.target.is_none(),
            _ => true,
        };
        self.check(ended.is_ok(), wrote_nothing, None).await;
    }

    /// Checks that the store contains the result that an operation returned.
    async fn check(&mut self, ok: bool, wrote_nothing: bool, new: Option<ComponentId>) {
        let found = self.found().await;
        if ok {
            assert_eq!(found, new);
        } else if wrote_nothing {
            assert_eq!(
                found, self.target,
                "the operation returned that nothing was written"
            );
        } else {
            assert!(found == new || found == self.target, "{found:?}");
        }
        self.target = found;
    }
}

/// Makes random writes, to a private link and to one that all nodes write.
async fn scrawl(node: &Node, name: &str, mut dice: Dice) {
    let mut own = Own {
        node,
        link: link(name, "t0"),
        target: None,
    };
    for _ in 0..30 {
        let target = format!("t{}", dice.below(3));
        let shared = link("shared", &target);
        let ended = in_time(node.links.replace(shared.clone())).await;
        let _ = ended.inspect_err(is_honest);
        if dice.below(3) == 0 {
            // Another node may have put it again, or deleted it.
            match in_time(node.links.delete(&shared.key())).await {
                Ok(()) | Err(DeleteError::NotFound { .. }) => {}
                Err(DeleteError::Write(error)) => is_store_trouble(&error),
                Err(error) => panic!("{error:?}"),
            }
            own.delete().await;
        } else {
            own.put(&target).await;
        }
    }
}

fn is_honest(error: &LinkError) {
    match error {
        LinkError::Types(_) => {}
        LinkError::Write(error) => is_store_trouble(error),
        error => panic!("{error:?}"),
    }
}

fn is_store_trouble(error: &WriteError) {
    let expected = !matches!(
        error,
        WriteError::Refused(_) | WriteError::Unreadable { .. } | WriteError::Unencodable(_)
    );
    assert!(expected, "{error:?}");
}

/// Returns the outcome that the error states.
fn wrote_nothing(error: &WriteError) -> bool {
    matches!(
        error,
        WriteError::Store(_) | WriteError::Contended { .. } | WriteError::Behind { .. }
    )
}

#[tokio::test(start_paused = true)]
async fn with_a_faulty_store_errors_are_true_and_all_replicas_converge() {
    for seed in 0..40 {
        let _seed = Seed(seed);
        let store = MemoryStore::new();
        let (one, one_way) = faulty(&store, 2 * seed).await;
        let (other, other_way) = faulty(&store, 2 * seed + 1).await;
        for way in [&one_way, &other_way] {
            let faults = StoreFaults::none()
                .failing(0.1)
                .losing_answers(0.2)
                .delaying(0.3, Duration::from_millis(100))
                .breaking_watches(0.1);
            way.set(faults);
        }
        join(
            scrawl(&one, "one", Dice(seed)),
            scrawl(&other, "other", Dice(!seed)),
        )
        .await;
        for way in [&one_way, &other_way] {
            way.set(StoreFaults::none());
        }
        let last = store.commit(vec![Op::put(StoreKey::for_test("end"), "", Expect::Any)]);
        let last = last.await.expect("written");
        let fresh = Node::join(&store).await;
        for node in [&one, &other, &fresh] {
            node.sees(last).await;
            assert_eq!(node.links.list(), fresh.links.list());
        }
        assert!(one_way.counts().answers_lost > 0 && one_way.counts().broken > 0);
    }
}
