//! The actors of the quickstart, on hosts in separate processes, over NATS. One of the processes is
//! killed halfway through.
//!
//! ```text
//!     this process          process `one`          process `two`
//!    visitor, store      front-desk, greeter    front-desk, greeter
//!          └───────────────── NATS ┴──────────────────────┘
//! ```
//!
//! Uses the server at `NATS_URL`, which needs JetStream and keeps a small bucket of the lattice.
//! Without it, the example starts a server that ends with it: the program `NATS_SERVER`, or
//! `nats-server`.

use lattice_core::{Lattice, auth::LatticeKey, client::Caller, link::Link};
use lattice_examples::{
    Report,
    desk::DeskClient,
    guests::{DESK, GREETER, front_desk, greeter},
    load::Load,
    server::NatsServer,
    store::{MemoryStore, STORE},
};
use lattice_host::Host;
use lattice_provider_sdk::serve;
use std::{
    env,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

const CALLERS: usize = 16;
/// How long calls are made before the kill, and after it.
const HALF: Duration = Duration::from_millis(1_500);
/// How long a host may take to start. The first one compiles its actors.
const START: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Report> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => lead().await,
        [role, id] if role == "host" => host(id).await,
        _ => Err("usage: across_processes [host ID]".into()),
    }
}

/// The first process: it starts the others, serves the store and calls the front desk.
async fn lead() -> Result<(), Report> {
    let server = NatsServer::find_or_start().await?;
    // Every process with the key is a member. Other clients of the server can neither make calls
    // nor forge messages.
    let mesh = Mesh {
        server: server.url().to_owned(),
        lattice: format!("example-{}", std::process::id()),
        key: LatticeKey::generate(),
    };
    let lattice = mesh.join().await?;
    let serving = serve(&lattice, "store", MemoryStore::default()).await?;
    println!("this process serves the store");
    let one = mesh.spawn("one").await?;
    let two = mesh.spawn("two").await?;

    // A call waits until its callee's host has seen the link that it uses, and so all earlier ones.
    for link in [
        Link::new("greeter", STORE, "store")?,
        Link::new("front-desk", GREETER, "greeter")?,
        Link::new("visitor", DESK, "front-desk")?,
    ] {
        lattice.links().put(link).await?;
    }
    let desk = DeskClient::new(lattice.caller("visitor")?);
    for _ in 0..6 {
        let begun = Instant::now();
        let words = desk.welcome("Ada").await??;
        println!("{:>7} µs  {words}", begun.elapsed().as_micros());
    }
    kill_under_load(one, desk.clone()).await?;

    // Hosts are replaceable: a new one joins and takes its share of the calls.
    let three = mesh.spawn("three").await?;
    let words = timeout(START, from_host(&desk, "three")).await??;
    println!("recovered: {words}");

    drop([two, three]);
    let _ = serving.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

async fn kill_under_load(mut host: Child, desk: DeskClient<Caller>) -> Result<(), Report> {
    println!("{CALLERS} visitors call without pause; after {HALF:?}, `kill -9` of host `one`");
    let load = Load::start(CALLERS, move |caller| {
        let (desk, name) = (desk.clone(), format!("visitor-{caller}"));
        async move { desk.welcome(&name).await }
    });
    sleep(HALF).await;
    let before = load.tally();
    // SIGKILL leaves the process no chance to announce that it leaves.
    host.kill().await?;
    sleep(HALF).await;
    let tally = load.stop().await;
    let after = tally.answered - before.answered;
    println!("   answered by two hosts  {:>6}", before.answered);
    println!("   answered by `two`      {after:>6}");
    println!("{tally}");
    if after == 0 {
        return Err("no other host took over".into());
    }
    Ok(())
}

/// The other processes: each runs a host with both actors until the first process ends.
async fn host(id: &str) -> Result<(), Report> {
    let lattice = Mesh::from_env()?.join().await?;
    let host = Host::builder(&lattice)
        .id(id)
        .actor("front-desk", front_desk(id)?)
        .actor("greeter", greeter(id)?)
        .start()
        .await?;
    println!("ready");
    // Standard input is closed when the process at its other end ends, however that happens.
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    let _ = host.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// The data that a process needs to join. It is passed in the environment, because other users of
/// the machine can read arguments.
struct Mesh {
    server: String,
    lattice: String,
    key: LatticeKey,
}

impl Mesh {
    fn from_env() -> Result<Self, Report> {
        let key = LatticeKey::from_env("LATTICE_KEY")?;
        Ok(Self {
            server: env::var("NATS_URL")?,
            lattice: env::var("LATTICE_NAME")?,
            key,
        })
    }

    async fn join(&self) -> Result<Lattice, Report> {
        Ok(Lattice::connect(&self.server, &self.lattice)
            .key(self.key.clone())
            .await?)
    }

    /// Starts this program as host `id`, and waits until its actors can be called.
    async fn spawn(&self, id: &str) -> Result<Child, Report> {
        let mut child = Command::new(env::current_exe()?)
            .args(["host", id])
            .env("NATS_URL", &self.server)
            .env("LATTICE_NAME", &self.lattice)
            .env("LATTICE_KEY", &*self.key.expose_hex())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("the output is piped")?;
        let first = timeout(START, BufReader::new(output).lines().next_line()).await??;
        match first.as_deref() {
            Some("ready") => {
                let pid = child.id().ok_or("it has ended again")?;
                println!("process {pid} runs host `{id}` with both actors");
                Ok(child)
            }
            _ => Err(format!("host `{id}` did not start; its output above says why").into()),
        }
    }
}

/// Makes calls until host `id` has served one.
async fn from_host(desk: &DeskClient<Caller>, id: &str) -> Result<String, Report> {
    let received = format!("received on {id}");
    loop {
        let words = desk.welcome("Ada").await??;
        if words.contains(&received) {
            return Ok(words);
        }
    }
}
