//! Secrets of the store, as people set them.

use super::{Scene, text};
use std::{
    io::Write as _,
    process::{Output, Stdio},
};

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

#[tokio::test]
async fn every_host_can_open_secrets_for_its_actors() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    scene.settle(
        "name = \"shop\"\n[providers.secrets]\nbuiltin = \"secrets-lattice\"\nreplicas = \"per-host\"\n",
    );
}
