//! Two hosts, two actors and a provider in one process. Run it with `make demo`.
//!
//! ```text
//! this program ──► front-desk ──► greeter ──► store
//! "visitor"        actor          actor       key-value provider
//! ```
//!
//! Each arrow is a call by name and interface, to wherever the callee runs, and each needs a link. Set `RUST_LOG=info` to
//! hear what the actors and the mesh have to say meanwhile.

use lattice_core::{Lattice, call::Context, link::Link, name::ComponentId, node::Caller};
use lattice_examples::{
    desk::DeskClient,
    guests::{DESK, GREETER, front_desk, greeter},
    load::Load,
    store::{self, MemoryStore, STORE, StoreClient},
};
use lattice_host::Host;
use lattice_provider_sdk::Through;
use std::{
    error::Error,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Calls that are timed one after another.
const TIMED: usize = 200;
/// Callers that call all the time while a host dies.
const CALLERS: usize = 16;
/// How long they do so before it dies, and after.
const HALF: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();

    // A lattice inside this process: no server. `Lattice::connect("nats://…", "prod").key(key)` is the same across machines.
    let lattice = Lattice::in_memory("demo").await?;

    // Two hosts join it. Actors are WebAssembly components, providers are Rust types.
    let red = Host::builder(&lattice)
        .id("red")
        .actor("front-desk", front_desk("red")?)
        .start()
        .await?;
    let blue = Host::builder(&lattice)
        .id("blue")
        .actor("greeter", greeter("blue")?)
        .provider("store", MemoryStore::default())
        .start()
        .await?;
    heading(1, "two hosts in this process, on a lattice in memory");
    show_hosts(&[&red, &blue]);

    // This program takes part as the component `visitor`. The client was generated from the desk's WIT.
    let visitor = lattice.caller(ComponentId::new("visitor")?).await?;
    let desk = DeskClient::new(visitor.clone());
    without_links(&lattice, &desk).await?;
    with_links(&lattice, &desk).await?;
    with_replicas(&red, &blue, &desk).await?;
    with_a_deadline(&lattice, &visitor).await?;
    with_a_host_killed(&red, &desk).await?;

    // Says goodbye and finishes what it has.
    blue.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Nothing may call anything until a link says so.
async fn without_links(lattice: &Lattice, desk: &DeskClient<Caller>) -> Result<(), Box<dyn Error>> {
    heading(2, "a missing link: visitor -> front-desk (red) -> greeter");
    let refused = desk.welcome(Context::default(), "Ada").await;
    println!(
        "   visitor is told:     {}",
        refused.err().ok_or("there is no link yet")?
    );

    // The front desk's function returns `result<string, string>`, so it hears of its failed call as a value.
    lattice
        .links()
        .put(Link::new("visitor", DESK, "front-desk")?)
        .await?;
    let refused = desk.welcome(Context::default(), "Ada").await?;
    println!(
        "   front-desk is told:  {}",
        refused.err().ok_or("there is no link yet")?
    );
    Ok(())
}

/// The same call with its links: it goes from host to host, and nobody had to say where anything runs.
async fn with_links(lattice: &Lattice, desk: &DeskClient<Caller>) -> Result<(), Box<dyn Error>> {
    heading(
        3,
        "with links: visitor -> front-desk (red) -> greeter (blue) -> store (blue)",
    );
    lattice
        .links()
        .put(Link::new("front-desk", GREETER, "greeter")?)
        .await?;
    lattice
        .links()
        .put(Link::new("greeter", STORE, "store")?)
        .await?;
    show_calls(desk).await
}

/// A call is served on the caller's own host when it can be.
async fn with_replicas(
    red: &Host,
    blue: &Host,
    desk: &DeskClient<Caller>,
) -> Result<(), Box<dyn Error>> {
    heading(
        4,
        "both actors on both hosts: the desk asks the greeter next door",
    );
    red.start_actor("greeter", greeter("red")?).await?;
    blue.start_actor("front-desk", front_desk("blue")?).await?;
    show_hosts(&[red, blue]);
    show_calls(desk).await
}

/// Every call has a deadline: 2 s if nobody says otherwise.
async fn with_a_deadline(lattice: &Lattice, visitor: &Caller) -> Result<(), Box<dyn Error>> {
    heading(
        5,
        "a deadline: the store takes 1 s for each call over the link `slow`, visitor waits 50 ms",
    );
    let slow = store::Config {
        delay_ms: Some(1_000),
        ..Default::default()
    };
    lattice
        .links()
        .put(
            Link::new("visitor", STORE, "store")?
                .named("slow")?
                .config(&slow)?,
        )
        .await?;
    let store = StoreClient::new(Through::new(visitor.clone(), "slow".parse()?));
    let begun = Instant::now();
    let late = store
        .get(Context::new(Duration::from_millis(50)), "visits/Ada")
        .await;
    let error = late.err().ok_or("the store was faster than it should be")?;
    println!("   after {:>6} µs:  {error}", begun.elapsed().as_micros());
    Ok(())
}

/// Any host may die at any moment. What it was working on is lost and its callers are told so; the next call goes elsewhere.
async fn with_a_host_killed(red: &Host, desk: &DeskClient<Caller>) -> Result<(), Box<dyn Error>> {
    heading(
        6,
        "a host dies: 16 visitors call without pause for 2 s, and half-way red is killed without a word",
    );
    let load = Load::start(CALLERS, |caller| {
        let (desk, name) = (desk.clone(), format!("visitor-{caller}"));
        move || {
            let (desk, name) = (desk.clone(), name.clone());
            async move { desk.welcome(Context::default(), &name).await }
        }
    });
    sleep(HALF).await;
    let before = load.tally();
    red.kill();
    sleep(HALF).await;
    let tally = load.stop().await;
    println!("   answered by two hosts  {:>6}", before.answered);
    println!(
        "   answered by blue alone {:>6}",
        tally.answered - before.answered
    );
    println!("{tally}");
    if tally.answered == before.answered {
        return Err("nobody took over".into());
    }
    Ok(())
}

/// One call in words, then many in numbers.
async fn show_calls(desk: &DeskClient<Caller>) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let words = desk.welcome(Context::default(), "Ada").await??;
    println!("   \"{words}\"");
    println!("   the first call took {} µs", begun.elapsed().as_micros());
    let mut took = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let begun = Instant::now();
        desk.welcome(Context::default(), "Grace").await??;
        took.push(begun.elapsed().as_micros());
    }
    took.sort_unstable();
    println!(
        "   {TIMED} more took {} µs each (median), the slowest {} µs",
        took[TIMED / 2],
        took[TIMED - 1]
    );
    Ok(())
}

fn show_hosts(hosts: &[&Host]) {
    for host in hosts {
        let names: Vec<String> = host.components().iter().map(ToString::to_string).collect();
        println!(
            "   host {:<5} runs {}",
            host.id().as_str(),
            names.join(", ")
        );
    }
}

fn heading(number: u8, what: &str) {
    println!("\n{number}. {what}");
}
