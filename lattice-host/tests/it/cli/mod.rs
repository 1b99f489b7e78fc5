//! The `lattice` command over a real NATS server: hosts are processes, and one of them is killed.

mod access;
mod call;
mod connect;
mod dev;
mod images;
mod life;
mod limits;
mod links;
mod metrics;
mod new;
mod page;
mod pipes;
mod readme;
mod secrets;
mod see;
mod ui;
mod watch;
mod wormhole;

use crate::{
    artifact::registry,
    nats::{NatsConfig, NatsServer},
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The deadline of each wait. It suffices for a busy machine that compiles for the first time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A lattice on its own server, and a folder for files.
struct Scene {
    nats: NatsServer,
    folder: TempDir,
    key: String,
}

/// The process of a host, killed on drop.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    async fn new() -> Self {
        let key = bare().args(["key", "new"]).output().expect("runs");
        assert!(key.status.success(), "{key:?}");
        Self {
            nats: NatsConfig::default().jetstream().start().await,
            folder: tempfile::tempdir().expect("a folder"),
            key: text(&key.stdout).trim().to_owned(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = bare();
        command
            .args(args)
            .env("LATTICE_NATS", self.nats.url())
            .env("LATTICE_KEY", &self.key);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("runs")
    }

    /// Runs a command that succeeds, and returns its output.
    fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        text(&output.stdout)
    }

    /// Returns the rows of a list.
    fn rows(&self, what: &str) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.prints(&["get", what, "-o", "json"])).expect("JSON")
    }

    /// Runs a command that fails, and returns its exit code and its message.
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let message = text(&output.stderr);
        assert!(!output.status.success(), "{args:?}: {output:?}");
        assert!(message.starts_with("error: "), "{args:?}: {message}");
        (
            output.status.code().expect("it wasn't ended by a signal"),
            message,
        )
    }

    /// Applies a manifest and waits until all of it serves.
    fn settle(&self, manifest: &str) {
        let file = self.file("app.toml", manifest.as_bytes());
        self.prints(&["apply", &file]);
        self.prints(&["watch", "--until", "settled", "--for", "60s"]);
    }

    /// Creates a file in the scene's folder, and returns its path.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let file = self.folder.path().join(name);
        std::fs::write(&file, bytes).expect("a file");
        file.display().to_string()
    }

    fn up(&self, id: &str) -> Process {
        let log = std::fs::File::create(self.folder.path().join(id)).expect("a log");
        let mut command = self.command(&["up", "--id", id, "--label", "zone=a"]);
        Process(
            command
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("starts"),
        )
    }

    fn manifest(&self, replicas: &str) -> PathBuf {
        let file = self.folder.path().join("shop.toml");
        let image = greeter().display().to_string();
        let manifest =
            format!("name = \"shop\"\n[actors.greeter]\nimage = \"file:{image}\"\n{replicas}\n");
        std::fs::write(&file, manifest).expect("a manifest");
        file
    }

    /// Waits until exactly these hosts serve `greeter`. Each attempt is a new process.
    fn until_served_by(&self, expected: &[&str]) {
        let begun = Instant::now();
        loop {
            let hosts = self.rows("hosts");
            let serving: Vec<&str> = hosts
                .iter()
                .filter(|host| host["serves"] == "greeter")
                .filter_map(|host| host["host"].as_str())
                .collect();
            if serving == expected {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{expected:?}, but {hosts:?}");
        }
    }
}

#[tokio::test]
async fn an_app_is_applied_heals_and_is_deleted() {
    let scene = Scene::new().await;
    let one = scene.up("one");
    let two = scene.up("two");
    let manifest = scene.manifest("replicas = 1");
    let manifest = manifest.to_str().expect("text");

    let plan = scene.prints(&["plan", manifest]);
    assert!(plan.contains("+ "), "{plan}");
    assert!(scene.rows("apps").is_empty(), "a plan writes nothing");
    let applied = scene.prints(&["apply", manifest]);
    assert!(applied.contains("app `shop`"), "{applied}");
    let again = scene.prints(&["apply", manifest]);
    assert!(
        again.contains("0 to create, 0 to change, 0 to delete"),
        "{again}"
    );
    assert_eq!(scene.rows("actors")[0]["wanted"], "1");

    let begun = Instant::now();
    let serving = loop {
        let hosts = scene.rows("hosts");
        if let Some(host) = hosts.iter().find(|host| host["serves"] == "greeter") {
            break host["host"].as_str().expect("an id").to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "no host serves it: {hosts:?}");
    };
    let (mut killed, survivor, id) = match serving.as_str() {
        "one" => (one, two, "two"),
        _ => (two, one, "one"),
    };
    killed.0.kill().expect("kill -9");
    scene.until_served_by(&[id]);

    let deleted = scene.prints(&["delete", "shop"]);
    assert!(deleted.contains("- "), "{deleted}");
    assert!(scene.rows("actors").is_empty());
    scene.until_served_by(&[]);
    drop(survivor);
}

#[tokio::test]
async fn a_failure_is_printed_with_its_reason_and_place() {
    let scene = Scene::new().await;
    let typo = scene.manifest("replica = 1");
    let refused = scene.run(&["apply", typo.to_str().expect("text")]);
    assert_eq!(refused.status.code(), Some(3));
    let message = text(&refused.stderr);
    assert!(message.contains("shop.toml:4:1: "), "{message}");
    assert!(message.contains("`replicas`"), "{message}");
    assert!(refused.stdout.is_empty());

    let good = scene.manifest("");
    let good = good.to_str().expect("text");
    scene.prints(&["apply", good]);
    let before = scene.prints(&["get", "actors", "-o", "json"]);
    for args in [&["get", "apps"][..], &["apply", good], &["up"]] {
        let other = scene
            .command(args)
            .env("LATTICE_KEY", "ab".repeat(32))
            .output();
        let other = other.expect("runs");
        assert_eq!(other.status.code(), Some(3), "{args:?}: {other:?}");
        let message = text(&other.stderr);
        let said = message.matches("another key").count();
        assert_eq!(said, 1, "{args:?}: {message}");
    }
    assert_eq!(scene.prints(&["get", "actors", "-o", "json"]), before);

    let nowhere = bare().args(["get", "apps"]).output().expect("runs");
    assert_eq!(nowhere.status.code(), Some(2));

    let mut gone = scene;
    gone.nats.kill();
    assert_eq!(gone.run(&["get", "apps"]).status.code(), Some(4));
}

/// Returns the command, without the environment variables that it reads.
fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lattice"));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("LATTICE_") || name == "RUST_LOG" {
            command.env_remove(variable);
        }
    }
    command
}

/// Returns the full path of a file of the repository.
fn of_the_root(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the repository").join(file)
}

fn greeter() -> PathBuf {
    guest("greeter")
}

fn guest(name: &str) -> PathBuf {
    let folder = "../target/guests/wasm32-wasip2/release";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let file = folder.join(name).with_extension("wasm");
    file.canonicalize()
        .expect("the guest is missing: run `make guests`")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
