//! A lattice in one process whose declarations outlive the process.

use crate::support::*;
use lattice_core::{
    ConnectError, Lattice, auth::LatticeKey, call::CallError, store::disk::OpenError,
};
use std::sync::Arc;

async fn serve_callee(lattice: &Lattice) -> lattice_core::server::ServeHandle {
    let service = Arc::new(Serve(Arc::default()));
    lattice
        .serve(id("callee"), service)
        .await
        .expect("it serves")
}

async fn say_from(lattice: &Lattice, caller: &str) -> Outcome {
    let caller = lattice.caller(caller).expect("an id");
    say(&caller).await
}

#[tokio::test]
async fn links_survive_a_restart_and_grant_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lattice.redb");
    for key in [None, Some(LatticeKey::generate())] {
        let path = path.with_extension(if key.is_some() { "keyed" } else { "plain" });
        let open = async || {
            let connect = Lattice::on_disk(&path, "dev");
            let connect = match key.clone() {
                Some(key) => connect.key(key),
                None => connect,
            };
            connect.await.expect("it opens")
        };
        let lattice = open().await;
        let serving = serve_callee(&lattice).await;
        link(&lattice, "caller", "callee").await;
        link(&lattice, "other", "callee").await;
        let other = grant("other", "callee").key();
        lattice.links().delete(&other).await.expect("deleted");
        assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
        let before = lattice.links().list();
        drop((serving, lattice));

        let lattice = open().await;
        let links: Vec<_> = lattice.links().list();
        assert_eq!(links.len(), 1);
        assert_eq!(
            (&links[0].link, links[0].revision),
            (&before[0].link, before[0].revision)
        );
        let _serving = serve_callee(&lattice).await;
        assert_eq!(say_from(&lattice, "caller").await, Ok(text("x")));
        let refused = say_from(&lattice, "other").await;
        assert!(
            matches!(refused, Err(CallError::NotLinked { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn records_written_with_another_key_are_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lattice.redb");
    let ours = LatticeKey::generate();
    let lattice = Lattice::on_disk(&path, "dev").key(ours.clone()).await;
    link(&lattice.expect("it opens"), "caller", "callee").await;
    for other in [Some(LatticeKey::generate()), None] {
        let connect = Lattice::on_disk(&path, "dev");
        let connect = match other {
            Some(key) => connect.key(key),
            None => connect,
        };
        let lattice = connect.await.expect("it opens");
        assert!(lattice.links().list().is_empty());
    }
    let lattice = Lattice::on_disk(&path, "dev").key(ours).await;
    assert_eq!(lattice.expect("it opens").links().list().len(), 1);
}

#[tokio::test]
async fn an_unusable_file_returns_an_error_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lattice.redb");
    drop(Lattice::on_disk(&path, "dev").await.expect("it opens"));
    let error = Lattice::on_disk(&path, "prod")
        .await
        .expect_err("another's");
    assert!(
        matches!(error, ConnectError::Disk(OpenError::OtherLattice { .. })),
        "{error:?}"
    );
    let error = Lattice::on_disk(folder.path(), "dev").await;
    assert!(
        matches!(error, Err(ConnectError::Disk(OpenError::Refused { .. }))),
        "{error:?}"
    );
}
