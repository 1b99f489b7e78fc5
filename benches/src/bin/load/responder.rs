//! The other process: it answers calls until its standard input ends, which is when the first one ends.

use crate::options::Responder;
use futures_util::StreamExt;
use lattice_benches::{Failure, native::EchoProvider};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_provider_sdk::serve;
use std::{io::Read, time::Duration};

/// Where the server is.
pub(crate) const URL: &str = "LATTICE_BENCH_URL";
/// The lattice key.
pub(crate) const KEY: &str = "LATTICE_BENCH_KEY";
/// The subject of the bare responder.
pub(crate) const SUBJECT: &str = "bench.echo";
/// The lattice of the other.
pub(crate) const LATTICE: &str = "bench";
/// What is printed when calls can come.
pub(crate) const READY: &str = "ready";

pub(crate) async fn respond(kind: Responder) -> Result<(), Failure> {
    let url = std::env::var(URL)?;
    match kind {
        Responder::Lattice => respond_in_lattice(&url).await,
        Responder::Bare => respond_bare(&url).await,
    }
}

async fn respond_in_lattice(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let serving = serve(&lattice, "callee", EchoProvider).await?;
    println!("{READY}");
    end_of_input().await?;
    serving.stop(Duration::from_secs(1)).await;
    Ok(())
}

/// No task per message, no flush.
async fn respond_bare(url: &str) -> Result<(), Failure> {
    let client = connect(url).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    println!("{READY}");
    let answering = async {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                client.publish(reply, request.payload).await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = answering => ended,
        ended = end_of_input() => ended,
    }
}

/// A connection whose subscriptions have room for all that is in flight.
pub(crate) async fn connect(url: &str) -> Result<async_nats::Client, Failure> {
    Ok(async_nats::ConnectOptions::new()
        .subscription_capacity(1 << 16)
        .connect(url)
        .await?)
}

async fn end_of_input() -> Result<(), Failure> {
    let read = || std::io::stdin().lock().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}
