//! The other processes: they serve until their standard input ends, which is when the first one ends.

use crate::faults::local::{Answers, LEDGER, Ledger, LocalCalls, ask_ledger};
use crate::{
    Failure, bare,
    guests::Guest,
    native::{EchoProvider, SilentProvider},
};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_host::{Actor, Host, Instances};
use std::{io::BufRead, str::FromStr, time::Duration};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

/// Where the server is.
pub(crate) const URL: &str = "LATTICE_FAULTS_URL";
/// The lattice key.
pub(crate) const KEY: &str = "LATTICE_FAULTS_KEY";
/// The lattice of all of them.
pub(crate) const LATTICE: &str = "faults";
/// What is printed when calls can come.
pub(crate) const READY: &str = "ready";
/// The subject of bare responders, and their queue group.
pub(crate) const SUBJECT: &str = "faults.echo";
/// What a process is asked to know how many of its tasks are alive.
pub(crate) const TASKS: &str = "tasks";
/// A host is asked how many components it serves.
pub(crate) const COMPONENTS: &str = "components";
/// A host is told to call what it runs itself, until it is asked how that went.
pub(crate) const LOCAL: &str = "local";
pub(crate) const TOLD: &str = "told";
/// A host is told to ask again and again for what runs once.
pub(crate) const POLL: &str = "poll";
/// A host is asked when it answered such questions.
pub(crate) const HELD: &str = "held";

/// How long a host that ends may hand over and finish.
const GRACE: Duration = Duration::from_secs(20);

/// A component that a host serves: `callee=echo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    id: String,
    serves: Serves,
}

/// What a component does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// A provider that answers.
    Echo,
    /// A provider that does not.
    Silence,
    /// An actor that answers.
    EchoActor,
    /// An actor that takes all the CPU time that it is given.
    SpinActor,
}

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
            _ => return Err(format!("there is no component of kind `{kind}`").into()),
        };
        Ok(Self {
            id: id.to_owned(),
            serves,
        })
    }
}

/// A host of the lattice.
pub(crate) async fn run(id: &str, components: &[Component]) -> Result<(), Failure> {
    let lattice = connect().await?;
    let answers = Answers::default();
    let of_ledger = answers.clone();
    let mut host = Host::builder(&lattice)
        .id(id)
        .builtin(LEDGER, move |_| Ok(Ledger::new(&of_ledger)));
    for Component { id, serves } in components {
        let actor = |guest: Guest| Ok::<_, Failure>(Actor::from_file(guest.path()?));
        host = match serves {
            Serves::Echo => host.provider(id, EchoProvider),
            Serves::Silence => host.provider(id, SilentProvider),
            Serves::EchoActor => host.actor(id, actor(Guest::Callee)?.instances(Instances::warm())),
            Serves::SpinActor => host.actor(id, actor(Guest::Spinner)?),
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
            TOLD => match calls.take() {
                Some(calls) => println!("{}", calls.told()?),
                None => return Err("a host was not told to call".into()),
            },
            POLL => {
                polls.push(AbortOnDropHandle::new(tokio::spawn(ask_ledger(
                    lattice.clone(),
                ))));
                println!("{READY}");
            }
            HELD => println!("{}", answers.told()),
            other => return Err(format!("a host has no answer to `{other}`").into()),
        }
    }
    let _ = host.shutdown(GRACE).await;
    Ok(())
}

/// The lattice that the first process says.
pub(crate) async fn connect() -> Result<Lattice, Failure> {
    let url = std::env::var(URL)?;
    Ok(Lattice::connect(&url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?)
}

/// A responder without Lattice, one of a queue group.
pub(crate) async fn respond_bare() -> Result<(), Failure> {
    let responder = bare::Responder::start(&std::env::var(URL)?, SUBJECT, Some(SUBJECT)).await?;
    let mut questions = questions();
    println!("{READY}");
    tokio::select! {
        ended = responder.respond() => ended,
        _ = questions.recv() => Ok(()),
    }
}

/// The lines that the first process says, until it ends.
pub(crate) fn questions() -> mpsc::UnboundedReceiver<String> {
    let (sender, questions) = mpsc::unbounded_channel();
    // A thread of its own: reading standard input can't be cancelled, and a runtime waits for its blocking tasks.
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
