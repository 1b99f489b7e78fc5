//! `lattice wormhole` and `lattice up --http`, with requests of a client that only knows HTTP.

use super::{PATIENCE, Process, Scene, bare, guest, text};
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

/// A host that serves wormholes, and the address at which it does.
pub(super) struct Ingress {
    _host: Process,
    address: SocketAddr,
}

impl Scene {
    /// Starts a host that serves wormholes, and waits until its log says where.
    fn up_with_http(&self, id: &str, args: &[&str]) -> Ingress {
        let log = self.folder.path().join(id);
        let mut command = self.command(&["up", "--id", id, "--http", "127.0.0.1:0"]);
        command
            .args(args)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"));
        let host = Process(command.spawn().expect("starts"));
        let begun = Instant::now();
        loop {
            let logged = fs::read_to_string(&log).unwrap_or_default();
            let said = logged.split_once("wormholes are served at http://");
            let line = said.and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((address, _)) = line {
                let address = address.split_whitespace().next().expect("an address");
                return Ingress::of(host, address.parse().expect("an address"));
            }
            assert!(begun.elapsed() < PATIENCE, "{logged}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Applies an app whose actor `shop` says hello over HTTP, and waits until it serves.
    fn settle_shop(&self) {
        let image = guest("hello_http").display().to_string();
        let manifest = format!("name = \"shop\"\n[actors.shop]\nimage = \"file:{image}\"\n");
        self.settle(&manifest);
    }

    /// Runs a command with this text as its input, and returns its output if it succeeds.
    fn prints_with(&self, args: &[&str], input: &str) -> String {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{args:?}: {output:?}");
        text(&output.stdout)
    }
}

impl Ingress {
    pub(super) fn of(host: Process, address: SocketAddr) -> Self {
        Self {
            _host: host,
            address,
        }
    }

    /// Makes a request, and returns the response without the headers that differ each time.
    fn get(&self, host: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("a response");
        let response = text(&response);
        let lines = response.split_inclusive("\r\n").filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !["date", "x-request-id"].contains(&&*name.to_ascii_lowercase())
        });
        lines.collect()
    }

    /// Makes requests until the response has this status, and returns it. The host hears of changes
    /// through the store.
    pub(super) fn until(&self, status: u16, host: &str, headers: &str) -> String {
        let begun = Instant::now();
        loop {
            let response = self.get(host, "/some/path", headers);
            if response.starts_with(&format!("HTTP/1.1 {status} ")) {
                return response;
            }
            assert!(begun.elapsed() < PATIENCE, "not {status}: {response}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn a_wormhole_is_opened_closed_renamed_and_deleted() {
    let scene = Scene::new().await;
    let one = scene.up_with_http("one", &["--http-domain", "example.com"]);
    scene.settle_shop();

    let opened = scene.prints(&[
        "wormhole", "open", "web", "--actor", "shop", "--host", "shop",
    ]);
    let port = one.address.port();
    let url = format!("http://shop.localhost:{port}/");
    assert!(opened.contains("wormhole `web` is open\n"), "{opened}");
    assert!(opened.contains(&url), "{opened}");
    let response = one.until(200, "shop.localhost", "");
    assert!(
        response.contains("Hello from Rust, at /some/path!"),
        "{response}"
    );
    one.until(200, "shop.example.com", "");

    let unknown = one.get("nothing.localhost", "/some/path", "");
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    let closed = scene.prints(&["wormhole", "close", "web"]);
    assert_eq!(closed, "wormhole `web` is closed\n");
    assert_eq!(one.until(404, "shop.localhost", ""), unknown);
    scene.prints(&["wormhole", "open", "web"]);
    one.until(200, "shop.localhost", "");

    let renamed = scene.prints(&["wormhole", "rename", "web", "store"]);
    assert_eq!(renamed, "wormhole `web` has the host name store\n");
    one.until(200, "store.localhost", "");
    assert_eq!(one.until(404, "shop.localhost", ""), unknown);

    scene.prints(&["wormhole", "delete", "web"]);
    assert_eq!(one.until(404, "store.localhost", ""), unknown);
    assert!(scene.rows("wormholes").is_empty());
}

#[tokio::test]
async fn a_generated_name_is_printed_and_listed() {
    let scene = Scene::new().await;
    let opened = scene.run(&["wormhole", "open", "--actor", "shop", "--path", "/api"]);
    assert!(opened.status.success(), "{opened:?}");
    let advice = text(&opened.stderr);
    assert!(advice.contains("lattice up --http"), "{advice}");
    let listed = json(&scene.prints(&["wormhole", "list", "-o", "json"]));
    assert_eq!(listed, Value::Array(scene.rows("wormholes")));
    let row = &listed[0];
    let (id, host) = (&row["wormhole"], row["hosts"].as_str().expect("text"));
    assert_eq!(host.split('-').count(), 3, "two words and a number: {host}");
    assert_eq!(row["state"], "open");
    assert_eq!(row["path"], "/api");
    let id = id.as_str().expect("text");
    assert!(text(&opened.stdout).contains(&format!("wormhole `{id}` is open\n  {host}/api\n")));

    scene.prints(&[
        "wormhole",
        "open",
        id,
        "--body",
        "1MiB",
        "--rate",
        "10/s:50",
        "--head-timeout",
        "10s",
    ]);
    let shown = json(&scene.prints(&["wormhole", "show", id, "-o", "json"]));
    assert_eq!(shown["limits"]["body"], 1 << 20);
    assert_eq!(shown["limits"]["rate"], "10/s:50");
    assert_eq!(shown["limits"]["head_timeout_ms"], 10_000);
    assert_eq!(shown["hosts"][0], host, "the rest stays");
    let table = scene.prints(&["wormhole", "show", id]);
    assert!(table.contains("rate          10/s:50\n"), "{table}");
    let why = scene.prints(&["explain", "wormhole", id]);
    assert!(why.contains("lattice up --http"), "{why}");
}

#[tokio::test]
async fn passwords_and_tokens_come_from_the_environment_or_a_pipe_and_are_not_shown() {
    let scene = Scene::new().await;
    let one = scene.up_with_http("one", &[]);
    scene.settle_shop();
    let open = [
        "wormhole", "open", "web", "--actor", "shop", "--host", "shop",
    ];
    let basic = [&open[..], &["--auth-basic", "ada"]].concat();
    scene.prints_with(&basic, "s3cret\n");
    let refused = one.until(401, "shop.localhost", "");
    assert!(
        refused
            .to_ascii_lowercase()
            .contains("\r\nwww-authenticate: basic"),
        "{refused}"
    );
    // ada:s3cret
    one.until(
        200,
        "shop.localhost",
        "Authorization: Basic YWRhOnMzY3JldA==\r\n",
    );
    let mut command = scene.command(&["wormhole", "open", "web", "--auth-bearer"]);
    command.env("LATTICE_WORMHOLE_TOKEN", "t0ken");
    assert!(command.status().expect("runs").success());
    one.until(200, "shop.localhost", "Authorization: Bearer t0ken\r\n");
    one.until(
        401,
        "shop.localhost",
        "Authorization: Basic YWRhOnMzY3JldA==\r\n",
    );

    for args in [
        &["wormhole", "show", "web"][..],
        &["wormhole", "show", "web", "-o", "json"],
        &["wormhole", "list"],
    ] {
        let shown = scene.prints(args);
        assert!(
            !shown.contains("s3cret") && !shown.contains("t0ken"),
            "{shown}"
        );
    }
    let guard = ["--verifier", "guard", "--verifier-link", "strict"];
    scene.prints(&[&["wormhole", "open", "web"][..], &guard].concat());
    let shown = scene.prints(&["wormhole", "show", "web"]);
    assert!(
        shown.contains("verifier: guard over link strict"),
        "{shown}"
    );
    one.until(503, "shop.localhost", "");
    scene.prints(&["wormhole", "open", "web", "--no-auth"]);
    one.until(200, "shop.localhost", "");
}

#[tokio::test]
async fn a_hash_is_printed_for_a_manifest() {
    let scene = Scene::new().await;
    let password = scene.prints_with(&["wormhole", "hash"], "s3cret\n");
    assert!(password.starts_with("$argon2id$"), "{password}");
    let token = scene.prints_with(&["wormhole", "hash", "--token"], "t0ken\n");
    assert!(!token.contains("t0ken"), "{token}");
    let manifest = format!(
        "name = \"shop\"\nexternal = [\"shop\"]\n[wormholes.web]\nactor = \"shop\"\nhost = \"shop\"\nauth = {{ basic = {{ ada = \"{}\" }} }}\n[wormholes.api]\nactor = \"shop\"\nhost = \"api\"\nauth = {{ bearer = [\"{}\"] }}\n",
        password.trim(),
        token.trim()
    );
    let file = scene.file("shop.toml", manifest.as_bytes());
    scene.prints(&["apply", &file]);
    let kinds: Vec<_> = scene
        .rows("wormholes")
        .iter()
        .map(|row| row["auth"].clone())
        .collect();
    assert_eq!(kinds, ["bearer", "basic"]);

    // Only its app changes it, but anybody can close it.
    let (code, message) = scene.fails(&["wormhole", "rename", "web", "other"]);
    assert_eq!(code, 3);
    assert!(
        message.contains("app `shop` owns wormhole `web`"),
        "{message}"
    );
    scene.prints(&["wormhole", "close", "web"]);
    assert_eq!(scene.rows("wormholes")[1]["state"], "closed");
}

#[tokio::test]
async fn mistakes_are_answered_with_what_to_do() {
    let scene = Scene::new().await;
    let open = [
        "wormhole", "open", "web", "--actor", "shop", "--host", "shop",
    ];
    scene.prints(&open);
    for args in [
        &["wormhole", "close", "wep"][..],
        &["wormhole", "show", "wep"],
        &["wormhole", "open", "wep"],
        &["wormhole", "delete", "wep"],
        &["wormhole", "rename", "wep", "shop"],
    ] {
        let (code, message) = scene.fails(args);
        assert_eq!(code, 1, "{message}");
        assert!(message.contains("did you mean `web`?"), "{message}");
    }
    let (code, message) = scene.fails(&["wormhole", "open"]);
    assert_eq!(code, 2);
    assert!(message.contains("--actor"), "{message}");
    let other = [
        "wormhole", "open", "other", "--actor", "shop", "--host", "shop",
    ];
    let (code, message) = scene.fails(&other);
    assert_eq!(code, 3);
    assert!(message.contains("leads to wormhole `web`"), "{message}");
    let (code, message) = scene.fails(&["wormhole", "rename", "web", "http://shop"]);
    assert_eq!(code, 2);
    assert!(message.contains("host name"), "{message}");
    let (code, message) = scene.fails(&["wormhole", "open", "web", "--auth-basic", "ada:s3cret"]);
    assert_eq!(code, 2);
    assert!(
        message.contains("pipe it") && !message.contains("s3cret"),
        "{message}"
    );
    let mut command = scene.command(&["wormhole", "open", "web", "--auth-bearer"]);
    let output = command.stdin(Stdio::null()).output().expect("runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        text(&output.stderr).contains("LATTICE_WORMHOLE_TOKEN"),
        "{output:?}"
    );
    let (code, message) = scene.fails(&["wormhole", "open", "web", "--rate", "100"]);
    assert_eq!(code, 2);
    assert!(message.contains("100/s"), "{message}");
    assert_eq!(scene.rows("wormholes").len(), 1);
}

#[test]
fn options_of_a_host_that_serves_wormholes_are_checked_before_it_starts() {
    let up = |args: &[&str]| {
        let output = bare().arg("up").args(args).output().expect("runs");
        (output.status.code(), text(&output.stderr))
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, message) = up(&["--http", &address]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains(&address), "{message}");

    for args in [
        &["--https", "127.0.0.1:0"][..],
        &["--http-domain", "example.com"],
        &["--trusted-proxy", "10.0.0.0/8"],
        &["--http", "127.0.0.1:0", "--trusted-proxy", "10.0.0.0/99"],
    ] {
        let (code, message) = up(args);
        assert_eq!(code, Some(2), "{args:?}: {message}");
    }
    let missing = ["--tls-cert", "missing.pem", "--tls-key", "missing.pem"];
    let (code, message) = up(&[&["--https", "127.0.0.1:0"][..], &missing].concat());
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("missing.pem"), "{message}");
}
