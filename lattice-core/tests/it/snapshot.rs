//! The last snapshot on disk: the state of a process while the server is unavailable, and after its
//! return.

use crate::{nats, support::*};
use lattice_core::{
    ConnectError, Lattice,
    auth::LatticeKey,
    call::CallError,
    link::LinkEntry,
    links::{LinkError, WriteError},
    replica::ReplicaState,
    server::{ServeError, ServeHandle},
    store::{Revision, StoreError, disk::OpenError},
};
use std::{path::Path, sync::Arc};

fn key() -> LatticeKey {
    LatticeKey::from_hex(&"5a".repeat(32)).expect("a key")
}

async fn server() -> nats::NatsServer {
    nats::NatsConfig::default().jetstream().start().await
}

/// Opens a connection that keeps its last snapshot.
async fn join(url: &str, path: &Path) -> Lattice {
    let connect = Lattice::connect(url, "prod").key(key()).snapshot(path);
    connect.await.expect("it connects")
}

async fn join_plainly(url: &str) -> Lattice {
    let connect = Lattice::connect(url, "prod").key(key());
    connect.await.expect("it connects")
}

async fn serve_on(lattice: &Lattice, name: &str) -> Result<ServeHandle, ServeError> {
    let service = Arc::new(Serve(Arc::default()));
    lattice.serve(id(name), service).await
}

async fn say_from(lattice: &Lattice, caller: &str) -> Outcome {
    say(&lattice.caller(caller).expect("an id")).await
}

fn state(lattice: &Lattice) -> ReplicaState {
    lattice.replica().health().state
}

async fn follows(lattice: &Lattice) {
    let following = async || state(lattice) == ReplicaState::Following;
    eventually("the store is followed", following).await;
}

/// Runs and ends a process that served `callee`, with links from `caller` and from `gone`.
async fn earlier_process(url: &str, path: &Path) {
    let lattice = join(url, path).await;
    assert_eq!(state(&lattice), ReplicaState::Following);
    let _serving = serve_on(&lattice, "callee").await.expect("it serves");
    link(&lattice, "gone", "callee").await;
    link(&lattice, "caller", "callee").await;
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
}

/// Returns the links of a list, each with the revision of its write.
fn links(list: &[Arc<LinkEntry>]) -> Vec<(Arc<lattice_core::link::Link>, Revision)> {
    let link = |entry: &Arc<LinkEntry>| (entry.link.clone(), entry.revision);
    list.iter().map(link).collect()
}

#[tokio::test]
async fn a_process_starts_from_its_snapshot_and_goes_live_when_the_server_returns() {
    let mut server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last.redb");
    earlier_process(&server.url(), &path).await;
    // Deleted while no process runs that keeps the snapshot.
    let operator = join_plainly(&server.url()).await;
    let gone = grant("gone", "callee").key();
    operator.links().delete(&gone).await.expect("deleted");
    drop(operator);
    server.kill();

    let lattice = join(&server.url(), &path).await;
    let at_first = state(&lattice);
    assert!(
        matches!(at_first, ReplicaState::Snapshot { .. }),
        "{at_first:?}"
    );
    let serving = serve_on(&lattice, "callee")
        .await
        .expect("it was published before");
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
    let operators: String = lattice
        .operator()
        .component("callee")
        .call(API, "echo", ("y",))
        .await
        .expect("a result");
    assert_eq!(operators, "y");
    let refused = say_from(&lattice, "unlinked").await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );
    let refused = lattice.links().put(grant("new", "callee")).await;
    assert!(
        matches!(
            refused,
            Err(LinkError::Types(StoreError::Unavailable(_))
                | LinkError::Write(WriteError::Store(StoreError::Unavailable(_))))
        ),
        "{refused:?}"
    );
    let refused = serve_on(&lattice, "never-published").await;
    assert!(
        matches!(refused, Err(ServeError::Publish { .. })),
        "{refused:?}"
    );
    assert_eq!(state(&lattice), at_first);

    server.restart().await;
    follows(&lattice).await;
    let refused = say_from(&lattice, "gone").await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
    lattice
        .links()
        .put(grant("new", "callee"))
        .await
        .expect("put");
    // Subscriptions that were made without a server receive messages now.
    let other = join_plainly(&server.url()).await;
    let answered = async || say_from(&other, "caller").await == Ok(text("x"));
    eventually("other processes can call it", answered).await;
    let now = Lattice::links(&lattice).list();
    drop((serving, other, lattice));

    server.kill();
    let lattice = join(&server.url(), &path).await;
    let known = lattice.links().list();
    assert_eq!(
        links(&known),
        links(&now),
        "the deleted link is not in it any more"
    );
}

