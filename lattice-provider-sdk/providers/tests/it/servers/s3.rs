//! Servers of S3: moto, a program in Python.

use super::{free_port, shared::Shared};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/servers/s3.py");
/// Python with moto, as `.ci/servers.sh` installs it.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/moto/bin/python");

/// A bucket of a server that tests share. The server doesn't check signatures.
pub(crate) struct Bucket {
    pub(crate) endpoint: String,
    pub(crate) name: String,
    _shared: Shared,
}

/// A server of a single test, which checks signatures, with the bucket `signed` and a key.
pub(crate) struct SigningServer {
    pub(crate) endpoint: String,
    pub(crate) key_id: String,
    pub(crate) key: String,
    process: Child,
    _folder: TempDir,
}

impl Bucket {
    /// Makes a bucket. Returns none, and prints why, if there is no server.
    pub(crate) async fn new() -> Option<Self> {
        let python = python()?;
        let start = move |folder: &Path| {
            let port = free_port().to_string();
            let mut command = Command::new(python);
            command.args([PROGRAM, &port]).arg(folder.join("ready"));
            (command, port)
        };
        let shared = Shared::server("s3", start, |port| {
            port.parse().is_ok_and(|port| connect(port).is_some())
        });
        let shared = shared.await.unwrap_or_else(|reason| panic!("{reason}"));
        let port: u16 = shared.address.parse().expect("a port");
        let now = std::time::UNIX_EPOCH
            .elapsed()
            .expect("the time")
            .as_nanos();
        let name = format!("b{}-{now}", std::process::id());
        create(port, &name);
        Some(Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            name,
            _shared: shared,
        })
    }
}

impl SigningServer {
    /// Starts a server. Returns none, and prints why, if it isn't installed.
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, file) = (free_port(), folder.path().join("ready"));
        let mut command = Command::new(python()?);
        command
            .args([PROGRAM, &port.to_string()])
            .arg(&file)
            .arg("signed")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().expect("it starts");
        let mut server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            key_id: String::new(),
            key: String::new(),
            process,
            _folder: folder,
        };
        let deadline = Instant::now() + START;
        while !file.exists() {
            assert!(Instant::now() < deadline, "no server of S3");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let told = fs::read_to_string(file).expect("a key");
        let (id, key) = told.split_once(' ').expect("an id and a key");
        (server.key_id, server.key) = (id.to_owned(), key.to_owned());
        Some(server)
    }
}

impl Drop for SigningServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
}

/// Creates a bucket, which the client of the provider can't.
fn create(port: u16, name: &str) {
    let mut connection = connect(port).expect("the server listens");
    let request = format!(
        "PUT /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).expect("sent");
    let mut reply = String::new();
    connection.read_to_string(&mut reply).expect("a reply");
    let status = reply.split(' ').nth(1);
    assert_eq!(status, Some("200"), "{reply}");
}

/// Returns a Python that has moto.
fn python() -> Option<&'static str> {
    let has_moto = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('moto', 'boto3', 'flask', 'flask_cors'))))"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    let found = [INSTALLED, "python3"].into_iter().find(has_moto);
    if found.is_none() {
        println!("skipped: no server of S3 (install moto for python3, see .ci/servers.sh)");
    }
    found
}
