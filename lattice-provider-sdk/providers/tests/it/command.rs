//! The command `lattice-provider`.

use crate::nats::{NatsConfig, NatsServer, signal};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_providers::builtins;
use std::{
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// A deadline that suffices on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command, with no variables but those of a test.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lattice-provider"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it runs")
}

/// Returns what a command that fails prints.
fn failure(mut command: Command) -> String {
    let output = command.output().expect("it runs");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("a text")
}

/// A process that is killed when the test ends.
struct Running(Child);

impl Running {
    fn start(server: &NatsServer, key: &LatticeKey, arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command
            .env("LATTICE_NATS", server.url())
            .env("LATTICE_KEY", key.expose_hex().as_str())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }

    /// Waits until it has ended, and returns whether it succeeded.
    async fn ended(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("its status") {
                return status.success();
            }
            assert!(Instant::now() < deadline, "it doesn't end");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_a_name_the_providers_are_listed() {
    let output = run(&[]);
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).expect("a text");
    let names: Vec<&str> = builtins().iter().map(|builtin| builtin.name).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_joined() {
    for (arguments, expected) in [
        (&["nothing"][..], "there is no provider `nothing`"),
        (&["secrets", "--set", "folder"], "a setting is `key=value`"),
        (&["secrets", "--set", "fold=/"], "did you mean `folder`?"),
        (&["secrets"], "the lattice's NATS server is missing"),
        (
            &["secrets", "--nats", "a:1"],
            "the lattice's key is missing",
        ),
    ] {
        let text = failure(command(arguments));
        assert!(text.contains(expected), "{text}");
    }
    let mut with_variable = command(&["secrets"]);
    with_variable.env("LATTICE_SET_MAX_VALUE_SIZE", "hunter2");
    let text = failure(with_variable);
    assert!(text.contains("`max-value-size` doesn't fit"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_provider_is_served_until_it_is_told_to_stop() {
    let server = NatsConfig::default().jetstream().start().await;
    let key = LatticeKey::generate();
    let lattice = Lattice::connect(server.url(), "default").key(key.clone());
    let lattice = lattice.await.expect("connected");
    let arguments = ["secrets", "--id", "vault", "--set", "folder=/"];
    let mut process = Running::start(&server, &key, &arguments);
    let served = timeout(PATIENCE, lattice.served("vault")).await;
    served.expect("it is served").expect("an id");
    signal(process.0.id(), "TERM");
    assert!(process.ended().await, "it has stopped in order");
}

#[tokio::test]
async fn a_provider_that_does_not_start_says_why() {
    let server = NatsConfig::default().jetstream().start().await;
    let key = LatticeKey::generate();
    let mut refused = command(&["secrets"]);
    refused
        .env("LATTICE_NATS", server.url())
        .env("LATTICE_KEY", key.expose_hex().as_str());
    let text = tokio::task::spawn_blocking(move || failure(refused)).await;
    let text = text.expect("no panic");
    assert!(
        text.contains("set either `folder` or `env-prefix`"),
        "{text}"
    );
}
