//! Servers of S3: moto, a program in Python. The one that processes share takes the requests of
//! Google's client too, whose headers are translated for it.

use crate::{
    failure::NoServer,
    running::{self, End, Running},
    shared::Shared,
};
use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const NAME: &str = "moto";
/// What runs it.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/s3.py");
/// Python with moto, as `.ci/servers.sh` installs it.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/moto/bin/python");
/// Fails if a Python doesn't have it.
const HAS_MOTO: &str = "import importlib.util as u, sys; \
    sys.exit(not all(map(u.find_spec, ('moto', 'boto3', 'flask', 'flask_cors'))))";
/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Interval between two looks whether it has started.
const LOOK: Duration = Duration::from_millis(20);
/// How long a server may take to create a bucket, on a busy machine.
const CREATE: Duration = Duration::from_secs(20);
/// The bucket of a server that checks signatures, as its program names it.
const SIGNED: &str = "signed";

/// An empty bucket of a server that processes share. The server takes any key, of S3 and of Google
/// Cloud Storage. Its lists have 25 entries on a page.
pub struct S3Bucket {
    name: String,
    server: Shared,
}

impl S3Bucket {
    /// Creates a bucket, and starts the server if it doesn't run.
    ///
    /// # Errors
    /// Fails when this machine has no server, or it doesn't start within 60 s.
    pub async fn create() -> Result<Self, NoServer> {
        let python = python()?;
        let server = Shared::server(NAME, move |command, folder| {
            let port = running::free_port()?;
            command.args(command_line(python, port, folder));
            Ok(port)
        });
        let server = server.await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        let name = format!("b{}-{now}", process::id());
        create(server.port(), &name).map_err(unprepared)?;
        Ok(Self { name, server })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        endpoint(self.server.port())
    }
}

/// A server that checks signatures, with one bucket and one key. It ends with this value, and with
/// the process that has started it.
pub struct S3Server {
    port: u16,
    key_id: String,
    key: String,
    /// Before the folder, which can only be removed when nothing runs there.
    _running: Running,
    _folder: TempDir,
}

impl S3Server {
    /// Starts a server.
    ///
    /// # Errors
    /// Fails when this machine has no server, or it doesn't start within 60 s.
    pub async fn start() -> Result<Self, NoServer> {
        let python = python()?;
        let folder = tempfile::tempdir().map_err(unprepared)?;
        let port = running::free_port().map_err(unprepared)?;
        let server = command_line(python, port, folder.path()).into_iter();
        let server = server.chain([SIGNED.into()]);
        let end = End::Signal("KILL");
        let running = Running::start(Command::new("sh"), end, folder.path(), server);
        let running = running.map_err(unprepared)?;
        let deadline = Instant::now() + START;
        let (key_id, key) = loop {
            let told = fs::read_to_string(ready(folder.path())).unwrap_or_default();
            if let Some((key_id, key)) = told.split_once(' ') {
                break (key_id.to_owned(), key.to_owned());
            }
            if Instant::now() > deadline {
                return Err(NoServer::NotStarted {
                    server: NAME,
                    log: running::log(folder.path()),
                });
            }
            tokio::time::sleep(LOOK).await;
        };
        Ok(Self {
            port,
            key_id,
            key,
            _running: running,
            _folder: folder,
        })
    }

    /// Returns `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// Returns the name of its bucket.
    pub fn bucket(&self) -> &'static str {
        SIGNED
    }

    /// Returns the id of its key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Returns its key, which may do everything with the bucket.
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn unprepared(source: io::Error) -> NoServer {
    NoServer::Unprepared {
        server: NAME,
        source,
    }
}

/// Returns what runs a server in the foreground, with its data in a folder.
fn command_line(python: &str, port: u16, folder: &Path) -> [OsString; 4] {
    [
        python.into(),
        PROGRAM.into(),
        port.to_string().into(),
        ready(folder).into(),
    ]
}

/// Returns the file that a server writes once it listens.
fn ready(folder: &Path) -> PathBuf {
    folder.join("ready")
}

/// Creates a bucket, which the client of the provider can't.
fn create(port: u16, name: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(CREATE))?;
    let request = format!(
        "PUT /{name} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes())?;
    let mut reply = String::new();
    connection.read_to_string(&mut reply)?;
    if reply.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let reason = format!("the bucket `{name}` was not created: {reply}");
    Err(io::Error::other(reason))
}

/// Returns a Python that has moto.
fn python() -> Result<&'static str, NoServer> {
    let has_moto = |python: &&str| {
        let output = Command::new(python).args(["-c", HAS_MOTO]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = [INSTALLED, "python3"].into_iter().find(has_moto);
    found.ok_or(NoServer::NotInstalled {
        server: NAME,
        package: "moto[s3]",
    })
}
