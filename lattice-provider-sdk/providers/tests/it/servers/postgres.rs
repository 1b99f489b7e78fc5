//! A PostgreSQL server that listens at a Unix socket.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_postgres::NoTls;

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(30);
/// The user whose password is `s3cret`. All others need none.
pub(crate) const LOCKED: &str = "locked";

/// A server, which ends with this value, and with the test process.
pub(crate) struct PostgresServer {
    programs: PathBuf,
    /// Before the folder, which can only be removed when nothing runs there.
    running: Option<Running>,
    folder: TempDir,
}

/// The shell that runs the server, until its standard input closes.
struct Running {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its end is what the shell waits for.
        drop(self.input.take());
        // It is gone in any case.
        let _ = self.shell.wait();
    }
}

impl PostgresServer {
    /// Starts a server with an empty database. Returns none, and prints why, if it isn't installed.
    pub(crate) async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL server (install postgresql)");
            return None;
        };
        let template = template(&programs).expect("a data folder");
        let folder = tempfile::tempdir().expect("a folder");
        copy(&template, &folder.path().join("data")).expect("a copy of the data folder");
        give_away(folder.path()).expect("the folder belongs to the server's user");
        let mut server = Self {
            folder,
            programs,
            running: None,
        };
        server.restart().await;
        Some(server)
    }

    /// The folder of its socket, which is its host.
    pub(crate) fn host(&self) -> String {
        let path = self.folder.path().to_str().expect("UTF-8");
        path.to_owned()
    }

    /// Stops it at once. Its connections close.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again, with the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let mut command = as_user("sh");
        command
            .args(["-c", UNTIL_INPUT_ENDS, "sh"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .arg("-k")
            .arg(self.folder.path())
            .args(["-h", "", "-F"])
            .args(["-c", "shared_buffers=16MB", "-c", "max_connections=40"])
            .args(["-c", "synchronous_commit=off", "-c", "autovacuum=off"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let mut shell = command.spawn().expect("a shell");
        let input = shell.stdin.take();
        self.running = Some(Running { shell, input });
        let deadline = Instant::now() + START;
        while self.connect().await.is_err() {
            assert!(Instant::now() < deadline, "no server:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs statements at the server, beside the provider.
    pub(crate) async fn run(&self, statements: &str) {
        let client = self.connect().await.expect("a connection");
        let done = client.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Returns how many connections others than this one have that match a condition.
    pub(crate) async fn connections(&self, condition: &str) -> i64 {
        let client = self.connect().await.expect("a connection");
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
             AND pid <> pg_backend_pid() AND {condition}"
        );
        let row = client.query_one(&query, &[]).await.expect("a number");
        row.get(0)
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let options = format!("host={} user=postgres dbname=postgres", self.host());
        let (client, connection) = tokio_postgres::connect(&options, NoTls).await?;
        // It ends with the client.
        tokio::spawn(connection);
        Ok(client)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Runs a server, and stops it at once when its own standard input ends: with the test process.
const UNTIL_INPUT_ENDS: &str = r#"
"$@" </dev/null &
server=$!
while read -r _; do :; done
kill -QUIT $server
wait $server
"#;

/// Returns the folder of the programs of the server: of the `PATH`, or where Debian has them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().find(|folder| {
        ["postgres", "initdb"]
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}

/// Returns a data folder to copy, which the first test makes that needs it.
fn template(programs: &Path) -> io::Result<PathBuf> {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
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
fn as_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
        .current_dir("/");
    command
}

/// Gives a folder to the user as whom the server runs.
fn give_away(folder: &Path) -> io::Result<()> {
    if !is_root() {
        return Ok(());
    }
    run(Command::new("chown").args(["-R", "postgres:"]).arg(folder))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {error}")))
}