#[tokio::test]
async fn a_component_can_be_served_again_during_an_outage() {
    let mut server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last.redb");
    earlier_process(&server.url(), &path).await;
    let lattice = join(&server.url(), &path).await;
    let serving = serve_on(&lattice, "callee").await.expect("it serves");
    server.kill();
    let lost = async || state(&lattice) == ReplicaState::Lost;
    eventually("the loss is seen", lost).await;
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
    // A component is served again during the outage.
    drop(serving);
    let _serving = serve_on(&lattice, "callee").await.expect("it serves again");
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
    server.restart().await;
    follows(&lattice).await;
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
}

#[tokio::test]
async fn a_store_that_returns_empty_removes_no_links_until_it_is_accepted() {
    let mut server = server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last.redb");
    earlier_process(&server.url(), &path).await;
    server.kill();
    let lattice = join(&server.url(), &path).await;
    let serving = serve_on(&lattice, "callee").await.expect("it serves");
    // The server's disk was lost with all its data.
    std::fs::remove_dir_all(server.path("jetstream")).expect("there");
    server.restart().await;
    let replaced = async || state(&lattice) == ReplicaState::StoreReplaced;
    eventually("the store is found replaced", replaced).await;
    assert_eq!(lattice.replica().health().held, 2);
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));

    // An operator deletes one of the links that only this process has, and puts the other one
    // again.
    let gone = grant("gone", "callee").key();
    lattice.links().delete(&gone).await.expect("deleted");
    let refused = say_from(&lattice, "gone").await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );
    link(&lattice, "caller", "callee").await;
    assert_eq!(state(&lattice), ReplicaState::Following);
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
    // Its types are published to the new store as well, so that new processes can call it.
    let new = join(&server.url(), &folder.path().join("new.redb")).await;
    eventually("its types are published", async || {
        new.operator().component("callee").types().await.is_ok()
    })
    .await;
    link(&new, "other", "callee").await;
    drop(new);
    drop((serving, lattice));

    server.kill();
    std::fs::remove_dir_all(server.path("jetstream")).expect("there");
    let lattice = join(&server.url(), &path).await;
    let _serving = serve_on(&lattice, "callee").await.expect("it serves");
    server.restart().await;
    let replaced = async || state(&lattice) == ReplicaState::StoreReplaced;
    eventually("the store is found replaced", replaced).await;
    assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
    lattice.replica().accept();
    follows(&lattice).await;
    let refused = say_from(&lattice, "caller").await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_process_without_its_own_snapshot_does_not_start() {
    let mut server = server().await;
    let url = server.url();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last.redb");
    let running = join(&url, &path).await;
    link(&running, "caller", "callee").await;
    let taken = Lattice::connect(&url, "prod")
        .key(key())
        .snapshot(&path)
        .await;
    assert!(
        matches!(&taken, Err(ConnectError::Disk(OpenError::AlreadyOpen { path: at })) if *at == path),
        "{taken:?}"
    );
    drop(running);
    server.kill();

    let empty = Lattice::connect(&url, "prod")
        .key(key())
        .snapshot(folder.path().join("empty"));
    let refused = empty.await;
    assert!(matches!(refused, Err(ConnectError::Nats(_))), "{refused:?}");
    let theirs = Lattice::connect(&url, "prod")
        .key(LatticeKey::generate())
        .snapshot(&path);
    let refused = theirs.await;
    assert!(matches!(refused, Err(ConnectError::Nats(_))), "{refused:?}");
    let lattice = join(&url, &path).await;
    assert_eq!(lattice.links().list().len(), 1);
}
