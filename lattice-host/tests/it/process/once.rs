//! Providers that run once, in processes of their own.

use super::{
    life::replaced,
    scene::{HostProcess, PROGRAM, Scene, has_ended, host_process, pid, runs},
};
use crate::{host::support::started, nats::signal, wait::until};
use lattice_core::name::{ComponentId, HostId};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;

/// A scene with a provider that runs once, whose processes lock a file.
struct Once {
    scene: Scene,
    folder: TempDir,
}

impl Once {
    async fn new() -> Self {
        Self {
            scene: Scene::new().await,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    async fn apply(&self) {
        let lock = self.lock();
        self.scene
            .apply_text(&format!(
                "name = \"test\"\n[providers.actor]\nimage = \"file:{PROGRAM}\"\nrun = \"once\"\nconfig = {{ lock = \"{}\" }}\n",
                lock.display()
            ))
            .await;
    }

    fn lock(&self) -> PathBuf {
        self.folder.path().join("lock")
    }

    /// Checks that no two processes had the lock at the same time.
    fn never_ran_twice(&self) {
        assert!(!self.lock().with_extension("twice").exists());
    }

    /// Returns the host whose process serves the provider under a lease.
    async fn holder(&self) -> HostId {
        let id = ComponentId::new("actor").expect("an id");
        let mut holder = None;
        until("one process serves under a lease", || {
            let peers = self.scene.lattice.peers();
            let serving = peers.serving(&id);
            let mut fenced = peers.iter().filter(|peer| peer.fences.contains_key(&id));
            let is_process = |host: &HostId| serving.iter().any(|process| process.host == *host);
            let has_fence = fenced.any(|peer| is_process(&peer.origin.host));
            let mut keepers = peers.iter().filter(|peer| peer.elsewhere.contains(&id));
            holder = keepers.next().map(|peer| peer.origin.host.clone());
            serving.len() == 1 && has_fence && holder.is_some() && keepers.next().is_none()
        })
        .await;
        holder.expect("it was found")
    }
}

#[tokio::test]
async fn of_two_hosts_one_runs_the_process_and_the_other_takes_over_with_the_links() {
    let once = Once::new().await;
    let one = started(once.scene.host().id("one")).await;
    let other = started(once.scene.host().id("other")).await;
    once.apply().await;
    let client = once.scene.client().await;
    once.scene.link("linked: ").await;
    let first = pid(&client).await;
    let holder = once.holder().await;
    let (leaves, _stays) = if holder.as_str() == "one" {
        (one, other)
    } else {
        (other, one)
    };
    assert!(leaves.shutdown(Duration::from_secs(20)).await.is_clean());
    has_ended(first).await;
    replaced(&client, first).await;
    assert_ne!(once.holder().await, holder);
    let text = client.prefixed("x").await.expect("the link is there");
    assert_eq!(text, "linked: x");
    once.never_ran_twice();
}

#[tokio::test]
async fn a_process_that_runs_once_is_started_again_under_the_same_lease() {
    let once = Once::new().await;
    let _host = started(once.scene.host().id("one")).await;
    once.apply().await;
    let client = once.scene.client().await;
    let first = pid(&client).await;
    signal(first, "KILL");
    replaced(&client, first).await;
    once.holder().await;
    once.never_ran_twice();
}

/// Starts two hosts in processes of their own. Returns the one that holds the lease, and the other.
async fn two_hosts(once: &Once) -> (HostProcess, HostProcess) {
    let one = host_process(&once.scene, "one");
    let other = host_process(&once.scene, "other");
    once.apply().await;
    let holder = once.holder().await;
    if holder.as_str() == "one" {
        (one, other)
    } else {
        (other, one)
    }
}

#[tokio::test]
async fn the_process_of_a_holder_that_is_killed_ends_and_the_next_holder_starts_its_own() {
    let once = Once::new().await;
    let (mut holder, _other) = two_hosts(&once).await;
    let client = once.scene.client().await;
    let first = pid(&client).await;
    holder.kill();
    has_ended(first).await;
    replaced(&client, first).await;
    once.holder().await;
    once.never_ran_twice();
}

#[tokio::test]
async fn the_process_of_a_holder_that_is_paused_ends_with_its_lease() {
    let once = Once::new().await;
    let (holder, _other) = two_hosts(&once).await;
    let client = once.scene.client().await;
    let first = pid(&client).await;
    signal(holder.id(), "STOP");
    // Its standard input stays open, so only the lease ends it.
    until("the process has ended", || !runs(first)).await;
    let second = replaced(&client, first).await;
    signal(holder.id(), "CONT");
    // The paused host learns that it has lost the lease.
    once.holder().await;
    assert_eq!(pid(&client).await, second);
    once.never_ran_twice();
}
