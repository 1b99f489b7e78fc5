//! Connecting to a lattice: options, their variables, and messages about wrong ones.

use super::{Process, Scene, bare, text};
use crate::{
    certificates::{Authority, Identity},
    nats::{NatsConfig, NatsServer},
};
use nkeys::KeyPair;
use std::process::{Output, Stdio};

const HOSTS: [&str; 2] = ["get", "hosts"];

fn run(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = bare();
    command.args(args).envs(variables.iter().copied());
    command.output().expect("runs")
}

/// Runs a command that fails with this exit code, and returns its message.
fn fails(code: i32, args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(args, variables);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    let errors = message.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{message}");
    message
}

#[test]
fn no_part_of_a_password_is_repeated() {
    for odd in [",", "/", "?", "#", "@/", "%", " ", "[", "\\"] {
        let url = format!("nats://joe:SECR{odd}TAIL@127.0.0.1:1");
        for (args, variables) in [
            (vec!["get", "hosts", "--nats", &url], vec![]),
            (vec!["get", "hosts"], vec![("LATTICE_NATS", &*url)]),
            (vec!["get", "hosts", &url], vec![]),
            (vec!["get", "hosts", "--natz", &url], vec![]),
            (vec!["get", "hosts", "--nats", &url, "--data", "x"], vec![]),
            (
                vec!["get", "hosts", "--nats", "h:1", "--lattice", &url],
                vec![],
            ),
            (vec!["get", "hosts", "--data", &url], vec![]),
            (vec!["get", "hosts", &*format!("-o{url}")], vec![]),
            (vec!["call", &url, "a:b/c#d"], vec![]),
            (vec!["call", "a", &url], vec![]),
            (vec!["apply", &url], vec![]),
            (vec!["inspect", &url], vec![]),
        ] {
            let output = run(&args, &variables);
            let message = text(&output.stderr);
            assert!(!output.status.success(), "{args:?}");
            for part in ["SECR", "TAIL"] {
                assert!(!message.contains(part), "{args:?}: {message}");
            }
        }
    }
    let comma = fails(
        2,
        &[
            "get",
            "hosts",
            "--nats",
            "nats://joe:SECR,TAIL@h:1",
            "--trust-bus",
        ],
        &[],
    );
    assert!(comma.starts_with("error: --nats: "), "{comma}");
    assert!(comma.contains("`%2C` for a comma"), "{comma}");
    let comma = fails(
        2,
        &["get", "hosts", "--trust-bus"],
        &[("LATTICE_NATS", "nats://joe:SECR,TAIL@h:1")],
    );
    assert!(comma.starts_with("error: LATTICE_NATS: "), "{comma}");

    // A secret in place of the file that should hold it.
    let key = "0b".repeat(32);
    for option in [
        "--key-file",
        "--creds",
        "--nats-token-file",
        "--nats-nkey-file",
        "--nats-ca",
    ] {
        let message = fails(2, &["get", "hosts", "--nats", "h:1", option, &key], &[]);
        assert!(
            message.contains(option) && !message.contains(&key),
            "{message}"
        );
    }
    let message = fails(
        2,
        &HOSTS,
        &[("LATTICE_KEY", "SECRET"), ("LATTICE_NATS", "h:1")],
    );
    assert!(
        message.contains("LATTICE_KEY: ") && !message.contains("SECRET"),
        "{message}"
    );
}

