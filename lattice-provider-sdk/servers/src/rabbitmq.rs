//! A RabbitMQ server on a free port.

use crate::{
    failure::NoServer,
    running::{self, End, Running},
    shared::Shared,
};
use std::{
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

const NAME: &str = "RabbitMQ";
const PROGRAMS: [&str; 2] = ["rabbitmq-server", "rabbitmqctl"];
/// What else runs it: the register of names of Erlang, and a shell's tool for groups of processes.
const TOOLS: [&str; 2] = ["epmd", "setsid"];
/// Debian's programs in the `PATH` run only as a user of their own, and these as any.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin";
/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Interval between two looks whether it has started.
const LOOK: Duration = Duration::from_millis(20);

/// Starts the register of names and the server. Without the first, the server would start one that
/// stays.
const START_BOTH: &str = r#"
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
until epmd -names; do sleep 0.05; done
exec "$@"
"#;

/// A server, and a name that nothing else has there. A server of its own ends with this value, and
/// with the process that has started it.
pub struct RabbitServer {
    place: Place,
    name: String,
}

enum Place {
    Own(Own),
    Shared(Shared),
}

struct Own {
    programs: PathBuf,
    ports: Ports,
    /// Before the folder, which can only be removed when nothing runs there.
    running: Option<Running>,
    folder: TempDir,
}

/// Where a server listens: for clients, for its tools, and its register of names.
#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    tools: u16,
    names: u16,
}

impl RabbitServer {
    /// Returns the server that processes share, and starts it if it doesn't run.
    ///
    /// # Errors
    /// Fails when this machine has no server, or it doesn't start within 60 s.
    pub async fn shared() -> Result<Self, NoServer> {
        let programs = programs()?;
        let shared = Shared::server(NAME, move |command, folder| {
            let ports = Ports::free()?;
            ports.configure(command, folder)?;
            command.args(command_line(&programs));
            Ok(ports.amqp)
        });
        Ok(Self {
            place: Place::Shared(shared.await?),
            name: unique(),
        })
    }

    /// Starts a server.
    ///
    /// # Errors
    /// Fails when this machine has no server, or it doesn't start within 60 s.
    pub async fn start() -> Result<Self, NoServer> {
        let mut own = Own {
            programs: programs()?,
            ports: Ports::free().map_err(unprepared)?,
            running: None,
            folder: tempfile::tempdir().map_err(unprepared)?,
        };
        own.run_it().await?;
        Ok(Self {
            place: Place::Own(own),
            name: unique(),
        })
    }

    /// Returns `amqp://127.0.0.1:<port>`. The port stays the same over restarts.
    pub fn url(&self) -> String {
        format!("amqp://{}", self.address())
    }

    /// Returns the address at which it takes connections.
    pub fn address(&self) -> SocketAddr {
        let port = match &self.place {
            Place::Own(own) => own.ports.amqp,
            Place::Shared(shared) => shared.port(),
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Returns a name for an exchange and a lattice that nothing else uses at this server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kills it. What it has is on its disk.
    ///
    /// # Panics
    /// If it is shared.
    pub fn stop(&mut self) {
        self.own_mut().running = None;
    }

    /// Starts it again, with the same data.
    ///
    /// # Panics
    /// If it is shared, or doesn't start.
    pub async fn restart(&mut self) {
        if let Err(failed) = self.own_mut().run_it().await {
            panic!("{failed:?}");
        }
    }

    /// Runs a command of the server's own tool, `rabbitmqctl`.
    ///
    /// # Panics
    /// If it is shared, or the command fails.
    pub async fn control(&self, arguments: &[&str]) {
        let Place::Own(own) = &self.place else {
            panic!("the server is shared");
        };
        let mut command = Command::new(own.programs.join("rabbitmqctl"));
        let configured = own.ports.configure(&mut command, own.folder.path());
        configured.expect("its files can be written");
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("it can be run");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn own_mut(&mut self) -> &mut Own {
        match &mut self.place {
            Place::Own(own) => own,
            Place::Shared(_) => panic!("the server is shared"),
        }
    }
}

impl Own {
    async fn run_it(&mut self) -> Result<(), NoServer> {
        self.running = None;
        // A process that was just killed may still have the port.
        self.until(|port| !running::is_listening(port)).await?;
        let folder = self.folder.path();
        let mut shell = Command::new("sh");
        let configured = self.ports.configure(&mut shell, folder);
        configured.map_err(unprepared)?;
        let server = command_line(&self.programs);
        let running = Running::start(shell, End::WithItsGroup, folder, server);
        self.running = Some(running.map_err(unprepared)?);
        self.until(running::is_listening).await
    }

    /// Waits until this is so for the port for clients.
    async fn until(&self, is_so: impl Fn(u16) -> bool) -> Result<(), NoServer> {
        let deadline = Instant::now() + START;
        while !is_so(self.ports.amqp) {
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
}

impl Ports {
    fn free() -> io::Result<Self> {
        Ok(Self {
            amqp: running::free_port()?,
            tools: running::free_port()?,
            names: running::free_port()?,
        })
    }

    /// Writes the files of a server with its data in a folder, and adds the variables with which
    /// the server and its tools find them.
    fn configure(self, command: &mut Command, folder: &Path) -> io::Result<()> {
        let path = |name: &str| folder.join(name);
        let listener = format!("listeners.tcp.1 = 127.0.0.1:{}\n", self.amqp);
        fs::write(path("rabbitmq.conf"), listener)?;
        fs::write(path("enabled_plugins"), "[].")?;
        command
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("t{}@localhost", self.amqp))
            .env("RABBITMQ_DIST_PORT", self.tools.to_string())
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("none"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            );
        Ok(())
    }
}

fn unprepared(source: io::Error) -> NoServer {
    NoServer::Unprepared {
        server: NAME,
        source,
    }
}

/// Returns the folder of the programs of the server: where Debian has them, or of the `PATH`.
fn programs() -> Result<PathBuf, NoServer> {
    let mut folders = vec![PathBuf::from(DEBIAN)];
    folders.extend(running::search_path());
    let found = running::folder_with(folders, &PROGRAMS).ok_or(NoServer::NotInstalled {
        server: NAME,
        package: "rabbitmq-server",
    })?;
    running::require(NAME, &TOOLS)?;
    Ok(found)
}

/// Returns what runs a server in the foreground.
fn command_line(programs: &Path) -> [OsString; 5] {
    [
        "sh".into(),
        "-c".into(),
        START_BOTH.into(),
        "sh".into(),
        programs.join(PROGRAMS[0]).into(),
    ]
}

/// Returns a name that nothing else has, in any process.
fn unique() -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 still gives one name to one process.
    let now = now.unwrap_or_default().as_millis();
    format!("t{now}-{}-{number}", process::id())
}
