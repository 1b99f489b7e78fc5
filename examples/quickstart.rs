//! Two hosts, two actors and a provider in one process. Run it with `make demo`.
//!
//! ```text
//! this program ──► front-desk ──► greeter ──► store
//! "visitor"        actor          actor       key-value provider
//! ```
//!
//! Each arrow is a call by name and interface, wherever the callee runs, and each needs a link. At
//! the end, a wormhole leads an HTTP request from the outside to an actor. Set `RUST_LOG=info` to
//! see the logs of the actors and of the mesh.

use lattice_core::{Lattice, client::Caller, link::Link, wormholes::NewWormhole};
use lattice_examples::{
    Report,
    desk::DeskClient,
    fetch,
    guests::{DESK, GREETER, front_desk, greeter, hello},
    load::Load,
    store::{self, MemoryStore, STORE, StoreClient},
};
use lattice_host::{Host, http::Ingress};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Calls that are timed one after another.
const TIMED: usize = 200;
/// Callers that make calls continuously while a host dies.
const CALLERS: usize = 16;
/// How long they do so before it dies, and after.
const HALF: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Report> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();

    // A lattice inside this process, without a server. Across machines, use
    // `Lattice::connect("nats://…", "prod").key(key)`; nothing else changes.
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
        .ingress(Ingress::http("127.0.0.1:0"))
        .start()
        .await?;
    heading(1, "two hosts in this process, on a lattice in memory");
    show_hosts(&[&red, &blue]);

    // This program takes part as the component `visitor`. The client is generated from the desk's
    // WIT.
    let visitor = lattice.caller("visitor")?;
    let desk = DeskClient::new(visitor.clone());
    without_links(&lattice, &desk).await?;
    with_links(&lattice, &desk).await?;
    with_replicas(&red, &blue, &desk).await?;
    with_a_deadline(&lattice, &visitor).await?;
    with_a_host_killed(&red, desk).await?;
    with_a_wormhole(&lattice, &blue).await?;

    // The host leaves the lattice and finishes the calls that it has.
    let _ = blue.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// No component may call another without a link.
async fn without_links(lattice: &Lattice, desk: &DeskClient<Caller>) -> Result<(), Report> {
    heading(2, "a missing link: visitor -> front-desk (red) -> greeter");
    let answer = desk.welcome("Ada").await;
    let refusal = answer.err().ok_or("there is no link yet")?;
    println!("   visitor gets:     {refusal}");

    // The greeter's function returns a `result` with room for it, so the front desk receives the
    // failed call as a value.
    let link = Link::new("visitor", DESK, "front-desk")?;
    lattice.links().put(link).await?;
    let answer = desk.welcome("Ada").await?;
    let refusal = answer.err().ok_or("there is no link yet")?;
    println!("   front-desk gets:  {refusal}");
    Ok(())
}

/// The same call with its links. It goes from host to host, without any configuration of where
/// components run.
async fn with_links(lattice: &Lattice, desk: &DeskClient<Caller>) -> Result<(), Report> {
    heading(
        3,
        "with links: visitor -> front-desk (red) -> greeter (blue) -> store (blue)",
    );
    for link in [
        Link::new("front-desk", GREETER, "greeter")?,
        Link::new("greeter", STORE, "store")?,
    ] {
        lattice.links().put(link).await?;
    }
    show_calls(desk).await
}

/// A call is served on the caller's own host when it can be.
async fn with_replicas(red: &Host, blue: &Host, desk: &DeskClient<Caller>) -> Result<(), Report> {
    heading(
        4,
        "both actors on both hosts: the desk calls the greeter on its own host",
    );
    red.start_actor("greeter", greeter("red")?).await?;
    blue.start_actor("front-desk", front_desk("blue")?).await?;
    show_hosts(&[red, blue]);
    show_calls(desk).await
}

/// Every call has a deadline, 2 s by default.
async fn with_a_deadline(lattice: &Lattice, visitor: &Caller) -> Result<(), Report> {
    heading(
        5,
        "a deadline: over link `slow` the store takes 1 s, and visitor waits 50 ms",
    );
    let slow = store::Config {
        delay_ms: Some(1_000),
        ..Default::default()
    };
    let link = Link::new("visitor", STORE, "store")?.named("slow")?;
    lattice.links().put(link.config(&slow)?).await?;
    let store = StoreClient::new(visitor.clone().via("slow")?);
    let begun = Instant::now();
    let answer = store
        .get("visits/Ada")
        .timeout(Duration::from_millis(50))
        .await;
    let error = answer
        .err()
        .ok_or("the store was faster than it should be")?;
    println!("   after {:>6} µs:  {error}", begun.elapsed().as_micros());
    Ok(())
}

/// Any host may die at any moment. The calls that it was running are lost, and their callers get an
/// error. The next call goes to another host.
async fn with_a_host_killed(red: &Host, desk: DeskClient<Caller>) -> Result<(), Report> {
    heading(
        6,
        "a host dies: 16 visitors call without pause for 2 s; half-way, red is killed",
    );
    let load = Load::start(CALLERS, move |caller| {
        let (desk, name) = (desk.clone(), format!("visitor-{caller}"));
        async move { desk.welcome(&name).await }
    });
    sleep(HALF).await;
    let before = load.tally();
    // This is like a power failure: the host does not announce that it leaves.
    red.kill();
    sleep(HALF).await;
    let tally = load.stop().await;
    let after = tally.answered - before.answered;
    println!("   answered by two hosts  {:>6}", before.answered);
    println!("   answered by blue alone {after:>6}");
    println!("{tally}");
    if after == 0 {
        return Err("no other host took over".into());
    }
    Ok(())
}

/// A wormhole is a public address that leads to an actor, wherever it runs. Every host with an
/// ingress serves it.
async fn with_a_wormhole(lattice: &Lattice, blue: &Host) -> Result<(), Report> {
    heading(7, "a wormhole: requests from the outside reach an actor");
    blue.start_actor("hello", hello()?).await?;
    let (_, wormhole) = lattice
        .wormholes()
        .create(NewWormhole::new("hello")?)
        .await?;
    // It was generated: two words and a number.
    let name = wormhole.host.ok_or("it has a host name")?;
    let addresses = blue.ingress_addresses();
    let address = addresses.first().ok_or("`blue` has an ingress")?;
    let host = format!("{name}.localhost");
    println!("   GET http://{host}:{}/demo", address.port());
    let body = fetch::get(*address, &host, "/demo").await?;
    println!("   \"{}\"", body.trim_end());
    Ok(())
}

/// Shows the result of one call, then the times of many.
async fn show_calls(desk: &DeskClient<Caller>) -> Result<(), Report> {
    let begun = Instant::now();
    let words = desk.welcome("Ada").await??;
    println!("   \"{words}\"");
    println!("   the first call took {} µs", begun.elapsed().as_micros());
    let mut took = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let begun = Instant::now();
        desk.welcome("Grace").await??;
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
