//! The other processes. They serve until their standard input is closed, which happens when the
//! first process ends.

use crate::faults::{
    local::{Answers, LEDGER, Ledger, LocalCalls, ask_ledger},
    record::Recorder,
};
use crate::{
    Failure, bare, flow,
    guests::Guest,
    native::{EchoProvider, SilentProvider},
};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_host::{
    Actor, ByteSize, Engine, Host, Instances, Programs,
    http::{Ingress, IngressLimits},
};
use lattice_providers::{messaging::NatsMessaging, nats::NatsSettings, schedule::Schedule};
use std::{io::BufRead, str::FromStr, time::Duration};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

/// Variable with the URL of the server.
pub(crate) const URL: &str = "LATTICE_FAULTS_URL";
/// Variable with the lattice key.
pub(crate) const KEY: &str = "LATTICE_FAULTS_KEY";
/// The lattice that all processes join.
pub(crate) const LATTICE: &str = "faults";
/// Printed when the process is ready for calls.
pub(crate) const READY: &str = "ready";
/// Subject and queue group of the bare responders.
pub(crate) const SUBJECT: &str = "faults.echo";
/// Requests the number of a process's live tasks.
pub(crate) const TASKS: &str = "tasks";
/// Requests the number of components that a host serves.
pub(crate) const COMPONENTS: &str = "components";
/// Requests that a host calls its own components until the results are requested.
pub(crate) const LOCAL: &str = "local";
/// Requests the results of these calls.
pub(crate) const RESULTS: &str = "results";
/// Requests that a host calls the single-instance component repeatedly.
pub(crate) const POLL: &str = "poll";
/// Requests the times at which a host served such calls.
pub(crate) const HELD: &str = "held";
/// Requests the bytes of memory that a host's guests use.
pub(crate) const GUESTS: &str = "guests";
/// Requests the address of a host's ingress.
pub(crate) const ADDRESS: &str = "address";

/// Requests the bytes of the calls that wait or run on a host.
pub(crate) const CALLS: &str = "calls";

/// What the guests of a host may use together if one of them fills its memory.
pub(crate) const GUEST_MEMORY: ByteSize = ByteSize::mib(64);

/// Connections that an ingress accepts.
const CONNECTIONS: usize = 20_000;

/// How long a host that shuts down may take to hand over and finish.
const GRACE: Duration = Duration::from_secs(20);

/// A component that a host serves: `callee=echo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    id: String,
    serves: Serves,
}

/// The behaviour of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// A provider that replies.
    Echo,
    /// A provider that never replies.
    Silence,
    /// An actor that replies.
    EchoActor,
    /// An actor that uses all the CPU time that it is given.
    SpinActor,
    /// An actor that takes all the memory that it can get.
    FillActor,
    /// An actor that passes a large buffer again and again.
    PourActor,
    /// An actor that writes streams, and uses and keeps resources.
    Source,
    /// An actor that reads streams, and has resources.
    Sink,
    /// An actor that serves HTTP.
    Hello,
    /// An actor that records the messages and ticks that it gets.
    Recorder,
    /// The provider of messages over NATS, on the server of the lattice.
    Messages,
    /// The provider of schedules.
    Schedule,
    /// Not a component: an ingress of the host.
    Ingress,
}

/// The actor that passes a large buffer again and again, as text.
const POUR: &str = include_str!("pour.wat");

impl FromStr for Component {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        let (id, kind) = word
            .split_once('=')
            .ok_or("a component is like `id=echo`")?;
        let serves = match kind {
            "echo" => Serves::Echo,
            "silence" => Serves::Silence,
            "echo-actor" => Serves::EchoActor,
            "spin-actor" => Serves::SpinActor,
            "fill-actor" => Serves::FillActor,
            "pour-actor" => Serves::PourActor,
            "source" => Serves::Source,
            "sink" => Serves::Sink,
            "hello" => Serves::Hello,
            "recorder" => Serves::Recorder,
            "messages" => Serves::Messages,
            "schedule" => Serves::Schedule,
            "ingress" => Serves::Ingress,
            _ => return Err(format!("there is no component of kind `{kind}`").into()),
        };
        Ok(Self {
            id: id.to_owned(),
            serves,
        })
    }
}

