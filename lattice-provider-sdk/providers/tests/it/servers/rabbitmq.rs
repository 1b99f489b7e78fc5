//! Servers of AMQP: one that tests share, and those of single tests.

use super::{free_port, shared::Shared};
use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A server, and names that no other test has.
pub(crate) struct RabbitServer {
    port: u16,
    own: Option<Own>,
    _shared: Option<Shared>,
    name: String,
}

/// A server of a single test, which ends with this value, and with the test process.
struct Own {
    ports: Ports,
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

/// Where a server listens: for clients, for its tools, and its register of names.
#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    tools: u16,
    names: u16,
}

/// Starts the register of names and the server. Without the first, the server would start one that
/// stays.
const START_BOTH: &str = r#"
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
until epmd -names; do sleep 0.05; done
exec "$@"
"#;

/// Runs a server, and kills all that it has started when its own standard input ends: with the test
/// process.
const UNTIL_INPUT_ENDS: &str = r#"
setsid "$@" </dev/null &
server=$!
while read -r _; do :; done
kill -KILL -$server
wait $server
"#;

impl RabbitServer {
    /// Returns the server that tests share. Returns none, and prints why, if it isn't installed.
    pub(crate) async fn shared() -> Option<Self> {
        let programs = programs()?;
        let start = move |folder: &Path| {
            let ports = Ports::free();
            (ports.server(&programs, folder), ports.amqp.to_string())
        };
        let shared = Shared::server("rabbitmq", start, |port| {
            port.parse().is_ok_and(is_listening)
        });
        let shared = shared.await.unwrap_or_else(|reason| panic!("{reason}"));
        Some(Self {
            port: shared.address.parse().expect("a port"),
            own: None,
            _shared: Some(shared),
            name: unique(),
        })
    }

    /// Starts a server. Returns none, and prints why, if it isn't installed.
    pub(crate) async fn start() -> Option<Self> {
        programs()?;
        let ports = Ports::free();
        let mut server = Self {
            port: ports.amqp,
            own: Some(Own {
                ports,
                running: None,
                folder: tempfile::tempdir().expect("a folder"),
            }),
            _shared: None,
            name: unique(),
        };
        server.restart().await;
        Some(server)
    }

    /// `amqp://127.0.0.1:<port>`; the port stays the same over restarts.
    pub(crate) fn url(&self) -> String {
        format!("amqp://{}", self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A name for the exchange and the lattice of a test.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.own_mut().running = None;
    }

    /// Starts it again, with the same data.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let own = self.own_mut();
        let command = own
            .ports
            .server(&programs().expect("installed"), own.folder.path());
        let log = File::create(own.folder.path().join("log")).expect("a log");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", UNTIL_INPUT_ENDS, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let mut shell = shell.spawn().expect("a shell");
        let input = shell.stdin.take();
        own.running = Some(Running { shell, input });
        let deadline = Instant::now() + START;
        while !is_listening(own.ports.amqp) {
            let log = fs::read_to_string(own.folder.path().join("log"));
            assert!(
                Instant::now() < deadline,
                "no server:\n{}",
                log.unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has the server's tools do something, beside the provider.
    pub(crate) async fn control(&self, arguments: &[&str]) {
        let own = self.own.as_ref().expect("a server of this test");
        let programs = programs().expect("installed");
        let mut command = Command::new(programs.join("rabbitmqctl"));
        own.ports.environment(&mut command, own.folder.path());
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn own_mut(&mut self) -> &mut Own {
        self.own.as_mut().expect("a server of this test")
    }
}

impl Ports {
    fn free() -> Self {
        Self {
            amqp: free_port(),
            tools: free_port(),
            names: free_port(),
        }
    }

    /// Returns the command that runs a server with its data in a folder.
    fn server(&self, programs: &Path, folder: &Path) -> Command {
        let file = |name: &str, content: &str| {
            fs::write(folder.join(name), content).expect("a file of the server");
        };
        let listener = format!("listeners.tcp.1 = 127.0.0.1:{}\n", self.amqp);
        file("rabbitmq.conf", &listener);
        file("enabled_plugins", "[].");
        let mut command = Command::new("sh");
        command
            .args(["-c", START_BOTH, "sh"])
            .arg(programs.join("rabbitmq-server"));
        self.environment(&mut command, folder);
        command
    }

    fn environment(&self, command: &mut Command, folder: &Path) {
        let path = |name: &str| folder.join(name);
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
    }
}

/// Prints which of the programs is missing that run a server.
const MISSING: &str = "
for tool in epmd setsid flock; do command -v $tool >/dev/null || echo $tool; done
";

fn is_listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns a name that no other test has.
fn unique() -> String {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let number = TESTS.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("the time").as_millis();
    format!("t{now}-{}-{number}", std::process::id())
}

/// Returns the folder of the programs, which run as any user there. Those in Debian's `PATH` don't.
fn programs() -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib/rabbitmq/bin")];
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut found = folders.into_iter().filter(|folder| {
        ["rabbitmq-server", "rabbitmqctl"]
            .iter()
            .all(|name| folder.join(name).is_file())
    });
    let found = found.next();
    let tools = Command::new("sh").args(["-c", MISSING]).output();
    let missing = tools.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let missing = missing.ok().filter(|missing| !missing.is_empty());
    match (found, missing) {
        (Some(found), None) => Some(found),
        (None, _) => {
            println!("skipped: no RabbitMQ server (install rabbitmq-server)");
            None
        }
        (_, Some(missing)) => {
            println!("skipped: RabbitMQ can't be run without the program {missing}");
            None
        }
    }
}
