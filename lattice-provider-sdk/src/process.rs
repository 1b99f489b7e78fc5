//! Providers in processes of their own, which a host starts and looks after.
//!
//! ```text
//! host ── stdin: one line of JSON (who it is, how to join, its settings), then open ──► process
//! host ◄── stdout: the line `lattice-provider: serving`, then whatever it prints ────── process
//! ```
//! The process is a node of the lattice, and calls go to it directly. It stops when its standard
//! input ends: because the host asks it to, or because the host is gone. Then it ends even if all
//! threads of its runtime are blocked, and so does what it has started in its process group. So no
//! process outlives its host.

use crate::{access::Access, provider::Refusal, service::IntoService, settings::settings};
use lattice_core::{
    Invitation,
    name::{ComponentId, HostId},
    node::NodeOptions,
    server::ServeLimits,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, Read as _, Write as _},
    num::NonZeroUsize,
    process::ExitCode,
    thread,
    time::Duration,
};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
    time::timeout,
};
use zeroize::{Zeroize as _, Zeroizing};

/// The version of the first line. A process refuses others.
const VERSION: u32 = 1;
/// The line that a process prints when it serves.
#[doc(hidden)]
pub const SERVING: &str = "lattice-provider: serving";
/// The longest first line, in bytes. Settings are a few kilobytes.
const MAX_LINE: u64 = 1 << 20;
/// How long a process waits for its first line, which its host has ready.
const FIRST_LINE: Duration = Duration::from_secs(10);
/// How long calls may take to finish when the process stops. The host waits a little longer.
const GRACE: Duration = Duration::from_secs(2);
/// How long a process may take to stop before it ends itself. Its host, if it is still there, has
/// killed it before.
const STOP: Duration = Duration::from_secs(5);
/// How long threads may take to end after that.
const LAST_THREADS: Duration = Duration::from_millis(200);

/// What a host tells the process of a provider that it starts.
#[doc(hidden)]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Order {
    version: u32,
    /// The component to serve.
    component: ComponentId,
    /// The id of the process as a node.
    node: HostId,
    /// The text of an [`Invitation`].
    invitation: String,
    settings: BTreeMap<String, String>,
    /// What the settings may name.
    #[serde(default)]
    access: Access,
    concurrent: NonZeroUsize,
    queued: usize,
    result: u64,
}

impl Order {
    /// Has a process serve this component as this node.
    pub fn new(component: ComponentId, node: HostId, invitation: &Invitation) -> Self {
        let limits = ServeLimits::default();
        Self {
            version: VERSION,
            component,
            node,
            invitation: invitation.expose_text().to_string(),
            settings: BTreeMap::new(),
            access: Access::none(),
            concurrent: limits.concurrent,
            queued: limits.queued,
            result: limits.result.as_u64(),
        }
    }

    /// Sets the provider's settings.
    pub fn settings(mut self, settings: BTreeMap<String, String>) -> Self {
        self.settings = settings;
        self
    }

    /// Sets what of the machine the settings may name. Nothing by default.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets the limits on its calls.
    pub fn limits(mut self, limits: &ServeLimits) -> Self {
        self.concurrent = limits.concurrent;
        self.queued = limits.queued;
        self.result = limits.result.as_u64();
        self
    }

    /// Returns the line for the process. It has the secrets of the lattice in it.
    pub fn line(&self) -> Zeroizing<String> {
        // A struct of texts and numbers always encodes.
        let mut line = Zeroizing::new(serde_json::to_string(self).unwrap_or_default());
        line.push('\n');
        line
    }

    fn read(line: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // No error repeats the line, which has secrets in it.
        let unreadable = || {
            Refusal::new(
                "the first line of the standard input isn't a host's order: this program is a provider, which a host starts; name it as the `image` of a provider in a manifest",
            )
        };
        let Version { version } = serde_json::from_str(line).map_err(|_| unreadable())?;
        if version != VERSION {
            return Err(Refusal::new(format!(
                "the host's order has version {version} and this program knows {VERSION}; build both with the same version of Lattice"
            )));
        }
        serde_json::from_str(line).map_err(|_| unreadable())
    }

    fn serve_limits(&self) -> ServeLimits {
        ServeLimits::default()
            .concurrent(self.concurrent)
            .queued(self.queued)
            .result(lattice_core::quantity::ByteSize::bytes(self.result))
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        self.invitation.zeroize();
    }
}

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
/// each core. A failure is printed, and the host starts the process again, with growing pauses.
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
    let (first, mut end) = follow_input();
    let line = timeout(FIRST_LINE, first).await;
    let line = Zeroizing::new(line.ok().and_then(Result::ok).unwrap_or_default());
    let order = Order::read(&line)?;
    drop(line);
    let mut terminated = Terminated::listen()?;
    let serving = async {
        let invitation = Invitation::from_text(&order.invitation)?;
        let make = || Ok::<_, Refusal>(make(settings(&order.settings)?)?.into_service());
        let provider = order.access.scope(make)?;
        let lattice = invitation.join().await?;
        let node = lattice.node(NodeOptions::default().host(order.node.clone())?);
        let node = node.await?;
        let limits = order.serve_limits();
        let serving = node
            .serve(order.component.clone(), provider, limits)
            .await?;
        Ok::<_, Refusal>((lattice, node, serving))
    };
    let (lattice, node, serving) = tokio::select! {
        serving = serving => serving?,
        _ = end.recv() => return Ok(()),
        () = terminated.asked() => return Ok(()),
    };
    announce().map_err(Refusal::from)?;
    tokio::select! {
        _ = end.recv() => {}
        () = terminated.asked() => {}
    }
    // Calls that don't end in time are cut off with the process.
    let _ = serving.shutdown(GRACE).await;
    let _ = node.shutdown(GRACE).await;
    drop(lattice);
    Ok(())
}

/// Tells the host that the provider serves.
fn announce() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{SERVING}")?;
    out.flush()
}

/// Reads the standard input on a thread of its own, because a runtime can't end a read. Returns its
/// first line, and its end.
fn follow_input() -> (oneshot::Receiver<String>, mpsc::Receiver<()>) {
    let (sender, first) = oneshot::channel();
    let (ended, end) = mpsc::channel::<()>(1);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut line = String::new();
        if input.by_ref().take(MAX_LINE).read_line(&mut line).is_ok() {
            // The receiver is gone if the line came too late.
            let _ = sender.send(line);
            let mut rest = [0; 256];
            // Nothing more is sent, and an error is the end too.
            while input.read(&mut rest).is_ok_and(|count| count > 0) {}
        }
        drop(ended);
        // A runtime whose threads are all blocked doesn't end the process.
        thread::sleep(STOP);
        #[cfg(unix)]
        signal_group(rustix::process::Signal::KILL);
        std::process::exit(1);
    });
    (first, end)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_an_order_is_refused_without_being_repeated() {
        for (line, expected) in [
            ("", "isn't a host's order"),
            ("hunter2\n", "isn't a host's order"),
            (
                r#"{"version":1,"invitation":"hunter2"}"#,
                "isn't a host's order",
            ),
            (r#"{"version":2,"invitation":"hunter2"}"#, "has version 2"),
        ] {
            let refusal = Order::read(line).err().expect("refused");
            assert!(refusal.reason().contains(expected), "{refusal}");
            assert!(!refusal.reason().contains("hunter2"), "{refusal}");
        }
    }
}
