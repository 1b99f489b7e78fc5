//! The session in a terminal that the README shows, and what belongs to it: a server that starts
//! after the commands that need it, and what a host logs while it is away.

use super::{PATIENCE, Process, Scene, bare, guest, text};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn free_port() -> String {
    let port = lattice_test_servers::free_port();
    port.expect("a port").to_string()
}

fn of_the_project(file: &str) -> String {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file);
    fs::read_to_string(file).expect("a file of the project")
}

/// Returns the only block in this language in the README's section about the command line.
fn block(language: &str) -> String {
    let readme = of_the_project("README.md");
    block_of(&readme, "## An app and the command line", language)
}

/// Returns the first block in this language below a heading of a page.
fn block_of(page: &str, heading: &str, language: &str) -> String {
    let (_, section) = page.split_once(heading).expect("the section");
    let (_, block) = section
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    block.split_once("```").expect("its end").0.to_owned()
}

/// The README's actor: `greet("Ada")` is `Hello, Ada!`.
const GREETER: &str = r#"(component
    (core module $m
      (memory (export "memory") 1)
      (data (i32.const 1024) "Hello, ")
      (global $top (mut i32) (i32.const 8192))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get 3))))
      (func (export "greet") (param $at i32) (param $length i32) (result i32)
        (memory.copy (i32.const 1031) (local.get $at) (local.get $length))
        (i32.store8 (i32.add (i32.const 1031) (local.get $length)) (i32.const 33))
        (i32.store (i32.const 16) (i32.const 1024))
        (i32.store (i32.const 20) (i32.add (local.get $length) (i32.const 8)))
        (i32.const 16)))
    (core instance $i (instantiate $m))
    (func $greet (param "name" string) (result string) (canon lift (core func $i "greet")
      (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (instance (export "example:hello/greeter@0.1.0") (export "greet" (func $greet))))"#;

/// A process and all that it has started, which are killed on drop.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().expect("starts"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        // All of them may have ended already.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.0.wait();
    }
}

/// Waits until a condition holds, and fails with what `state` returns if that takes too long.
fn until(
    what: &str,
    patience: Duration,
    state: impl Fn() -> String,
    mut holds: impl FnMut() -> bool,
) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < patience,
            "{what}: not in time\n{}",
            state()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn server() -> PathBuf {
    std::env::var_os("NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The session below runs the example.
#[test]
fn the_package_front_of_the_readme_is_an_example() {
    let handler = of_the_project("examples/guests/hello-http/src/lib.rs");
    let (_, handler) = handler.split_once("\n\n").expect("docs, and the code");
    let handler = handler.replacen("\n\n", "\n", 1);
    assert!(of_the_project("README.md").contains(&handler), "{handler}");
}

#[test]
fn the_session_of_the_readme_works_when_it_is_pasted_as_one_block() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("target/wasm32-wasip2/release")).expect("a folder");
    let actor = wat::parse_str(GREETER).expect("a component");
    fs::write(path("target/wasm32-wasip2/release/greeter.wasm"), actor).expect("written");
    let front = path("target/wasm32-wasip2/release/front.wasm");
    fs::copy(guest("hello_http"), front).expect("copied");
    fs::write(path("hello.toml"), block("toml")).expect("written");
    fs::create_dir(path("bin")).expect("a folder");
    symlink(env!("CARGO_BIN_EXE_lattice"), path("bin/lattice")).expect("linked");
    if server().is_absolute() {
        symlink(server(), path("bin/nats-server")).expect("linked");
    }

    let (port, http) = (free_port(), free_port());
    let session = block("sh");
    for part in [
        "nats-server -js &",
        // Where to get one.
        "https://nats.io",
        ":4222",
        "--http 127.0.0.1:8080",
        ":8080/Ada ",
    ] {
        assert!(session.contains(part), "{part}: {session}");
    }
    let server = format!("nats-server -js -a 127.0.0.1 -p {port} -sd js &");
    let session = session.replace("nats-server -js &", &server);
    let session = session.replace("4222", &port).replace("8080", &http);
    let lines = session
        .lines()
        .filter(|line| !line.starts_with("cargo install "));
    let session = lines.collect::<Vec<_>>().join("\n");
    let session = format!("{session}\nprintf %s \"$LATTICE_KEY\" > key\n");
    let _pasted = paste(&session, folder.path(), folder.path());
    let (out, log) = (path("out"), path("log"));
    let state = || format!("{session}\n{}\n{}", read(&out), read(&log));
    let printed = read(&out);
    assert!(printed.contains("\n\"Hello, Ada!\"\n"), "{}", state());
    assert!(printed.contains("app `hello`"), "{}", state());
    assert!(
        printed.ends_with("Hello from Rust, at /Ada!\n"),
        "{}",
        state()
    );

    // On a busy machine this takes longer than the session waits.
    let hosts = || {
        let mut command = bare();
        command
            .args(["get", "hosts", "-o", "json"])
            .env("LATTICE_NATS", format!("nats://127.0.0.1:{port}"))
            .env("LATTICE_KEY", read(&path("key")));
        let output = command.output().expect("runs");
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()
    };
    until("`red` runs both replicas", PATIENCE, state, || {
        let hosts = hosts();
        let serves = hosts[0]["serves"].as_str().unwrap_or_default();
        hosts.as_array().map_or(0, Vec::len) == 1
            && hosts[0]["host"] == "red"
            && serves.contains("greeter")
    });
}

