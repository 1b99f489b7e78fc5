//! Three hosts in one process run what a manifest declares. One of them dies, and the others take
//! over. `make demo` runs this example after the quickstart.
//!
//! Nothing specifies where components run. Each host computes its own share of `shop.toml` from
//! what it sees, starts it, keeps it running, and hands over components that are no longer assigned
//! to it.

use lattice_core::{Lattice, app::App, name::ComponentId};
use lattice_examples::{Report, desk::DeskClient, load::Load, store::MemoryStore};
use lattice_host::{Host, http::Ingress};
use lattice_provider_sdk::serve;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shop.toml");
/// The actors that the manifest declares, with two replicas each.
const ACTORS: [&str; 3] = ["front-desk", "greeter", "hello"];
const REPLICAS: usize = 2;
/// Callers that make calls continuously.
const CALLERS: usize = 16;
/// Far longer than any step here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Report> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();

    let lattice = Lattice::in_memory("demo").await?;
    // A provider that this program serves itself. No app manages it.
    let _store = serve(&lattice, "store", MemoryStore::default()).await?;
    let mut hosts = Vec::new();
    for id in ["red", "blue", "green"] {
        hosts.push(host(&lattice, id).await?);
    }
    heading(1, "three hosts that run nothing yet");
    all_count(&lattice).await?;
    show(&lattice);

    let app = App::load(MANIFEST)?;
    apply(&lattice, &app).await?;
    kill_one(&lattice, &mut hosts).await?;
    hosts.push(join_one(&lattice).await?);
    delete(&lattice, &app).await?;
    for host in &hosts {
        let _ = host.shutdown(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Starts a host that also serves the lattice's wormholes, on a free port.
async fn host(lattice: &Lattice, id: &str) -> Result<Host, Report> {
    let builder = Host::builder(lattice).id(id);
    Ok(builder
        .ingress(Ingress::http("127.0.0.1:0"))
        .start()
        .await?)
}

/// Applies the app, and applies it again, which changes nothing.
async fn apply(lattice: &Lattice, app: &App) -> Result<(), Report> {
    heading(2, "shop.toml declares what should run");
    let begun = Instant::now();
    let applied = lattice.apply(app).await?;
    println!("{}", indented(&applied.plan.to_string()));
    until_complete(lattice, None).await?;
    println!(
        "   all of it serves after {} ms",
        begun.elapsed().as_millis()
    );
    show(lattice);
    let again = lattice.apply(app).await?;
    println!(
        "   applied again:       {}",
        nothing_or(&again.plan.to_string())
    );
    Ok(())
}

/// Kills a host that serves calls, under load.
async fn kill_one(lattice: &Lattice, hosts: &mut Vec<Host>) -> Result<(), Report> {
    heading(
        3,
        "16 visitors call without pause; a host that has work is killed",
    );
    let desk = DeskClient::new(lattice.caller("visitor")?);
    let load = Load::start(CALLERS, move |caller| {
        let (desk, name) = (desk.clone(), format!("visitor-{caller}"));
        async move { desk.welcome(&name).await }
    });
    sleep(Duration::from_secs(1)).await;
    let before = load.tally().answered;
    let victim = hosts_of(lattice, ACTORS[0])
        .pop_first()
        .ok_or("no host serves it")?;
    let dies = hosts.iter().position(|host| host.id().as_str() == victim);
    let host = hosts.swap_remove(dies.ok_or("it isn't one of our hosts")?);
    // This is like a power failure: the host does not announce that it leaves.
    host.kill();
    let begun = Instant::now();
    println!("   {victim} is dead");
    until_complete(lattice, Some(&victim)).await?;
    println!(
        "   all replicas are back after {} ms",
        begun.elapsed().as_millis()
    );
    sleep(Duration::from_secs(1)).await;
    let tally = load.stop().await;
    println!("   answered before        {before:>6}");
    println!("   answered since         {:>6}", tally.answered - before);
    println!("{tally}");
    show(lattice);
    Ok(())
}

/// Starts a host in place of the dead one.
async fn join_one(lattice: &Lattice) -> Result<Host, Report> {
    heading(4, "a new host joins, and takes over its share");
    let yellow = host(lattice, "yellow").await?;
    all_count(lattice).await?;
    settled(lattice).await;
    show(lattice);
    Ok(yellow)
}

/// Deletes the app, and waits until no host runs its actors.
async fn delete(lattice: &Lattice, app: &App) -> Result<(), Report> {
    heading(5, "the app is deleted");
    lattice.delete_app(&app.manifest().name).await?;
    let gone = async {
        while ACTORS
            .iter()
            .any(|actor| !hosts_of(lattice, actor).is_empty())
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await?;
    show(lattice);
    Ok(())
}

/// The hosts that serve a component.
fn hosts_of(lattice: &Lattice, component: &str) -> BTreeSet<String> {
    let peers = lattice.peers();
    let serves = peers.iter().filter(|peer| {
        let mut ids = peer.components.keys();
        ids.any(|id| id.as_str() == component)
    });
    serves.map(|peer| peer.origin.host.to_string()).collect()
}

/// Waits until every actor has its replicas, none of them on `dead`.
async fn until_complete(lattice: &Lattice, dead: Option<&str>) -> Result<(), Report> {
    let is_complete = |actor: &&str| {
        let hosts = hosts_of(lattice, actor);
        hosts.len() >= REPLICAS && dead.is_none_or(|dead| !hosts.contains(dead))
    };
    let complete = async {
        while !ACTORS.iter().all(&is_complete) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(timeout(PATIENCE, complete).await?)
}

/// Waits until all hosts take part in placement. That takes two heartbeats of each host, which are
/// sent once a second.
async fn all_count(lattice: &Lattice) -> Result<(), Report> {
    let heard = async {
        while lattice.peers().iter().count() < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, heard).await?;
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// Waits until only the declared number of replicas serve. A host that hands over a replica
/// continues to serve until the new one does.
async fn settled(lattice: &Lattice) {
    let moved = async {
        while ACTORS
            .iter()
            .any(|actor| hosts_of(lattice, actor).len() > REPLICAS)
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    // It is also fine when nothing moved.
    let _ = timeout(Duration::from_secs(10), moved).await;
}

fn show(lattice: &Lattice) {
    let peers = lattice.peers();
    let mut lines: Vec<String> = peers
        .iter()
        .filter(|peer| peer.components.keys().all(|id| id.as_str() != "store"))
        .map(|peer| {
            let runs: Vec<&str> = peer.components.keys().map(ComponentId::as_str).collect();
            let runs = runs.join(", ");
            let runs = if runs.is_empty() {
                "nothing".to_owned()
            } else {
                runs
            };
            format!("   host {:<7} runs {runs}", peer.origin.host.as_str())
        })
        .collect();
    lines.sort_unstable();
    println!("{}", lines.join("\n"));
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
    lines.join("\n")
}

fn nothing_or(plan: &str) -> &str {
    plan.lines().next().unwrap_or("nothing to do")
}

fn heading(number: u8, what: &str) {
    println!("\n{number}. {what}");
}
