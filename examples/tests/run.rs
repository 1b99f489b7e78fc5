//! Runs each example as a person would, and checks its output.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Much longer than any example takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Returns the program of an example. `cargo test` builds it into a folder next to this program.
fn example(name: &str) -> Command {
    let this = std::env::current_exe().expect("this program has a path");
    let folder = this.ancestors().nth(2).expect("it is in `deps`");
    let program: PathBuf = folder.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing: run `cargo build --release -p lattice-examples --examples`",
        program.display()
    );
    let mut command = Command::new(program);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs an example until it ends successfully, and returns its output.
fn run(name: &str) -> String {
    let mut child = Running(
        example(name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts"),
    );
    let output = child.output();
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(
        output.status.success(),
        "{name} ended with {}:\n{text}\n{errors}",
        output.status
    );
    println!("{text}{errors}");
    text
}

/// A running program, which is killed on drop.
struct Running(Child);

impl Running {
    /// Returns its output, once it has ended by the deadline.
    fn output(&mut self) -> Output {
        let stdout = read_all(self.0.stdout.take());
        let stderr = read_all(self.0.stderr.take());
        let status = self.ended();
        Output {
            status,
            stdout: stdout.join().expect("it was read"),
            stderr: stderr.join().expect("it was read"),
        }
    }

    fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("its status") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has most likely ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_all(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut from) = from {
            from.read_to_end(&mut text).expect("readable");
        }
        text
    })
}

/// Returns the number in the line that starts with `label`.
fn number(text: &str, label: &str) -> u64 {
    let mut lines = text.lines().map(str::trim_start);
    let rest = lines
        .find_map(|line| line.strip_prefix(label))
        .unwrap_or_else(|| panic!("no line `{label}` in\n{text}"));
    let digits = rest
        .split_whitespace()
        .next()
        .expect("something after the label");
    digits
        .parse()
        .unwrap_or_else(|_| panic!("`{digits}` after `{label}`"))
}

fn has(text: &str, what: &str) {
    assert!(text.contains(what), "`{what}` is not in\n{text}");
}

/// Checks the output of an example in which a host dies while 16 callers make calls.
fn survived(text: &str, dead: &str, before: &str, after: &str) {
    assert!(number(text, before) > 0, "{text}");
    assert!(number(text, after) > 0, "{text}");
    let failed = number(text, "failed");
    // Each caller has one call in flight, so at most that one was at the dead host.
    assert!(failed <= 16, "{text}");
    if failed > 0 {
        has(text, &format!("that may have run: host `{dead}` was lost"));
    }
    assert!(number(text, "longest gap") < 2_000_000, "{text}");
}

#[test]
fn quickstart() {
    let text = run("quickstart");
    has(&text, "host red   runs front-desk\n");
    has(&text, "host blue  runs greeter, store\n");
    has(&text, "component `visitor` has no link `default`");
    has(&text, "component `front-desk` has no link `default`");
    has(
        &text,
        "\"Hello, Ada! (visit 1, received on red, greeted on blue)\"",
    );
    let next_door = |host: &str| format!("received on {host}, greeted on {host})");
    assert!(
        text.contains(&next_door("red")) || text.contains(&next_door("blue")),
        "{text}"
    );
    has(&text, "the deadline passed; the call may have run");
    let waited = number(&text, "after");
    assert!((45_000..1_000_000).contains(&waited), "{text}");
    survived(
        &text,
        "red",
        "answered by two hosts",
        "answered by blue alone",
    );
    has(&text, "   GET http://");
    has(&text, "\"Hello from Rust, at /demo!\"");
}

#[test]
fn custom_provider() {
    let text = run("custom_provider");
    has(
        &text,
        "link `no-config` is rejected: the link has no config, but the provider needs one",
    );
    has(
        &text,
        "link `mistyped` is rejected: the link's config doesn't fit the provider: unknown field `sendr`",
    );
    has(
        &text,
        "link `no-address` is rejected: `sender` is `shop`, which isn't an address",
    );
    has(
        &text,
        "a call over it did not run: the target refused link `no-address` of `shop`: `sender` is `shop`",
    );
    has(&text, "link `default` is active");
    has(&text, "shop: sent, 1 left\n");
    has(&text, "shop: sent, 0 left\n");
    has(&text, "shop: not sent: OverLimit");
    has(&text, "mailer: the link from shop called `default` is gone");
}

#[test]
fn across_processes() {
    let text = run("across_processes");
    has(&text, "Hello, Ada! (visit 1, ");
    survived(&text, "one", "answered by two hosts", "answered by `two`");
    has(&text, "recovered: Hello, Ada!");
    has(&text, "received on three");
}

#[test]
fn shortener() {
    let text = run("shortener");
    if text.starts_with("skipped") {
        return;
    }
    has(
        &text,
        "   201 Created {\"code\":\"way\",\"short\":\"http://short.localhost:",
    );
    has(
        &text,
        "   GET /way: 302 Found to https://example.com/a/long/way?to=go\n",
    );
    has(&text, "   GET /popular, 16 times: 16 clicks are counted");
    let refused = |url: &str, code: &str| {
        let line = format!("   {url}: 400 Bad Request {{\"error\":{{\"code\":\"{code}\"");
        has(&text, &line);
    };
    refused("javascript:alert(1)", "bad-url");
    refused("http://short.localhost/loop", "loop");
    refused("https://ada@example.com", "bad-url");
    has(&text, "   GET /nothing: 404 Not Found\n");
}

#[cfg(unix)]
#[test]
fn embed() {
    let mut service = Running(
        example("embed")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts"),
    );
    let mut output = BufReader::new(service.0.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let address = line
        .trim_end()
        .strip_prefix("listening on http://")
        .unwrap_or_else(|| panic!("it printed `{line}`"));

    has(&get(address, "/health", ""), "ok");
    let welcome = get(address, "/welcome/Ada", "");
    has(&welcome, "HTTP/1.1 200");
    has(&welcome, "Hello, Ada! (visit 1, ");
    let nameless = get(address, "/welcome/%20", "");
    has(&nameless, "HTTP/1.1 422");
    has(&nameless, "please say who you are");
    let late = get(address, "/welcome/Ada", "x-deadline-ms: 0\r\n");
    has(&late, "HTTP/1.1 504");
    has(&late, "retry-after: 1");
    has(&late, "\"ran\":\"did not run\"");
    has(
        &get(address, "/welcome/Ada", "x-deadline-ms: soon\r\n"),
        "HTTP/1.1 400",
    );
    let hello = get(address, "/hello/Ada", "");
    has(&hello, "HTTP/1.1 200");
    has(&hello, "Hello from Rust, at /hello/Ada!");
    has(&get(address, "/hello-too", ""), "HTTP/1.1 404");
    // The late request was not counted, because its call did not run.
    has(&get(address, "/welcome/Ada", ""), "(visit 2, ");

    let pid = service.0.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(killed.expect("the kill command").success());
    assert!(service.ended().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    has(&rest, "stopped, nothing was cut off");
}

/// Makes a request and returns the whole response.
fn get(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n"
    )
    .expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}