#[test]
fn empty_variables_count_as_unset() {
    let empty = [
        "LATTICE_NATS",
        "LATTICE_KEY",
        "LATTICE_NATS_CREDS",
        "LATTICE_NATS_TOKEN",
        "LATTICE_NATS_NKEY",
        "LATTICE_NATS_CA",
        "LATTICE_NATS_CERT",
        "LATTICE_NATS_CERT_KEY",
        "LATTICE_NATS_TLS_FIRST",
        "LATTICE_NATS_INBOX_PREFIX",
        "LATTICE_JETSTREAM_DOMAIN",
        "LATTICE_NATS_MAX_PAYLOAD",
        "LATTICE_CONNECT_TIMEOUT",
        "LATTICE_STORE_REPLICAS",
        "LATTICE_STORE_MAX_BYTES",
        "RUST_LOG",
    ];
    for value in ["", " "] {
        let variables = empty.map(|name| (name, value));
        let message = fails(2, &HOSTS, &variables);
        assert!(message.contains("--nats or LATTICE_NATS"), "{message}");
        let given = ["get", "hosts", "--nats", "127.0.0.1:1"];
        let message = fails(2, &given, &variables);
        assert!(message.contains("has no key"), "{message}");
        let given = ["get", "hosts", "--nats", "127.0.0.1:1", "--trust-bus"];
        let message = fails(4, &given, &variables);
        assert!(message.contains("127.0.0.1:1"), "{message}");
    }
    let message = fails(2, &HOSTS, &[("LATTICE_NATS", " , ")]);
    assert!(message.contains("--nats or LATTICE_NATS"), "{message}");
    let message = fails(2, &["get", "hosts", "--nats", ""], &[]);
    assert!(message.contains("--nats names no server"), "{message}");
    let trailing = [("LATTICE_NATS", "127.0.0.1:1,")];
    let message = fails(4, &["get", "hosts", "--trust-bus"], &trailing);
    assert!(message.contains("nats://127.0.0.1:1"), "{message}");
    for (name, value) in [
        ("LATTICE_NATS_TLS_FIRST", "perhaps"),
        ("LATTICE_NATS_MAX_PAYLOAD", "much"),
        ("LATTICE_CONNECT_TIMEOUT", "soon"),
        ("LATTICE_STORE_REPLICAS", "9"),
        ("LATTICE_STORE_MAX_BYTES", "much"),
        ("RUST_LOG", "lattice=loud"),
    ] {
        let given = ["get", "hosts", "--nats", "127.0.0.1:1", "--trust-bus"];
        let message = fails(2, &given, &[(name, value)]);
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn every_option_of_a_server_is_in_the_help_with_its_variable() {
    let help = text(&run(&["get", "--help"], &[]).stdout);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (option, variable) in [
        ("--nats <URL>", "LATTICE_NATS"),
        ("--creds", "LATTICE_NATS_CREDS"),
        ("--nats-token-file", "LATTICE_NATS_TOKEN"),
        ("--nats-nkey-file", "LATTICE_NATS_NKEY"),
        ("--nats-ca", "LATTICE_NATS_CA"),
        ("--nats-cert <FILE>", "LATTICE_NATS_CERT"),
        ("--nats-cert-key", "LATTICE_NATS_CERT_KEY"),
        ("--nats-tls-first", "LATTICE_NATS_TLS_FIRST"),
        ("--nats-inbox-prefix", "LATTICE_NATS_INBOX_PREFIX"),
        ("--jetstream-domain", "LATTICE_JETSTREAM_DOMAIN"),
        ("--nats-max-payload", "LATTICE_NATS_MAX_PAYLOAD"),
        ("--connect-timeout", "LATTICE_CONNECT_TIMEOUT"),
        ("--store-replicas", "LATTICE_STORE_REPLICAS"),
        ("--store-max-bytes", "LATTICE_STORE_MAX_BYTES"),
        ("--key-file", "LATTICE_KEY"),
    ] {
        assert!(help.contains(option), "{option}: {help}");
        assert!(help.contains(&format!("`{variable}")), "{variable}: {help}");
    }
}

#[tokio::test]
async fn logins_are_given_in_files_and_in_variables() {
    let user = KeyPair::new_user();
    let seed = user.seed().expect("a seed");
    let nkey = NatsConfig::default().jetstream().text(&format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        user.public_key()
    ));
    let token = NatsConfig::default()
        .jetstream()
        .text("authorization { token: \"s3cret,/?#\" }");
    let folder = tempfile::tempdir().expect("a folder");
    for (config, option, variable, secret) in [
        (nkey, "--nats-nkey-file", "LATTICE_NATS_NKEY", seed.as_str()),
        (
            token,
            "--nats-token-file",
            "LATTICE_NATS_TOKEN",
            "s3cret,/?#",
        ),
    ] {
        let server = config.start().await;
        let url = server.url();
        let file = folder.path().join("secret");
        std::fs::write(&file, format!("\u{feff}{secret}\r\n")).expect("written");
        let file = file.display().to_string();
        let common = ["get", "hosts", "--nats", &url, "--trust-bus"];
        let with = [&common[..], &[option, &file]].concat();
        let output = run(&with, &[]);
        assert!(output.status.success(), "{option}: {output:?}");
        for end in ["", "\n", "\r\n"] {
            let value = format!("{secret}{end}");
            let output = run(&common, &[(variable, &*value)]);
            assert!(output.status.success(), "{variable}: {output:?}");
        }
        let message = fails(4, &common, &[]);
        assert!(message.contains(option), "{message}");
    }
}

/// Starts a server that has a certificate of this authority, with more lines in its TLS block.
async fn over_tls(authority: &Authority, more: &str, client: &Identity) -> NatsServer {
    let server = authority.sign("127.0.0.1");
    let config = NatsConfig::default()
        .jetstream()
        .file("root.pem", &authority.certificate)
        .file("server.pem", &server.certificate)
        .file("server.key", &server.key)
        .file("client.pem", &client.certificate)
        .file("client.key", &client.key)
        .text(&format!(
            "tls {{ cert_file: \"$DIR/server.pem\", key_file: \"$DIR/server.key\" {more} }}"
        ));
    config.start().await
}

#[tokio::test]
async fn an_authority_and_a_client_certificate_are_given_in_files() {
    let authority = Authority::new();
    let client = authority.sign("client");
    let verify = ", ca_file: \"$DIR/root.pem\", verify: true";
    let server = over_tls(&authority, verify, &client).await;
    let path = |name: &str| server.path(name).display().to_string();
    let (root, certificate, key) = (path("root.pem"), path("client.pem"), path("client.key"));
    let url = server.url();
    let common = ["get", "hosts", "--nats", &url, "--trust-bus"];
    let ca = ["--nats-ca", root.as_str()];
    let identity = ["--nats-cert", &certificate, "--nats-cert-key", &key];

    let output = run(&[&common[..], &ca, &identity].concat(), &[]);
    assert!(output.status.success(), "{output:?}");
    let variables = [
        ("LATTICE_NATS_CA", &*root),
        ("LATTICE_NATS_CERT", &*certificate),
        ("LATTICE_NATS_CERT_KEY", &*key),
    ];
    let output = run(&common, &variables);
    assert!(output.status.success(), "{output:?}");

    // Each of the options is needed.
    let message = fails(4, &[&common[..], &identity].concat(), &[]);
    assert!(message.contains("--nats-ca FILE"), "{message}");
    let message = fails(4, &[&common[..], &ca].concat(), &[]);
    assert!(message.contains("--nats-cert FILE"), "{message}");
    let half = [&common[..], &ca, &identity[..2]].concat();
    let message = fails(2, &half, &[]);
    assert!(message.contains("--nats-cert-key"), "{message}");
    let half = [&common[..], &ca, &identity[2..]].concat();
    let message = fails(2, &half, &[]);
    assert!(message.contains("--nats-cert or"), "{message}");
}

#[tokio::test]
async fn a_server_can_want_the_handshake_first() {
    let authority = Authority::new();
    let client = authority.sign("client");
    let server = over_tls(&authority, ", handshake_first: true", &client).await;
    let (url, root) = (server.url(), server.path("root.pem"));
    let root = root.display().to_string();
    let ca = ["--nats-ca", root.as_str()];
    let common = ["get", "hosts", "--nats", &url, "--trust-bus"];
    let common = [&common[..], &ca].concat();
    let output = run(&[&common[..], &["--nats-tls-first"]].concat(), &[]);
    assert!(output.status.success(), "{output:?}");
    let output = run(&common, &[("LATTICE_NATS_TLS_FIRST", "1")]);
    assert!(output.status.success(), "{output:?}");
    let message = fails(4, &common, &[]);
    assert!(message.contains("--nats-tls-first"), "{message}");
}

#[tokio::test]
async fn replies_arrive_under_the_prefix_that_an_option_says() {
    let users = "authorization { users: [ { user: own, password: p, permissions: {
        publish: [\">\"], subscribe: [\"lattice.>\", \"_OWN.>\", \"$JS.EVENT.ADVISORY.>\"]
    } } ] }";
    let server = NatsConfig::default().jetstream().text(users).start().await;
    let url = format!("nats://own:p@{}", server.address());
    let common = ["get", "hosts", "--nats", &url, "--trust-bus"];
    let message = fails(3, &common, &[]);
    assert!(
        message.contains("options: --nats-inbox-prefix PREFIX"),
        "{message}"
    );
    let output = run(
        &[&common[..], &["--nats-inbox-prefix", "_OWN"]].concat(),
        &[],
    );
    assert!(output.status.success(), "{output:?}");
    let output = run(&common, &[("LATTICE_NATS_INBOX_PREFIX", "_OWN")]);
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_store_has_the_size_that_an_account_wants() {
    let accounts = "accounts { sized {
        users: [{user: s, password: p}], jetstream: { max_bytes_required: true, max_file: 100M }
    } }";
    let server = NatsConfig::default().jetstream().text(accounts);
    let server = server.start().await;
    let url = format!("nats://s:p@{}", server.address());
    let common = ["get", "hosts", "--nats", &url, "--trust-bus"];
    let message = fails(3, &common, &[]);
    assert!(message.contains("--store-max-bytes SIZE"), "{message}");
    assert!(!message.contains("Connect::"), "{message}");
    let output = run(&common, &[("LATTICE_STORE_MAX_BYTES", "8MiB")]);
    assert!(output.status.success(), "{output:?}");
}

