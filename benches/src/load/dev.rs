//! The loop of a developer: `lattice new` and `lattice dev`, in processes of their own.
//!
//! | row | ours | bar |
//! | --- | --- | --- |
//! | `dev.swap_ms` | from the moment at which a new component is in its place to the first response of it, noticing it included: the median of the rounds | ≤ 300 |
//! | `dev.swap.failed` | requests that fail meanwhile, of two clients that make one after the other | ≤ 0 |
//! | `cold.new_to_call_s` | from `lattice new actor` to the first response of the actor, whose dependencies are built: the second of two projects | ≤ 30 |

use crate::{Failure, bars::Bar, guests::Guest, http::HELLO, summary::Row};
use lattice_benches_common::report::Report;
use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SWAP: &str = "dev.swap_ms";
const FAILED: &str = "dev.swap.failed";
const COLD: &str = "cold.new_to_call_s";

/// The most that is waited for. A first build may compile all dependencies.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a response is looked for that isn't there yet.
const LOOK: Duration = Duration::from_millis(1);
/// Swaps in each round.
const SWAPS: usize = 5;

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let wanted: Vec<&str> = [SWAP, FAILED, COLD]
        .into_iter()
        .filter(|row| report.wants(row))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(program) = program() else {
        for row in wanted {
            report.leave_out(
                row,
                "there is no `lattice` beside this program; `.ci/bench.sh` builds it",
            );
        }
        return Ok(());
    };
    if wanted.contains(&SWAP) || wanted.contains(&FAILED) {
        let (lattice, rounds) = (program.clone(), report.rounds());
        let measured = tokio::task::spawn_blocking(move || swaps(&lattice, rounds * SWAPS));
        let Swaps { millis, failed } = measured.await??;
        report.add_row(Row::new(SWAP, millis, None, "ms"), Bar::AtMost(300.0));
        let failed = f64::from(failed);
        report.add_row(Row::new(FAILED, failed, None, "calls"), Bar::AtMost(0.0));
    }
    if wanted.contains(&COLD) {
        match rustc() {
            None => report.leave_out(COLD, "no compiler for actors is known; run `make guests`"),
            Some(rustc) => {
                let measured = tokio::task::spawn_blocking(move || cold(&program, &rustc));
                let row = Row::new(COLD, measured.await??, None, "s");
                report.add_row(row, Bar::AtMost(30.0));
            }
        }
    }
    Ok(())
}

/// Returns the `lattice` that was built with this program.
fn program() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    // Programs are in a folder, and those of tests in one below it.
    let mut folders = own.ancestors().skip(1).take(2);
    let name = format!("lattice{}", env::consts::EXE_SUFFIX);
    folders.find_map(|folder| Some(folder.join(&name)).filter(|path| path.is_file()))
}

/// Returns the compiler with which `.ci/guests.sh` builds guests.
fn rustc() -> Option<String> {
    let path = fs::read_to_string(root().join("target/guests/rustc.txt")).ok()?;
    Some(path.trim().to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Swaps {
    millis: f64,
    failed: u32,
}

/// Swaps two versions of a component again and again.
fn swaps(lattice: &Path, count: usize) -> Result<Swaps, Failure> {
    let folder = tempfile::tempdir()?;
    let component = fs::read(Guest::HttpHello.path()?)?;
    let versions = [HELLO.to_owned(), HELLO.to_uppercase()];
    let [one, other] = versions.each_ref().map(|text| saying(&component, text));
    let image = folder.path().join("front.wasm");
    fs::write(&image, &one)?;
    let manifest = "name = \"bench\"\n[actors.front]\nimage = \"file:front.wasm\"\n[wormholes.front]\nactor = \"front\"\n";
    fs::write(folder.path().join("app.toml"), manifest)?;
    let dev = Dev::start(Command::new(lattice), folder.path())?;
    dev.until_answered(&versions[0])?;
    let (is_over, failed) = (AtomicBool::new(false), AtomicU32::new(0));
    let times = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if fetch(&dev.address).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    // Ports of closed connections stay in use for a while.
                    thread::sleep(LOOK);
                }
            });
        }
        let mut swap = |at: usize| {
            let is_other = at.is_multiple_of(2);
            let (bytes, text) = if is_other {
                (&other, &versions[1])
            } else {
                (&one, &versions[0])
            };
            let new = folder.path().join("front.tmp");
            fs::write(&new, bytes)?;
            let begun = Instant::now();
            fs::rename(new, &image)?;
            until_answered(&dev.address, text)?;
            Ok::<_, Failure>(begun.elapsed())
        };
        let times: Result<Vec<Duration>, Failure> = (0..count).map(&mut swap).collect();
        is_over.store(true, Ordering::Relaxed);
        times
    });
    let mut times = times?;
    times.sort();
    dev.end()?;
    let median = times.get(times.len() / 2).ok_or("nothing was swapped")?;
    Ok(Swaps {
        millis: median.as_secs_f64() * 1_000.0,
        failed: failed.into_inner(),
    })
}