/// Runs a session of a shell in the folder `at`, until it ends well. What `folder` has in `bin` is
/// on its PATH, and what it prints is in `out` and `log` there. What it leaves running ends when
/// the returned value is dropped.
fn paste(session: &str, folder: &Path, at: &Path) -> Group {
    let (out, log) = (folder.join("out"), folder.join("log"));
    let paths = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("LATTICE_") || variable == "RUST_LOG" {
            shell.env_remove(variable);
        }
    }
    shell
        // A line that fails ends it.
        .args(["-c", &format!("set -e\n{session}")])
        .current_dir(at)
        .env("PATH", format!("{}:{paths}", folder.join("bin").display()))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(fs::File::create(&log).expect("a file"));
    let mut pasted = Group::start(&mut shell);
    let state = || format!("{session}\n{}\n{}", read(&out), read(&log));
    let mut ended = None;
    until("the session ends", PATIENCE * 3, state, || {
        ended = pasted.0.try_wait().expect("its status");
        ended.is_some()
    });
    assert!(ended.is_some_and(|status| status.success()), "{}", state());
    pasted
}

#[test]
fn the_session_of_the_shortener_works_when_it_is_pasted_as_one_block() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let counter = root.join("target/guests/javascript/shortener_counter.wasm");
    if !counter.exists() {
        let reason = read(&counter.with_extension("missing.txt"));
        return println!("skipped, because there is no guest in JavaScript: {reason}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("bin")).expect("a folder");
    symlink(env!("CARGO_BIN_EXE_lattice"), path("bin/lattice")).expect("linked");
    let readme = of_the_project("examples/shortener/README.md");
    let session = block_of(&readme, "## Without servers", "sh");
    let data = path("data").display().to_string();
    let session = session.replace("shortener-data", &data);
    let session = session.replace("8080", &free_port());
    let lines = session.lines();
    let lines = lines.filter(|line| !line.starts_with("cargo ") && !line.starts_with("make "));
    let session = lines.collect::<Vec<_>>().join("\n");
    let _pasted = paste(&session, folder.path(), &root);
    let printed = read(&path("out"));
    let mut lines = printed.lines();
    let made = lines.find(|line| line.starts_with('{'));
    let made: Value = serde_json::from_str(made.expect("a link")).expect("JSON");
    assert_eq!(made["url"], "https://example.com/a/long/way", "{printed}");
    assert_eq!(lines.next(), Some("HTTP/1.1 302 Found"), "{printed}");
    let shown: Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
    assert_eq!(
        (&shown["code"], &shown["expires"]),
        (&made["code"], &made["expires"])
    );
    assert!(shown["clicks"]["total"].is_u64(), "{printed}");
}

#[test]
fn a_host_and_an_app_wait_for_a_server_that_starts_after_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let port = free_port();
    fs::write(path("app.toml"), "name = \"shop\"\nexternal = [\"web\"]\n").expect("written");
    let nats = format!("nats://127.0.0.1:{port}");
    let command = |args: &[&str]| {
        let mut command = bare();
        command
            .args(args)
            .args(["--nats", &nats, "--trust-bus", "--connect-timeout", "1m"])
            .current_dir(folder.path())
            .stdin(Stdio::null());
        command
    };
    let (log, applied) = (path("log"), path("applied"));
    let file = |file: &Path| fs::File::create(file).expect("a file");
    let mut host = command(&["up", "--id", "one"]);
    let _host = Process(host.stderr(file(&log)).spawn().expect("starts"));
    let mut apply = command(&["apply", "app.toml"]);
    let apply = apply.env("RUST_LOG", "info").stdout(Stdio::null());
    let mut apply = Process(apply.stderr(file(&applied)).spawn().expect("starts"));
    let state = || format!("{}\n{}", read(&log), read(&applied));
    until("both wait", PATIENCE, state, || {
        [&log, &applied].map(|log| read(log).contains("trying again")) == [true; 2]
    });

    let mut server = Command::new(server());
    server
        .args(["-js", "-a", "127.0.0.1", "-p", &port, "-sd"])
        .arg(path("js"))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let _server = Group::start(&mut server);
    let mut ended = None;
    until("the app is applied", PATIENCE, state, || {
        ended = apply.0.try_wait().expect("its status");
        ended.is_some()
    });
    assert!(ended.is_some_and(|status| status.success()), "{}", state());
    until("the host is up", PATIENCE, state, || {
        read(&log).contains("the host is up")
    });
}

/// The client of the server has lines of its own, over ten each second while the server is away.
#[tokio::test]
async fn a_host_says_once_and_in_its_own_words_that_its_server_is_away() {
    let mut scene = Scene::new().await;
    let _host = scene.up("one");
    let file = scene.folder.path().join("one");
    let log = || read(&file);
    until("the host is up", PATIENCE, log, || {
        log().contains("the host is up")
    });
    scene.nats.kill();
    // It is turned away again and again.
    let door = TcpListener::bind(scene.nats.address()).expect("the port of the server");
    door.set_nonblocking(true).expect("it is non-blocking");
    let mut attempts = 0;
    until("it tries to connect", PATIENCE, log, || {
        attempts += usize::from(door.accept().is_ok());
        attempts == 10
    });
    let lost = "the connection to NATS is lost";
    until("it says so", PATIENCE, log, || log().contains(lost));
    drop(door);
    scene.nats.restart().await;
    until("it is back", PATIENCE, log, || {
        log().contains("the connection to NATS is back")
    });
    let log = log();
    assert!(!log.contains("async_nats"), "{log}");
    assert_eq!(log.matches(lost).count(), 1, "{log}");
    let of_outage = log.lines().skip_while(|line| !line.contains(lost));
    assert!(of_outage.count() < 10, "{log}");
    assert!(text(&scene.run(&["get", "hosts"]).stdout).contains("one"));
}
