//! Servers that the tests of several processes share. The first test starts one, and it ends some
//! seconds after the last.
//!
//! ```text
//! lock      held by who starts or ends the server
//! in-use    held, together with others, by each process that uses it
//! address   how to reach it; there while it runs
//! ```

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long a server may take to start, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A use of a server that others use, too. It ends with this value, or with the process.
pub(crate) struct Shared {
    /// What the server was started with.
    pub(crate) address: String,
    _in_use: File,
}

/// Runs a server until nothing has used it for five seconds, and kills all that it has started.
const WHILE_IN_USE: &str = r#"
setsid "$@" &
server=$!
while kill -0 $server; do
    idle=0
    while [ $idle -lt 5 ] && kill -0 $server; do
        sleep 1
        if flock -n -x in-use true; then idle=$((idle + 1)); else idle=0; fi
    done
    exec 9>lock
    flock 9
    if flock -n -x in-use true; then
        rm -f address
        kill -KILL -$server
        exit
    fi
    exec 9>&-
done
"#;

impl Shared {
    /// Returns the server with this name. If there is none, `start` gets a folder and returns the
    /// command that runs one there, and its address, and `is_ready` says whether it can be reached.
    /// Fails with the reason if it doesn't start.
    pub(crate) async fn server(
        name: &str,
        start: impl FnOnce(&Path) -> (Command, String) + Send + 'static,
        is_ready: fn(&str) -> bool,
    ) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // It waits for locks.
        let found = tokio::task::spawn_blocking(move || find(folder, start, is_ready));
        found.await.expect("no panic")
    }
}

fn find(
    folder: PathBuf,
    start: impl FnOnce(&Path) -> (Command, String),
    is_ready: fn(&str) -> bool,
) -> Result<Shared, String> {
    fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| {
        let opened = File::options()
            .create(true)
            .append(true)
            .open(folder.join(name));
        opened.expect("a file")
    };
    let lock = file("lock");
    lock.lock().expect("a lock");
    let in_use = file("in-use");
    in_use.lock_shared().expect("a lock");
    let known = fs::read_to_string(folder.join("address")).unwrap_or_default();
    if !known.is_empty() && is_ready(&known) {
        return Ok(Shared {
            address: known,
            _in_use: in_use,
        });
    }
    // What an earlier one has left.
    let data = folder.join("data");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data).expect("a folder");
    let (command, address) = start(&data);
    let log = File::create(folder.join("log")).expect("a log");
    let mut janitor = Command::new("setsid");
    janitor
        .args(["--fork", "sh", "-c", WHILE_IN_USE, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    // It goes on beside this process.
    let begun = janitor.status().is_ok_and(|status| status.success());
    assert!(begun, "no janitor of the server");
    let deadline = Instant::now() + START;
    while !is_ready(&address) {
        if Instant::now() > deadline {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!(
                "{name} didn't start:\n{log}",
                name = folder.display()
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(folder.join("address"), &address).expect("the address");
    Ok(Shared {
        address,
        _in_use: in_use,
    })
}
