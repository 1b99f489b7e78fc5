//! One process of a provider, from its start to its end.

use super::{
    feed::Feed,
    file::CheckedFile,
    output::Output,
    program::Program,
    wrapper::{ProcessLimits, Wrapper},
};
use crate::guest::ActorLog;
use lattice_core::{error::chain, serve::LeaseDeadline};
use std::{
    io,
    ops::Deref,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

/// How long a process may take to stop by itself. It gives its calls 2 s.
const STOP: Duration = Duration::from_millis(4_000);
/// How long the last lines may take after the end of a process. Another process may have its pipes.
const LAST_LINES: Duration = Duration::from_millis(100);

/// How long a process may take to end after it was killed: the time that the system needs for it.
const KILL: Duration = Duration::from_millis(500);

/// How often a host looks within the longest silence whether a process has said that it is alive,
/// and how often the process says so. One that is late a few times is not silent.
const LOOKS: u32 = 10;

/// The pause before a program whose file is open for writing is tried again.
const BUSY: Duration = Duration::from_millis(10);

/// The end of a process that has served.
pub(super) struct End {
    pub(super) reason: String,
    /// For how long it had been silent, if it was killed for that.
    pub(super) silence: Duration,
}

/// A process that serves, or is about to. Dropping it kills it, with all processes of its group.
pub(super) struct Running {
    child: Child,
    group: Group,
    /// The process stops when this is dropped.
    feed: Option<Feed>,
    output: Arc<Output>,
    readers: Vec<AbortOnDropHandle<()>>,
    /// The longest time for which it may not say that it is alive.
    silence: Duration,
}

impl Running {
    /// Starts a process, and waits until it serves, under the lease if there is one. Fails with the
    /// reason why it doesn't.
    pub(super) async fn start<O: Deref<Target = String> + Send + 'static>(
        program: &Program,
        order: impl FnOnce() -> O,
        lease: Option<LeaseDeadline>,
        log: &Arc<ActorLog>,
    ) -> Result<Self, String> {
        let deadline = Instant::now() + program.start;
        let file = program.check().await.map_err(|error| chain(&error))?;
        let mut spawned = Self::spawn(program, &file, log);
        // While a program is written, another one that starts has its file open for a moment.
        while let Err(error) = &spawned
            && error.kind() == io::ErrorKind::ExecutableFileBusy
            && Instant::now() < deadline
        {
            sleep(BUSY).await;
            spawned = Self::spawn(program, &file, log);
        }
        let mut running = spawned.map_err(|error| {
            format!(
                "the program `{}` can't be run: {}",
                program.path().display(),
                chain(&error)
            )
        })?;
        // The order says until when the lease is held.
        let stdin = running.child.stdin.take();
        running.feed = stdin.map(|stdin| Feed::start(stdin, order(), lease));
        let output = running.output.clone();
        let starts = async {
            tokio::select! {
                biased;
                () = output.serves.notified() => None,
                ended = running.child.wait() => Some(ended),
            }
        };
        let started = timeout_at(deadline, starts).await;
        match started {
            Ok(None) => Ok(running),
            Ok(Some(ended)) => Err(running.reason(ended).await),
            Err(_) => {
                let last = output.last_lines();
                Err(format!(
                    "it does not serve within {:?}, and was killed; {last}",
                    program.start
                ))
            }
        }
    }

    fn spawn(program: &Program, file: &CheckedFile, log: &Arc<ActorLog>) -> io::Result<Self> {
        let mut command = program.command(file)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Signals of a terminal are for the host, which stops its processes in order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let group = Group::of(&child);
        if program.wrapper == Wrapper::None {
            group.limit(&program.limits)?;
        }
        let output = Arc::new(Output::new(log.clone()));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let output = output.clone();
            let read = async move { output.read(stdout, "stdout").await };
            readers.push(AbortOnDropHandle::new(tokio::spawn(read)));
        }
        if let Some(stderr) = child.stderr.take() {
            let output = output.clone();
            let read = async move { output.read(stderr, "stderr").await };
            readers.push(AbortOnDropHandle::new(tokio::spawn(read)));
        }
        Ok(Self {
            feed: None,
            child,
            group,
            output,
            readers,
            silence: program.silence,
        })
    }

    /// Returns the process's number in the system, if it still runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself, or has not said for long that it is alive, and is
    /// killed.
    pub(super) async fn ended(&mut self) -> End {
        let (silence, output) = (self.silence, self.output.clone());
        let ended = tokio::select! {
            biased;
            ended = self.child.wait() => Some(ended),
            () = silent(silence, || output.alive()) => None,
        };
        if let Some(ended) = ended {
            let reason = self.reason(ended).await;
            return End {
                reason,
                silence: Duration::ZERO,
            };
        }
        self.kill().await;
        self.drain_output().await;
        let reason = format!(
            "its process has not said for {silence:?} that it is alive, and was killed: something stopped it, or blocked all of its threads; move what takes long into `tokio::task::spawn_blocking`, or set a longer time as `lattice.silent-seconds`; {}",
            output.last_lines()
        );
        End { reason, silence }
    }

    /// Asks the process to stop, and kills it if it doesn't in time.
    pub(super) async fn stop(mut self) {
        // Under a lease, it is renewed until the process has ended.
        let _feed = self.feed.take().and_then(Feed::stop);
        if timeout(STOP, self.child.wait()).await.is_err() {
            let last = self.output.last_lines();
            tracing::warn!(
                last,
                "the process of a provider did not stop within {STOP:?}, and is killed"
            );
            self.kill().await;
        }
        self.drain_output().await;
    }

    /// Kills the process, and waits until it has ended.
    pub(super) async fn kill(&mut self) {
        self.group.kill();
        if timeout(KILL, self.child.wait()).await.is_err() {
            tracing::warn!(
                "the process of a provider was killed and has not ended within {KILL:?}"
            );
        }
    }

    async fn reason(&mut self, ended: io::Result<ExitStatus>) -> String {
        // Processes that it has started end with it.
        self.group.kill();
        self.drain_output().await;
        let ended = match ended {
            Ok(status) => format!("its process ended with {status}"),
            Err(error) => format!("its process was lost: {error}"),
        };
        format!("{ended}; {}", self.output.last_lines())
    }

    /// Waits for what the process printed before it ended.
    async fn drain_output(&mut self) {
        let readers = std::mem::take(&mut self.readers);
        let all = futures_util::future::join_all(readers);
        // Those that are not done are aborted.
        let _ = timeout(LAST_LINES, all).await;
    }
}

