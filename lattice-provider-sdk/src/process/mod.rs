//! Providers in processes of their own, which a host starts and looks after.
//!
//! ```text
//! host ── stdin: one line of JSON (who it is, how to join, its settings), then open ──► process
//! host ◄── stdout: `lattice-provider: serving`, `lattice-provider: alive`, its own lines ─ process
//! ```
//! The process is a node of the lattice, and calls go to it directly. It stops when its standard
//! input ends: because the host asks it to, or because the host is gone. Then it ends even if all
//! threads of its runtime are blocked, and so does what it has started in its process group. So no
//! process outlives its host.
//!
//! Once it serves, the process prints the line `lattice-provider: alive` as often as its order asks
//! (`alive-ms`), from a task of its runtime, and once before it says that it serves. A host that
//! hears none for long kills the process and starts it again: something blocks all of its threads,
//! or it is stopped. That doesn't depend on the bus, so no process ends because that is away. The
//! process keeps its standard output for as long as it serves. A program that isn't made with
//! [`run`] and prints no such line at all is started again only when it ends.
//!
//! A provider that runs once is told of each renewal of its lease, on a line of its own. It serves
//! only as long as the lease is held, by the clocks of its machine, and ends itself when the lease
//! ends, also if its host is paused or gone.

mod input;
mod order;

#[doc(hidden)]
pub use order::{Notice, Order, Until};

use crate::{provider::Refusal, service::IntoService, settings::settings};
use input::Input;
use lattice_core::{Invitation, node::NodeOptions};
use serde::de::DeserializeOwned;
use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use zeroize::Zeroizing;

/// The line that a process prints when it serves.
#[doc(hidden)]
pub const SERVING: &str = "lattice-provider: serving";
/// The line that it prints again and again, as long as it serves.
#[doc(hidden)]
pub const ALIVE: &str = "lattice-provider: alive";
/// How long a process waits for its first line, which its host has ready.
const FIRST_LINE: Duration = Duration::from_secs(10);
/// How long calls may take to finish when the process stops. The host waits a little longer.
const GRACE: Duration = Duration::from_secs(2);
/// How long threads may take to end after that.
const LAST_THREADS: Duration = Duration::from_millis(200);

/// Serves a provider in this process, which a host has started, until the host ends it or is gone.
/// `make` creates the provider from its [settings].
///
/// This is all that the program of a provider needs:
///
/// ```no_run
/// # lattice_provider_sdk::provider!({ inline: "
/// #     package example:hello@0.1.0;
/// #     interface greeter { greet: func(name: string) -> string; }
/// #     world hello { export greeter; }
/// # " });
/// # use lattice_provider_sdk::{Call, Stateless, process};
/// # struct Hello(Settings);
/// # #[derive(serde::Deserialize)]
/// # struct Settings {}
/// # impl Stateless for Hello { type World = World; }
/// # impl example::hello::greeter::Greeter for Hello {
/// #     async fn greet(&self, _: &Call<Self>, name: String) -> String { name }
/// # }
/// fn main() -> std::process::ExitCode {
///     process::run(|settings: Settings| Hello(settings))
/// }
/// ```
///
/// What it prints becomes the component's log. It starts a runtime of its own, with a thread for
/// each core. A failure is printed, and the host starts the process again, with growing pauses. So
/// it does when all threads of the runtime have been blocked for 30 s.
/// When it is to stop, it has 4 s for its calls and for [`stop`](crate::Provider::stop), and is
/// killed then.
pub fn run<C: DeserializeOwned, P: IntoService>(make: impl FnOnce(C) -> P) -> ExitCode {
    try_run(|settings| Ok(make(settings)))
}

/// Serves a provider like [`run`]. `make` may fail, and says why.
pub fn try_run<C: DeserializeOwned, P: IntoService>(
    make: impl FnOnce(C) -> Result<P, Refusal>,
) -> ExitCode {
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Refusal::from(error)),
    };
    let ended = runtime.block_on(serve(make));
    // A thread may still read the standard input.
    runtime.shutdown_timeout(LAST_THREADS);
    match ended {
        Ok(()) => {
            // This process goes on: it listens to the signal.
            #[cfg(unix)]
            signal_group(rustix::process::Signal::TERM);
            ExitCode::SUCCESS
        }
        Err(refusal) => failed(&refusal),
    }
}

/// Sends a signal to this process and those that it has started, if its group is its own, as that
/// of a process is that a host has started.
#[cfg(unix)]
fn signal_group(signal: rustix::process::Signal) {
    use rustix::process::{getpgrp, getpid, kill_current_process_group};
    if getpgrp() == getpid() {
        // An error means that there is nobody to signal.
        let _ = kill_current_process_group(signal);
    }
}

fn failed(refusal: &Refusal) -> ExitCode {
    // If it can't be printed, there is nothing left to be told.
    let _ = writeln!(io::stderr(), "{refusal}");
    ExitCode::FAILURE
}

async fn serve<C: DeserializeOwned, P: IntoService>(
    make: impl FnOnce(C) -> Result<P, Refusal>,
) -> Result<(), Refusal> {
    let mut input = Input::follow();
    let line = timeout(FIRST_LINE, &mut input.first).await;
    let line = Zeroizing::new(line.ok().and_then(Result::ok).unwrap_or_default());
    let order = Order::read(&line)?;
    drop(line);
    let (lease, alive) = (order.lease(), order.says_alive_every());
    let lease = lease.map(|lease| input.hold(lease));
    let mut terminated = Terminated::listen()?;
    let serving = async {
        let invitation = Invitation::from_text(&order.invitation)?;
        let make = || Ok::<_, Refusal>(make(settings(&order.settings)?)?.into_service());
        let provider = order.access.scope(make)?;
        let lattice = invitation.join().await?;
        let node = lattice.node(NodeOptions::default().host(order.node.clone())?);
        let node = node.await?;
        let (component, limits) = (order.component.clone(), order.serve_limits());
        let serving = match lease {
            Some(lease) => node.serve_under(lease, component, provider, limits).await?,
            None => node.serve(component, provider, limits).await?,
        };
        Ok::<_, Refusal>((lattice, node, serving))
    };
    let (lattice, node, serving) = tokio::select! {
        serving = serving => serving?,
        _ = input.end.recv() => return Ok(()),
        () = terminated.asked() => return Ok(()),
    };
    // It ends with this function.
    let mut saying = JoinSet::new();
    if let Some(every) = alive {
        say(ALIVE)?;
        saying.spawn(say_alive(every));
    }
    say(SERVING)?;
    tokio::select! {
        _ = input.end.recv() => {}
        () = terminated.asked() => {}
    }
    // Calls that don't end in time are cut off with the process.
    let _ = serving.shutdown(GRACE).await;
    let _ = node.shutdown(GRACE).await;
    drop(lattice);
    Ok(())
}

/// Tells the host something, on a line of its own.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Tells the host that the process is alive, until that fails because the host is gone. It runs on
/// the threads that serve calls: if all of these are blocked, it says nothing.
async fn say_alive(every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if say(ALIVE).is_err() {
            return;
        }
    }
}

/// Waits for the signals by which a person or the system ends a process.
struct Terminated {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Terminated {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        self.terminate.recv().await;
    }
}

#[cfg(not(unix))]
impl Terminated {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it may fail where there are signals"
    )]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn asked(&mut self) {
        std::future::pending::<()>().await;
    }
}
