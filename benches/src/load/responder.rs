//! The other process: it answers calls until its standard input ends, which is when the first one ends.

use crate::load::options::Responder;
use crate::{Failure, bare, native::EchoProvider};
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
        Responder::Bare => {
            let responder = bare::Responder::start(&url, SUBJECT, None).await?;
            println!("{READY}");
            tokio::select! {
                ended = responder.respond() => ended,
                ended = end_of_input() => ended,
            }
        }
    }
}

async fn respond_in_lattice(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let serving = serve(&lattice, "callee", EchoProvider).await?;
    println!("{READY}");
    end_of_input().await?;
    let _ = serving.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

async fn end_of_input() -> Result<(), Failure> {
    let read = || std::io::stdin().lock().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}
