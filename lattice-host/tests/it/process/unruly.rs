//! Programs that ignore their host, leave its reach, or say that they aren't well.

use super::scene::{Scene, has_ended, runs};
use crate::{
    host::{output::Log, support::started},
    nats::signal,
    wait::until,
};
use lattice_core::{constellation::Subject, name::ComponentId};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// A program that isn't made with `process::run`, and notes the processes that it is or starts.
struct Script {
    folder: TempDir,
}

impl Script {
    /// Its first argument is the file for the numbers of processes.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = Self { folder };
        let pids = script.path("pids").display().to_string();
        let text = format!("#!/bin/sh\nset -- '{pids}'\n{text}");
        fs::write(script.path("program"), text).expect("written");
        let runs = Permissions::from_mode(0o755);
        fs::set_permissions(script.path("program"), runs).expect("set");
        script
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn apply(&self, scene: &Scene) {
        let program = self.path("program");
        scene
            .apply_text(&format!(
                "name = \"test\"\n[providers.actor]\nimage = \"file:{}\"\n",
                program.display()
            ))
            .await;
    }

    /// Returns the numbers that it has noted.
    fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path("pids")).unwrap_or_default();
        // The last line may not be finished.
        let lines = text.split_inclusive('\n');
        lines
            .filter_map(|line| line.trim_end().parse().ok())
            .collect()
    }
}

/// None of its processes outlives the test.
impl Drop for Script {
    fn drop(&mut self) {
        for pid in self.pids().into_iter().filter(|pid| runs(*pid)) {
            signal(pid, "KILL");
        }
    }
}

fn actor() -> ComponentId {
    ComponentId::new("actor").expect("an id")
}

/// Serves nothing, and ignores the end of its standard input and every signal that can be ignored.
const IGNORES_ALL: &str = "trap '' HUP INT TERM\necho $$ >> \"$1\"\necho 'it goes on' >&2\necho 'lattice-provider: serving'\nexec /bin/sleep 1000\n";

#[tokio::test]
async fn a_program_that_ignores_everything_is_killed_in_time_with_its_last_lines() {
    let log = Log::default();
    let _guard = log.start();
    let script = Script::new(IGNORES_ALL);
    let scene = Scene::new().await;
    let host = started(scene.host().id("keeper")).await;
    script.apply(&scene).await;
    until("it is said to serve", || {
        let view = scene.lattice.constellation().snapshot();
        let mut replicas = view.replicas_of(&actor());
        replicas.any(|replica| replica.phase.is_serving())
    })
    .await;
    let process = script.pids()[0];
    assert!(runs(process));
    scene.lattice.delete_app("test").await.expect("deleted");
    has_ended(process).await;
    // Not because the node of the host has stopped to wait.
    let killed = log.lines("and is killed");
    assert_eq!(killed.len(), 1, "{killed:?}");
    assert!(killed[0].contains("it goes on"), "{killed:?}");
    drop(host);
}

/// Starts a process that leaves its group and has its pipes, and ends once it has left.
const LEAVES_ONE: &str = r#"mkfifo "$1.$$"
/usr/bin/setsid /bin/sh -c 'echo $$ >> "$1" && echo left > "$2" && exec /bin/sleep 1000' sh "$1" "$1.$$" &
read -r left < "$1.$$"
echo 'lattice-provider: serving'
exit 7
"#;

/// What leaves the group isn't ended, as the page about providers says.
#[tokio::test]
async fn a_process_that_has_left_the_group_holds_up_neither_the_next_start_nor_the_host() {
    if !Path::new("/usr/bin/setsid").is_file() {
        println!("skipped: the system has no `setsid`");
        return;
    }
    let script = Script::new(LEAVES_ONE);
    let scene = Scene::new().await;
    let host = started(scene.host().id("keeper")).await;
    script.apply(&scene).await;
    scene.says("exit status: 7").await;
    until("it was started again", || script.pids().len() > 1).await;
    let first = script.pids()[0];
    assert!(runs(first), "it is out of reach");
    assert!(host.shutdown(Duration::from_secs(2)).await.is_clean());
}

#[tokio::test]
async fn what_a_provider_in_a_process_says_of_its_health_is_seen() {
    let (scene, _host) = Scene::with("mode = \"unwell\"").await;
    // It serves all the same.
    let client = scene.client().await;
    assert_eq!(client.prefixed("x").await.as_deref(), Ok("x"));
    scene.says("its disk is full").await;
    let explained = scene.lattice.explain(&Subject::Component(actor())).await;
    let explained = explained.to_string();
    assert!(explained.contains("its disk is full"), "{explained}");
}