/// `length` returns the number of bytes of a text.
const LENGTH: &str = r#"(component
    (core module $m
        (memory (export "memory") 4)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "length") (param i32 i32) (result i32) (local.get 1)))
    (core instance $i (instantiate $m))
    (func $length (param "text" string) (result u32) (canon lift (core func $i "length")
        (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (instance (export "example:text/it@1.0.0") (export "length" (func $length))))"#;

/// Without the option, the server closes the connection of a client that sends a larger message.
#[tokio::test]
async fn messages_are_as_small_as_an_option_says() {
    let accounts = "accounts { small {
        users: [{user: m, password: p}], jetstream: enabled, limits: { max_payload: 65536 }
    } }";
    let mut scene = Scene::new().await;
    let server = NatsConfig::default().jetstream().text(accounts);
    scene.nats = server.start().await;
    let url = format!("nats://m:p@{}", scene.nats.address());
    let command = |args: &[&str]| {
        let mut command = scene.command(args);
        command
            .env("LATTICE_NATS", &url)
            .env("LATTICE_NATS_MAX_PAYLOAD", "64KiB")
            .stdin(Stdio::null());
        command
    };
    let mut host = command(&["up", "--id", "one"]);
    let _host = Process(host.stderr(Stdio::null()).spawn().expect("starts"));
    let actor = scene.file("length.wasm", &wat::parse_str(LENGTH).expect("a component"));
    let manifest = format!("name = \"shop\"\n[actors.length]\nimage = \"file:{actor}\"\n");
    let manifest = scene.file("app.toml", manifest.as_bytes());
    let large = format!("\"{}\"", "x".repeat(100_000));
    for args in [
        &["apply", &manifest][..],
        &["watch", "--until", "settled", "--for", "60s"],
        &["call", "length", "example:text/it@1.0.0#length", &large],
    ] {
        let output = command(args).output().expect("runs");
        assert!(output.status.success(), "{:.40}: {output:?}", args[0]);
        if args[0] == "call" {
            assert_eq!(text(&output.stdout), "100000\n");
        }
    }
}