/// Returns how often a process that may be silent for so long says that it is alive.
pub(super) fn alive_every(silence: Duration) -> Duration {
    silence / LOOKS
}

/// Waits until a process has been silent for so long. `alive` returns how often it has said that it
/// is alive. One that has never said so is never silent.
///
/// Looks are counted, and not the time: a pause of the host, or a jump of a clock, is one look. By
/// the next ones, what the process has said meanwhile was read.
async fn silent(silence: Duration, alive: impl Fn() -> u64) {
    let (mut known, mut looks) = (alive(), 0);
    while looks < LOOKS {
        sleep(alive_every(silence)).await;
        let said = alive();
        looks = if said == known && said > 0 {
            looks + 1
        } else {
            0
        };
        known = said;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.kill();
    }
}

/// The process and those that it has started, unless they have left its group.
struct Group(#[cfg_attr(not(unix), expect(dead_code, reason = "there are no groups"))] Option<u32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id())
    }

    #[cfg(unix)]
    fn pid(&self) -> Option<rustix::process::Pid> {
        self.0
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
    }

    /// Ends them at once.
    #[cfg(unix)]
    fn kill(&self) {
        if let Some(group) = self.pid() {
            // An error means that none is left.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "there are no groups")]
    fn kill(&self) {}

    /// Sets the limits of a process that has no wrapper. It was told nothing yet.
    #[cfg(target_os = "linux")]
    fn limit(&self, limits: &ProcessLimits) -> io::Result<()> {
        use rustix::process::{Resource, Rlimit, prlimit};
        let Some(process) = self.pid() else {
            return Ok(());
        };
        for (resource, most) in [(Resource::Core, 0), (Resource::Nofile, limits.open_files)] {
            let both = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            prlimit(Some(process), resource, both)?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "there are no limits of other processes"
    )]
    fn limit(&self, _: &ProcessLimits) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::time::advance;

    const SILENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_process_is_silent_after_its_last_sign_and_never_without_a_first_one() {
        let signs = AtomicU64::new(0);
        let silent = silent(SILENCE, || signs.load(Ordering::Relaxed));
        tokio::pin!(silent);
        let long = timeout(SILENCE * 100, &mut silent).await;
        long.expect_err("its program says nothing at all");
        for _ in 0..100 {
            signs.fetch_add(1, Ordering::Relaxed);
            let quiet = timeout(SILENCE * 9 / 10, &mut silent).await;
            quiet.expect_err("it is alive");
        }
        let end = timeout(SILENCE + alive_every(SILENCE), &mut silent);
        end.await.expect("that was its last sign");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_host_is_no_silence_of_its_process() {
        let signs = AtomicU64::new(1);
        let silent = silent(SILENCE, || signs.load(Ordering::Relaxed));
        tokio::pin!(silent);
        let begun = timeout(Duration::from_millis(1), &mut silent).await;
        begun.expect_err("it has begun to look");
        advance(SILENCE * 100).await;
        let after = timeout(SILENCE / 2, &mut silent).await;
        after.expect_err("what the process has said meanwhile is still to be read");
        signs.fetch_add(1, Ordering::Relaxed);
        let later = timeout(SILENCE * 9 / 10, &mut silent).await;
        later.expect_err("it was read");
    }
}
