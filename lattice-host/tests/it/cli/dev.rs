//! `lattice dev`: a project is built, run, and swapped in again at each change.

mod apps;
mod page;
mod programs;

use super::{PATIENCE, bare, guest, new, of_the_root, text};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How the project below is built: by any program that `pyproject.toml` names. The component is
/// that of the example, with another greeting.
const PYPROJECT: &str = "[project]\nname = \"front\"\n[tool.lattice]\nbuild = [\"sh\", \"build.sh\"]\ncomponent = \"front.wasm\"\n";
const BUILD: &str = "cp component.bin front.new\nmv front.new front.wasm\n";
const GREETING: &str = "Hello from Rust";

/// A project that `lattice dev` runs.
struct Dev {
    folder: TempDir,
    child: Child,
    address: String,
    /// The deadline of each wait.
    patience: Duration,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A project in a folder, which isn't run yet.
fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["project", "tmp"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let at = |name: &str| folder.path().join("project").join(name);
    fs::write(at("pyproject.toml"), PYPROJECT).expect("written");
    fs::write(at("build.sh"), BUILD).expect("written");
    fs::write(at("component.bin"), component(GREETING)).expect("written");
    folder
}

/// Returns the component that says this in place of its greeting.
fn component(greeting: &str) -> Vec<u8> {
    with("hello_http", GREETING, greeting)
}

/// Returns a guest with one text in place of another one, which has the same length.
fn with(name: &str, before: &str, after: &str) -> Vec<u8> {
    assert_eq!(before.len(), after.len());
    let mut bytes = fs::read(guest(name)).expect("a guest");
    let mut found = 0;
    for at in 0..bytes.len() - before.len() {
        if bytes[at..].starts_with(before.as_bytes()) {
            bytes[at..at + after.len()].copy_from_slice(after.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the guest has `{before}`");
    bytes
}

impl Dev {
    fn start(folder: TempDir) -> Self {
        let mut dev = bare();
        new::cleaned(&mut dev);
        Self::start_with(folder, dev)
    }

    /// Starts it, and waits until its wormhole is open.
    fn start_with(folder: TempDir, command: Command) -> Self {
        let mut dev = Self::begin(folder, command);
        dev.until_open();
        dev
    }

    fn begin(folder: TempDir, mut command: Command) -> Self {
        let file = |name: &str| fs::File::create(folder.path().join(name)).expect("a file");
        command
            .arg("dev")
            .arg(folder.path().join("project"))
            .args(["--http", "127.0.0.1:0", "--ui", "127.0.0.1:0"])
            .env("TMPDIR", folder.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("log"));
        let child = command.spawn().expect("it starts");
        Self {
            folder,
            child,
            address: String::new(),
            patience: PATIENCE,
        }
    }

    /// Waits until its wormhole is open.
    fn until_open(&mut self) {
        self.until("the wormhole is open", |dev| {
            let out = dev.out();
            let mut lines = out.lines().filter(|line| !line.starts_with("page "));
            dev.address = lines.find_map(|line| {
                let (_, address) = line.split_once("http://")?;
                Some(address.trim_end_matches('/').to_owned())
            })?;
            Some(())
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("project").join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn out(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    /// Waits until something holds, while it runs.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> Option<()>) {
        let begun = Instant::now();
        while holds(self).is_none() {
            let ended = self.child.try_wait().expect("a child");
            let log = self.log();
            assert!(ended.is_none(), "{what}: it has ended: {log}");
            assert!(
                begun.elapsed() < self.patience,
                "{what}: not in time: {log}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the log has a text this many times.
    fn until_said(&mut self, text: &str, times: usize) {
        self.until(text, |dev| {
            (dev.log().matches(text).count() >= times).then_some(())
        });
    }

    fn until_answered(&mut self, greeting: &str) {
        self.until(greeting, |dev| {
            let answer = fetch(&dev.address).ok()?;
            answer.contains(greeting).then_some(())
        });
    }

    fn answers(&self, greeting: &str) {
        let answer = fetch(&self.address).expect("it answers");
        assert!(answer.contains(greeting), "{answer}\n{}", self.log());
    }

    /// Writes a file as editors do.
    fn save(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let new = path.with_extension("tmp");
        fs::write(&new, bytes).expect("written");
        fs::rename(new, path).expect("renamed");
    }

    fn interrupt(&self) {
        let mut kill = Command::new("kill");
        kill.args(["-INT", &self.child.id().to_string()]);
        assert!(kill.status().expect("kill runs").success());
    }

    /// Waits until it ends by itself, and checks that it leaves nothing behind.
    fn ends_well(&mut self) {
        let begun = Instant::now();
        let ended = loop {
            if let Some(ended) = self.child.try_wait().expect("a child") {
                break ended;
            }
            assert!(begun.elapsed() < PATIENCE, "it goes on: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        };
        assert!(ended.success(), "{ended}: {}", self.log());
        let left = fs::read_dir(self.folder.path().join("tmp")).expect("a folder");
        let left: Vec<_> = left.filter_map(Result::ok).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Makes a request, and returns the whole response if its status is 200.
fn fetch(address: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!("GET /Ada HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).map_err(failed)?;
    let response = text(&response);
    if response.starts_with("HTTP/1.1 200 ") && response.contains(", at /Ada!") {
        Ok(response)
    } else {
        Err(response)
    }
}

/// Makes requests all the time while `work` runs, and returns how many were made. None may fail.
fn under_calls(address: &str, work: impl FnOnce()) -> u32 {
    let (is_over, made) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        fetch(address)?;
                        made.fetch_add(1, Ordering::Relaxed);
                        // Leaves a core to what is built.
                        thread::sleep(Duration::from_millis(1));
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        // The callers also end if it panics.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Ordering::Relaxed);
        for caller in callers {
            let called = caller.join().expect("no panic");
            called.expect("no call fails");
        }
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    made.into_inner()
}

#[test]
fn a_changed_actor_is_swapped_in_without_a_failed_call() {
    let mut dev = Dev::start(project());
    dev.answers("Hello from Rust");
    let address = dev.address.clone();
    let made = under_calls(&address, || {
        for greeting in ["HELLO from Rust", "Hello FROM Rust", "Hello from RUST"] {
            dev.save("component.bin", &component(greeting));
            dev.until_answered(greeting);
        }
    });
    assert!(made > 10, "{made}");
    let log = dev.log();
    for said in [
        "changed: component.bin\n",
        "  build  ",
        "  check  ",
        "  swap   ",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    dev.interrupt();
    dev.ends_well();
}

#[test]
fn a_failed_build_and_a_broken_manifest_leave_the_old_version_in_service() {
    let mut dev = Dev::start(project());
    dev.save("build.sh", b"echo 'error: expected one of `;`'\nexit 1\n");
    dev.until_said("the version before goes on", 1);
    let log = dev.log();
    assert!(log.contains("\nerror: expected one of `;`\n"), "{log}");
    assert!(log.contains("`sh` failed (exit status: 1)"), "{log}");
    dev.answers("Hello from Rust");
    // Mended, by a change that comes with another one.
    dev.save("component.bin", &component("HELLO from Rust"));
    dev.save("build.sh", BUILD.as_bytes());
    dev.until_answered("HELLO from Rust");

    let manifest = "name = \"shop\"\nactors.front.image = \"file:front.wasm\"\nwormholes.front.actor = \"front\"\n";
    dev.save("app.toml", manifest.replace("image", "imgae").as_bytes());
    dev.until_said("app.toml:2:", 1);
    dev.answers("HELLO from Rust");
    // A component that no host starts.
    dev.save("component.bin", b"no component");
    dev.until_said("app.toml:2:", 2);
    dev.answers("HELLO from Rust");
    dev.save("component.bin", &component("Hello from RUST"));
    dev.until_said("app.toml:2:", 3);
    dev.answers("HELLO from Rust");
}

#[test]
fn a_component_that_no_host_starts_is_refused_before_the_swap() {
    let mut dev = Dev::start(project());
    dev.save("component.bin", b"no component");
    dev.until_said("the version before goes on", 1);
    dev.answers("Hello from Rust");
    dev.save("component.bin", &component("Hello FROM Rust"));
    dev.until_answered("Hello FROM Rust");
}

#[test]
fn a_manifest_is_followed_and_its_removal_is_no_change() {
    let folder = project();
    let manifest = folder.path().join("project/app.toml");
    let text = "name = \"shop\"\nactors.front.image = \"file:front.wasm\"\nwormholes.front.actor = \"front\"\nproviders.kv.builtin = \"keyvalue-memory\"\n";
    fs::write(&manifest, text).expect("written");
    let mut dev = Dev::start(folder);
    dev.answers("Hello from Rust");
    let named = format!("{text}wormholes.front.host = \"front\"\n");
    dev.save("app.toml", named.as_bytes());
    dev.until("the new address is printed", |dev| {
        dev.out().contains("http://front.localhost:").then_some(())
    });
    fs::remove_file(&manifest).expect("removed");
    dev.until_said("changed: app.toml (removed)", 1);
    dev.until_said("can't be read", 1);
    let port = dev.address.rsplit_once(':').expect("a port").1.to_owned();
    let mut stream = TcpStream::connect(&dev.address).expect("it listens");
    let request =
        format!("GET /Ada HTTP/1.1\r\nhost: front.localhost:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("received");
    assert!(response.contains("Hello from Rust"), "{response}");
}

#[test]
fn wit_and_removed_files_count_and_what_is_built_does_not() {
    let mut dev = Dev::start(project());
    fs::create_dir(dev.path("wit")).expect("a folder");
    dev.save("wit/world.wit", b"package a:b;\n");
    dev.until_said("changed: wit/world.wit (new)", 1);
    dev.until_said("nothing in it has changed", 1);
    dev.save("wit/world.wit", b"package a:c;\n");
    dev.until_said("changed: wit/world.wit\n", 1);
    dev.until_said("nothing in it has changed", 2);
    fs::remove_file(dev.path("wit/world.wit")).expect("removed");
    dev.until_said("changed: wit/world.wit (removed)", 1);
    dev.until_said("nothing in it has changed", 3);
    // What the builds wrote isn't among the changes.
    let log = dev.log();
    assert_eq!(log.matches("changed: ").count(), 3, "{log}");
    assert!(!log.contains("front.wasm"), "{log}");
    // A file that is needed: the build fails, and the old version goes on.
    fs::remove_file(dev.path("component.bin")).expect("removed");
    dev.until_said("the version before goes on", 1);
    dev.answers("Hello from Rust");
}

#[test]
fn changes_during_a_build_are_built_after_it() {
    let mut dev = Dev::start(project());
    // The build waits until the test lets it go on.
    let build = "touch begun\nwhile [ ! -e go.tmp ]; do sleep 0.01; done\ncp component.bin front.new\nmv front.new front.wasm\n";
    dev.save("build.sh", build.as_bytes());
    dev.until("the build has begun", |dev| {
        dev.path("begun").exists().then_some(())
    });
    for greeting in ["HELLO from Rust", "Hello FROM Rust"] {
        dev.save("component.bin", &component(greeting));
    }
    fs::write(dev.path("go.tmp"), "").expect("written");
    dev.until_answered("Hello FROM Rust");
    dev.until_said("changed: ", 2);
}

#[test]
fn an_interrupt_during_a_build_ends_it_and_all_that_it_has_started() {
    let folder = project();
    let build = "sleep 1000 &\necho $! > pid.new\nmv pid.new pid\nwait\n";
    fs::write(folder.path().join("project/build.sh"), build).expect("written");
    let mut command = bare();
    new::cleaned(&mut command);
    let mut dev = Dev::begin(folder, command);
    let mut sleeper = String::new();
    dev.until("the build has begun", |dev| {
        sleeper = fs::read_to_string(dev.path("pid")).ok()?;
        Some(())
    });
    dev.interrupt();
    dev.ends_well();
    until_gone(sleeper.trim());
}

/// Whether a process runs. One that was killed may stay a zombie for a moment.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
    !state.starts_with('Z')
}

fn until_gone(pid: &str) {
    let begun = Instant::now();
    while is_running(pid) {
        assert!(begun.elapsed() < PATIENCE, "{pid} goes on");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_folder_without_a_project_and_a_missing_tool_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = |arguments: &[&str]| {
        let mut dev = bare();
        dev.arg("dev").arg(folder.path()).args(arguments);
        let output = dev.output().expect("it runs");
        (output.status.code(), text(&output.stderr))
    };
    let (code, message) = dev(&[]);
    assert_eq!(code, Some(1), "{message}");
    assert!(
        message.contains("`lattice new` makes projects"),
        "{message}"
    );
    let (code, message) = dev(&["--data", "x"]);
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("a lattice of its own"), "{message}");
    let missing = PYPROJECT.replace("\"sh\", \"build.sh\"", "\"componentize-py\"");
    fs::write(folder.path().join("pyproject.toml"), missing).expect("written");
    let (code, message) = dev(&["--http", "127.0.0.1:0"]);
    if message.contains("there is no `componentize-py`") {
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains("pip install"), "{message}");
    }
}

/// From the template to the first answer, and to the answers of two more versions.
#[test]
fn a_new_actor_in_rust_is_built_by_cargo_and_again_after_a_change() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("tmp")).expect("a folder");
    let mut make = bare();
    make.args(["new", "actor", "project", "--in"])
        .arg(folder.path());
    let made = make
        .arg("--sdk")
        .arg(of_the_root(""))
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let lock = of_the_root("examples/guests/Cargo.lock");
    fs::copy(lock, folder.path().join("project/Cargo.lock")).expect("copied");
    // Packages of one name in one target folder would replace each other.
    let rename = |file: &str| {
        let file = folder.path().join("project").join(file);
        let text = fs::read_to_string(&file).expect("a file");
        fs::write(file, text.replace("\"project\"", "\"dev-loop\"")).expect("written");
    };
    rename("Cargo.toml");
    let mut command = bare();
    new::cleaned(&mut command);
    new::for_guests(&mut command);
    let mut dev = Dev::start_with(folder, command);
    dev.answers("Hello from project");
    let source = fs::read_to_string(dev.path("src/lib.rs")).expect("a file");
    let address = dev.address.clone();
    under_calls(&address, || {
        let broken = source.replace(
            "-> Response<Body> {",
            "-> Response<Body> { let x: u8 = \"\";",
        );
        dev.save("src/lib.rs", broken.as_bytes());
        dev.until_said("the version before goes on", 1);
        let log = dev.log();
        assert!(
            log.contains("mismatched types"),
            "the compiler's words: {log}"
        );
        dev.answers("Hello from project");
        let changed = source.replace("Hello from", "Greetings from");
        dev.save("src/lib.rs", changed.as_bytes());
        dev.until_answered("Greetings from project");
    });
    dev.interrupt();
    dev.ends_well();
    assert!(!dev.path("target").exists(), "it is built elsewhere");
}
