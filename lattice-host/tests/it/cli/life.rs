//! `lattice up`: how a host ends, and a lattice in a file.

use super::{PATIENCE, Process, Scene, bare, greeter, text};
use std::{
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};
use tokio::time::{Duration, sleep};

impl Process {
    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([signal, &self.0.id().to_string()]);
        assert!(kill.status().expect("kill runs").success());
    }

    /// Waits until the process ends by itself.
    async fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the process doesn't end");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_host_that_receives_sigterm_hands_over_and_exits_successfully() {
    let scene = Scene::new().await;
    let mut one = scene.up("one");
    let image = greeter().display().to_string();
    scene.settle(&format!(
        "name = \"shop\"\n[actors.greeter]\nimage = \"file:{image}\"\n"
    ));
    scene.until_served_by(&["one"]);
    let _two = scene.up("two");
    // It can only hand over to hosts that it knows.
    let begun = Instant::now();
    while scene.rows("hosts").len() < 2 {
        assert!(begun.elapsed() < PATIENCE, "the second host is not seen");
    }
    one.signal("-TERM");
    let ended = one.end().await;
    assert!(ended.success(), "{ended}");
    let hosts = scene.rows("hosts");
    let left: Vec<_> = hosts
        .iter()
        .map(|host| (&host["host"], &host["serves"]))
        .collect();
    assert_eq!(left, [(&"two".into(), &"greeter".into())], "at once");
    let log = std::fs::read_to_string(scene.folder.path().join("one")).expect("a log");
    assert!(log.contains("hands over and stops"), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[tokio::test]
async fn a_lattice_in_a_file_survives_a_killed_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("shop.redb");
    let manifest = folder.path().join("shop.toml");
    let image = greeter().display().to_string();
    let app = format!("name = \"shop\"\n[actors.greeter]\nimage = \"file:{image}\"\n");
    std::fs::write(&manifest, app).expect("written");
    let run = |args: &[&str]| {
        let output = bare().arg("--data").arg(&data).args(args).output();
        output.expect("runs")
    };
    let up = || {
        let mut up = bare();
        up.arg("--data").arg(&data).args(["up", "--id", "one"]);
        up.env("RUST_LOG", "info").stdin(Stdio::null());
        Process(up.stderr(Stdio::null()).spawn().expect("starts"))
    };

    let applied = run(&["apply", manifest.to_str().expect("text")]);
    assert!(applied.status.success(), "{applied:?}");
    let mut host = up();
    // The file is locked while the host runs.
    let begun = Instant::now();
    let refused = loop {
        let asked = run(&["get", "apps"]);
        if !asked.status.success() {
            break asked;
        }
        assert!(begun.elapsed() < PATIENCE, "the host doesn't open the file");
    };
    let message = text(&refused.stderr);
    assert!(message.contains("shop.redb"), "{message}");
    host.0.kill().expect("kill -9");
    host.end().await;
    let apps = run(&["get", "apps", "-o", "json"]);
    let apps: serde_json::Value = serde_json::from_slice(&apps.stdout).expect("JSON");
    assert_eq!(apps[0]["app"], "shop", "{apps}");
}