/// One server can't keep three copies.
#[tokio::test]
async fn the_store_has_as_many_copies_as_an_option_says() {
    let server = NatsConfig::default().jetstream().start().await;
    let url = server.url();
    let common = ["get", "hosts", "--nats", &url, "--trust-bus"];
    let three = run(&[&common[..], &["--store-replicas", "3"]].concat(), &[]);
    assert!(!three.status.success(), "{three:?}");
    let message = text(&three.stderr);
    assert!(message.contains("replicas"), "{message}");
    let three = run(&common, &[("LATTICE_STORE_REPLICAS", "3")]);
    assert!(!three.status.success(), "{three:?}");
    let one = run(&common, &[("LATTICE_STORE_REPLICAS", "1")]);
    assert!(one.status.success(), "{one:?}");
}

/// A key file of a Windows editor is accepted, and the error for an invalid file names its option.
#[tokio::test]
async fn key_files_of_every_editor_are_read() {
    let scene = Scene::new().await;
    let file = scene.file("key", format!("\u{feff}{}\r\n", scene.key).as_bytes());
    close(&file);
    let url = scene.nats.url();
    let with = ["get", "hosts", "--nats", &url, "--key-file", &file];
    let output = run(&with, &[]);
    assert!(output.status.success(), "{output:?}");
    let wrong = scene.file("wrong", b"not a key");
    close(&wrong);
    let with = ["get", "hosts", "--nats", &url, "--key-file", &wrong];
    let message = fails(2, &with, &[]);
    assert!(message.starts_with("error: --key-file: "), "{message}");
}

