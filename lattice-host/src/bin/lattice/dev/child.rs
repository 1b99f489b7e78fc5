//! The tools that build: processes that end with this one, with all that they have started.

use std::{
    io,
    process::{ExitStatus, Output, Stdio},
};
use tokio::process::{Child, Command};

/// Runs a tool to its end. What it prints goes to standard error, as it is.
///
/// # Errors
/// Fails when it can't be started.
///
/// # Cancel safety
/// Dropping the future kills the tool and all that it has started.
pub(super) async fn run(command: &mut Command) -> io::Result<ExitStatus> {
    // What this program prints on standard output are its results.
    command.stdout(io::stderr()).stderr(Stdio::inherit());
    let mut group = Group::start(command)?;
    group.0.wait().await
}

/// Runs a tool to its end, and returns what it has printed.
///
/// # Errors
/// Fails when it can't be started.
///
/// # Cancel safety
/// Dropping the future kills the tool and all that it has started.
pub(super) async fn output(command: &mut Command) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command)?;
    let child = &mut group.0;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (status, (), ()) =
        tokio::try_join!(child.wait(), read(stdout, &mut out), read(stderr, &mut err))?;
    Ok(Output {
        status,
        stdout: out,
        stderr: err,
    })
}

async fn read(
    pipe: Option<impl tokio::io::AsyncRead + Unpin>,
    text: &mut Vec<u8>,
) -> io::Result<()> {
    use tokio::io::AsyncReadExt as _;
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(text).await?;
    }
    Ok(())
}

/// A process and those that it starts, which are killed on drop unless it has ended.
#[derive(Debug)]
pub(super) struct Group(Child);

impl Group {
    /// Starts a process in a group of its own: ctrl-c in the terminal reaches only this program,
    /// which ends the group.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map(Self)
    }

    /// Returns how the process has ended, or `None` while it runs.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    fn kill(&mut self) {
        // The id is known until the process has been waited for, so it isn't another one's.
        #[cfg(unix)]
        if let Some(id) = self.0.id()
            && let Ok(id) = i32::try_from(id)
            && let Some(group) = rustix::process::Pid::from_raw(id)
        {
            // All of them may have ended already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        #[cfg(not(unix))]
        let _ = self.0.start_kill();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[tokio::test]
    async fn the_status_and_the_output_are_returned() {
        let ended = run(&mut shell("exit 3")).await.expect("it runs");
        assert_eq!(ended.code(), Some(3));
        let said = output(&mut shell("echo out; echo err >&2")).await;
        let said = said.expect("it runs");
        assert_eq!(
            (&*said.stdout, &*said.stderr),
            (&b"out\n"[..], &b"err\n"[..])
        );
        let missing = run(&mut Command::new("no-such-tool")).await;
        let missing = missing.expect_err("there is none");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn dropping_it_kills_what_the_tool_has_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let mut shell = shell(&script);
        let running = run(&mut shell);
        let child = async {
            loop {
                let text = std::fs::read_to_string(&pid).unwrap_or_default();
                if let Ok(id) = text.trim().parse::<i32>() {
                    break id;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let child = tokio::select! {
            ended = running => panic!("it has ended: {ended:?}"),
            child = child => child,
        };
        let child = rustix::process::Pid::from_raw(child).expect("an id");
        let begun = Instant::now();
        // What has been killed stays a zombie until its new parent has waited for it.
        let runs = || {
            let stat = format!("/proc/{}/stat", child.as_raw_nonzero());
            let stat = std::fs::read_to_string(stat).unwrap_or_default();
            let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
            !state.starts_with('Z')
        };
        while rustix::process::test_kill_process(child).is_ok() && runs() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
