//! A PostgreSQL server that listens at a Unix socket.

use crate::{
    failure::NoServer,
    running::{self, End, Running},
};
use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_postgres::NoTls;

const NAME: &str = "PostgreSQL";
/// Variable with the folder of its programs.
const VARIABLE: &str = "POSTGRES_BIN";
const PROGRAMS: [&str; 2] = ["postgres", "initdb"];
/// As whom it runs if this process is root's.
const USER: &str = "postgres";
/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(30);
/// Interval between two attempts to connect to one that starts.
const LOOK: Duration = Duration::from_millis(10);
/// What a server is started with.
const SETTINGS: [&str; 8] = [
    "-c",
    "shared_buffers=16MB",
    "-c",
    "max_connections=40",
    "-c",
    "synchronous_commit=off",
    "-c",
    "autovacuum=off",
];
/// The user whose password is `s3cret`, once it is created. All others need none.
pub const LOCKED: &str = "locked";

/// A server, which ends with this value, and with the process that has started it. Its superuser
/// and its database are `postgres`.
pub struct PostgresServer {
    programs: PathBuf,
    /// Before the folder, which can only be removed when nothing runs there.
    running: Option<Running>,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts a server with an empty database, which takes up to 40 connections.
    ///
    /// # Errors
    /// Fails when this machine has no server, or it doesn't start within 30 s.
    pub async fn start() -> Result<Self, NoServer> {
        let programs = programs().ok_or(NoServer::NotInstalled {
            server: NAME,
            package: "postgresql",
        })?;
        if is_root() {
            running::require(NAME, &["setpriv"])?;
            if !is_user(USER) {
                return Err(NoServer::NoUser {
                    server: NAME,
                    user: USER,
                });
            }
        }
        let folder = prepared(&programs).map_err(unprepared)?;
        let mut server = Self {
            folder,
            programs,
            running: None,
        };
        server.run_it().await?;
        Ok(server)
    }

    /// Returns the folder of its socket, which is its host.
    pub fn host(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Stops it at once. Its connections close.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again, with the same data.
    ///
    /// # Panics
    /// If it doesn't start.
    pub async fn restart(&mut self) {
        if let Err(failed) = self.run_it().await {
            panic!("{failed:?}");
        }
    }

    /// Runs statements at the server, beside the provider.
    ///
    /// # Panics
    /// If one of them fails.
    pub async fn run(&self, statements: &str) {
        let client = self.connect().await.expect("a connection");
        let done = client.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Returns how many connections others than this one have that match a condition.
    ///
    /// # Panics
    /// If the server doesn't say so.
    pub async fn connections(&self, condition: &str) -> i64 {
        let client = self.connect().await.expect("a connection");
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
             AND pid <> pg_backend_pid() AND {condition}"
        );
        let row = client.query_one(&query, &[]).await.expect("a number");
        row.get(0)
    }

    async fn run_it(&mut self) -> Result<(), NoServer> {
        self.stop();
        let folder = self.folder.path();
        let (program, data) = (self.programs.join("postgres"), folder.join("data"));
        let own = [
            OsStr::new("-D"),
            data.as_os_str(),
            OsStr::new("-k"),
            folder.as_os_str(),
        ];
        let server = [program.as_os_str()].into_iter().chain(own);
        let server = server.chain(["-h", "", "-F"].map(OsStr::new));
        let server = server.chain(SETTINGS.map(OsStr::new));
        let running = Running::start(as_user("sh"), End::Signal("QUIT"), folder, server);
        self.running = Some(running.map_err(unprepared)?);
        let deadline = Instant::now() + START;
        while self.connect().await.is_err() {
            if Instant::now() > deadline {
                return Err(NoServer::NotStarted {
                    server: NAME,
                    log: running::log(self.folder.path()),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let options = format!("host={} user=postgres dbname=postgres", self.host());
        let (client, connection) = tokio_postgres::connect(&options, NoTls).await?;
        // It ends with the client.
        tokio::spawn(connection);
        Ok(client)
    }
}

fn unprepared(source: io::Error) -> NoServer {
    NoServer::Unprepared {
        server: NAME,
        source,
    }
}

/// Returns the folder of the programs of the server: of the `PATH`, or where Debian has them.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(env::var_os(VARIABLE).map(PathBuf::from));
    folders.extend(running::search_path());
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.push("/usr/local/pgsql/bin".into());
    running::folder_with(folders, &PROGRAMS)
}

/// Returns a new folder that belongs to the server's user, with the data of an empty database.
fn prepared(programs: &Path) -> io::Result<TempDir> {
    let template = template(programs)?;
    let folder = tempfile::tempdir()?;
    copy(&template, &folder.path().join("data"))?;
    give_away(folder.path())?;
    Ok(folder)
}

/// Returns a data folder to copy, which the first server makes.
fn template(programs: &Path) -> io::Result<PathBuf> {
    let shared = Path::new(running::KEPT);
    fs::create_dir_all(shared)?;
    // One for each version that is installed.
    let name = format!("postgres{}", programs.display()).replace('/', "-");
    let path = shared.join(&name);
    let lock = File::create(shared.join(format!("{name}.lock")))?;
    lock.lock()?;
    if path.exists() {
        return Ok(path);
    }
    let folder = tempfile::tempdir()?;
    give_away(folder.path())?;
    let data = folder.path().join("data");
    let mut command = as_user(programs.join("initdb"));
    command
        .arg("-D")
        .arg(&data)
        .args(["-U", "postgres", "--auth=trust", "--no-sync"])
        .args(["--encoding=UTF8", "--locale=C", "--wal-segsize=1"]);
    run(&mut command)?;
    let access = format!("local all {LOCKED} scram-sha-256\nlocal all all trust\n");
    fs::write(data.join("pg_hba.conf"), access)?;
    // Whole or not at all.
    let part = shared.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    copy(&data, &part)?;
    fs::rename(&part, &path)?;
    Ok(path)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    run(Command::new("cp").arg("-a").arg(from).arg(to))
}

/// Returns a command that runs as a user as whom the server starts: it refuses to run as root.
fn as_user(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user = [format!("--reuid={USER}"), format!("--regid={USER}")];
    command
        .args(user)
        .arg("--clear-groups")
        .arg(program)
        .current_dir("/");
    command
}

/// Gives a folder to the user as whom the server runs.
fn give_away(folder: &Path) -> io::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let owner = format!("{USER}:");
    run(Command::new("chown").arg("-R").arg(owner).arg(folder))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn is_user(name: &str) -> bool {
    let id = Command::new("id").args(["-u", name]).output();
    id.is_ok_and(|id| id.status.success())
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {error}")))
}