/// Runs a host of the lattice.
pub(crate) async fn run(id: &str, components: &[Component]) -> Result<(), Failure> {
    let lattice = connect().await?;
    let engine = engine(components)?;
    let answers = Answers::default();
    let of_ledger = answers.clone();
    let mut host = Host::builder(&lattice)
        .id(id)
        .engine(engine.clone())
        .programs(Programs::Any)
        .builtin(LEDGER, move |_| Ok(Ledger::new(&of_ledger)));
    for Component { id, serves } in components {
        let actor = |guest: Guest| Ok::<_, Failure>(Actor::from_file(guest.path()?));
        host = match serves {
            Serves::Echo => host.provider(id, EchoProvider),
            Serves::Silence => host.provider(id, SilentProvider),
            Serves::EchoActor => host.actor(id, actor(Guest::Callee)?.instances(Instances::warm())),
            Serves::SpinActor => host.actor(id, actor(Guest::Spinner)?),
            Serves::FillActor => host.actor(id, actor(Guest::Filler)?),
            Serves::PourActor => host.actor(id, Actor::from_bytes(wat::parse_str(POUR)?)),
            Serves::Source => host.actor(id, flow::source()?),
            Serves::Sink => host.actor(id, flow::sink()?),
            Serves::Hello => host.actor(id, actor(Guest::HttpHello)?),
            Serves::Recorder => host.provider(id, Recorder::open(&std::env::var(URL)?)?),
            Serves::Messages => {
                let settings = NatsSettings::new(std::env::var(URL)?);
                host.provider(id, NatsMessaging::new(settings))
            }
            Serves::Schedule => host.provider(id, Schedule::new()),
            Serves::Ingress => host.ingress(ingress()),
        };
    }
    let host = host.start().await?;
    let mut questions = questions();
    println!("{READY}");
    let (mut calls, mut polls) = (None, Vec::new());
    while let Some(question) = questions.recv().await {
        match question.as_str() {
            TASKS => println!("{}", Handle::current().metrics().num_alive_tasks()),
            COMPONENTS => {
                let mine = lattice.peers();
                let mut mine = mine
                    .iter()
                    .filter(|peer| peer.origin == *host.node().origin());
                println!("{}", mine.next().map_or(0, |peer| peer.components.len()));
            }
            LOCAL => {
                calls = Some(LocalCalls::start(&lattice).await?);
                println!("{READY}");
            }
            RESULTS => match calls.take() {
                Some(calls) => println!("{}", calls.results()?),
                None => return Err("a host did not receive a request to call".into()),
            },
            POLL => {
                polls.push(AbortOnDropHandle::new(tokio::spawn(ask_ledger(
                    lattice.clone(),
                ))));
                println!("{READY}");
            }
            HELD => println!("{}", answers.results()),
            GUESTS => println!("{}", engine.guest_memory().used.as_u64()),
            ADDRESS => {
                let addresses = host.ingress_addresses();
                println!("{}", addresses.first().ok_or("a host has no ingress")?);
            }
            CALLS => println!("{}", lattice.message_memory().calls.as_u64()),
            other => return Err(format!("a host got an unknown request `{other}`").into()),
        }
    }
    let _ = host.shutdown(GRACE).await;
    Ok(())
}

/// Returns an ingress at any free port, with room for all connections that are measured.
fn ingress() -> Ingress {
    let mut limits = IngressLimits::default();
    limits.connections = CONNECTIONS;
    Ingress::http("127.0.0.1:0").limits(limits)
}

/// Returns the engine of a host with these components.
fn engine(components: &[Component]) -> Result<Engine, Failure> {
    let mut serves = components.iter().map(|component| component.serves);
    if serves.any(|serves| matches!(serves, Serves::FillActor | Serves::PourActor)) {
        Ok(Engine::builder().guest_memory(GUEST_MEMORY).build()?)
    } else {
        Ok(Engine::shared()?)
    }
}

/// Joins the lattice that the first process names.
pub(crate) async fn connect() -> Result<Lattice, Failure> {
    let url = std::env::var(URL)?;
    Ok(Lattice::connect(&url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?)
}

/// Runs a responder without Lattice, as a member of a queue group.
pub(crate) async fn respond_bare() -> Result<(), Failure> {
    let responder = bare::Responder::start(&std::env::var(URL)?, SUBJECT, Some(SUBJECT)).await?;
    let mut questions = questions();
    println!("{READY}");
    tokio::select! {
        ended = responder.respond() => ended,
        _ = questions.recv() => Ok(()),
    }
}

/// Returns the lines that the first process writes, until it ends.
pub(crate) fn questions() -> mpsc::UnboundedReceiver<String> {
    let (sender, questions) = mpsc::unbounded_channel();
    // This needs a thread, because reading standard input can't be cancelled and a runtime waits
    // for its blocking tasks.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    questions
}
