//! Secrets of the store, as people set them.

use super::{PATIENCE, Scene, text};
use lattice_core::{Lattice, auth::LatticeKey, call::CallError, link::Link};
use lattice_host::Host;
use lattice_provider_sdk::Caller;
use serde_json::json;
use std::{
    io::Write as _,
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

lattice_provider_sdk::client!({ inline: "
    package test:secrets@0.1.0;
    world app {
        import wasmcloud:secrets/store@0.1.0-draft;
        import wasmcloud:secrets/reveal@0.1.0-draft;
    }
" });
use wasmcloud::secrets::{
    reveal::RevealClient,
    store::{SecretValue, SecretsError, StoreClient},
};

/// The pause between two attempts to read a secret.
const LOOK: Duration = Duration::from_millis(10);

impl Scene {
    /// Runs a command to which this is piped.
    fn piped(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that refuses its arguments doesn't read.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().expect("runs")
    }

    fn secrets(&self) -> Vec<String> {
        let listed = self.prints(&["secret", "list", "-o", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&listed).expect("JSON");
        let names = rows
            .iter()
            .map(|row| row["secret"].as_str().expect("a name").to_owned());
        names.collect()
    }
}

#[tokio::test]
async fn secrets_are_set_from_a_pipe_or_a_file_listed_and_deleted() {
    let scene = Scene::new().await;
    let set = scene.piped(&["secret", "set", "db.password"], b"enigma\n");
    assert!(set.status.success(), "{set:?}");
    assert_eq!(text(&set.stdout), "secret db.password is set\n");
    let file = scene.file("token", b"\xff\x00");
    scene.prints(&["secret", "set", "API_KEY", "--file", &file]);
    assert_eq!(scene.secrets(), ["API_KEY", "db.password"]);
    scene.prints(&["secret", "delete", "API_KEY"]);
    assert_eq!(scene.secrets(), ["db.password"]);
    let (code, message) = scene.fails(&["secret", "delete", "API_KEY"]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("`lattice secret list`"), "{message}");
}

#[tokio::test]
async fn a_value_on_the_command_line_or_none_is_refused_and_not_repeated() {
    let scene = Scene::new().await;
    let large = vec![b'x'; 64 * 1_024 + 1];
    for (args, input, expected) in [
        (
            &["secret", "set", "db", "hunter2"][..],
            &b""[..],
            "on the command line",
        ),
        (&["secret", "set", "db"], b"", "is empty"),
        (&["secret", "set", "db/hunter"], b"x", "1 to 253"),
        (&["secret", "set", "db"], &large, "64 KiB"),
        (
            &["secret", "set", "db", "--file", "/no/such/file"],
            b"",
            "--file",
        ),
    ] {
        let output = scene.piped(args, input);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(message.contains(expected), "{args:?}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert!(scene.secrets().is_empty());
}

/// A component of this process that may read `db.password`.
struct App {
    store: StoreClient<Caller>,
    reveal: RevealClient<Caller>,
}

impl App {
    async fn linked(lattice: &Lattice) -> Self {
        for (interface, config) in [
            ("store", json!({ "keys": ["db.*"] })),
            ("reveal", json!({})),
        ] {
            let interface = format!("wasmcloud:secrets/{interface}@0.1.0-draft");
            let link = Link::new("app", &*interface, "secrets").expect("a link");
            let link = link.config(&config).expect("JSON");
            lattice.links().put(link).await.expect("put");
        }
        let caller = || lattice.caller("app").expect("an id");
        Self {
            store: StoreClient::new(caller()),
            reveal: RevealClient::new(caller()),
        }
    }

    /// Reads the secret, as soon as a provider takes calls.
    async fn read(&self) -> Result<SecretValue, SecretsError> {
        let begun = Instant::now();
        loop {
            match self.attempt().await {
                Ok(read) => return read,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
            }
            sleep(LOOK).await;
        }
    }

    async fn attempt(&self) -> Result<Result<SecretValue, SecretsError>, CallError> {
        match self.store.get("db.password").await? {
            Ok(secret) => Ok(Ok(self.reveal.reveal(&secret).await?)),
            Err(refused) => Ok(Err(refused)),
        }
    }
}

#[tokio::test]
async fn a_host_opens_secrets_for_callers_in_its_process_and_for_no_others() {
    let scene = Scene::new().await;
    let _other = scene.up("one");
    let set = scene.piped(&["secret", "set", "db.password"], b"enigma\n");
    assert!(set.status.success(), "{set:?}");
    scene.settle(
        "name = \"shop\"\n[providers.secrets]\nbuiltin = \"secrets-lattice\"\nreplicas = \"per-host\"\n",
    );
    let key = LatticeKey::from_hex(&scene.key).expect("a key");
    let lattice = Lattice::connect(scene.nats.url(), "default").key(key);
    let lattice = lattice.await.expect("connected");
    let app = App::linked(&lattice).await;
    // The only replica is in the process of the command.
    match app.read().await {
        Err(SecretsError::Upstream(reason)) => assert!(reason.contains("per-host"), "{reason}"),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("the secret was sent to another process"),
    }

    let host = Host::builder(&lattice).id("two").start().await;
    let _host = host.expect("a host");
    let begun = Instant::now();
    let value = loop {
        match app.read().await {
            Ok(value) => break value,
            // The replica of the new host isn't there yet.
            Err(SecretsError::Upstream(reason)) => {
                assert!(begun.elapsed() < PATIENCE, "{reason}");
                sleep(LOOK).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(matches!(value, SecretValue::String(text) if text == "enigma"));
}