/// A secret of Kubernetes ends with the line end of the file that it was made from, and lists are
/// written with spaces.
#[tokio::test]
async fn values_of_variables_may_have_white_space_around_them() {
    let scene = Scene::new().await;
    let url = scene.nats.url();
    for (before, after) in [
        ("", "\n"),
        ("", "\r\n"),
        (" ", " "),
        ("\t", "\n\n"),
        ("\"", "\""),
        ("'", "'\n"),
        ("\u{feff}", ""),
    ] {
        let nats = format!("{before}{url} , {url}{after}");
        let key = format!("{before}{}{after}", scene.key);
        let timeout = format!("{before}5s{after}");
        let variables = [
            ("LATTICE_NATS", &*nats),
            ("LATTICE_KEY", &*key),
            ("LATTICE_CONNECT_TIMEOUT", &*timeout),
            ("LATTICE_NATS_TLS_FIRST", "off\n"),
        ];
        let output = run(&HOSTS, &variables);
        assert!(output.status.success(), "{variables:?}: {output:?}");
    }
}

fn close(file: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, mode).expect("permissions");
}

/// An invalid id or label is refused before a connection is made.
#[test]
fn a_host_is_checked_before_it_connects() {
    let nowhere = ["--nats", "127.0.0.1:1", "--trust-bus"];
    let fails = |args: &[&str]| fails(2, &[&["up"], args, &nowhere].concat(), &[]);
    let message = fails(&["--id", "Node_1"]);
    assert!(message.contains("`node-1` would do"), "{message}");
    let twice = fails(&["--label", "a=1", "--label", "a=2"]);
    assert!(twice.contains("label `a` is given twice"), "{twice}");
    let long = format!("a={}", "x".repeat(100_000));
    let long = fails(&["--label", &long]);
    assert!(
        long.contains("the limit is 255") && long.len() < 500,
        "{long}"
    );
    let labels: Vec<String> = (0..65).map(|at| format!("--label=l{at}=x")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let many = fails(&labels);
    assert!(
        many.contains("at most 64 labels, and these are 65"),
        "{many}"
    );
}