/// Returns a component that says another text of the same length.
fn saying(component: &[u8], text: &str) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let length = HELLO.len();
    for at in 0..bytes.len().saturating_sub(length) {
        if let Some(part) = bytes.get_mut(at..at + length)
            && part == HELLO.as_bytes()
        {
            part.copy_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// Makes two projects and calls both, and returns the seconds of the second.
fn cold(lattice: &Path, rustc: &str) -> Result<f64, Failure> {
    let folder = tempfile::tempdir()?;
    let mut took = Duration::ZERO;
    for name in ["bench-first", "bench-second"] {
        let begun = Instant::now();
        let mut new = Command::new(lattice);
        new.args(["new", "actor", name, "--in"]).arg(folder.path());
        new.arg("--sdk").arg(root()).stdout(Stdio::null());
        if !new.status()?.success() {
            return Err("`lattice new` failed".into());
        }
        let project = folder.path().join(name);
        // The versions that have been fetched.
        let lock = root().join("examples/guests/Cargo.lock");
        fs::copy(lock, project.join("Cargo.lock"))?;
        let mut dev = Command::new(lattice);
        for variable in [
            "CLIPPY_ARGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
        ] {
            dev.env_remove(variable);
        }
        dev.env("RUSTC", rustc)
            .env("CARGO_NET_OFFLINE", "true")
            .env(
                "CARGO_TARGET_DIR",
                root().join("target/guests").canonicalize()?,
            );
        let dev = Dev::start(dev, &project)?;
        dev.until_answered(&format!("Hello from {name}"))?;
        took = begun.elapsed();
        dev.end()?;
    }
    Ok(took.as_secs_f64())
}

/// A `lattice dev`, which is killed on drop.
struct Dev {
    child: Child,
    address: String,
    _log: TempDir,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dev {
    /// Starts it in a folder, and waits until its wormhole is open.
    fn start(mut command: Command, folder: &Path) -> Result<Self, Failure> {
        let log = tempfile::tempdir()?;
        let (out, errors) = (log.path().join("out"), log.path().join("log"));
        command
            .arg("dev")
            .arg(folder)
            .args(["--http", "127.0.0.1:0", "--no-ui"])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out)?)
            .stderr(fs::File::create(&errors)?);
        let mut dev = Self {
            child: command.spawn()?,
            address: String::new(),
            _log: log,
        };
        let begun = Instant::now();
        loop {
            let printed = fs::read_to_string(&out)?;
            let address = printed.lines().find_map(|line| line.split_once("http://"));
            if let Some((_, address)) = address {
                address.trim_end_matches('/').clone_into(&mut dev.address);
                return Ok(dev);
            }
            if dev.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(&errors)?;
                return Err(format!("`lattice dev` does not serve: {log}").into());
            }
            thread::sleep(LOOK);
        }
    }

    fn until_answered(&self, text: &str) -> Result<(), Failure> {
        until_answered(&self.address, text)
    }

    /// Ends it as ctrl-c does.
    fn end(mut self) -> Result<(), Failure> {
        crate::process::signal(self.child.id(), "INT")?;
        self.child.wait()?;
        Ok(())
    }
}

/// Waits until the body of a response has a text.
fn until_answered(address: &str, text: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    while !fetch(address).is_ok_and(|response| response.contains(text)) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("no response has `{text}`").into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Makes one request, and returns the whole response if its status is 200.
fn fetch(address: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    if response.starts_with("HTTP/1.1 200 ") {
        Ok(response)
    } else {
        Err(response.into())
    }
}
